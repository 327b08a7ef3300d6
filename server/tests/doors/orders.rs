//! Credits are bought over HTTP: the pack, the order, the coin, the payment, the balance, and an answer paid from it.

use domain::flags::{self, Flag, Turn};
use pay::simulator::{Fault, Manner};
use serde_json::{Value, json};
use testing::books;
use types::MicroUsd;

use crate::client::Reply;
use crate::house::{House, Payer};

impl House {
    pub(crate) async fn order(&self, payer: &Payer, pack: &str, idempotency_key: &str) -> Reply {
        let ask = self.post("/api/v1/orders", &json!({"pack": pack})).key(&payer.api_key);
        ask.header("idempotency-key", idempotency_key).send().await
    }

    pub(crate) async fn choose(&self, payer: &Payer, order: &str, currency: &str) -> Reply {
        let path = format!("/api/v1/orders/{order}/payment");
        self.post(&path, &json!({"currency": currency})).key(&payer.api_key).send().await
    }

    pub(crate) async fn order_of(&self, payer: &Payer, order: &str) -> Value {
        let reply = self.get(&format!("/api/v1/orders/{order}")).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// An order of the standard pack with a payment in bitcoin: the order's id and the payment's.
    pub(crate) async fn bought(&self, payer: &Payer) -> (String, String) {
        let made = self.order(payer, "standard", &self.ctx.clock.uuid_v7().to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let order = made.json()["id"].as_str().expect("an id").to_owned();
        let chosen = self.choose(payer, &order, "btc").await;
        assert_eq!(chosen.status, 200, "{}", chosen.text());
        let payment = chosen.json()["payment"]["id"].as_str().expect("an id").to_owned();
        (order, payment)
    }

    pub(crate) async fn turn(&self, flag: Flag, to: Turn) {
        flags::set(&self.database.pool, &self.ctx.clock, flag, to, "operator", "a test")
            .await
            .expect("turned");
        self.ctx.flags.follow(&self.database.pool).await.expect("followed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_dollars_become_ten_and_a_half_and_pay_for_a_streamed_answer() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let packs = house.get("/api/v1/packs").send().await.json();
    let totals: Vec<(String, i64)> = packs["packs"]
        .as_array()
        .expect("packs")
        .iter()
        .map(|pack| {
            let micro =
                |field: &str| pack[field].as_str().expect("a figure").parse::<i64>().expect("a number");
            let slug = pack["pack"].as_str().expect("a slug").to_owned();
            (slug, micro("credits_micro") + micro("bonus_micro"))
        })
        .collect();
    let expected = [("starter", 5_000_000), ("standard", 10_500_000), ("premium", 27_500_000)];
    assert_eq!(totals, expected.map(|(slug, total)| (slug.to_owned(), total)));
    assert_eq!(packs["is_open"], true);

    let made = house.order(&payer, "standard", "mine-1").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let order = made.json();
    assert_eq!((&order["status"], &order["price_amount"]), (&json!("waiting"), &json!("10")));
    assert_eq!((&order["credits_micro"], &order["bonus_micro"]), (&json!("10000000"), &json!("500000")));
    assert_eq!(order["payment"], Value::Null, "no coin is chosen");
    let again = house.order(&payer, "standard", "mine-1").await.json();
    assert_eq!(again["id"], order["id"], "the same key is the same order");
    let id = order["id"].as_str().expect("an id");

    let offered = house.order_of(&payer, id).await;
    assert_eq!(offered["coins_complete"], true, "{offered}");
    assert!(offered["coins"].as_array().expect("coins").iter().any(|coin| coin["currency"] == "btc"));
    let chosen = house.choose(&payer, id, "BTC").await;
    assert_eq!(chosen.status, 200, "{}", chosen.text());
    let chosen = chosen.json();
    let payment = &chosen["payment"];
    assert!(payment["pay_address"].is_string() && payment["pay_amount"].is_string(), "{payment}");
    let payment = payment["id"].as_str().expect("an id");
    let same = house.choose(&payer, id, "btc").await.json();
    assert_eq!(same["payment"]["id"], payment, "the same coin is the same payment");

    let notices = house.simulator.pay(payment).await.expect("paid");
    assert!(!notices.is_empty() && notices.iter().all(pay::simulator::Notice::is_accepted), "{notices:?}");
    let paid = house.order_of(&payer, id).await;
    assert_eq!((&paid["status"], &paid["is_credited"]), (&json!("finished"), &json!(true)), "{paid}");
    assert_eq!(paid["text"], "Credits added to your account!");
    let balance = house.balance(&payer).await;
    assert_eq!((balance.minted, balance.available), (10_500_000, 10_500_000));

    let body = json!({"model": "cheap", "stream": true, "max_tokens": 50,
        "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "hi !tokens 33"}]});
    let answer = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await;
    assert_eq!(answer.events().last().expect("one").1, "[DONE]", "{}", answer.text());
    let spent = house.settled(&payer).await.spent;
    let receipt = answer.events().iter().find_map(|(_, data)| {
        let event: Value = serde_json::from_str(data).ok()?;
        event["x_freeside"]["cost_micro"].as_str().map(|text| text.parse::<i64>().expect("a number"))
    });
    assert_eq!(receipt, Some(spent));
    // Every step again changes nothing.
    house.simulator.send_again(payment).await.expect("sent");
    let balance = house.settled(&payer).await;
    assert_eq!((balance.minted, balance.available), (10_500_000, 10_500_000 - spent));
    let upgraded = house.ask("POST", "/api/v1/developers/upgrade").key(&payer.api_key).send().await;
    assert_eq!(upgraded.status, 201, "what was bought opens a live key");
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_bought_is_refused_with_the_next_step() {
    let house = House::open().await;
    let (payer, stranger) = (house.payer(MicroUsd::ZERO).await, house.payer(MicroUsd::ZERO).await);
    let problem = |reply: &Reply| {
        let problem = reply.json();
        (reply.status.as_u16(), problem["type"].as_str().expect("a type").to_owned())
    };
    let unkeyed = house.post("/api/v1/orders", &json!({"pack": "standard"})).key(&payer.api_key).send().await;
    assert_eq!(problem(&unkeyed), (400, "/problems/invalid-request".to_owned()));
    assert_eq!(unkeyed.json()["field"], "Idempotency-Key");
    let pack = house.order(&payer, "huge", "a").await;
    assert_eq!(problem(&pack), (404, "/problems/pack-not-found".to_owned()));
    let first = house.order(&payer, "standard", "b").await;
    assert_eq!(first.status, 201);
    let other = house.order(&payer, "premium", "b").await;
    assert_eq!(problem(&other), (422, "/problems/idempotency-key-reused".to_owned()));
    assert_eq!(house.order(&stranger, "premium", "b").await.status, 201, "a key is its account's own");
    let order = first.json()["id"].as_str().expect("an id").to_owned();
    let coin = house.choose(&payer, &order, "shells").await;
    assert_eq!(problem(&coin), (400, "/problems/coin-not-offered".to_owned()));
    for (payer, order) in [(&stranger, order.as_str()), (&payer, "nonsense")] {
        let path = format!("/api/v1/orders/{order}");
        assert_eq!(house.get(&path).key(&payer.api_key).send().await.status, 404);
        assert_eq!(house.choose(payer, order, "btc").await.status, 404, "another's order is not there");
    }
    house.simulator.fail_next(9, Fault::Busy);
    let busy = house.choose(&payer, &order, "eth").await;
    assert_eq!(problem(&busy), (503, "/problems/payments-unavailable".to_owned()));
    assert!(!busy.header("retry-after").is_empty());
    house.simulator.mend();
    let again = house.choose(&payer, &order, "eth").await;
    assert_eq!(
        problem(&again),
        (503, "/problems/payments-unavailable".to_owned()),
        "that coin is left alone for a while"
    );
    let (order, payment) = house.bought(&payer).await;
    house.simulator.pay(&payment).await.expect("paid");
    let done = house.choose(&payer, &order, "ltc").await;
    assert_eq!(problem(&done), (409, "/problems/order-done".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_stops_new_orders_and_nothing_else() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    let (order, payment) = house.bought(&payer).await;
    assert_eq!(house.get("/api/v1/flags").send().await.json()["flags"]["crypto_payments"], true);
    house.turn(Flag::CryptoPayments, Turn::Off).await;
    assert_eq!(house.get("/api/v1/flags").send().await.json()["flags"]["crypto_payments"], false);
    assert_eq!(house.get("/api/v1/packs").send().await.json()["is_open"], false);
    let refused = house.order(&payer, "standard", "late").await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["type"].clone()),
        (503, json!("/problems/payments-off"))
    );
    assert_eq!(house.choose(&payer, &order, "ltc").await.status, 503, "nor a new payment");
    let notices = house.simulator.pay(&payment).await.expect("paid");
    assert!(notices.iter().all(pay::simulator::Notice::is_accepted), "{notices:?}");
    assert_eq!(house.balance(&payer).await.available, 11_500_000, "an old order's notice still credits");
    let body = json!({"prompt": "hi !tokens 2"});
    assert_eq!(house.post("/api/agents/invoke", &body).key(&payer.api_key).send().await.status, 200);
    house.turn(Flag::CryptoPayments, Turn::On).await;
    assert_eq!(house.order(&payer, "standard", "late").await.status, 201);
    house.settled(&payer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_for_keys_stops_new_ones_and_old_ones_work() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd(1_000_000)).await;
    house.turn(Flag::ApiKeys, Turn::Off).await;
    let sign_up = house.post("/api/v1/developers/register", &json!({"name": "Ada"})).send().await;
    let key = house.post("/api/v1/keys", &json!({"name": "another"})).key(&payer.api_key).send().await;
    let upgrade = house.ask("POST", "/api/v1/developers/upgrade").key(&payer.api_key).send().await;
    for reply in [sign_up, key, upgrade] {
        assert_eq!(
            (reply.status.as_u16(), reply.json()["type"].clone()),
            (503, json!("/problems/sign-up-off"))
        );
    }
    assert_eq!(house.get("/api/v1/keys").key(&payer.api_key).send().await.status, 200);
    let rotate = format!("/api/v1/keys/{}/rotate", payer.key_id);
    assert_eq!(house.ask("POST", &rotate).key(&payer.api_key).send().await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_notices_credit_once_and_a_refund_takes_it_back() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    house.simulator.deliver_all_as(Manner::Shuffled);
    let (order, payment) = house.bought(&payer).await;
    house.simulator.pay(&payment).await.expect("paid");
    assert_eq!(house.balance(&payer).await.available, 10_500_000);
    house.simulator.deliver_as(&payment, Manner::Plain).expect("known");
    house.simulator.refund(&payment).await.expect("refunded");
    let balance = house.balance(&payer).await;
    assert_eq!((balance.minted, balance.reversed, balance.available), (10_500_000, 10_500_000, 0));
    let seen = house.order_of(&payer, &order).await;
    assert_eq!((&seen["status"], &seen["text"]), (&json!("refunded"), &json!("Refund processed")));
    books::audit(&house.database.pool).await;
}
