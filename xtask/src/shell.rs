//! Running programs and finding folders.
//!
//! A cargo that is started here does not see the variables that `cargo run` gave to this process:
//! build scripts watch some of them, and would compile again each time they come and go.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The root of the repository that runs: copies of one may share a target folder, and with it this program.
pub(crate) fn root() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or(built, PathBuf::from);
    package.parent().expect("xtask lies one folder below the root").to_owned()
}

/// The user's cache folder for this project: tools, environments and databases that outlive a `cargo clean`.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    let folder = base.join("freeside");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Where a program lies, if it is on the path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A binary of the workspace: xtask lies in the same target folder, whatever `CARGO_TARGET_DIR` says.
pub(crate) fn built(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe().context("cannot tell where this program lies")?.with_file_name(name))
}

/// A command that is built step by step and run to its end, in the root of the repository.
pub(crate) struct Step(Command);

/// A program with its arguments.
pub(crate) fn step<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Step {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    Step(command)
}

/// A cargo command of the pinned toolchain.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Step {
    let mut step = step(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_this_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if of_this_package.iter().any(|start| text.starts_with(start)) || text == "CARGO_PRIMARY_PACKAGE" {
            step.0.env_remove(&name);
        }
    }
    step
}

impl Step {
    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Takes a variable away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Works in another folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Keeps what the program says on stdout to itself; its errors are still shown.
    pub(crate) fn quiet(mut self) -> Self {
        self.0.stdout(Stdio::null());
        self
    }

    /// The command, for a caller that reads its output or becomes it.
    pub(crate) fn into_command(self) -> Command {
        self.0
    }

    /// Runs it; anything but success is an error that names the command.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let line = self.line();
        let status = self.0.status().with_context(|| format!("cannot start `{line}`"))?;
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
        Ok(())
    }

    /// The command as one would type it.
    pub(crate) fn line(&self) -> String {
        let program = Path::new(self.0.get_program()).file_name().unwrap_or_default();
        let words = std::iter::once(program).chain(self.0.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command() {
        let error = step("false", ["--really"]).run().unwrap_err();
        assert!(error.to_string().starts_with("`false --really` failed"), "{error}");
        assert!(step("no-such-program-here", [""; 0]).run().is_err());
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
        assert!(which("sh").is_some() && which("no-such-program-here").is_none());
    }
}
