//! The places inside a data folder, and the two locks that say who owns and who uses the cluster.

use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// Linux keeps 108 bytes for a socket's path, the last one a zero.
const SOCKET_PATH_BYTES: usize = 107;

/// `/.s.PGSQL.65535`
const SOCKET_NAME_BYTES: usize = 15;

/// The log of the last runs stays readable in an editor; what is older is one file back, then gone.
const LOG_BYTES: u64 = 10 * 1024 * 1024;

/// Where everything of one cluster lies. All paths are absolute.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) unfinished: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) pgpass: PathBuf,
}

impl Folder {
    /// Makes the folder when it is missing: searchable by others, since PostgreSQL may run as another user, but not
    /// readable by them.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(root)
            .map_err(Error::file("cannot make", root))?;
        let root = root.canonicalize().map_err(Error::file("cannot read", root))?;
        Ok(Self {
            data: root.join("postgres"),
            unfinished: root.join("postgres.unfinished"),
            config: root.join("postgres-conf"),
            socket: socket_folder(&root),
            log: root.join("postgres.log"),
            pgpass: root.join("postgres.pgpass"),
            root,
        })
    }

    /// The major version that made the data; `None` while there are none.
    pub(crate) fn made_by(&self) -> Option<u32> {
        std::fs::read_to_string(self.data.join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// Not yet locked: `try_lock` makes its holder the owner of the cluster.
    pub(crate) fn owner_lock(&self) -> Result<File, Error> {
        lock_file(&self.root.join("cluster.lock"))
    }

    /// Not yet locked: each process that uses the cluster holds it shared.
    pub(crate) fn users_lock(&self) -> Result<File, Error> {
        lock_file(&self.root.join("cluster.users"))
    }

    /// The log, open for appending, and its length: where the words of this start begin.
    pub(crate) fn open_log(&self) -> Result<(File, u64), Error> {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        if length(&self.log) > LOG_BYTES {
            let older = self.root.join("postgres.log.1");
            std::fs::rename(&self.log, &older).map_err(Error::file("cannot move", &self.log))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(Error::file("cannot open", &self.log))?;
        Ok((file, length(&self.log)))
    }

    /// The last lines that were written to the log after `from`.
    pub(crate) fn log_tail(&self, from: u64) -> String {
        const LINES: usize = 12;
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(from).unwrap_or(0).min(bytes.len());
        let text = String::from_utf8_lossy(&bytes[start..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

fn lock_file(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::file("cannot open", path))
}

/// Beside the data, or, when that path is too long for a socket, in `/tmp` under a name drawn from the path, so that
/// every process finds the same one.
fn socket_folder(root: &Path) -> PathBuf {
    let beside = root.join("postgres-socket");
    if beside.as_os_str().len() + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES {
        return beside;
    }
    Path::new("/tmp").join(format!("freeside-{:016x}", fnv1a(root.as_os_str().as_bytes())))
}

/// FNV-1a: the standard library's hash may change with the compiler, and two builds must agree on the folder.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
