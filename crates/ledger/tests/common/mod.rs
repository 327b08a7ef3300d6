//! What the ledger's tests share: a database, accounts with money, ledgers ("processes"), short names for operations,
//! and the audit that ends a test.

use ledger::{AccountKey, Charge, Ledger, NEVER, NewHold, Op, Settings, Source, Writers, open_account};
use sqlx::PgPool;
use types::{AccountId, Clock, CommunityId, LotId, OwnerId, ReservationId};
use uuid::Uuid;

/// An account's key from two numbers.
pub(crate) fn key(community: i64, account: i64) -> AccountKey {
    AccountKey { community: CommunityId(community), account: AccountId(account) }
}

/// Opens an account, and mints `amount` for ever when it is more than nothing.
pub(crate) async fn open(pool: &PgPool, clock: &Clock, key: AccountKey, amount: i64) {
    let mut transaction = pool.begin().await.unwrap();
    open_account(&mut transaction, clock, key, None).await.unwrap();
    if amount > 0 {
        ledger::post(&mut transaction, clock, &mint(clock, key, amount)).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// A ledger with connections of its own, as a process has.
pub(crate) fn start(url: &str, clock: &Clock) -> (Ledger, Writers) {
    Ledger::start(&Settings::new(url, clock.clone()).unwrap())
}

pub(crate) fn mint(clock: &Clock, key: AccountKey, amount: i64) -> Op {
    let id = LotId(clock.uuid_v7());
    Op::Mint { key, id, source: Source::Purchase, amount, expires_at: NEVER }
}

pub(crate) fn hold(key: AccountKey, id: Uuid, amount: i64) -> Op {
    Op::Hold(NewHold {
        id: ReservationId(id),
        key,
        amount,
        input_hash: [7; 32],
        owner: OwnerId(1),
        api_key: None,
        price_version: 1,
        agent: None,
        asked: "cheap".to_owned(),
    })
}

pub(crate) fn settle(key: AccountKey, id: Uuid, amount: i64) -> Op {
    Op::Settle { key, id: ReservationId(id), charge: charge(amount) }
}

fn charge(amount: i64) -> Charge {
    Charge {
        amount,
        tokens_in: 3,
        tokens_out: 4,
        own_in: 3,
        own_out: 4,
        pool: Some(0),
        model: "scripted".to_owned(),
        reason: "asked".to_owned(),
    }
}

/// The books, recomputed from the journal, agree with every counter.
pub(crate) async fn audit(pool: &PgPool) {
    assert_eq!(ledger::check_everything(pool).await.unwrap(), [], "the books do not agree");
}
