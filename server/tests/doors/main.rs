//! The doors from outside: a real socket, a real PostgreSQL, the real engine with its scripted models.
//!
//! Each test asks as a client would and looks at the books afterwards. What the vendors' own SDKs make of the answers
//! is `end2end/sdk`'s to show.

mod abuse;
mod admin;
mod admin_pages;
mod admin_wallets;
mod agent_pages;
mod agents;
mod attacks;
mod checkout;
mod client;
mod contract_wallets;
mod dialects;
mod embed;
mod fairness;
mod house;
mod idempotency;
mod keys;
mod money;
mod operations;
mod orders;
mod pages;
mod recovered;
mod requests;
mod resets;
mod sign_in;
mod sign_in_pages;
mod socket_client;
mod sockets;
mod streams;
mod vendor;
mod wallets;
mod webhook;
