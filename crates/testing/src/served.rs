//! The real binary, started for a test: a data folder of its own, ports that the system chooses, and an end.
//!
//! What always holds: a process ends with its [`Served`], at the latest with the test; a test that fails shows the end
//! of its log; nothing of the developer's own environment reaches it but `PATH` and the home folder.
//! Processes made from one [`Launch`], or from clones of it, share the data folder, as the roles of one installation do.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::postgres::TestDatabase;

/// A debug build on a machine that compiles beside it takes its time, and an embedded cluster a little more.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// Longer than the drain of the product (110 s).
const END_WITHIN: Duration = Duration::from_secs(150);
/// The last line that `serve` prints when it is ready.
const LAST_LINE: &str = "Ctrl-C stops it";
/// What of a log a failed test shows.
const LOG_LINES: usize = 40;
/// Long enough for the product's own rule, and the same in every process of a test.
pub const PEPPER: &str = "a pepper for tests that is quite long enough";

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    folder: Arc<TempDir>,
    variables: BTreeMap<String, String>,
}

impl Launch {
    /// All roles of `program` in a fresh data folder, with free ports, the priced catalog and the embedded database.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        // An embedded PostgreSQL runs as another user when the tests run as root: it must be able to enter.
        let mut builder = tempfile::Builder::new();
        let folder = builder
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .prefix("freeside-served-")
            .tempdir();
        let folder = Arc::new(folder.expect("a folder"));
        let data = folder.path().join("data").display().to_string();
        Self { program: program.into(), folder, variables: BTreeMap::new() }
            .with("FREESIDE_DATA_DIR", data)
            .with("FREESIDE_LISTEN", "127.0.0.1:0")
            .with("FINN_LISTEN", "127.0.0.1:0")
            .with("FREESIDE_SIMULATOR_LISTEN", "127.0.0.1:0")
            .with("FREESIDE_SCRIPTED_PACE_MS", "0")
            .with("API_KEY_PEPPER_V1", PEPPER)
            .catalog(crate::catalog::priced())
    }

    /// With this variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Without this variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Its books are in `database`.
    #[must_use]
    pub fn on(self, database: &TestDatabase) -> Self {
        self.with("DATABASE_URL", database.url())
    }

    /// These roles only.
    #[must_use]
    pub fn role(self, roles: &str) -> Self {
        self.with("FREESIDE_ROLE", roles)
    }

    /// With this catalog of models, pools and prices.
    #[must_use]
    pub fn catalog(self, toml: &str) -> Self {
        let path = self.folder.path().join("freeside.toml");
        std::fs::write(&path, toml).expect("the folder is ours");
        self.with("FREESIDE_CONFIG", path.display().to_string())
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs another command of the same installation to its end: what it printed, when it succeeded.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await;
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {} {}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(
                ["PATH", "HOME", "USER", "FREESIDE_POSTGRES_BIN"]
                    .iter()
                    .filter_map(|name| Some((*name, std::env::var_os(name)?))),
            )
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts it and waits until it says that it is ready.
    pub async fn start(&self) -> Served {
        let mut command = self.command(&["serve"]);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let (said, log) = (Text::default(), Text::default());
        let (first, mut ready) = watch::channel(false);
        let out = child.stdout.take().expect("piped above");
        tokio::spawn(said.clone().keep(out, move |line| line.contains(LAST_LINE).then(|| first.send(true))));
        let errors = child.stderr.take().expect("piped above");
        tokio::spawn(log.clone().keep(errors, |_| None::<()>));
        let mut served = Served {
            child,
            said,
            log,
            gateway: None,
            finn: None,
            _folder: Arc::clone(&self.folder),
            is_expected_to_end: false,
        };
        let is_ready = tokio::time::timeout(READY_WITHIN, ready.wait_for(|is_ready| *is_ready)).await;
        if !matches!(is_ready, Ok(Ok(_))) {
            // Its standard output ended, or it took too long.
            let ended = served.child.try_wait();
            panic!("not ready ({ended:?}); it said:\n{}\n{}", served.said.all(), served.log());
        }
        served.gateway = served.address_after("API ");
        served.finn = served.address_after("Engine ");
        served
    }
}

/// A started process. Dropping it kills it.
#[derive(Debug)]
pub struct Served {
    child: Child,
    said: Text,
    log: Text,
    gateway: Option<SocketAddr>,
    finn: Option<SocketAddr>,
    _folder: Arc<TempDir>,
    is_expected_to_end: bool,
}

impl Served {
    /// Where the public server listens.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway.expect("this process has the role gateway")
    }

    /// Where the engine listens.
    pub fn finn(&self) -> SocketAddr {
        self.finn.expect("this process has the role finn")
    }

    /// Where its payment simulator listens.
    pub fn simulator(&self) -> SocketAddr {
        self.address_after("Payments ").expect("this process runs a payment simulator")
    }

    /// What it printed for its operator.
    pub fn said(&self) -> String {
        self.said.all()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.all()
    }

    /// The demo developer's sandbox key, which the first start of a database prints.
    pub fn demo_key(&self) -> String {
        let said = self.said();
        let start = said.find("lf_test_").unwrap_or_else(|| panic!("no key in:\n{said}"));
        said[start..]
            .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// Its process id; nobody's once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Memory that it really uses, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().expect("it runs"));
        let status = std::fs::read_to_string(path).expect("this is Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Asks it to stop, and does not wait.
    pub fn ask_to_stop(&mut self) {
        self.is_expected_to_end = true;
        self.send(Signal::SIGTERM);
    }

    /// Stops it as an operator would, and says how it ended.
    pub async fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.ended().await
    }

    /// Kills it as the kernel would when memory runs out.
    pub async fn kill(mut self) {
        self.is_expected_to_end = true;
        self.send(Signal::SIGKILL);
        self.ended().await;
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Waits until it has ended, by whatever cause.
    pub async fn ended(&mut self) -> ExitStatus {
        self.is_expected_to_end = true;
        let Ok(status) = tokio::time::timeout(END_WITHIN, self.child.wait()).await else {
            panic!("it did not end within {END_WITHIN:?}:\n{}", self.log.tail())
        };
        status.expect("a child of ours")
    }

    fn send(&self, signal: Signal) {
        // Without an id it has ended, and the number may be somebody else's.
        if let Some(pid) = self.child.id() {
            let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
            kill(pid, signal).expect("a child of ours");
        }
    }

    fn address_after(&self, label: &str) -> Option<SocketAddr> {
        let said = self.said.all();
        let line = said.lines().find_map(|line| line.trim().strip_prefix(label))?;
        let address = line.trim().strip_prefix("http://")?;
        let end = address
            .find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | ':')))
            .unwrap_or(address.len());
        address[..end].parse().ok()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = match (self.child.try_wait(), self.is_expected_to_end) {
                (Ok(Some(status)), false) => format!("had ended by itself ({status})"),
                (Ok(Some(status)), true) => format!("had ended ({status})"),
                (Ok(None) | Err(_), _) => "ran".to_owned(),
            };
            eprintln!(
                "--- a freeside that {state} when the test failed; the end of its log:\n{}",
                self.log.tail()
            );
        }
    }
}

/// Ports from here on are nobody's by default, and end before those that Linux hands out by itself (32,768 and more).
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// An address that nobody listens on, for a process whose address another one must know before it starts. A port that the
/// kernel chose could be another test's connection by the time somebody listens on it; these are given out once.
pub fn free_address() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Test programs that run one after the other, or side by side, begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(PORTS)).expect("less than the ports");
    (0..PORTS)
        .map(|_| FIRST_PORT + (start + GIVEN.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}

/// What a process wrote, as it comes.
#[derive(Clone, Debug, Default)]
struct Text(Arc<Mutex<String>>);

impl Text {
    fn all(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tail(&self) -> String {
        let all = self.all();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    async fn keep<T>(self, pipe: impl tokio::io::AsyncRead + Unpin, mut seen: impl FnMut(&str) -> Option<T>) {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            {
                let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
            seen(&line);
        }
    }
}

/// Waits until `condition` holds, and says how long that took. For what no event tells: a row in the books, a file.
pub async fn until<F, Fut>(what: &str, patience: Duration, mut condition: F) -> Duration
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    /// Between two looks.
    const LOOK: Duration = Duration::from_millis(10);
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
    began.elapsed()
}

/// Whether a program of this name is on the path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_free_address_is_given_once_and_is_none_that_the_kernel_hands_out() {
        let taken: Vec<TcpListener> =
            (0..50).map(|_| TcpListener::bind(free_address()).expect("it is free")).collect();
        let ports: BTreeSet<u16> =
            taken.iter().map(|listener| listener.local_addr().expect("bound").port()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST_PORT..FIRST_PORT + PORTS).contains(port)), "{ports:?}");
    }
}
