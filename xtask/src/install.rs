//! What the machine must have, and how it gets it.
//!
//! Looking is cheap (files and the path); only what is missing is installed, with a line for each.
//! Root installs by itself, others through sudo; without sudo the exact command is printed and nothing is changed.
//! No Debian package is asked for when the program is there by other means.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::shell::{self, step};

/// One thing that a task cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `initdb`, `postgres`: the embedded database and the tests.
    Postgres,
    /// `curl`: the command that the server prints is there to be pasted.
    Curl,
    /// `redis-server`: tests of what is shared between processes.
    Redis,
    /// `python3` with `venv`: the Python SDKs.
    Python,
    /// `node` and `npm`: the JavaScript SDKs, and what drives a browser.
    Node,
    /// Chromium, or Chrome: journeys through the pages.
    Chromium,
    /// `git`, `tar` and `xz`: an advisory snapshot.
    Git,
    /// `c++`: libFuzzer is compiled with the fuzz targets.
    Compiler,
    /// The wasm target of the pinned toolchain.
    Wasm,
    /// `llvm-profdata` of the pinned toolchain: another version's cannot read what its programs count.
    LlvmTools,
}

impl Need {
    fn is_there(self) -> bool {
        let on_path = |programs: &[&str]| programs.iter().all(|program| shell::which(program).is_some());
        match self {
            Self::Postgres => {
                let named =
                    std::env::var_os("FREESIDE_POSTGRES_BIN").is_some_and(|folder| !folder.is_empty());
                named || on_path(&["initdb", "postgres"]) || debian_postgres().is_some()
            }
            Self::Curl => on_path(&["curl"]),
            Self::Redis => on_path(&["redis-server"]),
            Self::Python => {
                on_path(&["python3"])
                    && step("python3", ["-c", "import ensurepip, venv"])
                        .into_command()
                        .output()
                        .is_ok_and(|it| it.status.success())
            }
            Self::Node => on_path(&["node", "npm"]),
            Self::Chromium => {
                std::env::var_os(CHROMIUM_VARIABLE).is_some_and(|program| !program.is_empty())
                    || CHROMIUM.iter().any(|program| shell::which(program).is_some())
            }
            Self::Git => on_path(&["git", "tar", "xz"]),
            Self::Compiler => on_path(&["c++"]),
            Self::Wasm => sysroot().is_none_or(|root| root.join("lib/rustlib").join(WASM).is_dir()),
            Self::LlvmTools => llvm_profdata().is_ok_and(|program| program.is_file()),
        }
    }

    /// Debian's packages, and why they are wanted.
    fn packages(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Postgres => (&["postgresql"], "the embedded database"),
            Self::Curl => (&["curl", "ca-certificates"], "the command that the server prints"),
            Self::Redis => (&["redis-server"], "tests of what processes share"),
            Self::Python => (&["python3", "python3-venv"], "tests with the Python SDKs"),
            // npm is a package of its own in Debian, and part of nodejs elsewhere: ask only for what is missing.
            Self::Node if shell::which("node").is_some() => (&["npm"], "tests with the JavaScript SDKs"),
            Self::Node => (&["nodejs", "npm"], "tests with the JavaScript SDKs"),
            // Fonts are only recommended by the package, and without one a page is a row of empty boxes.
            Self::Chromium => {
                (&["chromium", "fonts-noto-core", "fonts-noto-mono"], "journeys through the pages")
            }
            Self::Git => (&["git", "tar", "xz-utils"], "the advisory snapshot"),
            Self::Compiler => (&["g++"], "libFuzzer"),
            Self::Wasm => (&[], "what runs in browsers"),
            Self::LlvmTools => (&[], "a build that is guided by counts"),
        }
    }
}

const WASM: &str = "wasm32-unknown-unknown";
/// The component of rustup that has `llvm-profdata`.
const LLVM_TOOLS: &str = "llvm-tools";

/// Names a browser that is not on the path.
pub(crate) const CHROMIUM_VARIABLE: &str = "FREESIDE_CHROMIUM";
/// What its program is called, here and there; `end2end/browser/lib/chromium.mjs` looks for the same.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// Debian's package makes and starts a cluster of its own unless this file says otherwise; ours is private.
const NO_MAIN_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/freeside.conf";

/// A folder of Debian's PostgreSQL, which is not on the path.
fn debian_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .find(|folder| folder.join("initdb").is_file())
}

/// The folder of the toolchain that runs this: cargo says where it lies itself.
fn sysroot() -> Option<PathBuf> {
    let cargo = PathBuf::from(std::env::var_os("CARGO")?);
    cargo.parent()?.parent().filter(|root| root.join("lib/rustlib").is_dir()).map(Path::to_owned)
}

/// The name of this machine's target, as `rustc` says it.
pub(crate) fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = step(rustc, ["-vV"]).into_command().output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Where the toolchain has its `llvm-profdata`, when it has it.
pub(crate) fn llvm_profdata() -> anyhow::Result<PathBuf> {
    let root = sysroot().context("cannot tell where the toolchain lies")?;
    Ok(root.join("lib/rustlib").join(host()?).join("bin/llvm-profdata"))
}

/// A cargo subcommand of this very version: compiled from source once and kept in the user's cache.
pub(crate) fn cargo_tool(name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let folder = shell::cache()?.join("tools").join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    if !program.is_file() {
        println!("install   {name} {version}: compiled once, a few minutes");
        // Its own temporary target folder: ours stays as it is.
        shell::cargo(["install", "--locked", "--quiet", name, "--version", version, "--root"])
            .args([&folder])
            .without("CARGO_TARGET_DIR")
            .run()?;
    }
    Ok(program)
}

/// Installs whichever of `needs` is missing.
pub(crate) fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let mut packages = Vec::new();
    for need in needs.iter().copied().filter(|need| !need.is_there()) {
        let (names, reason) = need.packages();
        if need == Need::Wasm {
            println!("install   rust target {WASM}: {reason}");
            step("rustup", ["target", "add", WASM]).run().context(
                "without rustup, add the wasm target of your Rust by hand (Debian: libstd-rust-dev-wasm32)",
            )?;
        } else if need == Need::LlvmTools {
            println!("install   rust component {LLVM_TOOLS}: {reason}");
            step("rustup", ["component", "add", LLVM_TOOLS]).run().with_context(|| {
                format!("without rustup, put the component {LLVM_TOOLS} of your Rust into its folder by hand")
            })?;
        } else {
            println!("install   {}: {reason}", names.join(", "));
            packages.extend_from_slice(names);
        }
    }
    if packages.is_empty() { Ok(()) } else { apt(&packages) }
}

fn apt(packages: &[&str]) -> anyhow::Result<()> {
    if shell::which("apt-get").is_none() {
        bail!("this machine has no apt-get; install by your own means: {}", packages.join(", "));
    }
    let sudo = match (nix::unistd::Uid::effective().is_root(), shell::which("sudo")) {
        (true, _) => false,
        (false, Some(_)) => true,
        (false, None) => {
            bail!("neither root nor sudo: run this as root, then try again:\n  {}", by_hand(packages));
        }
    };
    let as_root = |line: &[&str]| {
        let words = if sudo { [&["sudo"], line].concat() } else { line.to_vec() };
        step(words[0], &words[1..]).env("DEBIAN_FRONTEND", "noninteractive").quiet().run()
    };
    if packages.contains(&"postgresql") && !Path::new(NO_MAIN_CLUSTER).exists() {
        as_root(&["sh", "-c", &no_main_cluster()])?;
    }
    // Lists are fetched only when the first try cannot find a package: a fresh machine has none, and old ones miss.
    if as_root(&[&["apt-get"], APT, packages].concat()).is_err() {
        println!("update    package lists");
        as_root(&["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq", "update"])?;
        as_root(&[&["apt-get"], APT, packages].concat())?;
    }
    println!("installed {}", packages.join(", "));
    Ok(())
}

/// Another apt may be at work: wait for it, up to five minutes.
const APT: &[&str] = &["-o", "DPkg::Lock::Timeout=300", "-qq", "install", "-y", "--no-install-recommends"];

fn no_main_cluster() -> String {
    let folder = Path::new(NO_MAIN_CLUSTER).parent().expect("a file in a folder").display();
    format!("mkdir -p {folder} && echo 'create_main_cluster = false' > {NO_MAIN_CLUSTER}")
}

/// What a person without sudo asks an administrator to run.
fn by_hand(packages: &[&str]) -> String {
    let install =
        format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
    if packages.contains(&"postgresql") { format!("{} && {install}", no_main_cluster()) } else { install }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed() {
        // The tests run under cargo, on a machine that built them: git may be missing, a toolchain is not.
        assert!(sysroot().is_none_or(|root| root.join("bin").is_dir()));
        ensure(&[]).unwrap();
    }

    #[test]
    fn the_command_for_an_administrator_makes_no_cluster() {
        let line = by_hand(&["curl", "postgresql"]);
        assert!(line.contains("create_main_cluster = false"), "{line}");
        assert!(line.ends_with("apt-get install -y --no-install-recommends curl postgresql"), "{line}");
        assert!(!by_hand(&["curl"]).contains("cluster"));
    }
}
