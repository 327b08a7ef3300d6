//! A pot that many clients draw from, and of which each may hold a bounded share at once.
//!
//! Clients are spread over several locks by a keyed hash, and the total is one atomic number: taking a share is cheap
//! where many do so at once. A client that holds nothing takes no memory.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks; two clients on different ones do not wait for each other.
const SHARDS: usize = 16;

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The client holds its whole share.
    Yours,
    /// Nothing is left for anybody.
    Everything,
}

/// A pot: places, bytes, whatever is counted. Cheap to clone; clones count together.
#[derive(Debug)]
pub struct Shares<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    total: usize,
    per_client: usize,
    taken: AtomicUsize,
    hasher: RandomState,
    shards: [Mutex<HashMap<K, usize>>; SHARDS],
}

impl<K> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Copy + Eq + Hash> Shares<K> {
    /// A pot of `total`, of which one client may hold `per_client` at once.
    #[must_use]
    pub fn new(total: usize, per_client: usize) -> Self {
        Self(Arc::new(Inner {
            total,
            per_client,
            taken: AtomicUsize::new(0),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }))
    }

    /// Takes `amount` for `client`; it is given back when the share is dropped.
    pub fn take(&self, client: K, amount: usize) -> Result<Share<K>, Full> {
        self.add(client, amount)?;
        Ok(Share { pot: self.clone(), client, amount })
    }

    /// What all clients hold together.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// What this client holds.
    #[must_use]
    pub fn held_by(&self, client: K) -> usize {
        self.shard(client).get(&client).copied().unwrap_or(0)
    }

    /// The most that one client may hold.
    #[must_use]
    pub fn per_client(&self) -> usize {
        self.0.per_client
    }

    fn add(&self, client: K, amount: usize) -> Result<(), Full> {
        let mut shard = self.shard(client);
        let held = shard.get(&client).copied().unwrap_or(0);
        if held.saturating_add(amount) > self.0.per_client {
            return Err(Full::Yours);
        }
        let more = |taken: usize| taken.checked_add(amount).filter(|sum| *sum <= self.0.total);
        let added = self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        added.map_err(|_| Full::Everything)?;
        shard.insert(client, held + amount);
        Ok(())
    }

    fn give_back(&self, client: K, amount: usize) {
        let mut shard = self.shard(client);
        if let Some(held) = shard.get_mut(&client) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                shard.remove(&client);
            }
        }
        drop(shard);
        self.0.taken.fetch_sub(amount, Ordering::Relaxed);
    }

    fn shard(&self, client: K) -> MutexGuard<'_, HashMap<K, usize>> {
        let hash = self.0.hasher.hash_one(client);
        let index = usize::try_from(hash % 16).unwrap_or(0) % SHARDS;
        self.0.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.lock().expect("not poisoned").len()).sum()
    }
}

/// What a client holds of a pot.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Share<K: Copy + Eq + Hash> {
    pot: Shares<K>,
    client: K,
    amount: usize,
}

impl<K: Copy + Eq + Hash> Share<K> {
    /// Takes more for the same client. Refused, the share stays as it is.
    pub fn grow(&mut self, more: usize) -> Result<(), Full> {
        self.pot.add(self.client, more)?;
        self.amount += more;
        Ok(())
    }

    /// How much it is.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Whose it is.
    #[must_use]
    pub fn client(&self) -> K {
        self.client
    }
}

impl<K: Copy + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.pot.give_back(self.client, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_leaves_the_rest_to_others() {
        let pot = Shares::new(100, 40);
        let first = pot.take("one", 30).expect("there is room");
        assert_eq!(pot.take("one", 11).err(), Some(Full::Yours));
        let second = pot.take("one", 10).expect("its last part");
        assert_eq!((pot.held_by("one"), pot.taken()), (40, 40));
        let other = pot.take("two", 40).expect("another client's share");
        assert_eq!(pot.take("three", 21).err(), Some(Full::Everything));
        assert_eq!(pot.held_by("three"), 0, "a refusal takes nothing");
        drop(first);
        let again = pot.take("three", 30).expect("given back");
        drop((second, other, again));
        assert_eq!((pot.taken(), pot.remembered()), (0, 0), "nothing is remembered of who left");
    }

    #[test]
    fn a_share_grows_as_far_as_the_client_and_the_pot_allow() {
        let pot = Shares::new(100, 60);
        let mut share = pot.take(1, 50).expect("there is room");
        assert_eq!(share.grow(11), Err(Full::Yours));
        assert_eq!(share.grow(10), Ok(()));
        let mut other = pot.take(2, 40).expect("the rest");
        assert_eq!(other.grow(1), Err(Full::Everything));
        assert_eq!((share.amount(), other.amount(), pot.taken()), (60, 40, 100));
        drop(share);
        assert_eq!(other.grow(20), Ok(()));
        assert_eq!(pot.take(2, usize::MAX).err(), Some(Full::Yours), "sums do not wrap");
        drop(other);
        assert_eq!(pot.taken(), 0);
    }

    #[test]
    fn many_threads_never_take_more_than_there_is() {
        let pot = Shares::new(1_000, 300);
        std::thread::scope(|scope| {
            for thread in 0..8_u32 {
                let pot = pot.clone();
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 0..2_000_u32 {
                        match pot.take(thread % 4, 7) {
                            Ok(share) => held.push(share),
                            Err(_) => held.clear(),
                        }
                        assert!(pot.taken() <= 1_000 && pot.held_by(thread % 4) <= 300);
                        if round % 50 == 0 {
                            held.clear();
                        }
                    }
                });
            }
        });
        assert_eq!((pot.taken(), pot.remembered()), (0, 0));
    }
}
