//! `make fuzz`: the targets below `fuzz/`, each for a while, with cargo-fuzz on the pinned toolchain.
//!
//! What was found interesting is kept in the user's cache, so that each run starts where the last one ended; what
//! breaks a target is kept below `fuzz/artifacts`, and the command that shows it again is printed.
//! Deliberately absent: a memory sanitizer. Our code forbids `unsafe`, so it would halve the speed and find nothing.

use anyhow::{Context as _, bail};

use crate::install::{self, Need};
use crate::shell::{self, step};

/// See [`install::cargo_tool`].
const CARGO_FUZZ: &str = "0.13.2";
/// The largest body that a door of ours reads.
const MAX_INPUT_BYTES: u32 = 64 * 1024;
/// No reader needs a tenth of it for an input of that size.
const MAX_INPUT_SECONDS: u32 = 5;
/// libFuzzer itself takes about a hundred.
const MAX_MEMORY_MB: u32 = 1_024;

/// Runs the named targets, or all, also after one broke.
pub(crate) fn fuzz(seconds: u32, named: &[String]) -> anyhow::Result<()> {
    install::ensure(&[Need::Compiler])?;
    let program = install::cargo_tool("cargo-fuzz", CARGO_FUZZ)?;
    let all = targets()?;
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}: {}", all.join(", "));
    }
    let chosen = if named.is_empty() { &all[..] } else { named };
    let mut broken = Vec::new();
    for target in chosen {
        println!("== {target}, {seconds} s");
        let corpus = shell::cache()?.join("fuzz").join(target);
        std::fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let seeds = shell::root().join("fuzz/seeds").join(target);
        let run =
            step(&program, ["fuzz", "run", "--sanitizer", "none", "--fuzz-dir", "fuzz", "--target-dir"])
                .args(["target/fuzz", target])
                .args([corpus])
                .args(seeds.is_dir().then_some(seeds))
                .args(["--".to_owned(), format!("-max_total_time={seconds}")])
                .args([format!("-max_len={MAX_INPUT_BYTES}"), format!("-timeout={MAX_INPUT_SECONDS}")])
                .args([format!("-rss_limit_mb={MAX_MEMORY_MB}"), "-print_final_stats=1".to_owned()])
                .args(["-verbosity=0"])
                // Coverage counters are an unstable option of a stable compiler.
                .env("RUSTC_BOOTSTRAP", "1")
                .run();
        if let Err(error) = run {
            eprintln!("{target}: {error:#}");
            broken.push(target.as_str());
        }
    }
    if !broken.is_empty() {
        bail!("broken: {}", broken.join(", "));
    }
    println!("{} targets, {seconds} s each: nothing found", chosen.len());
    Ok(())
}

/// A target is a file.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        targets.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    targets.sort();
    Ok(targets)
}
