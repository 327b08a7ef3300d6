//! A model that thinks is alive: its answer has begun, its running figure goes out, and nobody else is asked.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_provider::{
    Act, Step, anthropic_end, anthropic_start, anthropic_text, data, named, openai_end, openai_text,
};
use crate::house::{House, read, send};

fn ask(pool: &str) -> Value {
    json!({"prompt": "How are you?", "stream": true, "requested_pool": pool, "max_tokens": 900})
}

fn thoughts() -> Vec<Step> {
    let part = json!([{"type":"thinking","thinking":[{"type":"text","text":"12345678"}]}]);
    vec![
        data(&json!({"choices":[{"delta":{"reasoning_content":"12345678"}}]})),
        data(&json!({"choices":[{"delta":{"reasoning":"12345678","content":null}}]})),
        data(&json!({"choices":[{"delta":{"content":part}}]})),
    ]
}

fn thought(text: &str) -> Step {
    named(&json!({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":text}}))
}

#[tokio::test]
async fn the_first_thought_begins_the_answer_in_both_dialects() {
    let hidden =
        named(&json!({"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking"}}));
    let start = anthropic_start()[..1].to_vec();
    let firsts = thoughts().into_iter().map(|thought| ("flagship", vec![thought]));
    let theirs = [[start.clone(), vec![thought("hm")]].concat(), [start, vec![hidden]].concat()];
    for (pool, mut steps) in firsts.chain(theirs.map(|steps| ("standard", steps))) {
        let house = House::open().await;
        let provider = if pool == "standard" { &house.claude } else { &house.first };
        steps.push(Step::Gate);
        steps.extend(if pool == "standard" {
            [vec![anthropic_text("four")], anthropic_end("end_turn", 9)].concat()
        } else {
            [vec![openai_text("four")], openai_end("stop", Some((3, 9)))].concat()
        });
        provider.then(Act::Stream(steps));
        let response = send(house.addr, House::request(&house.token(), &ask(pool))).await;
        assert_eq!(response.status(), 200, "the head comes while it thinks");
        provider.open_gate(1);
        let answer = read(response).await;
        assert_eq!(answer.text(), "four");
        assert_eq!(answer.events()[0]["content"], "");
        assert_eq!(answer.end()["usage"]["completion_tokens"], 9);
    }
}

#[tokio::test]
async fn who_thinks_is_not_swapped_and_the_running_figure_goes_out_at_a_bounded_rate() {
    let house = House::open().await;
    // 1,000 thoughts of one token each.
    let mut steps: Vec<Step> =
        (0..1000).map(|_| data(&json!({"choices":[{"delta":{"reasoning_content":"hmm "}}]}))).collect();
    steps.extend([vec![openai_text("four")], openai_end("stop", None)].concat());
    house.first.then(Act::Stream(steps));
    let answer = house.ask(&ask("cheap")).await;
    assert_eq!(answer.header("x-model-used"), "first");
    let running: Vec<u64> = answer
        .events()
        .iter()
        .filter(|event| event["content"] == "")
        .map(|event| event["usage"]["completion_tokens"].as_u64().unwrap())
        .collect();
    assert!((10..=20).contains(&running.len()), "{running:?}");
    assert!(running.windows(2).all(|pair| pair[1] >= pair[0] && pair[1] - pair[0] <= 65), "{running:?}");
    assert_eq!(answer.end()["usage"]["completion_tokens"], 900, "never past the request's limit");
}

#[tokio::test]
async fn a_provider_that_fails_after_its_thoughts_ends_the_open_stream_and_is_not_paid() {
    let mut house = House::open().await;
    house.first.then(Act::Stream(vec![thoughts()[0].clone(), Step::Gate, Step::Cut]));
    let response = send(house.addr, House::request(&house.token(), &ask("cheap"))).await;
    assert_eq!(response.status(), 200);
    house.first.open_gate(1);
    let answer = read(response).await;
    assert_eq!((&answer.end()["type"], &answer.end()["code"]), (&json!("error"), &json!("provider_cut")));
    assert!(house.second.seen().is_empty());
    assert!(house.records.try_recv().is_err(), "nothing was delivered, nothing is told");
}

#[tokio::test]
async fn who_leaves_a_thinking_model_is_told_about_with_its_figures() {
    let mut house = House::open().await;
    house.first.then(Act::Stream(vec![thoughts()[0].clone(), Step::Stall]));
    let response = send(house.addr, House::request(&house.token(), &ask("cheap"))).await;
    drop(response);
    house.first.deserted().await;
    let record = tokio::time::timeout(Duration::from_secs(5), house.records.recv()).await.unwrap().unwrap();
    assert_eq!((record.prompt_tokens, record.completion_tokens), (3, 2));
}
