//! The vendors' own SDKs, at pinned versions, for the tests that speak to the server with them; and what drives a
//! browser for those that look at its pages.
//!
//! Python's lie in an environment in the user's cache, JavaScript's beside their test. Each keeps a copy of the
//! list it was made from: as long as that equals the list in the repository, nothing is installed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::install::{self, Need};
use crate::shell::{self, step};

/// The journeys through the pages.
pub(crate) const BROWSER: &str = "end2end/browser";

/// Makes or renews all of it where the repository has a list for them.
pub(crate) fn setup() -> anyhow::Result<()> {
    python()?;
    node()
}

/// What the tests are told: the interpreter that has the SDKs.
pub(crate) fn variables() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let interpreter = environment()?.join("bin/python");
    Ok(if interpreter.exists() { vec![("FREESIDE_TEST_PYTHON", interpreter)] } else { Vec::new() })
}

fn environment() -> anyhow::Result<PathBuf> {
    Ok(shell::cache()?.join("venv"))
}

fn python() -> anyhow::Result<()> {
    let list = shell::root().join("end2end/sdk/python/requirements.txt");
    let folder = environment()?;
    let stamp = folder.join(".made-from");
    if !list.is_file() || same(&list, &stamp) {
        return Ok(());
    }
    install::ensure(&[Need::Python])?;
    println!("install   Python SDKs into {}", folder.display());
    // `--clear`: an environment whose interpreter is gone is made anew.
    step("python3", ["-m", "venv", "--clear"]).args([&folder]).run()?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    step(folder.join("bin/python"), pip).args([&list]).run()?;
    keep(&list, &stamp)
}

fn node() -> anyhow::Result<()> {
    npm(&shell::root().join("end2end/sdk/node"))?;
    npm(&shell::root().join(BROWSER))
}

/// Installs what a folder's `package-lock.json` lists, beside it.
pub(crate) fn npm(folder: &Path) -> anyhow::Result<()> {
    let list = folder.join("package-lock.json");
    let stamp = folder.join("node_modules/.made-from");
    if !list.is_file() || same(&list, &stamp) {
        return Ok(());
    }
    install::ensure(&[Need::Node])?;
    println!("install   JavaScript packages into {}", folder.display());
    step("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]).within(folder).quiet().run()?;
    keep(&list, &stamp)
}

fn same(list: &Path, stamp: &Path) -> bool {
    matches!((std::fs::read(list), std::fs::read(stamp)), (Ok(list), Ok(stamp)) if list == stamp)
}

/// Written last: an installation that was cut short is done again.
fn keep(list: &Path, stamp: &Path) -> anyhow::Result<()> {
    // npm makes no folder when there is nothing to install.
    let folder = stamp.parent().expect("a stamp lies in a folder");
    std::fs::create_dir_all(folder)?;
    std::fs::copy(list, stamp).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(())
}
