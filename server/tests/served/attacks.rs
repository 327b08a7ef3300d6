//! Attacks on the connection itself, against the server as it is shipped: requests that two parsers might read
//! differently, and heads that no client sends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::question;
use crate::provider::Provider;
use crate::world::{PLENTY, World};

/// A second request, hidden behind the first: nothing may ever answer it.
const SMUGGLED: &str = "GET /version HTTP/1.1\r\nHost: smuggled\r\n\r\n";

/// Sends these bytes, and reads everything that comes until the connection ends or rests.
async fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(to).await.expect("it listens");
    // It may answer and close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_millis(1_500), socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_hides_another_one() {
    let world = World::new().await;
    let served = world.launch().start().await;
    let framings = [
        ("a length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 43\r\n\r\n"),
        ("a length with a sign", "Content-Length: +4\r\n\r\n{}  "),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("an idle coding", "Transfer-Encoding: identity\r\n\r\n"),
        ("a vertical tab before the coding", "Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"),
        ("a space before the colon", "Content-Length : 0\r\n\r\n"),
        ("a folded line", "X-Folded: a\r\n Content-Length: 43\r\n\r\n"),
        ("a chunk of a bad size", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        ("a chunk of a negative size", "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n"),
    ];
    for (what, rest) in framings {
        let request = format!("POST /api/v1/siwe/nonce HTTP/1.1\r\nHost: test\r\n{rest}{SMUGGLED}");
        let answer = raw(served.gateway(), request.as_bytes()).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{what}: {answers} answers: {answer}");
        assert!(matches!(status(&answer), 0 | 400..=499), "{what}: {answer}");
        assert!(!answer.contains("\"contract\""), "{what}: the hidden request was answered: {answer}");
    }
    let sound =
        format!("POST /api/v1/siwe/nonce HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{{}}{SMUGGLED}");
    let both = raw(served.gateway(), sound.as_bytes()).await;
    assert_eq!(both.matches("HTTP/1.1 ").count(), 2, "two requests on one connection are two: {both}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_no_client_sends_are_refused() {
    let world = World::new().await;
    let served = world.launch().start().await;
    let host = "Host: test\r\nConnection: close\r\n";
    let many = "x-flood: 1\r\n".repeat(150);
    let heads = [
        (
            "70 KB of one header",
            format!("GET /health HTTP/1.1\r\n{host}X-Long: {}\r\n\r\n", "x".repeat(70_000)),
        ),
        ("150 headers", format!("GET /health HTTP/1.1\r\n{host}{many}\r\n")),
        ("a NUL in a header", format!("GET /health HTTP/1.1\r\n{host}X-Nul: a\0b\r\n\r\n")),
        ("a NUL in the path", format!("GET /hea\0lth HTTP/1.1\r\n{host}\r\n")),
        ("a space in the path", format!("GET /hea lth HTTP/1.1\r\n{host}\r\n")),
        ("TRACE", format!("TRACE /health HTTP/1.1\r\n{host}\r\n")),
        ("CONNECT", format!("CONNECT example.com:443 HTTP/1.1\r\n{host}\r\n")),
        ("no Host", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned()),
        ("two Hosts", format!("GET /health HTTP/1.1\r\nHost: a\r\n{host}\r\n")),
        ("HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ];
    for (what, head) in heads {
        let answer = raw(served.gateway(), head.as_bytes()).await;
        assert!(matches!(status(&answer), 0 | 400..=499 | 505), "{what}: {answer}");
    }
    let escaped = format!("GET /health%0d%0aX-Injected:%20yes HTTP/1.1\r\n{host}\r\n");
    let answer = raw(served.gateway(), escaped.as_bytes()).await;
    assert_eq!(status(&answer), 404, "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("x-injected: yes"), "{answer}");
    let upgrade =
        format!("GET /health HTTP/1.1\r\n{}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "Host: test\r\n");
    let answer = raw(served.gateway(), upgrade.as_bytes()).await;
    assert_eq!(status(&answer), 200, "an upgrade that is not offered is not taken: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_slow_first_tokens_close_nothing_for_others() {
    let world = World::new().await;
    let (slow, other) = (world.payer(PLENTY).await, world.payer(PLENTY).await);
    let provider = Provider::start().await;
    let quick = provider
        .catalog()
        .replace("hold_slice_tokens = 2048", "hold_slice_tokens = 2048\nfirst_token_seconds = 1");
    let served = world.launch().catalog(&quick).start().await;
    let mut hands = Vec::new();
    for number in 0..3 {
        let text = format!("Say nothing {number}.");
        hands.push(provider.expect(&text));
        let reply = slow.at(&served).ask(&question(&text, 50)).await;
        assert!(matches!(reply.status, 502 | 504), "{}: {}", reply.status, reply.text);
    }
    let hand = provider.expect("Two words.");
    (0..2).for_each(|_| hand.chunk());
    hand.end(5, 2);
    let reply = other.at(&served).ask(&question("Two words.", 50)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    world.audited().await;
}
