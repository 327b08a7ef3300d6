//! What can go wrong with a cluster, each in words that name the next step.

use std::path::{Path, PathBuf};

/// Why a cluster could not be found, made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL on this machine.
    #[error(
        "PostgreSQL {oldest} or newer was not found (looked in {looked}).\n\
         Install it:  apt-get install postgresql\n\
         or name the folder of its programs in FREESIDE_POSTGRES_BIN, or set DATABASE_URL to use a server that runs already.",
        oldest = crate::OLDEST_MAJOR
    )]
    NoPrograms {
        /// Where it was looked for.
        looked: String,
    },
    /// The folder that was named for the programs does not hold a usable set.
    #[error("FREESIDE_POSTGRES_BIN names {folder}, but {fault}. Name a folder that holds initdb, postgres and pg_ctl of PostgreSQL {oldest} or newer.", folder = folder.display(), oldest = crate::OLDEST_MAJOR)]
    BadPrograms {
        /// The folder as given.
        folder: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The data were made by another major version than any that is installed.
    #[error("the cluster in {folder} was made by PostgreSQL {made_by}, which is not installed. Install it (apt-get install postgresql-{made_by}), or move the data over with pg_upgrade.", folder = folder.display())]
    OtherVersion {
        /// The cluster's folder.
        folder: PathBuf,
        /// The major version in its `PG_VERSION`.
        made_by: u32,
    },
    /// Started as root, and there is no user to run PostgreSQL as.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor `nobody`. Make one (useradd --system postgres), or start freeside as an ordinary user."
    )]
    NoUser,
    /// The user id has no entry in the user database, without which PostgreSQL does not start.
    #[error(
        "user id {uid} has no entry in /etc/passwd, without which PostgreSQL does not start. Add one, or start freeside as another user."
    )]
    NamelessUser {
        /// The id.
        uid: u32,
    },
    /// A folder above the data is closed to the user that PostgreSQL runs as.
    #[error("PostgreSQL runs as the user `{user}`, who may not enter {folder}. Open it (chmod o+x {folder}), or choose another place with FREESIDE_DATA_DIR.", folder = folder.display())]
    Closed {
        /// The first folder, from the root, that cannot be entered.
        folder: PathBuf,
        /// Who cannot enter it.
        user: String,
    },
    /// The data or socket folder belongs to someone else.
    #[error("{folder} belongs to the user `{owner}`, not to `{user}`. Start freeside as `{owner}` or root, or choose another FREESIDE_DATA_DIR.", folder = folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Who owns it.
        owner: String,
        /// Who was to own it.
        user: String,
    },
    /// `initdb` failed.
    #[error("initdb could not make a cluster in {folder}:\n{output}", folder = folder.display())]
    Initdb {
        /// Where.
        folder: PathBuf,
        /// Its last words.
        output: String,
    },
    /// `postgres` ended while it was starting.
    #[error("PostgreSQL ended while it was starting. The end of {log}:\n{tail}", log = log.display())]
    Exited {
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// No connection was accepted in time.
    #[error("PostgreSQL accepted no connection within {seconds} s. The end of {log}:\n{tail}", log = log.display())]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The postmaster outlived a fast and an immediate shutdown.
    #[error(
        "PostgreSQL (process {pid}) did not end. Look at it with `ps {pid}`; its data are safe, and the next start uses it as it is."
    )]
    StillRunning {
        /// The postmaster's process id.
        pid: i32,
    },
    /// A database name that would need quoting.
    #[error(
        "`{name}` is no database name: it takes a lower-case letter, then up to 62 lower-case letters, digits or underscores."
    )]
    BadName {
        /// The name as given.
        name: String,
    },
    /// The server answered a query, or a login, with an error.
    #[error("{doing}: {}", database_words(source))]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The server's answer.
        source: tokio_postgres::Error,
    },
    /// The file system said no.
    #[error("{doing} {path}: {source}", path = path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: a failure of the file system with its circumstances.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// For `map_err`: a failure of the server with its circumstances.
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { doing, source }
    }
}

/// `tokio_postgres` prints "db error" and hides the server's own words in the source.
fn database_words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => answer.to_string(),
        None => error.to_string(),
    }
}
