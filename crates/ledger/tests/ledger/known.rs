//! A batch that is judged by what the batches before it left: whatever somebody else did since is seen at once.

use ledger::{
    AccountKey, Answer, Ledger, Op, Refusal, SubmitError, Writers, post, set_account_cap, set_community_cap,
};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use types::{AccountId, Clock, CommunityId, ReservationId};
use uuid::Uuid;

use crate::common::{audit, hold, mint, open, settle, start};

/// Who pays in every test here.
const PAYER: AccountKey = AccountKey { community: CommunityId(1), account: AccountId(1) };

/// A process whose payer has `amount`.
async fn begin(amount: i64) -> (TestDatabase, Clock, Ledger, Writers) {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    open(&database.pool, &clock, PAYER, amount).await;
    let (ledger, writers) = start(&database.url(), &clock);
    (database, clock, ledger, writers)
}

async fn another(pool: &PgPool, clock: &Clock, op: Op) -> Answer {
    let mut transaction = pool.begin().await.unwrap();
    let answer = post(&mut transaction, clock, &op).await.unwrap();
    transaction.commit().await.unwrap();
    answer
}

fn release(id: Uuid) -> Op {
    Op::Release { key: PAYER, id: ReservationId(id) }
}

#[tokio::test]
async fn what_another_process_took_or_brought_counts_in_the_next_answer() {
    let (database, clock, ledger, _writers) = begin(1_000).await;
    for left in [900, 800, 700] {
        let answer = ledger.submit(hold(PAYER, clock.uuid_v7(), 100)).await.unwrap();
        assert_eq!(answer, Answer::Held { amount: 100, available: left });
    }
    let theirs = clock.uuid_v7();
    another(&database.pool, &clock, hold(PAYER, theirs, 650)).await;
    let refused = ledger.submit(hold(PAYER, clock.uuid_v7(), 100)).await;
    assert!(
        matches!(refused, Err(SubmitError::Refused(Refusal::NotEnough { available: 50 }))),
        "{refused:?}"
    );
    another(&database.pool, &clock, mint(&clock, PAYER, 60)).await;
    let answer = ledger.submit(hold(PAYER, clock.uuid_v7(), 100)).await.unwrap();
    assert_eq!(answer, Answer::Held { amount: 100, available: 10 });
    another(&database.pool, &clock, release(theirs)).await;
    let answer = ledger.submit(hold(PAYER, clock.uuid_v7(), 100)).await.unwrap();
    assert_eq!(answer, Answer::Held { amount: 100, available: 560 });
    audit(&database.pool).await;
}

#[tokio::test]
async fn a_hold_that_another_process_grew_gives_back_what_it_has_now() {
    let (database, clock, ledger, _writers) = begin(1_000).await;
    let (grown, other) = (clock.uuid_v7(), clock.uuid_v7());
    ledger.submit(hold(PAYER, grown, 100)).await.unwrap();
    another(&database.pool, &clock, Op::Extend { key: PAYER, id: ReservationId(grown), to: 400 }).await;
    // A refusal is read: the account is known after it, at its new version; the hold that grew is not.
    let refused = ledger.submit(hold(PAYER, other, 1_000)).await;
    assert!(
        matches!(refused, Err(SubmitError::Refused(Refusal::NotEnough { available: 600 }))),
        "{refused:?}"
    );
    ledger.submit(hold(PAYER, other, 100)).await.unwrap();
    ledger.submit(settle(PAYER, grown, 30)).await.unwrap();
    let answer = ledger.submit(hold(PAYER, clock.uuid_v7(), 1)).await.unwrap();
    assert_eq!(answer, Answer::Held { amount: 1, available: 1_000 - 30 - 100 - 1 });
    // And one that another process closed is closed.
    another(&database.pool, &clock, release(other)).await;
    let answer = ledger.submit(settle(PAYER, other, 5)).await;
    assert!(matches!(answer, Err(SubmitError::Refused(Refusal::Closed(_)))), "{answer:?}");
    audit(&database.pool).await;
}

#[tokio::test]
async fn a_cap_or_a_freeze_holds_from_the_next_hold_on() {
    let (database, clock, ledger, _writers) = begin(10_000).await;
    let AccountKey { community, account } = PAYER;
    let holds = async |amount| ledger.submit(hold(PAYER, clock.uuid_v7(), amount)).await;
    for _ in 0..3 {
        holds(100).await.unwrap();
    }
    let mut connection = database.pool.acquire().await.unwrap();
    let over = |answer: &Result<Answer, SubmitError>| {
        matches!(answer, Err(SubmitError::Refused(Refusal::OverCap { .. })))
    };
    set_community_cap(&mut connection, community, Some(350)).await.unwrap();
    assert!(over(&holds(100).await));
    set_community_cap(&mut connection, community, None).await.unwrap();
    holds(100).await.unwrap();
    holds(100).await.unwrap();
    set_account_cap(&mut connection, community, account, Some(550)).await.unwrap();
    assert!(over(&holds(100).await));
    set_account_cap(&mut connection, community, account, None).await.unwrap();
    holds(100).await.unwrap();
    holds(100).await.unwrap();
    sqlx::query(
        "update account set frozen_at = now(), version = version + 1 where community_id = $1 and id = $2",
    )
    .bind(community.0)
    .bind(account.0)
    .execute(&database.owner_pool())
    .await
    .unwrap();
    let answer = holds(100).await;
    assert!(matches!(answer, Err(SubmitError::Refused(Refusal::Frozen))), "{answer:?}");
    audit(&database.pool).await;
}

#[tokio::test]
async fn a_second_arrival_gets_its_first_answer_long_after_its_hold_is_closed() {
    let (database, clock, ledger, _writers) = begin(300).await;
    let id = clock.uuid_v7();
    ledger.submit(hold(PAYER, id, 100)).await.unwrap();
    // Open: known. Nothing is written, so the books say it.
    let again = ledger.submit(hold(PAYER, id, 100)).await.unwrap();
    assert_eq!(again, Answer::Held { amount: 100, available: 200 });
    ledger.submit(settle(PAYER, id, 80)).await.unwrap();
    ledger.submit(hold(PAYER, clock.uuid_v7(), 10)).await.unwrap();
    // Closed, and unknown: a new hold would fit, and its insert is refused.
    let again = ledger.submit(hold(PAYER, id, 100)).await.unwrap();
    assert_eq!(again, Answer::Held { amount: 100, available: 210 });
    let again = ledger.submit(settle(PAYER, id, 80)).await.unwrap();
    assert_eq!(again, Answer::Settled { charged: 80, owed: 0 });
    let holds: i64 = sqlx::query_scalar("select count(*) from hold").fetch_one(&database.pool).await.unwrap();
    assert_eq!(holds, 2);
    audit(&database.pool).await;
}
