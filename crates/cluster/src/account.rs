//! The operating-system user that PostgreSQL runs as.
//!
//! An ordinary user runs it as itself. Root cannot (PostgreSQL refuses, and rightly), so it becomes the owner of the data
//! when there are some, else `postgres`, else `nobody`. Programs started here get an empty environment: what the
//! application was given, keys included, is not for another user's processes to show in `/proc`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, geteuid};

use crate::Error;

/// Taken in this order when root starts a cluster that has no data yet.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// glibc gives the top of the heap back to the kernel once 128 KiB of it are free, which is after each transaction, and
/// asks for it again in the next: a tenth of what a small money transaction costs PostgreSQL. Each backend keeps its peak.
const KEEP_MEMORY: [(&str, &str); 2] =
    [("MALLOC_TRIM_THRESHOLD_", "67108864"), ("MALLOC_TOP_PAD_", "1048576")];

/// Who PostgreSQL runs as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: String,
    /// The user of this process, by name, whom `pg_ident.conf` lets in.
    pub(crate) caller: String,
    becomes: bool,
}

impl Account {
    /// Chooses the user for the data in `data`, which need not exist yet.
    pub(crate) fn choose(data: &Path) -> Result<Self, Error> {
        let me = by_uid(geteuid().as_raw())?;
        let owner = std::fs::symlink_metadata(data).ok().map(|folder| folder.uid());
        if !geteuid().is_root() {
            return match owner {
                Some(uid) if uid != me.uid.as_raw() => {
                    Err(Error::Foreign { folder: data.to_owned(), owner: name_of(uid), user: me.name })
                }
                _ => Ok(Self::of(&me, me.name.clone(), false)),
            };
        }
        let user = match owner {
            Some(uid) if uid != 0 => by_uid(uid)?,
            _ => CANDIDATES
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .ok_or(Error::NoUser)?,
        };
        Ok(Self::of(&user, me.name, true))
    }

    fn of(user: &User, caller: String, becomes: bool) -> Self {
        Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name.clone(), caller, becomes }
    }

    /// A command that runs as this user, in `folder`, without the environment and the terminal of this process.
    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        command.envs(KEEP_MEMORY);
        command.current_dir(folder).stdin(Stdio::null());
        if self.becomes {
            // The standard library drops root's supplementary groups when it changes the user.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// A folder of this user's own, mode 0700. One that is there already must be theirs: in a shared place such as
    /// `/tmp` anyone can make a folder of that name first.
    pub(crate) fn own_folder(&self, folder: &Path) -> Result<(), Error> {
        use std::os::unix::fs::DirBuilderExt;
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) if self.becomes => std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid))
                .map_err(Error::file("cannot give away", folder)),
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let found = std::fs::symlink_metadata(folder).map_err(Error::file("cannot read", folder))?;
                if found.is_dir() && found.uid() == self.uid {
                    return Ok(());
                }
                Err(Error::Foreign {
                    folder: folder.to_owned(),
                    owner: name_of(found.uid()),
                    user: self.name.clone(),
                })
            }
            Err(error) => Err(Error::file("cannot make", folder)(error)),
        }
    }

    /// Refuses, by name, the first folder on the way to and including `folder` that this user may not enter.
    pub(crate) fn check_way(&self, folder: &Path) -> Result<(), Error> {
        if !self.becomes {
            return Ok(());
        }
        let mut way: Vec<PathBuf> = folder.ancestors().map(Path::to_owned).collect();
        way.reverse();
        for step in way {
            let found = std::fs::metadata(&step).map_err(Error::file("cannot read", &step))?;
            if !self.mode_admits(&found) && !self.can_enter(&step) {
                return Err(Error::Closed { folder: step, user: self.name.clone() });
            }
        }
        Ok(())
    }

    fn mode_admits(&self, folder: &std::fs::Metadata) -> bool {
        let bit = match (folder.uid() == self.uid, folder.gid() == self.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        folder.permissions().mode() & bit != 0
    }

    /// The mode says no; an access list may still say yes, and only that user can tell.
    fn can_enter(&self, folder: &Path) -> bool {
        let mut probe = self.command(Path::new("/usr/bin/test"), Path::new("/"));
        probe.arg("-x").arg(folder).status().is_ok_and(|answer| answer.success())
    }
}

fn by_uid(uid: u32) -> Result<User, Error> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().ok_or(Error::NamelessUser { uid })
}

fn name_of(uid: u32) -> String {
    by_uid(uid).map_or_else(|_| uid.to_string(), |user| user.name)
}
