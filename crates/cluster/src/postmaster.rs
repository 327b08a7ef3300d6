//! The postmaster as a process: found by its pid file, signalled, waited for.
//!
//! The pid file lies in a folder of another user, so its number is only believed when the process of that number belongs
//! to that user and was started on this data folder. A signal never goes to anyone else.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Address;

/// A running postmaster.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pub(crate) pid: i32,
    /// There when this process started it: then it is ours to reap.
    child: Option<Child>,
    data: PathBuf,
    uid: u32,
}

impl Postmaster {
    /// One that this process has just started.
    pub(crate) fn started(child: Child, data: &Path, uid: u32) -> Self {
        let pid = i32::try_from(child.id()).expect("Linux gives process ids below 2^22");
        Self { pid, child: Some(child), data: data.to_owned(), uid }
    }

    /// The one that serves `data` now, started by anyone, and where it listens.
    pub(crate) fn find(data: &Path, uid: u32) -> Option<(Self, Address)> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().collect();
        // Process, data folder, start time, port, socket folder; a postmaster that has just begun has fewer lines yet.
        let [pid, _, _, port, socket, ..] = lines[..] else { return None };
        let found = Self { pid: pid.trim().parse().ok()?, child: None, data: data.to_owned(), uid };
        let address = Address { folder: PathBuf::from(socket), port: port.trim().parse().ok()? };
        found.serves().then_some((found, address))
    }

    /// Takes away lock files whose number now belongs to another process of the same user, or to a killed postmaster that
    /// nobody has reaped: PostgreSQL would refuse to start, since it can only ask whether the number is alive. What else
    /// guards the data, a shared memory segment named after the folder, stays on guard. Only for the cluster's owner.
    pub(crate) fn forget_reused_pid(data: &Path, uid: u32, address: &Address) {
        let mut socket_lock = address.socket_file().into_os_string();
        socket_lock.push(".lock");
        for file in [data.join("postmaster.pid"), PathBuf::from(socket_lock)] {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let Some(pid) = text.lines().next().and_then(|line| line.trim().parse().ok()) else { continue };
            let named = Self { pid, child: None, data: data.to_owned(), uid };
            if kill(Pid::from_raw(pid), None).is_ok() && !named.serves() {
                // A file that cannot be removed makes the start fail, and PostgreSQL's own words say why.
                let _ = std::fs::remove_file(&file);
            }
        }
    }

    /// Whether it still runs. Reaps it when it is our child and has ended.
    pub(crate) fn is_alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => self.serves(),
        }
    }

    /// Sends a signal: `SIGINT` is PostgreSQL's fast shutdown, `SIGQUIT` its immediate one.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.is_alive() {
            // It can end between the question and the signal; then there is no one to tell.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// A live process of that number, of that user, started with `-D <data>`.
    fn serves(&self) -> bool {
        if self.pid <= 1 || kill(Pid::from_raw(self.pid), None) == Err(nix::errno::Errno::ESRCH) {
            return false;
        }
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        match (std::fs::metadata(&process), std::fs::read(process.join("cmdline"))) {
            (Ok(owner), Ok(line)) => {
                let mut words = line.split(|byte| *byte == 0);
                owner.uid() == self.uid && words.any(|word| word == self.data.as_os_str().as_bytes())
            }
            // Without /proc the number is all there is.
            _ => !Path::new("/proc/self/cmdline").exists(),
        }
    }
}
