//! A cluster for tests: in memory, and gone when the process that started it is.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use cluster::{Address, Cluster, Durability, Search, Settings};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::TestDatabase;
use crate::served::until;

/// Memory, where the machine has such a folder: a template copy is then a copy in RAM.
const MEMORY: &str = "/dev/shm";

/// Room for many tests at once, each with a pool or two.
const CONNECTIONS: u32 = 300;

/// A killed cluster's processes notice within milliseconds; a busy machine may take its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until its input ends, which is when the test process has ended in whatever way; then ends the postmaster that
/// serves the folder by then, and removes the folder. A postmaster that was just being started gets two seconds to write
/// down its number; one that is slower still ends by itself once its folder has gone.
const WATCHER: &str = r#"
cat >/dev/null
for _ in $(seq 20); do
  pid=$(head -n 1 "$1/postgres/postmaster.pid" 2>/dev/null)
  if [ -n "$pid" ]; then kill -QUIT "$pid" 2>/dev/null; break; fi
  [ -d "$1" ] || exit
  sleep 0.1
done
for _ in $(seq 40); do
  [ -e "$1/postgres/postmaster.pid" ] || break
  sleep 0.05
done
rm -rf "$1"
"#;

/// A cluster of its own, for tests that kill PostgreSQL or need its settings to be the product's.
#[derive(Debug)]
pub struct TestCluster {
    cluster: Cluster,
    /// A killed postmaster and the processes that it had, in `/proc`.
    left: Mutex<Vec<PathBuf>>,
    // After the cluster: fields are dropped in order, and the watcher removes what the cluster has left.
    _watcher: ChildStdin,
}

impl TestCluster {
    /// A crash-safe cluster that nobody else uses: PostgreSQL may be killed in it, and what was committed must be there
    /// afterwards.
    pub async fn start_private() -> Self {
        match Self::start(Durability::CrashSafe).await {
            Ok(cluster) => cluster,
            Err(error) => panic!("no test cluster: {error:#}"),
        }
    }

    /// For a runner that starts one cluster for many test processes: see [`super::SHARED_SOCKET`].
    pub async fn start(durability: Durability) -> Result<Self> {
        let folder = folder().context("cannot make a folder for the test cluster")?;
        let search = Search {
            folder: std::env::var_os("FREESIDE_POSTGRES_BIN").map(Into::into),
            path: std::env::var_os("PATH"),
        };
        let settings =
            Settings { search, durability, max_connections: CONNECTIONS, ..Settings::new(folder.path()) };
        // The watcher first: this process may be killed while its cluster is starting.
        let watcher = watch(folder.path()).context("cannot start the watcher")?;
        let cluster = Cluster::start(settings).await?;
        // The watcher removes it, after PostgreSQL has ended.
        let _ = folder.keep();
        Ok(Self { cluster, left: Mutex::default(), _watcher: watcher })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        self.cluster.address()
    }

    /// The cluster itself, for its URLs.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A fresh, migrated database in this cluster.
    pub async fn database(&self) -> TestDatabase {
        match TestDatabase::in_cluster(self.address().clone()).await {
            Ok(database) => database,
            Err(error) => panic!("no test database: {error:#}"),
        }
    }

    /// Kills PostgreSQL with `SIGKILL`, as the kernel does when memory runs out: the postmaster at once, its other
    /// processes as they notice. [`TestCluster::start_again`] brings it back.
    pub async fn kill_postgres(&self) {
        let pid = self.cluster.pid().await;
        let postmaster = Path::new("/proc").join(pid.to_string());
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        *self.left() = processes
            .map(|process| process.path())
            .filter(|process| {
                *process == postmaster || stat(process).is_some_and(|(_, parent)| parent == pid)
            })
            .collect();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the postmaster of this cluster runs");
    }

    /// Waits until nothing of a killed PostgreSQL runs any more. Before that it takes no new connection, but a process that
    /// was just asked something may still answer, and even commit. (Where there is no `/proc`, it does not wait.)
    pub async fn dead(&self) {
        let runs = |process: &PathBuf| stat(process).is_some_and(|(state, _)| state != "Z");
        until("PostgreSQL is dead", PATIENCE, async || !self.left().iter().any(runs)).await;
    }

    fn left(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a killed PostgreSQL at the same address; returns when it accepts connections, recovery done.
    pub async fn start_again(&self) {
        // The kernel delivers a signal in its own time: until then there is nothing to revive.
        loop {
            match self.cluster.revive().await {
                Ok(true) => return,
                Ok(false) => tokio::task::yield_now().await,
                Err(error) => panic!("PostgreSQL does not start again: {error}"),
            }
        }
    }
}

/// A process's state and its parent, which everybody may read.
fn stat(process: &Path) -> Option<(String, i32)> {
    let text = std::fs::read_to_string(process.join("stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// Root's PostgreSQL runs as another user, who must be able to enter.
fn folder() -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("freeside-test-").permissions(std::fs::Permissions::from_mode(0o711));
    if Path::new(MEMORY).is_dir() { builder.tempdir_in(MEMORY) } else { builder.tempdir() }
}

/// The input of a watcher over the cluster in `folder`: it acts when this process no longer holds it.
fn watch(folder: &Path) -> std::io::Result<ChildStdin> {
    let mut child = Command::new("sh")
        .args(["-c", WATCHER, "watcher"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the tests; the watcher has to outlive them.
        .process_group(0)
        .spawn()?;
    child.stdin.take().ok_or_else(|| std::io::Error::other("a piped child has an input"))
}
