//! The contract to the letter: headers, trailer, health, limits; and a token count from every pool and provider kind.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use serde_json::{Value, json};

use crate::fake_provider::{Act, Step, anthropic_start, anthropic_text, openai_end, openai_text};
use crate::house::{Answer, House, read, send};

async fn get(house: &House, path: &str) -> Answer {
    let request = Request::get(path).header("host", "finn").body(Full::new(Bytes::new())).unwrap();
    read(send(house.addr, request).await).await
}

#[tokio::test]
async fn headers_and_trailer_are_the_contract_s() {
    let house = House::open().await;
    let question = json!({"prompt": "hi", "stream": true, "later_field": {"ignored": true}});
    let answer = house.ask(&question).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("x-pool-used", "reasoning"),
        ("x-model-used", "scripted"),
        ("x-personality-id", "none"),
        ("x-request-id", "req-1"),
        ("x-budget-reservation-id", "0190-res"),
        ("x-contract-version", "1.0.0"),
        ("x-route-reason", "default"),
        ("trailer", "x-token-count"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let total = answer.end()["usage"]["total_tokens"].to_string();
    assert_eq!(answer.trailers.as_ref().unwrap()["x-token-count"], total.as_str());

    let mut plain = House::request(&house.token(), &question);
    plain.headers_mut().remove("te");
    plain.headers_mut().remove("x-request-id");
    plain.headers_mut().insert("x-contract-version", "2.0.0".parse().unwrap());
    let answer = read(send(house.addr, plain).await).await;
    assert_eq!(answer.end()["type"], "done", "another version does not block");
    assert!(answer.trailers.is_none() && answer.header("trailer").is_empty());
    assert_eq!(answer.header("x-request-id").len(), 36, "made here");
}

/// One way of asking a provider and of cutting its answer.
struct Kind {
    name: &'static str,
    ask: fn(&str) -> Value,
    whole: Option<Act>,
    cut: Option<Act>,
}

#[tokio::test]
async fn every_pool_and_provider_kind_gives_a_token_count_also_when_cut() {
    let scripted = |said: &str| json!({"prompt": said, "stream": true, "requested_model": "scripted"});
    let kinds = [
        Kind {
            name: "openai",
            ask: |_| json!({"prompt": "hi", "stream": true, "requested_model": "first"}),
            whole: None,
            cut: Some(Act::Stream(vec![openai_text("four"), Step::Cut])),
        },
        Kind {
            name: "openai without figures",
            ask: |_| json!({"prompt": "hi", "stream": true, "requested_model": "first"}),
            whole: Some(Act::Stream([vec![openai_text("four")], openai_end("stop", None)].concat())),
            cut: Some(Act::Stream(vec![openai_text("four"), Step::Cut])),
        },
        Kind {
            name: "anthropic",
            ask: |_| json!({"prompt": "hi", "stream": true, "requested_model": "claude"}),
            whole: None,
            cut: Some(Act::Stream([anthropic_start(), vec![anthropic_text("four"), Step::Cut]].concat())),
        },
        Kind { name: "scripted", ask: scripted, whole: None, cut: None },
    ];
    let mut house = House::open().await;
    for pool in ["cheap", "standard", "reasoning", "architect", "flagship"] {
        for kind in &kinds {
            for (act, said) in [(&kind.whole, "hello"), (&kind.cut, "hello !cut 3")] {
                let mut question = (kind.ask)(said);
                question["requested_pool"] = json!(pool);
                if let Some(act) = act {
                    let provider = if kind.name == "anthropic" { &house.claude } else { &house.first };
                    provider.then(act.clone());
                }
                let answer = house.ask(&question).await;
                let events = answer.events();
                let running = events[0]["usage"]["total_tokens"].as_u64().unwrap();
                let last = answer.end()["usage"]["total_tokens"].as_u64().unwrap();
                let trailer = answer.trailers.as_ref().unwrap()["x-token-count"].to_str().unwrap().to_owned();
                let record = house.records.recv().await.unwrap();
                assert!(running > 0 && last > 0, "{pool} {}", kind.name);
                assert_eq!((trailer, record.tokens_used), (last.to_string(), last), "{pool} {}", kind.name);
            }
        }
    }
}

#[tokio::test]
async fn a_pool_outside_the_claims_is_never_reached() {
    let house = House::open().await;
    let mut claims = house.claims();
    claims["tier"] = json!("1");
    claims["allowed_pools"] = json!(["cheap", "flagship"]);
    let question = json!({"prompt": "hi", "stream": true, "requested_pool": "flagship"});
    let answer = house.ask_with(&house.signer.token(&claims), &question).await;
    assert_eq!((answer.header("x-pool-used"), answer.header("x-route-reason")), ("cheap", "forbidden_pool"));
    let mut claims = house.claims();
    claims["allowed_pools"] = json!([]);
    let answer = house.ask_with(&house.signer.token(&claims), &question).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "no_pool_allowed"));
}

#[tokio::test]
async fn bad_bodies_get_a_clear_problem() {
    let house = House::open().await;
    let big = "x".repeat(4 * 1024 * 1024);
    for (body, status, code) in [
        ("{".to_owned(), 400, "invalid_request"),
        ("[]".to_owned(), 400, "invalid_request"),
        (r#"{"prompt":"","stream":true}"#.to_owned(), 400, "invalid_request"),
        (r#"{"prompt":"x","max_tokens":0}"#.to_owned(), 400, "invalid_request"),
        (r#"{"prompt":"x","max_tokens":-1}"#.to_owned(), 400, "invalid_request"),
        (r#"{"prompt":"x","max_tokens":1099511627776}"#.to_owned(), 400, "invalid_request"),
        (r#"{"prompt":"x","messages":[]}"#.to_owned(), 400, "invalid_request"),
        (
            r#"{"prompt":"x","messages":[{"role":"narrator","content":"x"}]}"#.to_owned(),
            400,
            "invalid_request",
        ),
        (format!(r#"{{"prompt":"{big}"}}"#), 413, "body_too_large"),
    ] {
        let mut request = House::request(&house.token(), &json!(null));
        let short = body.chars().take(60).collect::<String>();
        *request.body_mut() = Full::new(Bytes::from(body));
        let answer = read(send(house.addr, request).await).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{short}");
    }
    let mut request = House::request(&house.token(), &json!(null));
    *request.body_mut() = Full::new(Bytes::from_static(b"{\"prompt\":\"\xff\xfe\"}"));
    assert_eq!(read(send(house.addr, request).await).await.status, 400, "invalid UTF-8");
    assert!(house.first.seen().is_empty());
}

#[tokio::test]
async fn health_is_independent_and_readiness_tells_problems() {
    let house = House::open().await;
    let health = get(&house, "/health").await;
    let body: Value = serde_json::from_str(&health.body).unwrap();
    assert_eq!((health.status.as_u16(), &body["status"]), (200, &json!("ok")));
    assert!(body["version"].is_string());
    assert_eq!(get(&house, "/livez").await.status, 200);
    assert_eq!(get(&house, "/readyz").await.status, 200);
    assert_eq!(get(&house, "/metrics").await.body, "finn_up 1\n");
    // A proxy on this machine speaks for strangers; the operator's token speaks for itself.
    for (bearer, status) in [("", 404), ("guess", 404), ("operator", 200)] {
        let request =
            Request::get("/metrics").header("host", "finn").header("x-forwarded-for", "203.0.113.9");
        let request = request.header("authorization", format!("Bearer {bearer}"));
        let request = request.body(Full::new(Bytes::new())).unwrap();
        assert_eq!(read(send(house.addr, request).await).await.status, status, "{bearer}");
    }
    house.keys.set(crate::fake_keys::Keys::Status(500));
    house.clock.advance(time::Duration::seconds(241));
    let ready = get(&house, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("the key set is 241 s old"), "{}", ready.body);
    assert_eq!(get(&house, "/health").await.status, 200);
    assert_eq!(get(&house, "/nowhere").await.status, 404);
    assert_eq!(get(&house, "/api/v1/inference").await.status, 405);
}

#[tokio::test]
async fn a_header_flood_is_refused() {
    let house = House::open().await;
    let mut request = House::request(&house.token(), &json!({"prompt": "hi"}));
    request.headers_mut().insert("x-flood", "x".repeat(40_000).parse().unwrap());
    assert_eq!(send(house.addr, request).await.status(), 431);
}

#[tokio::test]
async fn what_one_read_brought_leaves_as_one_frame() {
    let house = House::open().await;
    let burst: Vec<u8> = (0..20)
        .flat_map(|_| match openai_text("four") {
            Step::Bytes(bytes) => bytes,
            Step::Gate | Step::Stall | Step::Cut => Vec::new(),
        })
        .collect();
    let steps = [vec![Step::Bytes(burst)], openai_end("stop", None)].concat();
    house.first.then(Act::Stream(steps));
    let question = json!({"prompt": "hi", "stream": true, "requested_model": "first"});
    let mut body = send(house.addr, House::request(&house.token(), &question)).await.into_body();
    let first = body.frame().await.unwrap().unwrap();
    let text = String::from_utf8(first.data_ref().unwrap().to_vec()).unwrap();
    assert!(text.matches("\"token\"").count() == 20, "{text}");
}

#[tokio::test]
async fn a_stop_lets_answers_end() {
    let mut house = House::open().await;
    let steps = [vec![openai_text("four"), Step::Gate], openai_end("stop", Some((1, 1)))].concat();
    house.first.then(Act::Stream(steps));
    let question = json!({"prompt": "hi", "stream": true, "requested_model": "first"});
    let response = send(house.addr, House::request(&house.token(), &question)).await;
    house.stop();
    house.first.open_gate(1);
    assert_eq!(read(response).await.end()["type"], "done");
    house.served.await.unwrap();
    assert!(tokio::net::TcpStream::connect(house.addr).await.is_err(), "nobody listens any more");
}
