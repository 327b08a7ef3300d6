//! From the pack to the last token: buying, paying, spending, and doing each step again.

use domain::flags::{FirstValues, Flags};
use domain::order::{self, OrderError, Origin, Payer, Status};
use ledger::{Answer, Charge, NewHold, Op};
use pay::simulator::{Fault, Manner, Notice};
use time::Duration;
use types::{OwnerId, ReservationId};

use crate::shop::{Shop, WORTH};

/// What the route does with a notice: check the signature, read, apply.
async fn receive(shop: &Shop, notice: &Notice) -> order::Applied {
    let json = pay::json::parse(notice.body.as_bytes()).unwrap();
    let signature = pay::notice::sign(&shop.secret, &json);
    let report = pay::notice::authenticate(&shop.secret, &signature, notice.body.as_bytes()).unwrap();
    let origin = Origin::Notice { verbatim: notice.body.as_bytes() };
    order::apply(&shop.pool, &shop.clock, &report, origin).await.unwrap()
}

/// Seed 001: ten dollars become 10,500,000 micro-USD, a request is held and settled, and the balance is exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_dollars_from_the_pack_to_the_settled_request() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (order, payment) = shop.payment(who, "btc").await;
    let notices = shop.simulator.pay(&payment).await.unwrap();
    assert_eq!(notices.last().unwrap().status, "finished");
    for notice in &notices {
        receive(&shop, notice).await;
    }
    assert_eq!(shop.books(who).await.available, WORTH);

    // 1,000 prompt and 500 completion tokens of scripted-standard: 1,000 + 2,000 micro-USD; held at the worst case.
    let price = shop.ctx.catalog.models["scripted-standard"].price();
    let (held, charged) = (price.charge(1_000, 2_048).0, price.charge(1_000, 500).0);
    let id = ReservationId(shop.clock.uuid_v7());
    let hold = Op::Hold(NewHold {
        id,
        key: who.key,
        amount: held,
        input_hash: [1; 32],
        owner: OwnerId(1),
        api_key: None,
        price_version: 1,
        agent: None,
        asked: "standard".to_owned(),
    });
    let charge = Charge {
        amount: charged,
        tokens_in: 1_000,
        tokens_out: 500,
        own_in: 1_000,
        own_out: 500,
        pool: Some(1),
        model: "scripted-standard".to_owned(),
        reason: "asked".to_owned(),
    };
    let settle = Op::Settle { key: who.key, id, charge };
    let answer = shop.ctx.ledger.submit(hold.clone()).await.unwrap();
    assert_eq!(answer, Answer::Held { amount: held, available: WORTH - held });
    shop.ctx.ledger.submit(settle.clone()).await.unwrap();
    let after = shop.books(who).await;
    assert_eq!((held, charged), (9_192, 3_000));
    assert_eq!((after.available, after.held, after.spent, after.owed), (10_497_000, 0, 3_000, 0));

    // Every step again, notices in every manner.
    for notice in notices.iter().rev().chain(&notices) {
        assert_eq!(receive(&shop, notice).await.status, Some(Status::Finished));
    }
    order::reconcile(&shop.pool, &shop.clock, &shop.vendor, &payment, "operator", "again").await.unwrap();
    shop.ctx.ledger.submit(hold).await.unwrap();
    shop.ctx.ledger.submit(settle).await.unwrap();
    let refused = order::choose(&shop.ctx, who, order, "eth").await;
    assert!(matches!(refused, Err(OrderError::Done(Status::Finished))), "{refused:?}");
    assert_eq!(shop.books(who).await, after);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_names_one_order_for_a_day() {
    let shop = Shop::open().await;
    let (who, other) = (shop.buyer().await, shop.buyer().await);
    let start = |who: Payer, pack: &'static str, key| order::start(&shop.ctx, who, pack, Some(key));
    let first = start(who, "standard", "a").await.unwrap();
    assert_eq!(start(who, "standard", "a").await.unwrap(), first);
    assert!(matches!(start(who, "starter", "a").await, Err(OrderError::KeyReused)));
    assert_ne!(start(who, "standard", "b").await.unwrap().id, first.id);
    assert_ne!(start(other, "standard", "a").await.unwrap().id, first.id);
    // The same answer, even when the order has moved on.
    shop.tell(&crate::shop::report(first.id, "1", "finished")).await;
    assert_eq!(start(who, "standard", "a").await.unwrap(), first);
    shop.clock.advance(Duration::hours(24));
    assert_ne!(start(who, "starter", "a").await.unwrap().id, first.id);
    for key in ["", " ", "ä", &"k".repeat(256)] {
        let refused = order::start(&shop.ctx, who, "standard", Some(key)).await;
        assert!(matches!(refused, Err(OrderError::BadKey)), "{key:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_being_answered_is_in_flight_and_many_at_once_make_one_order() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let mut holder = shop.pool.begin().await.unwrap();
    let name = format!("idempotency {} {} a", who.key.community, who.key.account);
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(name)
        .execute(&mut *holder)
        .await
        .unwrap();
    let refused = order::start(&shop.ctx, who, "standard", Some("a")).await;
    assert!(matches!(refused, Err(OrderError::InFlight)), "{refused:?}");
    holder.rollback().await.unwrap();
    let answers =
        futures_util::future::join_all((0..8).map(|_| order::start(&shop.ctx, who, "standard", Some("a"))))
            .await;
    for answer in &answers {
        assert!(matches!(answer, Ok(_) | Err(OrderError::InFlight)), "{answer:?}");
    }
    let orders: i64 =
        sqlx::query_scalar("select count(*) from purchase_order").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(orders, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_of_coin_makes_a_payment_and_the_same_choice_finds_it() {
    let shop = Shop::open().await;
    let (who, stranger) = (shop.buyer().await, shop.buyer().await);
    let order = shop.order(who).await;
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert_eq!((view.status, view.payment), (Status::Waiting, None));
    assert!(
        view.coins.is_complete && view.coins.offered.iter().any(|coin| coin.coin == "btc"),
        "{:?}",
        view.coins
    );
    let first = order::choose(&shop.ctx, who, order, "btc").await.unwrap();
    let payment = first.payment.clone().unwrap();
    assert_eq!(payment.coin.as_deref(), Some("btc"));
    assert!(payment.pay_address.is_some() && payment.pay_amount.is_some());
    assert_eq!(order::choose(&shop.ctx, who, order, " BTC").await.unwrap(), first);
    let second = order::choose(&shop.ctx, who, order, "ltc").await.unwrap().payment.unwrap();
    assert_ne!(second.id, payment.id);
    assert_eq!(shop.simulator.payments().len(), 2);
    assert_eq!(order::view(&shop.ctx, stranger, order).await.unwrap(), None);
    assert!(matches!(order::choose(&shop.ctx, stranger, order, "btc").await, Err(OrderError::NoOrder)));
    assert!(matches!(order::choose(&shop.ctx, who, order, "doge").await, Err(OrderError::UnknownCoin(_))));
    let pack = order::start(&shop.ctx, who, "gold", None).await;
    assert!(matches!(pack, Err(OrderError::UnknownPack(_))), "{pack:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coin_whose_minimum_is_above_the_price_is_not_offered() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    // The simulator's least for eth is 6 USD.
    let order = order::start(&shop.ctx, who, "starter", None).await.unwrap().id;
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert!(view.coins.offered.iter().all(|coin| coin.coin != "eth"), "{:?}", view.coins);
    let refused = order::choose(&shop.ctx, who, order, "eth").await;
    assert!(matches!(refused, Err(OrderError::BelowMinimum { .. })), "{refused:?}");
    assert_eq!(shop.simulator.payments(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clicks_at_once_make_one_payment() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let answers =
        futures_util::future::join_all((0..6).map(|_| order::choose(&shop.ctx, who, order, "btc"))).await;
    for answer in &answers {
        assert!(matches!(answer, Ok(_) | Err(OrderError::InFlight)), "{answer:?}");
    }
    assert_eq!(shop.simulator.payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_fails_leaves_the_order_as_it_was() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.payment(who, "btc").await; // the minimum is known from here on
    shop.simulator.fail_next(1, Fault::Busy);
    let refused = order::choose(&shop.ctx, who, order, "btc").await;
    assert!(matches!(refused, Err(OrderError::VendorUnavailable { retry_after_s: 30 })), "{refused:?}");
    let view = order::choose(&shop.ctx, who, order, "btc").await.unwrap();
    assert!(view.payment.is_some());
}

/// The simulator's own manners, told by its own notices: a second deposit is a child and waits for a person.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_deposit_to_the_same_address_mints_nothing() {
    let shop = Shop::open().await;
    shop.simulator.deliver_all_as(Manner::Silent);
    let who = shop.buyer().await;
    let (order, payment) = shop.payment(who, "btc").await;
    let mut notices = shop.simulator.repeat(&payment).await.unwrap();
    notices.extend(shop.simulator.wrong_asset(&payment).await.unwrap());
    notices.extend(shop.simulator.pay(&payment).await.unwrap());
    for notice in &notices {
        receive(&shop, notice).await;
    }
    assert_eq!(shop.books(who).await.available, WORTH);
    let kinds: Vec<i16> = crate::shop::items(&shop.pool, order).await.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [3, 3, 6], "two children, one of them with a status that nobody announced");
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert_eq!(view.payment.unwrap().id, payment);
    shop.audit().await;
}

/// The kill switch (SPEC §13): no new order and no new payment; what was begun before goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_nothing_new_is_sold_and_old_payments_credit() {
    let mut shop = Shop::open().await;
    let who = shop.buyer().await;
    let (order, payment) = shop.payment(who, "btc").await;
    shop.ctx.flags = Flags::new(FirstValues { crypto_payments: false, ..FirstValues::ALL_ON });
    assert!(matches!(order::start(&shop.ctx, who, "standard", None).await, Err(OrderError::Off)));
    assert!(matches!(order::choose(&shop.ctx, who, order, "ltc").await, Err(OrderError::Off)));
    let same = order::choose(&shop.ctx, who, order, "btc").await.unwrap();
    assert_eq!(same.payment.unwrap().id, payment);
    for notice in &shop.simulator.pay(&payment).await.unwrap() {
        receive(&shop, notice).await;
    }
    assert_eq!(shop.books(who).await.available, WORTH);
    let paid = order::choose(&shop.ctx, who, order, "btc").await;
    assert!(matches!(paid, Err(OrderError::Off)), "{paid:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_has_so_many_payments_and_one_account_so_many_orders() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    for number in 0..order::PAYMENTS_PER_ORDER_AT_MOST {
        shop.tell(&crate::shop::report(order, &format!("{number}"), "expired")).await;
    }
    assert!(matches!(order::choose(&shop.ctx, who, order, "btc").await, Err(OrderError::TooManyPayments)));
    for _ in 1..order::ORDERS_PER_HOUR {
        shop.order(who).await;
    }
    let refused = order::start(&shop.ctx, who, "standard", None).await;
    assert!(matches!(refused, Err(OrderError::TooManyOrders { retry_after_s: 3_600 })), "{refused:?}");
    shop.clock.advance(Duration::hours(1));
    let next = shop.order(who).await;
    shop.clock.advance(Duration::days(8));
    let old = order::choose(&shop.ctx, who, next, "btc").await;
    assert!(matches!(old, Err(OrderError::Done(Status::Expired))), "{old:?}");
}

/// Requests that the vendor has counted.
fn requests(shop: &Shop) -> u64 {
    let counts = shop.simulator.counts();
    counts.served + counts.failed + counts.limited
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_loaded_again_and_again_asks_the_vendor_once() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let load = || order::view(&shop.ctx, who, order);
    let coins = shop.ctx.catalog.payments.coins.len();
    // All at once while the vendor fails, and again after it: one question for each coin.
    let before = requests(&shop);
    shop.simulator.fail_next(coins, Fault::Busy);
    let coins = u64::try_from(coins).unwrap();
    for view in futures_util::future::join_all((0..8).map(|_| load())).await {
        let view = view.unwrap().unwrap();
        assert!(!view.coins.is_complete && view.coins.offered.is_empty(), "{:?}", view.coins);
    }
    assert!(!load().await.unwrap().unwrap().coins.is_complete);
    assert_eq!(requests(&shop) - before, coins);
    shop.clock.advance(Duration::seconds(30));
    for view in futures_util::future::join_all((0..8).map(|_| load())).await {
        assert!(view.unwrap().unwrap().coins.is_complete);
    }
    assert_eq!(requests(&shop) - before, 2 * coins);
}
