//! The signal that a key has ended: fired by a revocation, or by the clock at the end of a rotation's overlap.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::watch;
use types::Clock;

/// A timer longer than this is cut and looked at again: the end may be moved, and the machine's clock be set.
const LONGEST_NAP: std::time::Duration = std::time::Duration::from_mins(1);

/// Whether a key has ended, and a way to wait for it. Clones share one state.
#[derive(Clone, Debug)]
pub struct Revocation(Arc<Signal>);

#[derive(Debug)]
struct Signal {
    clock: Clock,
    standing: watch::Sender<Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    revoked: bool,
    expires_at: Option<OffsetDateTime>,
}

impl Revocation {
    pub(crate) fn new(clock: Clock, expires_at: Option<OffsetDateTime>) -> Self {
        Self(Arc::new(Signal {
            clock,
            standing: watch::Sender::new(Standing { revoked: false, expires_at }),
        }))
    }

    /// A signal that nobody fires, for keys that are made outside a ring, as tests of other crates do.
    pub fn never(clock: &Clock) -> Self {
        Self::new(clock.clone(), None)
    }

    /// Whether the key has ended.
    pub fn is_revoked(&self) -> bool {
        let standing = *self.0.standing.borrow();
        standing.revoked || standing.expires_at.is_some_and(|end| end <= self.0.clock.now())
    }

    /// Returns when the key has ended; at once when it already has. Safe to drop at any point.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.standing.subscribe();
        loop {
            let standing = *receiver.borrow_and_update();
            let left = standing.expires_at.map(|end| end - self.0.clock.now());
            if standing.revoked || left.is_some_and(|left| left <= time::Duration::ZERO) {
                return;
            }
            let changed = receiver.changed();
            match left {
                // The sender lives in `self`, so `changed` cannot fail while we are here.
                None => drop(changed.await),
                Some(left) => {
                    let nap = std::time::Duration::try_from(left).unwrap_or(LONGEST_NAP).min(LONGEST_NAP);
                    drop(tokio::time::timeout(nap, changed).await);
                }
            }
        }
    }

    pub(super) fn fire(&self) {
        self.0.standing.send_modify(|standing| standing.revoked = true);
    }

    pub(super) fn set_end(&self, expires_at: Option<OffsetDateTime>) {
        self.0.standing.send_if_modified(|standing| {
            let moved = standing.expires_at != expires_at;
            standing.expires_at = expires_at;
            moved
        });
    }

    /// Whether anyone but the cache holds this signal.
    pub(super) fn is_watched(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_fired_signal_wakes_every_clone_and_stays_fired() {
        let signal = Revocation::never(&Clock::fixed(OffsetDateTime::UNIX_EPOCH));
        let waiting = tokio::spawn({
            let signal = signal.clone();
            async move { signal.cancelled().await }
        });
        assert!(!signal.is_revoked());
        signal.fire();
        waiting.await.expect("woken");
        signal.cancelled().await;
        assert!(signal.is_revoked());
    }

    #[tokio::test]
    async fn the_end_of_an_overlap_counts_from_its_moment() {
        let clock = Clock::fixed(OffsetDateTime::UNIX_EPOCH);
        let signal = Revocation::new(clock.clone(), None);
        signal.set_end(Some(clock.now() + Duration::hours(1)));
        assert!(!signal.is_revoked());
        clock.advance(Duration::hours(1));
        assert!(signal.is_revoked());
        signal.cancelled().await;
    }

    #[tokio::test]
    async fn the_clock_alone_ends_a_wait() {
        let clock = Clock::system();
        let signal = Revocation::new(clock.clone(), Some(clock.now() + Duration::milliseconds(5)));
        signal.cancelled().await;
        assert!(signal.is_revoked());
    }
}
