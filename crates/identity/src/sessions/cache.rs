//! The sessions that this process has seen lately. Only rows that exist enter, so strangers cannot fill it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use time::OffsetDateTime;

use super::{BELIEVED_FOR, Session, SessionId};
use ::limits::make_room;

/// Sessions held at once: about 40 MB at worst. Past it the ones read longest ago leave and are read again.
const MAX_KNOWN: usize = 100_000;

/// What memory says.
pub(super) enum Recall {
    Living(Arc<Session>),
    Over,
    Unknown,
}

struct Entry {
    session: Arc<Session>,
    read_at: OffsetDateTime,
    has_ended: bool,
}

pub(super) struct Cache(RwLock<Maps>);

struct Maps {
    known: HashMap<SessionId, Entry>,
    /// Raised by every end, so that a row read before it is not cached after it.
    generation: u64,
    /// Up to when every announced change has been applied.
    confirmed_at: OffsetDateTime,
}

impl Cache {
    pub(super) fn new(now: OffsetDateTime) -> Self {
        Self(RwLock::new(Maps { known: HashMap::new(), generation: 0, confirmed_at: now }))
    }

    pub(super) fn len(&self) -> usize {
        self.read().known.len()
    }

    pub(super) fn generation(&self) -> u64 {
        self.read().generation
    }

    pub(super) fn get(&self, id: SessionId, now: OffsetDateTime) -> Recall {
        let maps = self.read();
        let Some(entry) = maps.known.get(&id) else { return Recall::Unknown };
        if entry.has_ended || entry.session.expires_at <= now {
            return Recall::Over;
        }
        if now - entry.read_at.max(maps.confirmed_at) >= BELIEVED_FOR {
            return Recall::Unknown;
        }
        Recall::Living(Arc::clone(&entry.session))
    }

    /// Keeps what a look-up found, unless something ended since `generation` was read: then it is answered once and
    /// read again the next time. `None`: this very session has ended meanwhile.
    pub(super) fn put(
        &self,
        session: Arc<Session>,
        generation: u64,
        now: OffsetDateTime,
    ) -> Option<Arc<Session>> {
        let mut maps = self.write();
        if maps.known.get(&session.id).is_some_and(|entry| entry.has_ended) {
            return None;
        }
        if maps.generation == generation {
            make_room(&mut maps.known, MAX_KNOWN, |entry| Some(entry.read_at));
            let entry = Entry { session: Arc::clone(&session), read_at: now, has_ended: false };
            maps.known.insert(session.id, entry);
        }
        Some(session)
    }

    pub(super) fn end(&self, id: SessionId) {
        let mut maps = self.write();
        maps.generation += 1;
        if let Some(entry) = maps.known.get_mut(&id) {
            entry.has_ended = true;
        }
    }

    /// Every change announced before `now` has been applied.
    pub(super) fn confirm(&self, now: OffsetDateTime) {
        self.write().confirmed_at = now;
    }

    /// Forgets sessions whose time is over and names the living ones.
    pub(super) fn drop_over(&self, now: OffsetDateTime) -> Vec<SessionId> {
        let mut maps = self.write();
        maps.known.retain(|_, entry| entry.session.expires_at > now);
        maps.known.iter().filter(|(_, entry)| !entry.has_ended).map(|(id, _)| *id).collect()
    }

    // Nothing panics while it holds the lock, and the map is whole between two lines; a poisoned lock is as good.
    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
