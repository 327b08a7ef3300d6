//! Sessions ended and PostgreSQL killed exactly between two steps of a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use ledger::{Answer, Ledger, Op, SubmitError};
use sqlx::PgPool;
use testing::postgres::{TestCluster, TestDatabase};
use tokio::sync::{Mutex, mpsc};
use types::{Clock, failpoint};
use uuid::Uuid;

use crate::common::{audit, hold, key, open, settle, start};

/// One test with an armed failpoint at a time.
static TURN: Mutex<()> = Mutex::const_new(());

async fn end_sessions(superuser: &PgPool) -> i64 {
    let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where application_name = 'freeside ledger' and datname = current_database()";
    sqlx::query_scalar(ended).fetch_one(superuser).await.unwrap()
}

/// Every settle is in the books once: one closed hold and one journal row each.
async fn settled_once(pool: &PgPool, ids: &[Uuid], charged: i64) {
    let (holds, entries): (i64, i64) = sqlx::query_as(
        "select (select count(*) from hold where id = any($1) and state = 1 and charged = $2),
                (select count(*) from journal where ref = any($1) and kind = 2 and amount = $2)",
    )
    .bind(ids)
    .bind(charged)
    .fetch_one(pool)
    .await
    .unwrap();
    let expected = i64::try_from(ids.len()).unwrap();
    assert_eq!((holds, entries), (expected, expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_between_the_writes_and_the_commit_charges_once() {
    let _turn = TURN.lock().await;
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000_000).await;
    let (ledger, _writers) = start(&database.url(), &clock);
    let superuser = database.pool_for("postgres");
    for point in ["ledger.before_writes", "ledger.before_commit", "ledger.after_commit"] {
        let ids: Vec<Uuid> = (0..20).map(|_| clock.uuid_v7()).collect();
        for id in &ids {
            ledger.submit(hold(payer, *id, 100)).await.unwrap();
        }
        let struck = Arc::new(AtomicBool::new(false));
        failpoint::arm(point, {
            let (superuser, struck) = (superuser.clone(), Arc::clone(&struck));
            move || {
                let (superuser, struck) = (superuser.clone(), Arc::clone(&struck));
                async move {
                    if !struck.swap(true, Ordering::SeqCst) {
                        assert!(end_sessions(&superuser).await > 0, "nothing was there to end");
                    }
                }
            }
        });
        let answers = join_all(ids.iter().map(|id| ledger.submit(settle(payer, *id, 60)))).await;
        failpoint::disarm(point);
        assert!(struck.load(Ordering::SeqCst), "{point} was not reached");
        for answer in answers {
            assert!(matches!(answer, Ok(Answer::Settled { charged: 60, owed: 0 })), "{point}: {answer:?}");
        }
        settled_once(&database.pool, &ids, 60).await;
        audit(&database.pool).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_ended_again_and_again_lose_nothing_and_do_nothing_twice() {
    let _turn = TURN.lock().await;
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let (one, _one) = start(&database.url(), &clock);
    let (two, _two) = start(&database.url(), &clock);
    for account in 1..=8 {
        open(&database.pool, &clock, key(1, account), 1_000_000).await;
    }
    let done = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (1..=8)
        .map(|account| {
            let ledger = if account % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(pairs(ledger, clock.clone(), account, Arc::clone(&done)))
        })
        .collect();
    let superuser = database.pool_for("postgres");
    let (mut ended, mut seen) = (0, 0);
    // Each time a few more pairs are through, all sessions of the ledgers end.
    while !callers.iter().all(tokio::task::JoinHandle::is_finished) {
        let now = done.load(Ordering::Relaxed);
        if now > seen + 10 {
            seen = now;
            ended += end_sessions(&superuser).await;
        }
        tokio::task::yield_now().await;
    }
    let mut ids = Vec::new();
    for caller in callers {
        ids.extend(caller.await.unwrap());
    }
    println!("{ended} sessions were ended beside {} pairs", ids.len());
    assert!(ended > 20);
    settled_once(&database.pool, &ids, 7).await;
    audit(&database.pool).await;
}

/// Sixty pairs; a hold may be refused for want of time, a settle may not.
async fn pairs(ledger: Ledger, clock: Clock, account: i64, done: Arc<AtomicUsize>) -> Vec<Uuid> {
    let payer = key(1, account);
    let mut ids = Vec::new();
    for _ in 0..60 {
        let id = clock.uuid_v7();
        match ledger.submit(hold(payer, id, 10)).await {
            Ok(Answer::Held { .. }) => {}
            Err(SubmitError::Overloaded) => continue,
            other => panic!("{other:?}"),
        }
        let settled = ledger.submit(settle(payer, id, 7)).await;
        assert!(matches!(settled, Ok(Answer::Settled { charged: 7, .. })), "{settled:?}");
        ids.push(id);
        done.fetch_add(1, Ordering::Relaxed);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_killed_in_the_middle_of_a_batch_loses_nothing_acknowledged_and_pays_nothing_twice() {
    let _turn = TURN.lock().await;
    let cluster = Arc::new(TestCluster::start_private().await);
    let (database, clock) = (cluster.database().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000_000).await;
    let (ledger, _writers) = start(&database.url(), &clock);
    let mut settled = Vec::new();
    for point in ["ledger.before_writes", "ledger.before_commit", "ledger.after_commit"] {
        let ids: Vec<Uuid> = (0..30).map(|_| clock.uuid_v7()).collect();
        for answer in join_all(ids.iter().map(|id| ledger.submit(hold(payer, *id, 100)))).await {
            answer.unwrap();
        }
        let (killed, mut hear) = mpsc::unbounded_channel();
        let struck = Arc::new(AtomicBool::new(false));
        failpoint::arm(point, {
            let cluster = Arc::clone(&cluster);
            move || {
                let (cluster, killed, struck) = (Arc::clone(&cluster), killed.clone(), Arc::clone(&struck));
                async move {
                    if !struck.swap(true, Ordering::SeqCst) {
                        cluster.kill_postgres().await;
                        killed.send(()).unwrap();
                    }
                }
            }
        });
        let settling = tokio::spawn({
            let (ledger, ids) = (ledger.clone(), ids.clone());
            async move { join_all(ids.into_iter().map(|id| ledger.submit(settle(payer, id, 60)))).await }
        });
        hear.recv().await.unwrap();
        cluster.start_again().await;
        for answer in settling.await.unwrap() {
            assert!(matches!(answer, Ok(Answer::Settled { charged: 60, owed: 0 })), "{point}: {answer:?}");
        }
        failpoint::disarm(point);
        settled.extend(ids);
        settled_once(&database.pool, &settled, 60).await;
        audit(&database.pool).await;
    }
    // Nothing is open: a hold that nobody heard of was given back.
    let release = ledger.submit(Op::Expire { key: payer }).await;
    assert!(release.is_ok(), "{release:?}");
    let open: i64 = sqlx::query_scalar("select count(*) from hold where state = 0")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(open, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_a_hold_is_refused_in_time_and_a_settle_waits() {
    let _turn = TURN.lock().await;
    let cluster = TestCluster::start_private().await;
    let (database, clock) = (cluster.database().await, Clock::system());
    let payer = key(1, 1);
    open(&database.pool, &clock, payer, 1_000).await;
    let (ledger, _writers) = start(&database.url(), &clock);
    let id = clock.uuid_v7();
    ledger.submit(hold(payer, id, 100)).await.unwrap();
    cluster.kill_postgres().await;
    // A server process or two may outlive their postmaster by a moment.
    loop {
        match ledger.submit(hold(payer, clock.uuid_v7(), 1)).await {
            Ok(Answer::Held { .. }) => {}
            Err(SubmitError::Overloaded) => break,
            other => panic!("{other:?}"),
        }
    }
    let settling = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.submit(settle(payer, id, 60)).await }
    });
    let refused = ledger.submit(hold(payer, clock.uuid_v7(), 100)).await;
    assert!(matches!(refused, Err(SubmitError::Overloaded)), "{refused:?}");
    assert!(!settling.is_finished());
    cluster.start_again().await;
    let settled = settling.await.unwrap();
    assert!(matches!(settled, Ok(Answer::Settled { charged: 60, .. })), "{settled:?}");
    settled_once(&database.pool, &[id], 60).await;
    audit(&database.pool).await;
}
