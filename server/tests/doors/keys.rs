//! Sign-up, keys, usage and budget over HTTP.

use identity::{KeyLimits, Scope, Scopes};
use serde_json::{Value, json};
use types::MicroUsd;

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_signs_up_and_streams_a_first_answer() {
    let house = House::open().await;
    let reply = house.post("/api/v1/developers/register", &json!({"name": "Ada"})).send().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), "no-store");
    let made = reply.json();
    let key = made["key"].as_str().expect("a key");
    assert!(key.starts_with("lf_test_"));
    let body =
        json!({"model": "native", "messages": [{"role": "user", "content": "hi !tokens 6"}], "stream": true});
    let answer = house.post("/v1/chat/completions", &body).key(key).send().await;
    assert_eq!(answer.events().last().expect("one").1, "[DONE]", "{}", answer.text());

    let usage = house.get("/api/v1/usage").key(key).send().await.json();
    assert_eq!(
        (&usage["total"]["requests"], &usage["total"]["completion_tokens"]),
        (&json!(1), &json!(6)),
        "{usage}"
    );
    assert_eq!(usage["by_model"]["scripted-cheap"]["requests"], 1);
    let today = house.today().date().to_string();
    assert_eq!(usage["by_day"][&today]["cost_micro"], usage["total"]["cost_micro"]);

    let community = made["community_id"].as_str().expect("an id");
    let budget = house.get(&format!("/api/v1/communities/{community}/budget")).key(key).send().await;
    assert_eq!((budget.status.as_u16(), &budget.json()["limit_micro"]), (200, &Value::Null));
    for other in ["1", "x", "%ff"] {
        let reply = house.get(&format!("/api/v1/communities/{other}/budget")).key(key).send().await;
        assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (404, &json!(404)), "{other}");
    }
    let upgrade = house.post("/api/v1/developers/upgrade", &json!({})).key(key).send().await;
    assert_eq!(upgrade.status, 402, "a sandbox day is no credit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sign_ups_an_hour_are_taken_from_one_address() {
    let house = House::open().await;
    let sign_up = |address: &'static str| {
        house
            .post("/api/v1/developers/register", &json!({"name": "Ada"}))
            .header("x-forwarded-for", address)
            .send()
    };
    for _ in 0..3 {
        assert_eq!(sign_up("203.0.113.1").await.status, 201);
    }
    let refused = sign_up("203.0.113.1").await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").parse::<u64>().expect("seconds") <= 3_600);
    assert_eq!(sign_up("203.0.113.2").await.status, 201);
    let nameless = house.post("/api/v1/developers/register", &json!({"name": " "})).send().await;
    assert_eq!((nameless.status.as_u16(), &nameless.json()["field"]), (400, &json!("name")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_listed_rotated_and_revoked() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    let made = house
        .post("/api/v1/keys", &json!({"name": "laptop", "scopes": ["chat"]}))
        .key(&payer.api_key)
        .send()
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let (key, id) = (made["key"].as_str().expect("shown"), made["id"].as_str().expect("an id"));
    let listed = house.get("/api/v1/keys").key(&payer.api_key).send().await;
    assert_eq!(listed.json()["keys"].as_array().expect("a list").len(), 2);
    assert!(!listed.text().contains(key), "a secret is shown once");
    assert_eq!(house.get("/api/v1/keys").key(key).send().await.status, 403, "it has no scope for keys");
    assert_eq!(house.get("/v1/models").key(key).send().await.status, 403);

    let rotated = house.ask("POST", &format!("/api/v1/keys/{id}/rotate")).key(&payer.api_key).send().await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    let twice = house.ask("POST", &format!("/api/v1/keys/{id}/rotate")).key(&payer.api_key).send().await;
    assert_eq!(twice.status, 409);
    let body = json!({"prompt": "hi !tokens 2"});
    assert_eq!(house.post("/api/agents/invoke", &body).key(key).send().await.status, 200, "the overlap");
    let revoked = house.ask("DELETE", &format!("/api/v1/keys/{id}")).key(&payer.api_key).send().await;
    assert_eq!((revoked.status.as_u16(), revoked.bytes.len()), (204, 0));
    assert_eq!(house.post("/api/agents/invoke", &body).key(key).send().await.status, 401);
    let unknown = house.ask("DELETE", "/api/v1/keys/aaaaaaaaaaaa").key(&payer.api_key).send().await;
    assert_eq!(unknown.status, 404);
    let upgraded = house.ask("POST", "/api/v1/developers/upgrade").key(&payer.api_key).send().await;
    assert_eq!(upgraded.status, 201, "a grant is credit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rotation_and_no_upgrade_gives_a_key_more_than_its_maker_has() {
    let house = House::open().await;
    let limits = KeyLimits { requests_per_minute: 100, tokens_per_day: 10_000 };
    let scopes = [Scope::Keys, Scope::Usage].into_iter().collect::<Scopes>();
    let payer = house.payer_with(MicroUsd(1_000_000), limits, scopes).await;
    let admin = house.admin_of(&payer).await;
    let listed = house.get("/api/v1/keys").key(&payer.api_key).send().await.json();
    let keys = listed["keys"].as_array().expect("a list");
    let of_admin = keys.iter().find(|key| key["name"] == "admin").expect("listed")["id"].clone();
    let rotate = format!("/api/v1/keys/{}/rotate", of_admin.as_str().expect("an id"));
    let refused = house.ask("POST", &rotate).key(&payer.api_key).send().await;
    assert_eq!(crate::wallets::problem(&refused), "403 forbidden", "{}", refused.text());
    let conservation = format!("/api/v1/admin/community/{}/conservation", payer.key.community);
    assert_eq!(house.get(&conservation).key(&admin).send().await.status, 200, "the key is untouched");
    let upgraded = house.ask("POST", "/api/v1/developers/upgrade").key(&payer.api_key).send().await.json();
    let live = upgraded["key"].as_str().expect("a key");
    assert_eq!(house.get("/api/v1/usage").key(live).send().await.status, 200);
    assert_eq!(house.get("/v1/models").key(live).send().await.status, 403, "its maker may not either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_the_scope_is_refused_in_the_dialect() {
    let house = House::open().await;
    let limits = KeyLimits { requests_per_minute: 10, tokens_per_day: 10_000 };
    let payer =
        house.payer_with(MicroUsd(1_000_000), limits, [Scope::Usage].into_iter().collect::<Scopes>()).await;
    let body = json!({"model": "cheap", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    let reply = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]["code"]),
        (403, &json!("insufficient_permissions"))
    );
    let reply = house.post("/v1/messages", &body).key(&payer.api_key).send().await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["type"]), (403, &json!("permission_error")));
    assert!(house.known(&payer).await.scopes.contains(Scope::Usage));
}
