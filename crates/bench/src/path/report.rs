//! The figures, for people and for machines, beside what the product promises.

use std::fmt::Write as _;

use serde::Serialize;

use super::cpu::Spent;

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) load_before: String,
    pub(crate) seconds: u64,
    pub(crate) start: Start,
    pub(crate) runs: Vec<Run>,
    pub(crate) peak_memory_kib: u64,
    pub(crate) promises: Vec<Promise>,
}

/// Starting, and doing nothing.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Start {
    /// With a cluster to be made.
    pub(crate) first_ms: f64,
    /// With an existing cluster.
    pub(crate) again_ms: f64,
    pub(crate) idle_memory_kib: u64,
}

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// As much as it can.
    Peak,
    /// Half of it, all chunks in one write.
    Half,
    /// One chunk each 5 ms.
    Paced,
}

/// One run.
#[derive(Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) answers_per_second: f64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
    /// The same load on the upstream alone.
    pub(crate) direct: Option<Direct>,
    pub(crate) spent: Spent,
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
    /// `None`: the books agree.
    pub(crate) books_fault: Option<String>,
    pub(crate) load_before: String,
    /// How long the machine itself stood still meanwhile; `None`: not known.
    pub(crate) machine_paused_ms: Option<f64>,
}

/// Latencies without anything of ours.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Direct {
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
}

/// A figure that the product promises.
#[derive(Serialize)]
pub(crate) struct Promise {
    pub(crate) what: &'static str,
    pub(crate) figure: f64,
    pub(crate) limit: f64,
    pub(crate) is_kept: bool,
}

impl Promise {
    fn at_least(what: &'static str, figure: f64, limit: f64) -> Self {
        Self { what, figure, limit, is_kept: figure >= limit }
    }

    fn at_most(what: &'static str, figure: f64, limit: f64) -> Self {
        Self { what, figure, limit, is_kept: figure <= limit }
    }
}

impl Run {
    /// Median and 99th percentile over those of the upstream alone.
    pub(crate) fn added_ms(&self) -> Option<(f64, f64)> {
        let direct = self.direct?;
        let added = |with: u32, without: u32| (f64::from(with) - f64::from(without)) / 1e3;
        Some((added(self.p50_us, direct.p50_us), added(self.p99_us, direct.p99_us)))
    }

    /// Whether every answer was good and paid once.
    pub(crate) fn is_sound(&self) -> bool {
        self.failures == 0 && self.books_fault.is_none()
    }
}

/// The try whose 99th percentile lies in the middle; one that failed goes before all others.
pub(crate) fn median(mut tries: Vec<Run>) -> Run {
    if let Some(unsound) = tries.iter().position(|run| !run.is_sound()) {
        return tries.swap_remove(unsound);
    }
    tries.sort_by_key(|run| run.p99_us);
    tries.swap_remove(tries.len() / 2)
}

/// The promises that these runs speak of.
pub(crate) fn promises(start: Start, runs: &[Run]) -> Vec<Promise> {
    let mut promises = Vec::new();
    let peaks = runs.iter().filter(|run| run.kind == Kind::Peak);
    if let Some(peak) = peaks.max_by(|one, other| one.answers_per_second.total_cmp(&other.answers_per_second))
    {
        promises.push(Promise::at_least("peak, answers/s", peak.answers_per_second, 3_000.0));
        promises.push(Promise::at_most(
            "processor time of an answer at the peak, µs",
            peak.spent.product_us(),
            450.0,
        ));
    }
    if let Some(half) = runs.iter().find(|run| run.kind == Kind::Half) {
        promises.push(Promise::at_most(
            "processor time of an answer at half load, µs",
            half.spent.product_us(),
            1_000.0,
        ));
        if let Some((_, p99)) = half.added_ms() {
            promises.push(Promise::at_most("added latency at half load, p99, ms", p99, 15.0));
        }
    }
    if let Some(paced) = runs.iter().find(|run| run.kind == Kind::Paced) {
        promises.push(Promise::at_most(
            "processor time of a paced answer, µs",
            paced.spent.product_us(),
            900.0,
        ));
    }
    promises.push(Promise::at_most("start to ready with an existing cluster, ms", start.again_ms, 2_000.0));
    let megabytes = super::cpu::ratio(start.idle_memory_kib, 1_024);
    promises.push(Promise::at_most("idle memory of the process, MiB", megabytes, 60.0));
    promises
}

/// The line of one run.
pub(crate) fn line(run: &Run) -> String {
    let mut text = format!(
        "{:28} {:>7.0} {:>8.1} {:>8.1} {:>8} {:>8} {:>9.0} {:>9.0} {:>6.0} {:>6.0} {:>5.0} {:>5} {:>6}",
        run.name,
        run.answers_per_second,
        f64::from(run.p50_us) / 1e3,
        f64::from(run.p99_us) / 1e3,
        run.added_ms().map_or(String::new(), |(p50, _)| format!("{p50:.1}")),
        run.added_ms().map_or(String::new(), |(_, p99)| format!("{p99:.1}")),
        run.spent.freeside_us,
        run.spent.postgres_us,
        run.spent.product_us(),
        run.spent.bench_us,
        run.spent.machine_busy_percent,
        run.load_before,
        run.machine_paused_ms.map_or_else(|| "?".to_owned(), |paused| format!("{paused:.0}")),
    );
    if run.failures > 0 {
        let first = run.first_failure.as_deref().unwrap_or("unknown");
        write!(text, "\n  {} failures, the first: {first}", run.failures)
            .expect("writing to a String does not fail");
    }
    if let Some(fault) = &run.books_fault {
        write!(text, "\n  BOOKS: {fault}").expect("writing to a String does not fail");
    }
    text
}

/// The head above the lines.
pub(crate) const HEAD: &str = "\
run                             answers  latency, ms     added, ms         processor time of an answer, µs  busy  load  still
                                     /s      p50      p99      p50      p99  freeside  postgres    sum  bench     %          ms";

/// The promises, as lines.
pub(crate) fn promise_lines(promises: &[Promise]) -> String {
    promises.iter().fold(String::new(), |mut text, promise| {
        let word = if promise.is_kept { "kept" } else { "MISSED" };
        writeln!(
            text,
            "{:50} {:>9.1}  promised {:>7.0}  {word}",
            promise.what, promise.figure, promise.limit
        )
        .expect("writing to a String does not fail");
        text
    })
}
