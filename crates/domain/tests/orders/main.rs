//! Orders, payments and agents on a real PostgreSQL, with the payment simulator where the vendor would be.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failed unwrap is a failed test")]

mod agents;
mod applied;
mod approved;
mod bought;
#[cfg(debug_assertions)]
mod crashes;
mod polled;
mod races;
mod reviewed;
mod shop;
