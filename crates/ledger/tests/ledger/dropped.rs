//! Every money future may be dropped at every poll: the books stay exact, and no hold stays open unheard.

use std::future::poll_fn;
use std::task::Poll;

use ledger::{Answer, Op, Refusal, SubmitError, post};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use types::{Clock, ReservationId};

use crate::common::{audit, hold, key, mint, open, settle, start};

/// Polls `future` at most `polls` times, each time it is woken, then `yields` to others, then drops it.
async fn drop_after<F: Future>(future: F, polls: usize, yields: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    let output = poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    for _ in 0..if output.is_none() { yields } else { 0 } {
        tokio::task::yield_now().await;
    }
    output
}

/// From "dropped at once" to "dropped when all is over", by way of everything that can happen in between.
fn moments() -> impl Iterator<Item = (usize, usize)> {
    (0..3).flat_map(|polls| (0..=40).chain((45..400).step_by(5)).map(move |yields| (polls, yields)))
}

async fn open_holds(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from hold where state = 0").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_hold_dropped_at_any_moment_is_given_back() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000_000).await;
    let (ledger, writers) = start(&database.url(), &clock);
    let (mut dropped, mut heard) = (0, 0);
    for (polls, yields) in moments() {
        let id = clock.uuid_v7();
        match drop_after(ledger.submit(hold(payer, id, 10)), polls, yields).await {
            None => dropped += 1,
            Some(answer) => {
                assert!(matches!(answer, Ok(Answer::Held { .. })), "{answer:?}");
                ledger.submit(Op::Release { key: payer, id: ReservationId(id) }).await.unwrap();
                heard += 1;
            }
        }
    }
    drop(ledger);
    writers.finished().await; // with everything answered and given back
    println!("{dropped} holds were dropped on their way, {heard} were heard");
    assert!(dropped > 100 && heard > 0);
    assert_eq!(open_holds(&database.pool).await, 0);
    audit(&database.pool).await;
}

#[tokio::test]
async fn a_settle_dropped_at_any_moment_is_done_or_can_be_done_again() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000_000).await;
    let (ledger, writers) = start(&database.url(), &clock);
    let mut charged = 0;
    for (polls, yields) in moments() {
        let id = clock.uuid_v7();
        ledger.submit(hold(payer, id, 10)).await.unwrap();
        let _ = drop_after(ledger.submit(settle(payer, id, 7)), polls, yields).await;
        let again = ledger.submit(settle(payer, id, 7)).await;
        assert!(matches!(again, Ok(Answer::Settled { charged: 7, .. })), "{again:?}");
        charged += 7;
    }
    drop(ledger);
    writers.finished().await;
    let spent: i64 = sqlx::query_scalar("select spent from account").fetch_one(&database.pool).await.unwrap();
    assert_eq!(spent, charged);
    assert_eq!(open_holds(&database.pool).await, 0);
    audit(&database.pool).await;
}

#[tokio::test]
async fn an_extension_or_release_dropped_at_any_moment_leaves_the_books_exact() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000_000).await;
    let (ledger, writers) = start(&database.url(), &clock);
    for (polls, yields) in moments() {
        let id = clock.uuid_v7();
        let (extend, release) = (
            Op::Extend { key: payer, id: ReservationId(id), to: 25 },
            Op::Release { key: payer, id: ReservationId(id) },
        );
        ledger.submit(hold(payer, id, 10)).await.unwrap();
        let _ = drop_after(ledger.submit(extend), polls, yields).await;
        let _ = drop_after(ledger.submit(release.clone()), polls, yields).await;
        assert_eq!(ledger.submit(release).await.unwrap(), Answer::Released);
    }
    drop(ledger);
    writers.finished().await;
    assert_eq!(open_holds(&database.pool).await, 0);
    audit(&database.pool).await;
}

/// One operation in a transaction of its caller's.
async fn posted(pool: &PgPool, clock: &Clock, op: &Op) -> Answer {
    let mut transaction = pool.begin().await.unwrap();
    let answer = post(&mut transaction, clock, op).await.unwrap();
    transaction.commit().await.unwrap();
    answer
}

#[tokio::test]
async fn a_transaction_dropped_at_any_poll_is_done_whole_or_not_at_all() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000_000).await;
    let id = clock.uuid_v7();
    let last = clock.uuid_v7();
    let ops = [
        mint(&clock, payer, 50),
        hold(payer, id, 10),
        settle(payer, id, 7),
        hold(payer, last, 10),
        Op::Release { key: payer, id: ReservationId(last) },
    ];
    let mut drops = 0;
    for op in &ops {
        let mut polls = 0;
        // A dropped transaction was not done, so each try begins anew; only the last is not dropped.
        while drop_after(posted(&database.pool, &clock, op), polls, 0).await.is_none() {
            audit(&database.pool).await;
            polls += 1;
        }
        drops += polls;
    }
    println!("{drops} transactions were dropped on their way");
    assert!(drops > 10);
    let sums: (i64, i64, i64, i64) = sqlx::query_as("select minted, available, held, spent from account")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(sums, (1_000_050, 1_000_043, 0, 7));
    audit(&database.pool).await;
}

#[tokio::test]
async fn an_operation_on_an_account_that_is_not_there_is_refused_and_nothing_is_written() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let (ledger, _writers) = start(&database.url(), &clock);
    let nobody = key(9, 9);
    let answer = ledger.submit(hold(nobody, clock.uuid_v7(), 1)).await;
    assert!(matches!(answer, Err(SubmitError::Refused(Refusal::NoAccount))), "{answer:?}");
    let mut connection = database.pool.acquire().await.unwrap();
    assert!(post(&mut connection, &clock, &mint(&clock, nobody, 5)).await.is_err());
    assert_eq!(open_holds(&database.pool).await, 0);
}
