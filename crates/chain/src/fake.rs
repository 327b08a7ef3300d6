//! A node for tests: one chain with contracts that accept what they are told to, and that fails on command.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use types::Wallet;

use crate::node::{hex, unhex};

/// What the node does when it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    #[default]
    Well,
    /// Every call is over its limit.
    Limited,
    /// It answers a page and 502.
    Broken,
    /// Every contract reverts.
    Reverting,
}

/// A running node.
#[derive(Debug)]
pub struct FakeNode {
    address: SocketAddr,
    state: Arc<Shared>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    chain_id: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    mood: Mood,
    /// Contract, hash, signature.
    accepted: HashSet<(String, [u8; 32], Vec<u8>)>,
    calls: usize,
}

impl FakeNode {
    /// Starts a node of this chain on any port.
    pub async fn start(chain_id: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Shared { chain_id, inner: Mutex::default() });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&state));
        let mut server = JoinSet::new();
        server.spawn(async move {
            // It serves until it is dropped; a test that loses it hears so from its own questions.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, state, _server: server })
    }

    /// Where it is asked.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// From here on the contract at `wallet` accepts this signature.
    pub fn accept(&self, wallet: Wallet, hash: [u8; 32], signature: &[u8]) {
        self.state.inner().accepted.insert((wallet.to_string(), hash, signature.to_vec()));
    }

    /// From here on it is in this mood.
    pub fn turn(&self, mood: Mood) {
        self.state.inner().mood = mood;
    }

    /// How often a contract was asked.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state.inner().calls
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(state): State<Arc<Shared>>, Json(asked): Json<Value>) -> Response {
    let mood = state.inner().mood;
    let said = |member: &str, value: Value| {
        let mut answer = json!({"jsonrpc": "2.0", "id": asked["id"]});
        answer[member] = value;
        Json(answer).into_response()
    };
    match (mood, asked["method"].as_str()) {
        (Mood::Broken, _) => (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        (Mood::Limited, _) => said("error", json!({"code": -32_005, "message": "limit exceeded"})),
        (_, Some("eth_chainId")) => said("result", json!(format!("{:#x}", state.chain_id))),
        (_, Some("eth_call")) => {
            let mut inner = state.inner();
            inner.calls += 1;
            let call = &asked["params"][0];
            let to = call["to"].as_str().unwrap_or_default().to_owned();
            let question = unhex(call["data"].as_str().unwrap_or_default()).as_deref().and_then(question);
            let is_there = inner.accepted.iter().any(|(contract, _, _)| *contract == to);
            let is_accepted =
                question.is_some_and(|(hash, signature)| inner.accepted.contains(&(to, hash, signature)));
            match (is_there, mood, is_accepted) {
                (false, _, _) => said("result", json!("0x")),
                (true, Mood::Well, true) => {
                    let mut word = [0; 32];
                    word[..4].copy_from_slice(&[0x16, 0x26, 0xba, 0x7e]);
                    said("result", json!(hex(&word)))
                }
                (true, Mood::Well, false) => said("result", json!(hex(&[0xff; 32]))),
                (true, _, _) => {
                    said("error", json!({"code": 3, "message": "execution reverted", "data": "0x"}))
                }
            }
        }
        _ => said("error", json!({"code": -32_601, "message": "the method does not exist"})),
    }
}

/// The hash and the signature in a call's data.
fn question(data: &[u8]) -> Option<([u8; 32], Vec<u8>)> {
    let arguments = data.strip_prefix(&[0x16, 0x26, 0xba, 0x7e])?;
    let hash = arguments.get(..32)?.try_into().ok()?;
    let length = usize::try_from(u64::from_be_bytes(arguments.get(88..96)?.try_into().ok()?)).ok()?;
    Some((hash, arguments.get(96..96 + length)?.to_vec()))
}
