//! The ledger when connections, PostgreSQL or its own process end at the worst moment: what was acknowledged is there,
//! and nothing is there twice.
//!
//! Failpoints belong to the whole process, so the tests that arm one take turns.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failed unwrap is a failed test")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(debug_assertions)]
mod failpoints;
mod leases;
mod proxy;
