//! The web chat over real processes: an answer outlives the socket, and what a process wrote another one shows.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use identity::{Secret, Session, SessionSecrets, Sessions, Tickets};
use serde_json::{Value, json};
use testing::served::{Launch, Served, until};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use types::{Clock, WalletId};
use uuid::Uuid;

use crate::world::{PATIENCE, World};

const SECRET: &str = "a session secret for tests that is long enough";
/// The least that the setting takes.
const LEASE_SECONDS: &str = "2";
/// Answers that each client asks for again and never reads, and what all of that may cost: what is shown is held once.
const AGAIN: usize = 60;
const GROWTH_KIB: u64 = 24 * 1024;

/// A person who signed in, beside the processes.
struct Person {
    session: std::sync::Arc<Session>,
    tickets: Tickets,
    clock: Clock,
}

impl Person {
    async fn new(world: &World, wallet: u8) -> Self {
        let clock = Clock::system();
        let secrets = SessionSecrets::new(&Secret::new(SECRET), None).expect("long enough");
        let sessions = Sessions::new(world.database.pool.clone(), secrets, clock.clone());
        let opened = sessions
            .open(WalletId::by_key(types::Wallet([wallet; 20])), "http://127.0.0.1", "a test")
            .await
            .expect("opened");
        let tickets = Tickets::new(world.database.pool.clone(), clock.clone());
        Self { session: opened.session, tickets, clock }
    }

    async fn connect(&self, to: SocketAddr) -> Socket {
        self.connect_over(to, TcpStream::connect(to).await.expect("it listens")).await
    }

    async fn connect_over(&self, to: SocketAddr, stream: TcpStream) -> Socket {
        let url = format!("ws://{to}/ws/chat?tokenId=demo:1");
        let mut request = url.into_client_request().expect("a sound address");
        request.headers_mut().insert("origin", format!("http://{to}").parse().expect("a header"));
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("opened");
        let mut socket = Socket(socket);
        assert_eq!(socket.next().await.expect("a welcome").0, "welcome");
        let ticket = self.tickets.issue(&self.session).await.expect("a ticket");
        socket.send("auth", &json!({"ticket": ticket.reveal()})).await;
        assert_eq!(socket.next().await.expect("a welcome").1["authenticated"], true);
        socket
    }
}

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn send(&mut self, kind: &str, payload: &Value) {
        let text = json!({"type": kind, "payload": payload}).to_string();
        self.0.send(Message::text(text)).await.expect("sent");
    }

    /// The next frame; `None` when the socket is closed.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes");
            match message?.ok()? {
                Message::Text(text) => {
                    let mut frame: Value = serde_json::from_str(text.as_str()).expect("frames are JSON");
                    return Some((
                        frame["type"].as_str().expect("a type").to_owned(),
                        frame["payload"].take(),
                    ));
                }
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Reads until a frame of this type.
    async fn until(&mut self, wanted: &str) -> Vec<(String, Value)> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            let is_last = frame.0 == wanted;
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
        panic!("no {wanted} came: {frames:?}")
    }
}

fn text(frames: &[(String, Value)]) -> String {
    frames.iter().filter_map(|(_, payload)| payload["content"].as_str()).collect()
}

fn seqs(frames: &[(String, Value)]) -> Vec<u64> {
    frames.iter().filter_map(|(_, payload)| payload["seq"].as_u64()).collect()
}

fn launch(world: &World) -> Launch {
    world.launch().with("SIWE_SESSION_SECRET", SECRET).with("FREESIDE_LEASE_SECONDS", LEASE_SECONDS)
}

async fn ask(socket: &mut Socket, person: &Person, message: &str) -> Uuid {
    let id = person.clock.uuid_v7();
    socket.send("chat", &json!({"message": message, "requestId": id})).await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_resumed_and_stopped_at_another_process() {
    let world = World::new().await;
    let launch = launch(&world);
    let (one, other) = (launch.start().await, launch.start().await);
    let person = Person::new(&world, 1).await;
    let mut here = person.connect(one.gateway()).await;
    let mut there = person.connect(other.gateway()).await;

    let id = ask(&mut here, &person, "Go on. !tokens 60 !pace 20").await;
    let begun = here.until("stream_token").await;
    let after = *seqs(&begun).last().expect("numbered");
    drop(here);
    there.send("resume", &json!({"requestId": id, "after": after})).await;
    let rest = there.until("stream_end").await;
    assert_eq!(seqs(&rest), (after + 1..=after + rest.len() as u64).collect::<Vec<_>>());
    assert_eq!(text(&begun).len() + text(&rest).len(), 240, "no token lost, none twice");

    let mut here = person.connect(one.gateway()).await;
    let id = ask(&mut here, &person, "At length. !tokens 900 !pace 20").await;
    here.until("stream_token").await;
    there.send("cancel", &json!({"requestId": id})).await;
    let end = here.until("stream_end").await.pop().expect("an end").1;
    assert_eq!(end["finishReason"], "cancelled");
    assert!(end["usage"]["completion_tokens"].as_u64().expect("metered") < 900);
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_leaves_an_answer_that_the_next_one_ends() {
    let world = World::new().await;
    let launch = launch(&world);
    let one = launch.start().await;
    let person = Person::new(&world, 2).await;
    let mut here = person.connect(one.gateway()).await;
    let id = ask(&mut here, &person, "Go on. !tokens 200 !pace 50").await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(here.next().await.expect("it streams"));
    }
    let stored = async || {
        let rows =
            sqlx::query_scalar("select count(*) from chat_chunk").fetch_one(&world.database.pool).await;
        rows.unwrap_or(0_i64)
    };
    until("some of it is stored", PATIENCE, async || stored().await > 0).await;
    one.kill().await;
    let other = launch.start().await;
    let mut there = person.connect(other.gateway()).await;
    there.send("resume", &json!({"requestId": id, "after": 0})).await;
    let frames = there.until("error").await;
    let (_, end) = frames.last().expect("an end");
    assert_eq!((&end["code"], &end["costMicro"]), (&json!("interrupted"), &json!("0")));
    assert_eq!(seqs(&frames), (1..=frames.len() as u64).collect::<Vec<_>>());
    // What was stored is a part of what was shown, and not of something else.
    let (kept, shown) = (text(&frames), text(&seen));
    assert!(!kept.is_empty() && (kept.starts_with(&shown) || shown.starts_with(&kept)), "{kept:?} {shown:?}");
    // Whoever had seen more is told the end all the same.
    there.send("resume", &json!({"requestId": id, "after": 150})).await;
    assert_eq!(there.next().await.expect("the end").1["seq"], 151);
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_streams_at_sigterm_ends_on_its_socket() {
    let world = World::new().await;
    let mut one = launch(&world).start().await;
    let person = Person::new(&world, 3).await;
    let mut here = person.connect(one.gateway()).await;
    ask(&mut here, &person, "Go on. !tokens 60 !pace 20").await;
    let mut frames = here.until("stream_token").await;
    one.ask_to_stop();
    frames.extend(here.until("stream_end").await);
    assert_eq!(text(&frames).len(), 240);
    let drains = frames.iter().filter(|(kind, _)| kind == "server_drain").collect::<Vec<_>>();
    assert_eq!((drains.len(), &drains[0].1["drainMs"]), (1, &json!(110_000)));
    assert!(here.next().await.is_none(), "and then it is closed");
    let status = one.ended().await;
    assert!(status.success(), "{status}");
    world.audited().await;
}

/// Sockets whose clients take nothing, with the smallest window there is.
async fn deaf(person: &Person, to: SocketAddr) -> Socket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(1_024).expect("a small buffer");
    person.connect_over(to, socket.connect(to).await.expect("it listens")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_do_not_grow_memory() {
    let world = World::new().await;
    let one: Served = launch(&world).start().await;
    let mut people = Vec::new();
    // Two of the ten seats that an address has stay free.
    for wallet in 0..8 {
        people.push(Person::new(&world, 100 + wallet).await);
    }
    let mut sockets = Vec::new();
    let mut ids = Vec::new();
    for person in &people {
        let mut socket = deaf(person, one.gateway()).await;
        let id = ask(&mut socket, person, "Much. !tokens 1000").await;
        socket.until("stream_end").await;
        ids.push(id);
        sockets.push(socket);
    }
    let before = one.resident_kib();
    for _ in 0..AGAIN {
        for (socket, id) in sockets.iter_mut().zip(&ids) {
            let again = json!({"type": "resume", "payload": {"requestId": id, "after": 0}}).to_string();
            let sending = socket.0.send(Message::text(again));
            // A server that reads no more from whoever does not read is what is wanted.
            let _ = tokio::time::timeout(Duration::from_millis(200), sending).await;
        }
    }
    let after = one.resident_kib();
    println!(
        "never reads: {before} KiB before, {after} KiB after {AGAIN} answers each to {} clients",
        sockets.len()
    );
    assert!(after < before + GROWTH_KIB, "{before} KiB grew to {after} KiB");
    // Others are served as ever.
    let person = Person::new(&world, 200).await;
    let mut socket = person.connect(one.gateway()).await;
    ask(&mut socket, &person, "Hello. !tokens 5").await;
    assert_eq!(text(&socket.until("stream_end").await).len(), 20);
    world.audited().await;
}
