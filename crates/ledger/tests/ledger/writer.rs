//! The batched writer when something goes wrong: a bad operation, a stuck lock, too much at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use ledger::{Answer, Ledger, Op, Refusal, Settings, SubmitError};
use sqlx::Connection;
use testing::postgres::TestDatabase;
use tokio::sync::mpsc;
use types::{Clock, ReservationId};

use crate::common::{audit, hold, key, open, settle, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_operation_fails_alone_and_the_others_of_its_batch_get_their_answers() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    for account in 1..=20 {
        open(&database.pool, &clock, key(1, account), 10_000).await;
    }
    let (observer, mut observed) = mpsc::unbounded_channel();
    let mut settings = Settings::new(&database.url(), clock.clone()).unwrap();
    settings.observer = Some(observer);
    let (ledger, _writers) = Ledger::start(&settings);
    // PostgreSQL takes no NUL in a text, and says so only when the row is written.
    let mut poison = hold(key(1, 7), clock.uuid_v7(), 100);
    let Op::Hold(new) = &mut poison else { unreachable!() };
    new.asked = "a\0b".to_owned();
    let ops = (0..200).map(|number| match number {
        100 => poison.clone(),
        _ => hold(key(1, 1 + number % 20), clock.uuid_v7(), 100),
    });
    let answers = join_all(ops.map(|op| ledger.submit(op))).await;
    for (number, answer) in answers.iter().enumerate() {
        match (number, answer) {
            (100, Err(SubmitError::Unexpected)) => {}
            (100, other) => panic!("the poison got {other:?}"),
            (_, Ok(Answer::Held { .. })) => {}
            (_, other) => panic!("an innocent operation got {other:?}"),
        }
    }
    drop((ledger, settings));
    let mut together = 0;
    while let Some(batch) = observed.recv().await {
        together = together.max(batch.done.len());
    }
    assert!(together > 1, "nothing was in one batch: the test shows nothing");
    let violations: i64 =
        sqlx::query_scalar("select count(*) from violation").fetch_one(&database.pool).await.unwrap();
    assert_eq!(violations, 0, "a bad text is no fault of the books");
    audit(&database.pool).await;
}

/// Its row is inserted and updated, which one statement cannot do (`writes::groups`).
#[tokio::test]
async fn a_hold_that_its_own_batch_closes_is_made_and_closed() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let (observer, mut observed) = mpsc::unbounded_channel();
    let mut settings = Settings::new(&database.url(), clock.clone()).unwrap();
    settings.observer = Some(observer);
    let (ledger, _writers) = Ledger::start(&settings);
    open(&database.pool, &clock, key(1, 1), 10_000).await;
    let ids: Vec<_> = (0..40).map(|_| clock.uuid_v7()).collect();
    // On one thread all of them wait before the writer looks.
    let ops = ids.iter().enumerate().flat_map(|(number, id)| {
        let close = match number % 3 {
            0 => Some(settle(key(1, 1), *id, 60)),
            1 => Some(Op::Release { key: key(1, 1), id: ReservationId(*id) }),
            _ => None,
        };
        std::iter::once(hold(key(1, 1), *id, 100)).chain(close)
    });
    for answer in join_all(ops.map(|op| ledger.submit(op))).await {
        answer.unwrap();
    }
    drop((ledger, settings));
    let mut closed_at_once = 0;
    while let Some(batch) = observed.recv().await {
        let holds: Vec<_> = batch.done.iter().filter_map(|(op, _)| op.hold_id()).collect();
        closed_at_once +=
            holds.iter().filter(|id| holds.iter().filter(|other| other == id).count() == 2).count() / 2;
    }
    assert!(closed_at_once > 0, "no hold was closed by its own batch: the test shows nothing");
    let states: Vec<(i16, i64)> =
        sqlx::query_as("select state, count(*) from hold where account_id = 1 group by state order by state")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    assert_eq!(states, [(0, 13), (1, 14), (2, 13)]);
    audit(&database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_a_check_refuses_freezes_its_account_and_no_other() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let (ledger, _writers) = start(&database.url(), &clock);
    let ids: Vec<_> = (0..5).map(|_| clock.uuid_v7()).collect();
    for account in 1..=4 {
        open(&database.pool, &clock, key(1, account), 10_000).await;
        ledger.submit(hold(key(1, account), ids[usize::try_from(account).unwrap()], 100)).await.unwrap();
    }
    // The row is in balance, but not with its open hold: giving that back would leave less than nothing held.
    sqlx::query("update account set available = available + 100, held = held - 100 where id = 2")
        .execute(&database.owner_pool())
        .await
        .unwrap();
    let (ledger, _writers) = start(&database.url(), &clock);
    let ops = (0..40).map(|number| match (1 + number % 4, number / 4) {
        (2, 0..5) => Op::Release { key: key(1, 2), id: ReservationId(ids[2]) },
        (account, _) => hold(key(1, account), clock.uuid_v7(), 10),
    });
    let answers = join_all(ops.map(|op| ledger.submit(op))).await;
    for (number, answer) in answers.into_iter().enumerate() {
        match (1 + number % 4, answer) {
            (2, Err(SubmitError::Unexpected | SubmitError::Refused(Refusal::Frozen)))
            | (1..=4, Ok(Answer::Held { .. } | Answer::Released)) => {}
            (account, other) => panic!("account {account} got {other:?}"),
        }
    }
    let release = ledger.submit(Op::Release { key: key(1, 2), id: ReservationId(ids[2]) }).await;
    println!("afterwards {release:?}");
    let again = ledger.submit(hold(key(1, 2), clock.uuid_v7(), 10)).await;
    assert!(matches!(again, Err(SubmitError::Refused(Refusal::Frozen))), "{again:?}");
    let found: Vec<(i64, String)> = sqlx::query_as("select distinct account_id, what from violation")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    assert_eq!(found, [(2, "a transaction would have broken the constraint no_overdraft".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_administrator_sits_on_an_account_the_others_go_on() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    for account in 1..=2 {
        open(&database.pool, &clock, key(1, account), 1_000_000).await;
    }
    let (ledger, _writers) = start(&database.url(), &clock);
    let before = clock.uuid_v7();
    ledger.submit(hold(key(1, 1), before, 500)).await.unwrap();

    let mut administrator = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query("set idle_in_transaction_session_timeout = 0").execute(&mut administrator).await.unwrap();
    let mut sitting = administrator.begin().await.unwrap();
    sqlx::query("select from account where id = 1 for update").execute(&mut *sitting).await.unwrap();

    let stuck_settle = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.submit(settle(key(1, 1), before, 400)).await }
    });
    let began = tokio::time::Instant::now();
    let stuck_hold = tokio::spawn({
        let (ledger, op) = (ledger.clone(), hold(key(1, 1), clock.uuid_v7(), 5));
        async move { ledger.submit(op).await }
    });
    // The others do not wait until the lock goes: it stays until they are through.
    for _ in 0..100 {
        let id = clock.uuid_v7();
        ledger.submit(hold(key(1, 2), id, 10)).await.unwrap();
        ledger.submit(settle(key(1, 2), id, 10)).await.unwrap();
    }
    println!("100 pairs of another account beside a locked one: {:?}", began.elapsed());
    let refused = stuck_hold.await.unwrap();
    assert!(matches!(refused, Err(SubmitError::Overloaded)), "{refused:?}");
    assert!(!stuck_settle.is_finished(), "it cannot be done yet");
    sitting.rollback().await.unwrap();
    let settled = stuck_settle.await.unwrap();
    assert!(matches!(settled, Ok(Answer::Settled { charged: 400, .. })), "{settled:?}");
    audit(&database.pool).await;
    let held: i64 =
        sqlx::query_scalar("select sum(held)::bigint from account").fetch_one(&database.pool).await.unwrap();
    assert_eq!(held, 0, "the refused hold set nothing aside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_holds_at_once_and_lets_settles_through() {
    const ASKED: usize = 12_000;
    const OPEN: usize = 100;
    /// In the queue, in hand, and in the slow lane.
    const ROOM: usize = 8_192 + 512 + 1_024;
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000_000_000).await;
    let (ledger, writers) = start(&database.url(), &clock);
    let ids: Vec<_> = (0..OPEN).map(|_| clock.uuid_v7()).collect();
    for answer in join_all(ids.iter().map(|id| ledger.submit(hold(payer, *id, 10)))).await {
        answer.unwrap();
    }
    let mut administrator = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    let mut sitting = administrator.begin().await.unwrap();
    sqlx::query("select from book for update").execute(&mut *sitting).await.unwrap();

    let refused = Arc::new(AtomicUsize::new(0));
    let asking = tokio::spawn({
        let (ledger, clock, refused) = (ledger.clone(), clock.clone(), Arc::clone(&refused));
        async move {
            let ask = |_| async {
                let answer = ledger.submit(hold(payer, clock.uuid_v7(), 10)).await;
                refused.fetch_add(usize::from(answer.is_err()), Ordering::Relaxed);
                answer
            };
            join_all((0..ASKED).map(ask)).await
        }
    });
    let settling = tokio::spawn({
        let ledger = ledger.clone();
        async move { join_all(ids.into_iter().map(|id| ledger.submit(settle(payer, id, 10)))).await }
    });
    // Nobody can be served, so these refusals come from the full queue alone; served, some would make room for others.
    while refused.load(Ordering::Relaxed) < ASKED - ROOM {
        assert!(ledger.queued() <= 2 * 8_192, "the queue has a bound");
        tokio::task::yield_now().await;
    }
    sitting.rollback().await.unwrap();
    for answer in settling.await.unwrap() {
        assert!(matches!(answer, Ok(Answer::Settled { .. })), "{answer:?}");
    }
    let answers = asking.await.unwrap();
    let held = answers.iter().filter(|answer| matches!(answer, Ok(Answer::Held { .. }))).count();
    let overloaded = answers.iter().filter(|answer| matches!(answer, Err(SubmitError::Overloaded))).count();
    println!("of {ASKED} holds {held} were served and {overloaded} refused");
    assert_eq!(held + overloaded, ASKED, "every caller got one of the two answers");
    assert!(overloaded >= ASKED - ROOM, "more waited than the queue has room for");
    drop(ledger);
    writers.finished().await;
    let sum: i64 = sqlx::query_scalar("select held from account").fetch_one(&database.pool).await.unwrap();
    assert_eq!(
        sum,
        i64::try_from(held).unwrap() * 10,
        "a refused hold set something aside, or a served one did not"
    );
    audit(&database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_first_is_served_first() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    for account in 1..=3 {
        open(&database.pool, &clock, key(1, account), 1_000_000).await;
    }
    let (observer, mut observed) = mpsc::unbounded_channel();
    let mut settings = Settings::new(&database.url(), clock.clone()).unwrap();
    settings.observer = Some(observer);
    let (ledger, _writers) = Ledger::start(&settings);
    // One caller floods, two others ask now and then.
    let asked: Vec<Op> = (0..3_000)
        .map(|number| {
            let account = if number % 100 == 0 { 2 + number / 100 % 2 } else { 1 };
            hold(key(1, account), clock.uuid_v7(), 1)
        })
        .collect();
    let order: Vec<ReservationId> = asked.iter().filter_map(Op::hold_id).collect();
    // `join_all` polls in order of asking when it is first polled, and an operation is in the queue after one poll.
    let answers = join_all(asked.into_iter().map(|op| Box::pin(ledger.submit(op)))).await;
    assert!(answers.iter().all(Result::is_ok));
    drop((ledger, settings));
    let mut served = Vec::new();
    while let Some(batch) = observed.recv().await {
        served.extend(batch.done.iter().filter_map(|(op, _)| op.hold_id()));
    }
    assert_eq!(served, order);
}

/// A database that takes no write, for one of the reasons that end by themselves: a full disk, a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_cannot_write_a_settle_waits_and_charges_once() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let owner = database.owner_pool();
    let account = key(1, 1);
    open(&database.pool, &clock, account, 10_000).await;
    let (ledger, _writers) = start(&database.url(), &clock);
    sqlx::raw_sql(
        "create function ail() returns trigger language plpgsql as
           $$ begin raise exception 'it cannot write' using errcode = tg_argv[0]; end $$;",
    )
    .execute(&owner)
    .await
    .unwrap();
    // A full disk, an I/O error, a server that only reads.
    for code in ["53100", "58030", "25006"] {
        let id = clock.uuid_v7();
        ledger.submit(hold(account, id, 500)).await.unwrap();
        let ail = format!("create trigger ail before update on account execute function ail('{code}')");
        sqlx::raw_sql(sqlx::AssertSqlSafe(ail)).execute(&owner).await.unwrap();
        let settling = tokio::spawn({
            let ledger = ledger.clone();
            async move { ledger.submit(settle(account, id, 400)).await }
        });
        // A hold is refused when its time is over: by then the settle has been tried as well.
        let refused = ledger.submit(hold(account, clock.uuid_v7(), 5)).await;
        assert!(matches!(refused, Err(SubmitError::Overloaded)), "{code}: {refused:?}");
        assert!(!settling.is_finished(), "{code}: it waits");
        sqlx::raw_sql("drop trigger ail on account").execute(&owner).await.unwrap();
        let settled = settling.await.unwrap();
        assert!(matches!(settled, Ok(Answer::Settled { charged: 400, .. })), "{code}: {settled:?}");
    }
    audit(&database.pool).await;
    let spent: i64 = sqlx::query_scalar("select spent from account").fetch_one(&database.pool).await.unwrap();
    assert_eq!(spent, 1_200);
}
