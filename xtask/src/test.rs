//! `make test` and `make test-long`: every test of the workspace, and one sum at the end.
//!
//! The sum is read from what each test binary prints, and the exit code from cargo: a binary that dies without
//! a result, or does not compile, counts as a failure and can never look like a pass.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::install::{self, Need};
use crate::test_cluster::{self, TestCluster};
use crate::{assets, sdk, shell};

/// How long the tests may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Minutes: on each change.
    Short,
    /// As long as it takes: before a release.
    Long,
}

/// Runs them all, those after a failure too. Whatever came of them, the sum is the last word.
pub(crate) fn test(length: Length, arguments: &[String]) -> anyhow::Result<ExitCode> {
    install::ensure(&[Need::Postgres, Need::Redis, Need::Chromium])?;
    sdk::setup()?;
    assets::build()?;

    let started = Instant::now();
    let cluster = TestCluster::start()?;
    let mut step = shell::cargo(["test", "--workspace", "--locked", "--no-fail-fast"]).args(arguments);
    step = step.env(test_cluster::VARIABLE, &cluster.socket);
    if length == Length::Long {
        step = step.env("FREESIDE_TEST_LONG", "1");
    }
    for (name, value) in sdk::variables()? {
        step = step.env(name, value);
    }
    let mut child = step.into_command().stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut sum = Sum::default();
    let output = BufReader::new(child.stdout.take().expect("stdout was piped above"));
    let mut screen = std::io::stdout().lock();
    for line in output.split(b'\n') {
        let mut line = line?;
        sum.read(&String::from_utf8_lossy(&line));
        line.push(b'\n');
        screen.write_all(&line)?;
        screen.flush()?;
    }
    let status = child.wait()?;
    drop(cluster);

    if status.success() && sum.passed == 0 {
        bail!("not one test ran");
    }
    if !status.success() && sum.failed == 0 {
        sum.failed = 1;
        println!(
            "cargo test ended with {status} and no failed test: something did not compile, or died; see above"
        );
    }
    println!("{} ignored, in {} s", sum.ignored, started.elapsed().as_secs());
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all test binaries came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Sum {
    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`; passes over any other.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up_and_other_lines_do_not_count() {
        let mut sum = Sum::default();
        sum.read(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
        );
        sum.read("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s");
        sum.read("test money::tests::it_adds_up ... ok");
        sum.read("9 passed; 9 failed");
        assert_eq!(sum, Sum { passed: 7, failed: 3, ignored: 1 });
    }
}
