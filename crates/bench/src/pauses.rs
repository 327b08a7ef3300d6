//! When the machine itself stood still: a virtual machine's host may take its processors away for tens of milliseconds,
//! and nothing inside can tell but by the clock.
//!
//! A process of real-time priority, which no load of ours can delay, wakes each 2 ms; when it comes late, everything did.
//! That priority is `chrt`'s to give (it takes root); without it nothing is known, and nothing is claimed.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(2);
/// Later than this is a pause: a processor asleep wakes within a millisecond.
const PAUSE: Duration = Duration::from_millis(5);

/// The watcher's own work: a line for each pause, in microseconds, until it is killed.
#[expect(
    clippy::disallowed_methods,
    reason = "how late a sleep ends is what is measured, on a thread of its own"
)]
pub(crate) fn watch() -> anyhow::Result<()> {
    let mut due = Instant::now() + TICK;
    loop {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.elapsed();
        if late > PAUSE {
            writeln!(std::io::stdout().lock(), "{}", late.as_micros())?;
            due = Instant::now();
        }
        due += TICK;
    }
}

/// A watcher that runs. Dropped, it ends.
pub(crate) struct Watch(Child);

impl Watch {
    /// `None` where the priority is not to be had.
    pub(crate) fn start() -> Option<Self> {
        let program = std::env::current_exe().ok()?;
        let is_granted = Command::new("chrt").args(["-f", "50", "true"]).stderr(Stdio::null()).status();
        if !is_granted.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut command = Command::new("chrt");
        command.args(["-f", "50"]).arg(program).arg("pauses").stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().ok().map(Self)
    }

    /// Ends the watch: how long the machine stood still in all.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        self.0.kill().context("the watcher ended by itself")?;
        let mut text = String::new();
        let output = self.0.stdout.as_mut().context("a pipe was asked for")?;
        std::io::Read::read_to_string(output, &mut text)?;
        let lates = text.lines().map(|line| line.parse::<u64>().map(Duration::from_micros));
        Ok(lates.sum::<Result<Duration, _>>()?)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
