//! Bad input: a clear error in the dialect, nothing charged, nothing leaked.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use types::MicroUsd;

use crate::house::{House, Payer};

const CREDIT: MicroUsd = MicroUsd(50_000_000);
const DOORS: [&str; 4] = ["/v1/chat/completions", "/v1/messages", "/api/v1/inference", "/api/agents/invoke"];

fn has_error(path: &str, value: &Value) -> bool {
    match path {
        "/v1/chat/completions" => value["error"]["message"].is_string() && value["error"]["code"].is_string(),
        "/v1/messages" => value["type"] == "error" && value["error"]["type"].is_string(),
        _ => value["detail"].is_string() && value["request_id"].is_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_request_is_refused_clearly_at_every_door_and_charges_nothing() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let asked = |extra: Value| {
        let mut body =
            json!({"model": "cheap", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        body.to_string().into_bytes()
    };
    let deep =
        format!("{{\"model\":\"cheap\",\"messages\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: Vec<(Vec<u8>, u16)> = vec![
        (b"{\"model\": \"secret\xff\"}".to_vec(), 400),
        (b"{\"model\": secret}".to_vec(), 400),
        (b"".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (deep.into_bytes(), 400),
        (asked(json!({"max_tokens": 0})), 400),
        (asked(json!({"max_tokens": -1})), 400),
        (asked(json!({"max_tokens": 1_u64 << 40})), 400),
        (asked(json!({"max_tokens": 1.5})), 400),
        (asked(json!({"messages": []})), 400),
        (asked(json!({"model": "gpt-nonexistent"})), 404),
        (asked(json!({"model": "agent:nobody:1"})), 404),
        (vec![b' '; 5 * 1024 * 1024], 413),
    ];
    for path in DOORS {
        for (body, status) in &bodies {
            let ask = house.ask("POST", path).key(&payer.api_key).body(body.clone());
            let reply = ask.header("content-type", "application/json").send().await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(reply.status.as_u16(), *status, "{path} {shown}: {}", reply.text());
            assert!(has_error(path, &reply.json()), "{path} {shown}: {}", reply.text());
            assert!(!reply.text().contains("secret"), "{path} {shown}: {}", reply.text());
        }
        let reply = house
            .ask("POST", path)
            .key(&payer.api_key)
            .header("content-type", "text/plain")
            .body("{}")
            .send()
            .await;
        assert_eq!(reply.status, 415, "{path}");
        let large = vec![b' '; 20 * 1024 * 1024];
        let reply = house.ask("POST", path).key("lf_live_wrong").body(large.clone()).send().await;
        assert_eq!(reply.status, 401, "{path}");
        let reply = house.ask("POST", path).key(&payer.api_key).body(large).send().await;
        assert_eq!(reply.status, 413, "{path}");
        assert!(has_error(path, &reply.json()));
    }
    let balance = house.settled(&payer).await;
    assert_eq!((balance.spent, balance.available), (0, CREDIT.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_of_a_megabyte_is_answered_by_rule() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    for path in DOORS {
        let content = "\u{e9}".repeat(512 * 1024);
        let messages = json!([{"role": "user", "content": content}]);
        let body = json!({"model": "cheap", "max_tokens": 5, "messages": messages, "prompt": "x"});
        let reply = house.post(path, &body).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 400, "{path}: longer than any context: {}", reply.text());
        assert!(has_error(path, &reply.json()), "{path}");
    }
    assert_eq!(house.settled(&payer).await.spent, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused_and_never_break_a_door(
        bytes in prop::collection::vec(any::<u8>(), 0..400), door in 0..DOORS.len(),
    ) {
        let (runtime, house, payer) = shared();
        let reply = runtime.block_on(house.ask("POST", DOORS[door]).key(&payer.api_key).body(bytes).send());
        prop_assert!(reply.status.is_client_error(), "{}", reply.status);
        prop_assert!(has_error(DOORS[door], &reply.json()));
    }

    #[test]
    fn arbitrary_json_is_refused_or_answered_and_never_breaks_a_door(
        fields in prop::collection::vec((field(), value()), 0..8), door in 0..DOORS.len(),
    ) {
        let (runtime, house, payer) = shared();
        let body: serde_json::Map<String, Value> = fields.into_iter().collect();
        let reply = runtime.block_on(house.post(DOORS[door], &Value::Object(body)).key(&payer.api_key).send());
        prop_assert!(!reply.status.is_server_error(), "{}: {}", reply.status, reply.text());
    }
}

fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "model",
        "messages",
        "prompt",
        "max_tokens",
        "stream",
        "tools",
        "tool_choice",
        "system",
        "stop",
        "temperature",
        "stream_options",
        "agent",
        "modelAlias",
        "stop_sequences",
        "n",
        "response_format",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["cheap", "user", "assistant", "tool", "text", "image", "tool_use", "auto"])
            .prop_map(Value::from),
        Just(json!({"role": "user", "content": "hi !tokens 1"})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = prop::sample::select(vec![
            "role", "content", "type", "text", "id", "name", "input", "source", "function",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.prop_map(str::to_owned), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// One house for all cases: opening it costs more than a case.
fn shared() -> &'static (Runtime, House, Payer) {
    static SHARED: OnceLock<(Runtime, House, Payer)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (house, payer) = runtime.block_on(async {
            let house = House::open().await;
            let payer = house.payer(CREDIT).await;
            (house, payer)
        });
        (runtime, house, payer)
    })
}
