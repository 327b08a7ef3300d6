//! Configuration: the environment and one TOML file, read once, checked whole, typed from then on.
//!
//! What always holds: every fault is named in one go, with the variable and the fix; a secret is never printed.
//! Nothing here changes while the process runs, and nothing but [`development::complete`] writes a file.
//! Deliberately absent: a `.env` file in the working folder. Export it yourself: `set -a; . ./.env; set +a`.

mod answers;
pub mod development;
mod finding;
mod kind;
mod listeners;
mod network;
mod parse;
mod role;
mod secret;
mod settings;
mod source;
pub mod table;
mod template;
#[cfg(test)]
mod tests;
mod unknown;
mod url;

pub use finding::{Faults, Finding};
pub use kind::Kind;
pub use network::{Network, Networks};
pub use role::{BadRoles, Role, Roles};
pub use secret::Secret;
pub use settings::{
    Database, Environment, Features, Log, LogFormat, Off, Payments, ProviderAccess, ScriptedText, Settings,
    SigningKeys,
};
pub use source::{Origin, Source};
pub use template::env_template;
pub use url::{BadUrl, HttpUrl, local_url};
