//! How much an account's keys may do: requests in any minute, tokens in a UTC day (SPEC §6, §13, §14).
//!
//! * The limits belong to the payer: an account's keys of one kind share one count, so a new key brings no new minute and
//!   no new day. A key with lower limits has a count of its own beside it.
//! * A request is counted before its body is read ([`Limits::count`]); it stays counted, whatever becomes of it.
//! * Requests: a sliding minute, exact to the millisecond for limits up to 600 a minute and to 100 ms above.
//! * Tokens: the worst case is set aside when it is known ([`Limits::reserve`]) and corrected when the real figure is. What
//!   is still set aside at midnight counts for the new day, where the books will put it as well.
//!
//! Everything is in this process's memory, bounded, and gone after a restart; the day's tokens are read from the books
//! ([`Limits::seeding`], [`Limits::seed`]), and what is new in them every minute, so that several processes come to see
//! one another's tokens. Deliberately absent: money, and the reading itself. [`Limits::count`] and [`Limits::reserve`]
//! only compute, and never wait.

mod meter;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::limits::make_room;
use time::Date;
use tokio::sync::Semaphore;
use types::{AccountId, Clock, CommunityId, KeyId, TokenDay};

use crate::keys::KeyLimits;
use crate::{ApiKey, KeyKind};
use meter::Meter;

/// Locks; two payers on different ones do not wait for each other.
const SHARDS: usize = 16;
/// Payers of one shard: 100,000 in all, about 100 MB if every one of them is at its limit. Only payers with a request in
/// flight are kept beyond that, and those are bounded by the requests in flight.
const MAX_PAYERS_PER_SHARD: usize = 100_000 / SHARDS;
/// A payer without a request for this long is forgotten; its tokens of the day are in the books.
const IDLE_MS: i64 = 10 * 60 * 1_000;
/// What is new in the books is read after this long …
const SEEDED_FOR_MS: i64 = 45 * 1_000;
/// … and up to this much more, by the account's id: those that were first seen together are not read together ever after.
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

/// Whose tokens of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those of all keys of the account and the kind.
    Account,
    /// Those of one key whose limit is lower.
    Key,
}

/// What is known of some tokens of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeding {
    /// The books were read within the last minute, or need not be read.
    Known,
    /// They were, but longer ago. Said to one caller, who reads what is new since then while everybody goes on with what
    /// is known.
    Stale(TokenDay),
    /// This process has not read them: read them, and call [`Limits::seed`], before [`Limits::reserve`].
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

/// All limits of keys. Cheap to clone; clones count together.
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
    meters: HashMap<Payer, Meter>,
    swept_ms: i64,
}

/// Whose the limits are: the keys of one kind of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Payer {
    community: CommunityId,
    account: AccountId,
    kind: KeyKind,
}

impl Payer {
    fn of(key: &ApiKey) -> Self {
        Self { community: key.community, account: key.account, kind: key.kind }
    }

    /// The low bits of an id are random.
    fn lane(self) -> usize {
        usize::try_from(self.account.0.unsigned_abs()).unwrap_or(0) % SHARDS
    }
}

/// Now, as the counts need it.
#[derive(Clone, Copy)]
struct Now {
    ms: i64,
    day: Date,
    day_left_s: u32,
}

/// A request that was counted, and may have its tokens set aside. Nothing gives the count back.
#[derive(Clone, Copy, Debug)]
#[must_use = "a request is counted so that its body is read and its tokens are set aside"]
pub struct Counted(());

/// An admitted request. Dropped without [`Admission::correct`], it gives its worst case back: nothing was delivered.
#[derive(Debug)]
#[must_use = "dropping it gives the tokens back"]
pub struct Admission {
    /// Where the key stands with this request counted.
    pub headers: RateHeaders,
    limits: Limits,
    payer: Payer,
    /// The key, when its own count has the tokens as well.
    narrow: Option<KeyId>,
    /// The key's own tokens of a day.
    tokens_per_day: u64,
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

    /// Counts a request against its key's minute and its account's, before its body is read.
    pub fn count(&self, key: &ApiKey) -> Result<Counted, Limited> {
        let now = self.now();
        let mut shard = self.shard(Payer::of(key));
        let meter = shard.meter_of(key, now);
        let wait_ms = meter.wait_ms(key, now);
        if wait_ms > 0 {
            let retry_after = std::time::Duration::from_millis(wait_ms);
            let headers = meter.headers(key, now);
            return Err(Limited { which: Which::RequestsPerMinute, retry_after, headers, never_fits: false });
        }
        meter.push(key, now);
        Ok(Counted(()))
    }

    /// Sets a counted request's worst case aside, or says why not.
    pub fn reserve(
        &self,
        key: &ApiKey,
        _counted: Counted,
        worst_case_tokens: u64,
    ) -> Result<Admission, Limited> {
        let now = self.now();
        let payer = Payer::of(key);
        let mut shard = self.shard(payer);
        let meter = shard.meter_of(key, now);
        if let Some((retry_after, never_fits)) = meter.refusal(key, worst_case_tokens, now) {
            let headers = meter.headers(key, now);
            return Err(Limited { which: Which::TokensPerDay, retry_after, headers, never_fits });
        }
        let narrow = meter.reserve(key, worst_case_tokens);
        let headers = meter.headers(key, now);
        drop(shard);
        let limits = self.clone();
        let tokens_per_day = key.tokens_per_day;
        Ok(Admission {
            headers,
            limits,
            payer,
            narrow,
            tokens_per_day,
            worst_case: worst_case_tokens,
            actual: 0,
        })
    }

    /// Where the key stands.
    pub fn headers(&self, key: &ApiKey) -> RateHeaders {
        let now = self.now();
        self.shard(Payer::of(key)).meter_of(key, now).headers(key, now)
    }

    /// Whether the tokens of the day, of the account and of the key, have been read from the books lately.
    /// [`Seeding::Stale`] is said to one caller a minute: should that reading fail, the next one is a minute later.
    pub fn seeding(&self, key: &ApiKey) -> [(Of, Seeding); 2] {
        let now = self.now();
        let mut shard = self.shard(Payer::of(key));
        let meter = shard.meter_of(key, now);
        let of_key = meter.narrow(key).map_or(Seeding::Known, |narrow| narrow.tokens.seeding(key.id.0, now));
        [(Of::Account, meter.tokens.seeding(key.account.0, now)), (Of::Key, of_key)]
    }

    /// Whether the books have been read by this process at all.
    pub fn is_read(&self, key: &ApiKey, of: Of) -> bool {
        let now = self.now();
        let mut shard = self.shard(Payer::of(key));
        shard.meter_of(key, now).tokens_of(key, of).is_none_or(|tokens| tokens.is_read())
    }

    /// A turn for reading the books for the first time: callers of one account wait for one another, and all but the
    /// first then find it known.
    pub async fn first_sight(&self, key: &ApiKey) -> impl Drop + Send + '_ {
        self.0.first_sights[Payer::of(key).lane()].lock().await
    }

    /// A turn for reading the books beside the requests.
    pub async fn reading(&self) -> impl Drop + Send + '_ {
        self.0.readings.acquire().await.expect("it is never closed")
    }

    /// Takes over what the books say was used on a day. A figure that is lower than our own is only older, and is
    /// ignored; so is one of another day, read just before midnight.
    pub fn seed(&self, key: &ApiKey, of: Of, read: TokenDay) {
        let now = self.now();
        let mut shard = self.shard(Payer::of(key));
        if let Some(tokens) = shard.meter_of(key, now).tokens_of(key, of) {
            tokens.seed(read, now);
        }
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

    fn shard(&self, payer: Payer) -> MutexGuard<'_, Shard> {
        self.0.shards[payer.lane()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Sets tokens aside up to `to`, for an answer that outgrows what was set aside for it. `false`: the day has not as
    /// many left, and nothing has changed.
    pub fn extend(&mut self, to: u64) -> bool {
        let more = to.saturating_sub(self.worst_case);
        let now = self.limits.now();
        let mut shard = self.limits.shard(self.payer);
        let fits = more == 0 || shard.meter(self.payer, now).extend(self.narrow, self.tokens_per_day, more);
        drop(shard);
        if fits {
            self.worst_case = self.worst_case.max(to);
        }
        fits
    }

    /// Replaces the worst case by what was used.
    pub fn correct(mut self, actual_tokens: u64) {
        self.actual = actual_tokens; // `drop` books it
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let now = self.limits.now();
        let mut shard = self.limits.shard(self.payer);
        shard.meter(self.payer, now).correct(self.narrow, self.worst_case, self.actual, now);
    }
}

impl Shard {
    fn meter_of(&mut self, key: &ApiKey, now: Now) -> &mut Meter {
        let meter = self.meter(Payer::of(key), now);
        meter.know(key, now);
        meter
    }

    fn meter(&mut self, payer: Payer, now: Now) -> &mut Meter {
        if !self.meters.contains_key(&payer) {
            self.forget(now);
        }
        let usual = || Meter::new(KeyLimits::default_for(payer.kind), now);
        let meter = self.meters.entry(payer).or_insert_with(usual);
        meter.pass_time(now);
        meter
    }

    fn forget(&mut self, now: Now) {
        if now.ms - self.swept_ms >= IDLE_MS {
            self.meters.retain(|_, meter| meter.is_in_use() || now.ms - meter.seen_ms < IDLE_MS);
            self.swept_ms = now.ms;
        }
        make_room(&mut self.meters, MAX_PAYERS_PER_SHARD, |meter| {
            (!meter.is_in_use()).then_some(meter.seen_ms)
        });
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
