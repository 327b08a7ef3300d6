//! Administrators by wallet: which community is whose, lists over several, and repairs that another approves.

use serde_json::{Value, json};
use types::{CommunityId, MicroUsd, WalletId};

use crate::client::Reply;
use crate::house::{House, OPERATOR, Payer, SESSION_SECRET};
use crate::wallets::{Browser, Signer, problem};

impl House {
    pub(crate) async fn make_admin(&self, community: CommunityId, wallet: WalletId) {
        let mut connection = self.database.pool.acquire().await.expect("a connection");
        let by = domain::community::Deputy { who: "operator", reason: "a test" };
        domain::community::add_admin(&mut connection, &self.ctx.clock, community, wallet, by)
            .await
            .expect("added");
    }
}

fn of(payer: &Payer, what: &str) -> String {
    format!("/api/v1/admin/community/{}/{what}", payer.key.community)
}

const READS: [&str; 8] =
    ["usage", "billing", "agents", "audit", "conservation", "caps", "actions", "pool-enforcement"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_administers_its_own_community_and_no_other() {
    let house = House::open().await;
    let (payer, other) = (house.payer(MicroUsd(1_000_000)).await, house.payer(MicroUsd(1_000_000)).await);
    let (signer, stranger) = (Signer::number(1), Signer::number(2));
    house.make_admin(payer.key.community, signer.address()).await;
    let (mut admin, mut nobody) = (Browser::new(&house), Browser::new(&house));
    admin.sign_in(&signer).await;
    nobody.sign_in(&stranger).await;
    for what in READS {
        let reply = admin.get(&of(&payer, what)).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        assert_eq!(admin.get(&of(&other, what)).await.status, 404, "{what}");
        assert_eq!(nobody.get(&of(&payer, what)).await.status, 404, "{what}");
    }
    let body = json!({"limit_micro": "7", "reason": "a wallet may"});
    let put =
        |browser: &Browser<'_>, payer: &Payer| browser.dress(house.put(&of(payer, "caps"), &body)).send();
    assert_eq!(put(&admin, &other).await.status, 404);
    assert_eq!(put(&nobody, &payer).await.status, 404);
    let foreign =
        admin.with_cookies(house.put(&of(&payer, "caps"), &body)).header("origin", "https://evil.example");
    assert_eq!(problem(&foreign.send().await), "403 cross-site-request");
    assert_eq!(put(&admin, &payer).await.status, 200);
    let record = admin.get(&of(&payer, "actions")).await.json();
    let who: Vec<&Value> =
        record["actions"].as_array().expect("a list").iter().map(|deed| &deed["who"]).collect();
    assert_eq!(who, [&json!(format!("wallet:{}", signer.address())), &json!("operator")]);

    // The right ends with the row, at once.
    let mut connection = house.database.pool.acquire().await.expect("a connection");
    let by = domain::community::Deputy { who: "operator", reason: "a test" };
    let (clock, community) = (&house.ctx.clock, payer.key.community);
    domain::community::remove_admin(&mut connection, clock, community, signer.address(), by)
        .await
        .expect("removed");
    assert_eq!(admin.get(&of(&payer, "usage")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_over_communities_is_of_one_that_the_wallet_administers() {
    let house = House::open().await;
    let (payer, second, other) = (
        house.payer(MicroUsd::ZERO).await,
        house.payer(MicroUsd::ZERO).await,
        house.payer(MicroUsd::ZERO).await,
    );
    let signer = Signer::number(1);
    let mut admin = Browser::new(&house);
    admin.sign_in(&signer).await;
    for list in ["/api/v1/admin/payments?status=stuck", "/api/v1/admin/reviews?state=open"] {
        assert_eq!(admin.get(list).await.status, 404, "{list}: of nothing");
    }
    house.make_admin(payer.key.community, signer.address()).await;
    for list in ["/api/v1/admin/payments?status=stuck", "/api/v1/admin/reviews?state=open"] {
        assert_eq!(admin.get(list).await.status, 200, "{list}: there is one");
        let of = |payer: &Payer| format!("{list}&community={}", payer.key.community);
        assert_eq!(admin.get(&of(&other)).await.status, 404, "{list}");
        assert_eq!(admin.get(&of(&payer)).await.status, 200, "{list}");
        assert_eq!(admin.get(&format!("{list}&community=x")).await.status, 400, "{list}");
        assert_eq!(house.get(&of(&other)).key(OPERATOR).send().await.status, 200, "{list}");
    }
    house.make_admin(second.key.community, signer.address()).await;
    let which = admin.get("/api/v1/admin/reviews").await;
    assert_eq!((which.status.as_u16(), &which.json()["field"]), (400, &json!("community")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_by_wallet_wants_a_fresh_signature_and_another_administrator_where_there_is_one() {
    let house = House::open().await;
    let (payer, other) = (house.payer(MicroUsd::ZERO).await, house.payer(MicroUsd::ZERO).await);
    let (first, second, stranger) = (Signer::number(1), Signer::number(2), Signer::number(3));
    house.make_admin(payer.key.community, first.address()).await;
    house.make_admin(other.key.community, stranger.address()).await;
    let payment = house.paid_and_silent(&payer).await;
    let path = format!("/api/v1/admin/payments/{payment}/reconcile");
    let body = json!({"reason": "the buyer shows a finished transaction"});
    let (mut one, mut two, mut three) = (Browser::new(&house), Browser::new(&house), Browser::new(&house));
    one.sign_in(&first).await;
    two.sign_in(&second).await;
    three.sign_in(&stranger).await;
    assert_eq!(three.post(&path, &body).await.status, 404, "another community's");

    // Alone, the administrator confirms.
    let asked = one.post(&path, &body).await;
    assert_eq!((asked.status.as_u16(), &asked.json()["by_another"]), (202, &json!(false)));

    // With a second one, that one does, and nobody else.
    house.make_admin(payer.key.community, second.address()).await;
    let asked = one.post(&path, &body).await;
    assert_eq!((asked.status.as_u16(), &asked.json()["by_another"]), (202, &json!(true)));
    let mut confirmed = body.clone();
    confirmed["confirmation"] = asked.json()["confirmation"].clone();
    assert_eq!(problem(&one.post(&path, &confirmed).await), "409 not-confirmed");
    let key = house.admin_of(&payer).await;
    assert_eq!(problem(&house.post(&path, &confirmed).key(&key).send().await), "409 not-confirmed");
    assert_eq!(three.post(&path, &confirmed).await.status, 404);
    assert_eq!(house.balance(&payer).await.minted, 0);

    // A signature of six minutes ago is not enough.
    let mut late = house.signed_in_earlier(&two, second.address(), 6).await;
    assert_eq!(late.get(&of(&payer, "usage")).await.status, 200, "it is good for all else");
    assert_eq!(problem(&late.post(&path, &confirmed).await), "401 session-over");
    // And handing it on makes it no fresher.
    let code = late.post("/api/v1/siwe/handoff", &json!({})).await.json()["code"].clone();
    let beside = late.post("/api/v1/siwe/exchange", &json!({"code": code})).await.json();
    let token = beside["token"].as_str().expect("a session beside it");
    let ask = house.post(&path, &confirmed).key(token).header("origin", &late.origin);
    assert_eq!(problem(&ask.send().await), "401 session-over");
    let done = two.post(&path, &confirmed).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(house.balance(&payer).await.minted, 10_500_000);
    assert_eq!(problem(&two.post(&path, &confirmed).await), "409 not-confirmed");
    let record = one.get(&of(&payer, "actions")).await.json();
    let who = record["actions"][0]["who"].as_str().expect("text").to_owned();
    assert_eq!(who, format!("wallet:{}, approved by wallet:{}", first.address(), second.address()));
}

impl House {
    /// The browser, had it signed in some minutes earlier.
    pub(crate) async fn signed_in_earlier<'a>(
        &'a self,
        browser: &Browser<'a>,
        wallet: WalletId,
        minutes: i64,
    ) -> Browser<'a> {
        let earlier = types::Clock::fixed(self.ctx.clock.now() - time::Duration::minutes(minutes));
        let secret = identity::Secret::new(SESSION_SECRET);
        let secrets = identity::SessionSecrets::new(&secret, None).expect("long enough");
        let sessions = identity::Sessions::new(self.database.pool.clone(), secrets, earlier);
        let old = sessions.open(wallet, &browser.origin, "earlier").await.expect("a session");
        let mut late = Browser::new(self);
        for (name, value) in &browser.cookies {
            let value = if value.matches('.').count() == 2 { old.token.reveal() } else { value };
            late.cookies.insert(name.clone(), value.to_owned());
        }
        late
    }

    /// An order whose payment arrived while no notice did.
    pub(crate) async fn paid_and_silent(&self, payer: &Payer) -> String {
        let (_, payment) = self.bought(payer).await;
        self.simulator.deliver_as(&payment, pay::simulator::Manner::Silent).expect("known");
        self.simulator.pay(&payment).await.expect("paid");
        payment
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decision_is_told_with_what_was_asked_what_answered_and_why() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(5_000_000)).await;
    let admin = house.admin_of(&payer).await;
    // A live key acts as tier 4: the flagship pool is above it, and the standard one is its default.
    for model in ["cheap", "flagship", "native", "cheap"] {
        let ask = json!({"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]});
        let reply: Reply = house.post("/v1/chat/completions", &ask).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    house.settled(&payer).await;
    let read = async |query: &str| {
        let reply = house.get(&(of(&payer, "pool-enforcement") + query)).key(&admin).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let all = read("").await;
    let told: Vec<[&Value; 4]> = all["decisions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| [&row["requested_model"], &row["requested_pool"], &row["actual_pool"], &row["reason"]])
        .collect();
    let row =
        |model, asked: Option<&str>, pool, reason| [json!(model), json!(asked), json!(pool), json!(reason)];
    let expected = [
        row("cheap", Some("cheap"), "cheap", "requested"),
        row("native", None, "standard", "default"),
        row("flagship", Some("flagship"), "standard", "forbidden_pool"),
        row("cheap", Some("cheap"), "cheap", "requested"),
    ];
    assert_eq!(told.len(), 4, "{all}");
    for (told, expected) in told.iter().zip(&expected) {
        assert!(
            told.iter().zip(expected).all(|(one, other)| **one == *other),
            "{told:?} is not {expected:?}"
        );
    }
    assert_eq!(
        (&all["by_pool"]["cheap"]["requests"], &all["by_pool"]["cheap"]["share_basis_points"]),
        (&json!(2), &json!(5_000))
    );
    assert_eq!(all["by_reason"]["forbidden_pool"]["requests"], 1);
    let sum = |rows: &Value| {
        let rows = rows.as_array().expect("a list").iter();
        rows.map(|row| {
            row["cost_micro"].as_str().and_then(|cost| cost.parse::<i64>().ok()).expect("a figure")
        })
        .sum::<i64>()
    };
    let usage = house.get(&of(&payer, "usage")).key(&admin).send().await.json();
    assert_eq!(
        json!(sum(&all["decisions"]).to_string()),
        usage["total"]["cost_micro"],
        "the journal says the same"
    );

    let some = read("?pool=standard&reason=default").await;
    assert_eq!(some["decisions"].as_array().map(Vec::len), Some(1), "{some}");
    assert_eq!(read("?agent=demo:1").await["decisions"], json!([]));
    let first = read("?limit=3").await;
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let rest = read(&format!("?limit=3&cursor={cursor}")).await;
    assert_eq!((rest["decisions"].as_array().map(Vec::len), &rest["next_cursor"]), (Some(1), &Value::Null));
    for bad in ["?pool=huge", "?cursor=x", "?from=yesterday", "?agent=%00"] {
        let path = of(&payer, "pool-enforcement") + bad;
        assert_eq!(house.get(&path).key(&admin).send().await.status, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_that_signs_up_administers_the_community_that_this_makes() {
    let house = House::open().await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&Signer::number(1)).await;
    let made = browser.post("/api/v1/developers/register", &json!({"name": "Ada"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let community = made.json()["community_id"].as_str().expect("an id").to_owned();
    assert_eq!(browser.get(&format!("/api/v1/admin/community/{community}/usage")).await.status, 200);
    let other = house.post("/api/v1/developers/register", &json!({"name": "Bob"})).send().await.json();
    let community = other["community_id"].as_str().expect("an id").to_owned();
    assert_eq!(browser.get(&format!("/api/v1/admin/community/{community}/usage")).await.status, 404);
}
