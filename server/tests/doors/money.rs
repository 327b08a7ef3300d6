//! Refusals for money and rates, and clients that leave.

use http_body_util::BodyExt as _;
use identity::{KeyLimits, Scopes};
use ledger::{Charge, NewHold, Op};
use serde_json::{Value, json};
use types::{Clock, MicroUsd, ReservationId};

use crate::client::events;
use crate::house::House;

fn question(text: &str) -> Value {
    json!({"model": "cheap", "max_tokens": 50, "messages": [{"role": "user", "content": text}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_balance_is_402_in_every_dialect_and_takes_nothing() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(10)).await;
    let reply = house.post("/v1/chat/completions", &question("hi")).key(&payer.api_key).send().await;
    assert_eq!(reply.status, 402);
    assert_eq!(reply.header("x-should-retry"), "false");
    let error = &reply.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("insufficient_quota"), &json!("insufficient_quota"))
    );
    let reply = house.post("/v1/messages", &question("hi")).key(&payer.api_key).send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["type"]), (402, &json!("billing_error")));
    let reply = house.post("/api/v1/inference", &json!({"prompt": "hi"})).key(&payer.api_key).send().await;
    assert_eq!(reply.header("content-type"), "application/problem+json");
    let problem = reply.json();
    assert_eq!((reply.status.as_u16(), &problem["type"]), (402, &json!("/problems/insufficient-credits")));
    assert_eq!(problem["affordable_micro"], "10");
    assert!(problem["asked_micro"].as_str().expect("a figure").parse::<i64>().expect("a number") > 10);
    assert_eq!(house.settled(&payer).await.available, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clamp_lowers_the_answer_instead_of_refusing() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(100)).await;
    let mut body = question("hi !tokens 4000");
    body["max_tokens"] = json!(4_000);
    let refused = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await;
    assert_eq!(refused.status, 402);
    let clamped = house
        .post("/v1/chat/completions", &body)
        .key(&payer.api_key)
        .header("x-freeside-clamp", "affordable")
        .send()
        .await;
    assert_eq!(clamped.status, 200, "{}", clamped.text());
    assert_eq!(clamped.json()["choices"][0]["finish_reason"], "length");
    assert!(house.settled(&payer).await.available >= 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_limit_is_429_with_the_dialects_headers() {
    let house = House::open().await;
    let limits = KeyLimits { requests_per_minute: 1, tokens_per_day: 1_000_000 };
    let payer = house.payer_with(MicroUsd(1_000_000), limits, Scopes::developer()).await;
    let first =
        house.post("/v1/chat/completions", &question("hi !tokens 2")).key(&payer.api_key).send().await;
    assert_eq!((first.status.as_u16(), first.header("x-ratelimit-remaining-requests")), (200, "0"));
    let reply = house.post("/v1/chat/completions", &question("hi")).key(&payer.api_key).send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    let wait: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait));
    assert!(reply.header("retry-after-ms").parse::<u64>().expect("milliseconds") <= 60_000);
    assert!(reply.header("x-ratelimit-reset-requests").ends_with('s'));
    let reply = house.post("/v1/messages", &question("hi")).key(&payer.api_key).send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["type"]), (429, &json!("rate_limit_error")));
    assert_eq!(reply.header("anthropic-ratelimit-requests-remaining"), "0");
    let reply = house.post("/api/v1/inference", &json!({"prompt": "hi"})).key(&payer.api_key).send().await;
    assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-remaining")), (429, "0"));
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_let_a_key_use_is_seen_within_a_minute() {
    let clock = Clock::fixed(time::macros::datetime!(2026-03-01 12:00 UTC));
    let house = House::open_at(clock.clone()).await;
    let limits = KeyLimits { requests_per_minute: 10_000, tokens_per_day: 100_000 };
    let payer = house.payer_with(MicroUsd(1_000_000), limits, Scopes::developer()).await;
    // What is left of the day with what these requests themselves used: the worst case of one may be missing from it.
    let (mut used, worst) = (0, 1_000);
    let mut left = async || {
        let ask = house.post("/v1/chat/completions", &question("hi !tokens 2")).key(&payer.api_key);
        let reply = ask.send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let left: u64 = reply.header("x-ratelimit-remaining-tokens").parse().expect("a number");
        let before = used;
        used += reply.json()["usage"]["total_tokens"].as_u64().expect("a number");
        left + before
    };
    assert!(left().await > 100_000 - 2 * worst);
    // As another process writes it: these limits hear nothing of it.
    let id = ReservationId(clock.uuid_v7());
    let hold = NewHold {
        id,
        key: payer.key,
        amount: 100,
        input_hash: [7; 32],
        owner: house.ctx.owner,
        api_key: Some(house.known(&payer).await.id.0),
        price_version: house.ctx.price_version,
        agent: None,
        asked: "cheap".to_owned(),
    };
    house.ctx.ledger.submit(Op::Hold(hold)).await.expect("there is money");
    let (tokens_in, tokens_out) = (30_000, 12_000);
    let charge = Charge {
        amount: 100,
        tokens_in,
        tokens_out,
        own_in: tokens_in,
        own_out: tokens_out,
        pool: Some(0),
        model: "scripted-cheap".to_owned(),
        reason: "asked".to_owned(),
    };
    house.ctx.ledger.submit(Op::Settle { key: payer.key, id, charge }).await.expect("it is open");
    assert!(left().await > 100_000 - 2 * worst, "not yet");
    clock.advance(time::Duration::minutes(1));
    // The first of these has the books read, and waits for nothing.
    while left().await > 58_000 {}
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_pays_for_what_was_delivered_and_leaves_no_hold() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    let mut body = question("hi !tokens 200 !stall 5");
    body["stream"] = json!(true);
    body["max_tokens"] = json!(400);
    let mut answer = house.post("/v1/chat/completions", &body).key(&payer.api_key).open().await;
    let mut read = Vec::new();
    while events(&read).len() < 6 {
        let frame = answer.body_mut().frame().await.expect("more").expect("sound");
        read.extend_from_slice(&frame.into_data().expect("data"));
    }
    drop(answer);
    let balance = house.settled(&payer).await;
    assert!(balance.spent > 0, "{balance:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_ends_its_open_stream_with_an_error() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    let body = json!({"prompt": "hi !tokens 200 !stall 5", "max_tokens": 400});
    let mut answer = house.post("/api/v1/inference", &body).key(&payer.api_key).open().await;
    let first = answer.body_mut().frame().await.expect("one").expect("sound");
    let mut read = first.into_data().expect("data").to_vec();
    let revoked =
        house.ask("DELETE", &format!("/api/v1/keys/{}", payer.key_id)).key(&payer.api_key).send().await;
    assert_eq!(revoked.status, 204);
    while let Some(frame) = answer.body_mut().frame().await {
        read.extend_from_slice(&frame.expect("sound").into_data().expect("data"));
    }
    let events = events(&read);
    let (name, data) = events.last().expect("one");
    assert_eq!(name, "error");
    assert!(data.contains("key_revoked"), "{data}");
    let again = house.get("/v1/models").key(&payer.api_key).send().await;
    assert_eq!(again.status, 401);
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "sits out the 15 s of silence after which a stream says that it lives"]
async fn a_silent_stream_says_that_it_lives() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    let body = json!({"prompt": "hi !tokens 200 !stall 5", "max_tokens": 400});
    let mut answer = house.post("/api/v1/inference", &body).key(&payer.api_key).open().await;
    let mut read = Vec::new();
    while !read.ends_with(b": keep-alive\n\n") {
        let frame = answer.body_mut().frame().await.expect("more").expect("sound");
        read.extend_from_slice(&frame.into_data().expect("data"));
    }
    assert_eq!(events(&read).len(), 5);
    drop(answer);
    house.settled(&payer).await;
}
