//! The wire itself: what the original answers, and what it refuses, word for word in one shape.

use serde_json::json;

use super::house::{House, KEY, send};

async fn ask(house: &House, method: &str, path: &str, key: &str, body: &str) -> (u16, serde_json::Value) {
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    let reply = send(&house.simulator.url(), method, path, &headers, body).await.unwrap();
    assert!(reply.headers["content-type"].to_str().unwrap().starts_with("application/json"), "{path}");
    (reply.status, reply.json())
}

/// Asks, and checks the shape of a refusal.
async fn refused(house: &House, method: &str, path: &str, key: &str, body: &str) -> (u16, String, String) {
    let (status, answer) = ask(house, method, path, key, body).await;
    assert_eq!(answer["status"], json!(false), "{answer}");
    assert_eq!(answer["statusCode"], json!(status), "{answer}");
    assert_eq!(answer.as_object().unwrap().len(), 4, "{answer}");
    (status, answer["code"].as_str().unwrap().to_owned(), answer["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn our_client_is_understood() {
    let house = House::open().await;
    house.client.status().await.unwrap();
    let coins = house.client.currencies().await.unwrap();
    assert!(["btc", "eth", "xrp", "xlm"].iter().all(|coin| coins.contains(&(*coin).to_owned())), "{coins:?}");
    let minimum = house.client.min_amount("btc", "usdttrc20").await.unwrap();
    assert_eq!((minimum.amount.as_str(), minimum.fiat_equivalent.as_deref()), ("0.000032", Some("3.2")));
    assert_eq!(house.client.estimate("5", "usd", "btc").await.unwrap(), "0.00005");
    assert_eq!(house.client.estimate("0.00005", "btc", "usd").await.unwrap(), "5");

    let bitcoin = house.create("btc").await;
    assert_eq!((bitcoin.pay_amount.as_str(), bitcoin.payin_extra_id.as_deref()), ("0.0001", None));
    assert!(bitcoin.valid_until.is_some_and(|until| until > house.clock.now()));
    let report = house.client.payment(&bitcoin.report.payment_id).await.unwrap();
    assert_eq!((report.status.as_str(), report.order_id.as_deref()), ("waiting", Some("order-1")));
    assert_eq!(report.actually_paid.as_deref(), Some("0"));
    for coin in ["xrp", "xlm"] {
        let created = house.create(coin).await;
        assert!(created.payin_extra_id.is_some(), "a {coin} deposit without a memo is lost");
    }
}

#[tokio::test]
async fn ids_are_strings_where_the_original_has_strings() {
    let house = House::open().await;
    let body = r#"{"price_amount":10,"price_currency":"usd","pay_currency":"BTC"}"#;
    let (status, created) = ask(&house, "POST", "/v1/payment", KEY, body).await;
    assert_eq!(status, 201);
    let id = created["payment_id"].as_str().expect("a string here");
    assert!(created["burning_percent"].is_null() && created["purchase_id"].is_string());
    let (status, current) = ask(&house, "GET", &format!("/v1/payment/{id}"), KEY, "").await;
    assert_eq!(status, 200);
    assert_eq!(current["payment_id"].as_u64().expect("a number here").to_string(), id);
    assert_eq!(current["burning_percent"], json!("null"));
    assert_eq!(current.get("parent_payment_id"), None);
}

#[tokio::test]
async fn a_key_is_needed_everywhere_but_for_the_status() {
    let house = House::open().await;
    let paths = ["/v1/currencies", "/v1/min-amount", "/v1/estimate", "/v1/payment/1"];
    for (method, path) in paths.iter().map(|path| ("GET", *path)).chain([("POST", "/v1/payment")]) {
        let (status, code, _) = refused(&house, method, path, "", "{}").await;
        assert_eq!((status, code.as_str()), (401, "AUTH_REQUIRED"), "{path}");
        let (status, code, _) = refused(&house, method, path, "wrong", "{}").await;
        assert_eq!((status, code.as_str()), (403, "INVALID_API_KEY"), "{path}");
    }
    assert_eq!(ask(&house, "GET", "/v1/status", "", "").await, (200, json!({ "message": "OK" })));
}

#[tokio::test]
async fn a_bad_payment_is_refused_and_not_made() {
    let house = House::open().await;
    let good = json!({ "price_amount": 10, "price_currency": "usd", "pay_currency": "btc" });
    let cases = [
        ("price_amount", None, "INVALID_REQUEST_PARAMS", "\"price_amount\" is required"),
        ("price_currency", None, "INVALID_REQUEST_PARAMS", "\"price_currency\" is required"),
        ("pay_currency", None, "INVALID_REQUEST_PARAMS", "\"pay_currency\" is required"),
        ("price_amount", Some(json!("ten")), "INVALID_REQUEST_PARAMS", "\"price_amount\" must be a number"),
        ("price_amount", Some(json!(-1)), "INVALID_REQUEST_PARAMS", "\"price_amount\" must be a number"),
        (
            "price_amount",
            Some(json!(0)),
            "INVALID_REQUEST_PARAMS",
            "\"price_amount\" must be positive and at most 100000",
        ),
        ("pay_currency", Some(json!("doge2")), "BAD_REQUEST", "Currency doge2 was not found"),
        ("price_currency", Some(json!("zzz")), "BAD_REQUEST", "Currency zzz was not found"),
        ("order_id", Some(json!(7)), "INVALID_REQUEST_PARAMS", "\"order_id\" must be a string"),
        (
            "price_amount",
            Some(json!("3.19")),
            "AMOUNT_MINIMAL_ERROR",
            "Crypto amount 0.0000319 is less than minimal",
        ),
    ];
    for (field, value, code, message) in cases {
        let mut body = good.clone();
        match value {
            None => body.as_object_mut().unwrap().remove(field),
            Some(value) => body.as_object_mut().unwrap().insert(field.to_owned(), value),
        };
        let refusal = refused(&house, "POST", "/v1/payment", KEY, &body.to_string()).await;
        assert_eq!(refusal, (400, code.to_owned(), message.to_owned()), "{body}");
    }
    for body in ["", "[", "{\"price_amount\":1,\"price_amount\":2}"] {
        assert_eq!(refused(&house, "POST", "/v1/payment", KEY, body).await.0, 400);
    }
    let huge = format!("{{\"order_id\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(refused(&house, "POST", "/v1/payment", KEY, &huge).await.0, 413);
    assert!(house.simulator.payments().is_empty());
}

#[tokio::test]
async fn nobody_else_can_be_called() {
    let house = House::open().await;
    for address in ["http://example.com/", "https://127.0.0.1/", "http://10.1.2.3/", "nonsense"] {
        let mut body = json!({ "price_amount": 10, "price_currency": "usd", "pay_currency": "btc" });
        body["ipn_callback_url"] = json!(address);
        let (status, code, message) = refused(&house, "POST", "/v1/payment", KEY, &body.to_string()).await;
        assert_eq!((status, code.as_str()), (400, "INVALID_REQUEST_PARAMS"));
        assert!(message.contains("this machine"), "{message}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_same_shape() {
    let house = House::open().await;
    let cases = [
        ("GET", "/v1/payment/5745459419", 404, "PAYMENT_NOT_FOUND"),
        ("GET", "/v1/payment/abc", 400, "INVALID_REQUEST_PARAMS"),
        ("GET", "/v1/nothing", 404, "NOT_FOUND"),
        ("DELETE", "/v1/payment", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/min-amount", 400, "INVALID_REQUEST_PARAMS"),
        ("GET", "/v1/min-amount?currency_from=nope", 400, "BAD_REQUEST"),
        ("GET", "/v1/min-amount?currency_from=btc&fiat_equivalent=nope", 400, "BAD_REQUEST"),
        ("GET", "/v1/estimate?amount=1e5&currency_from=usd&currency_to=btc", 400, "INVALID_REQUEST_PARAMS"),
        ("GET", "/v1/estimate?amount=5&currency_from=usd", 400, "INVALID_REQUEST_PARAMS"),
        (
            "GET",
            "/v1/estimate?amount=99999999999999999999999&currency_from=btc&currency_to=usd",
            400,
            "INVALID_REQUEST_PARAMS",
        ),
    ];
    for (method, path, status, code) in cases {
        let refusal = refused(&house, method, path, KEY, "").await;
        assert_eq!((refusal.0, refusal.1.as_str()), (status, code), "{path}");
    }
}
