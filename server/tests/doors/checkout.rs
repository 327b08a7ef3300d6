//! Buying on pages: the form, the order's page, and who sees it.

use pay::simulator::Script;
use serde_json::json;
use testing::books;
use types::MicroUsd;

use crate::client::{Ask, Reply};
use crate::house::House;
use crate::wallets::{Browser, Signer};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

impl Browser<'_> {
    /// A page, with this browser's cookies.
    pub(crate) async fn read(&self, path: &str) -> Reply {
        self.with_cookies(self.house.get(path)).header("accept", BROWSER).send().await
    }

    /// A form of one of our pages.
    pub(crate) async fn fill(&self, path: &str, fields: &str) -> Reply {
        let ask: Ask<'_> = self.house.ask("POST", path).header("accept", BROWSER);
        let ask = ask.header("content-type", "application/x-www-form-urlencoded").body(fields.to_owned());
        self.dress(ask).send().await
    }
}

/// What stands between two texts, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split(before).nth(1).and_then(|rest| rest.split(after).next()).expect("it is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_buys_for_its_developer_account_and_nobody_else_sees_the_order() {
    let house = House::open().await;
    let mut ada = Browser::new(&house);
    let packs = ada.read("/buy").await.text();
    assert!(packs.contains("$10.50 of credits") && packs.contains("/signin?return=%2Fbuy"));
    let unsigned = ada.fill("/buy", "once=o&pack=standard&for=x").await;
    assert_eq!(unsigned.status, 401, "nobody is signed in");

    ada.sign_in(&Signer::number(7)).await;
    let made = ada.fill("/developers", "name=Ada").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = format!("lf_test_{}", between(&made.text(), ">lf_test_", "<"));
    let page = ada.read("/buy?return=/docs").await;
    assert_eq!(page.header("cache-control"), "no-store");
    let page = page.text();
    let purse = between(&page, "name=\"for\" value=\"", "\"").to_owned();
    let once = between(&page, "name=\"once\" value=\"", "\"").to_owned();
    assert_ne!(once, between(&ada.read("/buy").await.text(), "name=\"once\" value=\"", "\""));

    let fields = format!("once={once}&pack=standard&for={purse}&back=/docs");
    let ordered = ada.fill("/buy", &fields).await;
    assert_eq!(ordered.status, 303, "{}", ordered.text());
    let checkout = ordered.header("location").to_owned();
    assert!(checkout.starts_with("/checkout/") && checkout.ends_with("?return=%2Fdocs"), "{checkout}");
    assert_eq!(ada.fill("/buy", &fields).await.header("location"), checkout, "sent twice, ordered once");
    let other = ada.fill("/buy", &fields.replace("standard", "starter")).await;
    assert_ne!(other.header("location"), checkout, "another pack is another order");
    assert_eq!(ada.fill("/buy", &fields.replace(&purse, "dev-0")).await.status, 422, "no purse of hers");
    let foreign = house.ask("POST", "/buy").header("origin", "https://evil.example").body(fields.clone());
    assert_eq!(ada.with_cookies(foreign).send().await.status, 403);

    let offered = ada.read(&checkout).await.text();
    assert!(offered.contains("name=\"coin\" value=\"btc\"") && offered.contains("no real money"));
    let wrong = ada.fill(&checkout, "coin=shells").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("not on offer"));
    let chosen = ada.fill(&checkout, "coin=btc").await;
    assert_eq!((chosen.status.as_u16(), chosen.header("location")), (303, checkout.as_str()));
    let waiting = ada.read(&checkout).await.text();
    assert!(
        waiting.contains("Payment pending: waiting for confirmation") && waiting.contains("class=\"qr\"")
    );
    let payment = between(&waiting, "#payment-", "\"").to_owned();

    let path = checkout.split('?').next().expect("a path");
    let mut eve = Browser::new(&house);
    let secret = between(&waiting, "<code id=\"address\">", "<").to_owned();
    for reply in [eve.read(path).await, eve.fill(path, "coin=eth").await] {
        assert_eq!(reply.status, 401);
        assert!(!reply.text().contains(&secret) && !reply.text().contains("Standard"));
    }
    eve.sign_in(&Signer::number(8)).await;
    let theirs = eve.read(path).await;
    assert_eq!(theirs.status, 404);
    assert!(!theirs.text().contains(&secret) && !theirs.text().contains("Standard"));
    let unknown = eve.read("/checkout/00000000-0000-7000-8000-000000000000").await;
    assert_eq!(unknown.status, 404, "one that is not there looks the same");
    assert_eq!(eve.read("/checkout/nonsense").await.status, 404);
    let order = path.trim_start_matches("/checkout/");
    assert_eq!(eve.get(&format!("/api/v1/orders/{order}")).await.status, 404);
    let stranger = house.payer(MicroUsd::ZERO).await;
    assert_eq!(eve.fill(path, &format!("key={}", stranger.api_key)).await.status, 404);

    house.simulator.pay(&payment).await.expect("paid");
    let paid = ada.read(&checkout).await.text();
    assert!(paid.contains("Credits added to your account!") && paid.contains("href=\"/docs\""), "{paid}");
    assert!(paid.contains("<dd id=\"new-balance\">$10.50</dd>") && !paid.contains("data-live="));
    let by_key = Browser::new(&house).fill(path, &format!("key={key}")).await;
    assert!(by_key.text().contains("Credits added to your account!"), "a key of the account sees it, too");
    let live = ada.fill("/developers/upgrade", "").await;
    assert!(live.status == 201 && live.text().contains(">lf_live_"), "{}", live.text());
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_buys_without_a_wallet_and_has_to_be_shown_each_time() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let browser = Browser::new(&house);
    let ordered = browser.fill("/buy", &format!("once=a&pack=starter&key={}", payer.api_key)).await;
    assert_eq!(ordered.status, 200, "{}", ordered.text());
    let page = ordered.text();
    assert!(page.contains("Starter pack, $5") && !page.contains(&payer.api_key));
    let path = format!("/checkout/{}", between(&page, "action=\"/checkout/", "\""));
    assert_eq!(browser.fill(&path, "coin=ltc").await.status, 401);
    assert_eq!(browser.fill(&path, "coin=ltc&key=lf_live_wrong").await.status, 401);
    let shown = browser.fill(&path, &format!("coin=ltc&key={}", payer.api_key)).await.text();
    assert!(shown.contains("Pay with Litecoin") && !shown.contains(&payer.api_key));

    let payment = between(&shown, "#payment-", "\"").to_owned();
    house.simulator.run(&payment, Script::Underpay).await.expect("known");
    let short = browser.fill(&path, &format!("key={}", payer.api_key)).await.text();
    assert!(short.contains("Underpaid: send the remainder or contact support"));
    assert!(between(&short, "id=\"missing\">", "<").parse::<f64>().expect("a number") > 0.0);
    house.simulator.run(&payment, Script::Accept).await.expect("known");
    assert_eq!(house.balance(&payer).await.available, 5_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_orders_over_the_api_for_a_community_or_as_a_developer() {
    let house = House::open().await;
    let mut ada = Browser::new(&house);
    ada.sign_in(&Signer::number(9)).await;
    let order = async |ada: &Browser<'_>, body: &serde_json::Value, once: &str| {
        ada.dress(house.post("/api/v1/orders", body)).header("idempotency-key", once).send().await
    };
    let nobody = order(&ada, &json!({"pack": "starter"}), "a").await;
    assert_eq!(nobody.status, 404, "no developer, and no community named");
    let wrong = order(&ada, &json!({"pack": "starter", "community": "nowhere"}), "b").await;
    assert_eq!(wrong.status, 404);

    domain::demo::ensure(&house.ctx).await.expect("a demo");
    let made = order(&ada, &json!({"pack": "starter", "community": "demo"}), "c").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(ada.get(&format!("/api/v1/orders/{id}")).await.status, 200);
    let coin = ada.post(&format!("/api/v1/orders/{id}/payment"), &json!({"currency": "btc"})).await;
    assert_eq!(coin.status, 200, "{}", coin.text());
    let payer = house.payer(MicroUsd::ZERO).await;
    let named = house.post("/api/v1/orders", &json!({"pack": "starter", "community": "demo"}));
    let named = named.key(&payer.api_key).header("idempotency-key", "d").send().await;
    assert_eq!((named.status.as_u16(), &named.json()["field"]), (400, &json!("community")));
}
