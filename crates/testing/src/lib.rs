//! What tests share: a server to start, fakes, audits; a dev-dependency only.
//!
//! [`postgres`]: a fresh, migrated database per test, and clusters that may be killed.

pub mod postgres;
pub mod tidy;
