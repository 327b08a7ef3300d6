//! Properties of the pure rule, in memory: conservation after any operations, refusals that change nothing, second
//! arrivals that change nothing, and one outcome however few lots were read at first.

use std::collections::{BTreeMap, HashMap};

use ledger::rule::{self, NeedLots, Verdict};
use ledger::state::{AccountState, BookState, HoldRow, LotState, State, Write};
use ledger::{
    Account, AccountKey, Answer, Book, Cap, Hold, HoldState, Kind, Lot, NEVER, NewHold, Op, Source,
};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};
use types::{CommunityId, LotId, OwnerId, ReservationId};
use uuid::Uuid;

use crate::common::{self, key};

mod modelled;

const START: OffsetDateTime = time::macros::datetime!(2026-03-30 12:00 UTC);
const MONTH: time::Date = time::macros::date!(2026 - 03 - 01);
/// Fewer than the writer reads with an account at first, so that the rest is often asked for.
const LOTS_AT_FIRST: usize = 2;

/// The tables: what lies in the database between two batches.
#[derive(Clone, Debug, PartialEq)]
struct Tables {
    book: Book,
    accounts: BTreeMap<AccountKey, Account>,
    lots: BTreeMap<Uuid, Lot>,
    holds: BTreeMap<Uuid, Hold>,
    entries: usize,
}

impl Tables {
    fn new() -> Self {
        let cap = || Cap { month: MONTH, limit: None, held: 0, spent: 0 };
        let account = |number| Account {
            key: key(1, number),
            version: 0,
            seq: 0,
            minted: 0,
            available: 0,
            held: 0,
            spent: 0,
            expired: 0,
            reversed: 0,
            owed: 0,
            cap: Cap { limit: (number == 2).then_some(2_000), ..cap() },
            holder: None,
            frozen: false,
        };
        Self {
            book: Book { community: CommunityId(1), version: 0, seq: 0, head: [0; 32], cap: cap() },
            accounts: (1..3).map(|number| (key(1, number), account(number))).collect(),
            lots: BTreeMap::new(),
            holds: BTreeMap::new(),
            entries: 0,
        }
    }

    /// What a batch would read: at most `lots` open lots of an account, and the lots and holds that are named.
    fn read(&self, ops: &[Op], lots: usize, whole: &[AccountKey]) -> State {
        let mut state = State::default();
        state.books.insert(self.book.community, BookState { book: self.book.clone(), touched: false });
        for (key, account) in &self.accounts {
            let mut open: Vec<LotState> = self
                .lots
                .values()
                .filter(|lot| lot.key == *key && lot.remaining > 0)
                .map(|lot| LotState { lot: lot.clone(), write: Write::Nothing })
                .collect();
            open.sort_by_key(LotState::place);
            let is_cut = !whole.contains(key) && open.len() >= lots;
            open.truncate(if is_cut { lots } else { open.len() });
            let horizon = open.last().filter(|_| is_cut).map(LotState::place);
            state
                .accounts
                .insert(*key, AccountState { account: account.clone(), lots: open, horizon, touched: false });
        }
        for op in ops {
            if let Some(hold) = op.hold_id().and_then(|id| self.holds.get(&id.0)) {
                let stored = Some(hold.state);
                let row = HoldRow { hold: hold.clone(), stored, new: None, changed: false, charge: None };
                state.holds.insert((self.book.community, hold.id), row);
            }
            if let Some(lot) = op.lot_id().and_then(|id| self.lots.get(&id.0)) {
                state.named_lots.insert((self.book.community, lot.id), lot.clone());
            }
        }
        state
    }

    /// The rule over a batch, with further lots as it asks for them.
    fn decide(&self, ops: &[Op], now: OffsetDateTime, lots: usize) -> (State, Vec<Verdict>) {
        let mut whole = Vec::new();
        loop {
            let mut state = self.read(ops, lots, &whole);
            match ops.iter().map(|op| rule::apply(&mut state, now, op)).collect() {
                Ok(verdicts) => return (state, verdicts),
                Err(NeedLots(key)) => {
                    assert!(!whole.contains(&key), "the lots of {key:?} do not cover its balance");
                    whole.push(key);
                }
            }
        }
    }

    /// Writes what a batch changed, and only what it says that it changed.
    fn write(&mut self, state: State) {
        for (_, book) in state.books {
            if book.touched {
                self.book = Book { version: self.book.version + 1, ..book.book };
            }
        }
        for (key, account) in state.accounts {
            for lot in account.lots {
                if lot.write != Write::Nothing {
                    self.lots.insert(lot.lot.id.0, lot.lot);
                }
            }
            if account.touched {
                self.accounts.insert(key, account.account);
            }
        }
        for row in state.holds.into_values() {
            if row.changed {
                self.holds.insert(row.hold.id.0, row.hold);
            }
        }
        self.entries += state.entries.len();
    }

    fn check(&self) {
        for (key, account) in &self.accounts {
            let Account { minted, available, held, spent, expired, reversed, owed, .. } = *account;
            assert_eq!(
                minted + owed,
                available + held + spent + expired + reversed,
                "conservation of {key:?}"
            );
            assert!(available >= 0 && held >= 0 && owed >= 0 && (available == 0 || owed == 0), "{account:?}");
            let lots: i64 = self.lots.values().filter(|lot| lot.key == *key).map(|lot| lot.remaining).sum();
            assert_eq!(lots, available + held, "the lots of {key:?}");
            let open = |hold: &&Hold| hold.key == *key && hold.state == HoldState::Open;
            let holds: i64 = self.holds.values().filter(open).map(|hold| hold.amount).sum();
            assert_eq!(holds, held, "the holds of {key:?}");
            let counted = |hold: &&Hold| open(hold) && hold.cap_month == account.cap.month;
            let counted: i64 = self.holds.values().filter(counted).map(|hold| hold.amount).sum();
            assert_eq!(counted, account.cap.held, "the cap of {key:?}");
        }
        assert!(self.lots.values().all(|lot| (0..=lot.minted).contains(&lot.remaining)));
        let seqs: i64 = self.accounts.values().map(|account| account.seq).sum();
        assert_eq!((seqs, i64::try_from(self.entries).unwrap()), (self.book.seq, self.book.seq));
    }
}

/// An operation over few accounts, holds and lots, so that they meet.
fn op() -> impl Strategy<Value = Op> {
    let whose = (1..4_i64).prop_map(|account| key(1, account)); // the third is not there
    let amount = prop_oneof![8 => 1..900_i64, 1 => Just(0), 1 => Just(-3), 1 => Just(i64::MAX), 1 => Just(i64::MAX / 2)];
    let id = |kind: u128| (0..9 * kind).prop_map(move |number| Uuid::from_u128(kind << 64 | number));
    let expiry = prop_oneof![2 => Just(None), 3 => (0..40_i64).prop_map(Some)];
    prop_oneof![
        4 => (whose.clone(), id(1), amount.clone(), 0..2_u8).prop_map(|(key, id, amount, input)| {
            let mut op = common::hold(key, id, amount);
            let Op::Hold(NewHold { input_hash, owner, .. }) = &mut op else { unreachable!() };
            (*input_hash, *owner) = ([input; 32], OwnerId(3));
            op
        }),
        2 => (whose.clone(), id(1), amount.clone()).prop_map(|(key, id, to)| Op::Extend { key, id: ReservationId(id), to }),
        4 => (whose.clone(), id(1), amount.clone()).prop_map(|(key, id, amount)| common::settle(key, id, amount)),
        2 => (whose.clone(), id(1)).prop_map(|(key, id)| Op::Release { key, id: ReservationId(id) }),
        2 => (whose.clone(), id(1)).prop_map(|(key, id)| Op::Orphan { key, id: ReservationId(id) }),
        6 => (whose.clone(), id(2), amount, expiry, 1..7_i16).prop_map(|(key, id, amount, days, source)| Op::Mint {
            key,
            id: LotId(id),
            source: Source::from_db(source).unwrap(),
            amount,
            expires_at: days.map_or(NEVER, |days| START + Duration::days(days)),
        }),
        1 => whose.clone().prop_map(|key| Op::Expire { key }),
        2 => (whose, id(2)).prop_map(|(key, id)| Op::Reverse { key, lot: LotId(id) }),
    ]
}

/// Batches with the hours that pass before each.
fn batches() -> impl Strategy<Value = Vec<(i64, Vec<Op>)>> {
    prop::collection::vec((0..30_i64, prop::collection::vec(op(), 1..6)), 1..25)
}

fn lots_of(state: &State) -> HashMap<LotId, Lot> {
    let lots = state.accounts.values().flat_map(|account| &account.lots);
    lots.filter(|lot| lot.write != Write::Nothing).map(|lot| (lot.lot.id, lot.lot.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_books_balance_after_any_batches(batches in batches()) {
        let (mut tables, mut now) = (Tables::new(), START);
        for (hours, ops) in batches {
            now += Duration::hours(hours);
            let (state, _) = tables.decide(&ops, now, LOTS_AT_FIRST);
            tables.write(state);
            tables.check();
        }
    }

    #[test]
    fn how_many_lots_are_read_at_first_changes_nothing(batches in batches()) {
        let (mut tables, mut now) = (Tables::new(), START);
        for (hours, ops) in batches {
            now += Duration::hours(hours);
            let (few, verdicts) = tables.decide(&ops, now, LOTS_AT_FIRST);
            let (all, expected) = tables.decide(&ops, now, usize::MAX);
            prop_assert_eq!(verdicts, expected);
            prop_assert_eq!(&few.entries, &all.entries);
            prop_assert_eq!(lots_of(&few), lots_of(&all));
            tables.write(few);
        }
    }

    #[test]
    fn a_batch_comes_to_the_same_as_its_operations_one_by_one(batches in batches()) {
        let (mut together, mut single, mut now) = (Tables::new(), Tables::new(), START);
        for (hours, ops) in batches {
            now += Duration::hours(hours);
            let (state, verdicts) = together.decide(&ops, now, LOTS_AT_FIRST);
            together.write(state);
            let one_by_one: Vec<Verdict> = ops
                .iter()
                .map(|op| {
                    let (state, mut verdicts) = single.decide(std::slice::from_ref(op), now, LOTS_AT_FIRST);
                    single.write(state);
                    verdicts.remove(0)
                })
                .collect();
            prop_assert_eq!(verdicts, one_by_one);
            single.book.version = together.book.version; // the number of batches is what they differ in
            prop_assert_eq!(&together, &single);
        }
    }

    #[test]
    fn a_refused_operation_writes_nothing_of_its_own(batches in batches()) {
        let (mut tables, mut now) = (Tables::new(), START);
        for (hours, ops) in batches {
            now += Duration::hours(hours);
            for op in ops {
                let (state, verdicts) = tables.decide(std::slice::from_ref(&op), now, LOTS_AT_FIRST);
                if verdicts[0].is_err() {
                    // Time may have expired lots on the way; nothing else.
                    prop_assert!(state.entries.iter().all(|entry| entry.kind == Kind::Expire), "{:?}", op);
                    prop_assert!(state.holds.values().all(|row| !row.changed), "{:?}", op);
                    let is_touched = state.accounts.values().any(|account| account.touched);
                    prop_assert_eq!(is_touched, !state.entries.is_empty(), "{:?}", op);
                    prop_assert!(state.accounts.values().all(|account| account.lots.iter().all(|lot| lot.write != Write::Insert)));
                }
                tables.write(state);
            }
        }
    }

    #[test]
    fn the_second_arrival_gets_the_same_answer_and_writes_nothing(batches in batches()) {
        let (mut tables, mut now) = (Tables::new(), START);
        for (hours, ops) in batches {
            now += Duration::hours(hours);
            for op in ops {
                let (state, first) = tables.decide(std::slice::from_ref(&op), now, LOTS_AT_FIRST);
                tables.write(state);
                let (again, second) = tables.decide(std::slice::from_ref(&op), now, LOTS_AT_FIRST);
                if first[0].is_err() {
                    prop_assert!(second[0].is_err(), "{:?}: {:?}, then {:?}", op, first, second);
                } else if let Ok(Answer::Expired { .. }) = first[0] {
                    prop_assert_eq!(&second[0], &Ok(Answer::Expired { amount: 0 }));
                } else {
                    prop_assert_eq!(&second, &first);
                }
                prop_assert!(again.entries.is_empty() && again.books.values().all(|book| !book.touched), "{:?}", op);
            }
        }
    }
}

/// A refund that comes late takes nothing for credits that nobody used, in whichever order it meets their end.
#[test]
fn what_expired_unspent_is_never_owed() {
    let (key, days) = (key(1, 1), Duration::days(1));
    let mint = |lot, expires_at| Op::Mint {
        key,
        id: LotId(Uuid::from_u128(lot)),
        source: Source::Purchase,
        amount: 100,
        expires_at,
    };
    let reverse = Op::Reverse { key, lot: LotId(Uuid::from_u128(1)) };
    let expire = Op::Expire { key };
    let run = |ops: &[&Op]| {
        let mut tables = Tables::new();
        for op in [&mint(1, START + days), &mint(2, NEVER)] {
            let (state, _) = tables.decide(std::slice::from_ref(op), START, LOTS_AT_FIRST);
            tables.write(state);
        }
        for op in ops {
            let (state, verdicts) = tables.decide(std::slice::from_ref(*op), START + days, LOTS_AT_FIRST);
            assert!(verdicts[0].is_ok(), "{op:?}: {verdicts:?}");
            tables.write(state);
        }
        let account = &tables.accounts[&key];
        (account.available, account.owed, account.expired + account.reversed)
    };
    let other_lot_is_whole = (100, 0, 100);
    for order in [[&expire, &reverse], [&reverse, &expire]] {
        assert_eq!(run(&order), other_lot_is_whole, "{order:?}");
    }
    assert_eq!(run(&[&expire, &reverse, &reverse]), other_lot_is_whole, "twice is once");
}

/// Lots that were read at first serve as far as they reach; what a batch mints behind them waits for those between.
#[test]
fn lots_that_were_not_read_come_before_those_that_are_new() {
    let (key, hold_id) = (key(1, 1), ReservationId(Uuid::from_u128(9)));
    let mint = |lot: i64| Op::Mint {
        key,
        id: LotId(Uuid::from_u128(u128::try_from(lot).unwrap())),
        source: Source::Purchase,
        amount: 100,
        expires_at: START + Duration::days(lot),
    };
    let mut tables = Tables::new();
    for op in [mint(1), mint(2), mint(3), common::hold(key, hold_id.0, 300)] {
        let (state, verdicts) = tables.decide(std::slice::from_ref(&op), START, LOTS_AT_FIRST);
        assert!(verdicts[0].is_ok(), "{op:?}: {verdicts:?}");
        tables.write(state);
    }
    for (charged, needs_more) in
        [(1, false), (100, false), (150, false), (200, false), (201, true), (300, true)]
    {
        let ops = [mint(4), common::settle(key, hold_id.0, charged)];
        let mut few = tables.read(&ops, LOTS_AT_FIRST, &[]);
        assert_eq!(rule::apply(&mut few, START, &ops[0]), Ok(Ok(Answer::Minted)));
        let settled = rule::apply(&mut few, START, &ops[1]);
        assert_eq!(settled.is_err(), needs_more, "{charged}: {settled:?}");
        let (state, _) = tables.decide(&ops, START, LOTS_AT_FIRST);
        let last = state.accounts[&key].lots.iter().find(|lot| lot.lot.id == LotId(Uuid::from_u128(4)));
        assert_eq!(
            last.map(|lot| lot.lot.remaining),
            Some(100),
            "{charged}: the new one is the last to be used"
        );
    }
}

/// The table keeps microseconds; what a caller says beyond them is no other word.
#[test]
fn a_grants_end_is_its_granters_word_to_the_microsecond() {
    let mint = |source, expires_at| Op::Mint {
        key: key(1, 1),
        id: LotId(Uuid::from_u128(1)),
        source,
        amount: 5,
        expires_at,
    };
    let twice = |source, later: Duration| {
        let mut tables = Tables::new();
        let (state, _) = tables.decide(&[mint(source, START)], START - Duration::days(1), LOTS_AT_FIRST);
        tables.write(state);
        let again = [mint(source, START + later)];
        tables.decide(&again, START - Duration::days(1), LOTS_AT_FIRST).1.remove(0)
    };
    let conflict = Err(ledger::Refusal::Conflict);
    assert_eq!(twice(Source::Grant, Duration::nanoseconds(999)), Ok(Answer::Minted));
    assert_eq!(twice(Source::Grant, Duration::microseconds(1)), conflict);
    assert_eq!(twice(Source::Grant, Duration::days(1)), conflict);
    // A purchase that comes again brings its own clock, and keeps the first end.
    assert_eq!(twice(Source::Purchase, Duration::days(1)), Ok(Answer::Minted));
}

#[test]
fn nothing_new_is_minted_while_minting_is_stopped() {
    let op = Op::Mint {
        key: key(1, 1),
        id: LotId(Uuid::from_u128(1)),
        source: Source::Purchase,
        amount: 5,
        expires_at: NEVER,
    };
    let mut state = Tables::new().read(std::slice::from_ref(&op), LOTS_AT_FIRST, &[]);
    state.minting_stopped = true;
    assert_eq!(rule::apply(&mut state, START, &op), Ok(Err(ledger::Refusal::MintingStopped)));
    assert!(state.entries.is_empty());
    state.minting_stopped = false;
    assert_eq!(rule::apply(&mut state, START, &op), Ok(Ok(Answer::Minted)));
    state.minting_stopped = true;
    assert_eq!(
        rule::apply(&mut state, START, &op),
        Ok(Ok(Answer::Minted)),
        "the second arrival changes nothing"
    );
    assert_eq!(state.entries.len(), 1);
}
