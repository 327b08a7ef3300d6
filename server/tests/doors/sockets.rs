//! The chat's socket from outside: who gets in, what they read, what stops them.

use std::time::{Duration, Instant};

use domain::chat::Sharing;
use serde_json::{Value, json};
use server::routes::Timings;
use testing::books;
use testing::served::until;
use tokio_tungstenite::tungstenite::Error;
use types::WalletId;
use uuid::Uuid;

use crate::house::House;
use crate::socket_client::{Next, text};

const PATIENCE: Duration = Duration::from_mins(1);
const ADA: WalletId = WalletId::by_key(types::Wallet([0xa; 20]));
const BOB: WalletId = WalletId::by_key(types::Wallet([0xb; 20]));

async fn open() -> House {
    open_with(Timings::default()).await
}

/// A house with the demo community, whose members are welcomed with credits.
async fn open_with(timings: Timings) -> House {
    let house = House::open_with(timings).await;
    domain::demo::ensure(&house.ctx).await.expect("made");
    house
}

fn status(refused: Result<crate::socket_client::Socket, Error>) -> u16 {
    match refused.err() {
        None => 101,
        Some(Error::Http(response)) => response.status().as_u16(),
        Some(other) => panic!("no answer: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_asks_and_its_account_in_the_agents_community_pays_once() {
    let house = open().await;
    let (session, _) = house.signed_in(ADA).await;
    let mut socket = house.speaking("demo:1", "192.0.2.1", &session).await;
    let id = house.ctx.clock.uuid_v7();
    let question = json!({"message": "Hello. !tokens 40", "pool": "cheap", "requestId": id});
    socket.send("chat", &question).await.expect("sent");
    let frames = socket.answer().await;
    let seqs: Vec<u64> =
        frames.iter().map(|(_, payload)| payload["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, (1..=frames.len() as u64).collect::<Vec<_>>(), "numbered from 1 without a gap");
    assert!(frames.iter().all(|(_, payload)| payload["requestId"] == json!(id)));
    let (kind, start) = &frames[0];
    assert_eq!(
        (kind.as_str(), &start["tokenId"], &start["pool"]),
        ("stream_start", &json!("demo:1"), &json!("cheap"))
    );
    let (kind, end) = frames.last().expect("an end");
    assert_eq!((kind.as_str(), &end["finishReason"]), ("stream_end", &json!("stop")));
    assert_eq!(end["usage"]["completion_tokens"], 40);
    assert_eq!(text(&frames).len(), 160, "four bytes a token");

    books::closed(&house.database.pool, PATIENCE).await;
    books::audit(&house.database.pool).await;
    let holds = books::holds(&house.database.pool).await;
    assert_eq!(holds.len(), 1);
    assert_eq!(json!(holds[0].charged.expect("charged").to_string()), end["costMicro"]);
    let row: (String, i64, String) = sqlx::query_as("select agent, account_id, asked from hold")
        .fetch_one(&house.database.pool)
        .await
        .expect("one");
    let community =
        domain::agent::find(&house.ctx, "demo", "1").await.expect("read").expect("there").community;
    let account = domain::member::account(&house.ctx, community, ADA).await.expect("there");
    assert_eq!((row.0.as_str(), row.1), ("demo:1", account.account.0));

    // The same request again is the same answer, from its rows now, and costs nothing.
    socket.send("chat", &question).await.expect("sent");
    assert_eq!(socket.answer().await, frames);
    let other = json!({"message": "Something else.", "requestId": id});
    socket.send("chat", &other).await.expect("sent");
    assert_eq!(socket.error().await, "request_id_reused");
    for after in 0..frames.len() {
        socket.send("resume", &json!({"requestId": id, "after": after})).await.expect("sent");
        assert_eq!(socket.answer().await, frames[after..], "after {after}");
    }
    // Who saw more than is there still learns that it ended.
    socket.send("resume", &json!({"requestId": id, "after": 5_000})).await.expect("sent");
    assert_eq!(socket.frame("stream_end").await["seq"], 5_001);
    assert_eq!(books::holds(&house.database.pool).await.len(), 1);

    // Nobody else reads it.
    let (session, _) = house.signed_in(BOB).await;
    let mut other = house.speaking("demo:1", "192.0.2.2", &session).await;
    other.send("resume", &json!({"requestId": id, "after": 0})).await.expect("sent");
    assert_eq!(other.error().await, "unknown_request");
    other.send("cancel", &json!({"requestId": id})).await.expect("sent");
    assert_eq!(other.error().await, "not_running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_goes_on_and_is_read_by_whom_its_person_lets() {
    let house = open().await;
    let (session, token) = house.signed_in(ADA).await;
    let mut socket = house.speaking("2", "192.0.2.1", &session).await;
    let mut ids = Vec::new();
    for words in ["First. !tokens 8", "Second. !tokens 8"] {
        let id = house.ctx.clock.uuid_v7();
        socket.send("chat", &json!({"message": words, "requestId": id})).await.expect("sent");
        assert_eq!(socket.answer().await.last().expect("an end").0, "stream_end");
        ids.push(id);
    }
    // The second question carried the first and its answer: more than its own bytes were read.
    let prompts: Vec<i64> =
        books::holds(&house.database.pool).await.iter().filter_map(|hold| hold.tokens_in).collect();
    assert!(prompts[1] > prompts[0] + 8, "{prompts:?}");

    let own = "/api/v1/agents/demo/2/history?whose=own";
    assert_eq!(house.get(own).send().await.status, 401);
    let page = house.get(own).key(&token).send().await.json();
    let turns = page["turns"].as_array().expect("a list");
    assert_eq!(turns.len(), 2);
    assert_eq!((&turns[0]["question"], &turns[0]["state"]), (&json!("Second. !tokens 8"), &json!("done")));
    assert_eq!(
        (&turns[0]["request_id"], turns[0]["answer"].as_str().map(str::len)),
        (&json!(ids[1]), Some(32))
    );
    let first = house.get(&format!("{own}&limit=1")).key(&token).send().await.json();
    let next = first["next"].as_str().expect("there is more");
    let second = house.get(&format!("{own}&limit=1&before={next}")).key(&token).send().await.json();
    assert_eq!(second["turns"][0]["question"], "First. !tokens 8");
    for wrong in ["whose=theirs", "limit=0", "limit=101", "before=x"] {
        assert_eq!(
            house.get(&format!("/api/v1/agents/demo/2/history?{wrong}")).send().await.status,
            400,
            "{wrong}"
        );
    }

    // Feedback: of one's own, once it has ended.
    let rated = format!("/api/v1/chat/{}/feedback", ids[0]);
    assert_eq!(house.post(&rated, &json!({"quality": "good"})).key(&token).send().await.status, 204);
    assert_eq!(house.post(&rated, &json!({"quality": "superb"})).key(&token).send().await.status, 400);
    let (_, bobs) = house.signed_in(BOB).await;
    assert_eq!(house.post(&rated, &json!({"quality": "bad"})).key(&bobs).send().await.status, 404);

    // Public takes two yeses, and then shows the words and not the person.
    let agent = domain::agent::find(&house.ctx, "demo", "2").await.expect("read").expect("there");
    let public = "/api/v1/agents/demo/2/history";
    let shown = async || house.get(public).send().await.json()["turns"].as_array().expect("a list").clone();
    let sharing = "/api/v1/agents/demo/2/sharing";
    sqlx::query("update agent set public_history = false").execute(&house.database.pool).await.expect("set");
    let shared = house.put(sharing, &json!({"public": true})).key(&token).send().await;
    assert_eq!(shared.json(), json!({"public": true}));
    assert_eq!(house.get(sharing).key(&token).send().await.json(), json!({"public": true}));
    let hidden = domain::agent::Agent { public_history: false, ..(*agent).clone() };
    let open = domain::agent::Agent { public_history: true, ..(*agent).clone() };
    let page = |agent| domain::chat::page(&house.ctx, agent, domain::chat::Whose::Public, None, 10);
    assert!(page(&hidden).await.expect("read").is_empty());
    assert_eq!(page(&open).await.expect("read").len(), 2);
    domain::chat::share(&house.ctx, &agent, ADA, Sharing::Private).await.expect("taken back");
    assert!(page(&open).await.expect("read").is_empty());
    assert!(shown().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_ask_to_stop_stops_an_answer() {
    let house = open().await;
    let (session, _) = house.signed_in(ADA).await;
    let mut socket = house.speaking("demo:1", "192.0.2.1", &session).await;
    let long = "Tell me all. !tokens 900 !pace 20";

    let id = house.ctx.clock.uuid_v7();
    socket.send("chat", &json!({"message": long, "requestId": id})).await.expect("sent");
    socket.frame("stream_start").await;
    let first = socket.frame("stream_token").await;
    socket.send("cancel", &json!({"requestId": id})).await.expect("sent");
    let rest = socket.answer().await;
    let (kind, end) = rest.last().expect("an end");
    assert_eq!((kind.as_str(), &end["finishReason"]), ("stream_end", &json!("cancelled")));
    let tokens = end["usage"]["completion_tokens"].as_u64().expect("metered");
    assert!((1..900).contains(&tokens), "{tokens}");
    assert!(end["costMicro"].as_str().expect("a charge").parse::<i64>().expect("a number") > 0);
    assert!(first["content"].as_str().is_some_and(|content| !content.is_empty()));
    socket.send("cancel", &json!({"requestId": id})).await.expect("sent");
    assert_eq!(socket.error().await, "not_running");

    // Before the first token the provider has the prompt already, and it is charged.
    let id = house.ctx.clock.uuid_v7();
    socket
        .send("chat", &json!({"message": "Think. !slow-first 60000", "requestId": id}))
        .await
        .expect("sent");
    until("the turn holds money", PATIENCE, async || books::open_holds(&house.database.pool).await == 1)
        .await;
    socket.send("cancel", &json!({"requestId": id})).await.expect("sent");
    socket.frame("stream_start").await;
    let end = socket.frame("stream_end").await;
    assert_eq!((&end["finishReason"], &end["seq"]), (&json!("cancelled"), &json!(2)));
    assert!(end["costMicro"].as_str().expect("a charge").parse::<i64>().expect("a number") > 0, "{end}");
    assert_eq!(end["usage"]["completion_tokens"], 0);

    // A socket that goes away stops nothing.
    let id = house.ctx.clock.uuid_v7();
    let quick = "Go on without me. !tokens 50 !pace 5";
    socket.send("chat", &json!({"message": quick, "requestId": id})).await.expect("sent");
    socket.frame("stream_start").await;
    drop(socket);
    until("the answer ends", PATIENCE, async || house.ctx.chat.count() == 0).await;
    let mut again = house.speaking("demo:1", "192.0.2.1", &session).await;
    again.send("resume", &json!({"requestId": id, "after": 1})).await.expect("sent");
    let frames = again.answer().await;
    assert_eq!((text(&frames).len(), frames.last().expect("an end").0.as_str()), (200, "stream_end"));
    books::closed(&house.database.pool, PATIENCE).await;
    books::audit(&house.database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_the_answers_only_frame_and_says_what_to_do() {
    let house = open().await;
    sqlx::query("update community set welcome_micro = 0").execute(&house.database.pool).await.expect("set");
    let (session, _) = house.signed_in(ADA).await;
    let mut socket = house.speaking("demo:1", "192.0.2.1", &session).await;
    let id = house.ctx.clock.uuid_v7();
    let question = json!({"message": "For free?", "requestId": id});
    socket.send("chat", &question).await.expect("sent");
    let refused = socket.frame("error").await;
    assert_eq!((&refused["code"], &refused["seq"]), (&json!("insufficient_credits"), &json!(1)));
    assert!(refused["message"].as_str().expect("text").contains("Buy credits"), "{refused}");
    socket.send("resume", &json!({"requestId": id})).await.expect("sent");
    assert_eq!(socket.frame("error").await, refused, "the same from its row");
    for (message, code) in [("", "empty_message"), (" \n\t", "empty_message")] {
        socket.send("chat", &json!({"message": message})).await.expect("sent");
        assert_eq!(socket.error().await, code);
    }
    assert!(books::holds(&house.database.pool).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_without_a_ticket_reads_only() {
    let house = open().await;
    let mut socket = house.socket("demo:1", "192.0.2.1").await.expect("opened");
    let welcome = socket.frame("welcome").await;
    assert_eq!(
        welcome,
        json!({"authenticated": false, "readOnly": true, "tokenId": "demo:1", "idleTimeoutMs": 300_000,
               "heartbeatIntervalMs": 30_000})
    );
    socket.send("ping", &json!({})).await.expect("sent");
    assert_eq!(socket.frame("pong").await, json!({}));
    let id = Uuid::from_u128(1);
    for (kind, payload) in [
        ("chat", json!({"message": "hi"})),
        ("cancel", json!({"requestId": id})),
        ("resume", json!({"requestId": id, "after": 0})),
    ] {
        socket.send(kind, &payload).await.expect("sent");
        assert_eq!(socket.error().await, "unauthenticated", "{kind}");
    }
    for text in ["", "[]", "{\"type\":\"shout\"}", "{\"type\":\"chat\"}"] {
        socket.send_text(text).await.expect("sent");
        assert_eq!(socket.error().await, "bad_frame", "{text}");
    }
    // A ticket works once.
    let (session, token) = house.signed_in(ADA).await;
    let made = house.post("/api/v1/ws/ticket", &json!({})).key(&token).send().await;
    assert_eq!((made.status.as_u16(), &made.json()["expires_in_s"]), (201, &json!(30)));
    let ticket = json!({"ticket": made.json()["ticket"]});
    socket.send("auth", &ticket).await.expect("sent");
    assert_eq!(socket.frame("welcome").await["authenticated"], true);
    socket.send("auth", &ticket).await.expect("sent");
    assert_eq!(socket.error().await, "bad_ticket");
    assert_eq!(house.post("/api/v1/ws/ticket", &json!({})).send().await.status, 401);
    // Of a session that has ended it opens nothing.
    let late = house.tickets.issue(&session).await.expect("a ticket");
    house.sign_in.sessions.revoke(ADA, session.id).await.expect("ended");
    let mut other = house.socket("demo:1", "192.0.2.1").await.expect("opened");
    other.frame("welcome").await;
    other.send("auth", &json!({"ticket": late.reveal()})).await.expect("sent");
    assert_eq!((other.error().await.as_str(), other.closed().await), ("session_ended", 4001));
    // And a frame that is too large closes.
    let mut other = house.socket("demo:1", "192.0.2.1").await.expect("opened");
    other.frame("welcome").await;
    let fits = format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(4_096 - 22));
    assert_eq!(fits.len(), 4_096);
    other.send_text(&fits).await.expect("sent");
    other.frame("pong").await;
    let _ = other.send_text(&format!("{fits} ")).await;
    assert_eq!(other.closed().await, 1009);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seventy_spellings_of_our_origin_do_not_open_a_socket_and_one_does() {
    let house = open().await;
    let own = format!("http://{}", house.address);
    let (host, port) = (house.address.ip(), house.address.port());
    let mut through = Vec::new();
    let spellings = spellings(&own, &host.to_string(), port);
    assert!(spellings.len() >= 61, "{}", spellings.len());
    for spelling in &spellings {
        let answer = status(house.raw_socket("demo:1", "192.0.2.1", Some(spelling), usize::MAX).await);
        assert!([101, 403].contains(&answer), "{spelling}: {answer}");
        if answer == 101 {
            through.push(spelling.as_str());
        }
    }
    assert_eq!(through, [own.as_str()]);
    assert_eq!(status(house.raw_socket("demo:1", "192.0.2.1", None, usize::MAX).await), 403, "no origin");
}

/// Our origin, and everything that looks like it.
fn spellings(own: &str, host: &str, port: u16) -> Vec<String> {
    let mut all: Vec<String> = [
        "{own}",
        "{own}/",
        "{own}//",
        "{own}/chat",
        "{own}?",
        "{own}#",
        "{own}.",
        "{own}:",
        "{own}:80",
        "{own},",
        "{own};",
        "{own}%00",
        "{own}%2F",
        "{own}%20",
        "{own}\\",
        "{own}@evil.test",
        "{own}.evil.test",
        "{own}-evil.test",
        "{own},https://evil.test",
        "https://evil.test,{own}",
        "{own} https://evil.test",
        "https://evil.test {own}",
        "https://evil.test/{own}",
        "https://evil.test?{own}",
        "https://evil.test#{own}",
        "{own}0",
        "x{own}",
        "https://{host}:{port}",
        "ws://{host}:{port}",
        "wss://{host}:{port}",
        "ftp://{host}:{port}",
        "HTTP://{host}:{port}",
        "Http://{host}:{port}",
        "//{host}:{port}",
        "{host}:{port}",
        "http:{host}:{port}",
        "http:/{host}:{port}",
        "http:///{host}:{port}",
        "http:\\\\{host}:{port}",
        "http://\\{host}:{port}",
        "http://user@{host}:{port}",
        "http://user:pw@{host}:{port}",
        "http://@{host}:{port}",
        "http://{host}",
        "http://{host}:",
        "http://{host}:0{port}",
        "http://{host}:80",
        "http://{host}:443",
        "http://{host}:1",
        "http://{host}.:{port}",
        "http://www.{host}:{port}",
        "http://evil.{host}:{port}",
        "http://{host}.evil.test:{port}",
        "http://127.1:{port}",
        "http://127.0.1:{port}",
        "http://2130706433:{port}",
        "http://0x7f000001:{port}",
        "http://0177.0.0.1:{port}",
        "http://127.0.0.01:{port}",
        "http://0.0.0.0:{port}",
        "http://[::ffff:127.0.0.1]:{port}",
        "http://127.0.0.2:{port}",
        "http://1270.0.1:{port}",
        "http://%31%32%37.0.0.1:{port}",
        "http://127\u{3002}0\u{3002}0\u{3002}1:{port}",
        "http://evil.test",
        "https://evil.test",
        "null",
        "undefined",
        "*",
        "file://",
        "about:blank",
    ]
    .iter()
    .map(|form| form.replace("{own}", own).replace("{host}", host).replace("{port}", &port.to_string()))
    .collect();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_counted_by_address_and_by_wallet() {
    let house = open().await;
    let mut taken = Vec::new();
    for _ in 0..10 {
        taken.push(house.socket("demo:1", "192.0.2.1").await.expect("a seat"));
    }
    assert_eq!(status(house.socket("demo:1", "192.0.2.1").await), 429);
    assert_eq!(status(house.socket("demo:1", "192.0.2.2").await), 101, "another address");
    taken.pop();
    let began = Instant::now();
    let again = loop {
        match house.socket("demo:1", "192.0.2.1").await {
            Ok(socket) => break socket,
            Err(_) => assert!(began.elapsed() < PATIENCE, "no seat is given up"),
        }
    };
    taken.push(again);
    drop(taken);

    let (session, _) = house.signed_in(ADA).await;
    let mut speaking = Vec::new();
    for host in 1..=3 {
        speaking.push(house.speaking("demo:1", &format!("192.0.2.{host}"), &session).await);
    }
    let mut fourth = house.socket("demo:1", "192.0.2.4").await.expect("a seat");
    fourth.frame("welcome").await;
    fourth.authenticate(&house, &session).await;
    assert_eq!((fourth.error().await.as_str(), fourth.closed().await), ("too_many_connections", 4002));
    // The three work on, and say twenty messages a minute between them.
    let mut said = 0;
    for turn in 0.. {
        let socket = &mut speaking[turn % 3];
        socket.send("chat", &json!({"message": "Hi. !tokens 1"})).await.expect("sent");
        match socket.answer().await.last().expect("an end") {
            (kind, _) if kind == "stream_end" => said += 1,
            (_, payload) => {
                assert_eq!(payload["code"], "rate_limited");
                break;
            }
        }
    }
    assert_eq!(said, 20);

    // What names no agent is said before the upgrade.
    for wrong in ["demo:999", "nobody:1", "demo:01", "999", "", "demo:", "a:b:c"] {
        assert_eq!(status(house.socket(wrong, "192.0.2.9").await), 404, "{wrong}");
    }
    let plain = house.get("/ws/chat?tokenId=demo:1").header("origin", &format!("http://{}", house.address));
    assert_eq!(plain.send().await.status, 400, "not a socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_socket_is_closed_and_so_is_one_whose_session_ends() {
    let quick = Timings { idle: Duration::from_millis(300), ..Timings::default() };
    let house = open_with(quick).await;
    let (session, _) = house.signed_in(ADA).await;
    let mut silent = house.socket("demo:1", "192.0.2.1").await.expect("opened");
    silent.frame("welcome").await;
    assert_eq!(silent.closed().await, 4000);
    // An answer that is watched is no idleness, however long it takes.
    let mut watching = house.speaking("demo:1", "192.0.2.1", &session).await;
    watching.send("chat", &json!({"message": "Slowly. !tokens 12 !pace 100"})).await.expect("sent");
    assert_eq!(watching.answer().await.last().expect("an end").0, "stream_end");
    assert_eq!(watching.closed().await, 4000);

    let beating = Timings { heartbeat: Duration::from_millis(50), ..Timings::default() };
    let house = open_with(beating).await;
    let (session, _) = house.signed_in(ADA).await;
    let mut socket = house.speaking("demo:1", "192.0.2.1", &session).await;
    house.sign_in.sessions.revoke(ADA, session.id).await.expect("ended");
    assert_eq!((socket.error().await.as_str(), socket.closed().await), ("session_ended", 4001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_closes_the_chat_and_lets_answers_end() {
    use domain::flags::{Flag, Turn, set};
    let house = open().await;
    let (session, _) = house.signed_in(ADA).await;
    let mut socket = house.speaking("demo:1", "192.0.2.1", &session).await;
    socket.send("chat", &json!({"message": "Slowly. !tokens 30 !pace 10"})).await.expect("sent");
    socket.frame("stream_start").await;
    let db = &house.database.pool;
    set(db, &house.ctx.clock, Flag::WebChat, Turn::Off, "test", "a drill").await.expect("set");
    house.ctx.flags.follow(db).await.expect("looked");
    assert_eq!(socket.answer().await.last().expect("an end").0, "stream_end");
    socket.send("chat", &json!({"message": "More."})).await.expect("sent");
    assert_eq!(socket.error().await, "web_chat_off");
    assert_eq!(status(house.socket("demo:1", "192.0.2.1").await), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_answers_end_and_cuts_what_outlasts_it() {
    let house = open().await;
    let (session, _) = house.signed_in(ADA).await;
    let mut quiet = house.socket("demo:1", "192.0.2.9").await.expect("opened");
    quiet.frame("welcome").await;
    let mut short = house.speaking("demo:1", "192.0.2.1", &session).await;
    let mut long = house.speaking("demo:2", "192.0.2.1", &session).await;
    let ids = [house.ctx.clock.uuid_v7(), house.ctx.clock.uuid_v7()];
    short
        .send("chat", &json!({"message": "Briefly. !tokens 60 !pace 10", "requestId": ids[0]}))
        .await
        .expect("sent");
    long.send("chat", &json!({"message": "At length. !tokens 1000 !pace 500", "requestId": ids[1]}))
        .await
        .expect("sent");
    let (mut briefly, mut at_length) = (vec![short.next().await], vec![long.next().await]);
    let drain = tokio::spawn({
        let (sockets, ctx) = (house.sockets.clone(), house.ctx.clone());
        async move { sockets.drain(&ctx, Duration::from_secs(8)).await }
    });
    assert_eq!(quiet.frame("server_drain").await["drainMs"], 8_000);
    assert_eq!(quiet.closed().await, 1012);
    for (socket, frames) in [(&mut short, &mut briefly), (&mut long, &mut at_length)] {
        loop {
            match socket.next().await {
                Next::Closed(code) => {
                    assert_eq!(code, 1012);
                    break;
                }
                Next::Broken => panic!("it says goodbye"),
                frame @ Next::Frame(..) => frames.push(frame),
            }
        }
    }
    drain.await.expect("it ends");
    let of = |frames: &[Next], wanted: &str| -> Vec<Value> {
        let payloads = frames.iter().filter_map(|next| match next {
            Next::Frame(kind, payload) if kind == wanted => Some(payload.clone()),
            Next::Frame(..) | Next::Closed(_) | Next::Broken => None,
        });
        payloads.collect()
    };
    assert_eq!(of(&briefly, "server_drain").len(), 1);
    let said: String =
        of(&briefly, "stream_token").iter().filter_map(|payload| payload["content"].as_str()).collect();
    assert_eq!((said.len(), of(&briefly, "stream_end").len()), (240, 1), "without losing a token");
    let cut = of(&at_length, "error");
    assert_eq!(cut[0]["code"], "drained");
    assert!(cut[0]["usage"]["completion_tokens"].as_u64().expect("metered") < 1_000);
    assert_eq!(status(house.socket("demo:1", "192.0.2.1").await), 503);
    books::closed(&house.database.pool, PATIENCE).await;
    books::audit(&house.database.pool).await;
    assert_eq!(house.sockets.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_left_behind_and_its_answers_end() {
    let impatient = Timings { patience: Duration::from_millis(500), ..Timings::default() };
    let house = open_with(impatient).await;
    let (session, _) = house.signed_in(ADA).await;
    let mut socket = house.speaking("demo:1", "192.0.2.1", &session).await;
    let ids: Vec<Uuid> = (0..3).map(|_| house.ctx.clock.uuid_v7()).collect();
    for id in &ids {
        let question = json!({"message": "Much. !tokens 1000", "requestId": id});
        socket.send("chat", &question).await.expect("sent");
    }
    // Charged, all three: that no answer runs is also true before the first has begun.
    until("the answers have ended", PATIENCE, async || {
        let holds = books::holds(&house.database.pool).await;
        holds.iter().filter(|hold| hold.state == books::SETTLED).count() == ids.len()
    })
    .await;
    // The same answers again and again, and nothing of it is read: first this side's buffer is full, then that side's.
    let mut sent = 0;
    for round in 0..20_000 {
        if house.sockets.count() == 0 {
            break;
        }
        let again = json!({"requestId": ids[round % 3], "after": 0});
        match tokio::time::timeout(Duration::from_secs(5), socket.send("resume", &again)).await {
            Ok(Ok(())) => sent += 1,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    until("the server has let go", PATIENCE, async || house.sockets.count() == 0).await;
    books::closed(&house.database.pool, PATIENCE).await;
    books::audit(&house.database.pool).await;
    println!("never reads: {sent} frames sent before the server let go");
    let mut again = house.speaking("demo:1", "192.0.2.1", &session).await;
    for id in ids {
        again.send("resume", &json!({"requestId": id, "after": 0})).await.expect("sent");
        assert_eq!(text(&again.answer().await).len(), 4_000, "nothing of it is lost");
    }
}
