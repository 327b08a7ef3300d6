//! The ledger as its callers know it: the writer under bad luck, rights, plans, the checker, and the rule's properties.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failed unwrap is a failed test")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../replay/model.rs"]
mod model;
#[path = "../replay/translate.rs"]
mod translate;

mod checker;
mod dropped;
mod export;
mod guard;
mod known;
mod plans;
mod reports;
mod rights;
mod rule;
mod seal;
mod sweep;
mod verify;
mod writer;
