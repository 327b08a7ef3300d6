//! The payment door (out): how we speak to a payment processor.
//!
//! What will live here: the NOWPayments client (create a payment, read its status, minimum amounts), the check of a
//! notice's signature over its raw bytes, later the x402 facilitator's client, and one fake of each that can fail on
//! command and sends real signed notices: `freeside serve` without keys uses it as a local payment simulator.
//!
//! What always holds: a number that came over the wire keeps its text; an amount is compared, never computed with,
//! before it is a `MicroUsd`; a signature is compared in constant time; keys never show in `Debug`, logs or addresses.
//!
//! Deliberately absent: orders, the order of statuses, minting, SQL. What a paid notice means is `domain`'s to say,
//! and only `ledger` writes money.
