//! `freeside config check` and `freeside config env-template`.

use clap::Subcommand;
use serde_json::json;

use super::check::{self, Row};
use super::console::{Console, Tone, width};
use super::{Exit, faults};
use crate::config::{Settings, Source, env_template};

/// Its commands.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Command {
    /// Read the configuration, say what holds, and everything that is wrong with it.
    Check,
    /// Print a commented `.env.example` of all variables.
    EnvTemplate,
}

pub(super) fn run(command: Command, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    match command {
        Command::EnvTemplate => {
            console.text(&env_template())?;
            Ok(Exit::Done)
        }
        Command::Check if console.json => check_as_json(source, console),
        Command::Check => check_as_text(source, console),
    }
}

fn check_as_json(source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    match Settings::read(source) {
        Ok(settings) => {
            let off: Vec<_> = settings
                .switched_off()
                .into_iter()
                .map(|off| json!({"variable": off.variable, "turns_on": off.feature.name, "until_then": off.feature.instead}))
                .collect();
            let rows = check::rows(&settings);
            console.json(&json!({
                "ok": true, "faults": [], "warnings": settings.warnings, "settings": rows, "off": off,
            }))?;
            Ok(Exit::Done)
        }
        Err(faults) => {
            console.json(&json!({"ok": false, "faults": faults.0}))?;
            Ok(Exit::Misconfigured)
        }
    }
}

fn check_as_text(source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    let rows = check::rows(&settings);
    let name_width = width(rows.iter().map(|row| row.variable.as_str()));
    for row in rows.iter().filter(|row| !row.is_reserved_and_unset()) {
        let name = format!("{:name_width$}", row.variable);
        let line = match row {
            Row { value: Some(value), origin: "default", .. } => {
                format!("{name}  {value}  {}", console.paint(Tone::Quiet, "(default)"))
            }
            Row { value: Some(value), .. } => format!("{}  {value}", console.paint(Tone::Strong, &name)),
            Row { origin: "unset", unset, .. } => {
                format!(
                    "{name}  {}",
                    console.paint(Tone::Quiet, &format!("({})", unset.as_deref().unwrap_or("not set")))
                )
            }
            Row { origin, .. } => {
                let from = format!("[secret, from the {origin}]");
                format!("{}  {}", console.paint(Tone::Strong, &name), console.paint(Tone::Good, &from))
            }
        };
        console.line(&line)?;
    }
    let off = settings.switched_off();
    if !off.is_empty() {
        console.line("\nOff, and the variable that turns it on:")?;
        for off in off {
            console.line(&format!(
                "  {:name_width$}  {}; until then {}",
                off.variable, off.feature.name, off.feature.instead
            ))?;
        }
    }
    let good = console.paint(Tone::Good, "The configuration is in order.");
    console.line(&format!("\n{good}"))?;
    Ok(Exit::Done)
}
