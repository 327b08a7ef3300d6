//! One PostgreSQL for all test processes of a run, instead of one for each.
//!
//! The program is a binary of the crate `testing`, so that xtask itself stays small: it is what everybody compiles first.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

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
        shell::cargo(["build", "--workspace", "--locked", "--bin", "test-cluster"]).run()?;
        let program = shell::built("test-cluster")?;
        let mut command = shell::step(&program, [""; 0]).into_command();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start it")?;
        let mut socket = String::new();
        BufReader::new(child.stdout.take().expect("stdout was piped above")).read_line(&mut socket)?;
        let socket = socket.trim().to_owned();
        if socket.is_empty() {
            bail!("PostgreSQL for the tests does not start ({}); its words are above", child.wait()?);
        }
        Ok(Self { child, socket })
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // The end of its input is its sign to stop; how it ends changes nothing about the tests.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
