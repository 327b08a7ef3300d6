//! The service under load: a `freeside serve` of its own on a fresh data folder, with the embedded PostgreSQL as
//! anybody gets it (crash-safe, `fsync` on).
//!
//! Whatever happens, [`Service::clear`] leaves no process and no file behind. The environment of the shell is not
//! passed on: a `DATABASE_URL` there would lead the load to somebody's real books.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cluster::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use rand::distr::{Alphanumeric, SampleString as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// The first start makes a cluster and its tables; a debug build on a busy machine takes its time.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Longer than freeside gives its open answers (110 s), and PostgreSQL a checkpoint after that.
const STOP_LIMIT: Duration = Duration::from_secs(150);
/// A socket that listens keeps a caller waiting until somebody serves it; one that never does is not ready.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// How exactly the time to ready is seen.
const LOOK: Duration = Duration::from_millis(5);
/// 40 of 62 letters are 238 bits, as a real pepper.
const PEPPER_LETTERS: usize = 40;

/// A service: its folder, ports and secrets, and the process while there is one.
pub(crate) struct Service {
    program: PathBuf,
    folder: PathBuf,
    /// Where the public server listens.
    pub(crate) listen: SocketAddr,
    finn_listen: SocketAddr,
    /// `API_KEY_PEPPER_V1`, with which the benchmark makes its keys.
    pub(crate) pepper: String,
    /// Further settings.
    environment: Vec<(&'static str, String)>,
    child: Mutex<Option<Child>>,
}

/// A started process.
#[derive(Clone, Copy)]
pub(crate) struct Started {
    /// Its process id.
    pub(crate) pid: u32,
    /// From the start of the program to the first 200 of `/readyz`.
    pub(crate) ready_after: Duration,
}

impl Service {
    /// Makes the folder and the configuration, with one model that `upstream` answers.
    pub(crate) fn new(program: PathBuf, folder: &Path, upstream: SocketAddr) -> anyhow::Result<Self> {
        if !program.is_file() {
            bail!(
                "{} is not there; build it as this program was built: cargo build --package server --bin freeside",
                program.display()
            );
        }
        let cannot_make = || format!("cannot make {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot_make)?;
        if statfs(folder)?.filesystem_type() == TMPFS_MAGIC {
            bail!(
                "{} lies in memory, where a commit costs nothing: name a folder on a disk",
                folder.display()
            );
        }
        let folder = std::path::absolute(folder.join(std::process::id().to_string()))?;
        std::fs::create_dir(&folder).with_context(cannot_make)?;
        std::fs::write(folder.join("freeside.toml"), catalog(upstream))?;
        let (listen, finn_listen) = two_free_ports()?;
        let pepper = Alphanumeric.sample_string(&mut rand::rng(), PEPPER_LETTERS);
        Ok(Self {
            program,
            folder,
            listen,
            finn_listen,
            pepper,
            environment: Vec::new(),
            child: Mutex::new(None),
        })
    }

    /// The same with one more setting.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the service and waits until it is ready.
    pub(crate) async fn start(&self) -> anyhow::Result<Started> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let since = Instant::now();
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .current_dir(&self.folder)
            .env_clear()
            .envs(["PATH", "HOME", "USER"].iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            .env("FREESIDE_ROLE", "all")
            .env("FREESIDE_DATA_DIR", self.data())
            .env("FREESIDE_CONFIG", self.folder.join("freeside.toml"))
            .env("FREESIDE_LISTEN", self.listen.to_string())
            .env("FINN_LISTEN", self.finn_listen.to_string())
            .env("API_KEY_PEPPER_V1", &self.pepper)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let pid = child.id().context("it ended at once")?;
        // Kept before the first wait: whoever breaks this off can stop it.
        *self.child.lock().await = Some(child);
        while !is_ready(self.listen).await {
            self.check_running().await?;
            if since.elapsed() > READY_LIMIT {
                bail!("freeside was not ready within {READY_LIMIT:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Started { pid, ready_after: since.elapsed() })
    }

    /// An error when the process has ended.
    pub(crate) async fn check_running(&self) -> anyhow::Result<()> {
        let mut child = self.child.lock().await;
        match child.as_mut().map(Child::try_wait).transpose()?.flatten() {
            Some(status) => bail!("freeside has ended by itself: {status}"),
            None => Ok(()),
        }
    }

    /// Asks the process to stop and waits; it stops its PostgreSQL unless somebody else uses that.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.lock().await.take() else { return Ok(()) };
        // Without an id it has ended, and the number may be somebody else's.
        if let Some(pid) = child.id()
            && child.try_wait()?.is_none()
        {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
        }
        if let Ok(ended) = tokio::time::timeout(STOP_LIMIT, child.wait()).await {
            ended?;
            return Ok(());
        }
        child.kill().await?;
        bail!("freeside did not stop within {STOP_LIMIT:?} and was killed")
    }

    /// Stops what may still run and removes the folder.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        let stopped = self.stop().await;
        if self.data().join("postgres/postmaster.pid").exists() {
            // Freeside was killed and its PostgreSQL runs on: to attach makes it ours to stop.
            Cluster::start(cluster::Settings::new(self.data())).await?.stop().await?;
        }
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        stopped
    }

    /// The end of the service's log.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 30;
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("freeside.log")
    }
}

/// The program that was named, or the one beside this.
pub(crate) fn program(named: Option<&Path>) -> std::io::Result<PathBuf> {
    match named {
        Some(program) => std::path::absolute(program),
        None => Ok(std::env::current_exe()?.with_file_name("freeside")),
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut line = TcpStream::connect(address).await?;
        line.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        line.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    matches!(tokio::time::timeout(LOOK_LIMIT, ask).await, Ok(Ok(true)))
}

/// Free a moment ago; held together, so that they differ.
fn two_free_ports() -> std::io::Result<(SocketAddr, SocketAddr)> {
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((one.local_addr()?, other.local_addr()?))
}

/// One model in every pool: the catalog wants all five.
fn catalog(upstream: SocketAddr) -> String {
    let mut text = format!(
        "[providers.upstream]\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\n\
         [models.bench]\nprovider = \"upstream\"\nupstream_model = \"bench\"\ncontext_tokens = 128000\n\
         input_micro_per_million = 150000\noutput_micro_per_million = 600000\n"
    );
    for pool in types::Pool::ALL {
        write!(
            text,
            "\n[pools.{pool}]\nmodels = [\"bench\"]\nsystem_tokens = 600\ndefault_max_tokens = 1024\nhold_slice_tokens = 2048\n"
        )
        .expect("writing to a String does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_catalog_is_sound() {
        let text = catalog(SocketAddr::from(([127, 0, 0, 1], 9)));
        let catalog = types::catalog::Catalog::parse(&text).expect("sound");
        assert_eq!(catalog.pool_of("bench"), Some(types::Pool::Cheap));
    }
}
