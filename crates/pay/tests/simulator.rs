//! The simulator over real sockets: its wire, its strictness, its scripts, and the notices that they send.
//!
//! The callers are our own client and a plain one; the receiver of notices authenticates each as the product does.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test's helper is a failed test")]

mod simulator {
    pub(crate) mod errors;
    pub(crate) mod house;
    pub(crate) mod notices;
    pub(crate) mod page;
    pub(crate) mod trouble;
}
