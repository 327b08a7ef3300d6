//! `make release`: `freeside` as it is shipped, compiled twice. The first one counts what it does while `bench train` makes
//! it work; by these counts the second one lies in memory with what every answer needs side by side.
//!
//! Freeside waits for its own instructions more than for anything else: this is worth more than any change to its code was
//! (`docs/benchmarks-notes.md`). What always holds: both have the same profile and features, or the counts would name
//! functions that are not there; build scripts are not counted. Counts are taken anew when the code changed.
//! Deliberately absent: the benchmark is compiled without counts, so that its own work stays comparable.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::assets;
use crate::install::{self, Need};
use crate::shell::{self, cargo, step};

/// Beside `release`, in the target folder.
const FOLDER: &str = "guided";
const PROGRAM: &str = "freeside";

/// Builds `freeside` and `bench` into the target folder's `release`.
pub(crate) fn release() -> anyhow::Result<()> {
    install::ensure(&[Need::Postgres, Need::LlvmTools])?;
    assets::build()?;
    cargo(["build", "--release", "--locked", "--package", "bench"]).run()?;
    let bench = shell::built("../release/bench")?;
    let folder = shell::built(&format!("../{FOLDER}"))?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize()?;

    let (raw, counts) = (folder.join("raw"), folder.join("counts.profdata"));
    println!("release   1 of 3: a freeside that counts what it does");
    let counting = build(&folder.join("counting"), "profile-generate", &raw)?;
    if is_older(&counts, &counting) {
        println!("release   2 of 3: half a minute of every journey");
        if raw.exists() {
            std::fs::remove_dir_all(&raw)?;
        }
        step(bench, ["train", "--freeside"]).args([&counting]).quiet().run()?;
        merge(&raw, &counts)?;
    } else {
        println!("release   2 of 3: nothing to count anew");
    }
    println!("release   3 of 3: freeside, guided by the counts");
    let guided = build(&folder.join("guided"), "profile-use", &counts)?;
    let shipped = shell::built("../release")?.canonicalize()?.join(PROGRAM);
    // Not over the old one: it may be running, or be a link to what cargo keeps.
    let fresh = shipped.with_extension("fresh");
    std::fs::copy(&guided, &fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
    std::fs::rename(&fresh, &shipped)?;
    println!("release   {}", shipped.display());
    Ok(())
}

/// Compiles `freeside` in a folder of its own. `--target` keeps the flag away from build scripts and procedural macros.
fn build(folder: &Path, flag: &str, value: &Path) -> anyhow::Result<PathBuf> {
    let value = value.to_str().context("the target folder's name is not UTF-8")?;
    cargo(["build", "--release", "--locked", "--package", "server", "--target", "host-tuple"])
        .env("CARGO_TARGET_DIR", folder)
        .without("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", format!("-C{flag}={value}"))
        .run()?;
    Ok(folder.join(install::host()?).join("release").join(PROGRAM))
}

/// One file of counts from those that each process left.
fn merge(raw: &Path, counts: &Path) -> anyhow::Result<()> {
    ensure!(
        raw.read_dir().is_ok_and(|mut files| files.next().is_some()),
        "no process left its counts in {}: was it killed?",
        raw.display()
    );
    let fresh = counts.with_extension("fresh");
    step(install::llvm_profdata()?, ["merge", "--output"]).args([&fresh]).args([raw]).run()?;
    std::fs::rename(&fresh, counts)?;
    Ok(())
}

/// Whether a file is missing, or was written before another one.
fn is_older(file: &Path, than: &Path) -> bool {
    let written = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    written(file) < written(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_anew_when_the_program_is_newer_or_they_are_missing() {
        let folder = std::env::temp_dir().join(format!("freeside-release-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.join(name));
        std::fs::write(&old, "").unwrap();
        let later = old.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
        std::fs::File::create(&new).unwrap().set_modified(later).unwrap();
        assert!(is_older(&old, &new) && !is_older(&new, &old));
        assert!(is_older(&folder.join("missing"), &old));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn without_counts_there_is_nothing_to_merge() {
        let error = merge(Path::new("/nowhere/at/all"), Path::new("/nowhere/counts")).unwrap_err();
        assert!(error.to_string().starts_with("no process left its counts"), "{error}");
    }
}
