//! The keys that this process has seen lately, and the public ids that were found not to exist.
//!
//! Only keys with a row enter the first map, so strangers can fill only the second, which is small and short-lived.
//! A key that someone still holds is never evicted: its [`super::Revocation`] could no longer be fired.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use time::{Duration, OffsetDateTime};
use types::{Clock, KeyId};

use super::store::{Proof, Row};
use super::{ApiKey, BELIEVED_FOR, Revocation};
use crate::key_text::PublicId;
use ::limits::make_room;

/// Keys held at once: about 60 MB at worst. Past it the ones used longest ago leave and are read again when they come.
const MAX_KNOWN: usize = 100_000;
/// Ids known not to work, at once: about 1 MB.
const MAX_ABSENT: usize = 10_000;
/// How long "there is no such key" is believed. Short: it only has to blunt a client that retries in a loop.
const ABSENT_FOR: Duration = Duration::seconds(30);
/// A key that nobody has used for this long is not refreshed any more but dropped.
const IDLE_FOR: Duration = Duration::minutes(10);

/// What memory says about a presented key.
pub(super) enum Recall {
    Key(Arc<ApiKey>),
    Refused,
    Unknown,
}

pub(super) struct Entry {
    pub(super) key: Arc<ApiKey>,
    pub(super) proof: Proof,
    read_at: OffsetDateTime,
    used: Arc<Used>,
}

/// Unix microseconds; 0 is never.
#[derive(Default)]
struct Used {
    last: AtomicI64,
    written: AtomicI64,
}

impl Entry {
    pub(super) fn touch(&self, now: OffsetDateTime) {
        self.used.last.fetch_max(micros(now), Ordering::Relaxed);
    }

    fn is_held(&self) -> bool {
        Arc::strong_count(&self.key) > 1 || self.key.revoked.is_watched()
    }

    fn last_seen(&self) -> i64 {
        self.used.last.load(Ordering::Relaxed).max(micros(self.read_at))
    }
}

/// A use that is not in the table yet.
#[derive(Clone, Copy)]
pub(super) struct Use {
    public_id: PublicId,
    pub(super) id: KeyId,
    pub(super) at: OffsetDateTime,
}

pub(super) struct Cache {
    clock: Clock,
    maps: RwLock<Maps>,
}

struct Maps {
    known: HashMap<PublicId, Arc<Entry>>,
    absent: HashMap<PublicId, OffsetDateTime>,
    /// Raised by every change that is applied, so that a row read before it is not cached after it.
    generation: u64,
    /// Up to when every announced change has been applied.
    confirmed_at: OffsetDateTime,
}

impl Cache {
    pub(super) fn new(clock: Clock, now: OffsetDateTime) -> Self {
        let maps = Maps { known: HashMap::new(), absent: HashMap::new(), generation: 0, confirmed_at: now };
        Self { clock, maps: RwLock::new(maps) }
    }

    pub(super) fn len(&self) -> usize {
        self.read().known.len()
    }

    pub(super) fn generation(&self) -> u64 {
        self.read().generation
    }

    /// The cached key, if it may still be believed.
    pub(super) fn get(&self, id: PublicId, now: OffsetDateTime) -> Option<Arc<Entry>> {
        let maps = self.read();
        let entry = maps.known.get(&id)?;
        (now - entry.read_at.max(maps.confirmed_at) < BELIEVED_FOR).then(|| Arc::clone(entry))
    }

    pub(super) fn is_absent(&self, id: PublicId, now: OffsetDateTime) -> bool {
        self.read().absent.get(&id).is_some_and(|until| now < *until)
    }

    /// Caches what a look-up found, unless something changed since `generation` was read. Fails when every place is
    /// taken by a key that is in use at this moment.
    pub(super) fn put(
        &self,
        id: PublicId,
        row: Option<Row>,
        generation: u64,
        now: OffsetDateTime,
    ) -> Result<(), anyhow::Error> {
        let mut maps = self.write();
        if maps.generation != generation {
            return Ok(());
        }
        if maps.known.contains_key(&id) {
            maps.replace(id, row, now);
            return Ok(());
        }
        let Some(row) = row.filter(|row| row.view.is_active(now)) else {
            maps.refuse(id, now);
            return Ok(());
        };
        make_room(&mut maps.known, MAX_KNOWN, |entry| (!entry.is_held()).then(|| entry.last_seen()));
        anyhow::ensure!(maps.known.len() < MAX_KNOWN, "{MAX_KNOWN} keys are in use in this process at once");
        let revoked = Revocation::new(self.clock.clone(), row.view.expires_at);
        let entry =
            Entry { key: Arc::new(row.key(revoked)), proof: row.proof, read_at: now, used: Arc::default() };
        maps.known.insert(id, Arc::new(entry));
        Ok(())
    }

    /// Applies what a cached key's row says now: new limits, an end, or that it is over.
    pub(super) fn replace(&self, id: PublicId, row: Option<Row>, now: OffsetDateTime) {
        self.write().replace(id, row, now);
    }

    /// A key is over, as this process itself has just written.
    pub(super) fn end(&self, id: PublicId, now: OffsetDateTime) {
        let mut maps = self.write();
        maps.generation += 1;
        maps.end(id, now);
    }

    /// A key ends at `end`, as this process itself has just written.
    pub(super) fn end_at(&self, id: PublicId, end: OffsetDateTime, now: OffsetDateTime) {
        if end <= now {
            return self.end(id, now);
        }
        let mut maps = self.write();
        maps.generation += 1;
        if let Some(entry) = maps.known.get(&id) {
            entry.key.revoked.set_end(Some(end));
        }
    }

    /// Notes that these rows changed; the cached ones among them, to be read again.
    pub(super) fn mark_changed(&self, ids: &[PublicId]) -> Vec<PublicId> {
        if ids.is_empty() {
            return Vec::new();
        }
        let mut maps = self.write();
        maps.generation += 1;
        for id in ids {
            maps.absent.remove(id);
        }
        ids.iter().copied().filter(|id| maps.known.contains_key(id)).collect()
    }

    /// Ends the keys whose overlap is over.
    pub(super) fn fire_expired(&self, now: OffsetDateTime) {
        let over: Vec<PublicId> = self
            .read()
            .known
            .iter()
            .filter(|(_, entry)| entry.key.revoked.is_revoked())
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.end(id, now);
        }
    }

    /// Every change announced before `now` has been applied.
    pub(super) fn confirm(&self, now: OffsetDateTime) {
        self.write().confirmed_at = now;
    }

    /// Forgets what nobody uses and returns what is left.
    pub(super) fn drop_idle(&self, now: OffsetDateTime) -> Vec<PublicId> {
        let cutoff = micros(now - IDLE_FOR);
        let mut maps = self.write();
        maps.absent.retain(|_, until| now < *until);
        maps.known.retain(|_, entry| entry.is_held() || entry.last_seen() > cutoff);
        maps.known.keys().copied().collect()
    }

    /// Uses that the table does not know yet. A key evicted from a full cache within 30 s of its use is left out.
    pub(super) fn unwritten_uses(&self) -> Vec<Use> {
        let maps = self.read();
        let unwritten = maps.known.iter().filter_map(|(public_id, entry)| {
            let last = entry.used.last.load(Ordering::Relaxed);
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(last) * 1_000).ok()?;
            (last > entry.used.written.load(Ordering::Relaxed)).then_some(Use {
                public_id: *public_id,
                id: entry.key.id,
                at,
            })
        });
        unwritten.collect()
    }

    /// These uses are in the table now.
    pub(super) fn uses_written(&self, uses: &[Use]) {
        let maps = self.read();
        for each in uses {
            if let Some(entry) = maps.known.get(&each.public_id) {
                entry.used.written.fetch_max(micros(each.at), Ordering::Relaxed);
            }
        }
    }

    // Nothing panics while it holds the lock, and every map is whole between two lines; a poisoned lock is as good.
    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn replace(&mut self, id: PublicId, row: Option<Row>, now: OffsetDateTime) {
        let Some(old) = self.known.get(&id) else { return };
        let Some(row) = row.filter(|row| row.view.is_active(now)) else {
            self.end(id, now);
            return;
        };
        let revoked = old.key.revoked.clone();
        revoked.set_end(row.view.expires_at);
        // The same signal goes on: streams that began under the old row are cut by the new one's end.
        let entry = Entry {
            key: Arc::new(row.key(revoked)),
            proof: row.proof,
            read_at: now,
            used: Arc::clone(&old.used),
        };
        self.known.insert(id, Arc::new(entry));
    }

    fn end(&mut self, id: PublicId, now: OffsetDateTime) {
        if let Some(entry) = self.known.remove(&id) {
            entry.key.revoked.fire();
        }
        self.refuse(id, now);
    }

    fn refuse(&mut self, id: PublicId, now: OffsetDateTime) {
        make_room(&mut self.absent, MAX_ABSENT, |until| Some(*until));
        self.absent.insert(id, now + ABSENT_FOR);
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000_000 + i64::from(at.microsecond())
}
