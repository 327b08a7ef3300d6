//! Answers in flight: which turns run in this process, and how many of them each account may have at once.
//!
//! What holds answers (memory here, finn's slots, a provider's patience) is shared by all accounts, so each has a bounded
//! share, whichever door its turns come through.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::AccountKey;
use limits::{By, Client, Pot, Share, Shares};
use types::ReservationId;

use super::Refusal;

/// Answers of one account at once: a sixteenth of what one finn holds (8,192).
const PER_ACCOUNT: usize = 512;

/// Turns that run in this process.
#[derive(Debug)]
pub struct Live {
    running: Mutex<HashSet<ReservationId>>,
    at_once: Shares<Client>,
}

impl Default for Live {
    fn default() -> Self {
        Self::with_at_most(PER_ACCOUNT)
    }
}

impl Live {
    /// With at most so many turns of one account at once.
    #[must_use]
    pub fn with_at_most(per_account: usize) -> Self {
        // Of all accounts together there is no limit here: finn has its own, and there may be several of them.
        Self { running: Mutex::default(), at_once: Shares::new(usize::MAX, per_account) }
    }

    /// Whether a turn with this hold runs here.
    pub fn contains(&self, id: ReservationId) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// How many turns run here.
    pub fn count(&self) -> usize {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// One of the account's answers at once, until it is dropped.
    pub(super) fn slot(&self, account: AccountKey) -> Result<Share<Client>, Refusal> {
        let client = Client::Account(account.community, account.account);
        self.at_once.take(client, 1).map_err(|_| {
            Pot::Answers.refused(By::Client);
            Refusal::TooManyAtOnce { most: self.at_once.per_client() }
        })
    }
}

/// A turn's place among those that run, given up on drop.
pub(super) struct Place(Arc<crate::Ctx>, ReservationId);

impl Place {
    pub(super) fn take(ctx: &Arc<crate::Ctx>, id: ReservationId) -> Self {
        ctx.live.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Self(Arc::clone(ctx), id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.live.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use types::{AccountId, CommunityId};

    use super::*;

    #[test]
    fn one_account_has_its_share_and_another_has_its_own() {
        let live = Live::with_at_most(2);
        let account = |id| AccountKey { community: CommunityId(1), account: AccountId(id) };
        let held = [live.slot(account(1)).expect("one"), live.slot(account(1)).expect("two")];
        assert!(matches!(live.slot(account(1)), Err(Refusal::TooManyAtOnce { most: 2 })));
        let other = live.slot(account(2)).expect("another account's");
        drop(held);
        assert!(live.slot(account(1)).is_ok());
        drop(other);
    }
}
