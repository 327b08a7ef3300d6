//! A door (in): Discord.
//!
//! What will live here: slash commands, one thread per NFT, answers that grow by edits within Discord's limits and
//! split at its length, the notice after a purchase. A crate of its own because its client library is heavy, and
//! because it speaks to one outside system.
//!
//! What always holds: a message is parsed, its author is known, one function of `domain` is called, its answer is
//! shaped for Discord; nobody is mentioned by model output; a missing permission is named in the reply, with its fix.
//!
//! Deliberately absent: every rule about money, ownership, tiers or pools; SQL; the model.
