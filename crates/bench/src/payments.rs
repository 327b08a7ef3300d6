//! Payments and proof: what a notice costs, how soon it is credit, and what it takes to show that the books are right.
//!
//! Everything is the real thing (ledger, exporter, verifier, guard, `freeside serve`); only what a measurement needs
//! beforehand is written by SQL. Wrong credits or books that disagree end the program with an error; a slow figure never
//! does.

pub(crate) mod notices;
mod proof;

use std::path::PathBuf;

use serde::Serialize;

use crate::figure::{Figure, say};
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

pub(crate) async fn run(options: Options) -> anyhow::Result<Report> {
    let load_before = machine::load_average();
    say(&format!("{}, load {load_before}", machine::name()))?;
    // First: memory that something else has freed before would hide what an export takes.
    let mut figures = proof::measure(&options.folder).await?;
    figures.iter().try_for_each(|figure| say(&figure.line()))?;
    let check_us = pay::notice::time_per_notice(CHECKS).as_secs_f64() * 1e6;
    let check =
        Figure::at_most("check of a 2 KiB notice in its dearest form, µs", check_us, CHECK_AT_MOST_US);
    let mut of_notices = vec![check];
    of_notices.extend(notices::measure(&options).await?);
    of_notices.iter().try_for_each(|figure| say(&figure.line()))?;
    figures.splice(0..0, of_notices);
    let report = Report { machine: machine::name(), load_before, figures };
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(report)
}
