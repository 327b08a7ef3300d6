//! The payment door (out): how we speak to a payment processor.
//!
//! `nowpayments` asks (create a payment, read one, minimum amounts), `notice` authenticates what the processor tells
//! us unasked, and both give the same [`report::Report`]. `simulator` is the one fake: it speaks the real wire, sends
//! notices that are signed for real, and fails on command; `freeside serve` without keys uses it.
//!
//! What always holds: a number that came over the wire keeps its text; an amount is compared, never computed with,
//! before it is a `MicroUsd`; a signature is compared in constant time; keys never show in `Debug`, logs or addresses.
//!
//! Deliberately absent: orders, the order of statuses, minting, SQL. What a paid notice means is `domain`'s to say,
//! and only `ledger` writes money.

pub mod decimal;
mod error;
pub mod json;
pub mod notice;
pub mod nowpayments;
pub mod report;
pub mod simulator;

pub use error::Error;
