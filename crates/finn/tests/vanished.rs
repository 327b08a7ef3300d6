//! freeside leaves in the middle: the provider's call ends, and what was used is told.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::fake_provider::{
    Act, Step, anthropic_end, anthropic_start, anthropic_text, openai_answer, openai_end, openai_text,
};
use crate::house::{House, send};

/// Reads events until `count` of them came.
async fn read_events(body: &mut Incoming, count: usize) -> Vec<Value> {
    let mut text = String::new();
    loop {
        let events: Vec<Value> = text
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .filter_map(|event| serde_json::from_str(event).ok())
            .collect();
        if events.len() >= count {
            return events;
        }
        let frame = body.frame().await.expect("more events").unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
}

/// An answer whose every chunk but the first waits for the gate.
fn in_lock_step(first: Vec<Step>, chunk: fn(&str) -> Step, end: Vec<Step>) -> Act {
    let mut steps = first;
    for _ in 0..10 {
        steps.extend([chunk("four"), Step::Gate]);
    }
    steps.extend(end);
    Act::Stream(steps)
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_what_was_metered() {
    let mut house = House::open().await;
    for (pool, prompt_tokens) in [("cheap", 3), ("standard", 12)] {
        for leave_after in 1..=5 {
            let provider = if pool == "cheap" { &house.first } else { &house.claude };
            provider.then(if pool == "cheap" {
                in_lock_step(vec![], openai_text, openai_end("stop", Some((3, 10))))
            } else {
                in_lock_step(anthropic_start(), anthropic_text, anthropic_end("end_turn", 10))
            });
            let question = json!({"prompt": "How are you?", "stream": true, "requested_pool": pool});
            let claims = house.claims();
            let token = house.signer.token(&claims);
            let mut body = send(house.addr, House::request(&token, &question)).await.into_body();
            provider.open_gate(leave_after - 1);
            let events = read_events(&mut body, leave_after).await;
            assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], leave_after);
            drop(body);
            provider.deserted().await;
            let record = house.records.recv().await.unwrap();
            assert_eq!(record.prompt_tokens, prompt_tokens);
            assert_eq!(record.completion_tokens, leave_after as u64);
            assert_eq!(record.tokens_used, record.prompt_tokens + record.completion_tokens);
            assert_eq!(record.message_id, format!("0190-res:{}", claims["jti"].as_str().unwrap()));
            assert_eq!((record.pool_used.as_str(), record.personality_id.as_str()), (pool, "none"));
        }
    }
}

#[tokio::test]
async fn leaving_before_the_first_token_ends_the_call_and_tells_nothing() {
    let mut house = House::open().await;
    house.second.then(Act::Stream(vec![Step::Gate]));
    house.first.then(Act::Stream(vec![Step::Stall]));
    let question = json!({"prompt": "hi", "stream": true, "requested_pool": "cheap"});
    let request = House::request(&house.token(), &question);
    let asked = tokio::spawn(send(house.addr, request));
    while house.first.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    asked.abort();
    // The client's connection task owns the socket: it ends with the sender.
    assert!(asked.await.is_err());
    house.first.deserted().await;
    house.second.then(Act::Status(500, String::new()));
    assert_eq!(house.ask(&question).await.status, 200, "the engine goes on");
    assert_eq!(house.records.recv().await.unwrap().model, "first", "the only record is the second request's");
}

#[tokio::test]
async fn a_whole_answer_and_a_broken_one_are_told_once() {
    let mut house = House::open().await;
    let question = json!({"prompt": "How are you?", "stream": true, "requested_pool": "cheap"});
    house.ask(&question).await;
    let record = house.records.recv().await.unwrap();
    assert_eq!((record.tokens_used, record.model.as_str()), (16, "first"));
    house.first.then(Act::Stream(vec![openai_text("four"), Step::Cut]));
    house.ask(&question).await;
    assert_eq!(house.records.recv().await.unwrap().tokens_used, 4);
    house.first.then(Act::Stream(openai_answer(&[])));
    house.ask(&question).await;
    house.ask(&json!({"prompt": "!fail 500", "stream": true, "requested_model": "scripted"})).await;
    assert!(house.records.try_recv().is_err(), "no token, no record");
}
