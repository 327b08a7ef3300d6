//! What one tenant's failing requests do to the others (nothing), and what callers are told of a provider that is full,
//! refuses us, or has retired a model. Through the real doors, with a provider that fails on command.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testing::served::Served;

use crate::client::{Client, Reply};
use crate::world::{PLENTY, World};

/// A provider of OpenAI's dialect that obeys a status in the prompt: `fail 500`, `fail 429 20` (with `Retry-After: 20`);
/// the model's upstream name may follow (`fail 404 of dear`): then the others of it answer. Else it answers well.
struct Vendor {
    address: SocketAddr,
    /// Upstream names of the models that were asked.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Vendor {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request| {
                    let seen = Arc::clone(&seen);
                    async move { Ok::<_, Infallible>(answer(request, &seen).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no panic in here"))
    }
}

async fn answer(request: Request<Incoming>, seen: &Mutex<Vec<String>>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.expect("it comes whole").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let model = body["model"].as_str().expect("a model").to_owned();
    let last = body["messages"].as_array().and_then(|all| all.last()).map(|last| last["content"].clone());
    let text = last.as_ref().and_then(Value::as_str).unwrap_or_default();
    let (order, whose) = text.split_once(" of ").unwrap_or((text, model.as_str()));
    let mut words = order.split(' ');
    let is_order = words.next() == Some("fail") && whose == model;
    seen.lock().expect("no panic in here").push(model);
    if let Some(status) = words.next().filter(|_| is_order) {
        let mut response = Response::builder().status(status.parse::<u16>().expect("a status"));
        if let Some(seconds) = words.next() {
            response = response.header("retry-after", seconds);
        }
        let body = json!({"error": {"message": "as ordered"}}).to_string();
        return response.body(Full::from(body)).expect("a sound response");
    }
    let chunk = |delta: Value, finish: Value| {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
    };
    let usage =
        json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}});
    let text = chunk(json!({"content": "fine"}), Value::Null)
        + &chunk(json!({}), json!("stop"))
        + &format!("data: {usage}\n\ndata: [DONE]\n\n");
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Full::from(text)).expect("a sound response")
}

/// Every pool has the models `dear`, `middle` and `plain`, in this order; `gone` of `standard` and the pool `reasoning`
/// alone belong to a provider that is off.
fn catalog(vendor: &Vendor) -> String {
    let model = |id: &str, provider: &str, price: i64| {
        format!(
            "[models.{id}]\nprovider = \"{provider}\"\nupstream_model = \"{id}\"\ncontext_tokens = 128000\n\
             input_micro_per_million = {price}\noutput_micro_per_million = {price}\n"
        )
    };
    let models = [
        model("dear", "vendor", 9_000_000),
        model("middle", "vendor", 5_000_000),
        model("plain", "vendor", 1_000_000),
        model("gone", "off", 5_000_000),
        model("lost", "off", 100),
    ];
    let pools = types::Pool::ALL.map(|pool| {
        let models = match pool {
            types::Pool::Standard => "\"dear\", \"gone\", \"middle\", \"plain\"",
            types::Pool::Reasoning => "\"lost\"",
            _ => "\"plain\"",
        };
        format!("[pools.{pool}]\nmodels = [{models}]\ndefault_max_tokens = 64\nhold_slice_tokens = 64\n")
    });
    format!(
        "[providers.vendor]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         [providers.off]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\napi_key_env = \"OFF_API_KEY\"\n{}{}",
        vendor.address,
        models.concat(),
        pools.concat()
    )
}

struct Place {
    world: World,
    vendor: Vendor,
    served: Served,
}

impl Place {
    async fn open() -> Self {
        let (world, vendor) = (World::new().await, Vendor::start().await);
        let served = world.launch().catalog(&catalog(&vendor)).start().await;
        Self { world, vendor, served }
    }

    async fn tenant(&self) -> Client {
        self.world.payer(PLENTY).await.at(&self.served)
    }
}

fn ask(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": text}]})
}

/// How long a sound request takes when nobody else is there.
async fn alone(client: &Client) -> Duration {
    let began = Instant::now();
    let reply = client.ask(&ask("cheap", "hello")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    began.elapsed()
}

/// Asks again and again while `attack` stands: each answer comes, and within max(2 s, 5 times its time alone).
async fn served_beside<T>(victim: &Client, attack: impl Future<Output = T>) -> T {
    let most = (alone(victim).await * 5).max(Duration::from_secs(2));
    let mut attack = std::pin::pin!(attack);
    let mut answers = 0;
    loop {
        let began = Instant::now();
        let one = async {
            let reply = victim.ask(&ask("cheap", "hello")).await;
            assert_eq!(reply.status, 200, "answer {answers}: {}", reply.text);
            assert!(began.elapsed() <= most, "answer {answers} took {:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tokio::select! {
            done = &mut attack => {
                assert!(answers > 0, "the victim was heard while the attack stood");
                return done;
            }
            () = one => answers += 1,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_whose_requests_fail_closes_the_provider_for_itself_alone() {
    let place = Place::open().await;
    let (attacker, victim) = (place.tenant().await, place.tenant().await);
    let attack = async {
        let bad = ask("cheap", "fail 500");
        for _ in 0..2 {
            let reply = attacker.ask(&bad).await;
            assert_eq!(reply.status, 502, "{}", reply.text);
        }
        // The third one's first attempt closes the provider for the attacker, and its retry finds it closed.
        let reply = attacker.ask(&bad).await;
        assert_eq!(reply.status, 503, "{}", reply.text);
        // From now on it does not even reach the provider, and is told for how long.
        let mut replies = Vec::new();
        for _ in 0..10 {
            replies.push(attacker.ask(&bad).await);
        }
        replies
    };
    for reply in served_beside(&victim, attack).await {
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (503, &json!("provider_unavailable")));
        assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|wait| (1..=30).contains(&wait)));
    }
    assert_eq!(alone(&victim).await.as_secs(), 0);
    place.world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_nobody_answers_is_refused_to_its_asker_and_no_breaker_counts_it() {
    let place = Place::open().await;
    let (attacker, victim) = (place.tenant().await, place.tenant().await);
    let attack = async {
        let mut replies = Vec::new();
        for _ in 0..12 {
            replies.push(attacker.ask(&ask("reasoning", "hello")).await);
            // Each is refused within milliseconds: the victim has to come between them.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        replies
    };
    for reply in served_beside(&victim, attack).await {
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (503, &json!("no_model_on")));
        assert_eq!(reply.header("x-should-retry"), "false", "no SDK asks again");
    }
    for client in [&victim, &attacker] {
        assert_eq!(
            client.ask(&ask("cheap", "hello")).await.status,
            200,
            "nor afterwards, nor for itself elsewhere"
        );
    }
    assert!(place.served.log().is_empty() || !place.served.log().contains("breaker changed"));
    place.world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_s_limit_and_overload_are_passed_on_in_each_dialect_whole_and_streamed() {
    for (status, openai, anthropic) in [
        (429, (429, "requests", "provider_rate_limited"), (429, "rate_limit_error")),
        (529, (503, "server_error", "provider_overloaded"), (529, "overloaded_error")),
    ] {
        let place = Place::open().await;
        let (tenant, other) = (place.tenant().await, place.tenant().await);
        let text = format!("fail {status} 40");
        let wait = |reply: &Reply| {
            let seconds: u64 = reply.header("retry-after").parse().expect("seconds");
            assert!((1..=40).contains(&seconds), "{seconds}");
            assert_eq!(reply.header("retry-after-ms"), format!("{seconds}000"));
        };
        for stream in [false, true] {
            let mut body = ask("cheap", &text);
            body["stream"] = json!(stream);
            let reply = tenant.ask(&body).await;
            let error = &reply.json()["error"];
            assert_eq!(
                (reply.status, &error["type"], &error["code"]),
                (openai.0, &json!(openai.1), &json!(openai.2))
            );
            wait(&reply);
            let reply = other.post("/v1/messages", &body).await;
            assert_eq!((reply.status, &reply.json()["error"]["type"]), (anthropic.0, &json!(anthropic.1)));
            wait(&reply);
        }
        let native = json!({"model": "cheap", "prompt": "hello", "stream": false});
        let reply = other.post("/api/v1/inference", &native).await;
        assert_eq!(reply.status, if status == 429 { 429 } else { 503 }, "{}", reply.text);
        wait(&reply);
        assert_eq!(place.vendor.asked().len(), 1, "asked once, and left alone for as long as it asked for");
        place.world.audited().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_model_is_never_answered_by_a_dearer_one() {
    let place = Place::open().await;
    let tenant = place.tenant().await;
    let told = async |model: &str, text: &str, fallback: Option<&str>| {
        let headers: Vec<_> = fallback.map(|value| ("x-freeside-fallback", value)).into_iter().collect();
        let body = ask(model, text).to_string().into();
        let reply = tenant.send("POST", "/v1/chat/completions", body, &headers).await;
        let json = reply.json();
        if reply.status != 200 {
            return format!("{} {}", reply.status, json["error"]["code"].as_str().unwrap_or_default());
        }
        assert_eq!(json["model"], reply.header("x-model-used"));
        let price = match reply.header("x-model-used") {
            "dear" => 9,
            "middle" => 5,
            _ => 1,
        };
        assert_eq!(reply.cost(), 4 * price, "at the price of whoever answered");
        reply.header("x-model-used").to_owned()
    };
    for (model, text, fallback, expected) in [
        ("middle", "hello", None, "middle"),
        ("gone", "hello", None, "middle"),
        ("gone", "hello", Some("none"), "503 model_unavailable"),
        ("gone", "hello", Some("any"), "dear"),
        ("gone", "hello", Some("cheapest"), "400 invalid_value"),
        ("lost", "hello", None, "503 model_unavailable"),
        // A retired model is a failure before the first token.
        ("middle", "fail 404 of middle", None, "plain"),
        ("dear", "fail 404 of dear", Some("none"), "502 provider_misconfigured"),
    ] {
        assert_eq!(told(model, text, fallback).await, expected, "{model}, {text}, {fallback:?}");
    }
    let listed = async |client: &Client| -> Vec<String> {
        let list = client.get("/v1/models").await.json();
        let data = list["data"].as_array().expect("a list").iter();
        data.map(|model| model["id"].as_str().expect("an id").to_owned()).collect()
    };
    tokio::time::sleep(Duration::from_secs(3)).await; // the gateway asks the engine every other second
    assert_eq!(
        listed(&tenant).await,
        ["native", "cheap", "standard", "plain"],
        "neither off nor retired ones"
    );
    place.world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_s_own_fault_is_told_once_and_counts_for_nobody() {
    let place = Place::open().await;
    let tenant = place.tenant().await;
    for number in 0..4 {
        let reply = tenant.ask(&ask("cheap", "fail 400")).await;
        assert_eq!(reply.status, 400, "{number}: {}", reply.text);
        assert!(reply.text.contains("as ordered"), "{}", reply.text);
        assert_eq!(place.vendor.asked().len(), 1, "asked once");
    }
    assert_eq!(tenant.ask(&ask("cheap", "hello")).await.status, 200);
    place.world.audited().await;
}
