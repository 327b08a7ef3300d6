//! `make mutants`: breaks the money rules on purpose, one place at a time, and asks whether a test notices.
//!
//! Only modules without I/O are broken, and only their own tests run, so that an answer takes seconds and not a database.
//! A mutant that survives is an error: either a test is missing, or the line says nothing. Its outcome lies in
//! `target/mutants/<package>/mutants.out`. Deliberately absent: mutants of anything that talks to the outside.

use std::path::PathBuf;

use anyhow::bail;

use crate::install;
use crate::shell;

/// See [`install::cargo_tool`].
const CARGO_MUTANTS: &str = "27.1.0";
/// A mutant that loops ends here. Its own tests take seconds.
const SECONDS_AT_MOST: &str = "60";
/// A mutant that loops and collects ends here, before it takes the machine's memory from everybody else: 8 GiB of
/// addresses, which the compiler and the linker do not need.
const ADDRESSES_AT_MOST: &str = "--as=8589934592";

/// Modules of one package that are broken together, and what notices.
struct Group {
    package: &'static str,
    files: &'static [&'static str],
    /// Arguments of `cargo test`.
    tests: &'static [&'static str],
    /// Arguments of the tests themselves: which of them run.
    filter: &'static [&'static str],
}

const GROUPS: [Group; 3] = [
    Group {
        package: "ledger",
        files: &[
            "crates/ledger/src/rule.rs",
            "crates/ledger/src/audit_line.rs",
            "crates/ledger/src/audit/seal.rs",
            "crates/ledger/src/verify.rs",
            "crates/ledger/src/verify/line.rs",
        ],
        tests: &["--lib", "--test", "ledger"],
        // The file of a hundred thousand lines takes too long for each of them; the small one has every bit flipped.
        filter: &["rule::", "verify::", "audit", "--skip", "any_damage", "--skip", "checker"],
    },
    Group {
        package: "domain",
        files: &["crates/domain/src/order/rule.rs"],
        tests: &["--lib"],
        filter: &["order::rule::"],
    },
    Group {
        package: "pay",
        files: &[
            "crates/pay/src/json.rs",
            "crates/pay/src/json/*.rs",
            "crates/pay/src/decimal.rs",
            "crates/pay/src/notice.rs",
        ],
        tests: &["--lib", "--test", "pay"],
        filter: &["canonical", "decimal", "json", "notice"],
    },
];

/// Runs them all, or those of some packages; what is given after `--` goes to cargo-mutants (`--shard 1/4`, `--list`).
pub(crate) fn mutants(packages: &[String], arguments: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = packages.iter().find(|name| GROUPS.iter().all(|group| group.package != **name)) {
        let known: Vec<_> = GROUPS.iter().map(|group| group.package).collect();
        bail!("no rules are broken in {unknown}; there are: {}", known.join(", "));
    }
    let program = install::cargo_tool("cargo-mutants", CARGO_MUTANTS)?;
    let mut survived = Vec::new();
    for group in GROUPS
        .iter()
        .filter(|group| packages.is_empty() || packages.iter().any(|package| package == group.package))
    {
        println!("== {}: {}", group.package, group.files.join(", "));
        let output: PathBuf = shell::root().join("target/mutants").join(group.package);
        std::fs::create_dir_all(&output)?;
        let mut step = shell::step("prlimit", [ADDRESSES_AT_MOST])
            .args([&program])
            .args(["mutants", "--package", group.package, "--no-shuffle"])
            .args(["--timeout", SECONDS_AT_MOST, "--output"])
            .args([&output])
            // Each mutant is a build and a link: half of both would be what debuggers read.
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_INCREMENTAL", "1")
            .without("CARGO_TARGET_DIR");
        for file in group.files {
            step = step.args(["--file", file]);
        }
        let step = step.args(arguments).args(["--"]).args(group.tests).args(["--"]).args(group.filter);
        if let Err(error) = step.run() {
            eprintln!("{}: {error:#}", group.package);
            survived.push(group.package);
        }
    }
    if !survived.is_empty() {
        bail!("mutants survived, or did not run, in {}: see target/mutants", survived.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_broken_is_there() {
        for group in &GROUPS {
            for file in group.files {
                let file = shell::root().join(file.trim_end_matches("/*.rs"));
                assert!(file.exists(), "{}", file.display());
            }
        }
    }
}
