//! The administrators' doors: who sees what, the books in figures that agree, and repairs that are asked for twice.

use pay::simulator::Manner;
use serde_json::{Value, json};
use testing::books;
use types::MicroUsd;

use crate::client::Reply;
use crate::house::{House, OPERATOR, Payer};

fn micro(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("no figure: {value}")).parse().expect("an integer")
}

fn of(payer: &Payer, what: &str) -> String {
    format!("/api/v1/admin/community/{}/{what}", payer.key.community)
}

impl House {
    async fn read(&self, path: &str, key: &str) -> Value {
        let reply = self.get(path).key(key).send().await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    async fn answer(&self, payer: &Payer, tokens: u32) {
        let body = json!({"prompt": format!("hi !tokens {tokens}"), "max_tokens": tokens});
        let reply = self.post("/api/agents/invoke", &body).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Asks twice, as a repair demands.
    async fn insist(&self, path: &str, key: &str, body: &Value) -> Reply {
        let first = self.post(path, body).key(key).send().await;
        assert_eq!(first.status, 202, "{}", first.text());
        let mut again = body.clone();
        again["confirmation"] = first.json()["confirmation"].clone();
        self.post(path, &again).key(key).send().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_community_is_its_own_admins_and_the_operators_alone() {
    let house = House::open().await;
    let (payer, other) = (house.payer(MicroUsd(1_000_000)).await, house.payer(MicroUsd(1_000_000)).await);
    let (admin, stranger) = (house.admin_of(&payer).await, house.admin_of(&other).await);
    for what in ["usage", "billing", "agents", "audit", "conservation", "caps", "actions"] {
        let path = of(&payer, what);
        for key in [admin.as_str(), OPERATOR] {
            let reply = house.get(&path).key(key).send().await;
            assert_eq!(reply.status, 200, "{what}: {}", reply.text());
            assert!(reply.json()["data_as_of"].is_string(), "{what}");
        }
        assert_eq!(house.get(&path).key(&stranger).send().await.status, 404, "{what}");
        assert_eq!(house.get(&path).key(&payer.api_key).send().await.status, 403, "{what}");
        assert_eq!(house.get(&path).key("operators").send().await.status, 401, "{what}");
        assert_eq!(
            house.get(&path).send().await.status,
            401,
            "{what}: this machine alone is not the operator"
        );
        let nowhere = house.get(&format!("/api/v1/admin/community/12345/{what}")).key(OPERATOR).send().await;
        // The record of deeds in a community that nobody has is empty; books it has none.
        assert_eq!(nowhere.status, if what == "actions" { 200 } else { 404 }, "{what}");
        for query in ["limit=0", "limit=201", "cursor=x", "limit=1&limit=2"] {
            let reply = house.get(&format!("{path}?{query}")).key(&admin).send().await;
            assert_eq!(reply.status, 400, "{what}?{query}: {}", reply.text());
        }
    }
    let grant = json!({"account_id": payer.key.account, "amount_micro": "5", "reason": "a gift"});
    let ask = house.post(&of(&payer, "grants"), &grant).key(&admin).header("idempotency-key", "x");
    assert_eq!(ask.send().await.status, 403, "an admin makes no money");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_users_days_and_the_journal_add_up_to_the_micro() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    for tokens in [1, 7, 33] {
        house.answer(&payer, tokens).await;
    }
    let spent = house.settled(&payer).await.spent;
    let admin = house.admin_of(&payer).await;
    let usage = house.read(&of(&payer, "usage"), &admin).await;
    assert_eq!(
        (micro(&usage["total"]["cost_micro"]), &usage["total"]["requests"]),
        (spent, &json!(3)),
        "{usage}"
    );
    for by in ["by_pool", "by_day"] {
        let parts = usage[by].as_object().expect("an object").values();
        assert_eq!(parts.map(|part| micro(&part["cost_micro"])).sum::<i64>(), spent, "{by}: {usage}");
    }
    let users = usage["by_user"].as_array().expect("users");
    assert_eq!(users.iter().map(|user| micro(&user["cost_micro"])).sum::<i64>(), spent);
    assert_eq!(micro(&usage["balance_micro"]), 1_000_000 - spent);

    let books_of = house.read(&of(&payer, "conservation"), &admin).await;
    let figure = |name: &str| micro(&books_of[name]);
    assert_eq!((figure("created_micro"), figure("consumed_micro")), (1_000_000, spent));
    assert_eq!((figure("difference_micro"), &books_of["conservation_result"]), (0, &json!("holds")));
    let billing = house.read(&of(&payer, "billing"), &admin).await;
    assert_eq!(
        (&billing["lots"][0]["source"], micro(&billing["lots"][0]["minted_micro"])),
        (&json!("grant"), 1_000_000)
    );
    assert_eq!(billing["history"][0]["operation"], "mint", "{billing}");

    let first = house.read(&format!("{}?limit=2", of(&payer, "audit")), &admin).await;
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = house.read(&format!("{}?limit=200&cursor={cursor}", of(&payer, "audit")), &admin).await;
    let lines = [&first, &second].map(|page| page["lines"].as_array().expect("lines").len());
    assert_eq!(lines, [2, 2], "one mint and three settles");
    assert_eq!(second["next_cursor"], Value::Null);

    let export = house.get(&format!("{}?format=jsonl", of(&payer, "audit"))).key(&admin).send().await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    assert!(export.header("content-disposition").contains(".jsonl"));
    let keys = house.get("/.well-known/jwks.json").send().await.text();
    let keys = ledger::verify::KeySet::parse(keys.as_bytes()).expect("our own keys");
    let options = ledger::verify::Options { keys: Some(keys), since: None };
    let verified = ledger::verify::verify(export.bytes.as_ref(), &options).expect("it proves itself");
    assert_eq!((verified.lines, verified.chained), (4, true));
    let csv = house.get(&format!("{}?format=csv", of(&payer, "audit"))).key(&admin).send().await;
    assert_eq!(csv.text().lines().count(), 5, "{}", csv.text());
    let bad = house.get(&format!("{}?format=xml", of(&payer, "audit"))).key(&admin).send().await;
    assert_eq!(bad.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_is_set_lifted_recorded_and_refuses() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    let admin = house.admin_of(&payer).await;
    let path = of(&payer, "caps");
    let set = async |body: Value| house.put(&path, &body).key(&admin).send().await;
    for bad in [
        json!({}),
        json!({"limit_micro": "5"}),
        json!({"limit_micro": 5, "reason": "x"}),
        json!({"limit_micro": null, "reason": "x"}),
        json!({"limit_micro": "5", "reason": ""}),
        json!({"limit_micro": "-1", "reason": "x"}),
        json!({"limit_micro": "9223372036854775808", "reason": "x"}),
        json!({"limit_micro": "1.5", "reason": "x"}),
    ] {
        assert_eq!(set(bad.clone()).await.status, 400, "{bad}");
    }
    let capped = set(json!({"limit_micro": "1", "reason": "holidays"})).await;
    assert_eq!((capped.status.as_u16(), micro(&capped.json()["limit_micro"])), (200, 1));
    let body = json!({"prompt": "hi !tokens 5"});
    let refused = house.post("/api/agents/invoke", &body).key(&payer.api_key).send().await;
    assert_eq!(refused.status, 402, "{}", refused.text());
    let account = json!({"limit_micro": "7", "account_id": payer.key.account, "reason": "one person"});
    let answer = set(account).await.json();
    assert_eq!(micro(&answer["accounts"][0]["limit_micro"]), 7);
    let nobody = json!({"limit_micro": "7", "account_id": "12345", "reason": "nobody"});
    assert_eq!(set(nobody).await.status, 404);
    for whose in [json!({}), json!({"account_id": payer.key.account})] {
        let mut lift = whose;
        lift["limit_micro"] = json!("none");
        lift["reason"] = json!("over");
        assert_eq!(set(lift).await.status, 200);
    }
    house.answer(&payer, 2).await;
    let record = house.read(&of(&payer, "actions"), &admin).await;
    let actions = record["actions"].as_array().expect("a list");
    assert_eq!(actions.len(), 4, "{record}");
    assert!(actions.iter().all(|action| action["what"] == "caps.set"
        && action["who"].as_str().is_some_and(|who| who.starts_with("key:"))));
    assert_eq!(actions[3]["reason"], "holidays");
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_grants_once_per_key() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let path = of(&payer, "grants");
    let grant = |amount: &str| json!({"account_id": payer.key.account, "amount_micro": amount, "reason": "a workshop"});
    let give = async |key: &str, body: Value| {
        house.post(&path, &body).key(OPERATOR).header("idempotency-key", key).send().await
    };
    let unkeyed = house.post(&path, &grant("5")).key(OPERATOR).send().await;
    assert_eq!((unkeyed.status.as_u16(), unkeyed.json()["field"].clone()), (400, json!("Idempotency-Key")));
    let first = give("spring", grant("5000000")).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = give("spring", grant("5000000")).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["lot_id"].clone()),
        (201, first.json()["lot_id"].clone())
    );
    assert_eq!(give("spring", grant("6000000")).await.status, 422);
    for bad in ["0", "-5", "5.0", "9223372036854775808"] {
        assert_eq!(give("bad", grant(bad)).await.status, 400, "{bad}");
    }
    let stranger = json!({"account_id": "12345", "amount_micro": "5", "reason": "who?"});
    assert_eq!(give("stranger", stranger).await.status, 404);
    assert_eq!(house.balance(&payer).await.available, 5_000_000);
    let record = house.read(&of(&payer, "actions"), OPERATOR).await;
    assert_eq!(record["actions"].as_array().map(Vec::len), Some(1), "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_hangs_is_shown_and_repaired_after_asking_twice() {
    let house = House::open().await;
    let (payer, other) = (house.payer(MicroUsd::ZERO).await, house.payer(MicroUsd::ZERO).await);
    let (admin, stranger) = (house.admin_of(&payer).await, house.admin_of(&other).await);
    let (_, payment) = house.bought(&payer).await;
    house.simulator.deliver_as(&payment, Manner::Silent).expect("known");
    house.simulator.pay(&payment).await.expect("paid");
    let path = format!("/api/v1/admin/payments/{payment}/reconcile");
    let body = json!({"reason": "the buyer shows a finished transaction"});
    assert_eq!(house.post(&path, &body).key(&stranger).send().await.status, 404);
    assert_eq!(house.post(&path, &json!({})).key(&admin).send().await.status, 400, "a reason is due");
    let mut wrong = body.clone();
    wrong["confirmation"] = json!(house.ctx.clock.uuid_v7().to_string());
    let wrong = house.post(&path, &wrong).key(&admin).send().await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.json()["type"].clone()),
        (409, json!("/problems/not-confirmed"))
    );
    assert_eq!(house.balance(&payer).await.minted, 0, "nothing before it is confirmed");
    // A key asks; it does not confirm, not even what it asked for itself.
    let asked = house.post(&path, &body).key(&admin).send().await;
    assert_eq!((asked.status.as_u16(), &asked.json()["by_another"]), (202, &json!(true)));
    let mut confirmed = body.clone();
    confirmed["confirmation"] = asked.json()["confirmation"].clone();
    let own = house.post(&path, &confirmed).key(&admin).send().await;
    assert_eq!(crate::wallets::problem(&own), "409 not-confirmed");
    assert_eq!(house.balance(&payer).await.minted, 0);
    let done = house.post(&path, &confirmed).key(OPERATOR).send().await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(
        (micro(&done.json()["minted_micro"]), &done.json()["status"]),
        (10_500_000, &json!("finished"))
    );
    let again = house.insist(&path, OPERATOR, &body).await.json();
    assert_eq!(micro(&again["minted_micro"]), 0, "twice is once");
    assert_eq!(house.balance(&payer).await.minted, 10_500_000);
    let record = house.read(&of(&payer, "actions"), &admin).await;
    assert_eq!(record["actions"].as_array().map(Vec::len), Some(4), "asked and done, twice: {record}");

    let (_, hanging) = house.bought(&payer).await;
    sqlx::query("update payment set deposit_at = now() - interval '31 minutes' where id = $1")
        .bind(&hanging)
        .execute(&house.database.pool)
        .await
        .expect("aged");
    let list = "/api/v1/admin/payments?status=stuck";
    let stuck = house.read(list, &admin).await;
    assert_eq!(stuck["payments"][0]["payment_id"], hanging, "{stuck}");
    assert_eq!(house.read(list, &stranger).await["payments"], json!([]));
    assert_eq!(house.read(list, OPERATOR).await["payments"].as_array().map(Vec::len), Some(1));
    assert_eq!(house.get("/api/v1/admin/payments").key(&admin).send().await.status, 400);
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_payment_waits_for_a_person_who_credits_it() {
    let house = House::open().await;
    let (payer, other) = (house.payer(MicroUsd::ZERO).await, house.payer(MicroUsd::ZERO).await);
    let (admin, stranger) = (house.admin_of(&payer).await, house.admin_of(&other).await);
    let (order, first) = house.bought(&payer).await;
    let second = house.choose(&payer, &order, "ltc").await.json();
    let second = second["payment"]["id"].as_str().expect("an id").to_owned();
    assert_ne!(first, second);
    for payment in [&first, &second] {
        house.simulator.pay(payment).await.expect("paid");
    }
    assert_eq!(house.balance(&payer).await.minted, 10_500_000, "the pack is credited once");
    let queue = house.read("/api/v1/admin/reviews", &admin).await;
    let item = &queue["reviews"][0];
    assert_eq!((&item["kind"], &item["payment_id"]), (&json!("overpay"), &json!(second)), "{queue}");
    let path = format!("/api/v1/admin/reviews/{}/resolve", item["id"].as_str().expect("a number"));
    let credit = json!({"resolution": "credit", "note": "paid twice, wants the credits"});
    assert_eq!(house.post(&path, &credit).key(&stranger).send().await.status, 404);
    assert_eq!(
        house.post(&path, &json!({"resolution": "keep", "note": "x"})).key(&admin).send().await.status,
        400
    );
    // A key asks, and the operator approves: while nothing is minted nothing is done, and the request waits on.
    let asked = house.post(&path, &credit).key(&admin).send().await;
    assert_eq!((asked.status.as_u16(), &asked.json()["waits_for"]), (202, &json!("operator")));
    let id = asked.json()["approval"]["id"].as_str().expect("an id").to_owned();
    let again = house.post(&path, &credit).key(&admin).send().await.json();
    assert_eq!(again["approval"]["id"], json!(id), "asking twice is asking once");
    assert_eq!(house.balance(&payer).await.minted, 10_500_000);
    let approval = format!("/api/v1/admin/approvals/{id}/approve");
    let word = json!({"note": "seen in our account"});
    for key in [&admin, &stranger] {
        let reply = house.post(&approval, &word).key(key).send().await;
        assert_eq!(crate::wallets::problem(&reply), "403 forbidden");
    }
    let owner = house.database.owner_pool();
    let minting = async |sql| sqlx::query(sql).execute(&owner).await.expect("the guard");
    minting("update guard set minting_stopped_at = now()").await;
    let stopped = house.post(&approval, &word).key(OPERATOR).send().await;
    assert_eq!(crate::wallets::problem(&stopped), "503 minting-stopped");
    minting("update guard set minting_stopped_at = null").await;
    let waiting = house.read("/api/v1/admin/approvals", &admin).await;
    assert_eq!(waiting["approvals"][0]["state"], "waiting", "{waiting}");
    assert_eq!(house.read("/api/v1/admin/approvals", &stranger).await["approvals"], json!([]));
    assert_eq!(house.post(&approval, &json!({})).key(OPERATOR).send().await.status, 400, "a note is due");
    let done = house.post(&approval, &word).key(OPERATOR).send().await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(
        (micro(&done.json()["credited_micro"]), &done.json()["approval"]["state"]),
        (10_500_000, &json!("approved"))
    );
    let twice = house.post(&approval, &word).key(OPERATOR).send().await;
    assert_eq!((twice.status.as_u16(), micro(&twice.json()["credited_micro"])), (200, 0));
    let decline = house.post(&approval.replace("/approve", "/decline"), &word).key(OPERATOR).send().await;
    assert_eq!(crate::wallets::problem(&decline), "409 conflict");
    let unknown = format!("/api/v1/admin/approvals/{}/approve", house.ctx.clock.uuid_v7());
    assert_eq!(house.post(&unknown, &word).key(OPERATOR).send().await.status, 404);
    assert_eq!(house.post(&path, &credit).key(&admin).send().await.status, 409, "it is closed");
    let record = house.read(&of(&payer, "actions"), &admin).await;
    let who = record["actions"][0]["who"].as_str().expect("text").to_owned();
    assert!(who.starts_with("key:") && who.ends_with(", approved by operator"), "{who}");
    assert_eq!(house.balance(&payer).await.minted, 21_000_000);
    assert_eq!(house.read("/api/v1/admin/reviews", &admin).await["reviews"], json!([]));
    assert_eq!(
        house.read("/api/v1/admin/reviews?state=all", &admin).await["reviews"].as_array().map(Vec::len),
        Some(1)
    );
    books::audit(&house.database.pool).await;
}
