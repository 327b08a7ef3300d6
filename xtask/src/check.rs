//! `make check`: everything that a machine can say about a change without running it.
//!
//! Every step runs, also after one failed, so that one run names all faults; the table at the end says which.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::install::{self, Need};
use crate::shell::{self, cargo};
use crate::sql;
use crate::{advisories, assets, weigh};

/// A name and what it runs.
type Step = (&'static str, fn() -> anyhow::Result<()>);

/// Runs all steps.
pub(crate) fn check() -> anyhow::Result<()> {
    install::ensure(&[Need::Wasm])?;
    let steps: [Step; 9] = [
        ("fmt", || cargo(["fmt", "--all", "--check"]).run()),
        // Before clippy: what browsers run becomes part of `app`.
        ("assets", assets::build),
        ("weight", weigh::weigh),
        ("clippy", || {
            cargo([
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "--deny",
                "warnings",
            ])
            .run()
        }),
        ("wasm", || {
            // The words must build for the browser: that is why they have a crate of their own.
            let target = ["--target", "wasm32-unknown-unknown", "--no-default-features"];
            cargo(["check", "--package", "types", "--locked", "--quiet"]).args(target).run()?;
            let lint = ["clippy", "--package", "frontend", "--locked", "--quiet"];
            cargo(lint).args(["--target", "wasm32-unknown-unknown", "--", "--deny", "warnings"]).run()
        }),
        ("docs", || {
            let doc = ["doc", "--workspace", "--no-deps", "--locked", "--quiet", "--document-private-items"];
            cargo(doc).env("RUSTDOCFLAGS", "-D warnings").run()
        }),
        ("sql", sql::check),
        ("deny", deny),
        // The whole workspace is selected so that dependencies are those which `make test` compiles.
        ("tidy", || cargo(["test", "--workspace", "--locked", "--quiet", "--test", "tidy"]).run()),
    ];

    let mut table = Vec::new();
    for (name, run) in steps {
        println!("== {name}");
        let started = Instant::now();
        let outcome = run();
        if let Err(error) = &outcome {
            eprintln!("{name}: {error:#}");
        }
        table.push((name, started.elapsed(), outcome.is_ok()));
    }
    println!();
    for (name, took, passed) in &table {
        println!("{}", row(name, *took, *passed));
    }
    let failed: Vec<_> = table.iter().filter(|(_, _, passed)| !passed).map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        bail!("not in order: {}", failed.join(", "));
    }
    Ok(())
}

fn row(name: &str, took: Duration, passed: bool) -> String {
    format!("{name:<8}{:>8.1} s  {}", took.as_secs_f64(), if passed { "ok" } else { "FAILED" })
}

/// See [`install::cargo_tool`].
const CARGO_DENY: &str = "0.20.2";

/// Licences, bans, sources and known vulnerabilities of what we depend on.
fn deny() -> anyhow::Result<()> {
    let program = install::cargo_tool("cargo-deny", CARGO_DENY)?;
    let snapshot = match advisories::named()? {
        Some(snapshot) => Some(snapshot),
        // The live database first; what was unpacked here before, when it cannot be reached.
        None if shell::step(&program, ["fetch", "db"]).run().is_ok() => None,
        None => Some(advisories::kept()?),
    };
    // It reads every package of the lock file, those of other systems too, which no build here downloads.
    shell::cargo(["fetch", "--locked", "--quiet"]).run()?;
    let mut deny = shell::step(&program, ["--locked"]);
    if let Some(snapshot) = snapshot {
        println!("advisories: the snapshot {}", snapshot.name);
        deny = deny.args(["--offline", "--config"]).args([&snapshot.config]);
    }
    deny.args(["check", "--hide-inclusion-graph"]).run()
}
