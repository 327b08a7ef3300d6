//! What stands before the API: failures on command, and the original's rate limit.

use std::collections::VecDeque;

use time::{Duration, OffsetDateTime};

/// The most requests that can be told to fail, over all commands.
pub(super) const MAX_FAULTS: usize = 1_000;

/// The highest rate that can be set, in requests per second.
pub(super) const MAX_RATE: usize = 10_000;

/// What a busy provider asks callers to wait, in seconds.
pub(super) const RETRY_AFTER_SECONDS: u32 = 30;

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with `Retry-After: 30`.
    Busy,
    /// 500.
    Error,
    /// No answer at all, until the caller leaves.
    Stall,
    /// The connection is cut in the middle of the answer.
    Cut,
    /// 200, and JSON that ends too early.
    BadJson,
}

/// Every way to fail.
pub(super) const FAULTS: &[Fault] = &[Fault::Busy, Fault::Error, Fault::Stall, Fault::Cut, Fault::BadJson];

impl Fault {
    /// Its name in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Error => "error",
            Self::Stall => "stall",
            Self::Cut => "cut",
            Self::BadJson => "bad-json",
        }
    }

    /// The words on its button.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Busy => "429 too many requests",
            Self::Error => "500 server error",
            Self::Stall => "never answer",
            Self::Cut => "cut the connection",
            Self::BadJson => "broken JSON",
        }
    }
}

/// What the gate says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail(Fault),
    /// Above the rate.
    Limit,
}

/// What was let through and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were answered properly, with success or with an error of the caller's.
    pub served: u64,
    /// Requests that failed on command.
    pub failed: u64,
    /// Requests above the rate.
    pub limited: u64,
}

/// The gate.
#[derive(Debug, Default)]
pub(super) struct Gate {
    faults: VecDeque<Fault>,
    rate: Option<usize>,
    /// When the requests of the last second were let through.
    recent: VecDeque<OffsetDateTime>,
    pub(super) counts: Counts,
}

impl Gate {
    /// Tells the next `count` requests to fail, after those that were told before; no more than [`MAX_FAULTS`].
    pub(super) fn fail_next(&mut self, count: usize, fault: Fault) {
        let room = MAX_FAULTS.saturating_sub(self.faults.len());
        self.faults.extend(std::iter::repeat_n(fault, count.min(room)));
    }

    /// Takes back what was told to fail.
    pub(super) fn mend(&mut self) {
        self.faults.clear();
    }

    /// Answers at most so many requests in any second; `None` for no limit.
    pub(super) fn limit(&mut self, rate: Option<usize>) {
        self.rate = rate.map(|rate| rate.min(MAX_RATE));
        self.recent.clear();
    }

    pub(super) fn rate(&self) -> Option<usize> {
        self.rate
    }

    /// What is told to fail next, in order, runs counted.
    pub(super) fn coming(&self) -> Vec<(Fault, usize)> {
        let mut runs: Vec<(Fault, usize)> = Vec::new();
        for fault in &self.faults {
            match runs.last_mut() {
                Some((last, count)) if last == fault => *count += 1,
                _ => runs.push((*fault, 1)),
            }
        }
        runs
    }

    /// Decides about one request.
    pub(super) fn ask(&mut self, now: OffsetDateTime) -> Verdict {
        if let Some(rate) = self.rate {
            while self.recent.front().is_some_and(|at| now - *at >= Duration::SECOND) {
                self.recent.pop_front();
            }
            if self.recent.len() >= rate {
                self.counts.limited += 1;
                return Verdict::Limit;
            }
            self.recent.push_back(now);
        }
        if let Some(fault) = self.faults.pop_front() {
            self.counts.failed += 1;
            return Verdict::Fail(fault);
        }
        self.counts.served += 1;
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_the_rate() {
        let mut gate = Gate::default();
        gate.limit(Some(2));
        let start = OffsetDateTime::UNIX_EPOCH;
        let at = |milliseconds| start + Duration::milliseconds(milliseconds);
        let verdicts: Vec<_> =
            [0, 500, 999, 1_000, 1_400, 1_500].into_iter().map(|ms| gate.ask(at(ms))).collect();
        let (pass, limit) = (Verdict::Pass, Verdict::Limit);
        assert_eq!(verdicts, [pass, pass, limit, pass, limit, pass]);
        assert_eq!(gate.counts, Counts { served: 4, failed: 0, limited: 2 });
    }

    #[test]
    fn failures_come_in_the_order_they_were_told_and_end() {
        let mut gate = Gate::default();
        gate.fail_next(1, Fault::Busy);
        gate.fail_next(2, Fault::Cut);
        assert_eq!(gate.coming(), [(Fault::Busy, 1), (Fault::Cut, 2)]);
        let verdicts: Vec<_> = (0..4).map(|_| gate.ask(OffsetDateTime::UNIX_EPOCH)).collect();
        let fail = Verdict::Fail;
        assert_eq!(verdicts, [fail(Fault::Busy), fail(Fault::Cut), fail(Fault::Cut), Verdict::Pass]);
        gate.fail_next(usize::MAX, Fault::Error);
        assert_eq!(gate.coming(), [(Fault::Error, MAX_FAULTS)]);
        gate.mend();
        assert!(gate.coming().is_empty());
    }
}
