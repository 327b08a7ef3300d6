//! `make screenshots`: pictures of every page into `docs/screenshots/`, from a server of its own with data in it.
//!
//! What is taken stands in `end2end/browser/lib/scenes.mjs`. The server listens where a first `make run` would, so that
//! the addresses on the pictures are those that a reader will see. Its data folder is fresh, and gone at the end.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::install::{self, Need};
use crate::{assets, sdk, shell};

/// Where the pictures lie.
const FOLDER: &str = "docs/screenshots";
/// The server's default, which is also what the README says.
const ADDRESS: &str = "127.0.0.1:3000";
/// The last line that `serve` prints when it is ready.
const LAST_LINE: &str = "Ctrl-C stops it";

/// Takes all pictures, or those of these scenes.
pub(crate) fn screenshots(scenes: &[String]) -> anyhow::Result<()> {
    install::ensure(&[Need::Postgres, Need::Chromium])?;
    assets::build()?;
    let folder = shell::root().join(sdk::BROWSER);
    sdk::npm(&folder)?;
    shell::cargo(["build", "--workspace", "--locked", "--bin", "freeside"]).run()?;
    let server = Server::start(&shell::built("freeside")?)?;
    let base = format!("http://{ADDRESS}");
    let program = folder.join("screenshots.mjs");
    let taken = shell::step("node", [program]).args(["--base", &base, "--out", FOLDER]).args(scenes).run();
    server.stop()?;
    taken
}

/// A server and its data. Dropped, both are gone.
struct Server {
    child: Child,
    data: PathBuf,
}

impl Server {
    /// Starts it and waits until it is ready.
    fn start(program: &Path) -> anyhow::Result<Self> {
        let data = std::env::temp_dir().join(format!("freeside-screenshots-{}", std::process::id()));
        let mut command = shell::step(program, ["serve"])
            .env("FREESIDE_DATA_DIR", &data)
            .env("FREESIDE_LISTEN", ADDRESS)
            .env("FINN_LISTEN", "127.0.0.1:0")
            .env("FREESIDE_SIMULATOR_LISTEN", "127.0.0.1:0")
            .env("FREESIDE_SCRIPTED_PACE_MS", "0")
            .into_command();
        // What a developer has set for the server of the day is not for this one.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text == "DATABASE_URL" || text == "REDIS_URL" || text == install::CHROMIUM_VARIABLE {
                command.env_remove(&name);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut server =
            Self { child: child.with_context(|| format!("cannot start {}", program.display()))?, data };
        let said = server.child.stdout.take().context("a pipe was asked for")?;
        let mut lines = BufReader::new(said).lines();
        while let Some(line) = lines.next().transpose()? {
            if line.contains(LAST_LINE) {
                // It says nothing more; were the pipe closed, a word of it would end it.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(server);
            }
        }
        bail!("the server ended before it was ready; does another one listen on {ADDRESS}?")
    }

    /// Stops it as an operator would: it stops its PostgreSQL too.
    fn stop(mut self) -> anyhow::Result<()> {
        self.ask_to_stop()?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    fn ask_to_stop(&self) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a stop it has ended, and the number may be somebody else's.
        if matches!(self.child.try_wait(), Ok(None)) && self.ask_to_stop().is_ok() {
            let _ = self.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
