//! `Idempotency-Key` on inference: one turn and one charge, however often and from wherever the request is sent.

use std::time::Duration;

use http_body_util::BodyExt as _;
use identity::{KeyKind, KeyLimits, KeyRequest, Scopes};
use serde_json::{Value, json};
use testing::books;
use testing::served::until;
use time::macros::datetime;
use types::{Clock, MicroUsd};

use crate::client::{Ask, Reply};
use crate::house::{House, Payer};

const CREDIT: MicroUsd = MicroUsd(10_000_000);
const PATIENCE: Duration = Duration::from_secs(30);
/// No process has this number.
const DEAD: i32 = 1_000_000;
const DOORS: [&str; 4] = ["/v1/chat/completions", "/v1/messages", "/api/v1/inference", "/api/agents/invoke"];

fn question(text: &str, max_tokens: u32, stream: bool) -> Value {
    json!({
        "model": "cheap", "max_tokens": max_tokens, "stream": stream,
        "messages": [{"role": "user", "content": text}],
    })
}

fn chat(text: &str, stream: bool) -> Value {
    question(text, 100, stream)
}

impl House {
    /// A question with a key, by whoever has `api_key`.
    fn keyed<'a>(&'a self, api_key: &str, key: &str, path: &str, body: &Value) -> Ask<'a> {
        self.post(path, body).key(api_key).header("idempotency-key", key)
    }

    async fn kept_rows(&self) -> i64 {
        let rows = sqlx::query_scalar("select count(*) from kept_answer");
        rows.fetch_one(&self.database.pool).await.expect("read")
    }

    /// Another key of the payer's account.
    async fn second_key(&self, payer: &Payer) -> String {
        let request = KeyRequest {
            community: payer.key.community,
            account: payer.key.account,
            name: "second".to_owned(),
            kind: KeyKind::Live,
            scopes: Scopes::developer(),
            limits: KeyLimits { requests_per_minute: 10_000, tokens_per_day: 100_000_000 },
        };
        self.ctx.keys.create(request).await.expect("a key").secret.reveal().to_owned()
    }

    /// Waits until no keyed request is being answered here.
    async fn keyed_idle(&self) {
        tokio::time::timeout(PATIENCE, self.ctx.keyed.idle()).await.expect("they end");
    }
}

fn is_replayed(reply: &Reply) -> bool {
    reply.header("idempotent-replayed") == "true"
}

/// The refusal as the door's dialect says it: its status, and the text that a person reads.
fn refusal(path: &str, reply: &Reply) -> (u16, String) {
    assert_eq!(reply.header("x-should-retry"), "false", "{path}: {}", reply.text());
    let body = reply.json();
    let text = match path {
        "/v1/chat/completions" | "/v1/messages" => &body["error"]["message"],
        _ => &body["detail"],
    };
    (reply.status.as_u16(), text.as_str().expect("text").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_again_gets_the_same_bytes_and_is_charged_once_at_every_door() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    for path in DOORS {
        for stream in [false, true] {
            let body = question("hi !tokens 8", 50, stream);
            let key = format!("{path}-{stream}");
            let first = house.keyed(&payer.api_key, &key, path, &body).send().await;
            assert_eq!(first.status, 200, "{path}: {}", first.text());
            assert!(!is_replayed(&first));
            let spent = house.settled(&payer).await.spent;
            let again = house.keyed(&payer.api_key, &key, path, &body).send().await;
            assert!(is_replayed(&again), "{path} {stream}");
            assert_eq!((again.status, &again.bytes), (first.status, &first.bytes), "{path} {stream}");
            for name in [
                "content-type",
                "cache-control",
                "x-accel-buffering",
                "x-pool-used",
                "x-model-used",
                "x-personality-id",
                "x-budget-reservation-id",
            ] {
                assert_eq!(again.header(name), first.header(name), "{path} {stream} {name}");
            }
            assert_ne!(
                again.header("x-request-id"),
                first.header("x-request-id"),
                "each request has its own"
            );
            assert_eq!(house.settled(&payer).await.spent, spent, "{path} {stream}");
        }
    }
    let without = house.post(DOORS[0], &chat("hi !tokens 8", false)).key(&payer.api_key).send().await;
    assert!(!is_replayed(&without), "without a key every request is a new one");
    assert_eq!(house.kept_rows().await, 8);
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_finds_the_whole_answer_on_return() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    // In the middle of a stream, before a whole answer, and before the first token.
    for (key, text, stream) in [
        ("mid", "go on !tokens 40 !pace 5", true),
        ("whole", "go on !tokens 40 !pace 5", false),
        ("early", "go on !tokens 40 !slow-first 300", true),
    ] {
        let body = chat(text, stream);
        let ask = house.keyed(&payer.api_key, key, DOORS[0], &body);
        match key {
            "mid" => {
                let mut response = ask.open().await;
                let _ = response.frame().await.expect("it goes on").expect("bytes");
            }
            _ => assert!(tokio::time::timeout(Duration::from_millis(60), ask.open()).await.is_err(), "{key}"),
        }
        until("the answer is stored", PATIENCE, async || {
            let kept = sqlx::query_scalar("select state = 1 from kept_answer where key = $1");
            kept.bind(key).fetch_optional(&house.database.pool).await.expect("read") == Some(true)
        })
        .await;
        let spent = house.settled(&payer).await.spent;
        let again = house.keyed(&payer.api_key, key, DOORS[0], &body).send().await;
        assert!(is_replayed(&again), "{key}: {}", again.text());
        let id = again.header("x-budget-reservation-id").to_owned();
        let hold = books::hold(&house.database.pool, &id).await;
        assert_eq!((hold.state, hold.tokens_out), (books::SETTLED, Some(40)), "{key}: it ran to its end");
        let last = again.text();
        assert!(
            if stream { last.ends_with("data: [DONE]\n\n") } else { last.ends_with('}') },
            "{key}: {last}"
        );
        assert_eq!(house.settled(&payer).await.spent, spent, "{key}");
    }
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_runs_and_for_another_body_the_key_is_refused_in_the_doors_dialect() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    for path in DOORS {
        let body = question("go on !tokens 30 !pace 20", 100, true);
        let running =
            house.keyed(&payer.api_key, path, path, &body).header("x-request-id", "the-first").open().await;
        let reply = house.keyed(&payer.api_key, path, path, &body).send().await;
        let (status, text) = refusal(path, &reply);
        assert!(status == 409 && text.contains("the-first"), "{path}: {status} {text}");
        let other = question("something else", 100, true);
        let while_running = house.keyed(&payer.api_key, path, path, &other).send().await;
        assert_eq!(refusal(path, &while_running).0, 422, "{path}");
        drop(running.into_body().collect().await.expect("to its end"));
        let after = house.keyed(&payer.api_key, path, path, &other).send().await;
        assert_eq!(refusal(path, &after).0, 422, "{path}");
        // What changes an answer belongs to the request as its body does.
        let clamped = house.keyed(&payer.api_key, path, path, &body).header("x-freeside-clamp", "affordable");
        assert_eq!(refusal(path, &clamped.send().await).0, 422, "{path}");
        assert!(is_replayed(&house.keyed(&payer.api_key, path, path, &body).send().await), "{path}");
    }
    let mut body = question("hi !tokens 4", 50, false);
    body.as_object_mut().expect("an object").remove("stream");
    let whole = house.keyed(&payer.api_key, "form", "/api/agents/invoke", &body).send().await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let events = house.keyed(&payer.api_key, "form", "/api/agents/invoke", &body);
    assert_eq!(
        events.header("accept", "text/event-stream").send().await.status,
        422,
        "another form is another request"
    );
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_belongs_to_the_account_and_to_each_of_its_api_keys() {
    let house = House::open().await;
    let (payer, other) = (house.payer(CREDIT).await, house.payer(CREDIT).await);
    let body = chat("hi !tokens 8", false);
    let first = house.keyed(&payer.api_key, "shared", DOORS[0], &body).send().await;
    let second = house.second_key(&payer).await;
    let again = house.keyed(&second, "shared", DOORS[0], &body).send().await;
    assert!(is_replayed(&again));
    assert_eq!(again.bytes, first.bytes);
    let others = house.keyed(&other.api_key, "shared", DOORS[0], &body).send().await;
    assert!(!is_replayed(&others), "another account's key is another key");
    assert_ne!(others.header("x-budget-reservation-id"), first.header("x-budget-reservation-id"));
    assert_eq!(house.settled(&other).await.spent, house.settled(&payer).await.spent, "each paid for one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_are_one_turn_and_one_charge() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    for stream in [false, true] {
        let body = chat("hi !tokens 8 !pace 2", stream);
        let key = format!("fifty-{stream}");
        let before = books::holds(&house.database.pool).await.len();
        let asks = (0..50).map(|_| house.keyed(&payer.api_key, &key, DOORS[0], &body).send());
        let replies = futures_util::future::join_all(asks).await;
        let answers: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert!(replies.iter().all(|reply| reply.status == 200 || reply.status == 409));
        assert_eq!(answers.iter().filter(|reply| !is_replayed(reply)).count(), 1, "one of them ran");
        assert!(answers.iter().all(|reply| reply.bytes == answers[0].bytes));
        house.settled(&payer).await;
        assert_eq!(books::holds(&house.database.pool).await.len(), before + 1);
    }
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_cost_nothing_frees_the_key() {
    let house = House::open().await;
    let (payer, poor) = (house.payer(CREDIT).await, house.payer(MicroUsd::ZERO).await);
    for path in DOORS {
        for (who, text, model, status) in [
            (&payer, "hi", "gpt-nonexistent", 404),
            (&payer, "hi !fail 400", "cheap", 400),
            (&poor, "hi", "cheap", 402),
        ] {
            let mut body = question(text, 50, false);
            body["model"] = json!(model);
            for _ in 0..2 {
                let reply = house.keyed(&who.api_key, "free", path, &body).send().await;
                assert!(!is_replayed(&reply), "{path} {text}");
                assert_eq!(reply.status.as_u16(), status, "{path} {text}: {}", reply.text());
            }
        }
        assert_eq!(house.kept_rows().await, 0, "{path}");
    }
    let reply = house.keyed(&payer.api_key, "free", DOORS[0], &chat("hi !tokens 2", false)).send().await;
    assert_eq!(reply.status, 200, "another body, since nothing came of the first: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_broke_off_and_was_charged_is_kept_as_it_was() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let body = chat("hi !tokens 20 !error 5", true);
    let first = house.keyed(&payer.api_key, "broken", DOORS[0], &body).send().await;
    let spent = house.settled(&payer).await.spent;
    assert!(spent > 0 && first.text().contains("provider_error"), "{}", first.text());
    let again = house.keyed(&payer.api_key, "broken", DOORS[0], &body).send().await;
    assert!(is_replayed(&again));
    assert_eq!((&again.bytes, house.settled(&payer).await.spent), (&first.bytes, spent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_more_than_a_mebibyte_is_charged_once_and_not_kept() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000_000)).await;
    for path in DOORS {
        let body = question("go on !tokens 20000", 20_000, true);
        let first =
            house.keyed(&payer.api_key, path, path, &body).header("x-request-id", "the-first").send().await;
        assert_eq!(first.status, 200, "{path}: {}", first.text());
        assert!(first.bytes.len() > 1024 * 1024, "{path}: {}", first.bytes.len());
        let spent = house.settled(&payer).await.spent;
        house.keyed_idle().await;
        let again = house.keyed(&payer.api_key, path, path, &body).send().await;
        let (status, text) = refusal(path, &again);
        assert_eq!(status, 409, "{path}: {text}");
        for part in ["answer-not-kept", "the-first", first.header("x-budget-reservation-id")] {
            assert!(text.contains(part), "{path}: {part} in {text}");
        }
        assert_eq!(house.settled(&payer).await.spent, spent, "{path}");
    }
    let problem =
        house.keyed(&payer.api_key, DOORS[2], DOORS[2], &question("go on !tokens 20000", 20_000, true));
    let problem = problem.send().await.json();
    assert_eq!(
        (&problem["type"], &problem["first_request_id"]),
        (&json!("/problems/answer-not-kept"), &json!("the-first"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_forgotten_after_a_day() {
    let clock = Clock::fixed(datetime!(2026-03-01 12:00 UTC));
    let house = House::open_at(clock.clone()).await;
    let payer = house.payer(MicroUsd(100_000_000)).await;
    let lasting = ledger::Op::Mint {
        key: payer.key,
        id: types::LotId(clock.uuid_v7()),
        source: ledger::Source::Grant,
        amount: CREDIT.0,
        expires_at: ledger::NEVER,
    };
    house.ctx.ledger.submit(lasting).await.expect("minted");
    let body = chat("hi !tokens 8", false);
    let ask = |key: &'static str| house.keyed(&payer.api_key, key, DOORS[0], &body).send();
    let first = ask("day").await;
    assert_eq!(first.status, 200, "{}", first.text());
    clock.advance(time::Duration::hours(24) - time::Duration::seconds(1));
    assert!(is_replayed(&ask("day").await), "a day has 24 hours");
    clock.advance(time::Duration::seconds(1));
    let next = ask("day").await;
    assert!(!is_replayed(&next) && next.status == 200, "{}", next.text());
    assert_eq!(ask("fresh").await.status, 200);
    let prune = || domain::idempotency::answers::prune(&house.ctx);
    prune().await.expect("pruned");
    assert_eq!(house.kept_rows().await, 2, "both are of today");
    clock.advance(time::Duration::hours(24));
    prune().await.expect("pruned");
    assert_eq!(house.kept_rows().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_dead_process_is_freed_unless_its_hold_was_charged() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let body = chat("hi !tokens 8", false);
    let ask = |key: &'static str| house.keyed(&payer.api_key, key, DOORS[0], &body).send();
    for key in ["charged", "charged-swept", "lost", "lost-swept", "alive"] {
        assert_eq!(ask(key).await.status, 200);
    }
    house.settled(&payer).await;
    // As if the process had died before the answer was stored: after the charge, before any hold, and not at all.
    let unfinish = "update kept_answer set state = 0, status = null, headers = null, body = null, owner_id = $2,
         reservation_id = case when key like 'lost%' then gen_random_uuid() else reservation_id end where key like $1";
    for (key, owner) in [("charged%", DEAD), ("lost%", DEAD), ("alive", house.ctx.owner.0)] {
        let done = sqlx::query(unfinish).bind(key).bind(owner).execute(&house.database.pool).await;
        assert!(done.expect("changed").rows_affected() > 0);
    }
    let spent = house.settled(&payer).await.spent;
    let refused = ask("charged").await;
    assert!(refused.status == 409 && refused.text().contains("answer_not_kept"), "{}", refused.text());
    assert_eq!(house.settled(&payer).await.spent, spent);
    let anew = ask("lost").await;
    assert!(anew.status == 200 && !is_replayed(&anew), "{}", anew.text());
    let recover = || domain::idempotency::answers::recover(&house.ctx);
    assert_eq!(recover().await.expect("looked"), 2, "those that nobody has asked for again");
    assert_eq!(recover().await.expect("looked"), 0, "once");
    assert!(ask("charged-swept").await.text().contains("answer_not_kept"));
    assert_eq!(ask("lost-swept").await.status, 200);
    let alive = ask("alive").await;
    assert!(alive.status == 409 && alive.text().contains("request_in_flight"), "{}", alive.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_one_is_refused_at_every_door() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    for path in DOORS {
        let body = question("hi !tokens 2", 50, false);
        for bad in ["", "a b", &"x".repeat(256)] {
            let reply = house.keyed(&payer.api_key, bad, path, &body).send().await;
            assert_eq!(reply.status, 400, "{path} {bad}: {}", reply.text());
        }
        let twice =
            house.keyed(&payer.api_key, "one", path, &body).header("idempotency-key", "two").send().await;
        assert_eq!(twice.status, 400, "{path}");
    }
    assert_eq!((house.settled(&payer).await.spent, house.kept_rows().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_cut_and_the_accounts_other_key_reads_what_was_charged() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let other = house.second_key(&payer).await;
    let body = chat("go on !tokens 90 !pace 20", true);
    let mut running = house.keyed(&payer.api_key, "cut", DOORS[0], &body).open().await;
    let mut text =
        running.frame().await.expect("it goes on").expect("bytes").into_data().expect("data").to_vec();
    let revoked = house.ask("DELETE", &format!("/api/v1/keys/{}", payer.key_id)).key(&other).send().await;
    assert_eq!(revoked.status, 204, "{}", revoked.text());
    text.extend_from_slice(&running.collect().await.expect("to its end").to_bytes());
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("key_revoked"), "{text}");
    let spent = house.settled(&payer).await.spent;
    house.keyed_idle().await;
    assert!(spent > 0, "what was delivered is charged");
    assert_eq!(house.keyed(&payer.api_key, "cut", DOORS[0], &body).send().await.status, 401);
    let again = house.keyed(&other, "cut", DOORS[0], &body).send().await;
    assert!(is_replayed(&again));
    assert_eq!((again.text(), house.settled(&payer).await.spent), (text, spent));
}
