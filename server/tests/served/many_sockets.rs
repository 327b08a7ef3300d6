//! What idle sockets cost: memory, and the wait of those that speak while the others are silent.
//!
//! 200 of them in every run; 10,000 with `FREESIDE_TEST_LONG=1`, for which the figures of `docs/benchmarks.md` are. Waits
//! are printed and not asserted: they are the machine's as much as ours.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use testing::served::Served;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::World;

/// An address has ten seats.
const PER_ADDRESS: usize = 10;
/// All of the process, with its sockets, in KiB: the promise for 10,000.
const MEMORY_KIB: u64 = 350 * 1024;
/// Rounds in each of which one socket in a hundred speaks.
const ROUNDS: usize = 10;

fn count() -> usize {
    if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 10_000 } else { 200 }
}

/// A socket by hand: no buffers on this side, so that ten thousand fit beside the process that is measured.
async fn open(to: SocketAddr, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    stream.set_nodelay(true).expect("a fresh socket");
    let host = number / PER_ADDRESS;
    let head = format!(
        "GET /ws/chat?tokenId=demo:1 HTTP/1.1\r\nhost: {to}\r\norigin: http://{to}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         x-forwarded-for: 198.{}.{}.{}\r\n\r\n",
        18 + host / 65_536,
        host / 256 % 256,
        host % 256
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("it answers"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    let welcome = frame(&mut stream).await;
    assert!(welcome.contains("welcome"), "{welcome}");
    stream
}

/// The next text frame; the server's own pings are passed over.
async fn frame(stream: &mut TcpStream) -> String {
    loop {
        let kind = stream.read_u8().await.expect("a frame");
        let length = match stream.read_u8().await.expect("a length") {
            126 => usize::from(stream.read_u16().await.expect("a length")),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.expect("a payload");
        if kind == 0x81 {
            return String::from_utf8(payload).expect("text");
        }
    }
}

async fn ping(stream: &mut TcpStream) -> Duration {
    let payload = br#"{"type":"ping"}"#;
    let mut bytes = vec![0x81, 0x80 | u8::try_from(payload.len()).expect("short"), 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    let began = Instant::now();
    stream.write_all(&bytes).await.expect("sent");
    let pong = frame(stream).await;
    assert!(pong.contains("pong"), "{pong}");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sockets_are_cheap() {
    let count = count();
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard);
    }
    let world = World::new().await;
    let served: Served = world.launch().with("FREESIDE_TRUSTED_PROXIES", "127.0.0.1").start().await;
    let before = served.resident_kib();
    let mut sockets = Vec::with_capacity(count);
    for number in 0..count {
        sockets.push(open(served.gateway(), number).await);
    }
    let opened = served.resident_kib();
    let mut waits = Vec::new();
    for round in 0..ROUNDS {
        for number in (round..count).step_by(100) {
            waits.push(ping(&mut sockets[number]).await);
        }
    }
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    let after = served.resident_kib();
    println!(
        "idle sockets: {count}; {before} KiB before, {opened} KiB open, {after} KiB after {} pings; wait p50 {:.2?}, p99 {:.2?}",
        waits.len(),
        at(50),
        at(99)
    );
    assert!(after < MEMORY_KIB, "{after} KiB for {count} sockets");
}
