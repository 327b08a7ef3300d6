//! One PostgreSQL for all test processes of a run, instead of one for each.
//!
//! The program is a binary of the crate `testing`, so that xtask itself stays small: it is what everybody compiles first.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, bail};

use crate::shell;

/// What the tests are told.
pub(crate) const VARIABLE: &str = "FREESIDE_TEST_CLUSTER_SOCKET";

/// Runs until it is dropped.
pub(crate) struct TestCluster {
    child: Child,
    /// The socket's file.
    pub(crate) socket: String,
}

impl TestCluster {
    /// Builds the program and waits until its PostgreSQL is ready.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (cluster, _) = Self::launch(&[])?;
        Ok(cluster)
    }

    /// The same, with a fresh, migrated database in it, and its URL for the application's role.
    pub(crate) fn start_with_database() -> anyhow::Result<(Self, String)> {
        let (cluster, mut output) = Self::launch(&["--database"])?;
        let url = read_line(&mut output)?;
        if url.is_empty() {
            bail!("no database for the statements; the program's words are above");
        }
        Ok((cluster, url))
    }

    fn launch(arguments: &[&str]) -> anyhow::Result<(Self, BufReader<ChildStdout>)> {
        shell::cargo(["build", "--workspace", "--locked", "--bin", "test-cluster"]).run()?;
        let program = shell::built("test-cluster")?;
        let mut command = shell::step(&program, arguments).into_command();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start it")?;
        let mut output = BufReader::new(child.stdout.take().expect("stdout was piped above"));
        let socket = read_line(&mut output)?;
        if socket.is_empty() {
            bail!("PostgreSQL for the tests does not start ({}); its words are above", child.wait()?);
        }
        Ok((Self { child, socket }, output))
    }
}

fn read_line(output: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // The end of its input is its sign to stop; how it ends changes nothing about the tests.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
