//! The session ended, and PostgreSQL killed, exactly between two steps: the same notice finishes the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testing::postgres::TestCluster;
use time::macros::datetime;
use types::{Clock, failpoint};

use crate::shop::{Books, Shop, WORTH, report, tell};

const POINTS: [&str; 5] =
    ["pay.before_apply", "pay.before_mint", "pay.after_mint", "pay.before_commit", "pay.after_commit"];

tokio::task_local! {
    /// Failpoints are the process's; only the task that asks for it is struck.
    static STRUCK: Arc<AtomicBool>;
}

/// Whether this is the first time that the struck task comes by.
fn is_our_turn() -> bool {
    STRUCK.try_with(|struck| !struck.swap(true, Ordering::SeqCst)).unwrap_or(false)
}

fn credited() -> Books {
    let lots = vec![(1, 10_000_000, 0), (2, 500_000, 0)];
    Books { available: WORTH, minted: WORTH, lots, lines: 2, ..Books::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_at_any_failpoint_loses_nothing_and_doubles_nothing() {
    let shop = Shop::open().await;
    let superuser = shop.database.pool_for("postgres");
    for (number, point) in POINTS.into_iter().enumerate() {
        let who = shop.buyer().await;
        let order = shop.order(who).await;
        failpoint::arm(point, {
            let superuser = superuser.clone();
            move || {
                let superuser = superuser.clone();
                async move {
                    if is_our_turn() {
                        sqlx::query(
                            "select pg_terminate_backend(pid) from pg_stat_activity
                             where usename = 'freeside_app' and datname = current_database()",
                        )
                        .execute(&superuser)
                        .await
                        .unwrap();
                    }
                }
            }
        });
        let finished = report(order, &number.to_string(), "finished");
        let struck = Arc::new(AtomicBool::new(false));
        let first = STRUCK.scope(Arc::clone(&struck), tell(&shop.pool, &shop.clock, &finished)).await;
        failpoint::disarm(point);
        assert!(struck.load(Ordering::SeqCst), "{point} was not reached");
        // Before the apply a pool mends a dead session by itself; in between nothing may have stayed.
        if point == "pay.after_commit" {
            assert_eq!(first.unwrap().minted.0, WORTH);
        } else if first.is_err() {
            assert_eq!(shop.books(who).await, Books::default(), "{point}");
        }
        shop.tell(&finished).await;
        assert_eq!(shop.books(who).await, credited(), "{point}");
    }
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_killed_in_the_middle_of_a_notice_credits_at_the_next_try() {
    let cluster = Arc::new(TestCluster::start_private().await);
    let clock = Clock::fixed(datetime!(2026-03-01 12:00 UTC));
    let shop = Shop::open_in(cluster.database().await, clock).await;
    for (number, point) in ["pay.after_mint", "pay.before_commit"].into_iter().enumerate() {
        let who = shop.buyer().await;
        let order = shop.order(who).await;
        failpoint::arm(point, {
            let cluster = Arc::clone(&cluster);
            move || {
                let cluster = Arc::clone(&cluster);
                async move {
                    if is_our_turn() {
                        cluster.kill_postgres().await;
                    }
                }
            }
        });
        let finished = report(order, &number.to_string(), "finished");
        let struck = Arc::new(AtomicBool::new(false));
        let first = STRUCK.scope(struck, tell(&shop.pool, &shop.clock, &finished)).await;
        failpoint::disarm(point);
        cluster.start_again().await;
        // The kill may come after the commit's answer was on its way; what counts is what is there.
        let retried = loop {
            if let Ok(applied) = tell(&shop.pool, &shop.clock, &finished).await {
                break applied;
            }
        };
        let minted = first.map_or(0, |applied| applied.minted.0) + retried.minted.0;
        assert!(minted <= WORTH, "{point}: {minted}");
        assert_eq!(shop.books(who).await, credited(), "{point}");
    }
    shop.audit().await;
}
