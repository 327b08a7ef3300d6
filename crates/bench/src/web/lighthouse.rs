//! Lighthouse's scores, of `end2end/lighthouse`: as on a slow phone, in a real browser.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::figure::{Figure, say};

/// From the root of the repository, where benchmarks run.
const PROGRAM: &str = "end2end/lighthouse/run.mjs";
const PACKAGES: &str = "end2end/lighthouse/node_modules/lighthouse";
const PAGES: [&str; 4] = ["/", "/chat/demo/1", "/developers", "/docs"];
/// Promised; the performance on a quiet machine.
const PERFORMANCE_AT_LEAST: f64 = 95.0;
const FULL: f64 = 100.0;

/// What it says of one page.
#[derive(Debug, Deserialize)]
struct Scores {
    path: String,
    performance: f64,
    accessibility: f64,
    best_practices: f64,
    seo: f64,
    /// What took points.
    lacks: Vec<String>,
}

pub(super) async fn measure(address: SocketAddr) -> anyhow::Result<Vec<Figure>> {
    ensure!(Path::new(PACKAGES).exists(), "Lighthouse is not installed; `make bench` installs it");
    let mut command = Command::new("node");
    command.args([PROGRAM, "--base", &format!("http://{address}")]).args(PAGES);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await;
    let output = output.context("cannot start node")?;
    ensure!(output.status.success(), "Lighthouse ended with {}", output.status);
    let mut figures = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let scores: Scores = serde_json::from_str(line).with_context(|| format!("not its scores: {line}"))?;
        scores.lacks.iter().try_for_each(|lacking| say(&format!("{}: {lacking}", scores.path)))?;
        figures.extend(figures_of(&scores));
    }
    ensure!(figures.len() == 4 * PAGES.len(), "Lighthouse left a page out");
    Ok(figures)
}

fn figures_of(scores: &Scores) -> [Figure; 4] {
    let figure =
        |what, score, least| Figure::at_least(format!("Lighthouse, {}, {what}", scores.path), score, least);
    [
        figure("performance", scores.performance, PERFORMANCE_AT_LEAST),
        figure("accessibility", scores.accessibility, FULL),
        figure("best practices", scores.best_practices, FULL),
        figure("SEO", scores.seo, FULL),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_below_its_limit_is_seen() {
        let line =
            r#"{"path":"/","performance":95,"accessibility":100,"best_practices":96,"seo":100,"lacks":[]}"#;
        let scores: Scores = serde_json::from_str(line).expect("as the program writes it");
        let rows: Vec<String> = figures_of(&scores).iter().map(Figure::row).collect();
        assert!(rows[0].ends_with("kept |\n") && rows[2].contains("**missed**"), "{rows:?}");
    }
}
