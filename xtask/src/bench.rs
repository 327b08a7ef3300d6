//! `make bench`: the benchmark crate, on a release build.

use anyhow::bail;

use crate::install::{self, Need};
use crate::shell;

/// Runs the crate `bench`, which prints the machine and its load beside every figure.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    if !shell::root().join("crates/bench/Cargo.toml").is_file() {
        bail!("there is no benchmark yet: it will be the crate `crates/bench`");
    }
    install::ensure(&[Need::Postgres])?;
    shell::cargo(["run", "--release", "--locked", "--package", "bench", "--"]).args(arguments).run()
}
