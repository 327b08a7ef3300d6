//! The engine from outside: real sockets, real keys, a fake key server and a fake provider, both able to fail on command.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test's helper is a failed test")]

mod agents;
mod answers;
mod breakers;
mod chunking;
mod contract;
mod fake_keys;
mod fake_provider;
mod house;
mod keys;
mod narration;
mod parameters;
mod streams;
mod thinking;
mod tokens;
mod tool_calls;
mod vanished;
