//! Processor time of whole processes, from `/proc`: freeside, all of its PostgreSQL, this benchmark, and the machine.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// `/proc` counts in hundredths of a second on every Linux (`USER_HZ`), fine enough over seconds.
const TICK_US: u64 = 10_000;

/// Ticks since the processes began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    freeside: u64,
    postgres: u64,
    bench: u64,
    busy: u64,
    total: u64,
}

/// Processor time of one answer, in microseconds, and how busy the machine was.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spent {
    pub(crate) freeside_us: f64,
    pub(crate) postgres_us: f64,
    /// Callers and the local upstream.
    pub(crate) bench_us: f64,
    pub(crate) machine_busy_percent: f64,
}

impl Spent {
    /// What the product costs: finn runs in freeside's process.
    pub(crate) fn product_us(&self) -> f64 {
        self.freeside_us + self.postgres_us
    }
}

impl Ticks {
    /// Reads all counters now.
    pub(crate) fn now(freeside: u32, postmaster: u32) -> anyhow::Result<Self> {
        let (busy, total) = machine()?;
        let freeside = Process::read(freeside).context("freeside does not run any more")?.own;
        let bench = Process::read(std::process::id()).context("/proc is not there")?.own;
        Ok(Self { freeside, postgres: cluster(postmaster)?, bench, busy, total })
    }

    /// What was spent since, for each of `answers`.
    pub(crate) fn since(self, earlier: Self, answers: u64) -> Spent {
        let each = |now: u64, then: u64| ratio(now.saturating_sub(then) * TICK_US, answers);
        Spent {
            freeside_us: each(self.freeside, earlier.freeside),
            postgres_us: each(self.postgres, earlier.postgres),
            bench_us: each(self.bench, earlier.bench),
            machine_busy_percent: ratio(100 * (self.busy - earlier.busy), self.total - earlier.total),
        }
    }
}

/// `part` of each of `whole`; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "figures of one run lie far below 2^52")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Memory that the process holds, and the most it ever held, in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("freeside does not run any more")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    // Exact, where the other is the sum of counters that lag by some pages on each core.
    let exact = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    });
    let now = exact.or_else(|| field("VmRSS:")).context("/proc says nothing of the memory")?;
    Ok((now, field("VmHWM:").unwrap_or(now)))
}

/// The postmaster, its living children, and those that it has buried: a child's ticks move over when it ends.
fn cluster(postmaster: u32) -> anyhow::Result<u64> {
    let head = Process::read(postmaster).context("PostgreSQL does not run any more")?;
    let mut sum = head.own + head.of_buried;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since the folder was read.
        if let Some(process) = Process::read(pid)
            && process.parent == postmaster
        {
            sum += process.own;
        }
    }
    Ok(sum)
}

struct Process {
    parent: u32,
    own: u64,
    of_buried: u64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
        Self::parse(&text)
    }

    /// The name stands in brackets and may hold anything; behind it come state, parent, … utime (14th field), stime,
    /// cutime, cstime.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            of_buried: number(13)? + number(14)?,
        })
    }
}

/// Busy and all ticks of the machine: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine() -> anyhow::Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|tick| tick.parse().ok()).collect();
    let total: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok((total - idle, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_passed_over() {
        let text = "7 (a b) c) S 3 7 7 0 -1 0 0 0 0 0 11 5 2 1 20 0 9 0 1 0 0";
        let process = Process::parse(text).expect("well formed");
        assert_eq!((process.parent, process.own, process.of_buried), (3, 16, 3));
    }

    #[test]
    fn this_process_is_there() {
        assert!(Process::read(std::process::id()).is_some());
        assert!(resident_kib(std::process::id()).expect("running").0 > 0);
    }
}
