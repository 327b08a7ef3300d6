//! `make bench`: the benchmark crate, and `freeside` as it is shipped.

use crate::install::{self, Need};
use crate::{release, sdk, shell};

/// What looks at pages as on a phone; large, and wanted by nothing else.
const LIGHTHOUSE: &str = "end2end/lighthouse";

/// Builds the product and the crate `bench`, and runs it: without arguments everything, written to `docs/benchmarks.md`.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    release::release()?;
    let program = shell::built("../release/bench")?;
    let everything = ["all".to_owned()];
    let arguments = if arguments.is_empty() { &everything[..] } else { arguments };
    if arguments.iter().any(|argument| argument == "all" || argument == "lighthouse") {
        install::ensure(&[Need::Chromium])?;
        sdk::npm(&shell::root().join(LIGHTHOUSE))?;
    }
    shell::step(program, arguments).run()
}
