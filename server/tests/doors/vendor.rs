//! A provider of both dialects that plays one answer to every request and keeps what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub(crate) struct Vendor {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    answer: String,
    seen: Vec<Value>,
}

impl Vendor {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let vendor = Self { address: listener.local_addr().expect("bound"), shared: Arc::default() };
        let own = vendor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move { own.serve(stream).await });
            }
        });
        vendor
    }

    /// Whose pools `cheap` and `standard` are of OpenAI's and of Anthropic's dialect.
    pub(crate) fn catalog(&self) -> String {
        let model = |id: &str, provider: &str| {
            format!(
                "[models.{id}]\nprovider = \"{provider}\"\nupstream_model = \"u\"\ncontext_tokens = 128000\n\
                 input_micro_per_million = 1000000\noutput_micro_per_million = 10000000\n"
            )
        };
        let provider = |name: &str| {
            format!("[providers.{name}]\nkind = \"{name}\"\nbase_url = \"http://{}/v1\"\n", self.address)
        };
        let pools = types::Pool::ALL.map(|pool| {
            let model = if pool == types::Pool::Standard { "a" } else { "o" };
            format!(
                "[pools.{pool}]\nmodels = [\"{model}\"]\nsystem_tokens = 600\nimage_tokens = 100\n\
                 default_max_tokens = 1024\nhold_slice_tokens = 2048\n"
            )
        });
        let parts =
            [provider("openai"), provider("anthropic"), model("o", "openai"), model("a", "anthropic")];
        parts.concat() + &pools.concat()
    }

    /// Answers every request from now on with these bytes of a stream.
    pub(crate) fn play(&self, pieces: &[String]) {
        *self.shared.lock().expect("no panic in here") = Shared { answer: pieces.concat(), seen: Vec::new() };
    }

    /// What it was asked since.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.shared.lock().expect("no panic in here").seen.clone()
    }

    /// One request for each connection.
    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) && line != "\r\n" {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let answer = {
            let mut shared = self.shared.lock().expect("no panic in here");
            shared.seen.push(serde_json::from_slice(&body).expect("JSON"));
            shared.answer.clone()
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

/// An event without a name.
pub(crate) fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// A chunk with this delta.
pub(crate) fn delta(delta: &Value) -> String {
    data(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

pub(crate) fn text(text: &str) -> String {
    delta(&json!({"content": text}))
}

/// The end of a stream of OpenAI's, with figures.
pub(crate) fn end(reason: &str, prompt: u64, completion: u64) -> String {
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}});
    format!("{}{}data: [DONE]\n\n", data(&stop), data(&usage))
}

/// A whole stream of Anthropic's around these events.
pub(crate) fn anthropic(events: &[Value], stop: &Value) -> Vec<String> {
    let named =
        |value: &Value| format!("event: {}\n{}", value["type"].as_str().expect("a type"), data(value));
    let start =
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}});
    let end = json!({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 4}});
    let mut all = vec![named(&start)];
    all.extend(events.iter().map(named));
    all.extend([named(&end), named(&json!({"type": "message_stop"}))]);
    all
}

pub(crate) fn anthropic_text(text: &str) -> Value {
    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
}
