//! What tests share: a server to start, fakes, audits; a dev-dependency only.
//!
//! [`postgres`]: a fresh, migrated database per test, and clusters that may be killed. [`served`]: the real binary.
//! [`books`]: what an auditor asks of them.

pub mod books;
pub mod postgres;
pub mod served;
pub mod tidy;
