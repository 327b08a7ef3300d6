//! `freeside reviews list|approve|decline`: decisions that administrators asked the operator for.
//!
//! What creates credits that no payment processor confirmed, and what concerns an order of the asker's own, waits for the
//! operator: here, or at `/api/v1/admin/approvals` with the operator's token.

use clap::{Subcommand, ValueEnum};
use domain::order::{ApprovalRequest, ApprovalState, WhichApprovals};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::console::{Console, Tone};
use super::{Exit, block_on, faults, log};
use crate::config::{Source, development};
use crate::serve::{self, Word};

/// Its commands.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Show what waits for you, or every request that there was.
    List {
        /// Which requests.
        #[arg(long, default_value = "waiting")]
        state: Shown,
    },
    /// Do what a request asks for: credit the order's pack, or close the item.
    Approve(Arguments),
    /// Do nothing; the item stays open.
    Decline(Arguments),
}

/// Which requests are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shown {
    Waiting,
    All,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The request's id, as `freeside reviews list` shows it.
    request: Uuid,
    /// Why, for the record.
    #[arg(long, value_parser = super::reason)]
    reason: String,
}

pub(super) fn run(command: Command, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(mut settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    development::complete(&mut settings)?;
    let (word, Arguments { request, reason }) = match command {
        Command::List { state } => {
            let which = match state {
                Shown::Waiting => WhichApprovals::Waiting,
                Shown::All => WhichApprovals::All,
            };
            print(&block_on(serve::approvals(settings, which))??, console)?;
            return Ok(Exit::Done);
        }
        Command::Approve(arguments) => (Word::Approve, arguments),
        Command::Decline(arguments) => (Word::Decline, arguments),
    };
    let (request, credited) = block_on(serve::decide_request(settings, request, word, &reason))??;
    if console.json {
        let mut answer = as_json(&request);
        answer["credited_micro"] = json!(credited.to_string());
        console.json(&answer)?;
    } else {
        let item = request.item;
        let line = match word {
            Word::Approve => format!("approved: item {item} is closed, ${} credited now", credited.to_usd()),
            Word::Decline => format!("declined: item {item} stays open"),
        };
        console.line(&line)?;
    }
    Ok(Exit::Done)
}

fn print(requests: &[ApprovalRequest], console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        return console.json(&json!({"requests": requests.iter().map(as_json).collect::<Vec<_>>()}));
    }
    if requests.is_empty() {
        return Ok(console.line("no request waits for you")?);
    }
    for request in requests {
        let (state, tone) = match &request.state {
            ApprovalState::Waiting => ("waiting".to_owned(), Tone::Warning),
            ApprovalState::Overtaken => ("overtaken".to_owned(), Tone::Quiet),
            ApprovalState::Approved(by) => (format!("approved by {}", by.who), Tone::Good),
            ApprovalState::Declined(by) => (format!("declined by {}", by.who), Tone::Quiet),
        };
        let what = format!(
            "{} item {} ({}, payment {}) of community {}",
            request.resolution.as_str(),
            request.item,
            request.kind.as_str(),
            request.payment_id,
            request.community
        );
        let asked = format!("{} {}: {}", request.asked_at.format(&Rfc3339)?, request.who, request.note);
        console.line(&format!("{}  {}  {what}", request.id, console.paint(tone, &state)))?;
        console.line(&format!("  {}", console.paint(Tone::Quiet, &asked)))?;
    }
    Ok(())
}

fn as_json(request: &ApprovalRequest) -> Value {
    let (state, by) = match &request.state {
        ApprovalState::Waiting => ("waiting", None),
        ApprovalState::Overtaken => ("overtaken", None),
        ApprovalState::Approved(by) => ("approved", Some(by)),
        ApprovalState::Declined(by) => ("declined", Some(by)),
    };
    json!({
        "id": request.id,
        "community_id": request.community.to_string(),
        "review_id": request.item.to_string(),
        "kind": request.kind.as_str(),
        "payment_id": request.payment_id,
        "resolution": request.resolution.as_str(),
        "asked_by": request.who,
        "note": request.note,
        "asked_at": request.asked_at.format(&Rfc3339).ok(),
        "state": state,
        "decided_by": by.map(|by| by.who.as_str()),
        "decision_note": by.map(|by| by.note.as_str()),
    })
}
