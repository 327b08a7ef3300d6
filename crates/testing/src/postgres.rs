//! A fresh, migrated database for each test, made in tens of milliseconds.
//!
//! One throwaway cluster per test process, in memory where the machine has `/dev/shm`; or the one that
//! `cargo xtask test` has started for all of them and named in `FREESIDE_TEST_CLUSTER_SOCKET`. In it one template
//! database is migrated once, under a name drawn from the migrations' contents, and each test gets a copy.
//!
//! What always holds: roles and rights are those of the product ([`cluster::prepare_database`], then the migrations as
//! `freeside_owner`), and nothing outlives the test process, however it ends: a watcher sees its pipe close.
//!
//! A test that kills PostgreSQL takes [`TestCluster::start_private`]: nobody else's tests fall with it.

mod template;
mod test_cluster;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use cluster::{Address, Durability, roles};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

pub use self::test_cluster::TestCluster;

/// Names the socket file of a cluster that all test processes share; set by `cargo xtask test`.
pub const SHARED_SOCKET: &str = "FREESIDE_TEST_CLUSTER_SOCKET";

/// Enough for a test's own concurrency; 300 connections have room for many tests at once.
const POOL_CONNECTIONS: u32 = 10;

/// Tests share two cores with a compiler at times; a real hang still ends.
const POOL_WAIT: Duration = Duration::from_mins(1);

/// The migrations of the repository.
pub fn migrations() -> PathBuf {
    crate::repository().join("migrations")
}

/// A database of one test. Dropped with it, in the background.
#[derive(Debug)]
pub struct TestDatabase {
    /// Connected as `freeside_app`, the role of the application.
    pub pool: PgPool,
    /// The database's name.
    pub name: String,
    address: Address,
}

impl TestDatabase {
    /// A fresh, migrated database in the cluster that the tests of this process share.
    pub async fn new() -> Self {
        match Self::try_new().await {
            Ok(database) => database,
            Err(error) => panic!("no test database: {error:#}"),
        }
    }

    async fn try_new() -> Result<Self> {
        Self::in_cluster(shared().await?.clone()).await
    }

    /// A fresh, migrated database in the cluster that listens at `address`.
    pub(crate) async fn in_cluster(address: Address) -> Result<Self> {
        // The futures of sqlx's migrator are `Send`, but the compiler cannot show it for every lifetime; run on a thread of
        // their own they need not be, and a test may `spawn` what makes its database.
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(Self::make(address))).await?
    }

    async fn make(address: Address) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let template = template::ensure(&address, &migrations()).await?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let mut superuser = superuser(&address).await?;
        template::copy(&mut superuser, &template, &name).await?;
        superuser.close().await?;
        let pool = pool(&address.url(roles::APP, &name))?;
        Ok(Self { pool, name, address })
    }

    /// The URL of this database for `freeside_app`; for sqlx and tokio-postgres.
    pub fn url(&self) -> String {
        self.url_for(roles::APP)
    }

    /// The URL for one of [`cluster::roles`].
    pub fn url_for(&self, role: &str) -> String {
        self.address.url(role, &self.name)
    }

    /// A new pool as `freeside_owner`, who may alter what the application may not. It connects when it is first used.
    pub fn owner_pool(&self) -> PgPool {
        self.pool_for(roles::OWNER)
    }

    /// A new pool as one of [`cluster::roles`].
    pub fn pool_for(&self, role: &str) -> PgPool {
        pool(&self.url_for(role)).expect("the address has made the URL of the first pool already")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // Without a janitor the database stays until its cluster goes, which is soon enough.
        let _ = janitor().send((self.address.clone(), self.name.clone()));
    }
}

fn pool(url: &str) -> Result<PgPool> {
    let options = PgPoolOptions::new().max_connections(POOL_CONNECTIONS).acquire_timeout(POOL_WAIT);
    Ok(options.connect_lazy(url)?)
}

async fn superuser(address: &Address) -> Result<PgConnection> {
    let url = address.url(roles::SUPERUSER, "postgres");
    PgConnection::connect(&url).await.context("cannot connect to the test cluster as its superuser")
}

/// The cluster of this process, started by whichever test comes first.
async fn shared() -> Result<&'static Address> {
    static ADDRESS: OnceCell<Address> = OnceCell::const_new();
    /// Kept for as long as the process runs; a static is never dropped, and the watcher ends it.
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    ADDRESS
        .get_or_try_init(|| async {
            if let Some(file) = std::env::var_os(SHARED_SOCKET) {
                let file = PathBuf::from(file);
                return Address::of_socket_file(&file).with_context(|| {
                    format!("{SHARED_SOCKET} names no PostgreSQL socket: {}", file.display())
                });
            }
            let cluster = TestCluster::start(Durability::Throwaway).await?;
            Ok(CLUSTER.get_or_init(|| cluster).address().clone())
        })
        .await
}

/// Drops databases one after another, on a thread of its own: a test's runtime may be gone by then.
fn janitor() -> Sender<(Address, String)> {
    static JANITOR: OnceLock<Mutex<Sender<(Address, String)>>> = OnceLock::new();
    let start = || {
        let (sender, receiver) = std::sync::mpsc::channel::<(Address, String)>();
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            while let Ok((address, name)) = receiver.recv() {
                // Best effort: a private cluster may have been killed with all it held.
                let _ = runtime.block_on(drop_database(&address, &name));
            }
        });
        Mutex::new(sender)
    };
    JANITOR.get_or_init(start).lock().expect("nothing panics while it holds the sender").clone()
}

async fn drop_database(address: &Address, name: &str) -> Result<()> {
    let mut superuser = superuser(address).await?;
    template::run(&mut superuser, format!("drop database if exists {name} with (force)")).await?;
    Ok(superuser.close().await?)
}
