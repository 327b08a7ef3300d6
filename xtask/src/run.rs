//! `make run`: install what is missing, build, become `freeside serve`.

use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;

use crate::install::{self, Need};
use crate::{advisories, assets, shell};

/// Builds the server and replaces this process with it, so that Ctrl-C and signals reach it directly.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut needs = vec![Need::Curl, Need::Wasm];
    if std::env::var_os("DATABASE_URL").is_none_or(|url| url.is_empty()) {
        needs.push(Need::Postgres);
    }
    install::ensure(&needs)?;
    assets::build()?;

    // The whole workspace is selected, one binary is built: dependencies get the features that tests use too,
    // and are compiled once for both.
    shell::cargo(["build", "--workspace", "--locked", "--bin", "freeside"]).run()?;

    let binary = shell::built("freeside")?;
    // The server refuses a variable that looks like its own and is not: xtask's stay here.
    let server = shell::step(&binary, ["serve"])
        .args(arguments)
        .without(advisories::VARIABLE)
        .without(install::CHROMIUM_VARIABLE);
    let error = server.into_command().exec();
    Err(error).with_context(|| format!("cannot start {}", binary.display()))
}
