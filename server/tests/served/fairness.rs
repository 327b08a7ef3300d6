//! The real binary with as many connections from one address as it takes: another address is served all the while.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::world::World;

/// More than one address's share of 20,000.
const ATTEMPTS: usize = 1_500;

async fn connect(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().expect("an address"))?;
    socket.connect(to).await
}

/// A whole request; its answer's status line.
async fn look(from: &str, to: SocketAddr) -> String {
    let mut stream = connect(from, to).await.expect("it listens");
    let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_heads_of_one_address_keep_nobody_else_out() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard);
    }
    let world = World::new().await;
    let served = world.launch().start().await;
    let to = served.gateway();
    let began = Instant::now();
    assert_eq!(look("127.0.0.1", to).await, "HTTP/1.1 200 OK");
    let alone = began.elapsed();
    let mut held = Vec::new();
    for _ in 0..ATTEMPTS {
        let mut stream = connect("127.0.0.2", to).await.expect("the kernel takes it");
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n").await;
        held.push(stream);
    }
    assert_ne!(look("127.0.0.2", to).await, "HTTP/1.1 200 OK", "its share is used up");
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(look("127.0.0.1", to).await, "HTTP/1.1 200 OK");
        let beside = began.elapsed();
        println!("alone {alone:.1?}, beside {ATTEMPTS} half-sent heads {beside:.1?}");
        assert!(beside < Duration::from_secs(2).max(5 * alone), "{beside:?}, alone {alone:?}");
    }
    drop(held);
    world.audited().await;
}
