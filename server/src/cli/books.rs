//! `freeside books check`, `violations` and `resolve`: do the books agree, what did not, and has a person mended it.

use clap::Subcommand;
use ledger::{Pass, ResolveError, Resolved, Violation, Which};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::CommunityId;

use super::console::{Console, Tone};
use super::{Exit, block_on, faults, log};
use crate::config::Source;

/// Who resolves, where nobody says.
const COMMAND_LINE: &str = "command line";
/// Violations of one list; `--before` shows more.
const LISTED: i64 = 100;

/// Its commands.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Recompute every account and every chain from the journal (exit code 1 when something does not agree).
    Check,
    /// Show what did not agree, newest first.
    Violations(List),
    /// Resolve a violation once its books agree again.
    Resolve(Resolve),
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct List {
    /// Only this community's, and those of all.
    #[arg(long)]
    community: Option<CommunityId>,
    /// The resolved ones too.
    #[arg(long)]
    all: bool,
    /// Only those with a smaller number.
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Resolve {
    /// Its number.
    id: i64,
    /// What was found and done, for the record.
    #[arg(long)]
    note: String,
    /// Who did it.
    #[arg(long, default_value = COMMAND_LINE)]
    who: String,
}

pub(super) fn run(command: Command, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    match command {
        Command::Check => checked(&block_on(crate::serve::check_books(settings))??, console),
        Command::Violations(list) => {
            let which = Which { community: list.community, only_open: !list.all, before: list.before };
            let found = block_on(crate::serve::violations(settings, which, LISTED))??;
            listed(&found, console).map(|()| Exit::Done)
        }
        Command::Resolve(Resolve { id, note, who }) => {
            let resolved = block_on(crate::serve::resolve_violation(settings, id, &who, &note))??;
            match resolved {
                Ok(resolved) => done(id, resolved, console).map(|()| Exit::Done),
                Err(ResolveError::StillBroken(reasons)) => {
                    still_broken(id, &reasons, console).map(|()| Exit::Failed)
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

fn checked(pass: &Pass, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let exit = if pass.is_clean() { Exit::Done } else { Exit::Failed };
    if console.json {
        let differences: Vec<Value> = pass
            .differences
            .iter()
            .map(|difference| {
                json!({
                    "community": difference.key.community,
                    "account": difference.key.account,
                    "sum": difference.sum,
                    "difference_micro": difference.by.to_string(),
                    "what": difference.what,
                })
            })
            .collect();
        console.json(&json!({
            "ok": pass.is_clean(),
            "accounts": pass.accounts,
            "differences": differences,
            "global": pass.global,
        }))?;
        return Ok(exit);
    }
    if pass.is_clean() {
        let good = console.paint(Tone::Good, "the books agree");
        console.line(&format!("{good}: {} accounts, recomputed from the journal", pass.accounts))?;
        return Ok(exit);
    }
    for difference in &pass.differences {
        let whose = format!("community {}, account {}", difference.key.community, difference.key.account);
        console.line(&format!("{}  {}", console.paint(Tone::Bad, &whose), difference.what))?;
    }
    for what in &pass.global {
        console.line(&format!("{}  {what}", console.paint(Tone::Bad, "all")))?;
    }
    console.note("\nWhat was found is recorded: freeside books violations")?;
    Ok(exit)
}

fn listed(found: &[Violation], console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        let violations: Vec<Value> = found.iter().map(as_json).collect();
        return console.json(&json!({"violations": violations}));
    }
    if found.is_empty() {
        return Ok(console.line("none")?);
    }
    for violation in found {
        let whose = match (violation.community, violation.account) {
            (Some(community), Some(account)) => format!("community {community}, account {account}"),
            (Some(community), None) => format!("community {community}, minting stopped"),
            (None, _) => "all, minting stopped".to_owned(),
        };
        let state = match &violation.resolved_at {
            None => console.paint(Tone::Bad, "open    "),
            Some(_) => console.paint(Tone::Quiet, "resolved"),
        };
        console.line(&format!("{:>6}  {state}  {}  {whose}", violation.id, text_of(violation.found_at)))?;
        console.line(&format!("        {}", violation.what))?;
        if let (Some(who), Some(note)) = (&violation.resolved_by, &violation.note) {
            console.line(&format!("        {}", console.paint(Tone::Quiet, &format!("{who}: {note}"))))?;
        }
    }
    Ok(())
}

fn as_json(violation: &Violation) -> Value {
    json!({
        "id": violation.id.to_string(),
        "community": violation.community,
        "account": violation.account,
        "found_at": text_of(violation.found_at),
        "what": violation.what,
        "resolved_at": violation.resolved_at.map(text_of),
        "resolved_by": violation.resolved_by,
        "note": violation.note,
    })
}

fn done(id: i64, resolved: Resolved, console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        return console.json(&json!({
            "ok": true,
            "violations": resolved.violations,
            "thawed": resolved.thawed.map(|key| key.account),
            "minting_goes_on": resolved.minting_goes_on,
        }));
    }
    let effect = match (resolved.thawed, resolved.minting_goes_on) {
        (Some(key), _) => format!("account {} may be used again", key.account),
        (None, true) => "credits are minted again".to_owned(),
        (None, false) => "nothing was stopped by it".to_owned(),
    };
    Ok(console.line(&format!("resolved {id}: {effect}"))?)
}

fn still_broken(id: i64, reasons: &[String], console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        return console.json(&json!({"ok": false, "reasons": reasons}));
    }
    let name = console.paint_note(Tone::Bad, "freeside:");
    console.note(&format!("{name} violation {id} stays open, because the books do not agree yet:"))?;
    for reason in reasons {
        console.note(&format!("  {reason}"))?;
    }
    Ok(())
}

fn text_of(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}
