//! `make bench`: the benchmark crate, on a release build.

use crate::install::{self, Need};
use crate::{assets, shell};

/// Builds the product and the crate `bench`, and runs it: without arguments everything, written to `docs/benchmarks.md`.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    install::ensure(&[Need::Postgres])?;
    assets::build()?;
    // One package selection for both: another one would unify features anew and build everything twice.
    shell::cargo(["build", "--release", "--locked", "--package", "bench", "--package", "server"]).run()?;
    let program = shell::built("../release/bench")?;
    let everything = ["all".to_owned()];
    let arguments = if arguments.is_empty() { &everything[..] } else { arguments };
    shell::step(program, arguments).run()
}
