//! Agents from outside: a profile for anyone, an answer for any key that pays, and what the community's admin sees of it.

use domain::demo;
use identity::{KeyKind, KeyLimits, KeyRequest, Scopes};
use serde_json::{Value, json};
use types::MicroUsd;

use crate::house::House;

const CREDIT: MicroUsd = MicroUsd(1_000_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anyone_may_look_at_an_agent() {
    let house = House::open().await;
    let community = demo::ensure(&house.ctx).await.expect("made");
    let reply = house.get("/api/v1/agents/demo/5").send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let agent = reply.json();
    assert_eq!(
        (&agent["model"], &agent["name"], &agent["personality_id"], &agent["community_id"]),
        (&json!("agent:demo:5"), &json!("Ember Vale"), &json!("demo:5@1"), &json!(community.to_string()))
    );
    assert_eq!(agent["traits"][1], json!({"name": "Element", "value": "Fire"}));
    for colour in ["accent", "on_accent", "accent_dark", "on_accent_dark"] {
        let hex = agent["palette"][colour].as_str().expect("a colour");
        assert!(hex.len() == 7 && hex.starts_with('#'), "{hex}");
    }
    for nowhere in ["demo/7", "demo/05", "Demo/5", "nobody/1", "demo/-5", "demo/%ff", "demo/5%0a"] {
        let reply = house.get(&format!("/api/v1/agents/{nowhere}")).send().await;
        assert_eq!(reply.status, 404, "{nowhere}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_key_may_ask_an_agent_and_its_own_account_pays() {
    let house = House::open().await;
    demo::ensure(&house.ctx).await.expect("made");
    let payer = house.payer(CREDIT).await;
    let messages = json!([{"role": "user", "content": "hi !tokens 6"}]);
    let asks = [
        ("/v1/chat/completions", json!({"model": "agent:demo:3", "messages": messages})),
        ("/v1/messages", json!({"model": "agent:demo:3", "max_tokens": 20, "messages": messages})),
        ("/api/v1/inference", json!({"model": "agent:demo:3", "prompt": "hi !tokens 6"})),
        ("/api/agents/invoke", json!({"agent": "demo:3", "messages": messages})),
    ];
    for (path, body) in &asks {
        let reply = house.post(path, body).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(reply.header("x-personality-id"), "demo:3@1", "{path}");
        // A sage takes to reasoning most, and a live key's tier may.
        assert_eq!(reply.header("x-pool-used"), "reasoning", "{path}");
    }
    let spent = house.settled(&payer).await.spent;
    assert!(spent > 0);
    let holds: Vec<(String, String, i64)> =
        sqlx::query_as("select agent, reason, charged from hold where community_id = $1 order by id")
            .bind(payer.key.community.0)
            .fetch_all(&house.database.pool)
            .await
            .expect("read");
    assert_eq!(holds.len(), asks.len());
    assert!(
        holds.iter().all(|(agent, reason, _)| (agent.as_str(), reason.as_str()) == ("demo:3", "affinity"))
    );
    assert_eq!(holds.iter().map(|(_, _, charged)| charged).sum::<i64>(), spent);

    for unknown in ["agent:demo:7", "agent:demo:03", "agent:Demo:3", "agent:demo:", "agent::3"] {
        let body = json!({"model": unknown, "messages": messages});
        let reply = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]["code"]),
            (404, &json!("model_not_found")),
            "{unknown}"
        );
    }
    assert_eq!(house.settled(&payer).await.spent, spent, "a name that is nobody's costs nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_key_asks_an_agent_in_the_cheap_pool_and_a_holders_agent_not_at_all() {
    let house = House::open().await;
    demo::ensure(&house.ctx).await.expect("made");
    let payer = house.payer(MicroUsd::ZERO).await;
    let request = KeyRequest {
        community: payer.key.community,
        account: payer.key.account,
        name: "sandbox".to_owned(),
        kind: KeyKind::Sandbox,
        scopes: Scopes::developer(),
        limits: KeyLimits::default_for(KeyKind::Sandbox),
    };
    let key = house.ctx.keys.create(request).await.expect("a key").secret.reveal().to_owned();
    let body = json!({"agent": "demo:3", "messages": [{"role": "user", "content": "hi !tokens 6"}]});
    let reply = house.post("/api/agents/invoke", &body).key(&key).send().await;
    assert_eq!((reply.status.as_u16(), reply.header("x-pool-used")), (200, "cheap"), "{}", reply.text());
    assert_eq!(reply.header("x-personality-id"), "demo:3@1");

    sqlx::query("update agent set holder_only = true where token_id = '4'")
        .execute(&house.database.pool)
        .await
        .expect("changed");
    let body = json!({"agent": "demo:4", "prompt": "hi", "messages": [{"role": "user", "content": "hi"}]});
    let reply = house.post("/api/agents/invoke", &body).key(&key).send().await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("holder"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sees_which_agents_their_community_asks() {
    let house = House::open().await;
    let community = demo::ensure(&house.ctx).await.expect("made");
    // A wallet of the demo's own, who pays there.
    let account =
        domain::member::account(&house.ctx, community, types::WalletId::by_key(types::Wallet([7; 20])))
            .await
            .expect("opened");
    let request = KeyRequest {
        community: account.community,
        account: account.account,
        name: "member".to_owned(),
        kind: KeyKind::Live,
        scopes: Scopes::developer(),
        limits: KeyLimits { requests_per_minute: 1_000, tokens_per_day: 1_000_000 },
    };
    let key = house.ctx.keys.create(request).await.expect("a key").secret.reveal().to_owned();
    for agent in ["demo:2", "demo:2", "demo:6"] {
        let body = json!({"agent": agent, "messages": [{"role": "user", "content": "hi !tokens 6"}]});
        let reply = house.post("/api/agents/invoke", &body).key(&key).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let path = format!("/api/v1/admin/community/{community}/agents");
    let read = async |query: &str| -> Value {
        let reply = house.get(&format!("{path}{query}")).key(crate::house::OPERATOR).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let all = read("").await;
    let of = |token: usize| &all["agents"][token - 1];
    assert_eq!(all["agents"].as_array().expect("a list").len(), 6);
    assert_eq!(
        (&of(2)["agent"], &of(2)["requests"], &of(2)["users"]),
        (&json!("demo:2"), &json!(2), &json!(1))
    );
    assert_eq!((&of(6)["requests"], &of(6)["active"]), (&json!(1), &json!(true)));
    assert_eq!(
        (&of(1)["active"], &of(1)["last_active_at"], &of(1)["cost_micro"]),
        (&json!(false), &Value::Null, &json!("0"))
    );
    let cost =
        |token: usize| of(token)["cost_micro"].as_str().expect("text").parse::<i64>().expect("a figure");
    let usage = house.get(&format!("/api/v1/admin/community/{community}/usage")).key(crate::house::OPERATOR);
    assert_eq!(usage.send().await.json()["total"]["cost_micro"], (cost(2) + cost(6)).to_string());
    let first = read("?limit=4").await;
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let rest = read(&format!("?limit=4&cursor={cursor}")).await;
    assert_eq!((&rest["agents"][0]["agent"], &rest["next_cursor"]), (&json!("demo:5"), &Value::Null));
}
