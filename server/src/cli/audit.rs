//! `freeside audit verify` and `freeside audit export`: the audit trail, proven offline and fetched.
//!
//! `verify` needs no configuration, no database and no network: only the file. Exit codes: 0 it is sound, 1 it is broken,
//! 2 it could not be read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use ledger::audit::{Filter, Format, Request};
use ledger::verify::{Fault, Head, JWKS_AT_MOST, KeySet, LINE_AT_MOST, Options, Seal, Verified, VerifyError};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use types::{AccountId, CommunityId, Pool};

use super::console::{Console, Tone};
use super::{Exit, block_on, faults, log};
use crate::config::Source;

/// Its commands.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Prove a downloaded trail, or name its first broken line (exit code 0 sound, 1 broken, 2 unreadable).
    Verify(Verify),
    /// Write a community's trail, sealed, as it can be downloaded.
    Export(Export),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Verify {
    /// The file; `-` reads standard input.
    file: PathBuf,
    /// A head saved before, which the file must contain or continue: an earlier trail, or what `verify --json` printed.
    #[arg(long, value_name = "HEADFILE")]
    since: Option<PathBuf>,
    /// The service's public keys (`/.well-known/jwks.json`), to check who sealed the file.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Export {
    /// The community's number.
    community: CommunityId,
    /// Not before this day or time (UTC): 2026-03-01, 2026-03-01T12:00:00Z.
    #[arg(long, value_parser = moment)]
    from: Option<OffsetDateTime>,
    /// Before this day or time (UTC).
    #[arg(long, value_parser = moment)]
    to: Option<OffsetDateTime>,
    /// Only charges of this pool; such a trail is unchained.
    #[arg(long)]
    pool: Option<Pool>,
    /// Only this account's lines; such a trail is unchained.
    #[arg(long)]
    account: Option<AccountId>,
    /// How it is written; only JSONL can be proven.
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Form,
    /// Where to; without it, standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Jsonl,
    Csv,
}

pub(super) fn run(command: Command, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    match command {
        Command::Verify(arguments) => verify(&arguments, console),
        Command::Export(arguments) => export(&arguments, source, console),
    }
}

fn export(arguments: &Export, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    let request = Request {
        community: arguments.community,
        from: arguments.from,
        to: arguments.to,
        filter: Filter { pool: arguments.pool, account: arguments.account },
        format: match arguments.format {
            Form::Jsonl => Format::Jsonl,
            Form::Csv => Format::Csv,
        },
    };
    match &arguments.out {
        Some(path) => {
            let mut file = File::create(path).with_context(|| path.display().to_string())?;
            block_on(crate::serve::export_audit(settings, request, &mut file))??;
            file.sync_all()?;
        }
        None => block_on(crate::serve::export_audit(settings, request, console.data()))??,
    }
    Ok(Exit::Done)
}

/// A day, which begins at midnight UTC, or a time.
fn moment(text: &str) -> Result<OffsetDateTime, &'static str> {
    // Not `Iso8601::DATE`: it reads a time too, and forgets its hours.
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let day = day.map(|day| day.midnight().assume_utc());
    day.or_else(|_| OffsetDateTime::parse(text, &Rfc3339))
        .map_err(|_| "write a day (2026-03-01) or a time (2026-03-01T12:00:00Z)")
}

fn verify(arguments: &Verify, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let outcome = match prove(arguments) {
        Ok(outcome) => outcome,
        Err(error) => {
            if console.json {
                console.json(&json!({"ok": false, "error": format!("{error:#}")}))?;
            } else {
                let name = console.paint_note(Tone::Bad, "unreadable:");
                console.note(&format!("{name} {error:#}"))?;
            }
            return Ok(Exit::Misconfigured);
        }
    };
    match outcome {
        Ok(verified) => sound(&verified, console).map(|()| Exit::Done),
        Err(fault) => broken(&fault, console).map(|()| Exit::Failed),
    }
}

/// The verdict; an error when a file could not be read at all.
fn prove(arguments: &Verify) -> anyhow::Result<Result<Verified, Fault>> {
    let named = |path: &Path| path.display().to_string();
    let keys = arguments.jwks.as_deref().map(|path| {
        let limit = u64::try_from(JWKS_AT_MOST).expect("small") + 1;
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .with_context(|| named(path))?;
        KeySet::parse(&bytes).map_err(anyhow::Error::msg).with_context(|| named(path))
    });
    let since = arguments.since.as_deref().map(|path| {
        let text = tail(path).with_context(|| named(path))?;
        Head::parse(&text).map_err(anyhow::Error::msg).with_context(|| named(path))
    });
    let options = Options { keys: keys.transpose()?, since: since.transpose()? };
    let file: Box<dyn Read> = if arguments.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&arguments.file).with_context(|| named(&arguments.file))?)
    };
    match ledger::verify::verify(BufReader::with_capacity(LINE_AT_MOST, file), &options) {
        Ok(verified) => Ok(Ok(verified)),
        Err(VerifyError::Broken(fault)) => Ok(Err(fault)),
        Err(VerifyError::Io(error)) => bail!("{}: {error}", named(&arguments.file)),
    }
}

/// The end of a file: a trail of any size has its head on its last line.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let most = u64::try_from(LINE_AT_MOST).expect("small") * 2;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn sound(verified: &Verified, console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        return console.json(&json!({
            "ok": true,
            "community_id": verified.community_id,
            "chained": verified.chained,
            "filter": verified.filter,
            "lines": verified.lines,
            "from_seq": verified.from_seq,
            "to_seq": verified.to_seq,
            "head_hash": verified.chained.then_some(&verified.head_hash),
            "kid": verified.kid,
            "signature": match verified.seal { Seal::Checked => "checked", Seal::NotChecked => "not checked" },
            "since": verified.since,
        }));
    }
    let good = console.paint(Tone::Good, "sound");
    let Verified { community_id, lines, from_seq, to_seq, head_hash, kid, .. } = verified;
    console.line(&format!("{good}: {lines} lines of community {community_id}, {from_seq} to {to_seq}"))?;
    match &verified.filter {
        None => console.line(&format!("every line follows from the one before; the head is {head_hash}"))?,
        Some(filter) => console.line(&format!(
            "filtered by {filter}: each line is whole, but what the filter left out cannot be proven"
        ))?,
    }
    if let Some(seq) = verified.since {
        console
            .line(&format!("the saved head at line {seq} of the journal is in it: the past is as it was"))?;
    }
    match verified.seal {
        Seal::Checked => console.line(&format!("sealed by key {kid}")),
        Seal::NotChecked => console
            .line(&format!("the seal of key {kid} was not checked: --jwks takes the service's public keys")),
    }?;
    Ok(())
}

fn broken(fault: &Fault, console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        return console.json(&json!({
            "ok": false,
            "line": fault.line,
            "what": fault.what,
            "expected": fault.expected,
            "found": fault.found,
        }));
    }
    let bad = console.paint(Tone::Bad, "broken");
    console.line(&format!("{bad}: line {}: {}", fault.line, fault.what))?;
    for (name, value) in [("expected", &fault.expected), ("found", &fault.found)] {
        if let Some(value) = value {
            console.line(&format!("  {name:<8}  {value}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(moment("2026-03-01"), Ok(datetime!(2026-03-01 00:00 UTC)));
        assert_eq!(moment("2026-03-01T13:30:00+01:00"), Ok(datetime!(2026-03-01 12:30 UTC)));
        for text in ["", "yesterday", "2026-02-30", "2026-03-01T12:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
