//! API keys: recognise, make, list, rotate, revoke (SPEC §6).
//!
//! What always holds:
//! * The plain key lives as long as the request that carries it. The cache knows a key by its public id and keeps only
//!   what the table keeps: salt and hash, compared in constant time.
//! * Unknown, wrong, revoked and expired keys get one and the same refusal.
//! * A recognised key costs one HMAC and no SQL. The cache is bounded, follows the `changes` table every 500 ms, is
//!   read again in full every [`REFRESH_EVERY`] in case a change was missed, and **fails closed**: what the database
//!   has not confirmed for [`BELIEVED_FOR`] is looked up again, so with the database away that long no key works. A
//!   shorter outage is bridged, a revocation is never outlived by more than that.
//! * Revocation cuts open streams: every [`ApiKey`] carries a [`Revocation`] that fires.
//!
//! * An account makes few keys a day, and what has ended leaves the table in time.
//!
//! Deliberately absent: the tier's rules, the limits (see [`crate::limits`]), and any knowledge of accounts.

mod cache;
mod manage;
mod revocation;
mod store;

use std::net::IpAddr;
use std::sync::Arc;

use ring::rand::SystemRandom;
use sqlx::PgPool;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};
use types::{AccountId, Clock, CommunityId, KeyId, Tier};

use crate::changes::{self, Tail};
use crate::key_text::{KeyKind, KeyText, PublicId};
use crate::per_minute::PerMinute;
use crate::{Peppers, Scopes, ShownOnce};

use cache::{Cache, Recall};
pub use revocation::Revocation;

/// Active keys of one account at most (SPEC §6).
pub const MAX_ACTIVE_KEYS: i64 = 10;
/// The longest overlap of a rotation (SPEC §13).
pub const MAX_OVERLAP: Duration = Duration::days(7);
/// The overlap when the caller names none.
pub const DEFAULT_OVERLAP: Duration = Duration::hours(1);
/// A key's name, in characters: a label, not a document. The table checks the same.
pub const MAX_NAME_CHARACTERS: usize = 80;
/// Keys that an account may make in 24 hours, by whatever way, those that have ended counted (SPEC §14).
pub const MAX_MADE_A_DAY: i64 = 20;
/// The day of [`MAX_MADE_A_DAY`]: any 24 hours.
pub const MADE_WITHIN: Duration = Duration::hours(24);
/// A key that ended longer ago is not listed any more.
pub const LISTED_AFTER_END: Duration = Duration::days(30);
/// A key that ended longer ago is deleted when its account makes another: the table has an end.
pub const KEPT_AFTER_END: Duration = Duration::days(90);
/// A list shows the newest keys, and a page has to end.
pub const MAX_LISTED: i64 = 200;
/// Every cached key is read again this often, so that a missed change heals.
pub const REFRESH_EVERY: Duration = Duration::seconds(60);
/// What the database has not confirmed for this long is not believed any more: the same bound as for service keys.
pub const BELIEVED_FOR: Duration = Duration::minutes(5);
/// Failed keys of one address in any minute (SPEC §13).
const MAX_FAILURES: usize = 20;
/// Lookups of one key that run at once: a restart under load must not send the same query a thousand times.
const LOOKUP_LANES: usize = 64;

/// A recognised key: who asks and what they may do.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The row.
    pub id: KeyId,
    /// The 12 characters that lists and logs show.
    pub public_id: String,
    /// The community whose budget pays.
    pub community: CommunityId,
    /// Who pays.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// Sandbox or live.
    pub kind: KeyKind,
    /// What it may do.
    pub scopes: Scopes,
    /// Requests in any minute.
    pub requests_per_minute: u32,
    /// Tokens in a UTC day.
    pub tokens_per_day: u64,
    /// Fires when the key is revoked or its overlap ends.
    pub revoked: Revocation,
}

impl ApiKey {
    /// The tier that the key acts as (SPEC §13): 1 for a sandbox key, 4 for a live one, narrowed by its scopes.
    pub fn tier(&self) -> Tier {
        match self.kind {
            KeyKind::Sandbox => Tier::SANDBOX,
            KeyKind::Live => Tier::LIVE,
        }
    }
}

/// Why a presented key was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefusal {
    /// It is not a key of ours, or one with a typo: the checksum does not fit.
    #[error("this is not a key of ours: a character is wrong or missing")]
    Malformed,
    /// Unknown, wrong, revoked or expired; which of them is nobody's business.
    #[error("this key is not valid")]
    Refused,
    /// Too many failed keys from this address. A key that was recognised lately is still served.
    #[error("too many failed keys from this address")]
    TooManyFailures {
        /// Seconds until the next try is looked at.
        retry_after_s: u32,
    },
    /// The key could not be checked.
    #[error("the key could not be checked")]
    Unexpected(#[source] anyhow::Error),
}

/// The limits of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests in any minute, at least 1.
    pub requests_per_minute: u32,
    /// Tokens in a UTC day, at least 1.
    pub tokens_per_day: u64,
}

impl KeyLimits {
    /// The smaller of both, each for itself.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        Self {
            requests_per_minute: self.requests_per_minute.min(other.requests_per_minute),
            tokens_per_day: self.tokens_per_day.min(other.tokens_per_day),
        }
    }

    /// What a key gets when nobody says otherwise (SPEC §6).
    pub fn default_for(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Sandbox => Self { requests_per_minute: 10, tokens_per_day: 10_000 },
            KeyKind::Live => Self { requests_per_minute: 60, tokens_per_day: 100_000 },
        }
    }
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// The community whose budget pays.
    pub community: CommunityId,
    /// Who pays.
    pub account: AccountId,
    /// A label of 1–80 characters; white space around it is cut.
    pub name: String,
    /// Sandbox or live.
    pub kind: KeyKind,
    /// What it may do.
    pub scopes: Scopes,
    /// How much.
    pub limits: KeyLimits,
}

/// A key as its owner's list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// The row.
    pub id: KeyId,
    /// The 12 characters by which routes name it.
    pub public_id: String,
    /// The community whose budget pays.
    pub community: CommunityId,
    /// Who pays.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// Sandbox or live.
    pub kind: KeyKind,
    /// What it may do.
    pub scopes: Scopes,
    /// Requests in any minute.
    pub requests_per_minute: u32,
    /// Tokens in a UTC day.
    pub tokens_per_day: u64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it was last recognised, at most 60 s behind; `None` for never.
    pub last_used_at: Option<OffsetDateTime>,
    /// When a rotation's overlap ends.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// The public id of the key that a rotation put in its place.
    pub replaced_by: Option<String>,
}

impl ApiKeyRow {
    /// Whether the key works at `now`.
    pub fn is_active(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A key that was just made.
#[derive(Debug)]
pub struct NewKey {
    /// Its row.
    pub key: ApiKeyRow,
    /// Its text, for the one answer that shows it.
    pub secret: ShownOnce,
}

/// Why a key could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The account has [`MAX_ACTIVE_KEYS`] active keys. A rotation with an overlap needs room for both keys; one
    /// without an overlap does not.
    #[error("an account has at most {MAX_ACTIVE_KEYS} active keys: revoke one first")]
    TooMany,
    /// The account made [`MAX_MADE_A_DAY`] keys in the last 24 hours.
    #[error("an account makes at most {MAX_MADE_A_DAY} keys a day, and the next one at {}", moment(*.until))]
    TooManyToday {
        /// When the oldest of them is a day old.
        until: OffsetDateTime,
        /// Seconds until then.
        retry_after_s: u32,
    },
    /// The account has no such key, or it does not work any more.
    #[error("there is no such key")]
    NotFound,
    /// The key was rotated before; rotate its successor.
    #[error("this key was replaced before: rotate the newer one")]
    AlreadyReplaced,
    /// Whoever asked may not do this to that key.
    #[error(
        "this key is out of the caller's reach: sign in with the wallet that owns the account, or let the key do it itself"
    )]
    Beyond,
    /// The name is empty, too long, or holds control characters.
    #[error("a key's name has 1 to {MAX_NAME_CHARACTERS} characters and no control characters")]
    BadName,
    /// A limit is 0 or beyond what a row can hold.
    #[error("a key's limits start at 1")]
    BadLimits,
    /// The overlap is negative or longer than [`MAX_OVERLAP`].
    #[error("the overlap of a rotation lies between 0 and 7 days")]
    BadOverlap,
    /// The database did not answer as it should.
    #[error("the key could not be written")]
    Unexpected(#[source] anyhow::Error),
}

/// RFC 3339, in UTC, to the second.
fn moment(at: OffsetDateTime) -> String {
    let whole = at.to_offset(UtcOffset::UTC).replace_nanosecond(0).unwrap_or(at);
    whole.format(&Rfc3339).unwrap_or_default()
}

impl From<sqlx::Error> for KeyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

/// The process's view of all keys. Cheap to clone; clones share one cache.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    db: PgPool,
    peppers: Peppers,
    clock: Clock,
    random: SystemRandom,
    cache: Cache,
    failures: PerMinute,
    lanes: Vec<tokio::sync::Mutex<()>>,
    follow: tokio::sync::Mutex<Follow>,
}

/// How far the process has followed the table; one poll at a time.
struct Follow {
    tail: Tail,
    refreshed_at: OffsetDateTime,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyRing").field("cached", &self.0.cache.len()).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// An empty view on the keys in `db`.
    pub fn new(db: PgPool, peppers: Peppers, clock: Clock) -> Self {
        let now = clock.now();
        Self(Arc::new(Inner {
            db,
            peppers,
            random: SystemRandom::new(),
            cache: Cache::new(clock.clone(), now),
            clock,
            failures: PerMinute::new(MAX_FAILURES),
            lanes: (0..LOOKUP_LANES).map(|_| tokio::sync::Mutex::default()).collect(),
            follow: tokio::sync::Mutex::new(Follow { tail: Tail::default(), refreshed_at: now }),
        }))
    }

    /// Recognises a key. Hot path: no SQL and no await for a key that was seen before.
    ///
    /// Failures are counted per address (20 a minute); past that, an address gets only keys recognised that are in the
    /// cache, so that a stranger behind the same address cannot lock a working client out.
    pub async fn authenticate(&self, presented: &str, ip: IpAddr) -> Result<Arc<ApiKey>, KeyRefusal> {
        let inner = &*self.0;
        let now = inner.clock.now();
        let Some(text) = KeyText::parse(presented) else {
            return Err(self.failed(ip, now, KeyRefusal::Malformed));
        };
        match inner.recall(&text, now)? {
            Recall::Key(key) => return Ok(key),
            Recall::Refused => return Err(self.failed(ip, now, KeyRefusal::Refused)),
            Recall::Unknown => {}
        }
        if let Some(retry_after_s) = inner.failures.blocked(ip, now) {
            return Err(KeyRefusal::TooManyFailures { retry_after_s });
        }
        match inner.look_up(&text).await? {
            Some(key) => Ok(key),
            None => Err(self.failed(ip, now, KeyRefusal::Refused)),
        }
    }

    fn failed(&self, ip: IpAddr, now: OffsetDateTime, refusal: KeyRefusal) -> KeyRefusal {
        match self.0.failures.count(ip, now) {
            None => refusal,
            Some(retry_after_s) => KeyRefusal::TooManyFailures { retry_after_s },
        }
    }

    /// Follows the `changes` table: re-reads changed keys, fires their revocations, and every [`REFRESH_EVERY`] reads
    /// all cached keys again. The server calls it every 500 ms; an error is safe to ignore once, the next call catches
    /// up.
    pub async fn poll_changes(&self) -> Result<(), sqlx::Error> {
        let inner = &*self.0;
        let mut follow = inner.follow.lock().await;
        let now = inner.clock.now();
        let rows = follow.tail.read(&inner.db).await?;
        let changed: Vec<PublicId> = rows
            .iter()
            .filter(|row| row.topic == changes::API_KEY)
            .filter_map(|row| PublicId::parse(&row.subject))
            .collect();
        let stale = inner.cache.mark_changed(&changed);
        inner.read_again(&stale, now).await?;
        follow.tail.advance(&rows, now);
        inner.cache.fire_expired(now);
        inner.cache.confirm(now);
        if now - follow.refreshed_at >= REFRESH_EVERY {
            let cached = inner.cache.drop_idle(now);
            inner.read_again(&cached, now).await?;
            changes::prune(&inner.db, now).await?;
            follow.refreshed_at = now;
        }
        Ok(())
    }

    /// Writes when keys were last used. The server calls it every 30 s, which keeps `last_used_at` within 60 s.
    pub async fn flush_last_used(&self) -> Result<(), sqlx::Error> {
        let used = self.0.cache.unwritten_uses();
        for batch in used.chunks(store::BATCH) {
            store::write_last_used(&self.0.db, batch).await?;
            self.0.cache.uses_written(batch);
        }
        Ok(())
    }
}

impl Inner {
    /// Answers from memory.
    fn recall(&self, text: &KeyText<'_>, now: OffsetDateTime) -> Result<Recall, KeyRefusal> {
        let Some(entry) = self.cache.get(text.public_id, now) else {
            return Ok(if self.cache.is_absent(text.public_id, now) {
                Recall::Refused
            } else {
                Recall::Unknown
            });
        };
        let fits = entry.proof.verify(&self.peppers, text.secret).map_err(KeyRefusal::Unexpected)?;
        if !fits || entry.key.kind != text.kind || entry.key.revoked.is_revoked() {
            return Ok(Recall::Refused);
        }
        entry.touch(now);
        Ok(Recall::Key(Arc::clone(&entry.key)))
    }

    /// Reads the row and answers from memory again. Callers for the same key wait for one another: one query for all.
    async fn look_up(&self, text: &KeyText<'_>) -> Result<Option<Arc<ApiKey>>, KeyRefusal> {
        /// A row that changes more often than this while it is being read is no ordinary row.
        const MAX_READS: u32 = 8;
        let lane = usize::from(text.public_id.as_str().as_bytes()[0]) * 31
            + usize::from(text.public_id.as_str().as_bytes()[1]);
        let _turn = self.lanes[lane % LOOKUP_LANES].lock().await;
        for _ in 0..MAX_READS {
            let now = self.clock.now();
            match self.recall(text, now)? {
                Recall::Key(key) => return Ok(Some(key)),
                Recall::Refused => return Ok(None),
                Recall::Unknown => {}
            }
            // A revocation that is applied between this line and `put` raises the generation, and the row, which may
            // be from before it, is read again instead of being cached.
            let generation = self.cache.generation();
            let row = store::read_one(&self.db, text.public_id)
                .await
                .map_err(|error| KeyRefusal::Unexpected(error.into()))?;
            self.cache.put(text.public_id, row, generation, now).map_err(KeyRefusal::Unexpected)?;
        }
        Err(KeyRefusal::Unexpected(anyhow::anyhow!(
            "key {} kept changing while it was read",
            text.public_id.as_str()
        )))
    }

    async fn read_again(&self, ids: &[PublicId], now: OffsetDateTime) -> Result<(), sqlx::Error> {
        for batch in ids.chunks(store::BATCH) {
            let mut rows = store::read_many(&self.db, batch).await?;
            for id in batch {
                self.cache.replace(*id, rows.remove(id), now);
            }
        }
        Ok(())
    }
}
