//! A private PostgreSQL cluster: found, made, started and stopped.
//!
//! Two users: `freeside serve` without `DATABASE_URL` (the embedded default), and tests. Both get the real
//! PostgreSQL of the machine, started as a child process on a data folder of their own; nothing is downloaded,
//! no system service is touched.
//!
//! # What lies in the data folder
//! ```text
//! <data_dir>/postgres/          the cluster itself (0700, owned by the user that PostgreSQL runs as)
//! <data_dir>/postgres-conf/     postgresql.conf, pg_hba.conf, pg_ident.conf: written anew at each start
//! <data_dir>/postgres-socket/   the Unix socket (0700, same owner); in /tmp when this path is too long for one
//! <data_dir>/postgres.log       what PostgreSQL wrote to stderr; moved to postgres.log.1 above 10 MB
//! <data_dir>/postgres.pgpass    passwords for loopback TCP (0600), in the form that psql's PGPASSFILE takes
//! <data_dir>/cluster.lock       held (flock) by the process that owns the cluster
//! <data_dir>/cluster.users      held (shared flock) by every process that uses it
//! ```
//! The configuration lies beside the cluster and not in it: a root that wrote into a folder of another user could be
//! led by a planted link to write elsewhere. Own settings go in with `alter system`, which PostgreSQL keeps.
//!
//! # Who may log in
//! The socket takes `peer` logins only: the kernel says who calls, and `pg_ident.conf` admits root, the user of this
//! process and the user of PostgreSQL, to the four roles of [`roles`]. So no password is needed, none stands in a URL,
//! and another local user is refused twice: by the folder's mode and by the kernel's word. Loopback TCP takes SCRAM
//! passwords, made at random and kept in `postgres.pgpass`, and never the superuser.
//!
//! # What always holds
//! * At most one postmaster per data folder; two processes that start at once both end up working, one as the owner.
//! * [`Durability::CrashSafe`] never trades a committed transaction for speed.
//! * A cluster whose owner was killed with `SIGKILL` goes on running, and the next start adopts it. A clean stop is
//!   done by the last process that uses the cluster: an owner that leaves while another uses it leaves it running.
//!
//! # When the programs are missing
//! [`Error::NoPrograms`] says what was looked for and what to do. `freeside serve` prints its words, and exits 1:
//! ```text
//! PostgreSQL 15 or newer was not found (looked in /usr/lib/postgresql and on PATH).
//! Install it:  apt-get install postgresql
//! or name the folder of its programs in FREESIDE_POSTGRES_BIN, or set DATABASE_URL to use a server that runs already.
//! ```
//!
//! Deliberately absent: the environment (the caller reads it), migrations (their own step), replication, upgrades
//! between major versions, Windows.

mod account;
mod address;
mod config;
mod database;
mod error;
mod folder;
mod launch;
mod postmaster;
mod programs;
mod server;

pub use address::Address;
pub use config::Durability;
pub use database::{prepare_database, roles};
pub use error::Error;
pub use programs::{OLDEST_MAJOR, Programs, Search, find_binaries};
pub use server::{Cluster, Settings};
