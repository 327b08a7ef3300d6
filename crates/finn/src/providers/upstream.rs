//! What both network dialects share: sending the request, judging the head, reading the event stream.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use serde::Deserialize;
use tokio::time::{Instant, Sleep};
use types::sse::Reader;

use crate::failure::{Failure, OVERLOADED, presentable};
use crate::transcript::Transcript;
use client::{Answer, Client, HttpError};

use super::{anthropic, openai, wait};

/// Seconds between two signs of life of a provider (SPEC §4).
pub(super) const BETWEEN_EVENTS: Duration = Duration::from_mins(1);
/// No answer takes longer: what still streams then is stuck in a loop.
const MAX_ANSWER: Duration = Duration::from_mins(30);
/// One write to freeside carries at most about this much.
const MAX_BATCH_BYTES: usize = 16 * 1024;
/// An error's body is read up to this, for its one sentence.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// … and no longer than this.
const ERROR_BODY_SECONDS: u64 = 2;

/// How to read a provider's events.
pub(super) enum Dialect {
    Openai(openai::Stream),
    Anthropic(anthropic::Stream),
}

/// An answer that comes over the network.
pub struct Upstream {
    answer: Answer,
    reader: Reader,
    dialect: Dialect,
    began: Instant,
    last_sign: Instant,
    alarm: Pin<Box<Sleep>>,
}

/// Sends a question and judges the head of the answer.
pub(super) async fn open(
    client: &Client,
    endpoint: &Uri,
    headers: &HeaderMap,
    body: Vec<u8>,
    dialect: Dialect,
) -> Result<Box<Upstream>, Failure> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.clone();
    request.headers_mut().clone_from(headers);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    let response = client.send(request).await.map_err(|error| match error {
        HttpError::Connect(_) | HttpError::Address => Failure::Unreachable,
        HttpError::Broken(_) => Failure::Cut,
    })?;
    if !response.status().is_success() {
        return Err(refused(response).await);
    }
    if !is_event_stream(response.headers()) {
        return Err(Failure::Malformed);
    }
    let now = Instant::now();
    Ok(Box::new(Upstream {
        answer: response.into_body(),
        reader: Reader::new(),
        dialect,
        began: now,
        last_sign: now,
        alarm: Box::pin(tokio::time::sleep_until(now + BETWEEN_EVENTS)),
    }))
}

/// Small servers forget the type; one that says JSON or HTML did not stream.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    !["application/json", "text/html"].iter().any(|other| kind.starts_with(other))
}

async fn refused(response: Response<Answer>) -> Failure {
    let status = response.status().as_u16();
    let retry_after_s = wait::asked_for(response.headers());
    match Failure::of_status(status, None, retry_after_s) {
        Failure::Rejected(_) => Failure::Rejected(sentence(response.into_body()).await),
        // Some say it with a 503 and a word.
        Failure::Status(503) if says_overloaded(response.into_body()).await => {
            Failure::Overloaded { retry_after_s }
        }
        other => other,
    }
}

async fn says_overloaded(answer: Answer) -> bool {
    let limit = Duration::from_secs(ERROR_BODY_SECONDS);
    let body = tokio::time::timeout(limit, client::read_all(answer, MAX_ERROR_BYTES)).await.ok().flatten();
    body.is_some_and(|body| String::from_utf8_lossy(&body).contains(OVERLOADED))
}

/// The provider's sentence about a request that it refused.
async fn sentence(answer: Answer) -> String {
    #[derive(Deserialize)]
    struct Refused {
        error: Detail,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Detail {
        Object { message: String },
        Text(String),
    }
    let limit = Duration::from_secs(ERROR_BODY_SECONDS);
    let body = tokio::time::timeout(limit, client::read_all(answer, MAX_ERROR_BYTES)).await.ok().flatten();
    let refused = body.and_then(|body| serde_json::from_slice::<Refused>(&body).ok());
    match refused.map(|refused| refused.error) {
        Some(Detail::Object { message } | Detail::Text(message)) if !message.is_empty() => {
            format!("The model's provider refused the request: {}", presentable(&message))
        }
        _ => "The model's provider refused the request.".to_owned(),
    }
}

impl Upstream {
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, transcript: &mut Transcript) -> Poll<()> {
        while transcript.end().is_none() && transcript.waiting_bytes() < MAX_BATCH_BYTES {
            match Pin::new(&mut self.answer).poll_frame(context) {
                Poll::Pending if transcript.waiting_bytes() > 0 => return Poll::Ready(()),
                Poll::Pending => return self.poll_alarm(context, transcript),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.read(bytes, transcript);
                    }
                }
                Poll::Ready(None) => ended(transcript),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a provider's stream broke");
                    ended(transcript);
                }
            }
        }
        if transcript.end().is_some() {
            // The end of the body mostly came with the last event; reading it makes the connection reusable.
            let _ = Pin::new(&mut self.answer).poll_frame(context);
        }
        Poll::Ready(())
    }

    fn read(&mut self, bytes: &[u8], transcript: &mut Transcript) {
        self.last_sign = Instant::now();
        if self.last_sign - self.began > MAX_ANSWER {
            return transcript.fail(Failure::Timeout);
        }
        let dialect = &mut self.dialect;
        let read = self.reader.feed(bytes, |frame| {
            if transcript.end().is_none() {
                dialect.event(frame.data, transcript);
            }
        });
        if read.is_err() {
            transcript.fail(Failure::Malformed);
        }
    }

    /// One timer for the whole answer: it is set anew only when it rings, not at every event.
    fn poll_alarm(&mut self, context: &mut Context<'_>, transcript: &mut Transcript) -> Poll<()> {
        while self.alarm.as_mut().poll(context).is_ready() {
            let due = self.last_sign + BETWEEN_EVENTS;
            if due <= Instant::now() {
                transcript.fail(Failure::Timeout);
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl Dialect {
    fn event(&mut self, data: &str, transcript: &mut Transcript) {
        match self {
            Self::Openai(stream) => stream.event(data, transcript),
            Self::Anthropic(stream) => stream.event(data, transcript),
        }
    }
}

/// The bytes ended. With a reason given, the answer was whole and only the figures may be missing.
fn ended(transcript: &mut Transcript) {
    if transcript.has_finish_reason() { transcript.done() } else { transcript.fail(Failure::Cut) }
}
