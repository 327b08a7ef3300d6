//! Wallets' sessions in started processes: one secret, any process, and an end that reaches them all.

use identity::{Secret, SessionSecrets, Sessions};
use serde_json::json;
use testing::served::until;
use types::{Clock, WalletId};

use crate::client::Client;
use crate::world::{PATIENCE, World};

const SECRET: &str = "a session secret for tests, long enough";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_in_one_process_ends_in_the_other() {
    let world = World::new().await;
    let launch = world.launch().with("SIWE_SESSION_SECRET", SECRET);
    let (one, other) = (launch.start().await, launch.start().await);
    let secrets = SessionSecrets::new(&Secret::new(SECRET), None).expect("long enough");
    let sessions = Sessions::new(world.database.pool.clone(), secrets, Clock::system());
    let opened = sessions
        .open(WalletId::by_key(types::Wallet([7; 20])), "http://127.0.0.1", "test")
        .await
        .expect("a session");
    let at = |served| Client::new(served, opened.token.reveal());
    for served in [&one, &other] {
        let listed = at(served.gateway()).get("/api/v1/sessions").await;
        assert_eq!(listed.status, 200, "{}", listed.text);
    }
    let path = format!("/api/v1/sessions/{}", opened.session.id);
    let ended = at(one.gateway()).send("DELETE", &path, "".into(), &[]).await;
    assert_eq!(ended.status, 204, "{}", ended.text);
    assert_eq!(at(one.gateway()).get("/api/v1/sessions").await.status, 401, "at once where it was asked");
    let after = until("it ends in the other process", PATIENCE, async || {
        at(other.gateway()).get("/api/v1/sessions").await.status == 401
    })
    .await;
    println!("sessions: ended in another process after {after:.0?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_signs_developers_up_by_their_wallets_alone() {
    let world = World::new().await;
    let launch = world
        .launch()
        .with("FREESIDE_ENV", "production")
        .with("FREESIDE_ALLOW_SCRIPTED", "true")
        .with("FREESIDE_KEYS_DIR", "service-keys")
        .with("FREESIDE_OPERATOR_TOKEN", "an operator's token for tests, long enough")
        .with("FEATURE_API_KEYS_ENABLED", "true")
        .with("SIWE_SESSION_SECRET", SECRET);
    launch.run(&["keys", "bootstrap"]).await;
    let served = launch.start().await;
    let nobody =
        Client::new(served.gateway(), "").post("/api/v1/developers/register", &json!({"name": "Ada"})).await;
    assert!(nobody.status == 401 && nobody.text.contains("sign-in-needed"), "{}", nobody.text);
    let secrets = SessionSecrets::new(&Secret::new(SECRET), None).expect("long enough");
    let sessions = Sessions::new(world.database.pool.clone(), secrets, Clock::system());
    let opened = sessions
        .open(WalletId::by_key(types::Wallet([7; 20])), "http://127.0.0.1", "test")
        .await
        .expect("a session");
    let ada = Client::new(served.gateway(), opened.token.reveal());
    let made = ada.post("/api/v1/developers/register", &json!({"name": "Ada"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let keys = ada.get("/api/v1/keys").await;
    assert_eq!(keys.json()["keys"][0]["id"], made.json()["key_id"], "{}", keys.text);
}
