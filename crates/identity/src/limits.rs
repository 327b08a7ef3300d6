//! How much a key may do: requests in any minute, tokens in a UTC day (SPEC §6, §13).
//!
//! * Requests: a sliding minute, exact to the millisecond for limits up to 600 a minute and to 100 ms above.
//! * Tokens: the worst case is set aside when a request is admitted and corrected when its real figure is known. What is
//!   still set aside at midnight counts for the new day, where the books will put it as well.
//! * A refused request counts for nothing.
//!
//! Everything is in this process's memory, bounded, and gone after a restart; the day's tokens are read from the books
//! ([`Limits::seeding`], [`Limits::seed`]), and what is new in them every minute, so that several processes come to see
//! one another's tokens. Deliberately absent: money, and the reading itself. [`Limits::admit`] only computes, and never
//! waits.

mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::Date;
use tokio::sync::Semaphore;
use types::{Clock, KeyDay, KeyId};

use crate::ApiKey;
use crate::bounded::make_room;
use window::Window;

/// Locks; two keys on different ones do not wait for each other.
const SHARDS: usize = 16;
/// Keys of one shard: 100,000 in all, about 100 MB if every one of them is at its limit. Only keys with a request in
/// flight are kept beyond that, and those are bounded by the requests in flight.
const MAX_KEYS_PER_SHARD: usize = 100_000 / SHARDS;
/// A key without a request for this long is forgotten; its tokens of the day are in the books.
const IDLE_MS: i64 = 10 * 60 * 1_000;
/// What is new in the books is read after this long …
const SEEDED_FOR_MS: i64 = 45 * 1_000;
/// … and up to this much more, by the key's id: keys that were first seen together are not read together ever after.
const SEEDED_SPREAD_MS: i64 = 15 * 1_000;
/// Readings of the books at once that no request waits for.
const READINGS: usize = 2;
/// A request that only waits for the corrections of others should try again soon.
const BUSY_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// Which limit refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Requests in any minute.
    RequestsPerMinute,
    /// Tokens in a UTC day.
    TokensPerDay,
}

/// What the `X-RateLimit-…` headers say, for both limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests in any minute.
    pub limit_requests: u32,
    /// Requests left in this minute.
    pub remaining_requests: u32,
    /// Seconds until all of them are back, rounded up.
    pub reset_requests_s: u32,
    /// Tokens in a UTC day.
    pub limit_tokens: u64,
    /// Tokens left today; the worst cases of requests in flight are taken off.
    pub remaining_tokens: u64,
    /// Seconds until midnight UTC, rounded up.
    pub reset_tokens_s: u32,
}

/// What is known of a key's tokens of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeding {
    /// The books were read within the last minute.
    Known,
    /// They were, but longer ago. Said to one caller, who reads what is new since then while everybody goes on with what
    /// is known.
    Stale(KeyDay),
    /// This process has not read them: read them, and call [`Limits::seed`], before [`Limits::admit`].
    Unknown,
}

/// A refusal: 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The limit that refused.
    pub which: Which,
    /// When to try again; with `never_fits`, trying again the same request is no use at any time.
    pub retry_after: std::time::Duration,
    /// Where the key stands.
    pub headers: RateHeaders,
    /// The request's worst case alone is more than a whole day's tokens.
    pub never_fits: bool,
}

/// All keys' limits. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    clock: Clock,
    shards: [Mutex<Shard>; SHARDS],
    first_sights: [tokio::sync::Mutex<()>; SHARDS],
    readings: Semaphore,
}

#[derive(Default)]
struct Shard {
    meters: HashMap<KeyId, Meter>,
    swept_ms: i64,
}

/// One key's counts.
struct Meter {
    requests: Window,
    day: Date,
    used: u64,
    reserved: u64,
    /// The last reading, and when it was taken or last asked for.
    read: Option<(KeyDay, i64)>,
    seen_ms: i64,
}

/// Now, as the counts need it.
#[derive(Clone, Copy)]
struct Now {
    ms: i64,
    day: Date,
    day_left_s: u32,
}

/// An admitted request. Dropped without [`Admission::correct`], it gives its worst case back: nothing was delivered.
#[derive(Debug)]
#[must_use = "dropping it gives the tokens back"]
pub struct Admission {
    /// Where the key stands with this request counted.
    pub headers: RateHeaders,
    limits: Limits,
    key: KeyId,
    worst_case: u64,
    actual: u64,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    /// Empty counts.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            shards: std::array::from_fn(|_| Mutex::default()),
            first_sights: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            readings: Semaphore::new(READINGS),
        }))
    }

    /// Counts the request and sets its worst case aside, or says why not. Both limits are decided at once.
    pub fn admit(&self, key: &ApiKey, worst_case_tokens: u64) -> Result<Admission, Limited> {
        let now = self.now();
        let mut shard = self.shard(key.id);
        let meter = shard.meter(key.id, now);
        let refused = meter.refusal(key, worst_case_tokens, now);
        if refused.is_none() {
            meter.requests.push(now.ms, key.requests_per_minute);
            meter.reserved += worst_case_tokens;
        }
        let headers = meter.headers(key, now);
        drop(shard);
        match refused {
            None => {
                let limits = self.clone();
                Ok(Admission { headers, limits, key: key.id, worst_case: worst_case_tokens, actual: 0 })
            }
            Some((which, retry_after, never_fits)) => {
                Err(Limited { which, retry_after, headers, never_fits })
            }
        }
    }

    /// Whether the key's tokens of the day have been read from the books lately. [`Seeding::Stale`] is said to one caller
    /// a minute: should that reading fail, the next one is a minute later.
    pub fn seeding(&self, key: &ApiKey) -> Seeding {
        let now = self.now();
        let mut shard = self.shard(key.id);
        let meter = shard.meter(key.id, now);
        let spread_ms = key.id.0.rem_euclid(SEEDED_SPREAD_MS);
        match &mut meter.read {
            None => Seeding::Unknown,
            Some((_, at)) if now.ms - *at < SEEDED_FOR_MS + spread_ms => Seeding::Known,
            Some((read, at)) => {
                *at = now.ms;
                Seeding::Stale(*read)
            }
        }
    }

    /// A turn for reading a key's books for the first time: callers of one key wait for one another, and all but the
    /// first then find it known.
    pub async fn first_sight(&self, key: &ApiKey) -> impl Drop + Send + '_ {
        self.0.first_sights[lane(key.id)].lock().await
    }

    /// A turn for reading the books beside the requests.
    pub async fn reading(&self) -> impl Drop + Send + '_ {
        self.0.readings.acquire().await.expect("it is never closed")
    }

    /// Takes over what the books say was used on a day. A figure that is lower than our own is only older, and is
    /// ignored; so is one of another day, read just before midnight.
    pub fn seed(&self, key: &ApiKey, read: KeyDay) {
        let now = self.now();
        let mut shard = self.shard(key.id);
        let meter = shard.meter(key.id, now);
        if meter.day == read.day {
            meter.used = meter.used.max(read.used);
        }
        meter.read = Some((read, now.ms));
    }

    fn now(&self) -> Now {
        let now = self.0.clock.now();
        let (hour, minute, second) = now.to_hms();
        let passed = u32::from(hour) * 3_600 + u32::from(minute) * 60 + u32::from(second);
        Now {
            ms: now.unix_timestamp() * 1_000 + i64::from(now.millisecond()),
            day: now.date(),
            day_left_s: 86_400 - passed,
        }
    }

    fn shard(&self, key: KeyId) -> MutexGuard<'_, Shard> {
        self.0.shards[lane(key)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The low bits of an id are random.
fn lane(key: KeyId) -> usize {
    usize::try_from(key.0.unsigned_abs()).unwrap_or(0) % SHARDS
}

impl Admission {
    /// Replaces the worst case by what was used.
    pub fn correct(mut self, actual_tokens: u64) {
        self.actual = actual_tokens; // `drop` books it
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let now = self.limits.now();
        let mut shard = self.limits.shard(self.key);
        let meter = shard.meter(self.key, now);
        meter.reserved = meter.reserved.saturating_sub(self.worst_case);
        meter.used = meter.used.saturating_add(self.actual);
    }
}

impl Shard {
    fn meter(&mut self, key: KeyId, now: Now) -> &mut Meter {
        if !self.meters.contains_key(&key) {
            self.forget(now);
        }
        let meter = self.meters.entry(key).or_insert_with(|| Meter {
            requests: Window::default(),
            day: now.day,
            used: 0,
            reserved: 0,
            read: None,
            seen_ms: now.ms,
        });
        meter.seen_ms = now.ms;
        meter.requests.forget(now.ms);
        if meter.day < now.day {
            meter.day = now.day;
            meter.used = 0;
        }
        meter
    }

    fn forget(&mut self, now: Now) {
        if now.ms - self.swept_ms >= IDLE_MS {
            self.meters.retain(|_, meter| meter.reserved > 0 || now.ms - meter.seen_ms < IDLE_MS);
            self.swept_ms = now.ms;
        }
        make_room(&mut self.meters, MAX_KEYS_PER_SHARD, |meter| {
            (meter.reserved == 0).then_some(meter.seen_ms)
        });
    }
}

impl Meter {
    fn refusal(&self, key: &ApiKey, worst_case: u64, now: Now) -> Option<(Which, std::time::Duration, bool)> {
        let midnight = std::time::Duration::from_secs(u64::from(now.day_left_s));
        if worst_case > key.tokens_per_day {
            return Some((Which::TokensPerDay, midnight, true));
        }
        let wait_ms = self.requests.wait_ms(now.ms, key.requests_per_minute);
        if wait_ms > 0 {
            return Some((Which::RequestsPerMinute, std::time::Duration::from_millis(wait_ms), false));
        }
        let settled = self.used.saturating_add(worst_case);
        if settled > key.tokens_per_day {
            return Some((Which::TokensPerDay, midnight, false));
        }
        // It would fit if the requests in flight used nothing: their corrections may make room at any moment.
        let fits = settled.saturating_add(self.reserved) <= key.tokens_per_day;
        (!fits).then_some((Which::TokensPerDay, BUSY_RETRY.min(midnight), false))
    }

    fn headers(&self, key: &ApiKey, now: Now) -> RateHeaders {
        RateHeaders {
            limit_requests: key.requests_per_minute,
            remaining_requests: key.requests_per_minute.saturating_sub(self.requests.total()),
            reset_requests_s: self.requests.reset_s(now.ms),
            limit_tokens: key.tokens_per_day,
            remaining_tokens: key.tokens_per_day.saturating_sub(self.used).saturating_sub(self.reserved),
            reset_tokens_s: now.day_left_s,
        }
    }
}

/// Only for tests that look at memory.
#[cfg(test)]
impl Limits {
    fn tracked(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.lock().expect("not poisoned").meters.len()).sum()
    }
}

#[cfg(test)]
mod tests;
