//! Rules: a turn from question to charge, the worst case of a request, sign-up, usage and budgets.
//!
//! Every door (API routes, later pages, sockets and bots) parses, learns who asks, and calls one function here.
//! What always holds: money is set aside before the engine is asked, and charged, once, before the last event of an
//! answer leaves. Deliberately absent: HTTP status codes, HTML, anybody's wire dialect.

pub mod accounts;
pub mod admin;
pub mod administrator;
pub mod agent;
pub mod caps;
pub mod chat;
pub mod community;
pub mod demo;
pub mod embed;
pub mod engine;
pub mod flags;
pub mod grants;
pub mod idempotency;
pub mod key_rights;
pub mod member;
pub mod order;
pub mod price;
pub mod purse;
pub mod reports;
pub mod sandbox;
pub mod sign_in;
pub mod turn;
pub mod wallet;

use std::sync::Arc;

use types::catalog::Catalog;
use types::{Clock, OwnerId};

/// What every rule has at hand. One per process, shared.
#[derive(Debug)]
pub struct Ctx {
    /// The time.
    pub clock: Clock,
    /// The database, as the application role.
    pub db: sqlx::PgPool,
    /// The batched entrance to the books.
    pub ledger: ledger::Ledger,
    /// Models, pools and prices.
    pub catalog: Arc<Catalog>,
    /// API keys.
    pub keys: identity::KeyRing,
    /// Limits per key.
    pub limits: identity::Limits,
    /// The way to finn.
    pub engine: engine::Engine,
    /// This process among the owners of holds.
    pub owner: OwnerId,
    /// The price list in force.
    pub price_version: i32,
    /// Switches that an operator turns while the process runs.
    pub flags: flags::Flags,
    /// The way to the payment processor.
    pub payments: order::Payments,
    /// Turns that run in this process.
    pub live: turn::Live,
    /// Sandbox days that were minted.
    pub sandbox: sandbox::Minted,
    /// Agents that were read lately.
    pub agents: agent::Known,
    /// Chat turns that run in this process.
    pub chat: chat::Running,
    /// Requests with an idempotency key that this process answers.
    pub keyed: idempotency::answers::InFlight,
}
