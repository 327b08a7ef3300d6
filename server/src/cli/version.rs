//! `freeside version`.

use serde_json::json;

use super::Exit;
use super::console::Console;

/// The revision that the build was told (`FREESIDE_BUILD_REV`); a plain `cargo build` tells none, and nobody asks git.
pub(super) const REVISION: Option<&str> = option_env!("FREESIDE_BUILD_REV");

/// The package's version.
pub(super) const NUMBER: &str = env!("CARGO_PKG_VERSION");

/// What `--version` prints after the name.
pub(super) const LINE: &str = NUMBER;

pub(super) fn run(console: &mut Console<'_>) -> anyhow::Result<Exit> {
    if console.json {
        let contract = types::s2s::CONTRACT_VERSION;
        console.json(
            &json!({"name": "freeside", "version": NUMBER, "revision": REVISION, "contract": contract}),
        )?;
    } else {
        let revision = REVISION.map(|revision| format!(" ({revision})")).unwrap_or_default();
        console.line(&format!("freeside {NUMBER}{revision}"))?;
    }
    Ok(Exit::Done)
}
