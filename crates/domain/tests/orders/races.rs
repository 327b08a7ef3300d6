//! Webhook, poller and admin at once, with duplicates, lost futures and ended sessions: one mint event each time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use domain::order::{self, Applied, ApplyError, Origin, Payer};
use pay::report::Report;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use testing::postgres::TestDatabase;
use tokio::task::JoinSet;
use types::Clock;

use crate::shop::{Books, Shop, WORTH, books, count, items, report};

/// Schedules that run at once: they share sessions, and a killed one is anybody's.
const AT_ONCE: usize = 6;
/// The longest that a schedule may take when everything fails around it.
const PATIENCE: Duration = Duration::from_mins(2);

fn schedules() -> u64 {
    if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 20_000 } else { 500 }
}

/// What happens to an order, and what must come of it.
struct Story {
    order: order::OrderId,
    who: Payer,
    reports: Vec<Report>,
    /// Credited and not taken back.
    kept: i64,
    /// A refund may come before its mint or after it, and what was minted before may have changed hands.
    is_refunded: bool,
    /// Kind and state.
    items: Vec<(i16, i16)>,
}

/// Ids of payments are unique over all stories.
fn story(number: u64, order: order::OrderId, who: Payer) -> Story {
    let (one, other) = (format!("{number}1"), format!("{number}2"));
    let path =
        |statuses: &[&str]| statuses.iter().map(|status| report(order, &one, status)).collect::<Vec<_>>();
    let usual = ["waiting", "confirming", "confirmed", "sending", "finished"];
    let (reports, kept, items) = match number % 8 {
        0 | 1 => (path(&usual), WORTH, vec![]),
        2 => (path(&["waiting", "expired", "confirming", "finished"]), WORTH, vec![]),
        3 => (path(&["waiting", "confirming", "partially_paid", "finished"]), WORTH, vec![(1, 1)]),
        4 => {
            let second = ["waiting", "finished"].map(|status| report(order, &other, status));
            ([path(&usual), second.to_vec()].concat(), WORTH, vec![(2, 0)])
        }
        5 => {
            let child = Report { parent_payment_id: Some(one.clone()), ..report(order, &other, "finished") };
            ([path(&usual), vec![child]].concat(), WORTH, vec![(3, 0)])
        }
        6 => (path(&["waiting", "partially_paid", "finished", "refunded"]), 0, vec![(1, 1)]),
        _ => {
            let second = ["waiting", "finished"].map(|status| report(order, &other, status));
            ([path(&["confirming", "finished", "refunded"]), second.to_vec()].concat(), WORTH, vec![])
        }
    };
    Story { order, who, reports, kept, is_refunded: number % 8 >= 6, items }
}

/// Polls a future so many times and then drops it, as a process does that dies between two steps.
async fn dropped_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[derive(Clone, Copy)]
enum Actor {
    Webhook,
    Poller,
    Admin,
}

async fn apply(actor: Actor, pool: &PgPool, clock: &Clock, report: &Report) -> Result<Applied, ApplyError> {
    let origin = match actor {
        Actor::Webhook => Origin::Notice { verbatim: b"{}" },
        Actor::Poller => Origin::Poll,
        Actor::Admin => Origin::Admin { who: "a test", reason: "a race" },
    };
    order::apply(pool, clock, report, origin).await
}

/// Tells its reports in its own order, some of them twice, some of them only in part. What fails is left to the others.
async fn act(actor: Actor, pool: PgPool, clock: Clock, mut reports: Vec<Report>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let twice = random.random_range(0..=reports.len());
    reports.extend_from_within(..twice);
    reports.shuffle(&mut random);
    for report in &reports {
        if random.random_bool(0.3) {
            // A transaction is some dozens of polls long.
            let done = dropped_after(random.random_range(1..60), apply(actor, &pool, &clock, report)).await;
            done.into_iter().for_each(only_chance);
        } else {
            only_chance(apply(actor, &pool, &clock, report).await);
        }
    }
}

/// A session that was ended under a statement reports in many ways; the rule, the locks and the ledger never do.
fn only_chance(result: Result<Applied, ApplyError>) {
    if let Err(ApplyError::Unexpected(error)) = result {
        let text = format!("{error:#}");
        assert!(
            !["behind its lock", "refused", "constraint"].iter().any(|word| text.contains(word)),
            "{text}"
        );
    }
}

/// The vendor sends again until it hears yes.
async fn until_heard(pool: &PgPool, clock: &Clock, report: &Report) {
    loop {
        match apply(Actor::Webhook, pool, clock, report).await {
            Ok(_) => return,
            failed => only_chance(failed),
        }
    }
}

/// A pool whose sessions are ended at any time.
fn mortal(shop: &Shop) -> PgPool {
    let options: PgConnectOptions = shop.database.url().parse().unwrap();
    PgPoolOptions::new()
        .max_connections(12)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options.application_name("mortal"))
}

async fn run(shop: Arc<Shop>, pool: PgPool, number: u64) {
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let story = story(number, order, who);
    let mut actors = JoinSet::new();
    for (index, actor) in
        [Actor::Webhook, Actor::Poller, Actor::Admin, Actor::Webhook].into_iter().enumerate()
    {
        let seed = number * 10 + index as u64;
        actors.spawn(act(actor, pool.clone(), shop.clock.clone(), story.reports.clone(), seed));
    }
    actors.join_all().await;
    for report in &story.reports {
        until_heard(&pool, &shop.clock, report).await;
    }
    judge(&shop.pool, &story, number).await;
}

/// Exactly one mint event of exactly the right size, and nothing else.
async fn judge(pool: &PgPool, story: &Story, number: u64) {
    let found = books(pool, story.who).await;
    let mut open = items(pool, story.order).await;
    let live =
        "select count(*) from payment where order_id = $1 and credit = 1 and credits_minted_at is not null";
    let live = count(pool, live, story.order).await;
    assert_eq!(live, i64::from(story.kept > 0), "schedule {number}");
    if story.is_refunded {
        let minted = found.minted;
        let expected = (story.kept, 0, minted - story.kept, minted - story.kept);
        assert_eq!(
            (found.available, found.owed, found.reversed, minted - found.available),
            expected,
            "{number}"
        );
        assert!(minted % WORTH == 0 && minted <= 2 * WORTH, "schedule {number}: {minted}");
        open.retain(|(kind, state)| (*kind, *state) != (2, 1)); // both were paid for a moment, or not
    } else {
        let lots = vec![(1, 10_000_000, 0), (2, 500_000, 0)];
        let expected = Books { available: WORTH, minted: WORTH, lots, lines: 2, ..Books::default() };
        assert_eq!(found, expected, "schedule {number}");
        let told = "select count(*) from outbox where body->>'order_id' = $1::text";
        assert_eq!(count(pool, told, story.order).await, 1, "schedule {number}");
    }
    assert_eq!(open, story.items, "schedule {number}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_schedule_there_is_one_mint_event_of_the_right_size() {
    let shop = Arc::new(Shop::open_in(TestDatabase::new().await, Clock::system()).await);
    let superuser = shop.database.pool_for("postgres");
    let is_over = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn(end_sessions(superuser, Arc::clone(&is_over)));
    let pool = mortal(&shop);
    let mut running = JoinSet::new();
    for number in 1..=schedules() {
        if running.len() == AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
        let (shop, pool) = (Arc::clone(&shop), pool.clone());
        running.spawn(async move {
            let done = tokio::time::timeout(PATIENCE, run(shop, pool, number)).await;
            done.unwrap_or_else(|_| panic!("schedule {number} does not end"));
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    let ended = killer.await.unwrap();
    assert!(ended > 0, "no session was ended");
    shop.audit().await;
}

/// Ends one busy session after another: between two statements or within one.
async fn end_sessions(superuser: PgPool, is_over: Arc<AtomicBool>) -> i64 {
    let mut ended = 0;
    while !is_over.load(Ordering::SeqCst) {
        ended += sqlx::query_scalar::<_, i64>(
            "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity
               where application_name = 'mortal' and datname = current_database() and xact_start is not null
               order by random() limit 1) busy, pg_sleep(0.05)",
        )
        .fetch_one(&superuser)
        .await
        .unwrap();
    }
    ended
}
