//! The payment door against recorded notices, a JavaScript engine's prints, models, and a server on a real socket.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test's helper is a failed test")]

mod answers;
mod canonical;
mod client;
mod decimals;
mod json_model;
mod notices;
mod server;
