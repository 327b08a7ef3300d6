//! The EVM door (out): how we read chains and settle on them.
//!
//! [`Node`] asks one chain through the RPC that speaks for it; so far whether a contract accepts a signature
//! ([`Node::accepts_signature`], ERC-1271). [`Contracts`] are the chains of a deployment whose word counts. [`fake`] is a node that fails on command. What will live here besides:
//! `ownerOf`, token metadata, `Transfer` events, settlement of an EIP-3009 authorization.
//!
//! What always holds: an RPC that is slow, away or of another chain is an answer of its own, never mistaken for "no"; its
//! address may hold a key and is never printed; addresses and token ids are checked types, not strings.
//!
//! Deliberately absent: caches and how long they may be believed, tiers, what ownership grants (`domain`); sessions
//! and sign-in (`identity`); SQL; ERC-6492, which asks a factory about a contract that is not there yet.

mod contracts;
pub mod fake;
mod node;

pub use contracts::{Contracts, Networks, is_test_chain};
pub use node::{BadAddress, Node, NodeError};
