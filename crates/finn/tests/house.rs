//! A running engine with its neighbours, and a client that reads its answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use finn::{Engine, MemoryReplay, Queue, Secret, Settings, UsageRecord};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use time::macros::datetime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use types::Clock;
use types::catalog::Catalog;

use crate::fake_keys::{KeyServer, Keys, Signer};
use crate::fake_provider::{FakeProvider, strict};

const CATALOG: &str = r#"
[providers.first]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key_env = "A"
[providers.second]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key_env = "B"
[providers.claude]
kind = "anthropic"
base_url = "http://127.0.0.1:1/v1"
api_key_env = "C"
[providers.off]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key_env = "D"
[providers.scripted]
kind = "scripted"

[models]
first = { provider = "first", upstream_model = "up-first", context_tokens = 1000, input_micro_per_million = 1, output_micro_per_million = 1 }
second = { provider = "second", upstream_model = "up-second", context_tokens = 1000, input_micro_per_million = 1, output_micro_per_million = 1 }
claude = { provider = "claude", upstream_model = "up-claude", context_tokens = 1000, input_micro_per_million = 1, output_micro_per_million = 1 }
off = { provider = "off", upstream_model = "up-off", context_tokens = 1000, input_micro_per_million = 1, output_micro_per_million = 1 }
scripted = { provider = "scripted", upstream_model = "echo", context_tokens = 1000, input_micro_per_million = 1, output_micro_per_million = 1 }

[pools.cheap]
models = ["first", "second", "scripted"]
default_max_tokens = 100
hold_slice_tokens = 100
[pools.standard]
models = ["claude"]
default_max_tokens = 100
hold_slice_tokens = 100
[pools.reasoning]
models = ["off", "scripted"]
default_max_tokens = 100
hold_slice_tokens = 100
[pools.architect]
models = ["claude", "second"]
default_max_tokens = 100
hold_slice_tokens = 100
[pools.flagship]
models = ["first"]
default_max_tokens = 100
hold_slice_tokens = 100
first_token_seconds = 1
"#;

pub(crate) struct House {
    pub(crate) addr: SocketAddr,
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Clock,
    pub(crate) signer: Signer,
    pub(crate) keys: KeyServer,
    pub(crate) first: FakeProvider,
    pub(crate) second: FakeProvider,
    pub(crate) claude: FakeProvider,
    pub(crate) records: Receiver<UsageRecord>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    pub(crate) served: tokio::task::JoinHandle<()>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(Arc::new(finn::NoAgents)).await
    }

    pub(crate) async fn open_with(agents: Arc<dyn finn::AgentSource>) -> Self {
        let signer = Signer::new("key-1");
        let keys = KeyServer::start(Keys::Set { etag: "\"1\"".into(), keys: vec![signer.jwk()] }).await;
        let (first, second, claude) =
            (FakeProvider::start().await, FakeProvider::start().await, FakeProvider::start().await);
        let clock = Clock::fixed(datetime!(2026-01-01 0:00 UTC));
        let url = |provider: &FakeProvider| format!("http://{}/v1", provider.addr);
        let names = ["first", "second", "claude"];
        let (queue, records) = Queue::new(1000);
        let settings = Settings {
            catalog: Arc::new(Catalog::parse(CATALOG).unwrap()),
            jwks_url: keys.url(),
            keys: names.map(|name| (name.to_owned(), Secret::new(strict::KEY))).into(),
            base_urls: BTreeMap::from([
                ("first".to_owned(), url(&first)),
                ("second".to_owned(), url(&second)),
                ("claude".to_owned(), url(&claude)),
            ]),
            scripted_pace: Duration::ZERO,
            scripted: finn::ScriptedModels::Commanded,
            clock: clock.clone(),
            render_metrics: Some(Arc::new(|caller| {
                let may_read = caller.is_local || caller.bearer == Some("operator");
                may_read.then(|| "finn_up 1\n".to_owned())
            })),
        };
        let engine =
            Engine::with_agents(settings, Arc::new(MemoryReplay::new()), Arc::new(queue), agents).unwrap();
        engine.jwks().revalidate().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let served = tokio::spawn(finn::serve(listener, Arc::clone(&engine), shutdown));
        let stop = Some(stop);
        Self { addr, engine, clock, signer, keys, first, second, claude, records, stop, served }
    }

    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Good claims with a `jti` of their own.
    pub(crate) fn claims(&self) -> Value {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let now = self.clock.now().unix_timestamp();
        json!({"iss":"loa-freeside","aud":"loa-finn","iat":now,"exp":now + 60,
            "jti":format!("jti-{}", NEXT.fetch_add(1, Ordering::SeqCst)),"nft_id":"","tier":"9",
            "budget_reservation_id":"0190-res","community_id":"7",
            "allowed_pools":["cheap","standard","reasoning","architect","flagship"]})
    }

    pub(crate) fn token(&self) -> String {
        self.signer.token(&self.claims())
    }

    /// Asks with a good token and reads the whole answer.
    pub(crate) async fn ask(&self, body: &Value) -> Answer {
        self.ask_with(&self.token(), body).await
    }

    /// Asks for `payer`, under the hold `reservation`.
    pub(crate) async fn ask_for(&self, payer: &str, reservation: &str, body: &Value) -> Answer {
        let mut claims = self.claims();
        claims["payer"] = json!(payer);
        claims["budget_reservation_id"] = json!(reservation);
        self.ask_with(&self.signer.token(&claims), body).await
    }

    /// Moves the time, and fetches the keys that it made stale.
    pub(crate) async fn wait(&self, seconds: i64) {
        self.clock.advance(time::Duration::seconds(seconds));
        self.engine.jwks().revalidate().await.unwrap();
    }

    pub(crate) async fn ask_with(&self, token: &str, body: &Value) -> Answer {
        let request = Self::request(token, body);
        read(send(self.addr, request).await).await
    }

    pub(crate) fn request(token: &str, body: &Value) -> Request<Full<Bytes>> {
        Request::post("/api/v1/inference")
            .header("host", "finn")
            .header("authorization", format!("Bearer {token}"))
            .header("x-contract-version", "1.0.0")
            .header("x-request-id", "req-1")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap()
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, link) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(link);
    sender.send_request(request).await.unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    let body = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
    Answer { status: head.status, headers: head.headers, body, trailers }
}

impl Answer {
    /// The stream's events.
    pub(crate) fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        let lines = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The text of all `token` events.
    pub(crate) fn text(&self) -> String {
        self.events().iter().filter_map(|event| event["content"].as_str()).collect()
    }

    /// The one terminal event; it is the last.
    pub(crate) fn end(&self) -> Value {
        let events = self.events();
        let is_end = |event: &&Value| event["type"] == "done" || event["type"] == "error";
        assert_eq!(events.iter().filter(is_end).count(), 1, "{}", self.body);
        events.last().filter(is_end).expect("the terminal event is the last").clone()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(self.header("content-type"), "application/problem+json");
        problem["code"].as_str().unwrap().to_owned()
    }
}
