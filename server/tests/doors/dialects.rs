//! One question in every dialect, whole and streamed.

use serde_json::{Value, json};
use types::MicroUsd;

use crate::house::House;

const CREDIT: MicroUsd = MicroUsd(10_000_000);

fn question(text: &str) -> Value {
    json!({"model": "cheap", "max_tokens": 50, "messages": [{"role": "user", "content": text}]})
}

fn with(mut value: Value, field: &str, to: Value) -> Value {
    value[field] = to;
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_gets_a_whole_answer_and_the_books_agree() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let reply = house
        .post("/v1/chat/completions", &question("hi !tokens 8"))
        .key(&payer.api_key)
        .header("x-request-id", "mine-1")
        .send()
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "scripted-cheap");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["completion_tokens"], 8);
    let text = answer["choices"][0]["message"]["content"].as_str().expect("text");
    assert!(text.starts_with("[scripted model"), "{text}");
    for (name, value) in [("x-request-id", "mine-1"), ("x-pool-used", "cheap"), ("x-personality-id", "none")]
    {
        assert_eq!(reply.header(name), value, "{name}");
    }
    assert_eq!(reply.header("x-model-used"), "scripted-cheap");
    assert_eq!(reply.header("x-ratelimit-limit-requests"), "10000");
    let reservation = answer["x_freeside"]["reservation_id"].as_str().expect("an id");
    assert_eq!(reply.header("x-budget-reservation-id"), reservation);
    let balance = house.settled(&payer).await;
    assert_eq!(answer["x_freeside"]["cost_micro"], balance.spent.to_string());
    assert!(balance.spent > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_streams_with_usage_last() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let body = with(question("hi !tokens 12"), "stream", json!(true));
    let body = with(body, "stream_options", json!({"include_usage": true}));
    let reply = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(reply.header("cache-control"), "no-cache, no-transform");
    assert_eq!(reply.header("x-accel-buffering"), "no");
    let events = reply.events();
    assert_eq!(events.last().expect("one").1, "[DONE]");
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|(_, data)| serde_json::from_str(data).expect("JSON"))
        .collect();
    let last = chunks.last().expect("one");
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(12)));
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let balance = house.settled(&payer).await;
    assert_eq!(last["x_freeside"]["cost_micro"], balance.spent.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_call_comes_back_in_every_dialect() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let said = "weather? !tool get_weather {\"city\":\"Paris\"}";
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool = json!([{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]);
    let body = with(question(said), "tools", tool);

    let answer = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
    let function = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(
        (&function["name"], &function["arguments"]),
        (&json!("get_weather"), &json!("{\"city\":\"Paris\"}"))
    );

    let tool = json!([{"name": "get_weather", "input_schema": parameters}]);
    let body = with(question(said), "tools", tool);
    let answer = house.post("/v1/messages", &body).header("x-api-key", &payer.api_key).send().await.json();
    assert_eq!(answer["stop_reason"], "tool_use", "{answer}");
    let call = answer["content"].as_array().expect("blocks").last().expect("one");
    assert_eq!((&call["type"], &call["input"]), (&json!("tool_use"), &json!({"city": "Paris"})));
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anthropic_gets_a_message_and_its_events() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let body = with(question("hi !tokens 9"), "system", json!("Be brief."));
    let reply = house.post("/v1/messages", &body).header("x-api-key", &payer.api_key).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.header("request-id").is_empty());
    assert!(reply.header("anthropic-ratelimit-requests-reset").ends_with('Z'));
    let answer = reply.json();
    assert_eq!((&answer["type"], &answer["stop_reason"]), (&json!("message"), &json!("end_turn")));
    assert_eq!(answer["usage"]["output_tokens"], 9);

    let body = with(body, "stream", json!(true));
    let events = house.post("/v1/messages", &body).header("x-api-key", &payer.api_key).send().await.events();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(names.iter().filter(|name| **name == "content_block_delta").count(), 9);
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_doors_stream_and_answer_whole() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let body = json!({"prompt": "hi !tokens 5", "model": "standard"});
    let reply = house.post("/api/v1/inference", &body).key(&payer.api_key).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-ratelimit-limit"), "10000");
    let events = reply.events();
    assert_eq!(events.iter().filter(|(name, _)| name == "token").count(), 5);
    let (name, data) = events.last().expect("one");
    let done: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(
        (name.as_str(), &done["pool"], &done["finish_reason"]),
        ("done", &json!("standard"), &json!("stop"))
    );
    assert_eq!(done["cost_micro"], house.settled(&payer).await.spent.to_string());

    let reply =
        house.post("/api/agents/invoke", &json!({"prompt": "hi !tokens 5"})).key(&payer.api_key).send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["usage"]["completion_tokens"]), (200, &json!(5)));
    let said = json!([{"role": "user", "content": "hi !tokens 5"}]);
    let body = json!({"messages": said, "modelAlias": "cheap"});
    let reply = house
        .post("/api/agents/invoke", &body)
        .key(&payer.api_key)
        .header("accept", "text/event-stream")
        .send()
        .await;
    assert_eq!(reply.events().last().expect("one").0, "done");
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_listed_in_the_dialect_that_asks() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let list = house.get("/v1/models").key(&payer.api_key).send().await.json();
    let ids: Vec<&str> =
        list["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(ids.contains(&"standard") && !ids.contains(&"flagship"), "{ids:?}");
    let list = house
        .get("/v1/models")
        .key(&payer.api_key)
        .header("anthropic-version", "2023-06-01")
        .send()
        .await
        .json();
    assert_eq!((&list["has_more"], &list["data"][0]["type"]), (&json!(false), &json!("model")));
    let one = house.get("/v1/models/cheap").key(&payer.api_key).send().await;
    assert_eq!((one.status.as_u16(), &one.json()["id"]), (200, &json!("cheap")));
    for id in ["flagship", "no/such/model", "%ff"] {
        let one = house.get(&format!("/v1/models/{id}")).key(&payer.api_key).send().await;
        assert_eq!(
            (one.status.as_u16(), &one.json()["error"]["code"]),
            (404, &json!("model_not_found")),
            "{id}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_in_the_middle_is_said_in_every_dialect_and_charged_as_delivered() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let body = with(question("hi !tokens 40 !error 3"), "stream", json!(true));
    let events = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await.events();
    let last: Value = serde_json::from_str(&events.last().expect("one").1).expect("an object, not [DONE]");
    assert!(last["error"]["message"].is_string(), "{last}");
    let events = house.post("/v1/messages", &body).key(&payer.api_key).send().await.events();
    assert_eq!(events.last().expect("one").0, "error");
    let body = json!({"prompt": "hi !tokens 40 !error 3"});
    let events = house.post("/api/v1/inference", &body).key(&payer.api_key).send().await.events();
    let (name, data) = events.last().expect("one");
    let error: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!((name.as_str(), &error["usage"]["completion_tokens"]), ("error", &json!(3)));
    assert!(house.settled(&payer).await.spent > 0);
}
