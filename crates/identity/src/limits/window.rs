//! A sliding minute of requests.
//!
//! A log of (moment, count), oldest first. Up to [`FINE_LIMIT`] requests a minute the moments are exact milliseconds;
//! above that, requests of the same 100 ms share an entry, so that the log never holds more than about 600 entries.

use std::collections::VecDeque;

const MINUTE_MS: i64 = 60_000;
const FINE_LIMIT: u32 = 600;
const COARSE_MS: i64 = 100;

#[derive(Debug, Default)]
pub(super) struct Window {
    log: VecDeque<(i64, u32)>,
    total: u32,
}

impl Window {
    /// Drops what is a minute old.
    pub(super) fn forget(&mut self, now_ms: i64) {
        while let Some((_, count)) = self.log.pop_front_if(|(at, _)| *at + MINUTE_MS <= now_ms) {
            self.total -= count;
        }
    }

    pub(super) fn push(&mut self, now_ms: i64, limit: u32) {
        let moment = if limit <= FINE_LIMIT { now_ms } else { now_ms - now_ms.rem_euclid(COARSE_MS) };
        self.total += 1;
        match self.log.back_mut() {
            // `>=`: the machine's clock may have been set back; the log stays in order.
            Some((at, count)) if *at >= moment => *count += 1,
            _ => self.log.push_back((moment, 1)),
        }
    }

    /// Requests of the last minute.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Milliseconds until one more fits; 0 when it does now.
    pub(super) fn wait_ms(&self, now_ms: i64, limit: u32) -> u64 {
        let mut left = self.total;
        for (at, count) in &self.log {
            if left < limit {
                break;
            }
            left -= count;
            if left < limit {
                return u64::try_from(at + MINUTE_MS - now_ms).unwrap_or(1).max(1);
            }
        }
        if left < limit { 0 } else { MINUTE_MS.unsigned_abs() }
    }

    /// Seconds until the minute is empty, rounded up.
    pub(super) fn reset_s(&self, now_ms: i64) -> u32 {
        let left_ms = self.log.back().map_or(0, |(at, _)| at + MINUTE_MS - now_ms);
        u32::try_from((left_ms + 999) / 1_000).unwrap_or(0)
    }
}
