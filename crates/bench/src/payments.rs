//! Payments and proof: what a notice costs, how soon it is credit, and what it takes to show that the books are right.
//!
//! Everything is the real thing (ledger, exporter, verifier, guard, `freeside serve`); only what a measurement needs
//! beforehand is written by SQL. Wrong credits or books that disagree end the program with an error; a slow figure never
//! does.

mod notices;
mod proof;

use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::machine;

/// Checks of one notice that are averaged: about half a second.
const CHECKS: u32 = 20_000;
/// Promised for one of them, in µs.
const CHECK_AT_MOST_US: f64 = 50.0;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds in which notices are measured, for each case.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The program that takes the notices; otherwise the `freeside` beside this program.
    #[arg(long)]
    freeside: Option<PathBuf>,
    /// Where the data lie while it runs; a real disk.
    #[arg(long, default_value = "target/bench-payments")]
    folder: PathBuf,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) load_before: String,
    pub(crate) figures: Vec<Figure>,
}

/// One figure, and what is promised of it at most.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) limit: Option<f64>,
}

impl Figure {
    fn at_most(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self { what: what.into(), value, limit: Some(limit) }
    }

    fn plain(what: impl Into<String>, value: f64) -> Self {
        Self { what: what.into(), value, limit: None }
    }

    /// `None`: nothing is promised.
    pub(crate) fn is_kept(&self) -> Option<bool> {
        self.limit.map(|limit| self.value <= limit)
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Report> {
    let load_before = machine::load_average();
    say(&format!("{}, load {load_before}", machine::name()))?;
    // First: memory that something else has freed before would hide what an export takes.
    let mut figures = proof::measure(&options.folder).await?;
    figures.iter().try_for_each(|figure| say(&line(figure)))?;
    let check_us = pay::notice::time_per_notice(CHECKS).as_secs_f64() * 1e6;
    let check =
        Figure::at_most("check of a 2 KiB notice in its dearest form, µs", check_us, CHECK_AT_MOST_US);
    let mut of_notices = vec![check];
    of_notices.extend(notices::measure(&options).await?);
    of_notices.iter().try_for_each(|figure| say(&line(figure)))?;
    figures.splice(0..0, of_notices);
    let report = Report { machine: machine::name(), load_before, figures };
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(report)
}

fn line(figure: &Figure) -> String {
    let (what, value) = (&figure.what, number(figure.value));
    match (figure.limit, figure.is_kept()) {
        (Some(limit), Some(true)) => format!("{what:75} {value:>10}  promised {limit:>6.0}  kept"),
        (Some(limit), _) => format!("{what:75} {value:>10}  promised {limit:>6.0}  MISSED"),
        (None, _) => format!("{what:75} {value:>10}"),
    }
}

/// As many decimals as say something.
pub(crate) fn number(figure: f64) -> String {
    match figure.abs() {
        less if less < 10.0 => format!("{figure:.2}"),
        less if less < 1_000.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}
