//! From nothing, or from data, to a server that answers: `initdb`, a port, the postmaster, the first greeting.
//!
//! Everything here is done by the owner, under the owner's lock, but for [`greet`].

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;
use tracing::info;

use crate::account::Account;
use crate::database::{self, roles};
use crate::folder::Folder;
use crate::postmaster::Postmaster;
use crate::programs::{Programs, find_binaries, find_for};
use crate::{Address, Error, Settings, config};

/// Recovery after a crash replays at most `max_wal_size` (2 GB), which takes seconds; beyond this something is wrong.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);

/// A restart takes about 100 ms: the first looks come quickly, later ones spare the CPU.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// Another program can take a free port between our choice and PostgreSQL's; not five times.
const PORT_TRIES: u32 = 5;

/// Steps between looks at a server that is starting or stopping.
pub(crate) struct Look(Duration);

impl Look {
    pub(crate) fn new() -> Self {
        Self(FIRST_LOOK)
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_LOOK);
    }
}

/// The owner's way in: a postmaster left by a killed owner is taken over as it runs, one that is on its way out is waited
/// for, and otherwise a new one is started.
pub(crate) async fn adopt_or_launch(
    settings: &Settings,
    folder: &Folder,
    account: &Account,
) -> Result<(Postmaster, Address, String), Error> {
    let deadline = Instant::now() + START_LIMIT;
    let mut look = Look::new();
    while let Some((postmaster, address)) = Postmaster::find(&folder.data, account.uid) {
        if let Some(version) = greet(&address).await? {
            info!(pid = postmaster.pid, "adopted a running PostgreSQL whose owner has gone");
            return Ok((postmaster, address, version));
        }
        if Instant::now() > deadline {
            return Err(not_ready(folder, 0));
        }
        look.wait().await;
    }
    let programs = programs_for(settings, folder)?;
    account.check_way(&programs.folder)?;
    if folder.made_by().is_none() {
        make_data(folder, account, &programs).await?;
    }
    account.own_folder(&folder.socket)?;
    Launch { settings, folder, account, programs }.anywhere().await
}

/// The newest programs for new data, the same major version for old.
pub(crate) fn programs_for(settings: &Settings, folder: &Folder) -> Result<Programs, Error> {
    match folder.made_by() {
        None => find_binaries(&settings.search),
        Some(major) => find_for(&settings.search, &folder.data, major),
    }
}

/// `initdb`, beside its place, which it takes when it is whole: a crash in the middle leaves nothing that looks like data.
async fn make_data(folder: &Folder, account: &Account, programs: &Programs) -> Result<(), Error> {
    for leftover in [&folder.unfinished, &folder.data] {
        // `data` has no PG_VERSION, so it is at most an empty folder, and `remove_dir` takes no other.
        let gone = if leftover == &folder.data {
            std::fs::remove_dir(leftover)
        } else {
            std::fs::remove_dir_all(leftover)
        };
        match gone {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("cannot make room for a cluster in", leftover)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    account.own_folder(&folder.unfinished)?;
    info!(folder = %folder.data.display(), user = account.name, major = programs.major, "making a PostgreSQL cluster");
    let mut command = account.command(&programs.path("initdb"), &folder.root);
    command.args(["--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]);
    // For a server started by hand on these data; ours reads its own files. No password is needed, none is taken.
    command.args(["--auth-local=peer", "--auth-host=reject", "--username", roles::SUPERUSER]);
    command.arg("--pgdata").arg(&folder.unfinished);
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .map_err(Error::file("cannot run", &programs.path("initdb")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Initdb { folder: folder.unfinished.clone(), output: words });
    }
    std::fs::rename(&folder.unfinished, &folder.data)
        .and_then(|()| File::open(&folder.root)?.sync_all())
        .map_err(Error::file("cannot put in place", &folder.data))
}

/// What starting a postmaster takes.
pub(crate) struct Launch<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) folder: &'a Folder,
    pub(crate) account: &'a Account,
    pub(crate) programs: Programs,
}

impl Launch<'_> {
    /// On the port of the last start when it is free, else on any.
    async fn anywhere(&self) -> Result<(Postmaster, Address, String), Error> {
        let mut tries = 0;
        loop {
            let last = config::last_port(self.folder).filter(|port| tries == 0 && is_free(*port));
            let port = match last {
                Some(port) => port,
                None => free_port().map_err(Error::file("cannot find a free port for", &self.folder.data))?,
            };
            let address = Address { folder: self.folder.socket.clone(), port };
            tries += 1;
            match self.at(&address).await {
                Err(Error::Exited { tail, .. }) if tries < PORT_TRIES && tail.contains("could not bind") => {}
                Err(error) => return Err(error),
                Ok((postmaster, version)) => return Ok((postmaster, address, version)),
            }
        }
    }

    /// Starts `postgres` and waits until it answers. The processes of a killed postmaster need a moment to notice and to
    /// let go of its shared memory; until then PostgreSQL refuses to start, and it is tried again.
    pub(crate) async fn at(&self, address: &Address) -> Result<(Postmaster, String), Error> {
        let (folder, account) = (self.folder, self.account);
        config::write(folder, account, address, self.settings.durability, self.settings.max_connections)?;
        let deadline = Instant::now() + START_LIMIT;
        let mut retry = Look::new();
        loop {
            Postmaster::forget_reused_pid(&folder.data, account.uid, address);
            let (log, log_start) = folder.open_log()?;
            let mut postmaster = self.spawn(log)?;
            match wait_ready(&mut postmaster, folder, address, log_start, deadline).await {
                Ok(version) => {
                    info!(
                        pid = postmaster.pid,
                        port = address.port,
                        user = account.name,
                        version,
                        "PostgreSQL is ready"
                    );
                    return Ok((postmaster, version));
                }
                Err(Error::Exited { tail, .. }) if is_passing(&tail) && Instant::now() < deadline => {
                    retry.wait().await;
                }
                Err(error) => {
                    postmaster.signal(Signal::SIGINT);
                    return Err(error);
                }
            }
        }
    }

    /// In a process group of its own: Ctrl-C in the terminal is for the application, which drains first.
    fn spawn(&self, log: File) -> Result<Postmaster, Error> {
        let program = self.programs.path("postgres");
        let mut command = self.account.command(&program, &self.folder.root);
        let mut config_file = std::ffi::OsString::from("config_file=");
        config_file.push(self.folder.config.join("postgresql.conf"));
        command.arg("-D").arg(&self.folder.data).arg("-c").arg(config_file);
        command.stdout(Stdio::null()).stderr(log).process_group(0);
        let child = command.spawn().map_err(Error::file("cannot run", &program))?;
        Ok(Postmaster::started(child, &self.folder.data, self.account.uid))
    }
}

async fn wait_ready(
    postmaster: &mut Postmaster,
    folder: &Folder,
    address: &Address,
    log_start: u64,
    deadline: Instant,
) -> Result<String, Error> {
    let mut look = Look::new();
    loop {
        look.wait().await;
        if !postmaster.is_alive() {
            return Err(Error::Exited { log: folder.log.clone(), tail: folder.log_tail(log_start) });
        }
        if let Some(version) = greet(address).await? {
            return Ok(version);
        }
        if Instant::now() > deadline {
            return Err(not_ready(folder, log_start));
        }
    }
}

/// What PostgreSQL says while processes of a killed postmaster still hold its shared memory or its lock file.
fn is_passing(log_tail: &str) -> bool {
    log_tail.contains("pre-existing shared memory block")
        || log_tail.contains("postmaster.pid\" already exists")
        || log_tail.contains(".lock\" already exists")
}

/// The version of the server at `address`; `None` while nobody answers there, or it is starting up or shutting down.
pub(crate) async fn greet(address: &Address) -> Result<Option<String>, Error> {
    let client = match database::connect(&socket_config(address)).await {
        Ok(client) => client,
        Err(Error::Database { source, .. })
            if source.as_db_error().is_none() || source.code() == Some(&SqlState::CANNOT_CONNECT_NOW) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match client.query_one("show server_version", &[]).await {
        Ok(row) => Ok(Some(row.get(0))),
        // It was shut down between the greeting and the question.
        Err(_) => Ok(None),
    }
}

pub(crate) fn socket_config(address: &Address) -> Config {
    let mut config = Config::new();
    config.host_path(&address.folder).port(address.port).user(roles::SUPERUSER).dbname("postgres");
    config.connect_timeout(Duration::from_secs(5));
    config
}

pub(crate) fn not_ready(folder: &Folder, log_start: u64) -> Error {
    let seconds = START_LIMIT.as_secs();
    Error::NotReady { seconds, log: folder.log.clone(), tail: folder.log_tail(log_start) }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
