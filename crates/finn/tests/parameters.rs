//! Parameters of one dialect reach a provider of it unchanged; pictures reach only whom they may.

use serde_json::{Value, json};

use crate::house::House;

fn ask(pool: &str) -> Value {
    json!({"prompt": "How are you?", "stream": true, "requested_pool": pool, "max_tokens": 50,
        "tools": [{"type":"function","function":{"name":"w","parameters":{"type":"object"}}}],
        "options": {"openai": {"seed": 7, "parallel_tool_calls": false}, "anthropic": {"top_k": 5}}})
}

#[tokio::test]
async fn each_dialect_s_parameters_reach_its_own_providers() {
    let house = House::open().await;
    assert_eq!(house.ask(&ask("cheap")).await.text(), "Hello there");
    let seen = &house.first.seen()[0];
    assert_eq!(
        (&seen["seed"], &seen["parallel_tool_calls"], seen.get("top_k")),
        (&json!(7), &json!(false), None)
    );
    assert_eq!(house.ask(&ask("standard")).await.text(), "Hello there");
    let seen = &house.claude.seen()[0];
    assert_eq!((&seen["top_k"], seen.get("seed")), (&json!(5), None));
    assert_eq!(seen["tool_choice"], json!({"type":"auto","disable_parallel_tool_use":true}));
}

#[tokio::test]
async fn a_server_that_is_not_the_vendor_s_is_given_no_address_to_fetch() {
    let house = House::open().await;
    let picture = |url: &str| {
        let content =
            json!([{"type":"image_url","image_url":{"url":url}},{"type":"text","text":"what is it?"}]);
        json!({"prompt": "x", "stream": true, "messages": [{"role":"user","content":content}]})
    };
    for pool in ["flagship", "standard"] {
        let with = |url: &str| {
            let mut body = picture(url);
            body["requested_pool"] = json!(pool);
            body
        };
        for url in ["https://pictures.example/x.png", "https://169.254.169.254/x.png", "http://10.0.0.1/x"] {
            let answer = house.ask(&with(url)).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "unsupported"), "{url}");
        }
        assert_eq!(house.ask(&with("data:image/png;base64,AAAA")).await.text(), "Hello there");
    }
    assert_eq!((house.first.seen().len(), house.claude.seen().len()), (1, 1));
}
