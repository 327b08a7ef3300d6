//! `freeside flags list` and `freeside flags set`: switches that every running process follows within seconds.
//!
//! The command writes one row; nothing is restarted. It works beside a running service, also on the embedded database.

use clap::{Subcommand, ValueEnum};
use domain::flags::{Flag, Standing, Turn};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::console::{Console, Tone, width};
use super::{Exit, block_on, faults, log};
use crate::config::Source;

/// Its commands.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Show every switch, and who turned it.
    List,
    /// Turn a switch.
    Set(Arguments),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Its name or its variable: `crypto_payments`, `FEATURE_API_KEYS_ENABLED`.
    flag: Flag,
    /// Which way.
    to: To,
    /// Why, for the record.
    #[arg(long, default_value = "turned on the command line", value_parser = super::reason)]
    reason: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum To {
    On,
    Off,
}

pub(super) fn run(command: Command, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    match command {
        Command::List => print(&block_on(crate::serve::flags(settings))??, console)?,
        Command::Set(Arguments { flag, to, reason }) => {
            let turn = match to {
                To::On => Turn::On,
                To::Off => Turn::Off,
            };
            block_on(crate::serve::set_flag(settings, flag, turn, &reason))??;
            if console.json {
                console.json(&json!({"flag": flag.name(), "is_on": turn == Turn::On}))?;
            } else {
                let word = if turn == Turn::On { "on" } else { "off" };
                console.line(&format!("{flag} is {word}; every process follows within seconds"))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn print(flags: &[Standing], console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        return console.json(&json!({"flags": flags.iter().map(as_json).collect::<Vec<_>>()}));
    }
    let names = width(flags.iter().map(|standing| standing.flag.name()));
    for Standing { flag, is_on, turned } in flags {
        let state =
            if *is_on { console.paint(Tone::Good, "on ") } else { console.paint(Tone::Warning, "off") };
        let why = match turned {
            Some(turned) => format!("turned {} by {}", turned.at.format(&Rfc3339)?, turned.who),
            None => format!("by {}", flag.variable()),
        };
        console.line(&format!("{:names$}  {state}  {}", flag.name(), console.paint(Tone::Quiet, &why)))?;
    }
    Ok(())
}

fn as_json(standing: &Standing) -> Value {
    json!({
        "flag": standing.flag.name(),
        "variable": standing.flag.variable(),
        "is_on": standing.is_on,
        "changed_at": standing.turned.as_ref().and_then(|turned| turned.at.format(&Rfc3339).ok()),
        "who": standing.turned.as_ref().map(|turned| turned.who.as_str()),
    })
}
