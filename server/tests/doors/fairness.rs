//! What is shared is shared fairly: one client at its worst, and another one is served all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use identity::{KeyKind, KeyLimits, Scopes};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::{MicroUsd, Wallet, WalletId};

use crate::client::Reply;
use crate::house::House;

const CREDIT: MicroUsd = MicroUsd(50_000_000);
const DOORS: [&str; 4] = ["/v1/chat/completions", "/v1/messages", "/api/v1/inference", "/api/agents/invoke"];
/// Who attacks, where an address is all that is known.
const ATTACKER: &str = "198.51.100.1";
/// And who is to be served.
const OTHER: &str = "203.0.113.1";
/// Connections of an attack.
const AT_ONCE: usize = 48;

/// A request whose body stops after `sent` bytes; what is answered, or nothing when the connection is closed.
async fn unfinished(house: &House, path: &str, head: &str, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(house.address).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{head}\r\n\r\n",
        house.address,
        sent + 1
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + sent, b' ');
    // Whoever is refused may find the connection closed.
    let _ = stream.write_all(&bytes).await;
    stream
}

/// The answer's status; 0 when the connection was closed without one.
async fn status_of(stream: &mut TcpStream) -> u16 {
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer).await {
        Ok(_) => String::from_utf8_lossy(&answer[9..]).parse().unwrap_or(0),
        Err(_) => 0,
    }
}

/// Unfinished requests, again and again, until it is dropped.
struct Attack {
    _tasks: JoinSet<()>,
    refused: Arc<AtomicUsize>,
}

impl Attack {
    fn on(house: &Arc<House>, path: &'static str, head: &str, sent: usize) -> Self {
        let refused = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (house, head, refused) = (Arc::clone(house), head.to_owned(), Arc::clone(&refused));
            tasks.spawn(async move {
                loop {
                    let mut stream = unfinished(&house, path, &head, sent).await;
                    if status_of(&mut stream).await == 429 {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        Self { _tasks: tasks, refused }
    }

    /// Waits until it is felt.
    async fn is_felt(&self) {
        let began = Instant::now();
        while self.refused.load(Ordering::Relaxed) == 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "the attacker runs into its share");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The promise of SPEC §14's tests.
fn is_quick(alone: Duration, beside: Duration) {
    assert!(beside < Duration::from_secs(2).max(5 * alone), "{beside:?} beside the attack, {alone:?} alone");
}

async fn timed(asking: impl Future<Output = Reply>, status: u16) -> Duration {
    let began = Instant::now();
    let reply = asking.await;
    assert_eq!(reply.status, status, "{}", reply.text());
    began.elapsed()
}

fn question() -> Value {
    json!({"model": "cheap", "max_tokens": 5, "messages": [{"role": "user", "content": "hi !tokens 2"}], "prompt": "hi"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_accounts_unfinished_prompts_keep_no_other_account_out() {
    let house = Arc::new(House::open_small(64, 512).await);
    let (attacker, other) = (house.payer(CREDIT).await, house.payer(CREDIT).await);
    let ask = |path| house.post(path, &question()).key(&other.api_key).send();
    for path in DOORS {
        let alone = timed(ask(path), 200).await;
        let attack =
            Attack::on(&house, path, &format!("authorization: Bearer {}", attacker.api_key), 200 * 1024);
        attack.is_felt().await;
        for _ in 0..3 {
            is_quick(alone, timed(ask(path), 200).await);
        }
        let own = house.post(path, &json!({"prompt": " ".repeat(250 * 1024)}));
        let own = own.key(&attacker.api_key).send().await;
        if own.status == 429 {
            assert_eq!(own.header("retry-after"), "1", "{path}");
            assert!(own.text().contains("still arriving"), "{path}: {}", own.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_addresss_unfinished_bodies_keep_nobody_from_signing_up() {
    let house = Arc::new(House::open_small(64, 512).await);
    let sign_up = |address: &'static str| {
        let ask = house.post("/api/v1/developers/register", &json!({"name": "Ada"}));
        ask.header("x-forwarded-for", address).send()
    };
    let alone = timed(sign_up("203.0.113.9"), 201).await;
    let attack =
        Attack::on(&house, "/api/v1/siwe/verify", &format!("x-forwarded-for: {ATTACKER}"), 24 * 1024);
    attack.is_felt().await;
    for _ in 0..3 {
        is_quick(alone, timed(sign_up(OTHER), 201).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_addresss_unfinished_notices_keep_no_payment_out() {
    let house = Arc::new(House::open_small(64, 512).await);
    let path = "/api/crypto/webhook";
    let tell = |number: u32| {
        let notice =
            json!({"payment_id": number, "order_id": "nobody", "payment_status": "waiting"}).to_string();
        let signature = pay::notice::sign_bytes(&house.ipn_secret, notice.as_bytes());
        let ask = house.ask("POST", path).header("x-forwarded-for", OTHER);
        ask.header("x-nowpayments-sig", &signature).body(notice).send()
    };
    let alone = timed(tell(1), 200).await;
    let attack = Attack::on(&house, path, &format!("x-forwarded-for: {ATTACKER}"), 24 * 1024);
    attack.is_felt().await;
    for number in 2..5 {
        is_quick(alone, timed(tell(number), 200).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_trickles_is_cut_and_counts_as_a_request() {
    let house = House::open().await;
    let limits = KeyLimits { requests_per_minute: 4, tokens_per_day: 100_000 };
    let payer = house.payer_with(CREDIT, limits, Scopes::developer()).await;
    let head = format!("authorization: Bearer {}", payer.api_key);
    for path in DOORS {
        let began = Instant::now();
        let mut stream = unfinished(&house, path, &head, 10).await;
        assert_eq!(status_of(&mut stream).await, 408, "{path}");
        assert!(began.elapsed() < Duration::from_secs(10), "{path} was read for {:?}", began.elapsed());
    }
    for path in DOORS {
        let reply = house.post(path, &question()).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 429, "{path}: four bodies that broke off were four requests");
        assert!(!reply.header("retry-after").is_empty(), "{path}");
    }
    let reply = house.post(DOORS[0], &question()).key(&payer.api_key).send().await;
    let headers =
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens"];
    assert_eq!(headers.map(|name| reply.header(name)), ["4", "0", "100000"]);
    assert_eq!(reply.header("x-ratelimit-remaining-tokens"), "100000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_slow_notice_is_its_own_fault() {
    let house = House::open().await;
    let mut stream = unfinished(&house, "/api/crypto/webhook", "x-nowpayments-sig: 0", 10).await;
    assert_eq!(status_of(&mut stream).await, 408, "and no 503, which is a failure of ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_accounts_answers_in_flight_keep_no_other_account_out() {
    let house = House::open_small(1, 2).await;
    let (attacker, other) = (house.payer(CREDIT).await, house.payer(CREDIT).await);
    let ask = || house.post(DOORS[0], &question()).key(&other.api_key).send();
    let alone = timed(ask(), 200).await;
    // Long answers that nobody reads.
    let long = json!({"model": "cheap", "stream": true, "max_tokens": 20_000,
        "messages": [{"role": "user", "content": "hi !tokens 20000"}]});
    let mut held = Vec::new();
    for _ in 0..2 {
        let answer = house.post(DOORS[0], &long).key(&attacker.api_key).open().await;
        assert_eq!(answer.status(), 200);
        held.push(answer);
    }
    for path in DOORS {
        let third = house.post(path, &question()).key(&attacker.api_key).send().await;
        assert_eq!((third.status.as_u16(), third.header("retry-after")), (429, "1"), "{path}");
        let text = third.text();
        assert!(text.contains("Too many answers at once for this account"), "{path}: {text}");
        is_quick(alone, timed(ask(), 200).await);
    }
    drop(held);
    house.settled(&attacker).await;
    assert_eq!(house.post(DOORS[0], &question()).key(&attacker.api_key).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_bring_no_new_minute_and_the_21st_of_a_day_is_refused_at_every_door() {
    let house = House::open().await;
    let made = house.post("/api/v1/developers/register", &json!({"name": "Ada"})).send().await.json();
    let first = made["key"].as_str().expect("a key").to_owned();
    let create = || house.post("/api/v1/keys", &json!({"name": "next"})).key(&first).send();
    let mut answered = 0;
    let refused = loop {
        let next = create().await;
        if next.status != 201 {
            break next;
        }
        let next = next.json();
        let key = next["key"].as_str().expect("a key").to_owned();
        let reply = house.post(DOORS[0], &question()).key(&key).send().await;
        answered += usize::from(reply.status == 200);
        let path = format!("/api/v1/keys/{}", next["id"].as_str().expect("an id"));
        assert_eq!(house.ask("DELETE", &path).key(&first).send().await.status, 204);
    };
    assert_eq!(answered, 10, "a sandbox account has ten requests a minute, whatever its keys");
    let is_told = |reply: &Reply| {
        let wait: u64 = reply.header("retry-after").parse().unwrap_or(0);
        assert_eq!(reply.status, 429, "{}", reply.text());
        assert!((86_000..=86_400).contains(&wait), "{wait}");
        assert!(reply.text().contains("at most 20 keys a day"), "{}", reply.text());
    };
    is_told(&refused);
    let listed = house.get("/api/v1/keys").key(&first).send().await.json();
    assert_eq!(listed["keys"].as_array().expect("a list").len(), 20);
    let id = made["key_id"].as_str().expect("an id");
    is_told(&house.ask("POST", &format!("/api/v1/keys/{id}/rotate")).key(&first).send().await);
    let page =
        house.ask("POST", "/developers/keys").header("content-type", "application/x-www-form-urlencoded");
    let page = page.body(format!("key={first}&name=x&scope=chat")).send().await;
    assert_eq!(page.status, 429, "{}", page.text());
    assert!(page.text().contains("20 keys a day"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_one_of_the_twenty_keys_of_a_day() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    for _ in 0..19 {
        let made = house.post("/api/v1/keys", &json!({"name": "x"})).key(&payer.api_key).send().await.json();
        let path = format!("/api/v1/keys/{}", made["id"].as_str().expect("an id"));
        assert_eq!(house.ask("DELETE", &path).key(&payer.api_key).send().await.status, 204);
    }
    let upgrade = house.ask("POST", "/api/v1/developers/upgrade").key(&payer.api_key).send().await;
    assert_eq!(upgrade.status, 429, "{}", upgrade.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_an_account_share_a_minute_and_another_account_has_its_own() {
    let house = House::open().await;
    let usual = KeyLimits::default_for(KeyKind::Live);
    let payer = house.payer_with(CREDIT, usual, Scopes::developer()).await;
    let other = house.payer_with(CREDIT, usual, Scopes::developer()).await;
    let alone = timed(house.post(DOORS[0], &question()).key(&other.api_key).send(), 200).await;
    let second =
        house.post("/api/v1/keys", &json!({"name": "second"})).key(&payer.api_key).send().await.json();
    let second = second["key"].as_str().expect("a key");
    let mut refused = None;
    for number in 0..61 {
        let key = if number % 2 == 0 { &payer.api_key } else { second };
        let reply = house.ask("POST", DOORS[0]).key(key).body("{").send().await;
        match reply.status.as_u16() {
            400 => assert!(number < 60, "sixty of both together"),
            429 => refused = Some(reply),
            other => panic!("{other}: {}", reply.text()),
        }
    }
    let refused = refused.expect("the 61st");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    is_quick(alone, timed(house.post(DOORS[0], &question()).key(&other.api_key).send(), 200).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ups_of_an_ipv6_network_count_together() {
    let house = House::open().await;
    let sign_up = |address: &'static str| {
        let ask = house.post("/api/v1/developers/register", &json!({"name": "Ada"}));
        ask.header("x-forwarded-for", address).send()
    };
    for address in ["2001:db8:7:7::1", "2001:db8:7:7::2", "2001:db8:7:7:ffff::3"] {
        assert_eq!(sign_up(address).await.status, 201, "{address}");
    }
    let refused = sign_up("2001:db8:7:7:1:2:3:4").await;
    assert_eq!(refused.status, 429);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(sign_up("2001:db8:7:8::1").await.status, 201, "the next network");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_addresss_sockets_keep_nobody_from_talking() {
    let house = Arc::new(House::open().await);
    domain::demo::ensure(&house.ctx).await.expect("made");
    let (session, _) = house.signed_in(WalletId::by_key(Wallet([0xa; 20]))).await;
    let talk = async || {
        let began = Instant::now();
        let mut socket = house.speaking("demo:1", OTHER, &session).await;
        socket.send("chat", &json!({"message": "Hello. !tokens 3"})).await.expect("sent");
        let last = socket.answer().await.pop().expect("an end");
        assert_eq!(last.0, "stream_end", "{last:?}");
        began.elapsed()
    };
    let alone = talk().await;
    // All the sockets that one address may have stay open and say nothing; more are asked for without a pause.
    let mut attack = JoinSet::new();
    let refused = Arc::new(AtomicUsize::new(0));
    for _ in 0..AT_ONCE {
        let (house, refused) = (Arc::clone(&house), Arc::clone(&refused));
        attack.spawn(async move {
            let mut held = Vec::new();
            loop {
                if let Ok(socket) = house.socket("demo:1", ATTACKER).await {
                    held.push(socket);
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    testing::served::until("the attack is felt", Duration::from_secs(30), async || {
        refused.load(Ordering::Relaxed) > AT_ONCE
    })
    .await;
    is_quick(alone, talk().await);
    is_quick(alone, talk().await);
    drop(attack);
}
