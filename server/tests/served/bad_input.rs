//! What strangers and mistakes send: a clear error, nothing charged, nothing repeated, memory within bounds.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use testing::books;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::question;
use crate::provider::{ENDLESS, Provider};
use crate::world::{PLENTY, World};

/// Stands in every body; no answer and no log may repeat it.
const MARKER: &str = "xyzzy-a-private-thought";
/// Clients that dribble in `make test`, and under `FREESIDE_TEST_LONG`.
const SLOW_CLIENTS: (usize, usize) = (2_000, 10_000);
/// Memory that a slow client may cost, generously: a connection's buffers and its task in a debug build.
const KIB_PER_SLOW_CLIENT: u64 = 100;

/// Bodies that cannot be right: what is wrong, the body, the status, the code.
fn bodies() -> Vec<(&'static str, Bytes, u16, &'static str)> {
    let with = |name: &str, value: Value| -> Bytes {
        let mut body = question(MARKER, 10);
        body[name] = value;
        body.to_string().into()
    };
    let invalid_utf8 = [question(MARKER, 10).to_string().as_bytes(), b"\xff"].concat().into();
    vec![
        ("oversize", with("user", json!("x".repeat(5 * 1024 * 1024))), 413, ""),
        ("invalid UTF-8", invalid_utf8, 400, ""),
        ("cut JSON", question(MARKER, 10).to_string()[..60].to_owned().into(), 400, ""),
        ("no JSON", Bytes::from_static(MARKER.as_bytes()), 400, ""),
        ("an array", Bytes::from(format!("[\"{MARKER}\"]")), 400, ""),
        ("no body", Bytes::new(), 400, ""),
        ("deep nesting", with("tools", json!(MARKER)), 400, ""),
        ("a million brackets", Bytes::from("[".repeat(1_000_000)), 400, ""),
        ("an unknown model", with("model", json!("gpt-99")), 404, "model_not_found"),
        ("an unknown agent", with("model", json!("agent:nobody:1")), 404, "model_not_found"),
        ("no messages", with("messages", json!([])), 400, ""),
        ("two answers at once", with("n", json!(2)), 400, ""),
        ("max_tokens 0", with("max_tokens", json!(0)), 400, ""),
        ("max_tokens -1", with("max_tokens", json!(-1)), 400, ""),
        ("max_tokens 2^40", with("max_tokens", json!(1_u64 << 40)), 400, ""),
        ("max_tokens 1.5", with("max_tokens", json!(1.5)), 400, ""),
        (
            "max_tokens 10^400",
            Bytes::from(question(MARKER, 10).to_string().replace(":10,", &format!(":1{},", "0".repeat(400)))),
            400,
            "",
        ),
        ("max_tokens in words", with("max_tokens", json!("ten")), 400, ""),
        (
            "a prompt of 1 MB",
            with("messages", json!([{"role": "user", "content": MARKER.repeat(50_000)}])),
            400,
            "",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_right_gets_a_clear_error_and_nothing_is_charged_or_repeated() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let served = world.launch().with("FREESIDE_LOG", "debug").start().await;
    let client = payer.at(&served);
    for path in ["/v1/chat/completions", "/v1/messages", "/api/v1/inference"] {
        for (what, body, status, code) in bodies() {
            // The native door has a default where the dialects demand a field, and knows no `n`.
            if path.starts_with("/api") && matches!(what, "two answers at once" | "no messages")
                || path == "/v1/messages" && what == "two answers at once"
            {
                continue;
            }
            let reply = client.send("POST", path, body, &[]).await;
            assert_eq!(reply.status, status, "{path}, {what}: {}", reply.text);
            let error = reply.json();
            if path == "/v1/chat/completions" && !code.is_empty() {
                assert_eq!(error["error"]["code"], code, "{what}: {error}");
            }
            assert!(
                reply.text.len() < 1_000,
                "{path}, {what}: an error is a sentence, not {} bytes",
                reply.text.len()
            );
            assert!(
                !reply.text.contains(MARKER) && !reply.text.contains(&payer.key),
                "{path}, {what}: {}",
                reply.text
            );
        }
    }
    let secret = payer.key.rsplit('_').next().expect("a key has parts");
    for (what, headers) in
        [("a wrong type", [("content-type", "text/plain")]), ("a wrong clamp", [("x-freeside-clamp", "all")])]
    {
        let reply = client
            .send("POST", "/v1/chat/completions", question(MARKER, 10).to_string().into(), &headers)
            .await;
        assert!((400..=415).contains(&reply.status), "{what}: {} {}", reply.status, reply.text);
    }
    let broken = crate::client::Client::new(served.gateway(), &format!("lf_live_{MARKER}"));
    let reply = broken.ask(&question(MARKER, 10)).await;
    assert_eq!(reply.status, 401);
    assert!(!reply.text.contains(MARKER), "{}", reply.text);

    // An answer that works, and one that breaks: they may be logged, but not what was said.
    assert_eq!(client.ask(&question(&format!("{MARKER} !tokens 3"), 10)).await.status, 200);
    assert_eq!(client.ask(&question(&format!("{MARKER} !fail 400"), 10)).await.status, 400);
    let log = served.log();
    assert!(log.contains("DEBUG"), "the log says more than usual");
    for (what, text) in [
        ("what was said", MARKER),
        ("the key", &payer.key),
        ("the key's secret", secret),
        ("the pepper", testing::served::PEPPER),
    ] {
        assert!(!log.contains(text), "the log repeats {what}");
    }
    world.audited().await;
    let holds = books::holds(&world.database.pool).await;
    let charged = holds.iter().filter(|hold| hold.charged.is_some()).count();
    assert_eq!((holds.len(), charged), (2, 1), "only what reached the engine was ever held");
}

/// Sends raw bytes and reads what comes until the server closes; the status of the first line, 0 for none.
async fn raw(to: SocketAddr, bytes: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(to).await.expect("it listens");
    // It may answer and close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    (status, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_headers_is_refused_at_the_door() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let served = world.launch().start().await;
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n", payer.key);
    let (status, _) = raw(served.gateway(), format!("{head}connection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(status, 200, "the head alone is fine");
    let many = format!("x-flood: {MARKER}\r\n").repeat(200);
    let floods = [
        ("200 headers", format!("{head}{many}\r\n")),
        ("a header of 1 MB", format!("{head}x-flood: {}\r\n\r\n", "x".repeat(1 << 20))),
        ("an address of 1 MB", format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "x".repeat(1 << 20))),
    ];
    for (what, bytes) in floods {
        let before = served.resident_kib();
        for _ in 0..20 {
            let (status, text) = raw(served.gateway(), bytes.as_bytes()).await;
            // A server that closes in the middle of a flood may reset what it said.
            assert!(matches!(status, 0 | 400 | 414 | 431), "{what}: {text}");
            assert!(!text.contains(MARKER) && !text.contains(&payer.key), "{what}: {text}");
        }
        let grown = served.resident_kib().saturating_sub(before);
        println!("header floods: 20 times {what} cost {grown} KiB");
        assert!(grown < 20 * 1_024, "{what}: {grown} KiB");
    }
    assert_eq!(payer.at(&served).ask(&question("Hi. !tokens 2", 5)).await.status, 200, "it goes on");
    world.audited().await;
}

/// The head of a request that is never finished; every third one has a key and an unfinished body.
fn slow_start(number: usize, key: &str) -> String {
    match number % 3 {
        0 => "GET /v1/models HTTP/1.1\r\nhost: te".to_owned(),
        1 => format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\nx-slow: "
        ),
        _ => format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: 100000\r\n\r\n{{\"messages\": \"{}",
            "x".repeat(4_096)
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_slow_clients_keep_nobody_waiting_and_cost_little_memory() {
    let is_long = std::env::var_os("FREESIDE_TEST_LONG").is_some();
    let wanted = if is_long { SLOW_CLIENTS.1 } else { SLOW_CLIENTS.0 };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit");
    let clients = wanted.min(usize::try_from(hard).expect("a number") / 4 * 3);

    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let served = world.launch().start().await;
    let client = payer.at(&served);
    assert_eq!(client.ask(&question("Hi. !tokens 2", 5)).await.status, 200);
    let before = served.resident_kib();

    let mut sockets = Vec::with_capacity(clients);
    for number in 0..clients {
        let mut socket = TcpStream::connect(served.gateway()).await.expect("it listens");
        socket.write_all(slow_start(number, &payer.key).as_bytes()).await.expect("it reads");
        sockets.push(socket);
    }
    let (enough, is_enough) = tokio::sync::oneshot::channel::<()>();
    let dribble = tokio::spawn(async move {
        let mut is_enough = is_enough;
        let mut rounds = 0;
        loop {
            for socket in &mut sockets {
                let _ = socket.try_write(b"x");
            }
            rounds += 1;
            if is_enough.try_recv().is_ok() {
                return (rounds, sockets);
            }
            tokio::task::yield_now().await;
        }
    });
    let mut slowest = Duration::ZERO;
    for number in 0..40 {
        let began = std::time::Instant::now();
        let reply = client.ask(&question("Hi. !tokens 20", 50)).await;
        assert_eq!(reply.status, 200, "request {number} beside {clients} slow ones: {}", reply.text);
        slowest = slowest.max(began.elapsed());
    }
    let grown = served.resident_kib().saturating_sub(before);
    let _ = enough.send(());
    let (rounds, sockets) = dribble.await.expect("no panic in the dribble");
    println!(
        "slow clients: {clients} dribbled {rounds} bytes each and cost {grown} KiB; 40 requests beside them, the slowest {slowest:.0?}"
    );
    assert!(grown < KIB_PER_SLOW_CLIENT * u64::try_from(clients).expect("a number"), "{grown} KiB");
    drop(sockets);
    world.audited().await;
    assert_eq!(books::holds(&world.database.pool).await.len(), 41, "an unfinished request holds nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_cost_little_memory_and_pay_for_what_was_delivered() {
    // Few: each keeps a debug build busy for seconds until every buffer on the way is full.
    const CLIENTS: usize = 6;
    /// Buffers of four connections, and what waits between them: 700 to 1,500 in fact.
    const KIB_EACH: u64 = 4 * 1_024;
    let world = World::new().await;
    let payer = world.payer(100 * PLENTY).await;
    let provider = Provider::start().await;
    let served = world.launch().catalog(&provider.catalog()).start().await;
    let client = payer.at(&served);
    let mut deaf = Vec::new();
    // The first ones warm the process: code that is paged in, pools, each thread's arena are nobody's deafness.
    let mut before = 0;
    for _ in 0..2 {
        before = served.resident_kib();
        for _ in 0..CLIENTS {
            // More than all buffers between the provider and the client hold.
            deaf.push(client.open(&question(ENDLESS, 120_000)).await.expect("it answers"));
        }
    }
    let grown = served.resident_kib().saturating_sub(before);
    println!("deaf clients: {CLIENTS} more of them cost {grown} KiB");
    assert!(grown < KIB_EACH * u64::try_from(CLIENTS).expect("a number"), "{grown} KiB");
    let hand = provider.expect("Two words.");
    (0..2).for_each(|_| hand.chunk());
    hand.end(5, 2);
    assert_eq!(client.ask(&question("Two words.", 50)).await.status, 200, "others are served");
    let open = books::open_holds(&world.database.pool).await;
    assert_eq!(open, i64::try_from(2 * CLIENTS).expect("a number"), "they are still waited for");
    drop(deaf);
    world.audited().await;
    let holds = books::holds(&world.database.pool).await;
    let partly = holds
        .iter()
        .filter(|hold| hold.tokens_out.is_some_and(|tokens| (100..120_000).contains(&tokens)))
        .count();
    assert_eq!(partly, 2 * CLIENTS, "each pays for its part");
}
