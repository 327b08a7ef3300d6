//! finn, the inference engine: checks the caller's token, chooses a pool and a model, streams, meters.
//!
//! A request's way: [`serve`] accepts it → [`verifier`] checks the token against [`jwks`] → [`agents`] says who speaks,
//! [`personality`] how → [`route`] decides who may
//! answer → [`engine`] tries the models of the chain until one speaks → `answer` streams its [`transcript`] to
//! freeside, and tells the [`metering::UsageSink`] what was used, also when freeside left.
//!
//! What always holds: nothing is answered without a verified, unused token; no pool outside the token's claims answers;
//! a model is left for another only before its first token; every stream has exactly one terminal event; dropping
//! the connection drops the provider's call.
//! What is deliberately absent: money, prices, accounts and environment variables. finn cannot tell what a token costs,
//! and is told everything it needs in [`Settings`]. Agents come through the port [`agents::AgentSource`], which the server fills;
//! an answer without an agent has the personality `none` and no filter.

pub mod agents;
mod answer;
pub mod engine;
pub mod failure;
mod guards;
pub mod jwks;
pub mod metering;
pub mod narration;
pub mod personality;
mod prompt;
pub mod providers;
pub mod route;
mod secret;
mod server;
pub mod transcript;
pub mod verifier;

pub use agents::{AgentRow, AgentSource, NoAgents};
pub use engine::{Engine, MetricsCaller, ScriptedModels, Settings, SettingsFaults};
pub use metering::{Discard, Queue, UsageRecord, UsageSink};
pub use secret::Secret;
pub use server::{Doors, serve};
pub use transcript::EARLY_FIGURES_BELIEVED;
pub use verifier::replay::{MemoryReplay, ReplayGuard, WithFallback};
