//! A provider in lock step: a server that speaks OpenAI's dialect and sends each chunk when the test says so.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// A question that is answered without end, as fast as it is read.
pub(crate) const ENDLESS: &str = "Never stop.";
/// Text of one chunk: four bytes, which our own count takes for one token.
pub(crate) const CHUNK: &str = "word";

/// The server.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    expected: Arc<Mutex<HashMap<String, Play>>>,
}

struct Play {
    asked: oneshot::Sender<()>,
    chunks: mpsc::UnboundedReceiver<Bytes>,
    deserted: oneshot::Sender<()>,
}

/// The test's hand on one answer.
pub(crate) struct Hand {
    asked: oneshot::Receiver<()>,
    chunks: mpsc::UnboundedSender<Bytes>,
    deserted: oneshot::Receiver<()>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let provider = Self { address: listener.local_addr().expect("bound"), expected: Arc::default() };
        let own = provider.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).expect("a fresh socket");
                let own = own.clone();
                let service = service_fn(move |request| {
                    let own = own.clone();
                    async move { Ok::<_, Infallible>(own.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        provider
    }

    /// A catalog whose every pool this provider answers: a prompt token costs 1 micro-USD, a completion token 2.
    pub(crate) fn catalog(&self) -> String {
        let model = "[models.stepped]\nprovider = \"stepped\"\nupstream_model = \"stepped\"\ncontext_tokens = 128000\n\
             input_micro_per_million = 1000000\noutput_micro_per_million = 2000000\n";
        let pools = types::Pool::ALL.map(|pool| {
            format!(
                "[pools.{pool}]\nmodels = [\"stepped\"]\nsystem_tokens = 600\ndefault_max_tokens = 1024\nhold_slice_tokens = 2048\n"
            )
        });
        format!(
            "[providers.stepped]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\n{model}{}",
            self.address,
            pools.concat()
        )
    }

    /// Answers the question with this text by hand.
    pub(crate) fn expect(&self, text: &str) -> Hand {
        let (sender, chunks) = mpsc::unbounded_channel();
        let (deserted, watched) = oneshot::channel();
        let (asked, heard) = oneshot::channel();
        self.expected
            .lock()
            .expect("no panic in here")
            .insert(text.to_owned(), Play { asked, chunks, deserted });
        Hand { asked: heard, chunks: sender, deserted: watched }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let body = request.into_body().collect().await.expect("freeside sends it whole").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("freeside sends JSON");
        let text =
            body["messages"].as_array().and_then(|all| all.last()).and_then(|last| last["content"].as_str());
        if text == Some(ENDLESS) {
            let frames = futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(chunk())));
            let response = Response::builder().header("content-type", "text/event-stream");
            return response.body(StreamBody::new(frames).boxed_unsync()).expect("a sound response");
        }
        let play = self.expected.lock().expect("no panic in here").remove(text.expect("a question"));
        let Play { asked, chunks, deserted } = play.unwrap_or_else(|| panic!("nobody expected {text:?}"));
        let guard = Guard(Some(deserted));
        let _ = asked.send(());
        let frames = futures_util::stream::unfold((chunks, guard), |(mut chunks, guard)| async move {
            let bytes = chunks.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), (chunks, guard)))
        });
        let response = Response::builder().header("content-type", "text/event-stream");
        response.body(StreamBody::new(frames).boxed_unsync()).expect("a sound response")
    }
}

/// Tells when the answer is over, which is when the other side has left if the test has not ended it.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(deserted) = self.0.take() {
            let _ = deserted.send(());
        }
    }
}

/// The event that carries [`CHUNK`].
fn chunk() -> Bytes {
    let event = json!({"choices": [{"index": 0, "delta": {"content": CHUNK}, "finish_reason": null}]});
    format!("data: {event}\n\n").into()
}

impl Hand {
    /// Resolves when the question has come.
    pub(crate) async fn asked(&mut self) {
        (&mut self.asked).await.expect("the question comes before the test ends");
    }

    /// Sends one chunk of [`CHUNK`]; quietly nothing when nobody listens any more.
    pub(crate) fn chunk(&self) {
        let _ = self.chunks.send(chunk());
    }

    /// Ends the answer well, with the provider's own figures.
    pub(crate) fn end(&self, prompt: u64, completion: u64) {
        self.stop();
        self.figures(prompt, completion);
    }

    /// Sends any event; quietly nothing when nobody listens any more.
    pub(crate) fn event(&self, event: &Value) {
        let _ = self.chunks.send(format!("data: {event}\n\n").into());
    }

    /// Says why it stops, and nothing of its figures yet.
    pub(crate) fn stop(&self) {
        self.event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    }

    /// Its figures, and the last word.
    pub(crate) fn figures(&self, prompt: u64, completion: u64) {
        self.event(
            &json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion,
            "total_tokens": prompt + completion}}),
        );
        let _ = self.chunks.send("data: [DONE]\n\n".into());
    }

    /// Resolves when freeside's connection for this answer is gone.
    pub(crate) async fn deserted(&mut self) {
        let _ = (&mut self.deserted).await;
    }
}
