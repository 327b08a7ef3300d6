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

/// A sandbox key that was narrowed to 1 request a minute and 10 tokens a day, on an account with credits, used to open a
/// live key, and to revoke the owner's live key, the key that made it, and the community's admin key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_sandbox_key_neither_spends_nor_locks_the_account() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    let admin = house.admin_of(&payer).await;
    let make = async |key: &str, body: Value| {
        let made = house.post("/api/v1/keys", &body).key(key).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        let text = |name: &str| made.json()[name].as_str().expect("text").to_owned();
        (text("id"), text("key"))
    };
    let parent = json!({"name": "parent", "kind": "sandbox"});
    let (parent_id, parent) = make(&payer.api_key, parent).await;
    let narrow =
        json!({"name": "ci", "scopes": ["chat", "keys"], "requests_per_minute": 1, "tokens_per_day": 10});
    let (leaked_id, leaked) = make(&parent, narrow).await;
    let refused = async |method: &str, path: &str| {
        let reply = house.ask(method, path).key(&leaked).send().await;
        assert_eq!(crate::wallets::problem(&reply), "403 forbidden", "{method} {path}: {}", reply.text());
    };
    refused("POST", "/api/v1/developers/upgrade").await;
    let listed = house.get("/api/v1/keys").key(&leaked).send().await.json();
    let keys = listed["keys"].as_array().expect("a list");
    let of_admin =
        keys.iter().find(|key| key["name"] == "admin").expect("listed")["id"].as_str().expect("an id");
    for id in [payer.key_id.as_str(), parent_id.as_str(), of_admin] {
        refused("DELETE", &format!("/api/v1/keys/{id}")).await;
        refused("POST", &format!("/api/v1/keys/{id}/rotate")).await;
    }
    for body in [
        json!({"name": "x", "kind": "live"}),
        json!({"name": "x", "scopes": ["usage"]}),
        json!({"name": "x", "requests_per_minute": 2}),
        json!({"name": "x", "tokens_per_day": 11}),
    ] {
        assert_eq!(house.post("/api/v1/keys", &body).key(&leaked).send().await.status, 400, "{body}");
    }
    for key in [payer.api_key.as_str(), parent.as_str()] {
        assert_eq!(house.get("/api/v1/usage").key(key).send().await.status, 200, "it works on");
    }
    let books = format!("/api/v1/admin/community/{}/conservation", payer.key.community);
    assert_eq!(house.get(&books).key(&admin).send().await.status, 200, "and so does the admin key");

    // The other side: what lies within it, and itself, whatever it may do.
    let (beside_id, _) = make(&leaked, json!({"name": "beside"})).await;
    let revoke = async |key: &str, id: &str| {
        house.ask("DELETE", &format!("/api/v1/keys/{id}")).key(key).send().await.status.as_u16()
    };
    assert_eq!(revoke(&leaked, &beside_id).await, 204);
    assert_eq!(revoke(&leaked, &leaked_id).await, 204);
    assert_eq!(house.get("/v1/models").key(&leaked).send().await.status, 401);
    let (mute_id, mute) = make(&payer.api_key, json!({"name": "mute", "scopes": ["chat"]})).await;
    assert_eq!(revoke(&mute, &parent_id).await, 403);
    assert_eq!(revoke(&mute, &mute_id).await, 204, "a key without the scope `keys` may end itself");
    assert_eq!(revoke(&admin, of_admin).await, 204, "and so may an admin key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_wallet_owns_the_account_it_alone_opens_the_live_key() {
    let house = House::open().await;
    let mut ada = crate::wallets::Browser::new(&house);
    ada.sign_in(&crate::wallets::Signer::number(1)).await;
    let made = ada.post("/api/v1/developers/register", &json!({"name": "Ada"})).await.json();
    let (key, id) =
        (made["key"].as_str().expect("a key").to_owned(), made["key_id"].as_str().expect("an id"));
    let listed = ada.get("/api/v1/keys").await.json();
    assert_eq!(listed["keys"][0]["scopes"], json!(["chat", "models", "usage"]), "{listed}");
    let refused = house.ask("POST", "/api/v1/developers/upgrade").key(&key).send().await;
    assert_eq!(crate::wallets::problem(&refused), "403 forbidden");
    let grant = json!({"account_id": made["account_id"], "amount_micro": "5000000", "reason": "a workshop"});
    let grants = format!("/api/v1/admin/community/{}/grants", made["community_id"].as_str().expect("an id"));
    let given = house.post(&grants, &grant).key(crate::house::OPERATOR).header("idempotency-key", "x");
    assert_eq!(given.send().await.status, 201);

    // A sandbox key with the scope `keys`, as its owner may make one, opens no live key either.
    let body = json!({"name": "wide", "kind": "sandbox", "scopes": ["chat", "models", "usage", "keys"],
                      "requests_per_minute": 10, "tokens_per_day": 10_000});
    let wide = ada.post("/api/v1/keys", &body).await.json();
    let wide = wide["key"].as_str().expect("a key").to_owned();
    let refused = house.ask("POST", "/api/v1/developers/upgrade").key(&wide).send().await;
    assert_eq!(crate::wallets::problem(&refused), "403 forbidden", "{}", refused.text());
    let live = ada.post("/api/v1/developers/upgrade", &json!({})).await;
    assert_eq!((live.status.as_u16(), &live.json()["requests_per_minute"]), (201, &json!(60)));
    assert_eq!(ada.delete(&format!("/api/v1/keys/{id}")).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_wallet_owns_the_account_its_first_key_opens_the_live_key() {
    let house = House::open().await;
    let made = house.post("/api/v1/developers/register", &json!({"name": "Ada"})).send().await.json();
    let key = made["key"].as_str().expect("a key").to_owned();
    let grant = json!({"account_id": made["account_id"], "amount_micro": "5000000", "reason": "a workshop"});
    let grants = format!("/api/v1/admin/community/{}/grants", made["community_id"].as_str().expect("an id"));
    let given = house.post(&grants, &grant).key(crate::house::OPERATOR).header("idempotency-key", "x");
    assert_eq!(given.send().await.status, 201);
    for narrowed in [
        json!({"name": "x", "scopes": ["chat", "keys"]}),
        json!({"name": "x", "requests_per_minute": 9}),
        json!({"name": "x", "tokens_per_day": 9_999}),
    ] {
        let made = house.post("/api/v1/keys", &narrowed).key(&key).send().await.json();
        let narrow = made["key"].as_str().expect("a key");
        let refused = house.ask("POST", "/api/v1/developers/upgrade").key(narrow).send().await;
        assert_eq!(crate::wallets::problem(&refused), "403 forbidden", "{narrowed}");
    }
    let live = house.ask("POST", "/api/v1/developers/upgrade").key(&key).send().await;
    assert_eq!((live.status.as_u16(), &live.json()["tokens_per_day"]), (201, &json!(100_000)));
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
