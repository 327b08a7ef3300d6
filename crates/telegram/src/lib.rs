//! A door (in): Telegram.
//!
//! What will live here: commands, native streaming drafts in private chats and paced edits in groups, the webhook
//! with its secret token and long polling for machines without a public address.
//!
//! What always holds: an update is handled once, whichever way and however often it arrives; a message is parsed, its
//! author is known, one function of `domain` is called, its answer is shaped for Telegram.
//!
//! Deliberately absent: every rule about money, ownership, tiers or pools; SQL; the model.
