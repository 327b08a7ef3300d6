//! freeside's public keys: fetched, kept, revalidated, and believed for a limited time (SPEC §4).
//!
//! What always holds: looking a key up takes no lock that a fetch holds; one fetch at a time; an unknown `kid` causes at
//! most one fetch per cool-down, whoever asks how often; a failed fetch changes nothing; and keys older than
//! [`STALE_SECONDS`] since the last good answer verify nothing, so that a revoked key is dead within five minutes
//! even when nobody can be reached. A key set is parsed once, into the bytes that ring wants.

mod key_set;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Request, StatusCode, Uri};
use time::OffsetDateTime;
use types::Clock;

use client::Client;

pub use key_set::{InvalidKeySet, KeySet, Point};

/// Background revalidation: each minute at the latest, a fetch's time limit included.
pub const REVALIDATE_EVERY: Duration = Duration::from_secs(55);
/// After a failed fetch the background asks again sooner.
pub const RETRY_EVERY: Duration = Duration::from_secs(10);
/// Keys serve this long after the last good answer.
pub const STALE_SECONDS: i64 = 240;
/// An unknown `kid` may cause a fetch this often.
pub const COOL_DOWN_SECONDS: i64 = 10;
/// A fetch that takes longer has failed.
const FETCH_SECONDS: u64 = 5;
/// A set of 64 keys fits four times.
const MAX_SET_BYTES: usize = 64 * 1024;
/// An `ETag` is a hash; a longer one is not worth keeping.
const MAX_ETAG_BYTES: usize = 256;

/// No key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// The set is fresh and has no such key.
    Unknown,
    /// There is no set, or it is too old to be believed.
    Stale,
}

/// Why a fetch brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer in time, or none at all.
    #[error("the key set cannot be reached: {0}")]
    Unreachable(String),
    /// Not 200 or 304.
    #[error("the key set's server answered {0}")]
    Status(u16),
    /// Larger than allowed, or broken off.
    #[error("the key set is larger than {MAX_SET_BYTES} bytes or was cut")]
    Size,
    /// Not a key set.
    #[error(transparent)]
    Invalid(#[from] InvalidKeySet),
}

struct Snapshot {
    keys: Arc<KeySet>,
    /// When freeside last confirmed the set; `None` before the first time.
    good_at: Option<OffsetDateTime>,
    etag: Option<HeaderValue>,
}

/// The cache. One per process, behind an `Arc`.
pub struct JwksCache {
    url: Uri,
    client: Client,
    clock: Clock,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held while fetching; the time of the last fetch that an unknown `kid` caused.
    fetching: tokio::sync::Mutex<Option<OffsetDateTime>>,
}

/// The address of the key set is not an http(s) URL.
#[derive(Debug, thiserror::Error)]
#[error("the address of the key set must be an absolute http(s) URL")]
pub struct BadUrl;

impl JwksCache {
    /// An empty cache for the key set at `url`; nothing is fetched yet.
    pub fn new(url: &str, client: Client, clock: Clock) -> Result<Self, BadUrl> {
        let url: Uri = url.parse().map_err(|_| BadUrl)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.authority().is_none() {
            return Err(BadUrl);
        }
        let empty = Snapshot { keys: Arc::default(), good_at: None, etag: None };
        Ok(Self {
            url,
            client,
            clock,
            snapshot: RwLock::new(Arc::new(empty)),
            fetching: tokio::sync::Mutex::new(None),
        })
    }

    /// The key of that id; an unknown one, or a stale set, asks freeside once per cool-down.
    pub async fn key(&self, kid: &str) -> Result<Point, NoKey> {
        let before = self.snapshot();
        let Err(miss) = self.look_up(&before, kid) else { return self.look_up(&before, kid) };
        let mut last_miss = self.fetching.lock().await;
        let current = self.snapshot();
        // Somebody fetched while we waited: their answer is ours.
        if !Arc::ptr_eq(&before, &current) {
            return self.look_up(&current, kid);
        }
        let now = self.clock.now();
        let cooling =
            last_miss.is_some_and(|at| (0..COOL_DOWN_SECONDS).contains(&(now - at).whole_seconds()));
        if cooling {
            return Err(miss);
        }
        *last_miss = Some(now);
        if let Err(error) = self.fetch().await {
            metrics::counter!("finn_jwks_fetch_failures_total").increment(1);
            tracing::warn!(%error, "the key set could not be fetched for an unknown key id");
        }
        self.look_up(&self.snapshot(), kid)
    }

    /// Asks freeside whether the set changed. For the background task; errors leave the old set standing.
    pub async fn revalidate(&self) -> Result<(), FetchError> {
        let _one_at_a_time = self.fetching.lock().await;
        self.fetch().await
    }

    /// Revalidates for ever; ends when dropped.
    pub async fn keep_fresh(&self) {
        loop {
            let pause = match self.revalidate().await {
                Ok(()) => REVALIDATE_EVERY,
                Err(error) => {
                    metrics::counter!("finn_jwks_fetch_failures_total").increment(1);
                    tracing::warn!(%error, age_s = self.age_seconds(), "the key set could not be revalidated");
                    RETRY_EVERY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Seconds since the last good answer; `None` before the first.
    #[must_use]
    pub fn age_seconds(&self) -> Option<i64> {
        let good_at = self.snapshot().good_at?;
        Some((self.clock.now() - good_at).whole_seconds())
    }

    /// The set may be believed now.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        // A clock that was set back is no reason to believe longer, hence the distance and not the difference.
        self.age_seconds().is_some_and(|age| age.abs() <= STALE_SECONDS)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn look_up(&self, snapshot: &Snapshot, kid: &str) -> Result<Point, NoKey> {
        let fresh = snapshot
            .good_at
            .is_some_and(|good_at| (self.clock.now() - good_at).whole_seconds().abs() <= STALE_SECONDS);
        if !fresh {
            return Err(NoKey::Stale);
        }
        snapshot.keys.get(kid).ok_or(NoKey::Unknown)
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let limit = Duration::from_secs(FETCH_SECONDS);
        let answer = tokio::time::timeout(limit, self.ask())
            .await
            .map_err(|_| FetchError::Unreachable("time-out".to_owned()))??;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
        Ok(())
    }

    async fn ask(&self) -> Result<Snapshot, FetchError> {
        let old = self.snapshot();
        let mut request = Request::get(self.url.clone())
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::new()))
            .expect("a checked address and a constant header");
        if let Some(etag) = &old.etag {
            request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
        }
        let response =
            self.client.send(request).await.map_err(|error| FetchError::Unreachable(error.to_string()))?;
        let good_at = Some(self.clock.now());
        match response.status() {
            StatusCode::NOT_MODIFIED if old.good_at.is_some() => {
                client::read_all(response.into_body(), MAX_SET_BYTES).await;
                Ok(Snapshot { keys: Arc::clone(&old.keys), good_at, etag: old.etag.clone() })
            }
            StatusCode::OK => {
                let etag = response.headers().get(ETAG).filter(|etag| etag.len() <= MAX_ETAG_BYTES).cloned();
                let body =
                    client::read_all(response.into_body(), MAX_SET_BYTES).await.ok_or(FetchError::Size)?;
                Ok(Snapshot { keys: Arc::new(KeySet::parse(&body)?), good_at, etag })
            }
            other => Err(FetchError::Status(other.as_u16())),
        }
    }
}
