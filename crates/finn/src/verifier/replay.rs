//! Which tokens were used: a `jti` passes once while its token lives.
//!
//! [`MemoryReplay`] is per process; a set shared by processes stands behind the same port and is wrapped in
//! [`WithFallback`], so that its loss degrades to the memory set and is counted, instead of stopping all traffic.
//! Bounded: when the set is full it refuses, it never forgets a living token.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// Shards, so that threads seldom wait for each other; the lock is held for one insertion.
const SHARDS: usize = 16;
/// Living tokens in one shard: 16 × 65,536 tokens in 65 s are 16,000 requests a second, at about 64 MiB.
const MAX_PER_SHARD: usize = 65_536;

/// Whether this was a token's first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Never seen.
    First,
    /// A replay.
    Again,
}

/// The set cannot answer: full, or out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replay set cannot answer")]
pub struct GuardUnavailable;

/// What a guard answers, perhaps after a round trip.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Use, GuardUnavailable>> + Send + 'a>>;

/// A set of used tokens.
pub trait ReplayGuard: Send + Sync {
    /// Marks `jti` as used until `until` (both times in Unix seconds) and says whether it was new, atomically.
    fn first_use<'a>(&'a self, jti: &'a str, now: i64, until: i64) -> Answer<'a>;
}

/// The set of this process.
pub struct MemoryReplay {
    hashers: (RandomState, RandomState),
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    /// 128 keyed bits stand for a `jti`: small, and nobody can aim at a collision.
    living: HashMap<u128, i64>,
    by_second: BTreeMap<i64, Vec<u128>>,
}

impl Default for MemoryReplay {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryReplay {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hashers: (RandomState::new(), RandomState::new()),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// See [`ReplayGuard::first_use`]; needs no await.
    pub fn first_use_now(&self, jti: &str, now: i64, until: i64) -> Result<Use, GuardUnavailable> {
        let (left, right) = (self.hashers.0.hash_one(jti), self.hashers.1.hash_one(jti));
        let mark = u128::from(left) << 64 | u128::from(right);
        let index = usize::try_from(left % SHARDS as u64).expect("below 16");
        let mut shard = self.shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        shard.forget_before(now);
        if shard.living.contains_key(&mark) {
            return Ok(Use::Again);
        }
        if shard.living.len() >= MAX_PER_SHARD {
            return Err(GuardUnavailable);
        }
        shard.living.insert(mark, until);
        shard.by_second.entry(until).or_default().push(mark);
        Ok(Use::First)
    }

    /// How many tokens are remembered; for tests and `/readyz`.
    #[must_use]
    pub fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).living.len();
        self.shards.iter().map(count).sum()
    }

    /// Nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    fn forget_before(&mut self, now: i64) {
        while let Some(oldest) = self.by_second.first_entry() {
            if *oldest.key() > now {
                return;
            }
            for mark in oldest.remove() {
                self.living.remove(&mark);
            }
        }
    }
}

impl ReplayGuard for MemoryReplay {
    fn first_use<'a>(&'a self, jti: &'a str, now: i64, until: i64) -> Answer<'a> {
        let answer = self.first_use_now(jti, now, until);
        Box::pin(std::future::ready(answer))
    }
}

/// A shared set in front of which stands this process's own.
///
/// The own set is asked first: it is free, and a token replayed to the same process never costs a round trip.
pub struct WithFallback {
    shared: Arc<dyn ReplayGuard>,
    own: MemoryReplay,
}

impl WithFallback {
    /// Wraps a set that several processes share.
    #[must_use]
    pub fn new(shared: Arc<dyn ReplayGuard>) -> Self {
        Self { shared, own: MemoryReplay::new() }
    }
}

impl ReplayGuard for WithFallback {
    fn first_use<'a>(&'a self, jti: &'a str, now: i64, until: i64) -> Answer<'a> {
        Box::pin(async move {
            let own = self.own.first_use_now(jti, now, until)?;
            if own == Use::Again {
                return Ok(own);
            }
            if let Ok(shared) = self.shared.first_use(jti, now, until).await {
                Ok(shared)
            } else {
                metrics::counter!("finn_replay_degraded_total").increment(1);
                Ok(own)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_passes_once_while_it_lives_and_is_forgotten_after() {
        let set = MemoryReplay::new();
        assert_eq!(set.first_use_now("a", 100, 165), Ok(Use::First));
        assert_eq!(set.first_use_now("a", 100, 165), Ok(Use::Again));
        assert_eq!(set.first_use_now("a", 164, 200), Ok(Use::Again), "another expiry is no way round");
        assert_eq!(set.first_use_now("b", 100, 165), Ok(Use::First));
        assert_eq!(set.len(), 2);
        // Every shard forgets when it is next used.
        for number in 0..400 {
            let _ = set.first_use_now(&format!("later {number}"), 165, 166);
        }
        assert_eq!(set.len(), 400);
    }

    #[test]
    fn a_full_set_refuses_and_never_forgets_a_living_token() {
        let set = MemoryReplay::new();
        assert_eq!(set.first_use_now("first", 0, 60), Ok(Use::First));
        let mut refused = 0;
        for number in 0..SHARDS * MAX_PER_SHARD + 10_000 {
            if set.first_use_now(&number.to_string(), 0, 60).is_err() {
                refused += 1;
            }
        }
        assert!(refused > 0);
        assert!(set.len() <= SHARDS * MAX_PER_SHARD);
        assert_eq!(set.first_use_now("first", 0, 60), Ok(Use::Again));
    }

    #[test]
    fn one_of_many_at_once_wins() {
        let set = MemoryReplay::new();
        let wins: usize = std::thread::scope(|scope| {
            let ask = || usize::from(set.first_use_now("same", 0, 60) == Ok(Use::First));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(wins, 1);
    }

    struct Scripted(Result<Use, GuardUnavailable>);
    impl ReplayGuard for Scripted {
        fn first_use<'a>(&'a self, _: &'a str, _: i64, _: i64) -> Answer<'a> {
            Box::pin(std::future::ready(self.0))
        }
    }

    #[tokio::test]
    async fn a_shared_set_decides_and_its_loss_degrades_to_memory() {
        let seen_elsewhere = WithFallback::new(Arc::new(Scripted(Ok(Use::Again))));
        assert_eq!(seen_elsewhere.first_use("a", 0, 60).await, Ok(Use::Again));
        let away = WithFallback::new(Arc::new(Scripted(Err(GuardUnavailable))));
        assert_eq!(away.first_use("a", 0, 60).await, Ok(Use::First));
        assert_eq!(away.first_use("a", 0, 60).await, Ok(Use::Again));
    }
}
