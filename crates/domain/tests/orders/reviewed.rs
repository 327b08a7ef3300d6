//! What a person decides, who it was, and that it is done once.

use domain::order::{self, ReconcileError, Resolution, ResolveError, ReviewState, Status, Which};
use pay::simulator::Fault;
use time::Duration;

use crate::shop::{Shop, WORTH, items, report};

async fn queue(shop: &Shop) -> Vec<order::ReviewItem> {
    let mut connection = shop.pool.acquire().await.unwrap();
    order::reviews(&mut connection, None, Which::Open, 0, 100).await.unwrap()
}

async fn deeds(shop: &Shop) -> Vec<(String, String)> {
    sqlx::query_as("select what, target from admin_action order by 1, 2").fetch_all(&shop.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overpayment_is_credited_when_a_person_says_so_and_only_then() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "finished")).await;
    shop.tell(&report(order, "2", "finished")).await;
    let item = queue(&shop).await.remove(0);
    assert_eq!((item.kind.as_str(), item.payment_id.as_str()), ("overpay", "2"));
    let resolve =
        || order::resolve(&shop.pool, &shop.clock, item.id, Resolution::Credit, "key:abc", "paid twice");
    let (one, other) = tokio::join!(resolve(), resolve());
    assert_eq!([&one, &other].iter().filter(|result| result.is_ok()).count(), 1, "{one:?} {other:?}");
    assert!([one, other].into_iter().any(|result| matches!(result, Err(ResolveError::Closed(_)))));
    let after = shop.books(who).await;
    assert_eq!(after.available, 2 * WORTH);
    assert_eq!(after.lots, [(1, 10_000_000, 0), (2, 500_000, 0), (6, WORTH, 0)]);
    assert_eq!(deeds(&shop).await, [("review.credit".to_owned(), item.id.to_string())]);
    shop.tell(&report(order, "2", "finished")).await;
    assert_eq!(shop.books(who).await, after);
    // Its refund takes the overpay lot back, and leaves the pack.
    assert_eq!(shop.tell(&report(order, "2", "refunded")).await.reversed.0, WORTH);
    assert_eq!(shop.books(who).await.available, WORTH);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dismissed_item_stays_dismissed_with_its_note() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    for payment in ["1", "2"] {
        shop.tell(&report(order, payment, "finished")).await;
    }
    let id = queue(&shop).await[0].id;
    order::resolve(&shop.pool, &shop.clock, id, Resolution::Dismiss, "operator", "sent back by hand")
        .await
        .unwrap();
    for _ in 0..2 {
        shop.tell(&report(order, "2", "finished")).await;
    }
    assert_eq!(items(&shop.pool, order).await, [(2, 3)]);
    assert_eq!(shop.books(who).await.available, WORTH);
    // The pack does not go over to what was sent back.
    assert_eq!(shop.tell(&report(order, "1", "refunded")).await.status, Some(Status::Refunded));
    assert_eq!(shop.books(who).await.available, 0);
    let mut connection = shop.pool.acquire().await.unwrap();
    let item = order::review(&mut connection, id).await.unwrap().unwrap();
    let ReviewState::Dismissed(by) = item.state else { panic!("{item:?}") };
    assert_eq!((by.who.as_str(), by.note.as_str()), ("operator", "sent back by hand"));
    let again = order::resolve(&shop.pool, &shop.clock, id, Resolution::Credit, "operator", "no").await;
    assert!(matches!(again, Err(ResolveError::Closed(_))), "{again:?}");
    let none = order::resolve(&shop.pool, &shop.clock, 999, Resolution::Dismiss, "operator", "no").await;
    assert!(matches!(none, Err(ResolveError::NoItem)), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_overpayment_can_be_credited() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "partially_paid")).await;
    let id = queue(&shop).await[0].id;
    let refused =
        order::resolve(&shop.pool, &shop.clock, id, Resolution::Credit, "operator", "why not").await;
    assert!(matches!(refused, Err(ResolveError::NotAnOverpayment)), "{refused:?}");
    assert_eq!(items(&shop.pool, order).await, [(1, 0)]);
    assert_eq!((shop.books(who).await.available, deeds(&shop).await), (0, vec![]));
    order::resolve(&shop.pool, &shop.clock, id, Resolution::Dismiss, "operator", "too little").await.unwrap();
    assert_eq!(items(&shop.pool, order).await, [(1, 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_payment_is_listed_and_repaired() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (order, payment) = shop.payment(who, "btc").await;
    let (_, quiet) = shop.payment(who, "ltc").await;
    shop.tell(&report(order, &payment, "confirming")).await;
    let listed = async || {
        let mut connection = shop.pool.acquire().await.unwrap();
        let stuck =
            order::stuck(&mut connection, &shop.clock, Some(who.key.community), None, 10).await.unwrap();
        stuck.into_iter().map(|stuck| stuck.payment_id).collect::<Vec<_>>()
    };
    shop.clock.advance(Duration::minutes(29));
    assert_eq!(listed().await, Vec::<String>::new());
    shop.clock.advance(Duration::minutes(1));
    assert_eq!(listed().await, std::slice::from_ref(&payment));
    shop.simulator.pay(&payment).await.unwrap();
    let reconcile = async |id: &str| {
        order::reconcile(&shop.pool, &shop.clock, &shop.vendor, id, "operator", "a ticket").await
    };
    assert_eq!(reconcile(&payment).await.unwrap().minted.0, WORTH);
    assert_eq!(reconcile(&payment).await.unwrap().minted.0, 0);
    assert_eq!(reconcile(&quiet).await.unwrap().status, Some(Status::Waiting));
    assert!(matches!(reconcile("12345").await, Err(ReconcileError::NoPayment)));
    assert_eq!(listed().await, Vec::<String>::new());
    shop.simulator.fail_next(1, Fault::Busy);
    assert!(matches!(reconcile(&quiet).await, Err(ReconcileError::Vendor(pay::Error::Busy { .. }))));
    let tried = ("payment.reconcile.unanswered".to_owned(), quiet.clone());
    let deed = |target: &str| ("payment.reconcile".to_owned(), target.to_owned());
    let asked = |target: &str| ("payment.reconcile.asked".to_owned(), target.to_owned());
    let asked = [asked(&payment), asked(&payment), asked(&quiet), asked(&quiet)];
    let done = [deed(&payment), deed(&payment), deed(&quiet)];
    assert_eq!(deeds(&shop).await, [&done[..], &asked, &[tried]].concat());
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_whose_answer_cannot_be_applied_is_on_record() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (order, payment) = shop.payment(who, "btc").await;
    let mut holder = shop.pool.begin().await.unwrap();
    sqlx::query("select 1 from purchase_order where id = $1 for update")
        .bind(order.0)
        .execute(&mut *holder)
        .await
        .unwrap();
    let busy =
        order::reconcile(&shop.pool, &shop.clock, &shop.vendor, &payment, "operator", "a ticket").await;
    assert!(matches!(busy, Err(ReconcileError::Apply(order::ApplyError::Busy(_)))), "{busy:?}");
    holder.rollback().await.unwrap();
    assert_eq!(deeds(&shop).await, [("payment.reconcile.asked".to_owned(), payment)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_has_decided_hangs_no_longer_unless_it_is_paid() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "partially_paid")).await;
    shop.clock.advance(Duration::minutes(31));
    let listed = async || {
        let mut connection = shop.pool.acquire().await.unwrap();
        let stuck = order::stuck(&mut connection, &shop.clock, None, None, 10).await.unwrap();
        stuck.into_iter().map(|stuck| (stuck.payment_id, stuck.is_paid)).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [("1".to_owned(), false)]);
    let dismiss = async |id| {
        order::resolve(&shop.pool, &shop.clock, id, Resolution::Dismiss, "operator", "sent back")
            .await
            .unwrap()
    };
    dismiss(queue(&shop).await[0].id).await;
    assert_eq!(listed().await, []);
    // Something new to look at.
    shop.tell(&report(order, "1", "wrong_asset_confirmed")).await;
    assert_eq!(listed().await, [("1".to_owned(), false)]);
    dismiss(queue(&shop).await[0].id).await;
    assert_eq!(listed().await, []);
    crate::applied::stop_minting(&shop.database.owner_pool()).await;
    shop.tell(&report(order, "1", "finished")).await;
    assert_eq!(listed().await, [("1".to_owned(), true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overpayment_is_not_decided_while_nothing_is_minted() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    for payment in ["1", "2"] {
        shop.tell(&report(order, payment, "finished")).await;
    }
    let id = queue(&shop).await[0].id;
    let owner = shop.database.owner_pool();
    crate::applied::stop_minting(&owner).await;
    let credit = || order::resolve(&shop.pool, &shop.clock, id, Resolution::Credit, "operator", "paid twice");
    let refused = credit().await;
    assert!(matches!(refused, Err(ResolveError::MintingStopped)), "{refused:?}");
    assert_eq!((items(&shop.pool, order).await, deeds(&shop).await), (vec![(2, 0)], vec![]));
    crate::applied::resume_minting(&owner).await;
    assert_eq!(credit().await.unwrap().credited.0, WORTH);
}
