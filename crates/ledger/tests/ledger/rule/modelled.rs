//! The rule alone against the replay's model, which shares no code with it: every answer, row and line of random
//! operations, with caps that change and accounts that freeze. The replay says the same of the writer and its database.

use ledger::Entry;

use super::*;
use crate::model::{Community, Counted, End, Line, Moment};
use crate::translate::{deed, micros, month, reply};

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    /// The community's cap, or that of one of its two accounts.
    Cap(Option<i64>, Option<i64>),
    Freeze(i64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let limit = prop_oneof![2 => Just(None), 4 => (0..3_000_i64).prop_map(Some), 1 => Just(Some(i64::MAX))];
    let whose = prop_oneof![Just(None), (1..3_i64).prop_map(Some)];
    prop_oneof![
        40 => op().prop_map(Step::Do),
        2 => (whose, limit).prop_map(|(whose, limit)| Step::Cap(whose, limit)),
        1 => (1..3_i64, prop::bool::weighted(0.3)).prop_map(|(account, frozen)| Step::Freeze(account, frozen)),
    ]
}

/// Whole hundreds: limits, balances and ends that are met exactly, and mints that come again, are not rare among them.
fn rounded(step: Step) -> Step {
    let round = |amount: i64| if (1..10_000).contains(&amount) { (amount / 100 + 1) * 100 } else { amount };
    match step {
        Step::Cap(whose, limit) => Step::Cap(whose, limit.map(round)),
        Step::Do(mut op) => {
            match &mut op {
                Op::Hold(new) => new.amount = round(new.amount),
                Op::Extend { to, .. } => *to = round(*to),
                Op::Settle { charge, .. } => charge.amount = round(charge.amount),
                Op::Mint { amount, .. } => *amount = round(*amount),
                Op::Release { .. } | Op::Orphan { .. } | Op::Expire { .. } | Op::Reverse { .. } => {}
            }
            Step::Do(op)
        }
        step @ Step::Freeze(..) => step,
    }
}

/// Both ledgers, side by side.
struct Both {
    tables: Tables,
    model: Community,
    entries: Vec<Entry>,
}

impl Both {
    fn new() -> Self {
        let (mut tables, model) = (Tables::new(), Community::new(1..3, month(START)));
        for account in tables.accounts.values_mut() {
            account.cap.limit = None;
        }
        Self { tables, model, entries: Vec::new() }
    }

    fn step(&mut self, step: &Step, now: OffsetDateTime) {
        match step {
            Step::Cap(None, limit) => {
                self.tables.book.cap.limit = *limit;
                self.model.cap.limit = limit.map(i128::from);
            }
            Step::Cap(Some(account), limit) => {
                self.tables.accounts.get_mut(&key(1, *account)).unwrap().cap.limit = *limit;
                self.model.accounts.get_mut(account).unwrap().cap.limit = limit.map(i128::from);
            }
            Step::Freeze(account, frozen) => {
                self.tables.accounts.get_mut(&key(1, *account)).unwrap().frozen = *frozen;
                self.model.accounts.get_mut(account).unwrap().frozen = *frozen;
            }
            Step::Do(op) => {
                let (mut state, verdicts) = self.tables.decide(std::slice::from_ref(op), now, LOTS_AT_FIRST);
                for written in lots_of(&state).values() {
                    assert_ne!(
                        self.tables.lots.get(&written.id.0),
                        Some(written),
                        "{op:?} writes what it leaves"
                    );
                }
                self.entries.append(&mut state.entries);
                // `write` counts the lines of a state; these are kept instead.
                self.tables.entries = self.entries.len();
                self.tables.write(state);
                let at = Moment { micros: micros(now), month: month(now) };
                let expected = self.model.apply(op.key().account.0, at, &deed(op));
                assert_eq!(reply(&verdicts[0]), expected, "{op:?}");
            }
        }
    }

    fn rows(&self) {
        let (tables, model) = (&self.tables, &self.model);
        let counted = |cap: &Cap| (month(cap.month.midnight().assume_utc()), wide([cap.held, cap.spent]));
        let modelled = |cap: &crate::model::Cap| {
            let Counted { held, spent } = cap.counted(cap.month);
            (cap.month, [held, spent.min(i64::MAX.into())])
        };
        assert_eq!(counted(&tables.book.cap), modelled(&model.cap), "the cap of the book");
        for (key, account) in &tables.accounts {
            let Account { seq, minted, available, held, spent, expired, reversed, owed, .. } = *account;
            let (id, expected) = (key.account.0, &model.accounts[&key.account.0]);
            assert_eq!(
                wide([seq, minted, available, held, spent, expired, reversed, owed]),
                [
                    expected.lines,
                    expected.minted,
                    model.available(id),
                    model.held(id),
                    expected.spent,
                    expected.expired,
                    expected.reversed,
                    expected.owed
                ],
                "the account {id}"
            );
            assert_eq!(counted(&account.cap), modelled(&expected.cap), "the cap of {id}");
        }
        assert_eq!(tables.holds.len(), model.holds.len());
        for (id, hold) in &tables.holds {
            let expected = &model.holds[&id.as_u128()];
            let is = (hold.key.account.0, i128::from(hold.amount), hold.input_hash, ended(hold.state));
            assert_eq!(
                is,
                (expected.account, expected.amount, expected.input, expected.end),
                "the hold {id}"
            );
            assert_eq!(month(hold.cap_month.midnight().assume_utc()), expected.month, "the hold {id}");
        }
        assert_eq!(tables.lots.len(), model.lots.len());
        for (id, lot) in &tables.lots {
            let expected = &model.lots[&id.as_u128()];
            let is = wide([lot.minted, lot.remaining, lot.reversed, lot.expired]);
            let should = [expected.minted, expected.remaining, expected.reversed, expected.expired];
            assert_eq!(is, should, "the lot {id}");
            let is = (lot.key.account.0, lot.source as i16, micros(lot.expires_at));
            assert_eq!(is, (expected.account, expected.source, expected.expires), "the lot {id}");
        }
    }

    fn lines(&self) {
        let mut head = [0; 32];
        let mut balances = HashMap::new();
        let lines: Vec<Line> = (1..)
            .zip(&self.entries)
            .map(|(seq, entry)| {
                assert_eq!(entry.seq, seq);
                let before = balances.insert(entry.key, entry.balance_after).unwrap_or(0);
                assert_eq!(entry.balance_before, before, "line {seq}");
                assert_ne!(std::mem::replace(&mut head, entry.hash), entry.hash, "line {seq}");
                Line {
                    account: entry.key.account.0,
                    account_seq: entry.account_seq.into(),
                    kind: entry.kind as i16,
                    debit: entry.debit as i16,
                    credit: entry.credit as i16,
                    amount: entry.amount.into(),
                    balance_after: entry.balance_after.into(),
                    reference: entry.reference.map(|id| id.as_u128()),
                    pool: entry.pool,
                    at: micros(entry.at),
                }
            })
            .collect();
        assert_eq!(lines, self.model.journal);
        assert_eq!(self.tables.book.head, head);
    }
}

fn wide<const N: usize>(numbers: [i64; N]) -> [i128; N] {
    numbers.map(i128::from)
}

fn ended(state: HoldState) -> End {
    match state {
        HoldState::Open => End::Open,
        HoldState::Settled { charged } => End::Settled(charged.into()),
        HoldState::Released => End::Released,
        HoldState::Orphaned => End::Orphaned,
    }
}

fn cases() -> u32 {
    if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 50_000 } else { 1_000 }
}

fn side_by_side(steps: Vec<(i64, Step)>) {
    let (mut both, mut now) = (Both::new(), START);
    for (hours, step) in steps {
        now += Duration::hours(hours);
        both.step(&step, now);
        both.rows();
    }
    both.lines();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_row_and_line_is_the_models(steps in prop::collection::vec((0..12_i64, step()), 1..80)) {
        side_by_side(steps);
    }

    #[test]
    fn they_are_where_limits_are_met_exactly(
        steps in prop::collection::vec((0..12_i64, step().prop_map(rounded)), 1..80)
    ) {
        side_by_side(steps);
    }
}
