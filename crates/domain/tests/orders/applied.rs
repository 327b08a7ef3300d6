//! One report after another: what is credited, kept, refused.

use domain::order::{self, ApplyError, Origin, Status};
use ledger::Op;
use types::LotId;

use crate::shop::{Books, Shop, WORTH, books, count, items, report, tell};

/// The lots of one standard pack.
fn pack(reversed: i64) -> Vec<(i16, i64, i64)> {
    vec![(1, 10_000_000, reversed * 10_000_000), (2, 500_000, reversed * 500_000)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_payment_is_credited_once_with_its_bonus() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    for status in ["waiting", "confirming", "confirmed", "sending"] {
        let applied = shop.tell(&report(order, "1", status)).await;
        assert_eq!((applied.status, applied.minted.0), (Status::read(status), 0));
    }
    let first = shop.tell(&report(order, "1", "finished")).await;
    assert_eq!((first.status, first.minted.0), (Some(Status::Finished), WORTH));
    let credited = shop.books(who).await;
    let expected = Books { available: WORTH, minted: WORTH, lots: pack(0), lines: 2, ..Books::default() };
    assert_eq!(credited, expected);
    for status in ["finished", "waiting", "expired", "finished"] {
        let again = shop.tell(&report(order, "1", status)).await;
        assert_eq!((again.status, again.minted.0), (Some(Status::Finished), 0));
    }
    assert_eq!(shop.books(who).await, credited);
    assert_eq!(count(&shop.pool, "select count(*) from notice where order_id = $1", order).await, 9);
    let told = "select count(*) from outbox where body->>'order_id' = $1::text and topic = 'credits_added'
                and body->>'credited_micro' = '10500000'";
    assert_eq!(count(&shop.pool, told, order).await, 1);
    assert_eq!(items(&shop.pool, order).await, []);
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert_eq!((view.text.as_str(), view.is_credited), ("Credits added to your account!", true));
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_expire_as_the_pack_says() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "finished")).await;
    let days: Vec<i64> =
        sqlx::query_scalar("select extract(day from expires_at - $1)::bigint from lot where account_id = $2")
            .bind(shop.clock.now())
            .bind(who.key.account.0)
            .fetch_all(&shop.pool)
            .await
            .unwrap();
    assert_eq!(days, [90, 90]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_payer_and_an_underpayer_who_pays_the_rest_are_credited() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let late = shop.order(who).await;
    shop.tell(&report(late, "1", "expired")).await;
    assert_eq!(shop.tell(&report(late, "1", "finished")).await.minted.0, WORTH);
    let under = shop.order(who).await;
    shop.tell(&report(under, "2", "partially_paid")).await;
    assert_eq!(items(&shop.pool, under).await, [(1, 0)]);
    let view = order::view(&shop.ctx, who, under).await.unwrap().unwrap();
    assert_eq!(view.text, "Underpaid: send the remainder or contact support");
    assert_eq!(shop.tell(&report(under, "2", "finished")).await.minted.0, WORTH);
    assert_eq!(items(&shop.pool, under).await, [(1, 1)]);
    assert_eq!(shop.books(who).await.available, 2 * WORTH);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_takes_both_lots_back_and_what_was_spent_is_owed() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "finished")).await;
    spend(&shop, who, 4_000_000).await;
    let refunded = shop.tell(&report(order, "1", "refunded")).await;
    assert_eq!((refunded.status, refunded.reversed.0), (Some(Status::Refunded), WORTH));
    let after = shop.books(who).await;
    assert_eq!((after.available, after.owed, after.spent, after.reversed), (0, 4_000_000, 4_000_000, WORTH));
    assert_eq!(after.lots, pack(1));
    for status in ["refunded", "finished", "waiting"] {
        assert_eq!(shop.tell(&report(order, "1", status)).await.status, Some(Status::Refunded));
    }
    assert_eq!(shop.books(who).await, after);
    // The next pack pays the receivable first.
    let next = shop.order(who).await;
    shop.tell(&report(next, "2", "finished")).await;
    let paid = shop.books(who).await;
    assert_eq!((paid.available, paid.owed), (WORTH - 4_000_000, 0));
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_comes_first_nets_to_zero() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "refunded")).await;
    shop.tell(&report(order, "1", "finished")).await;
    assert_eq!(shop.books(who).await, Books::default());
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert_eq!(view.status, Status::Refunded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refunded_payment_hands_the_pack_to_the_other_one_that_was_paid() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "finished")).await;
    shop.tell(&report(order, "2", "finished")).await;
    assert_eq!(items(&shop.pool, order).await, [(2, 0)]);
    assert_eq!(shop.books(who).await.available, WORTH);
    let swapped = shop.tell(&report(order, "1", "refunded")).await;
    assert_eq!((swapped.minted.0, swapped.reversed.0), (WORTH, WORTH));
    assert_eq!(swapped.status, Some(Status::Finished));
    let after = shop.books(who).await;
    assert_eq!((after.available, after.owed, after.minted - after.reversed), (WORTH, 0, WORTH));
    assert_eq!(items(&shop.pool, order).await, [(2, 1)]);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_reports_mint_nothing_and_wait_for_a_person() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let mut child = report(order, "2", "finished");
    child.parent_payment_id = Some("1".to_owned());
    let mut foreign = report(order, "3", "finished");
    foreign.price_currency = Some("eur".to_owned());
    let mut cheap = report(order, "4", "finished");
    cheap.price_amount = Some("1".to_owned());
    for odd in [&child, &foreign, &cheap, &report(order, "5", "wrong_asset_confirmed")] {
        for _ in 0..2 {
            assert_eq!(shop.tell(odd).await.minted.0, 0, "{odd:?}");
        }
    }
    assert_eq!(items(&shop.pool, order).await, [(3, 0), (4, 0), (5, 0), (6, 0)]);
    assert_eq!(shop.books(who).await, Books::default());
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert_eq!(view.text, "We are checking your payment");
    // A wrong coin's notices name no order, only the payment that they belong to.
    let mut orphan = report(order, "6", "wrong_asset_confirmed");
    (orphan.order_id, orphan.parent_payment_id) = (None, Some("5".to_owned()));
    assert_eq!(shop.tell(&orphan).await.order, Some(order));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_about_nothing_of_ours_is_kept_for_a_person() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (one, other) = (shop.order(who).await, shop.order(who).await);
    let mut stranger = report(one, "77", "finished");
    stranger.order_id = Some("ord_shared_1".to_owned());
    for _ in 0..2 {
        let applied = shop.tell(&stranger).await;
        assert_eq!((applied.order, applied.status), (None, None));
    }
    stranger.order_id = None;
    assert_eq!(shop.tell(&stranger).await.order, None);
    let open: i64 = sqlx::query_scalar(
        "select count(*) from review_item where kind = 7 and payment_id = '77' and state = 0",
    )
    .fetch_one(&shop.pool)
    .await
    .unwrap();
    assert_eq!(open, 1);
    // A payment of one order cannot finish another.
    shop.tell(&report(one, "1", "waiting")).await;
    assert_eq!(shop.tell(&report(other, "1", "finished")).await.minted.0, 0);
    assert_eq!(items(&shop.pool, other).await, [(8, 0)]);
    assert_eq!(shop.books(who).await, Books::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_waits_for_a_lock_and_gives_up_without_a_trace() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let mut holder = shop.pool.begin().await.unwrap();
    sqlx::query("select from purchase_order where id = $1 for update")
        .bind(order.0)
        .execute(&mut *holder)
        .await
        .unwrap();
    let refused = tell(&shop.pool, &shop.clock, &report(order, "1", "finished")).await;
    assert!(matches!(refused, Err(ApplyError::Busy(_))), "{refused:?}");
    assert_eq!(count(&shop.pool, "select count(*) from notice where order_id = $1", order).await, 0);
    holder.rollback().await.unwrap();
    assert_eq!(shop.tell(&report(order, "1", "finished")).await.minted.0, WORTH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_edits_what_the_vendor_said() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let verbatim = b"{\"payment_status\" : \"waiting\"}  \xff".as_slice();
    let waiting = report(order, "1", "waiting");
    order::apply(&shop.pool, &shop.clock, &waiting, Origin::Notice { verbatim }).await.unwrap();
    let kept: Vec<u8> = sqlx::query_scalar("select body from notice").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(kept, verbatim);
    let owner = shop.database.owner_pool();
    for sql in ["update notice set status = 'finished'", "delete from notice", "truncate notice"] {
        assert!(sqlx::query(sql).execute(&shop.pool).await.is_err(), "the application: {sql}");
        assert!(sqlx::query(sql).execute(&owner).await.is_err(), "the owner: {sql}");
    }
    for sql in
        ["update purchase_order set credits = 1", "update payment set order_id = null", "delete from payment"]
    {
        assert!(sqlx::query(sql).execute(&shop.pool).await.is_err(), "the application: {sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_kept_only_when_it_is_news() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    for status in ["waiting", "waiting", "confirming", "confirming", "waiting"] {
        order::apply(&shop.pool, &shop.clock, &report(order, "1", status), Origin::Poll).await.unwrap();
    }
    assert_eq!(count(&shop.pool, "select count(*) from notice where order_id = $1", order).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_comes_while_nothing_is_minted_is_kept_and_credited_later() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    let owner = shop.database.owner_pool();
    stop_minting(&owner).await;
    let held = shop.tell(&report(order, "1", "finished")).await;
    assert!(held.is_held_up);
    assert_eq!((held.minted.0, held.status), (0, Some(Status::Sending)));
    assert_eq!((shop.books(who).await, items(&shop.pool, order).await), (Books::default(), vec![]));
    shop.clock.advance(time::Duration::minutes(31));
    let mut connection = shop.pool.acquire().await.unwrap();
    let stuck = order::stuck(&mut connection, &shop.clock, None, None, 10).await.unwrap();
    assert!(stuck.len() == 1 && stuck[0].is_paid, "{stuck:?}");
    resume_minting(&owner).await;
    let finished = report(order, "1", "finished");
    let polled = order::apply(&shop.pool, &shop.clock, &finished, Origin::Poll).await.unwrap();
    assert_eq!(polled.minted.0, WORTH);
    assert_eq!(shop.books(who).await.available, WORTH);
}

pub(crate) async fn stop_minting(owner: &sqlx::PgPool) {
    sqlx::query("update guard set minting_stopped_at = now()").execute(owner).await.unwrap();
}

pub(crate) async fn resume_minting(owner: &sqlx::PgPool) {
    sqlx::query("update guard set minting_stopped_at = null").execute(owner).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_sum_that_was_told_is_shown() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    for paid in [Some("5e-5"), Some("0.0001"), None, Some("0.00009")] {
        let mut partly = report(order, "1", "confirming");
        partly.actually_paid = paid.map(str::to_owned);
        shop.tell(&partly).await;
    }
    let view = order::view(&shop.ctx, who, order).await.unwrap().unwrap();
    assert_eq!(view.payment.unwrap().actually_paid.as_deref(), Some("0.0001"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authenticated_notice_that_says_too_little_is_kept() {
    let shop = Shop::open().await;
    order::keep_unread(&shop.pool, &shop.clock, b"{}", "the field payment_id is missing").await.unwrap();
    let kept: (Option<String>, String, Vec<u8>) =
        sqlx::query_as("select payment_id, status, body from notice").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(kept, (None, "unreadable: the field payment_id is missing".to_owned(), b"{}".to_vec()));
}

/// Charges `amount` by a hold and its settle.
pub(crate) async fn spend(shop: &Shop, who: domain::order::Payer, amount: i64) {
    let id = types::ReservationId(shop.clock.uuid_v7());
    let hold = ledger::NewHold {
        id,
        key: who.key,
        amount,
        input_hash: [7; 32],
        owner: types::OwnerId(1),
        api_key: None,
        price_version: 1,
        agent: None,
        asked: "cheap".to_owned(),
    };
    shop.ctx.ledger.submit(Op::Hold(hold)).await.unwrap();
    let charge = ledger::Charge {
        amount,
        tokens_in: 3,
        tokens_out: 4,
        own_in: 3,
        own_out: 4,
        pool: Some(0),
        model: "scripted".to_owned(),
        reason: "asked".to_owned(),
    };
    shop.ctx.ledger.submit(Op::Settle { key: who.key, id, charge }).await.unwrap();
}

/// Lot ids are made from the order and the payment, so a mint that is done again by hand is the same mint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lots_of_a_payment_cannot_be_minted_again() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let order = shop.order(who).await;
    shop.tell(&report(order, "1", "finished")).await;
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from lot where source = 1").fetch_all(&shop.pool).await.unwrap();
    let op = Op::Mint {
        key: who.key,
        id: LotId(ids[0]),
        source: ledger::Source::Purchase,
        amount: 10_000_000,
        expires_at: ledger::NEVER,
    };
    let before = books(&shop.pool, who).await;
    shop.ctx.ledger.submit(op).await.unwrap();
    assert_eq!(books(&shop.pool, who).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_names_another_order_is_kept_once_and_asked_for_again_on_schedule() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (own, other) = (shop.order(who).await, shop.order(who).await);
    shop.tell(&report(own, "1", "waiting")).await;
    shop.clock.advance(time::Duration::minutes(20));
    for _ in 0..3 {
        let odd = report(other, "1", "waiting");
        order::apply(&shop.pool, &shop.clock, &odd, Origin::Poll).await.unwrap();
        let next: time::OffsetDateTime =
            sqlx::query_scalar("select next_poll_at from payment").fetch_one(&shop.pool).await.unwrap();
        assert_eq!(next, shop.clock.now() + time::Duration::minutes(5));
        shop.clock.advance(time::Duration::minutes(5));
    }
    assert_eq!(items(&shop.pool, other).await, [(8, 0)]);
    assert_eq!(count(&shop.pool, "select count(*) from notice where order_id = $1", other).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paid_while_nothing_was_minted_is_credited_without_another_report() {
    let shop = Shop::open().await;
    let (who, other) = (shop.buyer().await, shop.buyer().await);
    let orders = [shop.order(who).await, shop.order(other).await];
    let owner = shop.database.owner_pool();
    stop_minting(&owner).await;
    for (order, payment) in orders.into_iter().zip(["1", "2"]) {
        assert!(shop.tell(&report(order, payment, "finished")).await.is_held_up);
    }
    // A second one of the same order waits for a person, and is left to that person.
    shop.tell(&report(orders[0], "3", "finished")).await;
    // Neither a child nor what was refunded.
    let child =
        pay::report::Report { parent_payment_id: Some("1".to_owned()), ..report(orders[1], "4", "finished") };
    shop.tell(&child).await;
    shop.tell(&report(orders[1], "5", "refunded")).await;
    let mut creditor = order::Creditor::default();
    assert_eq!(creditor.step(&shop.pool, &shop.clock).await.unwrap(), 0, "nothing is minted yet");
    assert_eq!(shop.books(who).await, Books::default());
    resume_minting(&owner).await;
    assert_eq!(creditor.step(&shop.pool, &shop.clock).await.unwrap(), 2);
    assert_eq!(creditor.step(&shop.pool, &shop.clock).await.unwrap(), 0);
    assert_eq!((shop.books(who).await.available, shop.books(other).await.available), (WORTH, WORTH));
    assert_eq!(items(&shop.pool, orders[0]).await, [(2, 0)]);
    let told = "select count(*) from outbox where body->>'order_id' = $1::text and topic = 'credits_added'";
    assert_eq!(count(&shop.pool, told, orders[0]).await, 1);
    shop.audit().await;
}
