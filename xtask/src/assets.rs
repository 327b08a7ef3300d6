//! What browsers run: our crates for them as wasm, bound and made small, in `dist/`.
//!
//! `app/build.rs` takes it from there: it hashes, compresses and embeds. What always holds: cargo decides what has to
//! be compiled again, and a module is bound anew only when its bytes changed, so that a second run costs a moment.
//! A crate that has no `boot.js` yet is passed over. Deliberately absent: hashes, compression, a server.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::install::{self, Need};
use crate::sdk;
use crate::shell::{self, cargo, step};

/// Crates for the browser; those with a [`BOOT`] have a `cdylib`.
const PACKAGES: &[&str] = &["frontend", "widget"];
/// The profile of the root `Cargo.toml` that is made for size.
const PROFILE: &str = "wasm-release";
const TARGET: &str = "wasm32-unknown-unknown";
/// Where `wasm-opt` comes from: Debian's own corrupts what it writes.
const BINARYEN: &str = "xtask/binaryen";
/// Shortens what those two leave; the widget brings it, and every module goes through it.
const SHRINK: &str = "widget/shrink.mjs";
/// A crate's own script that starts its module; it follows the glue in the same file, so that a page loads one.
const BOOT: &str = "boot.js";
/// What a crate for the browser may have beside its module; served as it is.
const BESIDE: &[&str] = &["loader.js", "panel.css", "refused.js"];
/// Goes into the stamps: raise it when the way from wasm to `dist/` changes.
const RECIPE: &str = "3";

/// Builds what is out of date.
pub(crate) fn build() -> anyhow::Result<()> {
    install::ensure(&[Need::Wasm])?;
    let started = |package: &&&str| shell::root().join(package).join(BOOT).is_file();
    let packages: Vec<&str> = PACKAGES.iter().filter(started).copied().collect();
    // One after the other: built together, each would get the features that the other asks of their common crates, and
    // the widget has no standard library.
    for package in &packages {
        let line = ["rustc", "--locked", "--quiet", "--profile", PROFILE, "--target", TARGET, "--lib"];
        // Beside a library there is no link-time optimisation.
        cargo(line).args(["--package", package, "--crate-type", "cdylib"]).run()?;
    }
    let built = target()?.join(TARGET).join(PROFILE);
    let dist = shell::root().join("dist");
    std::fs::create_dir_all(&dist)?;
    for package in packages {
        bind(package, &built.join(format!("{package}.wasm")), &dist)?;
    }
    Ok(())
}

/// The folder that cargo builds into: this program lies in `debug` below it.
fn target() -> anyhow::Result<PathBuf> {
    let program = shell::built("xtask")?;
    let profile = program.parent().context("a program lies in a folder")?;
    Ok(profile.parent().context("and that in the target folder")?.to_owned())
}

fn bind(package: &str, module: &Path, dist: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let sources = shell::root().join(package);
    let boot = std::fs::read_to_string(sources.join(BOOT))?;
    for file in BESIDE.iter().filter(|file| sources.join(file).is_file()) {
        refresh(&dist.join(file), &std::fs::read(sources.join(file))?)?;
    }
    let stamp = dist.join(format!(".{package}.made-from"));
    let shrink = std::fs::read_to_string(shell::root().join(SHRINK))?;
    let made_from = format!("{RECIPE} {shrink} {} {boot}", STANDARD.encode(Sha256::digest(&bytes)));
    if std::fs::read_to_string(&stamp).is_ok_and(|before| before == made_from) {
        return Ok(());
    }
    println!("assets    {package}");
    install::ensure(&[Need::Node])?;
    sdk::npm(&shell::root().join(BINARYEN))?;
    let scratch = module.with_file_name(format!("{package}-bound"));
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).web(true)?.typescript(false);
    bindgen.remove_producers_section(true).omit_default_module_path(false);
    bindgen.generate(&scratch)?;
    let name = format!("{package}_bg.wasm");
    let (optimised, glue) = (scratch.join("optimised.wasm"), format!("{package}.js"));
    // The names of functions are a third of a module, and a browser shows them to nobody but us.
    step("node", [shell::root().join(BINARYEN).join("node_modules/binaryen/bin/wasm-opt")])
        .args([scratch.join(&name)])
        .args(["-Oz", "--strip-debug", "--strip-producers", "--output"])
        .args([&optimised])
        .run()?;
    let text = std::fs::read_to_string(scratch.join(&glue))?;
    let whole = scratch.join("whole.js");
    std::fs::write(&whole, format!("{text}\n{boot}"))?;
    step("node", [shell::root().join(SHRINK)])
        .args([&optimised, &whole, &dist.join(&name), &dist.join(&glue)])
        .run()?;
    std::fs::write(stamp, made_from)?;
    Ok(())
}

/// Writes a file only if it changed: `app` is compiled again when it did.
fn refresh(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if std::fs::read(path).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
