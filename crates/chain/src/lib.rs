//! The EVM door (out): how we read chains and settle on them.
//!
//! What will live here: `ownerOf`, token metadata, `Transfer` events, ERC-1271 signatures of contract wallets,
//! settlement of an EIP-3009 authorization, and a fake chain that can fail on command. Which RPC speaks for which
//! chain is a setting.
//!
//! What always holds: an answer says at which block it was read; an RPC that is slow or away is an answer of its own,
//! never mistaken for "not the owner"; addresses and token ids are checked types, not strings.
//!
//! Deliberately absent: caches and how long they may be believed, tiers, what ownership grants (`domain`); sessions
//! and sign-in (`identity`); SQL.
