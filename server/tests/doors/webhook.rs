//! Notices at the door: believed by their signature alone, bounded, and never answered with 2xx before the commit.

use pay::notice::sign_bytes;
use serde_json::{Value, json};
use testing::books;
use types::MicroUsd;

use crate::client::Reply;
use crate::house::House;

const PATH: &str = "/api/crypto/webhook";

impl House {
    /// Sends a notice with its genuine signature.
    async fn tell(&self, notice: &Value) -> Reply {
        let body = notice.to_string();
        let signature = sign_bytes(&self.ipn_secret, body.as_bytes());
        self.tell_with(&signature, body.into_bytes()).await
    }

    async fn tell_with(&self, signature: &str, body: Vec<u8>) -> Reply {
        let ask = self.ask("POST", PATH).header("content-type", "application/json");
        ask.header("x-nowpayments-sig", signature).body(body).send().await
    }

    async fn rows(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.database.pool).await.expect("readable")
    }
}

fn finished(payment: &str, order: &str) -> Value {
    json!({
        "payment_id": payment, "order_id": order, "payment_status": "finished", "price_amount": 10,
        "price_currency": "usd", "pay_amount": 0.0002, "actually_paid": 0.0002, "pay_currency": "btc",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vendor_did_not_sign_leaves_nothing_but_a_counter() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let (order, payment) = house.bought(&payer).await;
    let body = finished(&payment, &order).to_string().into_bytes();
    let genuine = sign_bytes(&house.ipn_secret, &body);
    let mut spoilt = genuine.clone();
    spoilt.replace_range(..1, if genuine.starts_with('0') { "1" } else { "0" });
    for signature in ["", "nonsense", &spoilt, &genuine.to_uppercase()] {
        let reply = house.tell_with(signature, body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["type"].clone()),
            (401, json!("/problems/bad-signature"))
        );
    }
    let mut other = body.clone();
    other.push(b' ');
    assert_eq!(house.ask("POST", PATH).body(body.clone()).send().await.status, 401, "no signature at all");
    let forged = house.simulator.forge(&payment).await.expect("sent");
    assert!(!forged.is_accepted());
    assert_eq!(house.rows("select count(*) from notice").await, 0);
    assert_eq!(house.balance(&payer).await.minted, 0);
    // The very same bytes with the genuine signature credit; white space around them changes no document.
    assert_eq!(house.tell_with(&genuine, body).await.status, 200);
    assert_eq!(house.tell_with(&sign_bytes(&house.ipn_secret, &other), other).await.status, 200);
    assert_eq!(house.balance(&payer).await.minted, 10_500_000);
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_notices_are_taken_in_and_wait_for_a_person() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let (order, payment) = house.bought(&payer).await;
    let nobodys = house.tell(&finished("999", &house.ctx.clock.uuid_v7().to_string())).await;
    let mut odd = finished(&payment, &order);
    odd["payment_status"] = json!("WRONG_ASSET_CONFIRMED");
    let odd = house.tell(&odd).await;
    let unread = house.tell(&json!({"hello": "world"})).await;
    for reply in [nobodys, odd, unread] {
        assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({"status": "ok"})));
    }
    assert_eq!(house.rows("select count(*) from notice").await, 3, "each is kept");
    assert_eq!(house.rows("select count(*) from review_item where state = 0").await, 2);
    assert_eq!(house.balance(&payer).await.minted, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_bounded_and_unambiguous() {
    let house = House::open().await;
    let large = vec![b' '; 64 * 1024 + 1];
    let reply = house.tell_with(&sign_bytes(&house.ipn_secret, &large), large.clone()).await;
    assert_eq!(reply.status, 413);
    for body in [&b"{\"payment_id\":1,\"payment_id\":2}"[..], b"", b"[", b"\xff"] {
        let reply = house.tell_with(&sign_bytes(&house.ipn_secret, body), body.to_vec()).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    // Whatever the type says: the bytes are what is signed.
    let body = finished("999", "nobody").to_string();
    let ask = house.ask("POST", PATH).header("content-type", "text/plain");
    let ask = ask.header("x-nowpayments-sig", &sign_bytes(&house.ipn_secret, body.as_bytes()));
    assert_eq!(ask.body(body).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eleventh_repeat_of_a_payments_notice_in_an_hour_waits_and_strangers_use_nothing_up() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let (order, payment) = house.bought(&payer).await;
    let notice = finished(&payment, &order);
    for _ in 0..20 {
        assert_eq!(house.tell_with("0", notice.to_string().into_bytes()).await.status, 401);
    }
    assert_eq!(house.tell(&notice).await.status, 200, "news is no repeat");
    for number in 0..10 {
        assert_eq!(house.tell(&notice).await.status, 200, "{number}");
    }
    let eleventh = house.tell(&notice).await;
    assert_eq!(eleventh.status, 429);
    let wait: u64 = eleventh.header("retry-after").parse().expect("seconds");
    assert!((1..=3_600).contains(&wait), "{wait}");
    let (other_order, other) = house.bought(&payer).await;
    assert_eq!(house.tell(&finished(&other, &other_order)).await.status, 200, "another payment");
    assert_eq!(house.balance(&payer).await.minted, 2 * 10_500_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_never_waits_behind_repeats() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let (order, payment) = house.bought(&payer).await;
    let saying = |status: &str| {
        let mut notice = finished(&payment, &order);
        notice["payment_status"] = json!(status);
        notice
    };
    let confirming = saying("confirming");
    let repeats = futures_util::future::join_all((0..30).map(|_| house.tell(&confirming))).await;
    let taken = repeats.iter().filter(|reply| reply.status == 200).count();
    assert!((10..=11).contains(&taken), "{taken} of thirty at once");
    assert!(repeats.iter().all(|reply| matches!(reply.status.as_u16(), 200 | 429)));
    while house.tell(&confirming).await.status == 200 {}
    let kept = house.rows("select count(*) from notice").await;
    assert!((10..=13).contains(&kept), "repeats past the limit are not kept: {kept}");
    let news = saying("finished");
    let told = futures_util::future::join_all((0..10).map(|_| house.tell(&news))).await;
    let taken = told.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(taken, 1, "the same news, ten at once, is news once");
    assert_eq!(house.balance(&payer).await.minted, 10_500_000);
    assert_eq!(house.tell(&saying("refunded")).await.status, 200, "and so is the next");
    assert_eq!(house.rows("select count(*) from notice").await, kept + 2);
    let refused = house.tell(&news).await;
    assert_eq!(refused.status, 429);
    assert!(!refused.header("retry-after").is_empty());
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_the_books_cannot_take_in_time_is_503_and_the_next_one_credits() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let (order, payment) = house.bought(&payer).await;
    let notice = finished(&payment, &order);
    let mut tx = house.database.pool.begin().await.expect("a transaction");
    sqlx::query("select 1 from purchase_order for update").execute(&mut *tx).await.expect("locked");
    let began = std::time::Instant::now();
    let busy = house.tell(&notice).await;
    println!("a notice whose order is locked was answered after {:.1?}", began.elapsed());
    assert_eq!(busy.status, 503, "{}", busy.text());
    assert!(!busy.header("retry-after").is_empty());
    // However often it failed, it uses up none of the payment's tries in an hour.
    for again in futures_util::future::join_all((0..9).map(|_| house.tell(&notice))).await {
        assert_eq!(again.status, 503, "{}", again.text());
    }
    tx.rollback().await.expect("unlocked");
    assert_eq!(house.balance(&payer).await.minted, 0);
    assert_eq!(house.tell(&notice).await.status, 200);
    assert_eq!(house.balance(&payer).await.minted, 10_500_000);
    books::audit(&house.database.pool).await;
}
