//! What a connection last saw committed, so that the next batch need not lock and read it again.
//!
//! None of it is believed: whatever changes an account or its book raises both versions (a cap or a freeze raises its own
//! row's), and the batch's writes look for the versions that are known here. A batch is judged from here only when every
//! operation succeeds and every account is written, so that each verdict was true of the rows as they stood at the commit.
//! A refusal, a mint, anything that is not here, or a version that has moved on: the batch takes the locks and reads.

use std::collections::HashMap;

use time::OffsetDateTime;
use types::{CommunityId, ReservationId};

use crate::model::{AccountKey, Book, Hold, HoldState, Op};
use crate::rule::{self, Verdict};
use crate::state::{AccountState, BookState, HoldRow, State, Write};

/// Accounts (and books), and open holds of all of them together, that are kept: some 10 MB a connection. Past either, all
/// are forgotten.
const ACCOUNTS_AT_MOST: usize = 4_096;
const HOLDS_AT_MOST: usize = 16_384;
/// Room for this many stays when the last one closes: a crowd's room is not kept for ever.
const HOLDS_OF_AN_IDLE_ACCOUNT: usize = 64;
/// An account of which a batch had to read more open lots than this is not kept.
const LOTS_AT_MOST: usize = 16;
/// After a batch that found a version gone one is not tried, after the next such in a row two, then four, at most 2 to this:
/// somebody else writes the same books, and each try that fails is a round trip lost.
const RESTS_AT_MOST: u32 = 10;

/// An account as the last batch left it, and its open holds as far as they were seen.
struct Account {
    state: AccountState,
    holds: HashMap<ReservationId, Hold>,
}

/// What is known. Empty at first; it lives and dies with its connection.
#[derive(Default)]
pub(crate) struct Known {
    books: HashMap<CommunityId, Book>,
    accounts: HashMap<AccountKey, Account>,
    /// Holds of all accounts.
    holds: usize,
    /// Batches in a row whose versions were gone.
    misses: u32,
    /// Batches that are not tried.
    rests: u32,
}

impl Known {
    /// The batch, judged at `now`; `None`: lock and read.
    pub(crate) fn judge(&mut self, now: OffsetDateTime, ops: &[&Op]) -> Option<(State, Vec<Verdict>)> {
        if self.rests > 0 {
            self.rests -= 1;
            return None;
        }
        let mut state = self.state(ops)?;
        let mut verdicts = Vec::with_capacity(ops.len());
        for op in ops {
            verdicts.push(Ok(rule::apply(&mut state, now, op).ok()?.ok()?));
        }
        state.accounts.values().all(|account| account.touched).then_some((state, verdicts))
    }

    /// The rows that the operations speak of. A hold that is not here may be new: its insert finds out.
    fn state(&self, ops: &[&Op]) -> Option<State> {
        let mut state = State::default();
        for op in ops {
            if matches!(op, Op::Mint { .. } | Op::Expire { .. } | Op::Reverse { .. }) {
                return None; // rare, and they look at more than is kept here
            }
            let key = op.key();
            let known = self.accounts.get(&key)?;
            if let std::collections::btree_map::Entry::Vacant(place) = state.accounts.entry(key) {
                place.insert(known.state.clone());
                let book = self.books.get(&key.community)?;
                state
                    .books
                    .entry(key.community)
                    .or_insert_with(|| BookState { book: book.clone(), touched: false });
            }
            if let Some(hold) = op.hold_id().and_then(|id| known.holds.get(&id)) {
                let place = state.holds.entry((key.community, hold.id));
                place.or_insert_with(|| HoldRow::stored(hold.clone()));
            }
        }
        Some(state)
    }

    /// Takes in what a batch committed, read under locks or judged from here.
    pub(crate) fn learn(&mut self, state: State) {
        for (community, BookState { mut book, touched }) in state.books {
            book.version += i64::from(touched);
            self.books.insert(community, book);
        }
        let mut fresh: HashMap<AccountKey, Account> = HashMap::with_capacity(state.accounts.len());
        for (key, mut now) in state.accounts {
            let before = self.accounts.remove(&key);
            self.holds -= before.as_ref().map_or(0, |known| known.holds.len());
            // The end of a lot that this batch minted may be finer than the table's: it is read once before it is kept.
            let is_minted = |lot: &crate::state::LotState| lot.write == Write::Insert;
            if now.lots.len() > LOTS_AT_MOST || now.lots.iter().any(is_minted) {
                continue;
            }
            // Holds are as they were when nobody else has written since.
            let holds = before
                .filter(|known| known.state.account.version == now.account.version)
                .map_or_else(HashMap::new, |known| known.holds);
            now.account.version += i64::from(now.touched);
            now.touched = false;
            now.lots.retain(|lot| lot.lot.remaining > 0);
            now.lots.iter_mut().for_each(|lot| lot.write = Write::Nothing);
            fresh.insert(key, Account { state: now, holds });
        }
        for row in state.holds.into_values() {
            let Some(account) = fresh.get_mut(&row.hold.key) else { continue };
            if row.hold.state == HoldState::Open {
                account.holds.insert(row.hold.id, row.hold);
            } else {
                account.holds.remove(&row.hold.id);
                if account.holds.is_empty() {
                    account.holds.shrink_to(HOLDS_OF_AN_IDLE_ACCOUNT);
                }
            }
        }
        self.holds += fresh.values().map(|account| account.holds.len()).sum::<usize>();
        self.accounts.extend(fresh);
        if self.accounts.len().max(self.books.len()) > ACCOUNTS_AT_MOST || self.holds > HOLDS_AT_MOST {
            self.forget();
        }
    }

    /// Everything is read again.
    pub(crate) fn forget(&mut self) {
        self.books.clear();
        self.accounts.clear();
        self.holds = 0;
    }

    /// A batch judged from here was written.
    pub(crate) fn held_true(&mut self) {
        self.misses = 0;
    }

    /// A version of these books or their accounts has moved on.
    pub(crate) fn was_stale(&mut self, ops: &[&Op]) {
        for community in ops.iter().map(|op| op.key().community) {
            if self.books.remove(&community).is_some() {
                self.accounts.retain(|key, _| key.community != community);
            }
        }
        self.holds = self.accounts.values().map(|account| account.holds.len()).sum();
        self.rests = 1 << self.misses;
        self.misses = (self.misses + 1).min(RESTS_AT_MOST);
    }
}

#[cfg(test)]
mod tests {
    use types::{AccountId, LotId, OwnerId};
    use uuid::Uuid;

    use super::*;
    use crate::model::{Account as Row, Cap, Charge, Lot, NEVER, NewHold, Source};
    use crate::rule::month_of;
    use crate::state::LotState;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-03-30 12:00 UTC);
    const KEY: AccountKey = AccountKey { community: CommunityId(1), account: AccountId(1) };

    /// What a batch read that found 1,000 to spend, at this version.
    fn read(version: i64) -> State {
        let cap = Cap { month: month_of(NOW), limit: None, held: 0, spent: 0 };
        let mut state = State::default();
        let book = Book { community: KEY.community, version, seq: 0, head: [0; 32], cap };
        state.books.insert(KEY.community, BookState { book, touched: false });
        let account = Row {
            key: KEY,
            version,
            seq: 0,
            minted: 1_000,
            available: 1_000,
            held: 0,
            spent: 0,
            expired: 0,
            reversed: 0,
            owed: 0,
            cap,
            holder: None,
            frozen: false,
        };
        let lot = Lot {
            id: LotId(Uuid::from_u128(1)),
            key: KEY,
            source: Source::Purchase,
            minted: 1_000,
            remaining: 1_000,
            reversed: 0,
            expired: 0,
            expires_at: NEVER,
            created_at: NOW,
        };
        let lots = vec![LotState { lot, write: Write::Nothing }];
        state.accounts.insert(KEY, AccountState { account, lots, horizon: None, touched: false });
        state
    }

    fn hold(id: u128, amount: i64) -> Op {
        Op::Hold(NewHold {
            id: ReservationId(Uuid::from_u128(id)),
            key: KEY,
            amount,
            input_hash: [7; 32],
            owner: OwnerId(1),
            api_key: None,
            price_version: 1,
            agent: None,
            asked: "cheap".to_owned(),
        })
    }

    fn settle(id: u128, amount: i64) -> Op {
        let charge = Charge {
            amount,
            tokens_in: 3,
            tokens_out: 4,
            own_in: 3,
            own_out: 4,
            pool: None,
            model: "scripted".to_owned(),
            reason: "asked".to_owned(),
        };
        Op::Settle { key: KEY, id: ReservationId(Uuid::from_u128(id)), charge }
    }

    /// What the batch was judged from, when it was; committed.
    fn commit(known: &mut Known, ops: &[&Op]) -> Option<State> {
        let (state, _) = known.judge(NOW, ops)?;
        known.learn(state.clone());
        Some(state)
    }

    #[test]
    fn what_one_batch_left_judges_the_next() {
        let mut known = Known::default();
        assert!(commit(&mut known, &[&hold(1, 100)]).is_none(), "nothing is known yet");
        known.learn(read(5));
        for (version, op) in [(5, hold(1, 100)), (6, hold(2, 100)), (7, settle(1, 40)), (8, settle(2, 100))] {
            let state = commit(&mut known, &[&op]).expect("all of it is known");
            assert_eq!(
                (state.accounts[&KEY].account.version, state.books[&KEY.community].book.version),
                (version, version)
            );
        }
        assert_eq!(known.holds, 0);
        let state = commit(&mut known, &[&hold(3, 860)]).expect("as much as is left");
        assert_eq!(
            (state.accounts[&KEY].account.available, state.accounts[&KEY].lots[0].lot.remaining),
            (0, 860)
        );
    }

    #[test]
    fn what_the_rows_could_say_otherwise_is_read() {
        let mut known = Known::default();
        known.learn(read(5));
        commit(&mut known, &[&hold(1, 100)]).expect("known");
        let expire = Op::Expire { key: KEY };
        for ops in [
            &[&hold(2, 901)][..],
            &[&settle(9, 1)],
            &[&expire],
            &[&hold(3, 1), &settle(9, 1)],
            &[&hold(1, 100)],
        ] {
            assert!(known.judge(NOW, ops).is_none(), "{ops:?}");
        }
        assert!(
            known.judge(NOW, &[&hold(1, 100), &hold(4, 1)]).is_some(),
            "written, so its version is looked at"
        );
    }

    #[test]
    fn when_all_known_lots_are_spent_one_past_them_may_be_due() {
        let mut known = Known::default();
        let mut state = read(5);
        let account = state.accounts.get_mut(&KEY).expect("read");
        account.account.available = 1_500; // 500 of it in a lot past the horizon
        account.account.minted = 1_500;
        account.lots[0].lot.expires_at = NOW + time::Duration::DAY;
        account.horizon = Some(account.lots[0].place());
        known.learn(state);
        commit(&mut known, &[&hold(1, 1_000)]).expect("known");
        commit(&mut known, &[&settle(1, 1_000)]).expect("as far as the lots go");
        assert!(known.judge(NOW, &[&hold(2, 500)]).is_some());
        assert!(known.judge(NOW + time::Duration::DAY, &[&hold(2, 500)]).is_none(), "it may have expired");
    }

    #[test]
    fn books_that_others_do_not_write_stay_known() {
        let mut known = Known::default();
        known.learn(read(5));
        let elsewhere = AccountKey { community: CommunityId(2), ..KEY };
        let Op::Hold(new) = hold(1, 1) else { unreachable!("made as one") };
        known.was_stale(&[&Op::Hold(NewHold { key: elsewhere, ..new })]);
        assert!(known.judge(NOW, &[&hold(1, 1)]).is_none(), "it rests");
        assert!(known.judge(NOW, &[&hold(1, 1)]).is_some());
    }

    #[test]
    fn holds_are_forgotten_when_somebody_else_has_written() {
        let mut known = Known::default();
        known.learn(read(5));
        commit(&mut known, &[&hold(1, 100)]).expect("known");
        known.learn(read(6));
        assert_eq!(known.holds, 1, "6 is what that hold left");
        known.learn(read(8));
        assert_eq!(known.holds, 0);
        assert!(known.judge(NOW, &[&settle(1, 40)]).is_none());
    }

    #[test]
    fn who_is_never_right_tries_less_and_less_often() {
        let (mut known, mut tries) = (Known::default(), 0);
        for _ in 0..10_000 {
            known.learn(read(5));
            if known.judge(NOW, &[&hold(1, 1)]).is_some() {
                known.was_stale(&[&hold(1, 1)]);
                tries += 1;
            }
        }
        assert!((10..30).contains(&tries), "{tries}");
        known.held_true();
        known.rests = 0;
        known.learn(read(5));
        assert!(known.judge(NOW, &[&hold(1, 1)]).is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut known = Known::default();
        for number in 0..50_000 {
            let mut state = read(1);
            let mut account = state.accounts.remove(&KEY).expect("read");
            let key = AccountKey { account: AccountId(number), ..KEY };
            account.account.key = key;
            state.accounts.insert(key, account);
            known.learn(state);
            assert!(known.accounts.len() <= ACCOUNTS_AT_MOST);
        }
        let mut rich = read(1);
        let account = rich.accounts.get_mut(&KEY).expect("read");
        (account.account.minted, account.account.available) = (100_000, 100_000);
        known.learn(rich.clone());
        let mut most = 0;
        for number in 0..50_000 {
            if commit(&mut known, &[&hold(number, 1)]).is_none() {
                known.learn(rich.clone()); // too many were known, and all of it was forgotten
            }
            most = most.max(known.holds);
        }
        assert_eq!(most, HOLDS_AT_MOST);
    }
}
