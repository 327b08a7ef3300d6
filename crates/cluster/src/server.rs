//! The cluster as a running thing: start, attach, adopt, revive, stop.
//!
//! Two locks say who is who. `cluster.lock` is held by the owner, who alone starts and stops PostgreSQL. `cluster.users`
//! is held shared by everyone who uses it; only an owner who can take it alone stops PostgreSQL. Both end with the
//! process, however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::account::Account;
use crate::database::{self, roles};
use crate::folder::Folder;
use crate::launch::{
    Launch, Look, START_LIMIT, adopt_or_launch, greet, not_ready, programs_for, socket_config,
};
use crate::postmaster::Postmaster;
use crate::{Address, Durability, Error, Search};

/// A fast shutdown writes one checkpoint; what takes longer is cut, and recovered at the next start.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// An immediate shutdown only kills; it has no work to do.
const QUIT_LIMIT: Duration = Duration::from_secs(5);

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that holds everything of the cluster; made when it is missing.
    pub data_dir: PathBuf,
    /// Where the programs of PostgreSQL are looked for.
    pub search: Search,
    /// What a commit survives.
    pub durability: Durability,
    /// Connections at once, superuser's included.
    pub max_connections: u32,
}

impl Settings {
    /// The embedded default: crash-safe, 100 connections, programs from Debian's folders.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            search: Search::default(),
            durability: Durability::CrashSafe,
            max_connections: 100,
        }
    }
}

/// A cluster that this process uses. Dropped without [`Cluster::stop`], it tells PostgreSQL to stop and does not wait.
#[derive(Debug)]
pub struct Cluster {
    settings: Settings,
    folder: Folder,
    account: Account,
    address: Address,
    version: String,
    held: Mutex<Held>,
}

/// What this process holds of the cluster.
#[derive(Debug)]
struct Held {
    postmaster: Postmaster,
    /// Locked when this process is the owner.
    owner: File,
    is_owner: bool,
    /// Locked shared as long as this process uses the cluster.
    users: File,
    is_stopped: bool,
}

impl Cluster {
    /// Makes the cluster when there is none, starts it when nobody serves it, and attaches to it otherwise. Returns when
    /// a connection has been accepted.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let folder = Folder::open(&settings.data_dir)?;
        let account = Account::choose(&folder.data)?;
        account.check_way(&folder.root)?;
        let (owner, users) = (folder.owner_lock()?, folder.users_lock()?);
        let deadline = Instant::now() + START_LIMIT;
        let mut look = Look::new();
        loop {
            if owner.try_lock().is_ok() {
                // Nobody but an owner takes this lock alone, and that is now us.
                users
                    .lock_shared()
                    .map_err(Error::file("cannot lock", &folder.root.join("cluster.users")))?;
                let (postmaster, address, version) = adopt_or_launch(&settings, &folder, &account).await?;
                let held = Held { postmaster, owner, is_owner: true, users, is_stopped: false };
                return Ok(Self { settings, folder, account, address, version, held: Mutex::new(held) });
            }
            // Someone owns it: serving, starting or stopping. The shared lock first: an owner cannot stop it after that.
            if users.try_lock_shared().is_ok()
                && let Some((postmaster, address)) = Postmaster::find(&folder.data, account.uid)
                && let Some(version) = greet(&address).await?
            {
                info!(pid = postmaster.pid, "attached to the PostgreSQL that another process started");
                let held = Held { postmaster, owner, is_owner: false, users, is_stopped: false };
                return Ok(Self { settings, folder, account, address, version, held: Mutex::new(held) });
            }
            if Instant::now() > deadline {
                return Err(not_ready(&folder, 0));
            }
            look.wait().await;
        }
    }

    /// A URL for `role` (see [`roles`]) over the socket, without a secret; for sqlx, tokio-postgres and libpq.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.address.url(role, database)
    }

    /// As [`Cluster::url`], for the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        self.address.url(roles::SUPERUSER, database)
    }

    /// Where it listens: the socket, and the same port on 127.0.0.1.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The file with the passwords for loopback TCP, there once [`Cluster::prepare_database`] has run.
    pub fn password_file(&self) -> &Path {
        &self.folder.pgpass
    }

    /// The server's version, such as `15.13 (Debian 15.13-0+deb12u1)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name of the system's user that PostgreSQL runs as.
    pub fn runs_as(&self) -> &str {
        &self.account.name
    }

    /// The postmaster's process id, for status pages and for tests that kill it.
    pub async fn pid(&self) -> i32 {
        self.held.lock().await.postmaster.pid
    }

    /// Whether this process answers for starting and stopping PostgreSQL.
    pub async fn is_owner(&self) -> bool {
        self.held.lock().await.is_owner
    }

    /// Makes the roles, their passwords for TCP, and the database: see [`crate::prepare_database`].
    pub async fn prepare_database(&self, name: &str) -> Result<(), Error> {
        let config = socket_config(&self.address);
        database::prepare(config, name, Some(&self.folder.pgpass)).await
    }

    /// Starts PostgreSQL again when it has died, at the same address, so that pools find their way back. `true` when it
    /// had to. The owner's task, or anyone's once the owner has gone. Cheap enough to ask every second.
    pub async fn revive(&self) -> Result<bool, Error> {
        let mut held = self.held.lock().await;
        if held.is_stopped || held.postmaster.is_alive() {
            return Ok(false);
        }
        if let Some((successor, _)) = Postmaster::find(&self.folder.data, self.account.uid) {
            held.postmaster = successor;
            return Ok(false);
        }
        if !held.is_owner && held.owner.try_lock().is_err() {
            return Ok(false); // Its owner lives, and it is for them to do.
        }
        held.is_owner = true;
        warn!(pid = held.postmaster.pid, log = %self.folder.log.display(), "PostgreSQL has died and is started again");
        let programs = programs_for(&self.settings, &self.folder)?;
        let launch =
            Launch { settings: &self.settings, folder: &self.folder, account: &self.account, programs };
        let (postmaster, _) = launch.at(&self.address).await?;
        held.postmaster = postmaster;
        Ok(true)
    }

    /// Leaves the cluster. When no other process uses it, PostgreSQL is shut down: fast, with a checkpoint, so that the
    /// next start has nothing to recover; after 30 s it is cut, which loses nothing committed. Twice is once.
    pub async fn stop(&self) -> Result<(), Error> {
        let mut held = self.held.lock().await;
        if !held.leave() {
            return Ok(());
        }
        for (signal, limit) in [(Signal::SIGINT, STOP_LIMIT), (Signal::SIGQUIT, QUIT_LIMIT)] {
            held.postmaster.signal(signal);
            let deadline = Instant::now() + limit;
            let mut look = Look::new();
            while held.postmaster.is_alive() && Instant::now() < deadline {
                look.wait().await;
            }
            if !held.postmaster.is_alive() {
                held.unlock();
                return Ok(());
            }
        }
        held.unlock();
        Err(Error::StillRunning { pid: held.postmaster.pid })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let held = self.held.get_mut();
        if held.leave() {
            held.postmaster.signal(Signal::SIGINT);
        }
    }
}

impl Held {
    /// Gives the cluster up. `true` when this process has to stop PostgreSQL: it owns the cluster, or can since its
    /// owner has gone, and nobody else uses it. Both locks are then held until [`Held::unlock`], so that nobody attaches
    /// to what is about to end.
    fn leave(&mut self) -> bool {
        if std::mem::replace(&mut self.is_stopped, true) {
            return false;
        }
        let may_stop = self.is_owner || self.owner.try_lock().is_ok();
        if may_stop && self.users.try_lock().is_ok() {
            return true;
        }
        self.unlock();
        false
    }

    /// The kernel would do it when the files close; doing it now lets the next one in. It cannot fail on an open file.
    fn unlock(&mut self) {
        self.is_owner = false;
        let _ = self.users.unlock();
        let _ = self.owner.unlock();
    }
}
