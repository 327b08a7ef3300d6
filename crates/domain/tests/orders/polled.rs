//! The poller, with the simulator's own rate limit and the test's clock.

use domain::order::{self, Poller};
use pay::simulator::Fault;
use time::Duration;

use crate::shop::{Shop, WORTH};

/// More than an account may order in an hour, so several buy.
const PAYMENTS: usize = 1_000;
const PER_BUYER: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_lost_notices_is_made_good_within_ten_minutes() {
    let shop = Shop::open().await;
    let mut buyers = Vec::new();
    for _ in 0..PAYMENTS / PER_BUYER {
        let who = shop.buyer().await;
        buyers.push(who);
        for _ in 0..PER_BUYER {
            let (_, payment) = shop.payment(who, "btc").await;
            shop.simulator.pay(&payment).await.unwrap();
        }
    }
    shop.clock.advance(Duration::days(1));
    let back = shop.clock.now();
    shop.simulator.limit_rate(Some(10));
    shop.simulator.fail_next(3, Fault::Busy);
    let mut poller = Poller::default();
    let mut applied = 0;
    while applied < PAYMENTS {
        let step = poller.step(&shop.pool, &shop.clock, &shop.vendor).await.unwrap();
        applied += step.applied;
        assert!(step.next_at > shop.clock.now() || step.asked > 0, "a step that neither asks nor waits");
        shop.clock.advance(step.next_at - shop.clock.now());
        assert!(
            shop.clock.now() - back <= Duration::minutes(10),
            "{applied} of {PAYMENTS} after ten minutes"
        );
    }
    for who in buyers {
        assert_eq!(shop.books(who).await.available, WORTH * i64::try_from(PER_BUYER).unwrap());
    }
    let step = poller.step(&shop.pool, &shop.clock, &shop.vendor).await.unwrap();
    assert_eq!(step.asked, 0, "what is final is not asked about");
    shop.audit().await;
}

/// Runs the poller until the clock has come to `minutes` after now; the minutes at which it asked.
async fn asked_at(shop: &Shop, poller: &mut Poller, minutes: i64) -> Vec<i64> {
    let begin = shop.clock.now();
    let mut asked = Vec::new();
    while shop.clock.now() - begin < Duration::minutes(minutes) {
        let step = poller.step(&shop.pool, &shop.clock, &shop.vendor).await.unwrap();
        if step.asked > 0 {
            asked.push((shop.clock.now() - begin).whole_minutes());
        }
        let next =
            step.next_at.max(begin + Duration::minutes((shop.clock.now() - begin).whole_minutes() + 1));
        shop.clock.advance(next - shop.clock.now());
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_payment_is_asked_about_on_schedule() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    shop.payment(who, "btc").await;
    let mut poller = Poller::default();
    let asked = asked_at(&shop, &mut poller, 185).await;
    assert_eq!(asked, [15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 120, 180]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_or_broken_vendor_is_left_alone_for_a_while_and_nothing_changes() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (order, payment) = shop.payment(who, "btc").await;
    shop.simulator.pay(&payment).await.unwrap();
    shop.clock.advance(Duration::minutes(15));
    let mut poller = Poller::default();
    let mut waits = Vec::new();
    shop.simulator.fail_next(3, Fault::Busy);
    for _ in 0..3 {
        let step = poller.step(&shop.pool, &shop.clock, &shop.vendor).await.unwrap();
        assert_eq!((step.asked, step.applied), (1, 0));
        // Asked too early, it does not ask.
        assert_eq!(poller.step(&shop.pool, &shop.clock, &shop.vendor).await.unwrap().asked, 0);
        waits.push((step.next_at - shop.clock.now()).whole_seconds());
        shop.clock.advance(step.next_at - shop.clock.now());
    }
    for (wait, least) in waits.iter().zip([30, 60, 120]) {
        assert!((least..least + 8).contains(wait), "{waits:?}");
    }
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert_eq!(view.status, order::Status::Waiting);
    assert_eq!(poller.step(&shop.pool, &shop.clock, &shop.vendor).await.unwrap().applied, 1);
    assert_eq!(shop.books(who).await.available, WORTH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pollers_do_not_ask_twice() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    for _ in 0..12 {
        shop.payment(who, "btc").await;
    }
    shop.clock.advance(Duration::minutes(20));
    let (mut one, mut other) = (Poller::default(), Poller::default());
    let steps = tokio::join!(
        one.step(&shop.pool, &shop.clock, &shop.vendor),
        other.step(&shop.pool, &shop.clock, &shop.vendor)
    );
    assert_eq!(steps.0.unwrap().asked + steps.1.unwrap().asked, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_the_vendor_does_not_know_is_asked_about_on_schedule_and_not_for_ever() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&crate::shop::report(order, "404", "waiting")).await;
    let mut poller = Poller::default();
    let asked = asked_at(&shop, &mut poller, 185).await;
    assert_eq!(asked, [15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 120, 180]);
    shop.clock.advance(Duration::days(8));
    assert_eq!(poller.step(&shop.pool, &shop.clock, &shop.vendor).await.unwrap().asked, 1);
    let next: Option<time::OffsetDateTime> =
        sqlx::query_scalar("select next_poll_at from payment").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(next, None, "the last day is over");
}
