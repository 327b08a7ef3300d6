//! Parallel tool calls as servers of OpenAI's dialect really send them: each ends as its own call.

use serde_json::{Value, json};

use crate::fake_provider::{Act, Step, anthropic_end, anthropic_start, data, named, openai_end, openai_text};
use crate::house::House;

fn ask(pool: &str) -> Value {
    json!({"prompt": "How are you?", "stream": true, "requested_pool": pool, "max_tokens": 500})
}

/// A piece from its members in JSON.
fn piece(piece: &Value) -> Step {
    data(&json!({"choices":[{"index":0,"delta":{"tool_calls":[piece]}}]}))
}

/// The calls of an answer: id, name, arguments, by their index; and what is wrong with the pieces' order.
async fn calls(pool: &str, steps: Vec<Step>) -> Vec<(String, String, String)> {
    let house = House::open().await;
    if pool == "standard" { &house.claude } else { &house.first }.then(Act::Stream(steps));
    let answer = house.ask(&ask(pool)).await;
    assert_eq!(answer.end()["finish_reason"], "tool_calls", "{}", answer.body);
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for event in answer.events().iter().filter(|event| event["type"] == "tool_call") {
        let index = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        if index == calls.len() {
            assert!(!text("id").is_empty() && !text("name").is_empty(), "both come first: {event}");
            calls.push((text("id"), text("name"), String::new()));
        } else {
            assert!(event.get("id").is_none() && event.get("name").is_none(), "and once: {event}");
        }
        calls[index].2 += &text("arguments");
    }
    calls
}

async fn openai(pieces: &[Value]) -> Vec<(String, String, String)> {
    let mut steps: Vec<Step> = pieces.iter().map(piece).collect();
    steps.extend(openai_end("tool_calls", None));
    calls("flagship", steps).await
}

fn call(id: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), "w".to_owned(), arguments.to_owned())
}

#[tokio::test]
async fn each_call_is_its_own_whatever_the_pieces_leave_out() {
    let right = [call("A", r#"{"c":"A"}"#), call("B", r#"{"c":"B"}"#)];
    let streams = [
        // One index and two ids.
        vec![
            json!({"index":0,"id":"A","function":{"name":"w","arguments":r#"{"c":"A"}"#}}),
            json!({"index":0,"id":"B","function":{"name":"w","arguments":r#"{"c":"B"}"#}}),
        ],
        // … in pieces, of which the later have no id.
        vec![
            json!({"index":0,"id":"A","function":{"name":"w","arguments":""}}),
            json!({"index":0,"function":{"arguments":r#"{"c":"#}}),
            json!({"index":0,"function":{"arguments":r#""A"}"#}}),
            json!({"index":0,"id":"B","function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":0,"function":{"arguments":r#""B"}"#}}),
        ],
        // No index.
        vec![
            json!({"id":"A","function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"function":{"arguments":r#""A"}"#}}),
            json!({"id":"B","function":{"name":"w","arguments":r#"{"c":"B"}"#}}),
        ],
        // The id, and the name, on every piece; interleaved.
        vec![
            json!({"index":0,"id":"A","function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":1,"id":"B","function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":0,"id":"A","function":{"name":"w","arguments":r#""A"}"#}}),
            json!({"index":1,"id":"B","function":{"name":"w","arguments":r#""B"}"#}}),
        ],
        // … with one index.
        vec![
            json!({"index":0,"id":"A","function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":0,"id":"B","function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":0,"id":"A","function":{"arguments":r#""A"}"#}}),
            json!({"index":0,"id":"B","function":{"arguments":r#""B"}"#}}),
        ],
        // Interleaved by index.
        vec![
            json!({"index":0,"id":"A","function":{"name":"w"}}),
            json!({"index":1,"id":"B","function":{"name":"w"}}),
            json!({"index":1,"function":{"arguments":r#"{"c":"B"}"#}}),
            json!({"index":0,"function":{"arguments":r#"{"c":"A"}"#}}),
        ],
        // The ids come last, the empty id first.
        vec![
            json!({"index":0,"id":"","function":{"name":"w","arguments":r#"{"c":"A"}"#}}),
            json!({"index":1,"id":null,"function":{"name":"w","arguments":r#"{"c":"B"}"#}}),
            json!({"index":0,"id":"A"}),
            json!({"index":1,"id":"B","function":{"arguments":""}}),
        ],
        // Figures as texts, arguments as an object.
        vec![
            json!({"index":"0","id":"A","function":{"name":"w","arguments":{"c":"A"}}}),
            json!({"index":"1","id":"B","function":{"name":"w","arguments":{"c":"B"}}}),
        ],
    ];
    for stream in &streams {
        assert_eq!(openai(stream).await, right, "{stream:?}");
    }
    let both = json!([{"index":0,"id":"A","function":{"name":"w","arguments":r#"{"c":"A"}"#}},
        {"index":0,"id":"B","function":{"name":"w","arguments":r#"{"c":"B"}"#}}]);
    let mut steps = vec![data(&json!({"choices":[{"delta":{"tool_calls":both}}]}))];
    steps.extend(openai_end("stop", None));
    assert_eq!(calls("flagship", steps).await, right, "in one piece");
}

#[tokio::test]
async fn a_call_without_an_id_gets_one_of_its_own() {
    let streams = [
        vec![
            json!({"index":0,"function":{"name":"w","arguments":r#"{"c":"A"}"#}}),
            json!({"index":0,"function":{"name":"w","arguments":r#"{"c":"B"}"#}}),
        ],
        vec![
            json!({"index":0,"function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":1,"function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":0,"function":{"arguments":r#""A"}"#}}),
            json!({"index":1,"function":{"arguments":r#""B"}"#}}),
        ],
        vec![
            json!({"function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"function":{"arguments":r#""A"}"#}}),
            json!({"function":{"name":"w","arguments":r#"{"c":"B"}"#}}),
        ],
        // The same id for both.
        vec![
            json!({"index":0,"id":"x","function":{"name":"w","arguments":r#"{"c":"A"}"#}}),
            json!({"index":1,"id":"x","function":{"name":"w","arguments":r#"{"c":"#}}),
            json!({"index":1,"id":"x","function":{"arguments":r#""B"}"#}}),
        ],
    ];
    for stream in &streams {
        let calls = openai(stream).await;
        let arguments: Vec<&str> = calls.iter().map(|call| call.2.as_str()).collect();
        assert_eq!(arguments, [r#"{"c":"A"}"#, r#"{"c":"B"}"#], "{stream:?}");
        assert_ne!(calls[0].0, calls[1].0, "{stream:?}");
    }
    let legacy = |piece: Value| data(&json!({"choices":[{"index":0,"delta":{"function_call":piece}}]}));
    let mut steps = vec![
        legacy(json!({"name":"w","arguments":""})),
        legacy(json!({"arguments":"{\"c\":"})),
        legacy(json!({"arguments":"1}"})),
    ];
    steps.extend(openai_end("function_call", None));
    let calls = calls("flagship", steps).await;
    assert_eq!((calls.len(), calls[0].1.as_str(), calls[0].2.as_str()), (1, "w", "{\"c\":1}"));
    assert!(calls[0].0.starts_with("call_"));
}

#[tokio::test]
async fn text_between_and_a_call_held_back_are_metered() {
    let house = House::open().await;
    let mut steps = vec![
        piece(&json!({"index":0,"function":{"name":"name","arguments":"{\"c\":"}})),
        openai_text("text"),
        piece(&json!({"index":0,"function":{"arguments":"123}"}})),
    ];
    steps.extend(openai_end("tool_calls", None));
    house.first.then(Act::Stream(steps));
    let answer = house.ask(&ask("flagship")).await;
    assert_eq!(answer.text(), "text");
    assert_eq!(answer.end()["usage"]["completion_tokens"], 5, "17 bytes in all");
    let call = answer.events().into_iter().find(|event| event["type"] == "tool_call").unwrap();
    assert_eq!(call["arguments"], "{\"c\":123}");
}

#[tokio::test]
async fn anthropic_s_blocks_may_be_interleaved_whole_or_without_ids() {
    let start = |index: u32, id: &str, input: Value| {
        named(
            &json!({"type":"content_block_start","index":index,"content_block":{"type":"tool_use","id":id,"name":"w","input":input}}),
        )
    };
    let delta = |index: u32, json: &str| {
        named(
            &json!({"type":"content_block_delta","index":index,"delta":{"type":"input_json_delta","partial_json":json}}),
        )
    };
    let stop = |index: u32| named(&json!({"type":"content_block_stop","index":index}));
    let right = [call("A", r#"{"c":"A"}"#), call("B", r#"{"c":"B"}"#)];
    for steps in [
        vec![
            start(1, "A", json!({})),
            delta(1, r#"{"c":"#),
            start(2, "B", json!({})),
            delta(2, r#"{"c":"B"}"#),
            delta(1, r#""A"}"#),
            stop(1),
            stop(2),
        ],
        vec![start(1, "A", json!({"c":"A"})), stop(1), start(2, "B", json!({"c":"B"})), stop(2)],
    ] {
        let steps = [anthropic_start(), steps, anthropic_end("tool_use", 9)].concat();
        assert_eq!(calls("standard", steps).await, right);
    }
    let steps =
        [anthropic_start(), vec![start(1, "", json!({})), stop(1)], anthropic_end("tool_use", 9)].concat();
    let made = calls("standard", steps).await;
    assert!(made[0].0.starts_with("call_") && made[0].2 == "{}", "{made:?}");
}
