//! Attacks that were tried on running instances and held, each named for what has to stay true. Those of one door stand
//! beside its other tests; here are the ones that cross several.

use std::time::Duration;

use http_body_util::BodyExt as _;
use ledger::{NEVER, Op, Source};
use serde_json::{Value, json};
use testing::books;
use testing::served::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use types::{LotId, MicroUsd};

use crate::house::House;
use crate::socket_client::Next;
use crate::wallets::{Browser, Signer, problem};

const PATIENCE: Duration = Duration::from_secs(30);
const CREDIT: MicroUsd = MicroUsd(10_000_000);
/// Markup that runs where it is not escaped, in text, in an attribute and in a script.
const MARKUP: &str = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>";

fn question(text: &str, max_tokens: u32) -> Value {
    json!({"model": "cheap", "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_in_the_middle_of_an_answer_is_owed_and_repaid_first() {
    let house = House::open().await;
    let payer = house.payer(MicroUsd::ZERO).await;
    let lot = LotId(house.ctx.clock.uuid_v7());
    let mint =
        |id, amount| Op::Mint { key: payer.key, id, source: Source::Purchase, amount, expires_at: NEVER };
    house.ctx.ledger.submit(mint(lot, 50_000)).await.expect("minted");
    let mut body = question("go on !tokens 60 !pace 10", 100);
    body["stream"] = json!(true);
    let mut response = house.post("/v1/chat/completions", &body).key(&payer.api_key).open().await;
    assert_eq!(response.status(), 200);
    let _ = response.frame().await.expect("it goes on").expect("bytes");
    house.ctx.ledger.submit(Op::Reverse { key: payer.key, lot }).await.expect("taken back");
    let rest = response.collect().await.expect("to its end").to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"), "the answer that began goes on to its end");
    // What is owed is shown apart: the sums agree again when it is repaid.
    until("the answer is settled", PATIENCE, async || house.balance(&payer).await.held == 0).await;
    let balance = house.balance(&payer).await;
    assert!(balance.owed > 0 && balance.available == 0, "{balance:?}");
    let refused = house.post("/v1/chat/completions", &body).key(&payer.api_key).send().await;
    assert_eq!(refused.status, 402, "{}", refused.text());
    let next = LotId(house.ctx.clock.uuid_v7());
    house.ctx.ledger.submit(mint(next, 50_000)).await.expect("minted");
    let after = house.settled(&payer).await;
    assert_eq!((after.owed, after.available), (0, 50_000 - balance.owed));
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_out_of_range_are_refused_at_every_door() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let nine: Vec<String> = (0..9).map(|number| format!("stop{number}")).collect();
    let refused = [
        ("/v1/chat/completions", "n", json!(2)),
        ("/v1/chat/completions", "stop", json!(nine)),
        ("/v1/chat/completions", "temperature", json!(99)),
        ("/v1/chat/completions", "top_p", json!(-1)),
        ("/v1/messages", "temperature", json!(99)),
        ("/api/v1/inference", "stop", json!(nine)),
        ("/api/v1/inference", "temperature", json!(99)),
    ];
    for (path, field, value) in refused {
        let mut body = question("hi", 5);
        body[field] = value;
        let reply = house.post(path, &body).key(&payer.api_key).send().await;
        assert_eq!(reply.status, 400, "{path} {field}: {}", reply.text());
    }
    for path in ["/v1/chat/completions", "/v1/messages", "/api/v1/inference", "/api/agents/invoke"] {
        for tokens in [json!(0), json!(-5), json!(i64::MAX), json!(1e30)] {
            let mut body = question("hi", 5);
            body["max_tokens"] = tokens;
            assert_eq!(house.post(path, &body).key(&payer.api_key).send().await.status, 400, "{path} {body}");
        }
    }
    assert_eq!(house.settled(&payer).await.spent, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_a_million_deep_is_refused_and_the_server_lives() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let million = format!("{{\"messages\":{}", "[".repeat(1_000_000));
    let small = format!("{{\"name\":{}", "[".repeat(60_000));
    for (path, body) in [
        ("/v1/chat/completions", &million),
        ("/v1/messages", &million),
        ("/api/v1/inference", &million),
        ("/api/agents/invoke", &million),
        ("/api/v1/keys", &small),
        ("/api/v1/orders", &small),
    ] {
        let ask = house.ask("POST", path).key(&payer.api_key).header("idempotency-key", "deep");
        let reply = ask.header("content-type", "application/json").body(body.clone()).send().await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
    }
    // Signed: what the vendor says is read as its own bytes, and is kept or refused, never a crash.
    let deep = format!("{{\"payment_id\":{}1{}}}", "[".repeat(16_000), "]".repeat(16_000));
    let signature = pay::notice::sign_bytes(&house.ipn_secret, deep.as_bytes());
    let ask = house.ask("POST", "/api/crypto/webhook").header("x-nowpayments-sig", &signature);
    let reply = ask.header("content-type", "application/json").body(deep).send().await;
    assert!(reply.status.is_client_error(), "{}: {}", reply.status, reply.text());
    assert_eq!(house.get("/health").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_tenants_is_not_there() {
    let house = House::open().await;
    let (victim, thief) = (house.payer(CREDIT).await, house.payer(CREDIT).await);
    let (order, _) = house.bought(&victim).await;
    let id = &victim.key_id;
    let community = victim.key.community;
    let (choice, empty) = (json!({"currency": "btc"}), json!({}));
    for (method, path, body) in [
        ("DELETE", format!("/api/v1/keys/{id}"), &empty),
        ("POST", format!("/api/v1/keys/{id}/rotate"), &empty),
        ("GET", format!("/api/v1/orders/{order}"), &empty),
        ("POST", format!("/api/v1/orders/{order}/payment"), &choice),
        ("GET", format!("/api/v1/communities/{community}/budget"), &empty),
    ] {
        let ask = house.ask(method, &path).key(&thief.api_key).header("content-type", "application/json");
        let theirs = ask.body(body.to_string()).send().await;
        assert_eq!(theirs.status, 404, "{method} {path}: {}", theirs.text());
    }
    let mut browser = Browser::new(&house);
    browser.sign_in(&Signer::number(9)).await;
    assert_eq!(browser.get(&format!("/checkout/{order}")).await.status, 404);
    let requests = house.get("/api/v1/requests").key(&thief.api_key).send().await.json();
    assert_eq!(requests["requests"], json!([]));
    let own = house.get(&format!("/api/v1/communities/{community}/budget")).key(&victim.api_key).send().await;
    assert_eq!(own.status, 200, "the key is untouched and reads its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_makes_neither_admin_keys_nor_money() {
    let house = House::open().await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&Signer::number(1)).await;
    let made = browser.post("/api/v1/developers/register", &json!({"name": "Ada"})).await.json();
    let admin = browser.post("/api/v1/keys", &json!({"name": "mine", "scopes": ["admin"]})).await;
    assert_eq!(problem(&admin), "400 invalid-request");
    let community = made["community_id"].as_str().expect("an id");
    let grant = json!({"account_id": made["account_id"], "amount_micro": "5000000", "reason": "for me"});
    let path = format!("/api/v1/admin/community/{community}/grants");
    let ask = browser.dress(house.post(&path, &grant)).header("idempotency-key", "mine");
    assert_eq!(problem(&ask.send().await), "403 forbidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_that_changes_something_refuses_another_sites_page() {
    let house = House::open().await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&Signer::number(1)).await;
    let own = browser.origin.clone();
    let (lookalike, port) = (format!("{own}.evil.example"), "http://127.0.0.1:1".to_owned());
    let mut tried = 0;
    for (method, path) in server::routes::changing() {
        let path = path.replace("{id}", "1").replace("{community}", "demo").replace("{slug}", "demo");
        let path = path.replace("{token}", "1").replace("{request_id}", "1");
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", &lookalike),
            ("origin", &port),
            ("sec-fetch-site", "cross-site"),
        ] {
            let ask = browser.with_cookies(house.ask(method.as_str(), &path)).header(name, value);
            let reply = ask.header("content-type", "application/x-www-form-urlencoded").send().await;
            assert_eq!(reply.status, 403, "{method} {path} {name}: {value}: {}", reply.text());
            tried += 1;
        }
    }
    assert!(tried >= 230, "{tried}");
    let known = browser.get("/api/v1/siwe/session").await.json();
    assert_eq!(known["authenticated"], true, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_one_address_are_counted_whatever_is_guessed() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let operators = "/api/v1/admin/payments?status=stuck";
    for (from, path, guess) in [
        ("203.0.113.1", "/v1/models", "lf_live_aaaaaaaaaaaa_wrong"),
        ("203.0.113.2", operators, "a guess at the operator's token"),
    ] {
        let mut statuses = Vec::new();
        for number in 0..30 {
            let ask = house.get(path).key(&format!("{guess}{number}")).header("x-forwarded-for", from);
            statuses.push(ask.send().await.status.as_u16());
        }
        assert_eq!(statuses.first(), Some(&401), "{path}");
        assert_eq!(statuses.last(), Some(&429), "{path}: {statuses:?}");
        assert!(statuses.iter().filter(|status| **status == 401).count() <= 21, "{path}: {statuses:?}");
    }
    let elsewhere = house.get("/v1/models").key(&payer.api_key).header("x-forwarded-for", "203.0.113.3");
    assert_eq!(elsewhere.send().await.status, 200, "another address is not asked to wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_parameters_with_markup_are_text_on_every_page() {
    let house = House::open().await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&Signer::number(1)).await;
    let made = browser.post("/api/v1/developers/register", &json!({"name": MARKUP})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let key = browser.post("/api/v1/keys", &json!({"name": MARKUP})).await.json();
    let slug = format!("dev-{}", made["community_id"].as_str().expect("an id"));
    let mut paths: Vec<String> =
        ["/account", "/developers/account", "/developers/requests", "/buy", "/admin"]
            .iter()
            .map(|path| (*path).to_owned())
            .collect();
    paths.push(format!("/developers/keys/{}", key["id"].as_str().expect("an id")));
    for page in
        ["", "/caps", "/agents", "/routing", "/ledger", "/conservation", "/payments", "/reviews", "/settings"]
    {
        paths.push(format!("/admin/{slug}{page}"));
    }
    let markup: String = form_urlencoded(MARKUP);
    for (path, name) in [
        ("/agents", "after"),
        ("/signin", "return"),
        ("/signin", "challenge"),
        ("/buy", "return"),
        ("/developers/requests", "model"),
        ("/developers/requests", "from"),
        ("/embed", "agent"),
        ("/embed", "host"),
        ("/chat/demo/1", "before"),
    ] {
        paths.push(format!("{path}?{name}={markup}"));
    }
    paths.push(format!("/admin/{slug}/routing?model={markup}"));
    paths.push(format!("/problems/{markup}"));
    paths.push(format!("/chat/{markup}/1"));
    let mut named = 0;
    for path in &paths {
        let page = browser.read(path).await;
        assert!(!page.status.is_server_error(), "{path}: {}", page.status);
        let text = page.text();
        assert!(!text.contains("<img src=x") && !text.contains("<script>alert"), "{path}: {text}");
        named += usize::from(text.contains("&lt;script&gt;") || text.contains("&lt;img src=x"));
    }
    assert!(named >= 4, "the names are on some of them: {named}");
}

/// As a browser writes it into an address.
fn form_urlencoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_turns_text_around_is_refused() {
    let house = House::open().await;
    let payer = house.payer(CREDIT).await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&Signer::number(1)).await;
    for control in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}'] {
        let name = format!("user{control}nimda");
        let signed_up = browser.post("/api/v1/developers/register", &json!({"name": name})).await;
        assert_eq!(
            (signed_up.status.as_u16(), &signed_up.json()["field"]),
            (400, &json!("name")),
            "{control:?}"
        );
        let key = house.post("/api/v1/keys", &json!({"name": name})).key(&payer.api_key).send().await;
        assert_eq!((key.status.as_u16(), &key.json()["field"]), (400, &json!("name")), "{control:?}");
    }
    let hebrew =
        house.post("/api/v1/keys", &json!({"name": "\u{5e9}\u{5dc}\u{5d5}\u{5dd}"})).key(&payer.api_key);
    assert_eq!(hebrew.send().await.status, 201, "a script of its own direction is a name");
}

/// Sends these bytes and reads the status of what comes.
async fn raw(house: &House, request: &str) -> u16 {
    let mut stream = TcpStream::connect(house.address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_one_host_is_refused_wherever_it_goes() {
    let house = House::open().await;
    for path in ["/health", "/v1/models", "/docs", "/nothing", "/api/v1/keys"] {
        for hosts in [
            "",
            "Host: a.example\r\nHost: b.example\r\n",
            "Host: a.example\r\nHost: a.example\r\n",
            "Host: a b\r\n",
            "Host:\r\n",
        ] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            assert_eq!(raw(&house, &request).await, 400, "{path} {hosts:?}");
        }
    }
    assert_eq!(
        raw(&house, "GET /health HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await,
        200
    );
    assert_eq!(raw(&house, "GET /health HTTP/1.0\r\n\r\n").await, 200, "HTTP/1.0 has no Host");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_frames_closes_its_socket_alone() {
    let house = House::open().await;
    domain::demo::ensure(&house.ctx).await.expect("made");
    let mut quiet = house.socket("demo:1", "192.0.2.1").await.expect("opened");
    quiet.frame("welcome").await;
    let mut loud = house.socket("demo:1", "192.0.2.2").await.expect("opened");
    loud.frame("welcome").await;
    loud.send_text(&format!("{}{}", "[".repeat(2_000), "]".repeat(2_000))).await.expect("sent");
    assert_eq!(loud.error().await, "bad_frame", "deep frames are refused");
    let mut answered = 0;
    for _ in 0..400 {
        if loud.send("ping", &json!({})).await.is_err() {
            break;
        }
        answered += 1;
    }
    assert!(answered > 0);
    // The pongs of the first minute's share, and then the close; its connection may be gone before it is read.
    let closed = loop {
        match loud.next().await {
            Next::Frame(..) => {}
            Next::Closed(code) => break Some(code),
            Next::Broken => break None,
        }
    };
    assert!(matches!(closed, Some(1008) | None), "{closed:?}");
    quiet.send("ping", &json!({})).await.expect("sent");
    assert_eq!(quiet.frame("pong").await, json!({}));
}
