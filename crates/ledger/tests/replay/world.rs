//! What the streams do: seeded operations of every kind, sensible and silly, over few accounts, so that they meet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use ledger::{AccountKey, Answer, NEVER, NewHold, Op, Refusal, Source};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use time::Duration;
use types::{Clock, LotId, OwnerId, ReservationId};
use uuid::Uuid;

use crate::common::{self, key};

/// Three ordinary communities, and one of two whales whose amounts reach the end of 64 bits.
pub(crate) const COMMUNITIES: [i64; 4] = [11, 12, 13, 14];
const WHALES: i64 = 14;
/// Accounts of an ordinary community are 1 to this; the first of the first is hot.
pub(crate) const ACCOUNTS: i64 = 20;
/// Holds and lots that other streams may still meet. Old ones are forgotten, but for what the history repeats.
const REMEMBERED: usize = 60;

/// What happened lately, so that one stream's hold is another stream's settle.
#[derive(Default)]
pub(crate) struct World(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    /// Holds that nobody remembers, for the sweep: open for ever, they would keep money and lots from moving.
    forgotten: VecDeque<(AccountKey, Uuid, i64)>,
    holds: VecDeque<(AccountKey, Uuid, i64)>,
    lots: VecDeque<(AccountKey, Uuid)>,
    history: VecDeque<Op>,
}

impl World {
    /// The next operation, in `community` when one is given.
    pub(crate) fn next(&self, rng: &mut StdRng, clock: &Clock, community: Option<i64>) -> Op {
        let whose = whose(rng, community);
        let mut recent = self.recent();
        match rng.random_range(0..100) {
            0..38 => hold(whose, id(rng, clock), amount(rng, whose), rng.random_range(0..4)),
            38..72 => match settled(rng, &mut recent.holds, community) {
                Some((key, id, held)) => settle(key, id, charged(rng, held)),
                None => hold(whose, id(rng, clock), amount(rng, whose), 0),
            },
            72..76 => match settled(rng, &mut recent.holds, community) {
                Some((key, id, _)) => Op::Release { key, id: ReservationId(id) },
                None => Op::Release { key: whose, id: ReservationId(Uuid::from_u128(rng.random())) },
            },
            76..80 => match swept(rng, &mut recent, community) {
                Some((key, id, _)) => Op::Orphan { key, id: ReservationId(id) },
                None => Op::Orphan { key: whose, id: ReservationId(Uuid::from_u128(rng.random())) },
            },
            80..84 => match take(rng, &recent.holds, community) {
                Some((key, id, held)) => {
                    let to = held.saturating_add(rng.random_range(-200..900));
                    Op::Extend { key, id: ReservationId(id), to }
                }
                None => Op::Extend { key: whose, id: ReservationId(Uuid::from_u128(rng.random())), to: 9 },
            },
            84..91 => mint(rng, clock, whose),
            91..92 => Op::Expire { key: whose },
            92..93 => match take(rng, &recent.lots, community) {
                Some((key, id)) => Op::Reverse { key, lot: LotId(id) },
                None => Op::Reverse { key: whose, lot: LotId(Uuid::from_u128(rng.random())) },
            },
            93..99 => match take_op(rng, &recent.history, community) {
                Some(op) => again(rng, clock, op),
                None => Op::Expire { key: whose },
            },
            _ => settle(whose, id(rng, clock), 5),
        }
    }

    /// Remembers what an operation came to.
    pub(crate) fn learn(&self, op: &Op, verdict: &Result<Answer, Refusal>) {
        let mut recent = self.recent();
        match (op, verdict) {
            (Op::Hold(hold), Ok(_)) => {
                let forgotten = remember(&mut recent.holds, (hold.key, hold.id.0, hold.amount));
                recent.forgotten.extend(forgotten);
            }
            (Op::Mint { key, id, .. }, Ok(_)) => drop(remember(&mut recent.lots, (*key, id.0))),
            _ => {}
        }
        let _ = remember(&mut recent.history, op.clone());
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap()
    }
}

/// Every account that is opened; the last of each ordinary community is not, and asks in vain.
pub(crate) fn accounts(community: i64) -> std::ops::Range<i64> {
    if community == WHALES { 1..3 } else { 1..ACCOUNTS }
}

fn whose(rng: &mut StdRng, community: Option<i64>) -> AccountKey {
    let community = community.unwrap_or_else(|| match rng.random_range(0..100) {
        0..55 => 11,
        55..76 => 12,
        76..97 => 13,
        _ => WHALES,
    });
    let account = if community == WHALES {
        rng.random_range(1..3)
    } else if community == 11 && rng.random_bool(0.6) {
        1
    } else {
        rng.random_range(1..=ACCOUNTS)
    };
    key(community, account)
}

fn id(rng: &mut StdRng, clock: &Clock) -> Uuid {
    let milliseconds = u128::try_from(clock.now().unix_timestamp_nanos() / 1_000_000).unwrap();
    Uuid::from_u128(milliseconds << 80 | 7 << 76 | 2 << 62 | u128::from(rng.next_u64() >> 2))
}

fn amount(rng: &mut StdRng, whose: AccountKey) -> i64 {
    if whose.community.0 == WHALES {
        return [1, i64::MAX, i64::MAX / 2, i64::MAX / 3, 1 << 61, 1 << 62][rng.random_range(0..6)];
    }
    match rng.random_range(0..100) {
        0 => 0,
        1 => -5,
        2 => i64::MAX,
        3 => i64::MIN,
        4..10 => rng.random_range(3_000..30_000),
        _ => rng.random_range(1..1_500),
    }
}

fn charged(rng: &mut StdRng, held: i64) -> i64 {
    match rng.random_range(0..100) {
        0 => 0,
        1 => -held,
        2 => i64::MAX,
        3..15 => held.saturating_add(rng.random_range(1..1_000)),
        15..45 => held,
        _ => rng.random_range(0..held.clamp(1, 1 << 62)) + 1,
    }
}

fn hold(key: AccountKey, id: Uuid, amount: i64, input: u8) -> Op {
    Op::Hold(NewHold {
        id: ReservationId(id),
        key,
        amount,
        input_hash: [input; 32],
        owner: OwnerId(1),
        api_key: Some(9),
        price_version: 1,
        agent: (input == 1).then(|| "collection:7".to_owned()),
        asked: "cheap".to_owned(),
    })
}

fn settle(key: AccountKey, id: Uuid, amount: i64) -> Op {
    let mut op = common::settle(key, id, amount);
    if let Op::Settle { charge, .. } = &mut op {
        charge.pool = [None, Some(0), Some(1), Some(4)][usize::from(id.as_bytes()[15] % 4)];
    }
    op
}

fn mint(rng: &mut StdRng, clock: &Clock, key: AccountKey) -> Op {
    let sources =
        [Source::Purchase, Source::Bonus, Source::Grant, Source::Sandbox, Source::X402, Source::Overpay];
    let now = clock.now();
    let expires_at = match rng.random_range(0..10) {
        0 => now - Duration::seconds(1),
        1..4 => now + Duration::seconds(rng.random_range(1..3_600)),
        4..9 => now + Duration::days(rng.random_range(1..40)),
        _ => NEVER, // few, or the lots would pile up faster than they are consumed
    };
    let amount = amount(rng, key);
    let amount = if (1..1_500).contains(&amount) { amount * 6 } else { amount };
    Op::Mint { key, id: LotId(id(rng, clock)), source: sources[rng.random_range(0..6)], amount, expires_at }
}

/// The same once more: as it was, or with one thing changed.
fn again(rng: &mut StdRng, clock: &Clock, mut op: Op) -> Op {
    if rng.random_bool(0.5) {
        return op;
    }
    let other = key(op.key().community.0, rng.random_range(1..=ACCOUNTS));
    match &mut op {
        Op::Hold(hold) if rng.random_bool(0.5) => hold.input_hash = [200; 32],
        Op::Hold(hold) => hold.key = other,
        Op::Mint { amount, .. } if rng.random_bool(0.3) => *amount = amount.saturating_add(1),
        Op::Mint { source, .. } if rng.random_bool(0.5) => *source = Source::Overpay,
        Op::Settle { charge, .. } if rng.random_bool(0.7) => charge.amount = rng.random_range(1..50),
        Op::Mint { key, .. }
        | Op::Settle { key, .. }
        | Op::Release { key, .. }
        | Op::Orphan { key, .. }
        | Op::Extend { key, .. }
        | Op::Expire { key }
        | Op::Reverse { key, .. } => *key = other,
    }
    let _ = clock;
    op
}

fn remember<T>(list: &mut VecDeque<T>, item: T) -> Option<T> {
    list.push_back(item);
    if list.len() > REMEMBERED { list.pop_front() } else { None }
}

trait Whose: Clone {
    fn community(&self) -> i64;
}
impl Whose for (AccountKey, Uuid, i64) {
    fn community(&self) -> i64 {
        self.0.community.0
    }
}
impl Whose for (AccountKey, Uuid) {
    fn community(&self) -> i64 {
        self.0.community.0
    }
}

fn take<T: Whose>(rng: &mut StdRng, list: &VecDeque<T>, community: Option<i64>) -> Option<T> {
    let fits = |item: &&T| community.is_none_or(|community| item.community() == community);
    let fitting: Vec<&T> = list.iter().filter(fits).collect();
    (!fitting.is_empty()).then(|| fitting[rng.random_range(0..fitting.len())].clone())
}

/// A forgotten hold, as the sweep of a dead process finds it, or else one that somebody is about to close.
fn swept(rng: &mut StdRng, recent: &mut Recent, community: Option<i64>) -> Option<(AccountKey, Uuid, i64)> {
    let fits =
        |item: &(AccountKey, Uuid, i64)| community.is_none_or(|community| item.community() == community);
    match recent.forgotten.iter().position(fits) {
        Some(at) if rng.random_bool(0.9) => recent.forgotten.remove(at),
        _ => take(rng, &recent.holds, community),
    }
}

/// A hold to be closed, mostly for the only time: else money would stay set aside for ever.
fn settled(
    rng: &mut StdRng,
    list: &mut VecDeque<(AccountKey, Uuid, i64)>,
    community: Option<i64>,
) -> Option<(AccountKey, Uuid, i64)> {
    let taken = take(rng, list, community)?;
    if rng.random_bool(0.8) {
        list.retain(|item| item.1 != taken.1);
    }
    Some(taken)
}

fn take_op(rng: &mut StdRng, list: &VecDeque<Op>, community: Option<i64>) -> Option<Op> {
    let fits = |op: &&Op| community.is_none_or(|community| op.key().community.0 == community);
    let fitting: Vec<&Op> = list.iter().filter(fits).collect();
    (!fitting.is_empty()).then(|| fitting[rng.random_range(0..fitting.len())].clone())
}
