//! Answers over both dialects and the scripted one: good, failing before the first token, failing after it.

use serde_json::{Value, json};

use crate::fake_provider::{
    Act, Step, anthropic_end, anthropic_start, anthropic_text, data, named, openai_answer, openai_end,
    openai_text, strict,
};
use crate::house::House;

fn ask(pool: &str) -> Value {
    json!({"prompt": "How are you?", "stream": true, "requested_pool": pool, "max_tokens": 50})
}

fn text(model: &str, said: &str) -> Value {
    json!({"prompt": said, "stream": true, "requested_model": model})
}

#[tokio::test]
async fn openai_s_answer_comes_with_its_figures_and_ours_beside() {
    let house = House::open().await;
    let answer = house.ask(&ask("cheap")).await;
    assert_eq!(answer.text(), "Hello there");
    assert_eq!(answer.events()[0]["usage"]["completion_tokens"], 2, "running: ceil(5 / 4)");
    assert_eq!(
        answer.end(),
        json!({"type":"done","model":"first","finish_reason":"stop",
            "usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16},
            "own_count":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}})
    );
    let seen = &house.first.seen()[0];
    assert_eq!((&seen["model"], &seen["max_tokens"]), (&json!("up-first"), &json!(50)));
    house.ask(&ask("cheap")).await;
    assert_eq!(house.first.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn anthropic_s_answer_counts_cached_tokens() {
    let house = House::open().await;
    let answer = house.ask(&ask("standard")).await;
    assert_eq!(answer.text(), "Hello there");
    assert_eq!(answer.events()[0]["usage"]["prompt_tokens"], 12);
    assert_eq!(answer.end()["usage"], json!({"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}));
    assert_eq!(answer.header("x-model-used"), "claude");
}

#[tokio::test]
async fn tool_calls_pass_through_both_dialects() {
    let house = House::open().await;
    let mut steps = vec![
        data(&json!({"choices":[{"index":0,"delta":{"tool_calls":[
            {"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":""}}]}}]})),
        data(&json!({"choices":[{"index":0,"delta":{"content":null,"tool_calls":[
            {"index":0,"function":{"arguments":"{\"city\":"}}]}}]})),
        data(
            &json!({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Paris\"}"}}]}}]}),
        ),
    ];
    steps.extend(openai_end("stop", Some((5, 9))));
    house.first.then(Act::Stream(steps));
    let mut steps = anthropic_start();
    steps.extend([
        named(&json!({"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c1","name":"weather","input":{}}})),
        named(&json!({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}})),
        named(&json!({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Paris\"}"}})),
        named(&json!({"type":"content_block_stop","index":1})),
        named(&json!({"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"c2","name":"now","input":{}}})),
        named(&json!({"type":"content_block_stop","index":2})),
    ]);
    steps.extend(anthropic_end("tool_use", 9));
    house.claude.then(Act::Stream(steps));
    for (pool, calls) in
        [("cheap", vec![r#"{"city":"Paris"}"#]), ("standard", vec![r#"{"city":"Paris"}"#, "{}"])]
    {
        let mut question = ask(pool);
        question["tools"] =
            json!([{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]);
        let answer = house.ask(&question).await;
        let events = answer.events();
        let first = events.iter().find(|event| event["type"] == "tool_call").unwrap();
        assert_eq!((&first["id"], &first["name"]), (&json!("c1"), &json!("weather")));
        for (index, arguments) in calls.iter().enumerate() {
            let pieces =
                events.iter().filter(|event| event["type"] == "tool_call" && event["index"] == index);
            let joined: String = pieces.filter_map(|event| event["arguments"].as_str()).collect();
            assert_eq!(joined, *arguments, "{pool}");
        }
        assert_eq!(answer.end()["finish_reason"], "tool_calls", "{pool}");
    }
}

#[tokio::test]
async fn the_next_model_answers_when_the_first_fails_before_its_first_token() {
    let failures = [
        Act::Status(429, "{}".into()),
        Act::Status(500, "oops".into()),
        Act::Status(503, String::new()),
        Act::Stream(vec![Step::Cut]),
        Act::Stream(vec![Step::Bytes(b"data: {broken\n\n".to_vec())]),
        Act::Stream(vec![data(&json!({"error":{"message":"overloaded"}}))]),
        Act::Stream(vec![]),
    ];
    for failure in failures {
        let house = House::open().await;
        house.first.then(failure.clone());
        let answer = house.ask(&ask("cheap")).await;
        assert_eq!(answer.text(), "Hello there", "{failure:?}");
        assert_eq!(answer.header("x-model-used"), "second", "the headers are true after a fall-back");
        assert_eq!(answer.header("x-route-reason"), "fallback");
        assert_eq!(answer.end()["model"], "second");
    }
}

#[tokio::test]
async fn no_other_model_answers_after_the_first_token() {
    let breaks = [
        (Step::Cut, "provider_cut"),
        (Step::Bytes(b"data: {broken\n\n".to_vec()), "provider_malformed"),
        (data(&json!({"error":"it broke"})), "provider_error"),
    ];
    for (step, code) in breaks {
        let house = House::open().await;
        house.first.then(Act::Stream(vec![openai_text("Hel"), openai_text("lo"), step]));
        let answer = house.ask(&ask("cheap")).await;
        assert_eq!(answer.text(), "Hello");
        let end = answer.end();
        assert_eq!((&end["type"], &end["code"]), (&json!("error"), &json!(code)));
        assert_eq!(end["usage"], json!({"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}));
        assert!(house.second.seen().is_empty());
    }
}

#[tokio::test]
async fn a_refused_request_is_not_tried_elsewhere_and_no_key_leaks() {
    let house = House::open().await;
    let body = json!({"error":{"message":format!("context length exceeded for key {}", strict::KEY)}});
    house.first.then(Act::Status(400, body.to_string()));
    let answer = house.ask(&ask("cheap")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "provider_rejected"));
    assert!(answer.body.contains("context length exceeded") && !answer.body.contains(strict::KEY));
    assert!(house.second.seen().is_empty());
    house.first.then(Act::Status(401, body.to_string()));
    let answer = house.ask(&ask("flagship")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "provider_misconfigured"));
    assert!(!answer.body.contains("exceeded"));
}

#[tokio::test]
async fn when_all_fail_the_status_says_how() {
    let cases = [
        (Act::Status(429, "{}".into()), 429, "provider_rate_limited"),
        (Act::Status(529, "{}".into()), 529, "provider_overloaded"),
        (Act::Status(503, r#"{"error":{"type":"overloaded_error"}}"#.into()), 529, "provider_overloaded"),
        (Act::Stream(vec![Step::Cut]), 502, "provider_cut"),
        (Act::Silence, 504, "provider_timeout"),
        (Act::Stream(vec![Step::Stall]), 504, "provider_timeout"),
    ];
    let house = House::open().await;
    for (act, status, code) in cases {
        // The pool flagship has one model and one second to the first token.
        house.first.then(act.clone());
        let answer = house.ask(&ask("flagship")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{act:?}");
        house.first.then(Act::Stream(openai_answer(&["ok"])));
        assert_eq!(house.ask(&ask("flagship")).await.text(), "ok");
    }
}

#[tokio::test]
async fn anthropic_s_errors_and_ends_are_read() {
    let house = House::open().await;
    let mut steps = anthropic_start();
    steps.extend([anthropic_text("Hi"), named(&json!({"type":"error","error":{"type":"overloaded_error"}}))]);
    house.claude.then(Act::Stream(steps));
    let end = house.ask(&ask("standard")).await.end();
    assert_eq!((&end["code"], &end["usage"]["total_tokens"]), (&json!("provider_overloaded"), &json!(13)));
    for (reason, ours) in [("max_tokens", "length"), ("refusal", "content_filter"), ("stop_sequence", "stop")]
    {
        let mut steps = anthropic_start();
        steps.push(anthropic_text("Hi"));
        steps.extend(anthropic_end(reason, 1));
        house.claude.then(Act::Stream(steps));
        assert_eq!(house.ask(&ask("standard")).await.end()["finish_reason"], ours);
    }
}

#[tokio::test]
async fn what_one_dialect_cannot_say_another_may() {
    let house = House::open().await;
    let mut question = ask("architect");
    question["response_format"] = json!({"type": "json_object"});
    let answer = house.ask(&question).await;
    assert_eq!(answer.header("x-model-used"), "second");
    question["requested_pool"] = json!("standard");
    let answer = house.ask(&question).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "unsupported"));
}

#[tokio::test]
async fn reasoning_is_counted_and_not_shown() {
    let house = House::open().await;
    let thought = |name: &str| data(&json!({"choices":[{"delta":{name:"12345678"}}]}));
    let mut steps = vec![thought("reasoning_content"), thought("reasoning"), openai_text("four")];
    steps.extend(openai_end("stop", None));
    house.first.then(Act::Stream(steps));
    let answer = house.ask(&ask("cheap")).await;
    assert_eq!(answer.text(), "four");
    assert_eq!(answer.end()["usage"]["completion_tokens"], 5);
    assert_eq!(answer.end().get("own_count"), None, "ours is the one that counts");
}

#[tokio::test]
async fn the_scripted_model_obeys() {
    let house = House::open().await;
    let answer = house.ask(&text("scripted", "hi !tokens 40")).await;
    assert!(answer.text().starts_with("[scripted model, no AI] "));
    assert_eq!(answer.end()["usage"]["completion_tokens"], 40);
    assert_eq!(answer.header("x-route-reason"), "requested");

    let mut question = text("scripted", "hi !tokens 40");
    question["max_tokens"] = json!(10);
    let end = house.ask(&question).await.end();
    assert_eq!((&end["finish_reason"], &end["usage"]["completion_tokens"]), (&json!("length"), &json!(10)));

    for (order, status) in [("!fail 429", 429), ("!fail 500", 502), ("!fail 400", 400), ("!cut 0", 502)] {
        for _ in 0..4 {
            let answer = house.ask(&text("scripted", order)).await;
            assert_eq!(answer.status.as_u16(), status, "{order}: a command opens no breaker");
        }
    }
    for (order, code) in
        [("!cut 5", "provider_cut"), ("!malformed 5", "provider_malformed"), ("!error 5", "provider_error")]
    {
        let end = house.ask(&text("scripted", order)).await.end();
        assert_eq!((&end["code"], &end["usage"]["completion_tokens"]), (&json!(code), &json!(5)), "{order}");
    }
    let answer = house.ask(&text("scripted", r#"!tool get_weather {"city":"Paris"}"#)).await;
    assert_eq!(answer.end()["finish_reason"], "tool_calls");
    let end = house.ask(&text("scripted", "!no-usage !tokens 8")).await.end();
    assert_eq!((&end["usage"]["completion_tokens"], end.get("own_count")), (&json!(8), None));
}

#[tokio::test]
async fn a_model_that_is_off_leaves_its_pool_to_the_scripted_one() {
    let house = House::open().await;
    let answer = house.ask(&ask("reasoning")).await;
    assert_eq!((answer.header("x-pool-used"), answer.header("x-model-used")), ("reasoning", "scripted"));
}
