//! The expiry sweep, and grants of an operator.

use ledger::{Ledger, Op, PostError, Refusal, Source, Swept, expire_due_lots, grant, grant_lot};
use testing::postgres::TestDatabase;
use time::{Duration, OffsetDateTime};
use types::{Clock, LotId};

use crate::common::{audit, hold, key, open, settle, start};

async fn lot(ledger: &Ledger, clock: &Clock, account: i64, amount: i64, expires_at: OffsetDateTime) {
    let id = LotId(clock.uuid_v7());
    let op = Op::Mint { key: key(1, account), id, source: Source::Purchase, amount, expires_at };
    ledger.submit(op).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_expires_unless_an_open_hold_needs_it() {
    let clock = Clock::fixed(time::macros::datetime!(2026-03-30 12:00 UTC));
    let database = TestDatabase::new().await;
    for account in 1..=3 {
        open(&database.pool, &clock, key(1, account), 0).await;
    }
    let (ledger, _writers) = start(&database.url(), &clock);
    let soon = clock.now() + Duration::days(90);
    for account in 1..=3 {
        lot(&ledger, &clock, account, 1_000, soon).await;
        lot(&ledger, &clock, account, 50, ledger::NEVER).await;
    }
    let id = clock.uuid_v7();
    ledger.submit(hold(key(1, 2), id, 300)).await.unwrap();
    let sweep = async || expire_due_lots(&database.pool, &ledger, &clock).await.unwrap();
    assert_eq!(sweep().await, Swept::default());

    clock.advance(Duration::days(90));
    assert_eq!(sweep().await, Swept { accounts: 3, amount: 1_000 + 700 + 1_000 });
    assert_eq!(sweep().await, Swept::default(), "twice is once");
    ledger.submit(settle(key(1, 2), id, 100)).await.unwrap();
    assert_eq!(sweep().await, Swept { accounts: 1, amount: 200 }, "what the hold gave back is due");
    let available: Vec<i64> = sqlx::query_scalar("select available from account order by id")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    assert_eq!(available, [50, 50, 50]);
    audit(&database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_given_once_under_its_id() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    for account in 1..=2 {
        open(&database.pool, &clock, key(1, account), 0).await;
    }
    let give = async |account, words: &str, amount| {
        let mut tx = database.pool.begin().await.unwrap();
        let given = grant(&mut tx, &clock, key(1, account), words, amount, ledger::NEVER).await;
        tx.commit().await.unwrap();
        given
    };
    let first = give(1, "spring campaign", 500).await.unwrap();
    assert_eq!(give(1, "spring campaign", 500).await.unwrap(), first);
    assert_eq!(first, grant_lot(key(1, 1), "spring campaign"));
    assert_ne!(give(2, "spring campaign", 500).await.unwrap(), first);
    assert_ne!(give(1, "summer campaign", 500).await.unwrap(), first);
    let other = give(1, "spring campaign", 501).await;
    assert!(matches!(other, Err(PostError::Refused(Refusal::Conflict))), "{other:?}");
    let minted: Vec<i64> =
        sqlx::query_scalar("select minted from account order by id").fetch_all(&database.pool).await.unwrap();
    assert_eq!(minted, [1_000, 500]);
    audit(&database.pool).await;
}
