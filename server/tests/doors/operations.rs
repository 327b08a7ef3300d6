//! Health, readiness, metrics, keys for verifiers, and every route without a key.

use serde_json::{Value, json};

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_find_what_they_look_for() {
    let house = House::open().await;
    let health = house.get("/health").send().await;
    assert_eq!((health.status.as_u16(), health.json()), (200, json!({"status": "ok", "version": "0.0.0"})));
    assert_eq!(house.get("/livez").send().await.text(), "ok\n");
    assert_eq!(house.get("/readyz").send().await.text(), "ready\n");
    assert_eq!(house.get("/readyz?verbose").send().await.text(), "ready\n", "what it saw is the operator's");
    let operator = house.get("/readyz?verbose").key("operator");
    assert_eq!(operator.send().await.text(), "[+] books: open\nready\n");
    assert_eq!(house.get("/version").send().await.json()["contract"], "1.0.0");
    // This house has a trusted proxy on this machine: one that does not say for whom it speaks is no operator.
    assert_eq!(house.get("/metrics").send().await.status, 404);
    let forwarded = house.get("/metrics").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(forwarded.send().await.status, 404, "a proxy on this machine speaks for strangers");
    let operator = house.get("/metrics").header("x-forwarded-for", "203.0.113.9").key("operator");
    assert_eq!(operator.send().await.status, 200);

    let jwks = house.get("/.well-known/jwks.json").send().await;
    assert_eq!(jwks.header("cache-control"), "max-age=300");
    let key = &jwks.json()["keys"][0];
    assert_eq!((&key["kty"], &key["d"]), (&json!("EC"), &Value::Null));
    let again = house.get("/.well-known/jwks.json").header("if-none-match", jwks.header("etag")).send().await;
    assert_eq!(
        (again.status.as_u16(), again.bytes.len(), again.header("etag")),
        (304, 0, jwks.header("etag"))
    );
    assert!(
        house.get("/openapi.json").send().await.json()["openapi"].as_str().expect("text").starts_with("3.1")
    );
    for page in ["/", "/docs", "/problems/insufficient-credits"] {
        let reply = house.get(page).send().await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{page}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_that_needs_a_key_says_so() {
    let house = House::open().await;
    let document = house.get("/openapi.json").send().await.json();
    let mut refused = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let asks_for_key = operation["security"].as_array().is_some_and(|all| !all.contains(&json!({})));
            if path.contains("register") {
                continue; // it would make a developer
            }
            if path.contains("webhook") {
                continue; // its signature is its credential: `webhook.rs`
            }
            let at = path.replace("{id}", "x");
            let reply = house.ask(&method.to_uppercase(), &at).send().await;
            assert_eq!(reply.status == 401, asks_for_key, "{method} {path}: {}", reply.status);
            assert!(!reply.header("x-request-id").is_empty(), "{path}");
            if asks_for_key {
                assert_eq!(reply.header("www-authenticate"), "Bearer");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 44);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_here_is_said_in_the_dialect_of_the_address() {
    let house = House::open().await;
    let reply = house.post("/v1/responses", &json!({})).send().await;
    assert_eq!(reply.status, 404);
    assert!(reply.json()["error"]["message"].as_str().expect("text").contains("Responses API"));
    let reply = house.get("/v1/nothing").header("anthropic-version", "2023-06-01").send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["type"]), (404, &json!("not_found_error")));
    let reply = house.post("/v1/messages/count_tokens", &json!({})).send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["type"]), (404, &json!("error")));
    let reply = house.get("/nothing").send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["type"]), (404, &json!("/problems/not-found")));
    let reply = house.get("/v1/chat/completions").send().await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"));
    assert_eq!(reply.json()["error"]["code"], "method_not_supported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_elsewhere_may_call_the_vendors_doors_and_no_others() {
    let house = House::open().await;
    let preflight = |path: &str| {
        house
            .ask("OPTIONS", path)
            .header("origin", "https://example.com")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, content-type")
            .send()
    };
    let reply = preflight("/v1/chat/completions").await;
    assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (204, "*"));
    assert_eq!(reply.header("access-control-allow-headers"), "authorization, *");
    assert_eq!(reply.header("access-control-allow-credentials"), "");
    let reply = preflight("/api/v1/keys").await;
    assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (405, ""));
}
