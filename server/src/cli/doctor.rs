//! `freeside doctor`: looks at everything that Freeside needs, and says what to do next.
//!
//! What always holds: it changes nothing, each look ends within a few seconds, and no secret is printed, not even out
//! of a driver's message. A process that already runs is no fault: doctor may be called beside it.

mod local;
mod network;
mod storage;

use std::time::Duration;

use serde::Serialize;

use super::console::{Console, Tone, width};
use super::{Exit, block_on};
use crate::config::{Role, Settings, Source};

/// One look at something outside may take this long: as long as a request would wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a look ended, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Warn,
    Fail,
}

/// One look.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    outcome: Outcome,
    /// What was seen.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Check {
    fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Ok, detail: detail.into(), next: None }
    }

    fn warn(name: &str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Warn, detail: detail.into(), next: Some(next.into()) }
    }

    fn fail(name: &str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Fail, detail: detail.into(), next: Some(next.into()) }
    }
}

pub(super) fn run(source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let checks = match Settings::read(source) {
        Ok(settings) => {
            let search_path = source.get("PATH").map(Into::into);
            block_on(look(&settings, search_path))?
        }
        // Without settings there is nothing to look at, but each fault has a line of its own.
        Err(faults) => faults
            .0
            .into_iter()
            .map(|fault| {
                Check::fail("configuration", format!("{} {}", fault.variable, fault.problem), fault.fix)
            })
            .collect(),
    };
    let worst = checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Ok);
    if console.json {
        console.json(&serde_json::json!({"outcome": worst, "checks": checks}))?;
    } else {
        print(&checks, worst, console)?;
    }
    Ok(match worst {
        Outcome::Ok => Exit::Done,
        Outcome::Warn => Exit::Failed,
        Outcome::Fail => Exit::Misconfigured,
    })
}

async fn look(settings: &Settings, search_path: Option<std::ffi::OsString>) -> Vec<Check> {
    let mut checks = local::configuration(settings);
    checks.push(storage::data_folder(settings));
    let clock = types::Clock::system();
    if settings.roles.keep_books() {
        checks.extend(storage::database(settings, &clock, search_path).await);
        checks.push(local::keys(settings, &clock));
    }
    checks.push(local::clock(&clock));
    if settings.roles.has(Role::Gateway) {
        checks.push(network::port("gateway port", "FREESIDE_LISTEN", settings.listen).await);
    }
    if settings.roles.has(Role::Finn) {
        checks.push(network::port("engine port", "FINN_LISTEN", settings.finn_listen).await);
        checks.push(local::providers(settings));
    }
    checks.push(network::redis(settings).await);
    checks.push(network::nats(settings).await);
    checks
}

fn print(checks: &[Check], worst: Outcome, console: &mut Console<'_>) -> anyhow::Result<()> {
    let name_width = width(checks.iter().map(|check| check.name.as_str()));
    for check in checks {
        let (tone, word) = match check.outcome {
            Outcome::Ok => (Tone::Good, "ok  "),
            Outcome::Warn => (Tone::Warning, "warn"),
            Outcome::Fail => (Tone::Bad, "FAIL"),
        };
        let word = console.paint(tone, word);
        let indent = " ".repeat(name_width + 8);
        let detail = check.detail.replace('\n', &format!("\n{indent}"));
        console.line(&format!("{word}  {:name_width$}  {detail}", check.name))?;
        if let Some(next) = &check.next {
            let next = format!("→ {}", next.replace('\n', &format!("\n{indent}  ")));
            console.line(&format!("{indent}{}", console.paint(Tone::Strong, &next)))?;
        }
    }
    let verdict = match worst {
        Outcome::Ok => "Everything is in order.",
        Outcome::Warn => "Freeside will run; the lines marked warn say what it will lack.",
        Outcome::Fail => "Freeside will not run until the lines marked FAIL are mended.",
    };
    Ok(console.line(&format!("\n{verdict}"))?)
}
