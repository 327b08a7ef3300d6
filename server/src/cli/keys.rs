//! `freeside keys bootstrap` and `freeside keys status`: the keys that sign tokens for the engine.
//!
//! Key ids and dates only: no key material reaches any output. Rotation and revocation are not here yet.

use anyhow::bail;
use clap::Subcommand;
use identity::{ServiceKeyStatus, ServiceKeys};
use serde_json::{Value, json};
use types::Clock;

use super::console::{Console, Tone};
use super::{Exit, faults};
use crate::config::{SigningKeys, Source};

/// Its commands.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Command {
    /// Make the first signing key; keys that are there already stay as they are.
    Bootstrap,
    /// Show each key's id, age and end.
    Status,
}

pub(super) fn run(command: Command, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(settings) = faults::settings_for_preparation(source, console)? else {
        return Ok(Exit::Misconfigured);
    };
    match command {
        Command::Status => {
            let keys = ServiceKeys::load(settings.signing_keys.path(), Clock::system())?;
            print(&keys.status(), console)?;
        }
        Command::Bootstrap => {
            let SigningKeys::Folder(folder) = &settings.signing_keys else {
                bail!(
                    "S2S_PRIVATE_KEY_FILE names a key already; take it away to make keys in FREESIDE_KEYS_DIR"
                );
            };
            let keys = ServiceKeys::bootstrap(folder, Clock::system())?;
            if !console.json {
                console.line(&format!(
                    "Made the first signing key in {}. Keep the folder safe.\n",
                    folder.display()
                ))?;
            }
            print(&keys.status(), console)?;
        }
    }
    Ok(Exit::Done)
}

fn print(keys: &[ServiceKeyStatus], console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        return console.json(&json!({"keys": keys.iter().map(as_json).collect::<Vec<_>>()}));
    }
    for key in keys {
        let state = if key.active {
            console.paint(Tone::Good, "signs   ")
        } else {
            console.paint(Tone::Quiet, "verifies")
        };
        let (made, ends) = (key.created_at.date(), key.expires_at.date());
        console.line(&format!(
            "{state}  {}  made {made}, ends {ends}, {} days left",
            key.kid,
            key.left.whole_days()
        ))?;
        if let Some(warning) = &key.warning {
            console.line(&format!("          {}", console.paint(Tone::Warning, warning)))?;
        }
    }
    Ok(())
}

fn as_json(key: &ServiceKeyStatus) -> Value {
    json!({
        "kid": key.kid,
        "active": key.active,
        "created_at": key.created_at.unix_timestamp(),
        "expires_at": key.expires_at.unix_timestamp(),
        "days_left": key.left.whole_days(),
        "warning": key.warning,
    })
}
