//! A model's provider that speaks both dialects over a real socket: strict about what it is sent, as the vendors are,
//! and able to fail on command.

pub(crate) mod strict;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// One step of a streamed answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These bytes, as one chunk.
    Bytes(Vec<u8>),
    /// Waits until the test lets it go on.
    Gate,
    /// Says nothing more and keeps the connection open.
    Stall,
    /// Ends the connection in the middle.
    Cut,
}

/// What the provider does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Status(u16, String),
    /// A status with `Retry-After`.
    Wait(u16, &'static str),
    Stream(Vec<Step>),
    /// Accepts the request and never answers.
    Silence,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

#[derive(Clone)]
pub(crate) struct FakeProvider {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Value>>,
    gate: Semaphore,
    /// One permit for each answer whose connection went away before its end.
    deserted: Semaphore,
    connections: Mutex<usize>,
}

impl FakeProvider {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            acts: Mutex::default(),
            seen: Mutex::default(),
            gate: Semaphore::new(0),
            deserted: Semaphore::new(0),
            connections: Mutex::default(),
        });
        let provider = Self { addr, shared };
        let own = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                *own.shared.connections.lock().unwrap() += 1;
                let own = own.clone();
                let service = service_fn(move |request| {
                    let own = own.clone();
                    async move { Ok::<_, Infallible>(own.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        provider
    }

    /// Queues what it does with the next requests; without any it answers well.
    pub(crate) fn then(&self, act: Act) -> &Self {
        self.shared.acts.lock().unwrap().push_back(act);
        self
    }

    /// Lets `steps` gates open.
    pub(crate) fn open_gate(&self, steps: usize) {
        self.shared.gate.add_permits(steps);
    }

    /// Waits until an answer's connection was left by the other side.
    pub(crate) async fn deserted(&self) {
        self.shared.deserted.acquire().await.unwrap().forget();
    }

    /// The requests' bodies so far.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let anthropic = head.uri.path().ends_with("/messages");
        let checked = if anthropic { strict::anthropic(&head, &body) } else { strict::openai(&head, &body) };
        let value = match checked {
            Ok(value) => value,
            Err((status, message)) => {
                return refuse(status, &json!({"error":{"message":message}}).to_string());
            }
        };
        self.shared.seen.lock().unwrap().push(value);
        let act = self.shared.acts.lock().unwrap().pop_front();
        let usual = || {
            if anthropic {
                anthropic_answer(&["Hello", " there"])
            } else {
                openai_answer(&["Hello", " there"])
            }
        };
        match act.unwrap_or_else(|| Act::Stream(usual())) {
            Act::Status(status, body) => refuse(status, &body),
            Act::Wait(status, retry_after) => {
                let mut response = refuse(status, "{}");
                response.headers_mut().insert("retry-after", retry_after.parse().unwrap());
                response
            }
            Act::Silence => std::future::pending().await,
            Act::Stream(steps) => self.stream(steps),
        }
    }

    fn stream(&self, steps: Vec<Step>) -> Response<Body> {
        let guard = Guard { shared: Arc::clone(&self.shared), ended: false };
        let frames = stream::unfold((VecDeque::from(steps), guard), |(mut steps, mut guard)| async move {
            loop {
                let frame = match steps.pop_front() {
                    None => {
                        guard.end();
                        return None;
                    }
                    Some(Step::Gate) => {
                        guard.shared.gate.acquire().await.unwrap().forget();
                        continue;
                    }
                    Some(Step::Stall) => std::future::pending().await,
                    Some(Step::Cut) => {
                        // hyper writes what it holds when it has to wait, and forgets it when it fails.
                        tokio::task::yield_now().await;
                        guard.end();
                        Err(std::io::Error::other("cut"))
                    }
                    Some(Step::Bytes(bytes)) => Ok(Frame::data(Bytes::from(bytes))),
                };
                return Some((frame, (steps, guard)));
            }
        });
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(StreamBody::new(Box::pin(frames)).boxed_unsync())
            .unwrap()
    }
}

/// Notices an answer that was dropped before its end.
struct Guard {
    shared: Arc<Shared>,
    ended: bool,
}

impl Guard {
    fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.deserted.add_permits(1);
        }
    }
}

fn refuse(status: u16, body: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_owned())).map_err(|never| match never {});
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body.boxed_unsync())
        .unwrap()
}

/// An event's bytes.
pub(crate) fn data(value: &Value) -> Step {
    Step::Bytes(format!("data: {value}\n\n").into_bytes())
}

/// A text chunk in OpenAI's dialect.
pub(crate) fn openai_text(text: &str) -> Step {
    data(&json!({"id":"x","object":"chat.completion.chunk","choices":[
        {"index":0,"delta":{"content":text},"logprobs":null,"finish_reason":null}],"usage":null}))
}

/// The end in OpenAI's dialect: reason, figures, `[DONE]`.
pub(crate) fn openai_end(reason: &str, usage: Option<(u64, u64)>) -> Vec<Step> {
    let mut steps = vec![data(&json!({"choices":[{"index":0,"delta":{},"finish_reason":reason}]}))];
    if let Some((prompt, completion)) = usage {
        steps
            .push(data(&json!({"choices":[],"usage":{"prompt_tokens":prompt,"completion_tokens":completion,
            "total_tokens":prompt + completion,"prompt_tokens_details":{"cached_tokens":1}}})));
    }
    steps.push(Step::Bytes(b"data: [DONE]\n\n".to_vec()));
    steps
}

pub(crate) fn openai_answer(texts: &[&str]) -> Vec<Step> {
    let mut steps = vec![data(
        &json!({"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}),
    )];
    steps.extend(texts.iter().map(|text| openai_text(text)));
    steps.extend(openai_end("stop", Some((11, 5))));
    steps
}

/// An event in Anthropic's framing.
pub(crate) fn named(value: &Value) -> Step {
    let name = value["type"].as_str().unwrap();
    Step::Bytes(format!("event: {name}\ndata: {value}\n\n").into_bytes())
}

pub(crate) fn anthropic_start() -> Vec<Step> {
    vec![
        named(&json!({"type":"message_start","message":{"id":"m","role":"assistant","content":[],
            "usage":{"input_tokens":7,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":1}}})),
        named(&json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})),
        named(&json!({"type":"ping"})),
    ]
}

pub(crate) fn anthropic_text(text: &str) -> Step {
    named(&json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":text}}))
}

pub(crate) fn anthropic_end(reason: &str, output: u64) -> Vec<Step> {
    vec![
        named(&json!({"type":"content_block_stop","index":0})),
        named(&json!({"type":"message_delta","delta":{"stop_reason":reason,"stop_sequence":null},
            "usage":{"output_tokens":output}})),
        named(&json!({"type":"message_stop"})),
    ]
}

pub(crate) fn anthropic_answer(texts: &[&str]) -> Vec<Step> {
    let mut steps = anthropic_start();
    steps.extend(texts.iter().map(|text| anthropic_text(text)));
    steps.extend(anthropic_end("end_turn", 5));
    steps
}
