//! Credits are bought from the real binary; it dies at each step of a notice, loses its PostgreSQL, has its switch
//! turned and its books tampered with. What was paid is credited, once.

use std::time::Instant;

use pay::notice::{IpnSecret, sign_bytes};
use pay::simulator::{self, Manner, Running, Simulator};
use serde_json::{Value, json};
use testing::books;
use testing::postgres::TestCluster;
use testing::served::{Launch, Served, until};
use types::Clock;

use crate::client::{Client, Reply, is_acknowledged, question};
use crate::world::{PATIENCE, Payer, World};

const API_KEY: &str = "a merchant's key for tests";
const SECRET: &str = "an IPN secret for tests";
/// The standard pack with its bonus.
const PACK: i64 = 10_500_000;

/// A world that buys at a payment processor of its own.
struct Shop {
    world: World,
    simulator: Running,
    secret: IpnSecret,
}

impl Shop {
    async fn of(world: World) -> Self {
        let secret = IpnSecret::new(SECRET).expect("not blank");
        let settings = simulator::Settings::new(API_KEY, secret.clone(), Clock::system());
        let simulator = Simulator::start(settings).await.expect("a port");
        // The tests tell by themselves what the processor would.
        simulator.deliver_all_as(Manner::Silent);
        Self { world, simulator, secret }
    }

    fn launch(&self) -> Launch {
        self.world
            .launch()
            .with("NOWPAYMENTS_API_KEY", API_KEY)
            .with("NOWPAYMENTS_IPN_SECRET", SECRET)
            .with("NOWPAYMENTS_API_URL", self.simulator.url())
    }

    /// Says that a payment is finished, as the processor would; an error: the connection broke.
    async fn tell_finished(&self, served: &Served, order: &str, payment: &str) -> anyhow::Result<Reply> {
        let notice = json!({
            "payment_id": payment, "order_id": order, "payment_status": "finished", "price_amount": 10,
            "price_currency": "usd", "pay_amount": 0.0002, "actually_paid": 0.0002, "pay_currency": "btc",
        });
        let body = notice.to_string();
        let signature = sign_bytes(&self.secret, body.as_bytes());
        let nobody = Client::new(served.gateway(), "");
        nobody
            .try_send("POST", "/api/crypto/webhook", body.into(), &[("x-nowpayments-sig", &signature)])
            .await
    }
}

/// Orders the standard pack and chooses bitcoin: the order's id and the payment's.
async fn order(client: &Client) -> (String, String) {
    let made = place(client, "standard").await;
    assert_eq!(made.status, 201, "{}", made.text);
    let order = made.json()["id"].as_str().expect("an id").to_owned();
    let chosen = client.post(&format!("/api/v1/orders/{order}/payment"), &json!({"currency": "btc"})).await;
    assert_eq!(chosen.status, 200, "{}", chosen.text);
    let payment = chosen.json()["payment"]["id"].as_str().expect("an id").to_owned();
    (order, payment)
}

async fn place(client: &Client, pack: &str) -> Reply {
    let key = Clock::system().uuid_v7().to_string();
    let body = json!({"pack": pack}).to_string();
    client.send("POST", "/api/v1/orders", body.into(), &[("idempotency-key", &key)]).await
}

async fn minted(world: &World, payer: &Payer) -> i64 {
    sqlx::query_scalar("select minted from account where id = $1")
        .bind(payer.account.account.0)
        .fetch_one(&world.database.pool)
        .await
        .expect("an account")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_dollars_paid_at_the_built_in_simulator_pay_for_a_streamed_answer() {
    let world = World::new().await;
    let payer = world.payer(0).await;
    let served = world.launch().start().await;
    assert!(served.said().contains("payment simulator: no money moves"), "{}", served.said());
    let client = payer.at(&served);
    let (order, payment) = order(&client).await;
    let press = Client::new(served.simulator(), "");
    let pressed = press.post(&format!("/simulator/payments/{payment}/pay"), &json!({})).await;
    assert!((200..300).contains(&pressed.status), "{} {}", pressed.status, pressed.text);
    let took = until("the credits are there", PATIENCE, async || {
        client.get(&format!("/api/v1/orders/{order}")).await.json()["is_credited"] == true
    })
    .await;
    println!("credited {took:.1?} after somebody pressed pay");
    assert_eq!(books::available(&world.database.pool, payer.account.account.0).await, PACK);
    let answer = client.ask(&question("Hello. !tokens 33", 50)).await;
    assert!(is_acknowledged(&answer.events()), "{}", answer.text);
    books::closed(&world.database.pool, PATIENCE).await;
    let left = books::available(&world.database.pool, payer.account.account.0).await;
    assert_eq!(left, PACK - answer.cost(), "to the micro");
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kill_switch_works_without_a_restart_and_what_was_paid_still_credits() {
    let shop = Shop::of(World::new().await).await;
    let payer = shop.world.payer(1_000_000).await;
    let launch = shop.launch();
    let (one, other) = (launch.start().await, launch.start().await);
    let (first, second) = (payer.at(&one), payer.at(&other));
    let (order, payment) = order(&first).await;
    let said = launch.run(&["flags", "set", "crypto_payments", "off", "--reason", "a drill"]).await;
    assert!(said.contains("crypto_payments is off"), "{said}");
    let turned = Instant::now();
    let is_on =
        async |client: &Client| client.get("/api/v1/flags").await.json()["flags"]["crypto_payments"] == true;
    for client in [&first, &second] {
        until("the switch is off", PATIENCE, async || !is_on(client).await).await;
        assert_eq!(place(client, "standard").await.status, 503);
    }
    println!("the kill switch was in force in both processes after {:.1?}", turned.elapsed());
    let refused = place(&first, "standard").await;
    assert_eq!(refused.json()["type"], "/problems/payments-off");
    let listed = launch.run(&["flags", "list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        (&listed["flags"][0]["is_on"], &listed["flags"][0]["who"]),
        (&json!(false), &json!("command line"))
    );
    let ready = first.get("/readyz?verbose").await;
    assert!(ready.status == 200 && ready.text.contains("payments: closed"), "{}", ready.text);

    let told = shop.tell_finished(&other, &order, &payment).await.expect("answered");
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(minted(&shop.world, &payer).await, 1_000_000 + PACK);
    assert_eq!(first.ask(&question("Hi. !tokens 2", 5)).await.status, 200, "credits still spend");
    launch.run(&["flags", "set", "FEATURE_CRYPTO_PAYMENTS_ENABLED", "on"]).await;
    until("the switch is on", PATIENCE, async || is_on(&second).await).await;
    assert_eq!(place(&second, "standard").await.status, 201);
    shop.world.audited().await;
}

/// A notice kills the process at `failpoint`; the next life gets the same notice, twice.
async fn dies_at(failpoint: &str) {
    let shop = Shop::of(World::new().await).await;
    let payer = shop.world.payer(0).await;
    let launch = shop.launch();
    let mut first = launch.clone().with("FREESIDE_FAILPOINTS", failpoint).start().await;
    let (order, payment) = order(&payer.at(&first)).await;
    assert!(shop.tell_finished(&first, &order, &payment).await.is_err(), "nobody is told that all is well");
    assert!(!first.ended().await.success(), "it was killed");
    let before = minted(&shop.world, &payer).await;
    let is_committed = matches!(failpoint, "pay.after_commit" | "webhook.applied");
    assert_eq!(before, if is_committed { PACK } else { 0 }, "{failpoint}: all or nothing");
    let second = launch.start().await;
    for _ in 0..2 {
        let told = shop.tell_finished(&second, &order, &payment).await.expect("answered");
        assert_eq!(told.status, 200, "{}", told.text);
        assert_eq!(minted(&shop.world, &payer).await, PACK, "{failpoint}");
    }
    let seen = payer.at(&second).get(&format!("/api/v1/orders/{order}")).await.json();
    assert_eq!((&seen["status"], &seen["is_credited"]), (&json!("finished"), &json!(true)));
    shop.world.audited().await;
}

macro_rules! deaths {
    ($($name:ident: $failpoint:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            dies_at($failpoint).await;
        }
    )*};
}

deaths! {
    a_death_after_the_signature_loses_no_payment: "webhook.authenticated";
    a_death_before_the_transaction_loses_no_payment: "pay.before_apply";
    a_death_before_the_mint_loses_no_payment: "pay.before_mint";
    a_death_after_the_mint_loses_no_payment: "pay.after_mint";
    a_death_before_the_commit_of_a_payment_loses_none: "pay.before_commit";
    a_death_after_the_commit_of_a_payment_credits_once: "pay.after_commit";
    a_death_before_the_answer_to_a_notice_credits_once: "webhook.applied";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_while_postgres_dies_is_5xx_and_its_retry_credits() {
    let cluster = TestCluster::start_private().await;
    let shop = Shop::of(World::of(cluster.database().await)).await;
    let payer = shop.world.payer(0).await;
    let served = shop.launch().start().await;
    let (order, payment) = order(&payer.at(&served)).await;
    // The notice is in the middle of its transaction: it waits for the order's row.
    let mut tx = shop.world.database.pool.begin().await.expect("a transaction");
    sqlx::query("select 1 from purchase_order for update").execute(&mut *tx).await.expect("locked");
    let waits = async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%purchase_order%'",
        )
        .fetch_one(&shop.world.database.pool)
        .await
        .expect("readable");
        waiting > 0
    };
    let (told, ()) = tokio::join!(shop.tell_finished(&served, &order, &payment), async {
        until("the notice waits for the row", PATIENCE, waits).await;
        cluster.kill_postgres().await;
    });
    let told = told.expect("answered");
    assert!(told.status >= 500, "{} {}", told.status, told.text);
    drop(tx);
    cluster.dead().await;
    let away = shop.tell_finished(&served, &order, &payment).await.expect("answered");
    assert_eq!(away.status, 503, "{}", away.text);
    assert!(!away.header("retry-after").is_empty());
    cluster.start_again().await;
    until("the same notice is taken in", PATIENCE, async || {
        shop.tell_finished(&served, &order, &payment).await.expect("answered").status == 200
    })
    .await;
    assert_eq!(minted(&shop.world, &payer).await, PACK);
    shop.world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_were_tampered_with_are_seen_and_frozen_and_others_go_on() {
    let world = World::new().await;
    let (victim, other) = (world.payer(1_000_000).await, world.payer(1_000_000).await);
    let launch = world.launch();
    let served = launch.start().await;
    let account = victim.account.account.to_string();
    let admin = launch.run(&["admin-key", "--account", &account]).await;
    let admin = admin.trim();
    let (one, two) = (victim.at(&served), other.at(&served));
    assert_eq!(one.ask(&question("Hi. !tokens 2", 5)).await.status, 200);
    books::closed(&world.database.pool, PATIENCE).await;
    // One micro-USD more than the journal says; the table's own checks see nothing wrong with it.
    sqlx::query("update account set minted = minted + 1, available = available + 1 where id = $1")
        .bind(victim.account.account.0)
        .execute(&world.database.owner_pool())
        .await
        .expect("tampered");
    let took = until("the account is frozen", PATIENCE, async || {
        sqlx::query_scalar("select frozen_at is not null from account where id = $1")
            .bind(victim.account.account.0)
            .fetch_one(&world.database.pool)
            .await
            .expect("readable")
    })
    .await;
    println!("a tampered account was frozen after {took:.1?}");
    let refused = one.post("/api/v1/inference", &json!({"prompt": "hi"})).await;
    assert_eq!((refused.status, refused.json()["type"].clone()), (403, json!("/problems/account-frozen")));
    assert_eq!(two.ask(&question("Hi. !tokens 2", 5)).await.status, 200, "others go on");
    let path = format!("/api/v1/admin/community/{}/conservation", victim.account.community);
    let shown = Client::new(served.gateway(), admin).get(&path).await.json();
    assert_eq!(shown["conservation_result"], "violated", "{shown}");
    assert_eq!((&shown["frozen_accounts"], &shown["difference_micro"]), (&json!(1), &json!("1")), "{shown}");
    assert!(shown["violations"][0]["what"].as_str().is_some_and(|what| what.contains("minted")), "{shown}");
    let metrics = Client::new(served.gateway(), "").get("/metrics").await.text;
    let counted = metrics.lines().find_map(|line| line.strip_prefix("ledger_conservation_violations_total "));
    assert!(counted.is_some_and(|count| count.trim() != "0"), "{counted:?}");
    books::closed(&world.database.pool, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_without_a_merchants_account_serves_sells_nothing_and_says_what_would() {
    let world = World::new().await;
    let payer = world.payer(1_000_000).await;
    let launch = world
        .launch()
        .with("FREESIDE_ENV", "production")
        .with("FREESIDE_ALLOW_SCRIPTED", "true")
        .with("FREESIDE_KEYS_DIR", "service-keys")
        .with("FREESIDE_OPERATOR_TOKEN", "an operator's token for tests, long enough")
        .with("SIWE_SESSION_SECRET", "a session secret for tests, long enough");
    launch.run(&["keys", "bootstrap"]).await;
    let served = launch.start().await;
    for part in ["NOWPAYMENTS_API_KEY", "FEATURE_CRYPTO_PAYMENTS_ENABLED"] {
        assert!(served.said().contains(part), "{part}: {}", served.said());
    }
    assert!(!served.said().contains("simulator: no money"), "{}", served.said());
    let client = payer.at(&served);
    let ready = client.get("/readyz?verbose").await;
    assert!(ready.status == 200 && ready.text.contains("NOWPAYMENTS_IPN_SECRET"), "{}", ready.text);
    assert_eq!(place(&client, "standard").await.status, 503);
    let notice = client.send("POST", "/api/crypto/webhook", "{}".into(), &[("x-nowpayments-sig", "0")]).await;
    assert_eq!(notice.status, 503, "{}", notice.text);
    assert_eq!(client.ask(&question("Hi. !tokens 2", 5)).await.status, 200);
    world.audited().await;
}
