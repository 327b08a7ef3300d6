//! Streams as providers really send them: errors in every shape, odd framing, figures that are none.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::fake_provider::{
    Act, Step, anthropic_answer, anthropic_end, anthropic_start, anthropic_text, data, named, openai_end,
    openai_text,
};
use crate::house::{Answer, House, read, send};

/// A pool of the dialect's one model.
const OPENAI: &str = "flagship";
const ANTHROPIC: &str = "standard";

fn ask(pool: &str) -> Value {
    json!({"prompt": "How are you?", "stream": true, "requested_pool": pool, "max_tokens": 50, "stop": ["END"]})
}

/// A house of its own for each: no failure of one opens the breaker of the next.
async fn answer(pool: &str, act: Act) -> Answer {
    let house = House::open().await;
    if pool == OPENAI { &house.first } else { &house.claude }.then(act);
    house.ask(&ask(pool)).await
}

fn raw(text: &str) -> Step {
    Step::Bytes(text.as_bytes().to_vec())
}

fn finish(reason: &str) -> Step {
    data(&json!({"choices":[{"index":0,"delta":{},"finish_reason":reason}]}))
}

#[tokio::test]
async fn an_error_is_one_in_every_shape_first_and_after_text_in_both_dialects() {
    let errors = [
        data(&json!({"error":{"message":"boom"}})),
        data(&json!({"error":"boom"})),
        data(&json!({"error":{}})),
        data(&json!({"object":"error","message":"CUDA out of memory","type":"internal","code":50002})),
        data(&json!({"type":"error","message":"boom"})),
        data(&json!({"type":"error","error":{"type":"api_error","message":"boom"}})),
        data(&json!({"detail":"boom"})),
        data(&json!({"message":"boom","code":"internal"})),
        raw("event: error\ndata: boom\n\n"),
        raw("event: error\ndata:\n\n"),
        raw("event: error\ndata: {\"anything\":1}\n\n"),
    ];
    let openai_only = [
        data(&json!({"choices":[{"index":0,"error":{"message":"boom"},"delta":{}}]})),
        data(&json!({"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]})),
        finish("insufficient_system_resource"),
        finish("network_error"),
        finish("abort"),
        data(&json!({"choices":[],"error":{"message":"boom"}})),
        data(&json!({"choices":[{"index":0,"delta":{"content":"x"}}],"error":{"message":"boom"}})),
        data(&json!([{"error":{"message":"boom"}}])),
    ];
    let done = || raw("data: [DONE]\n\n");
    for error in errors.iter().chain(&openai_only) {
        let first = answer(OPENAI, Act::Stream(vec![error.clone(), done()])).await;
        assert_eq!(first.status, 502, "{error:?}: {}", first.body);
        let later = answer(OPENAI, Act::Stream(vec![openai_text("partial "), error.clone(), done()])).await;
        assert_eq!((later.text().as_str(), &later.end()["type"]), ("partial ", &json!("error")), "{error:?}");
    }
    let anthropic_only = [named(&json!({"type":"message_delta","delta":{"stop_reason":"error"}}))];
    for error in errors.iter().chain(&anthropic_only) {
        let first = answer(ANTHROPIC, Act::Stream(vec![error.clone(), done()])).await;
        assert_eq!(first.status, 502, "{error:?}: {}", first.body);
        let mut steps = anthropic_start();
        steps.extend([anthropic_text("partial "), error.clone(), done()]);
        let later = answer(ANTHROPIC, Act::Stream(steps)).await;
        assert_eq!((later.text().as_str(), &later.end()["type"]), ("partial ", &json!("error")), "{error:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_request_is_the_caller_s_and_a_full_provider_is_full() {
    let rejected = [
        json!({"error":{"message":"prompt too long","type":"invalid_request_error"}}),
        json!({"error":{"message":"prompt too long","code":"context_length_exceeded"}}),
        json!({"object":"error","message":"prompt too long","type":"BadRequestError","code":400}),
        json!({"error":{"code":413,"message":"prompt too long"}}),
        json!({"error":{"code":"data_inspection_failed","message":"prompt too long"}}),
    ];
    for body in &rejected {
        for pool in [OPENAI, ANTHROPIC] {
            for act in [Act::Stream(vec![data(body)]), Act::Status(200, body.to_string())] {
                let first = answer(pool, act).await;
                assert_eq!(
                    (first.status.as_u16(), first.code().as_str()),
                    (400, "provider_rejected"),
                    "{body}"
                );
                assert!(first.body.contains("prompt too long"), "{}", first.body);
            }
        }
    }
    let house = House::open().await;
    for _ in 0..4 {
        house.first.then(Act::Stream(vec![data(&rejected[0])]));
        let answer = house.ask(&ask("cheap")).await;
        assert_eq!(answer.status, 400, "no other model is asked, and no breaker opens");
    }
    assert_eq!((house.first.seen().len(), house.second.seen().len()), (4, 0));
    let busy = json!({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}});
    for pool in [OPENAI, ANTHROPIC] {
        assert_eq!(answer(pool, Act::Stream(vec![data(&busy)])).await.code(), "provider_overloaded");
    }
}

#[tokio::test]
async fn nothing_without_an_end_and_content_is_an_answer() {
    let nothings = [
        vec![raw("data: [DONE]\n\n")],
        vec![data(&json!({"choices":[]})), raw("data: [DONE]\n\n")],
        vec![
            data(&json!({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":5}})),
            raw("data: [DONE]\n\n"),
        ],
        vec![data(&json!({"object":"something new"})), raw("data: [DONE]\n\n")],
        vec![raw("data:\n\n"), raw(": comment\n\n")],
        vec![named(&json!({"type":"ping"})), named(&json!({"type":"message_stop"}))],
    ];
    for steps in nothings {
        for pool in [OPENAI, ANTHROPIC] {
            let answer = answer(pool, Act::Stream(steps.clone())).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "provider_cut"), "{steps:?}");
        }
    }
    let empty = answer(OPENAI, Act::Stream(openai_end("stop", Some((5, 0))))).await;
    assert_eq!(empty.end()["finish_reason"], "stop", "an empty answer with a reason is one");
}

#[tokio::test]
async fn content_comes_as_a_list_in_a_message_among_nulls_and_in_odd_frames() {
    let part = |text: &str| json!([{"type":"text","text":text}]);
    let steps = vec![
        raw("\u{feff}: hello\r\n\r\ndata:\r\n\r\ndata: null\n\n"),
        data(
            &json!({"choices":[{"index":0,"delta":{"content":part("He"),"refusal":null,"tool_calls":null}}]}),
        ),
        data(&json!({"choices":[{"index":0,"message":{"role":"assistant","content":"l"}}]})),
        data(
            &json!({"choices":[{"index":0,"delta":null,"message":{"content":part("l")},"finish_reason":null}]}),
        ),
        data(&json!({"choices":null,"usage":null,"error":null,"object":null})),
        data(&json!({"choices":[null],"error":"","code":null})),
        raw("data:{\"choices\":[{\"delta\":{\"content\":\"o\"},\"finish_reason\":\"null\"}]}\r\n\r\n"),
        finish("stop"),
        raw("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}"),
    ];
    let whole = answer(OPENAI, Act::Stream(steps)).await;
    assert_eq!(whole.text(), "Hello");
    assert_eq!(whole.end()["usage"]["total_tokens"], 6, "the last event lacks its blank line");
    let mut half = vec![openai_text("Hello"), finish("stop"), raw("data: {\"choices\":[],\"usa")];
    assert_eq!(answer(OPENAI, Act::Stream(half.clone())).await.end()["finish_reason"], "stop");
    half.remove(1);
    assert_eq!(answer(OPENAI, Act::Stream(half)).await.end()["code"], "provider_cut");
}

#[tokio::test]
async fn a_whole_answer_in_place_of_a_stream_is_an_answer() {
    let call = json!({"id":"c1","type":"function","function":{"name":"w","arguments":"{\"a\":1}"}});
    let body = json!({"object":"chat.completion","choices":[{"index":0,"finish_reason":"tool_calls",
        "message":{"role":"assistant","content":"Hi","tool_calls":[call]}}],"usage":{"prompt_tokens":4,"completion_tokens":2}});
    let openai = answer(OPENAI, Act::Status(200, body.to_string())).await;
    let body = json!({"type":"message","content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"c1","name":"w","input":{"a":1}}],
        "stop_reason":"tool_use","usage":{"input_tokens":4,"output_tokens":2}});
    let anthropic = answer(ANTHROPIC, Act::Status(200, body.to_string())).await;
    for whole in [openai, anthropic] {
        assert_eq!(whole.text(), "Hi");
        let call = whole.events().into_iter().find(|event| event["type"] == "tool_call").unwrap();
        assert_eq!(
            (&call["id"], &call["name"], &call["arguments"]),
            (&json!("c1"), &json!("w"), &json!("{\"a\":1}"))
        );
        let end = whole.end();
        assert_eq!((&end["finish_reason"], &end["usage"]["total_tokens"]), (&json!("tool_calls"), &json!(6)));
    }
    let half =
        answer(OPENAI, Act::Status(200, "{\"choices\":[{\"message\":{\"content\":\"Hi\"".into())).await;
    assert_eq!(half.status, 502);
}

/// Eight bytes of text: two tokens by our own count. The prompt is three.
async fn figures(before: Value, last: Value) -> (u64, u64) {
    let text = json!({"choices":[{"index":0,"delta":{"content":"12345678"}}],"usage":before});
    let mut steps = vec![data(&text), finish("stop")];
    steps.push(data(&json!({"choices":[],"usage":last})));
    steps.push(raw("data: [DONE]\n\n"));
    let end = answer(OPENAI, Act::Stream(steps)).await.end();
    assert_eq!(end["finish_reason"], "stop", "{before} {last}");
    (end["usage"]["prompt_tokens"].as_u64().unwrap(), end["usage"]["completion_tokens"].as_u64().unwrap())
}

#[tokio::test]
async fn figures_are_whole_numbers_of_the_whole_answer_or_absent() {
    let pair =
        |prompt: Value, completion: Value| json!({"prompt_tokens":prompt,"completion_tokens":completion});
    let null = Value::Null;
    for (before, last, expected) in [
        (null.clone(), pair(json!(10), json!(4)), (10, 4)),
        (null.clone(), pair(json!(10.0), json!(4.0)), (10, 4)),
        (null.clone(), pair(json!("10"), json!("4")), (10, 4)),
        (null.clone(), pair(json!(-1), json!(4)), (3, 4)),
        (null.clone(), pair(json!(10), json!(4.5)), (10, 2)),
        (null.clone(), pair(json!(10), null.clone()), (10, 2)),
        (null.clone(), pair(null.clone(), json!(4)), (3, 4)),
        (null.clone(), pair(json!("ten"), json!([4])), (3, 2)),
        (null.clone(), json!("none"), (3, 2)),
        (null.clone(), json!([10, 4]), (3, 2)),
        (null.clone(), json!({}), (3, 2)),
        // Before the reason they are running figures: of them only the prompt's is known.
        (pair(json!(10), json!(400)), null.clone(), (10, 2)),
        (pair(json!(0), json!(0)), null.clone(), (3, 2)),
        (pair(json!(10), json!(400)), pair(json!(9), json!(4)), (9, 4)),
        (pair(json!(10), json!(400)), pair(json!(0), json!(0)), (0, 0)),
        (
            null.clone(),
            json!({"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":99}}),
            (10, 4),
        ),
    ] {
        assert_eq!(figures(before.clone(), last.clone()).await, expected, "{before} {last}");
    }
}

#[tokio::test]
async fn anthropic_s_placeholders_are_none_and_its_figures_come_with_the_reason() {
    let with = async |start: Value, delta: Value| {
        let steps = vec![
            named(&json!({"type":"message_start","message":{"usage":start}})),
            named(
                &json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":"12345678"}}),
            ),
            named(&json!({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":delta})),
            named(&json!({"type":"message_stop"})),
        ];
        let end = answer(ANTHROPIC, Act::Stream(steps)).await.end();
        (end["usage"]["prompt_tokens"].as_u64().unwrap(), end["usage"]["completion_tokens"].as_u64().unwrap())
    };
    for (start, delta, expected) in [
        (json!({"input_tokens":0,"output_tokens":0}), json!({"input_tokens":9,"output_tokens":4}), (9, 4)),
        (json!({"input_tokens":25,"output_tokens":900}), json!({"input_tokens":9,"output_tokens":4}), (9, 4)),
        (json!({"input_tokens":9,"output_tokens":900}), json!({}), (9, 2)),
        (
            json!({"input_tokens":9,"cache_read_input_tokens":3}),
            json!({"input_tokens":9,"output_tokens":"4"}),
            (12, 4),
        ),
        (json!({"input_tokens":9}), json!({"output_tokens":-4}), (9, 2)),
        (json!(null), json!(null), (3, 2)),
    ] {
        assert_eq!(with(start.clone(), delta.clone()).await, expected, "{start} {delta}");
    }
}

#[tokio::test]
async fn the_stop_sequence_that_matched_is_told_where_the_provider_says_so() {
    let told = async |reason: &str, member: &str, value: Value| {
        let mut choice = json!({"index":0,"delta":{},"finish_reason":reason});
        choice[member] = value;
        let steps = vec![openai_text("Hi"), data(&json!({"choices":[choice]})), raw("data: [DONE]\n\n")];
        answer(OPENAI, Act::Stream(steps)).await.end()
    };
    for member in ["stop_reason", "matched_stop"] {
        assert_eq!(told("stop", member, json!("END")).await["stop_sequence"], "END");
        for other in [json!("<|im_end|>"), json!(2), json!(null)] {
            assert_eq!(told("stop", member, other).await.get("stop_sequence"), None, "not the caller's");
        }
    }
    let mut steps = anthropic_start();
    steps.push(anthropic_text("Hi"));
    steps.push(named(
        &json!({"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}}),
    ));
    steps.push(named(&json!({"type":"message_stop"})));
    let end = answer(ANTHROPIC, Act::Stream(steps)).await.end();
    assert_eq!((&end["finish_reason"], &end["stop_sequence"]), (&json!("stop"), &json!("END")));
}

#[tokio::test]
async fn a_reason_without_its_figures_is_told_at_once_and_with_them_costs_no_event() {
    let tokens = |answer: &Answer| answer.events().iter().filter(|event| event["type"] == "token").count();
    let house = House::open().await;
    let mut steps = vec![openai_text("Hi"), finish("stop"), Step::Gate];
    steps.extend(openai_end("stop", Some((5, 2))).split_off(1));
    house.first.then(Act::Stream(steps));
    let mut response = send(house.addr, House::request(&house.token(), &ask(OPENAI))).await;
    let mut told = String::new();
    while !told.contains("finish_reason") {
        let frame = response.body_mut().frame().await.expect("the reason comes before the figures").unwrap();
        told.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    assert!(told.contains(r#""content":"","#) && told.contains(r#""finish_reason":"stop""#), "{told}");
    assert!(told.contains(r#""completion_tokens":1,"#), "the running figure: {told}");
    house.first.open_gate(1);
    let rest = read(response).await;
    assert_eq!(tokens(&rest), 0);
    assert_eq!(rest.end()["usage"]["completion_tokens"], 2);
    let together: Vec<u8> = [vec![openai_text("Hi")], openai_end("stop", Some((5, 2)))]
        .concat()
        .into_iter()
        .flat_map(|step| if let Step::Bytes(bytes) = step { bytes } else { Vec::new() })
        .collect();
    house.first.then(Act::Stream(vec![Step::Bytes(together)]));
    assert_eq!(tokens(&house.ask(&ask(OPENAI)).await), 1);
    house.claude.then(Act::Stream(anthropic_answer(&["Hi"])));
    assert_eq!(house.ask(&ask(ANTHROPIC)).await.end()["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn a_refusal_s_sentence_reaches_the_caller_from_every_shape() {
    for (body, sentence) in [
        (json!({"object":"error","message":"no such thing","type":"BadRequestError"}), "no such thing"),
        (
            json!([{"error":{"code":400,"message":"no such thing","status":"INVALID_ARGUMENT"}}]),
            "no such thing",
        ),
        (json!({"detail":"no such thing"}), "no such thing"),
        (json!({"detail":[{"loc":["body","n"],"msg":"no such thing"}]}), "body.n: no such thing"),
    ] {
        for pool in [OPENAI, ANTHROPIC] {
            let answer = answer(pool, Act::Status(422, body.to_string())).await;
            assert_eq!(answer.status, 400);
            assert!(answer.body.contains(sentence), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_dense_script_is_no_cheaper_cut_than_whole() {
    let text = "世界你好".repeat(5);
    for (pool, steps) in [
        (OPENAI, vec![openai_text(&text), Step::Cut]),
        (ANTHROPIC, [anthropic_start(), vec![anthropic_text(&text), Step::Cut]].concat()),
    ] {
        let end = answer(pool, Act::Stream(steps)).await.end();
        assert_eq!(end["usage"]["completion_tokens"], 20, "{end}");
    }
    assert_eq!(anthropic_end("end_turn", 1).len(), 3);
}
