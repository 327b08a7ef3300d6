//! Keyed requests that this process answers: how many, the memory of their recordings, and their end when it stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::AccountKey;
use tokio::sync::watch;

use super::ANSWER_BYTES_AT_MOST;

/// Recorded bytes of all answers in flight: some ten thousand usual ones.
const RECORDED_AT_MOST: usize = 128 * 1024 * 1024;
/// Recorded bytes of one account's: an eighth, so that nobody else's answers go unkept because of it.
const RECORDED_PER_ACCOUNT: usize = RECORDED_AT_MOST / 8;

/// Keyed requests that this process answers.
#[derive(Debug, Default)]
pub struct InFlight(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    count: watch::Sender<usize>,
    is_cut: watch::Sender<bool>,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    bytes: usize,
    by_account: HashMap<AccountKey, usize>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { count: watch::Sender::new(0), is_cut: watch::Sender::new(false), recorded: Mutex::default() }
    }
}

impl InFlight {
    /// How many there are.
    pub fn count(&self) -> usize {
        *self.0.count.borrow()
    }

    /// Resolves when there is none.
    pub async fn idle(&self) {
        let mut count = self.0.count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await; // the sender is ours
    }

    /// Ends them all: this process stops. What was delivered is charged, and nothing of it is kept.
    pub fn cut(&self) {
        self.0.is_cut.send_replace(true);
    }

    /// Starts recording an answer.
    pub(super) fn record(&self, account: AccountKey) -> Recording {
        self.0.count.send_modify(|count| *count += 1);
        Recording { shared: Arc::clone(&self.0), account, bytes: Some(Vec::new()), charged_bytes: 0 }
    }
}

/// The bytes of one answer so far; counted against the process and the account until it is dropped.
#[derive(Debug)]
pub(super) struct Recording {
    shared: Arc<Shared>,
    account: AccountKey,
    /// `None`: past a bound, and not kept.
    bytes: Option<Vec<u8>>,
    charged_bytes: usize,
}

impl Recording {
    /// Records bytes; gives the whole answer up where it exceeds a bound.
    pub(super) fn add(&mut self, more: &[u8]) {
        let Some(bytes) = &mut self.bytes else { return };
        let fits = bytes.len() + more.len() <= ANSWER_BYTES_AT_MOST;
        if fits && self.shared.reserve(self.account, more.len()) {
            bytes.extend_from_slice(more);
            self.charged_bytes += more.len();
        } else {
            self.bytes = None;
            self.give_back();
        }
    }

    /// The whole answer, if it was within bounds.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.bytes.take()
    }

    pub(super) fn cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut is_cut = self.shared.is_cut.subscribe();
        let shared = Arc::clone(&self.shared);
        async move {
            let _ = is_cut.wait_for(|is_cut| *is_cut).await;
            drop(shared); // kept until here: without its sender the wait would end
        }
    }

    fn give_back(&mut self) {
        self.shared.release(self.account, std::mem::take(&mut self.charged_bytes));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.give_back();
        self.shared.count.send_modify(|count| *count -= 1);
    }
}

impl Shared {
    fn reserve(&self, account: AccountKey, bytes: usize) -> bool {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = recorded.by_account.get(&account).copied().unwrap_or(0);
        if recorded.bytes + bytes > RECORDED_AT_MOST || of_account + bytes > RECORDED_PER_ACCOUNT {
            return false;
        }
        recorded.bytes += bytes;
        recorded.by_account.insert(account, of_account + bytes);
        true
    }

    fn release(&self, account: AccountKey, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.bytes -= bytes;
        let Some(of_account) = recorded.by_account.get_mut(&account) else { return };
        *of_account -= bytes;
        if *of_account == 0 {
            recorded.by_account.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use types::{AccountId, CommunityId};

    use super::*;

    fn account(id: i64) -> AccountKey {
        AccountKey { community: CommunityId(1), account: AccountId(id) }
    }

    #[test]
    fn one_account_at_its_worst_leaves_room_for_another() {
        let in_flight = InFlight::default();
        let whole = vec![0; ANSWER_BYTES_AT_MOST];
        let mut greedy: Vec<Recording> = (0..20).map(|_| in_flight.record(account(1))).collect();
        for recording in &mut greedy {
            recording.add(&whole);
        }
        let kept = greedy.iter_mut().filter_map(Recording::take).count();
        assert_eq!(kept, RECORDED_PER_ACCOUNT / ANSWER_BYTES_AT_MOST);
        let mut other = in_flight.record(account(2));
        other.add(&whole);
        assert_eq!(other.take(), Some(whole));
        assert_eq!(in_flight.count(), 21);
        drop((greedy, other));
        assert_eq!(in_flight.count(), 0);
        let recorded = in_flight.0.recorded.lock().expect("whole");
        assert_eq!((recorded.bytes, recorded.by_account.len()), (0, 0), "every share is given back");
    }

    #[test]
    fn an_answer_past_the_bound_is_given_up_whole() {
        let in_flight = InFlight::default();
        let mut recording = in_flight.record(account(1));
        recording.add(&vec![0; ANSWER_BYTES_AT_MOST]);
        recording.add(b"x");
        recording.add(b"y");
        assert_eq!(recording.take(), None);
        assert_eq!(in_flight.0.recorded.lock().expect("whole").bytes, 0);
    }
}
