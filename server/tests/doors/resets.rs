//! A thousand connections that are reset at random bytes: no token is lost, none comes twice, each answer is paid once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use identity::Session;
use serde_json::json;
use testing::books;
use types::WalletId;
use uuid::Uuid;

use crate::house::House;
use crate::socket_client::{Next, Socket};

/// Answers, and resets in each of them.
const ANSWERS: u32 = 200;
const RESETS_EACH: u32 = 5;
/// Answers of one wallet: as many as may run at once, and below twenty messages a minute, also when each is asked a
/// few times.
const PER_WALLET: u32 = 2;
const AT_ONCE: usize = 12;
const TOKENS: usize = 60;

/// A small generator with a seed: the same cuts on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Default)]
struct Heard {
    text: String,
    /// The last frame's number.
    seq: u64,
    cost: Option<i64>,
}

/// Opens a socket that breaks after so many bytes, and signs in. A seat of the connection before may still be taken.
async fn connect(house: &House, from: &str, session: &Session, bytes: usize) -> Option<Socket> {
    let mut socket = house.brittle_socket("demo:1", from, bytes).await.ok()?;
    let Next::Frame(..) = socket.next().await else { return None };
    socket.authenticate(house, session).await;
    match socket.next().await {
        Next::Frame(kind, _) if kind == "welcome" => Some(socket),
        Next::Frame(..) | Next::Closed(_) | Next::Broken => None,
    }
}

/// Reads what comes until the answer or the connection ends. Every frame has to be the next one.
async fn listen(socket: &mut Socket, id: Uuid, heard: &mut Heard) -> Option<String> {
    loop {
        let (kind, payload) = match socket.next().await {
            Next::Frame(kind, payload) => (kind, payload),
            Next::Closed(_) | Next::Broken => return None,
        };
        let Some(seq) = payload["seq"].as_u64() else {
            return payload["code"].as_str().map(str::to_owned);
        };
        assert_eq!(payload["requestId"], json!(id));
        assert_eq!(
            seq,
            heard.seq + 1,
            "the next frame, never an older one and never a gap: {kind} {payload}"
        );
        heard.seq = seq;
        match kind.as_str() {
            "stream_token" => heard.text.push_str(payload["content"].as_str().expect("text")),
            "stream_end" => {
                let cost = payload["costMicro"].as_str().expect("a charge");
                heard.cost = Some(cost.parse().expect("a number"));
                return None;
            }
            "stream_start" => {}
            other => panic!("{other}: {payload}"),
        }
    }
}

/// Asks, and is cut off again and again; an answer that ends before its cuts are used up is read again from its start.
async fn one_answer(house: &House, number: u32, session: &Session, cuts: &AtomicUsize) -> (Uuid, i64) {
    let mut random =
        Random(0x9e37_79b9_7f4a_7c15 ^ u64::from(number + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let from = format!("198.51.{}.{}", number / 250, number % 250);
    let id = house.ctx.clock.uuid_v7();
    let pace = random.below(4);
    let question =
        json!({"message": format!("Answer {number}. !tokens {TOKENS} !pace {pace}"), "requestId": id});
    let mut heard = Heard::default();
    let mut costs = Vec::new();
    let (mut resets, mut is_asked) = (0, false);
    loop {
        // From within the handshake to beyond the last frame.
        let most = if pace == 0 { 1_600 } else { 6_000 };
        let is_cut = resets < RESETS_EACH;
        let bytes =
            if is_cut { usize::try_from(150 + random.below(most)).expect("small") } else { usize::MAX };
        if let Some(mut socket) = connect(house, &from, session, bytes).await {
            let asked = if is_asked {
                socket.send("resume", &json!({"requestId": id, "after": heard.seq})).await
            } else {
                socket.send("chat", &question).await
            };
            if asked.is_ok() {
                is_asked = true;
                match listen(&mut socket, id, &mut heard).await.as_deref() {
                    None => {}
                    // The connection broke before the question was read.
                    Some("unknown_request") => is_asked = false,
                    Some(other) => panic!("{other}"),
                }
            }
        }
        match heard.cost {
            Some(cost) => {
                assert_eq!(heard.text.len(), 4 * TOKENS, "answer {number}: {}", heard.text);
                costs.push(cost);
                if !is_cut {
                    break;
                }
                heard = Heard::default();
            }
            None if is_cut => {
                resets += 1;
                cuts.fetch_add(1, Ordering::Relaxed);
            }
            None => {} // the seat of the connection before was still taken
        }
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "one charge, however often it is read: {costs:?}");
    (id, costs[0])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_resets_lose_no_token_double_none_and_every_answer_is_billed_once() {
    let house = House::open().await;
    domain::demo::ensure(&house.ctx).await.expect("made");
    let mut sessions = Vec::new();
    for wallet in 0..ANSWERS.div_ceil(PER_WALLET) {
        let mut address = [0xc; 20];
        address[..4].copy_from_slice(&wallet.to_be_bytes());
        sessions.push(house.signed_in(WalletId::by_key(types::Wallet(address))).await.0);
    }
    let cuts = AtomicUsize::new(0);
    let answers: BTreeMap<Uuid, i64> = futures_util::stream::iter(0..ANSWERS)
        .map(|number| {
            let session: &Arc<Session> = &sessions[usize::try_from(number / PER_WALLET).expect("small")];
            one_answer(&house, number, session, &cuts)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let cuts = cuts.into_inner();
    assert_eq!(cuts, usize::try_from(ANSWERS * RESETS_EACH).expect("small"));
    books::closed(&house.database.pool, Duration::from_mins(1)).await;
    books::audit(&house.database.pool).await;
    let holds = books::holds(&house.database.pool).await;
    assert_eq!(holds.len(), answers.len(), "one hold for each answer");
    let rows: Vec<(Uuid, String)> = sqlx::query_as("select request_id, id::text from chat_turn")
        .fetch_all(&house.database.pool)
        .await
        .expect("the turns");
    for (request_id, hold_id) in rows {
        let hold = holds.iter().find(|hold| hold.id == hold_id).expect("its hold has its id");
        assert_eq!((hold.charged, hold.tokens_out), (Some(answers[&request_id]), Some(60)), "{hold:?}");
    }
    println!("resets: {cuts} connections reset over {} answers", answers.len());
}
