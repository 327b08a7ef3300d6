//! The session ended, and PostgreSQL killed, exactly between two steps: the same notice finishes the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::order;
use testing::postgres::TestCluster;
use time::macros::datetime;
use types::{Clock, failpoint};

use crate::shop::{Books, Shop, WORTH, report, tell};

const POINTS: [&str; 5] =
    ["pay.before_apply", "pay.before_mint", "pay.after_mint", "pay.before_commit", "pay.after_commit"];

/// A failpoint has one strike at a time, and these tests share their points.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

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
    let _turn = ONE_AT_A_TIME.lock().await;
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
    let _turn = ONE_AT_A_TIME.lock().await;
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

/// The vendor tells of a payment the moment it makes it: the notice has the order and comes to the payment's row while
/// the answer is being written down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_overtakes_the_vendors_answer_costs_neither() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let shop = Arc::new(Shop::open().await);
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let (reached, mut answered) = tokio::sync::mpsc::channel(1);
    failpoint::arm("pay.before_write", {
        let pool = shop.pool.clone();
        move || {
            let (pool, reached) = (pool.clone(), reached.clone());
            async move {
                if is_our_turn() {
                    let mut tx = pool.begin().await.unwrap();
                    sqlx::query("select 1 from purchase_order where id = $1 for update")
                        .bind(order.0)
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                    reached.send(tx).await.unwrap();
                }
            }
        }
    });
    let choice = tokio::spawn(STRUCK.scope(Arc::default(), {
        let shop = Arc::clone(&shop);
        async move { order::choose(&shop.ctx, who, order, "btc").await }
    }));
    let mut notice = answered.recv().await.unwrap();
    failpoint::disarm("pay.before_write");
    let is_waiting = "select count(*) > 0 from pg_stat_activity where datname = current_database()
                      and wait_event_type = 'Lock' and pid <> pg_backend_pid()";
    while !sqlx::query_scalar::<_, bool>(is_waiting).fetch_one(&shop.pool).await.unwrap() {
        tokio::task::yield_now().await;
    }
    let id = shop.simulator.payments().remove(0);
    sqlx::query(
        "insert into payment (id, order_id, created_at) values ($1, $2, now())
         on conflict on constraint payment_pk do nothing",
    )
    .bind(&id)
    .bind(order.0)
    .execute(&mut *notice)
    .await
    .unwrap();
    notice.commit().await.unwrap();
    let payment = choice.await.unwrap().unwrap().payment.unwrap();
    assert!(payment.id == id && payment.pay_address.is_some(), "{payment:?}");
}

/// Another order's payment under the number that the vendor gave to a new one: said, and nothing is overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_another_orders_payment_is_an_error() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let shop = Arc::new(Shop::open().await);
    let (who, other) = (shop.buyer().await, shop.buyer().await);
    let (order, others) = (shop.order(who).await, shop.order(other).await);
    failpoint::arm("pay.before_write", {
        let shop = Arc::clone(&shop);
        move || {
            let shop = Arc::clone(&shop);
            async move {
                if is_our_turn() {
                    let id = shop.simulator.payments().remove(0);
                    shop.tell(&report(others, &id, "waiting")).await;
                }
            }
        }
    });
    let refused = STRUCK.scope(Arc::default(), order::choose(&shop.ctx, who, order, "btc")).await;
    failpoint::disarm("pay.before_write");
    assert!(matches!(refused, Err(order::OrderError::Unexpected(_))), "{refused:?}");
    let view = order::view(&shop.ctx, other, others).await.unwrap().unwrap();
    assert_eq!(view.payment.unwrap().pay_address, None);
}
