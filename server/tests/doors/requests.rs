//! The request log: each request with the life of its reservation, over the API and on pages.

use serde_json::json;
use types::MicroUsd;

use crate::house::{House, Payer};
use crate::wallets::{Browser, Signer};

impl House {
    async fn asked(&self, payer: &Payer, model: &str) {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello!"}]});
        let reply = self.post("/v1/chat/completions", &body).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_each_request_with_what_was_set_aside_and_charged() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(5_000_000)).await;
    let other = house.payer(MicroUsd(5_000_000)).await;
    let list = async |query: &str| {
        let reply = house.get(&format!("/api/v1/requests{query}")).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    assert_eq!(list("").await["requests"], json!([]));
    for model in ["cheap", "native", "cheap"] {
        house.asked(&payer, model).await;
    }
    house.asked(&other, "cheap").await;
    let balance = house.settled(&payer).await;

    let all = list("").await;
    let rows = all["requests"].as_array().expect("a list");
    assert_eq!(rows.len(), 3, "and none of another account");
    let micro = |row: &serde_json::Value, field: &str| {
        row[field].as_str().expect("an amount").parse::<i64>().expect("a number")
    };
    let charged: i64 = rows.iter().map(|row| micro(row, "charged_micro")).sum();
    assert_eq!(charged, balance.spent, "the log adds up to what the books say");
    for row in rows {
        assert_eq!((&row["state"], &row["key_id"]), (&json!("settled"), &json!(payer.key_id)));
        assert!(micro(row, "held_micro") >= micro(row, "charged_micro") && row["closed_at"].is_string());
    }
    let times: Vec<&str> = rows.iter().map(|row| row["reservation_id"].as_str().expect("an id")).collect();
    assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "newest first");

    let first = list("?limit=2").await;
    let cursor = first["next_cursor"].as_str().expect("there are more");
    let second = list(&format!("?limit=2&cursor={cursor}")).await;
    assert_eq!(
        (second["requests"].as_array().map(Vec::len), &second["next_cursor"]),
        (Some(1), &json!(null))
    );
    assert_eq!(list("?model=native").await["requests"].as_array().map(Vec::len), Some(1));
    assert_eq!(list("?state=held").await["requests"], json!([]));
    assert_eq!(list("?pool=flagship").await["requests"], json!([]));
    assert_eq!(list("?from=2020-01-01&to=2020-01-02").await["requests"], json!([]));
    for wrong in ["?pool=none", "?state=lost", "?from=today", "?cursor=x", "?limit=0"] {
        let reply = house.get(&format!("/api/v1/requests{wrong}")).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    assert_eq!(house.get("/api/v1/requests").send().await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_reads_its_log_and_changes_its_keys_on_pages() {
    let house = House::open().await;
    let mut ada = Browser::new(&house);
    assert!(ada.read("/developers/requests").await.text().contains("/signin?return="));
    ada.sign_in(&Signer::number(11)).await;
    assert!(ada.read("/developers/account").await.text().contains("has not signed up"));
    let made = ada.fill("/developers", "name=Ada").await.text();
    let first = made.split(">lf_test_").nth(1).and_then(|rest| rest.split('<').next()).expect("a key");
    let first = format!("lf_test_{first}");
    let ask = async |key: &str| {
        let body = json!({"model": "cheap", "messages": [{"role": "user", "content": "Hello!"}]});
        house.post("/v1/chat/completions", &body).key(key).send().await.status.as_u16()
    };
    assert_eq!(ask(&first).await, 200);
    let log = ada.read("/developers/requests").await;
    assert_eq!(log.header("cache-control"), "no-store");
    assert!(log.text().contains("settled") && log.text().contains("format=csv"));
    let csv = ada.read("/developers/requests?format=csv").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(csv.text().lines().count(), 2);
    assert_eq!(ada.read("/developers/requests?state=lost").await.status, 400);

    for (fields, status) in [("name=x", 422), ("name=&scope=chat", 422), ("name=x&scope=admin", 403)] {
        assert_eq!(ada.fill("/developers/keys", fields).await.status, status, "{fields}");
    }
    let second = ada.fill("/developers/keys", "name=laptop&scope=chat").await;
    assert_eq!((second.status.as_u16(), second.header("cache-control")), (201, "no-store"));
    let keys = ada.get("/api/v1/keys").await.json();
    let id = keys["keys"][0]["id"].as_str().expect("the newest first").to_owned();
    assert_eq!(keys["keys"][0]["scopes"], json!(["chat"]));

    let page = format!("/developers/keys/{id}");
    assert!(ada.read(&page).await.text().contains("laptop"));
    let stranger = Browser::new(&house);
    let theirs = stranger.read(&page).await.text();
    assert!(!theirs.contains("laptop") && theirs.contains("name=\"key\""));
    for deed in ["rotate", "revoke"] {
        assert_eq!(
            stranger.fill(&format!("{page}/{deed}"), "overlap=0&sure=yes").await.status,
            401,
            "{deed}"
        );
    }
    let mut eve = Browser::new(&house);
    eve.sign_in(&Signer::number(12)).await;
    assert_eq!(eve.fill(&format!("{page}/revoke"), "sure=yes").await.status, 404, "not signed up");
    assert_eq!(eve.fill("/developers", "name=Eve").await.status, 201);
    assert_eq!(eve.fill(&format!("{page}/revoke"), "sure=yes").await.status, 404, "not hers");

    assert_eq!(ada.fill(&format!("{page}/rotate"), "overlap=604801").await.status, 422);
    let rotated = ada.fill(&format!("{page}/rotate"), "overlap=0").await;
    assert!(rotated.status == 201 && rotated.text().contains("has stopped working"), "{}", rotated.text());
    assert_eq!(ada.fill(&format!("{page}/rotate"), "overlap=0").await.status, 404, "it works no more");
    let newest = ada.get("/api/v1/keys").await.json()["keys"][0]["id"].as_str().expect("an id").to_owned();
    let unsure = ada.fill(&format!("/developers/keys/{newest}/revoke"), "").await;
    assert_eq!(unsure.status, 422, "unsure");
    let revoked = ada.fill(&format!("/developers/keys/{newest}/revoke"), "sure=yes").await;
    assert_eq!(revoked.status, 303);
    let told = ada.read(revoked.header("location")).await.text();
    assert!(told.contains("The key laptop is revoked and works no more."));
    assert!(!ada.read("/developers/account?revoked=nothing").await.text().contains("works no more"));
    let unpaid = ada.fill("/developers/upgrade", "").await;
    assert_eq!(unpaid.status, 402);
    assert!(unpaid.text().contains("href=\"/buy\""));
}
