//! What a key and a balance allow: limits, the sandbox's lot, the clamp, and answers longer than one hold.

use identity::{KeyKind, KeyLimits};
use serde_json::{Value, json};
use testing::books;

use crate::client::{Client, Reply, question};
use crate::world::{PLENTY, UNLIMITED, World};

/// The built-in catalog with one line changed in every place.
fn catalog(line: &str, instead: &str) -> String {
    let catalog = testing::catalog::priced();
    assert!(catalog.contains(line), "the built-in catalog no longer says {line}");
    catalog.replace(line, instead)
}

fn retry_after(reply: &Reply) -> u64 {
    assert_eq!(reply.status, 429, "{}", reply.text);
    reply.header("retry-after").parse().expect("seconds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eleventh_request_of_a_minute_waits() {
    let world = World::new().await;
    let payer = world.payer_with(0, KeyKind::Sandbox, KeyLimits::default_for(KeyKind::Sandbox)).await;
    let served = world.launch().start().await;
    let client = payer.at(&served);
    for number in 1..=10 {
        let reply = client.ask(&question("Hi. !tokens 2", 5)).await;
        assert_eq!(reply.status, 200, "request {number}: {}", reply.text);
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), (10 - number).to_string());
    }
    let wait = retry_after(&client.ask(&question("Hi. !tokens 2", 5)).await);
    assert!((1..=60).contains(&wait), "{wait}");
    world.audited().await;
    assert_eq!(books::holds(&world.database.pool).await.len(), 10, "the eleventh held nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_days_tokens_end_and_a_restart_does_not_bring_them_back() {
    let world = World::new().await;
    let limits = KeyLimits { tokens_per_day: 2_000, ..UNLIMITED };
    let payer = world.payer_with(PLENTY, KeyKind::Live, limits).await;
    let launch = world.launch();
    let served = launch.start().await;
    let reply = payer.at(&served).ask(&question("Never fits.", 5_000)).await;
    assert_eq!((reply.status, reply.header("x-should-retry")), (429, "false"), "{}", reply.text);
    assert!(reply.text.contains("whole limit of 2000 tokens per day"), "{}", reply.text);
    let reply = payer.at(&served).ask(&question("Most of it. !tokens 1300", 1_300)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = payer.at(&served).ask(&question("The rest.", 500)).await;
    assert!(retry_after(&reply) <= 24 * 60 * 60);
    assert!(served.stop().await.success());
    let served = launch.start().await;
    retry_after(&payer.at(&served).ask(&question("The rest.", 500)).await);
    let reply = payer.at(&served).ask(&question("A little. !tokens 5", 5)).await;
    assert_eq!(reply.status, 200, "what is left can be used: {}", reply.text);
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_sandbox_lot_is_402_in_numbers_and_the_clamp_uses_what_is_left() {
    let world = World::new().await;
    let payer = world.payer_with(0, KeyKind::Sandbox, UNLIMITED).await;
    let launch = world.launch().catalog(&catalog("tokens_per_day = 10000", "tokens_per_day = 1000"));
    let served = launch.start().await;
    let client = payer.at(&served);
    let available = async || books::available(&world.database.pool, payer.account.account.sandbox().0).await;

    let first = client.ask(&question("Hello. !tokens 700", 800)).await;
    assert_eq!(first.status, 200, "{}", first.text);
    // A lot worth 1,000 tokens of the cheap pool, at the dearest price that may answer there.
    assert_eq!(available().await, 600 - first.cost());

    let long = question("Hello again. !tokens 700", 800);
    let refused = client.ask(&long).await;
    assert_eq!(refused.status, 402, "{}", refused.text);
    let message = refused.json()["error"]["message"].as_str().expect("a sentence").to_owned();
    for part in [
        format!("{} micro-USD", available().await),
        "Lower max_tokens to".to_owned(),
        "X-Freeside-Clamp".to_owned(),
    ] {
        assert!(message.contains(&part), "{part} in {message}");
    }
    // The number in the sentence is one that passes.
    let said: u32 = message
        .split("max_tokens to ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|text| text.parse().ok())
        .expect("a number");
    let mut just_fits = question("Hello again. !tokens 1", said);
    just_fits["max_tokens"] = json!(said + 1);
    assert_eq!(client.ask(&just_fits).await.status, 402, "one more does not");

    let clamped = client
        .send("POST", "/v1/chat/completions", long.to_string().into(), &[("x-freeside-clamp", "affordable")])
        .await;
    assert_eq!(clamped.status, 200, "{}", clamped.text);
    assert!(clamped.text.contains("\"finish_reason\":\"length\""), "{}", clamped.text);
    let hold = books::hold(&world.database.pool, clamped.header("x-budget-reservation-id")).await;
    assert_eq!(hold.tokens_out, Some(said.into()));
    world.audited().await;

    // The lot of a day is minted once, whoever looks.
    let left = available().await;
    assert!(left >= 0);
    let other = launch.start().await;
    let _ = payer.at(&other).ask(&question("Hi. !tokens 1", 1)).await;
    assert!(available().await <= left);
    world.audited().await;
}

/// A world whose holds cover 50 completion tokens at a time.
async fn sliced(world: &World) -> testing::served::Served {
    world.launch().catalog(&catalog("hold_slice_tokens = 2048", "hold_slice_tokens = 50")).start().await
}

fn last_events(reply: &Reply) -> (String, Value) {
    let events = reply.events();
    let find = |what: &dyn Fn(&Value) -> bool| {
        events.iter().filter_map(|data| serde_json::from_str::<Value>(data).ok()).find(|event| what(event))
    };
    let finish = find(&|event| event["choices"][0]["finish_reason"].is_string()).expect("an end");
    let receipt = find(&|event| event["x_freeside"].is_object()).expect("a receipt");
    (
        finish["choices"][0]["finish_reason"].as_str().expect("a word").to_owned(),
        receipt["x_freeside"].clone(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_longer_than_one_hold_extends_it_and_is_charged_exactly() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let served = sliced(&world).await;
    let client = payer.at(&served);
    for pace in [0, 2] {
        let reply = client.ask(&question(&format!("Long. !tokens 600 !pace {pace}"), 1_000)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(last_events(&reply).0, "stop");
        let hold = books::hold(&world.database.pool, reply.header("x-budget-reservation-id")).await;
        assert_eq!((hold.tokens_out, hold.charged), (Some(600), Some(reply.cost())), "pace {pace}");
        let (prompt, completion) = (hold.tokens_in.expect("charged"), 600);
        assert_eq!(reply.cost(), (prompt * 100_000 + completion * 400_000 + 999_999) / 1_000_000);
        assert!(hold.amount >= reply.cost(), "the hold grew to what was charged: {hold:?}");
    }
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_cleanly_where_the_balance_ends() {
    let world = World::new().await;
    let served = sliced(&world).await;
    for pace in [0, 1, 3] {
        // Enough for the worst case of the prompt and some 260 of 600 tokens.
        let credit = 250;
        let payer = world.payer(credit).await;
        let reply = payer.at(&served).ask(&question(&format!("Long. !tokens 600 !pace {pace}"), 1_000)).await;
        assert_eq!(reply.status, 200, "pace {pace}: {}", reply.text);
        let (finish, receipt) = last_events(&reply);
        assert_eq!(finish, "length", "pace {pace}");
        assert!(receipt["note"].as_str().is_some_and(|note| note.contains("balance ended")), "{receipt}");
        let hold = books::hold(&world.database.pool, reply.header("x-budget-reservation-id")).await;
        println!("balance ends, pace {pace}: {hold:?}");
        assert_eq!(hold.charged, Some(reply.cost()));
        assert!(reply.cost() <= credit, "pace {pace}: nobody is in debt for an answer");
        assert!(
            hold.tokens_out.is_some_and(|tokens| (200..600).contains(&tokens)),
            "most of the balance was used: {hold:?}"
        );
        let available = books::available(&world.database.pool, payer.account.account.0).await;
        assert_eq!(available, credit - reply.cost());
    }
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_without_a_sandbox_is_enough_to_sign_up_and_three_an_hour_are() {
    let world = World::new().await;
    let served = world.launch().start().await;
    let nobody = Client::new(served.gateway(), "");
    for number in 1..=3 {
        let made =
            nobody.post("/api/v1/developers/register", &json!({"name": format!("Ada {number}")})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let key = made.json()["key"].as_str().expect("a key").to_owned();
        let reply = Client::new(served.gateway(), &key).ask(&question("Hi. !tokens 3", 5)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    let fourth = nobody.post("/api/v1/developers/register", &json!({"name": "Ada 4"})).await;
    assert!(retry_after(&fourth) <= 3_600);
    world.audited().await;
}
