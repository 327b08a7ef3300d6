//! finn lets nobody in but freeside, and nobody twice: real tokens and forged ones at its real port.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::ServiceKeys;
use serde_json::{Value, json};
use testing::postgres::TestDatabase;
use testing::served::{Launch, Served, free_address, is_installed, until};
use tokio::process::Command;
use types::s2s::Claims;
use types::{Clock, CommunityId, Pool, ReservationId, Tier};

use crate::client::{Client, Reply};
use crate::two_processes::Halves;
use crate::world::{PATIENCE, World};

fn keys(launch: &Launch) -> ServiceKeys {
    ServiceKeys::load(&launch.data().join("keys"), Clock::system()).expect("freeside has made its keys")
}

fn claims(keys: &ServiceKeys) -> Claims {
    let id = ReservationId(Clock::system().uuid_v7());
    keys.mint_claims(id, CommunityId(1), Tier::LIVE, "", &[Pool::Cheap])
}

async fn present(finn: std::net::SocketAddr, token: Option<&str>) -> Reply {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> =
        authorization.as_deref().map(|text| ("authorization", text)).into_iter().collect();
    let body = json!({"prompt": "hi", "max_tokens": 4, "stream": true}).to_string().into();
    Client::new(finn, "").send("POST", "/api/v1/inference", body, &headers).await
}

fn base64(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// What nobody who lacks the key can do better.
fn forgeries(keys: &ServiceKeys) -> Vec<(&'static str, Option<String>)> {
    let good = keys.sign(&claims(keys));
    let parts: Vec<&str> = good.split('.').collect();
    let with_header = |header: &Value| {
        let unsigned = format!("{}.{}", base64(header), parts[1]);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, keys.jwks().json.as_ref());
        let tag = ring::hmac::sign(&key, unsigned.as_bytes());
        format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let kid = keys.active_kid();
    let sign = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims(keys);
        change(&mut claims);
        Some(keys.sign(&claims))
    };
    let mut tampered: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("JSON");
    tampered["tier"] = json!("9");
    vec![
        ("no token at all", None),
        ("no token but words", Some("let me in".to_owned())),
        ("an audience of another service", sign(&|claims| "loa-dixie".clone_into(&mut claims.aud))),
        ("another issuer", sign(&|claims| "loa-finn".clone_into(&mut claims.iss))),
        ("an expired token", sign(&|claims| (claims.iat, claims.exp) = (claims.iat - 120, claims.exp - 120))),
        (
            "a token of tomorrow",
            sign(&|claims| (claims.iat, claims.exp) = (claims.iat + 86_400, claims.exp + 86_400)),
        ),
        ("an id that is empty", sign(&|claims| claims.jti = String::new())),
        ("an empty signature", Some(format!("{}.{}.", parts[0], parts[1]))),
        ("no signature", Some(format!("{}.{}", parts[0], parts[1]))),
        (
            "alg none",
            Some(format!("{}.{}.", base64(&json!({"alg": "none", "kid": kid, "typ": "JWT"})), parts[1])),
        ),
        (
            "alg HS256 over the public keys",
            Some(with_header(&json!({"alg": "HS256", "kid": kid, "typ": "JWT"}))),
        ),
        (
            "a signature of another kind",
            Some(with_header(&json!({"alg": "ES256", "kid": kid, "typ": "JWT"}))),
        ),
        (
            "an unknown kid",
            Some(format!(
                "{}.{}.{}",
                base64(&json!({"alg": "ES256", "kid": "other", "typ": "JWT"})),
                parts[1],
                parts[2]
            )),
        ),
        ("a tampered claim", Some(format!("{}.{}.{}", parts[0], base64(&tampered), parts[2]))),
        (
            "a signature of another token",
            Some(format!("{}.{}.{}", parts[0], parts[1], {
                let other = keys.sign(&claims(keys));
                other.rsplit('.').next().expect("three parts").to_owned()
            })),
        ),
    ]
}

async fn only_good_tokens_pass(keys: &ServiceKeys, finn: &Served) {
    for (what, token) in forgeries(keys) {
        let reply = present(finn.finn(), token.as_deref()).await;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text);
        assert!(
            token.is_none_or(|token| !reply.text.contains(&token)),
            "{what}: the answer repeats the token"
        );
    }
    // A stranger with a key pair of their own is no better off.
    let folder = tempfile::tempdir().expect("a folder");
    let strange = ServiceKeys::bootstrap(folder.path(), Clock::system()).expect("new keys");
    assert_eq!(
        present(finn.finn(), Some(&strange.sign(&claims(&strange)))).await.status,
        401,
        "a strange key"
    );

    let token = keys.sign(&claims(keys));
    let first = present(finn.finn(), Some(&token)).await;
    assert_eq!(first.status, 200, "{}", first.text);
    for _ in 0..3 {
        assert_eq!(present(finn.finn(), Some(&token)).await.status, 401, "a replay");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finn_in_the_same_process_takes_a_good_token_once_and_no_other() {
    let world = World::new().await;
    let launch = world.launch();
    let served = launch.start().await;
    only_good_tokens_pass(&keys(&launch), &served).await;
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finn_in_a_process_of_its_own_takes_a_good_token_once_and_no_other() {
    let world = World::new().await;
    let halves = Halves::of(&world);
    let (_gateway, finn) = halves.start().await;
    only_good_tokens_pass(&keys(&halves.finn), &finn).await;
    world.audited().await;
}

/// One gateway, and two engines that read its keys.
async fn two_engines(database: &TestDatabase, redis: Option<&str>) -> (ServiceKeys, [Served; 3]) {
    let mut launch =
        Launch::new(env!("CARGO_BIN_EXE_freeside")).with("FREESIDE_LISTEN", free_address().to_string());
    if let Some(url) = redis {
        launch = launch.with("REDIS_URL", url);
    }
    let gateway = launch.clone().on(database).start().await;
    let jwks = format!("http://{}/.well-known/jwks.json", gateway.gateway());
    let finn = launch.clone().role("finn").with("FREESIDE_JWKS_URL", jwks);
    let engines = [gateway, finn.start().await, finn.start().await];
    (keys(&launch), engines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_a_token_is_good_once_over_all_engines() {
    if !is_installed("redis-server") {
        println!("skipped: redis-server is not installed (cargo xtask test installs it)");
        return;
    }
    let address = free_address();
    let mut redis = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
        .arg(address.port().to_string())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it is installed");
    until("Redis listens", PATIENCE, async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
    let database = TestDatabase::new().await;
    let (keys, engines) = two_engines(&database, Some(&format!("redis://{address}/0"))).await;
    for round in 0..3 {
        let token = keys.sign(&claims(&keys));
        for (index, engine) in engines.iter().enumerate() {
            let reply = present(engine.finn(), Some(&token)).await;
            assert_eq!(
                reply.status,
                if index == 0 { 200 } else { 401 },
                "round {round}, engine {index}: {}",
                reply.text
            );
        }
    }
    // Without Redis each process still refuses what it has seen itself.
    redis.kill().await.expect("a child of ours");
    let token = keys.sign(&claims(&keys));
    let seen: Vec<u16> =
        [present(engines[1].finn(), Some(&token)).await, present(engines[1].finn(), Some(&token)).await]
            .map(|reply| reply.status)
            .to_vec();
    assert_eq!(seen, [200, 401], "Redis is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_engine_refuses_what_it_has_seen_itself() {
    let database = TestDatabase::new().await;
    let (keys, engines) = two_engines(&database, None).await;
    let token = keys.sign(&claims(&keys));
    for engine in &engines[1..] {
        assert_eq!(present(engine.finn(), Some(&token)).await.status, 200, "another process has not seen it");
        assert_eq!(present(engine.finn(), Some(&token)).await.status, 401);
    }
}
