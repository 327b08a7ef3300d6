//! What providers really send, seen through every door: chat completions, messages, our own, and the chat's socket.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use types::{MicroUsd, Wallet};

use crate::client::Reply;
use crate::house::{House, Payer};
use crate::vendor::{Vendor, anthropic, anthropic_text, data, delta, end, text};

const CREDIT: MicroUsd = MicroUsd(100_000_000);
const OPENAI: &str = "/v1/chat/completions";
const ANTHROPIC: &str = "/v1/messages";
const NATIVE: &str = "/api/v1/inference";
const DOORS: [&str; 3] = [OPENAI, ANTHROPIC, NATIVE];

/// A house whose models this vendor plays, and somebody who pays.
struct Scene {
    house: House,
    vendor: Vendor,
    payer: Payer,
}

impl Scene {
    async fn open() -> Self {
        let vendor = Vendor::start().await;
        let house = House::open_with_catalog(&vendor.catalog()).await;
        let payer = house.payer(CREDIT).await;
        Self { house, vendor, payer }
    }

    async fn ask(&self, door: &str, body: &Value) -> Reply {
        self.house.post(door, body).key(&self.payer.api_key).send().await
    }

    async fn spent(&self) -> i64 {
        self.house.settled(&self.payer).await.spent
    }
}

fn question(model: &str, stream: bool) -> Value {
    json!({"model": model, "max_tokens": 500, "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
}

/// An answer as each door tells it.
#[derive(Debug, Default, PartialEq)]
struct Told {
    text: String,
    /// Id, name, arguments.
    calls: Vec<(String, String, String)>,
    finish: Option<String>,
    stop_sequence: Option<String>,
    tokens: Option<(u64, u64)>,
    is_error: bool,
    is_done: bool,
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn tokens(usage: &Value) -> Option<(u64, u64)> {
    let figure = |names: [&str; 2]| names.iter().find_map(|name| usage[name].as_u64());
    Some((figure(["prompt_tokens", "input_tokens"])?, figure(["completion_tokens", "output_tokens"])?))
}

fn call(value: &Value, function: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&value["id"]), text(&function["name"]), text(&function["arguments"]))
}

/// Reads an answer in the door's dialect, streamed or whole; an order of blocks that Anthropic forbids is a failure.
fn told(door: &str, reply: &Reply) -> Told {
    assert_eq!(reply.status, 200, "{}", reply.text());
    if reply.header("content-type").starts_with("application/json") {
        return whole(door, &reply.json());
    }
    let mut told = Told::default();
    let mut calls: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
    let mut open = None;
    for (_, event) in reply.events() {
        let Ok(event) = serde_json::from_str::<Value>(&event) else {
            told.is_done = event == "[DONE]";
            continue;
        };
        told.is_error |= event["type"] == "error" || event.get("error").is_some();
        told.tokens = tokens(&event["usage"]).or(told.tokens);
        let index = event["index"].as_u64().unwrap_or_default();
        let mut add = |index: u64, piece: (String, String, String)| {
            let call = calls.entry(index).or_default();
            call.0 += &piece.0;
            call.1 += &piece.1;
            call.2 += &piece.2;
        };
        match door {
            OPENAI => {
                let choice = &event["choices"][0];
                told.text += choice["delta"]["content"].as_str().unwrap_or_default();
                told.finish = word(&choice["finish_reason"]).or(told.finish);
                for piece in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                    add(piece["index"].as_u64().expect("an index"), call(piece, &piece["function"]));
                }
            }
            NATIVE => {
                told.text += event["content"].as_str().unwrap_or_default();
                told.finish = word(&event["finish_reason"]).or(told.finish);
                told.stop_sequence = word(&event["stop_sequence"]).or(told.stop_sequence);
                told.is_done |= event["type"] == "done";
                if event["type"] == "tool_call" {
                    add(index, call(&event, &event));
                }
            }
            _ => match event["type"].as_str().unwrap_or_default() {
                "content_block_start" => {
                    assert_eq!(open.replace(index), None, "two blocks are open: {}", reply.text());
                    if event["content_block"]["type"] == "tool_use" {
                        add(index, call(&event["content_block"], &event["content_block"]));
                    }
                }
                "content_block_delta" => {
                    assert_eq!(open, Some(index), "its block is not open: {}", reply.text());
                    told.text += event["delta"]["text"].as_str().unwrap_or_default();
                    if let Some(json) = word(&event["delta"]["partial_json"]) {
                        add(index, (String::new(), String::new(), json));
                    }
                }
                "content_block_stop" => open = None,
                "message_delta" => {
                    told.finish = word(&event["delta"]["stop_reason"]);
                    told.stop_sequence = word(&event["delta"]["stop_sequence"]);
                }
                "message_stop" => told.is_done = true,
                _ => {}
            },
        }
    }
    told.calls = calls.into_values().collect();
    told
}

fn whole(door: &str, answer: &Value) -> Told {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut told = Told { is_done: true, tokens: tokens(&answer["usage"]), ..Told::default() };
    match door {
        OPENAI => {
            let choice = &answer["choices"][0];
            told.text = word(&choice["message"]["content"]).unwrap_or_default();
            told.finish = word(&choice["finish_reason"]);
            let calls = list(&choice["message"]["tool_calls"]);
            told.calls = calls.iter().map(|piece| call(piece, &piece["function"])).collect();
        }
        NATIVE => {
            told.text = word(&answer["content"]).unwrap_or_default();
            told.finish = word(&answer["finish_reason"]);
            told.stop_sequence = word(&answer["stop_sequence"]);
            told.calls = list(&answer["tool_calls"]).iter().map(|piece| call(piece, piece)).collect();
        }
        _ => {
            for block in list(&answer["content"]) {
                told.text += block["text"].as_str().unwrap_or_default();
                if block["type"] == "tool_use" {
                    let (id, name, _) = call(&block, &block);
                    told.calls.push((id, name, block["input"].to_string()));
                }
            }
            told.finish = word(&answer["stop_reason"]);
            told.stop_sequence = word(&answer["stop_sequence"]);
        }
    }
    told
}

fn piece(value: &Value) -> String {
    delta(&json!({"tool_calls": [value]}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_calls_end_as_their_own_at_every_door() {
    let scene = Scene::open().await;
    let right = ["A", "B"].map(|id| (id.to_owned(), "w".to_owned(), format!("{{\"c\":\"{id}\"}}")));
    let first = |index: Value, id: Value, arguments: &str| {
        piece(&json!({"index": index, "id": id, "function": {"name": "w", "arguments": arguments}}))
    };
    let more =
        |index: u32, arguments: &str| piece(&json!({"index": index, "function": {"arguments": arguments}}));
    let (zero, one, none) = (json!(0), json!(1), Value::Null);
    let (a, b) = (json!("A"), json!("B"));
    let streams = [
        // One index.
        vec![first(zero.clone(), a.clone(), r#"{"c":"A"}"#), first(zero.clone(), b.clone(), r#"{"c":"B"}"#)],
        // No index.
        vec![first(none.clone(), a.clone(), r#"{"c":"A"}"#), first(none, b.clone(), r#"{"c":"B"}"#)],
        // Interleaved, and text between.
        vec![
            first(zero.clone(), a.clone(), r#"{"c":"#),
            first(one.clone(), b.clone(), r#"{"c":"#),
            text("be"),
            more(0, r#""A""#),
            more(1, r#""B"}"#),
            text("tween"),
            more(0, "}"),
        ],
        // The ids last.
        vec![
            first(zero, Value::Null, r#"{"c":"A"}"#),
            first(one, Value::Null, r#"{"c":"B"}"#),
            piece(&json!({"index": 0, "id": "A"})),
            piece(&json!({"index": 1, "id": "B"})),
        ],
    ];
    for stream in &streams {
        scene.vendor.play(&[stream.concat(), end("tool_calls", 9, 4)]);
        for door in DOORS {
            for streamed in [true, false] {
                let told = told(door, &scene.ask(door, &question("cheap", streamed)).await);
                assert_eq!(told.calls, right, "{door} {streamed} {stream:?}");
                assert!(told.finish.is_some_and(|finish| finish.starts_with("tool")));
                assert!(told.text.is_empty() || told.text == "between");
            }
        }
    }
    // Without any id each has one of ours.
    let nameless = |id: &str| {
        piece(&json!({"index": 0, "function": {"name": "w", "arguments": format!("{{\"c\":\"{id}\"}}")}}))
    };
    scene.vendor.play(&[nameless("A"), nameless("B"), end("tool_calls", 9, 4)]);
    for door in DOORS {
        for streamed in [true, false] {
            let told = told(door, &scene.ask(door, &question("cheap", streamed)).await);
            let arguments: Vec<&str> = told.calls.iter().map(|call| call.2.as_str()).collect();
            assert_eq!(arguments, [r#"{"c":"A"}"#, r#"{"c":"B"}"#], "{door} {streamed}");
            assert!(!told.calls[0].0.is_empty() && told.calls[0].0 != told.calls[1].0, "{told:?}");
        }
    }
    scene.spent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_inside_an_answer_is_one_at_every_door() {
    let scene = Scene::open().await;
    let errors = [
        data(
            &json!({"object": "error", "message": "CUDA out of memory", "type": "internal", "code": 50_002}),
        ),
        data(&json!({"error": "boom"})),
        "event: error\ndata: boom\n\n".to_owned(),
        data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]})),
    ];
    for error in &errors {
        for door in DOORS {
            scene.vendor.play(&[text("partial "), error.clone(), "data: [DONE]\n\n".to_owned()]);
            let told = told(door, &scene.ask(door, &question("cheap", true)).await);
            assert!(told.is_error && !told.is_done, "{door} {error}: {told:?}");
            assert_eq!((told.text.as_str(), &told.finish), ("partial ", &None), "{door} {error}");
            // A working answer between: three failures in a row would close the provider.
            scene.vendor.play(&[text("fine"), end("stop", 9, 4)]);
            assert_eq!(scene.ask(OPENAI, &question("cheap", false)).await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_first_delivers_and_costs_nothing() {
    for (model, door, stream) in [("cheap", OPENAI, true), ("standard", ANTHROPIC, false)] {
        let scene = Scene::open().await;
        scene
            .vendor
            .play(&[data(&json!({"object": "error", "message": "CUDA out of memory", "code": 50_002}))]);
        let reply = scene.ask(door, &question(model, stream)).await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert_eq!(scene.spent().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_request_is_a_400_in_the_provider_s_words_and_asked_once() {
    let scene = Scene::open().await;
    for error in [
        json!({"object": "error", "message": "prompt too long", "type": "BadRequestError", "code": 400}),
        json!({"error": {"message": "prompt too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}),
    ] {
        for (door, model) in [(OPENAI, "cheap"), (ANTHROPIC, "standard"), (NATIVE, "cheap")] {
            for streamed in [true, false] {
                scene.vendor.play(&[data(&error)]);
                let reply = scene.ask(door, &question(model, streamed)).await;
                assert_eq!(reply.status, 400, "{door} {streamed}: {}", reply.text());
                assert!(reply.text().contains("prompt too long"), "{}", reply.text());
                assert_eq!(scene.vendor.seen().len(), 1);
            }
        }
    }
    assert_eq!(scene.spent().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_figures_and_lists_end_well_at_every_door() {
    let scene = Scene::open().await;
    let list =
        delta(&json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hmmmmmmm"}]},
        {"type": "text", "text": "an answer"}]}));
    let stop =
        data(&json!({"choices": [{"index": 0, "message": {"content": null}, "finish_reason": "stop"}]}));
    // Seventeen bytes are five tokens by our own count.
    for (usage, tokens) in [
        (r#"{"prompt_tokens":10.0,"completion_tokens":"4"}"#, (10, 4)),
        (r#"{"prompt_tokens":1e1,"completion_tokens":4}"#, (10, 4)),
        (r#"{"prompt_tokens":10,"completion_tokens":-1}"#, (10, 5)),
    ] {
        let figures = format!("data:{{\"choices\":[],\"usage\":{usage}}}\r\n\r\ndata:\r\n\r\ndata: [DONE]");
        scene.vendor.play(&[list.clone(), stop.clone(), figures]);
        for door in DOORS {
            for streamed in [true, false] {
                let mut body = question("cheap", streamed);
                if door == OPENAI && streamed {
                    body["stream_options"] = json!({"include_usage": true});
                }
                let told = told(door, &scene.ask(door, &body).await);
                assert!(told.is_done && told.text == "an answer", "{door} {streamed} {usage}: {told:?}");
                assert_eq!(told.tokens, Some(tokens), "{door} {streamed} {usage}");
            }
        }
    }
    scene.spent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stop_sequence_is_told_in_each_dialect_s_words() {
    let scene = Scene::open().await;
    let choice = json!({"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"});
    let openai = vec![text("x"), data(&json!({"choices": [choice]})), "data: [DONE]\n\n".to_owned()];
    let theirs =
        anthropic(&[anthropic_text("x")], &json!({"stop_reason": "stop_sequence", "stop_sequence": "END"}));
    for (model, stream) in [("cheap", openai), ("standard", theirs)] {
        scene.vendor.play(&stream);
        for (door, finish) in [(OPENAI, "stop"), (ANTHROPIC, "stop_sequence"), (NATIVE, "stop")] {
            for streamed in [true, false] {
                let mut body = question(model, streamed);
                body[if door == ANTHROPIC { "stop_sequences" } else { "stop" }] = json!(["END"]);
                let told = told(door, &scene.ask(door, &body).await);
                let sequence = (door != OPENAI).then(|| "END".to_owned());
                assert_eq!(
                    (told.finish.as_deref(), told.stop_sequence),
                    (Some(finish), sequence),
                    "{door} {streamed}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_reach_a_provider_of_their_dialect_unchanged() {
    let scene = Scene::open().await;
    scene.vendor.play(&[text("x"), end("stop", 9, 4)]);
    let asked = json!({"parallel_tool_calls": false, "reasoning_effort": "minimal", "verbosity": "low", "seed": 7,
        "frequency_penalty": 1, "presence_penalty": 0.50, "logit_bias": {"5": -100}});
    let tools = json!([{"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}}]);
    for door in [OPENAI, NATIVE] {
        let mut body = question("cheap", true);
        body["tools"] = tools.clone();
        for (name, value) in asked.as_object().expect("an object") {
            body[name] = value.clone();
        }
        assert_eq!(scene.ask(door, &body).await.status, 200);
        let seen = scene.vendor.seen().pop().expect("asked");
        for (name, value) in asked.as_object().expect("an object") {
            assert_eq!(&seen[name], value, "{door} {name}");
        }
        body["seed"] = json!("7");
        let refused = scene.ask(door, &body).await;
        assert!(refused.status == 400 && refused.text().contains("seed"), "{}", refused.text());
    }
    scene.vendor.play(&anthropic(&[anthropic_text("x")], &json!({"stop_reason": "end_turn"})));
    let mark = json!({"type": "ephemeral"});
    let block = json!([{"type": "text", "text": "hi", "cache_control": mark}]);
    let body = json!({"model": "standard", "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024},
        "top_k": 5, "system": block, "messages": [{"role": "user", "content": block}],
        "tools": [{"name": "w", "input_schema": {"type": "object"}, "cache_control": mark}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true}});
    assert_eq!(scene.ask(ANTHROPIC, &body).await.status, 200);
    let seen = scene.vendor.seen().pop().expect("asked");
    for name in ["thinking", "top_k", "tool_choice", "system", "tools"] {
        assert_eq!(seen[name], body[name], "{name}");
    }
    assert_eq!(seen["messages"], body["messages"]);
    // The counterparts at the other dialect's provider; what is Anthropic's alone is not sent there.
    scene.vendor.play(&[text("x"), end("stop", 9, 4)]);
    let mut body = body;
    body["model"] = json!("cheap");
    assert_eq!(scene.ask(ANTHROPIC, &body).await.status, 200);
    let seen = scene.vendor.seen().pop().expect("asked");
    assert_eq!((&seen["parallel_tool_calls"], &seen["tool_choice"]), (&json!(false), &json!("required")));
    assert_eq!(
        seen["messages"],
        json!([{"role": "system", "content": "hi"}, {"role": "user", "content": "hi"}])
    );
    assert!(!seen.to_string().contains("cache_control") && seen.get("top_k").is_none());
    scene.vendor.play(&anthropic(&[anthropic_text("x")], &json!({"stop_reason": "end_turn"})));
    let mut body = question("standard", false);
    (body["tools"], body["parallel_tool_calls"]) = (tools, json!(false));
    assert_eq!(scene.ask(OPENAI, &body).await.status, 200);
    let seen = scene.vendor.seen().pop().expect("asked");
    assert_eq!(seen["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    scene.spent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_that_are_not_there_and_arguments_as_objects() {
    let scene = Scene::open().await;
    let history = |arguments: Value| {
        let function = json!({"name": "w", "arguments": arguments});
        json!([{"role": "user", "content": "hi"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "c1", "content": "x"}])
    };
    for door in [OPENAI, NATIVE] {
        scene.vendor.play(&[text("x"), end("stop", 9, 4)]);
        for choice in ["auto", "none"] {
            let mut body = question("cheap", true);
            (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) =
                (json!([]), json!(choice), json!(true));
            assert_eq!(scene.ask(door, &body).await.status, 200);
            let seen = scene.vendor.seen().pop().expect("asked");
            for name in ["tools", "tool_choice", "parallel_tool_calls"] {
                assert_eq!(seen.get(name), None, "{door}");
            }
        }
        let mut body = question("cheap", false);
        body["messages"] = history(json!({"a": 1}));
        assert_eq!(scene.ask(door, &body).await.status, 200);
        let seen = scene.vendor.seen().pop().expect("asked");
        assert_eq!(seen["messages"][1]["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
        body["messages"] = history(json!([1]));
        let refused = scene.ask(door, &body).await;
        assert_eq!(refused.status, 400);
        assert!(
            refused.text().contains("messages[1].tool_calls[0].function.arguments"),
            "{}",
            refused.text()
        );
        scene.vendor.play(&anthropic(&[anthropic_text("x")], &json!({"stop_reason": "end_turn"})));
        let mut body = question("standard", false);
        body["messages"] = history(json!({"a": 1}));
        assert_eq!(scene.ask(door, &body).await.status, 200);
        let seen = scene.vendor.seen().pop().expect("asked");
        assert_eq!(seen["messages"][1]["content"][0]["input"], json!({"a": 1}));
        body["messages"] = history(json!("{\"a\":"));
        assert_eq!(scene.ask(door, &body).await.status, 400, "never an empty object in its place");
    }
}

/// A content with a picture at this address.
type Shape<'a> = &'a dyn Fn(&str) -> Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_private_address_of_a_picture_leaves_the_house() {
    let scene = Scene::open().await;
    scene.vendor.play(&[text("x"), end("stop", 9, 4)]);
    let openai = |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]);
    let anthropic = |url: &str| json!([{"type": "image", "source": {"type": "url", "url": url}}]);
    let result = |url: &str| json!([{"type": "tool_result", "tool_use_id": "t", "content": anthropic(url)}]);
    let openai_at = "messages[0].content[0].image_url.url";
    let shapes: [(&str, Shape<'_>, &str); 4] = [
        (OPENAI, &openai, openai_at),
        (NATIVE, &openai, openai_at),
        (ANTHROPIC, &anthropic, "messages[0].content[0].source.url"),
        (ANTHROPIC, &result, "messages[0].content[0].content[0].source.url"),
    ];
    for (door, content, field) in shapes {
        for url in [
            "http://169.254.169.254/latest",
            "https://127.0.0.1:8080/x",
            "file:///etc/passwd",
            "https://a.local/x",
        ] {
            let mut body = question("cheap", true);
            body["messages"] = json!([{"role": "user", "content": content(url)}]);
            let refused = scene.ask(door, &body).await;
            assert_eq!(refused.status, 400, "{door} {url}");
            assert!(refused.text().contains(field), "{door} {url}: {}", refused.text());
        }
        // A public one is not for a server of one's own to fetch.
        let mut body = question("cheap", true);
        body["messages"] = json!([{"role": "user", "content": content("https://pictures.example/x.png")}]);
        assert_eq!(scene.ask(door, &body).await.status, 400, "{door}");
    }
    assert!(scene.vendor.seen().is_empty());
    let mut body = question("cheap", true);
    body["messages"] = json!([{"role": "user", "content": openai("data:image/png;base64,AAAA")}]);
    assert_eq!(scene.ask(OPENAI, &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chat_s_socket_tells_the_same() {
    let scene = Scene::open().await;
    domain::demo::ensure(&scene.house.ctx).await.expect("made");
    let (session, _) = scene.house.signed_in(types::WalletId::by_key(Wallet([0xa; 20]))).await;
    let mut socket = scene.house.speaking("demo:1", "192.0.2.1", &session).await;
    let thought = delta(&json!({"reasoning_content": "hmm"}));
    let list = delta(&json!({"content": [{"type": "text", "text": "an answer"}]}));
    scene.vendor.play(&[thought.clone(), list, end("stop", 9, 4)]);
    socket.send("chat", &json!({"message": "Hello.", "pool": "cheap"})).await.expect("sent");
    let frames = socket.answer().await;
    assert_eq!(crate::socket_client::text(&frames), "an answer");
    assert_eq!(frames.last().expect("an end").1["usage"]["total_tokens"], 13);
    scene.vendor.play(&[thought, text("partial "), data(&json!({"object": "error", "message": "boom"}))]);
    socket.send("chat", &json!({"message": "Again.", "pool": "cheap"})).await.expect("sent");
    let frames = socket.answer().await;
    assert_eq!(crate::socket_client::text(&frames).trim(), "partial");
    let (kind, end) = frames.last().expect("an end");
    assert!(kind == "stream_error" || end["finishReason"] != "stop", "{kind} {end}");
}
