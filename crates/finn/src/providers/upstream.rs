//! What both network dialects share: sending the request, judging the head, reading the event stream.
//!
//! A server that was asked for a stream and answers 200 with one JSON object is understood too: the object is read as one
//! event, which may be an error or a whole answer.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use serde::de::IgnoredAny;
use tokio::time::{Instant, Sleep};
use types::sse::{Frame, Reader};

use crate::failure::{Failure, OVERLOADED};
use crate::transcript::Transcript;
use client::{Answer, Client, HttpError};

use super::{anthropic, openai, reported, wait};

/// Seconds between two signs of life of a provider (SPEC §4).
pub(super) const BETWEEN_EVENTS: Duration = Duration::from_mins(1);
/// No answer takes longer: what still streams then is stuck in a loop.
const MAX_ANSWER: Duration = Duration::from_mins(30);
/// One write to freeside carries at most about this much.
const MAX_BATCH_BYTES: usize = 16 * 1024;
/// An error's body is read up to this, for its one sentence.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// A whole answer in place of a stream is read up to this.
const MAX_WHOLE_BYTES: usize = 1024 * 1024;
/// … and no longer than this.
const ERROR_BODY_SECONDS: u64 = 2;

/// The data of OpenAI's last event; some servers of the other dialect send it too.
const DONE: &str = "[DONE]";

/// How to read a provider's events.
pub(super) enum Dialect {
    Openai(openai::Stream),
    Anthropic(anthropic::Stream),
}

/// An answer that comes over the network.
pub struct Upstream {
    answer: Answer,
    framing: Framing,
    dialect: Dialect,
    began: Instant,
    last_sign: Instant,
    alarm: Pin<Box<Sleep>>,
}

/// How the bytes of an answer are cut into events.
enum Framing {
    Events(Reader),
    /// One JSON object: what has come of it.
    Whole(Vec<u8>),
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
    let framing = framing(response.headers()).ok_or(Failure::Malformed)?;
    let now = Instant::now();
    Ok(Box::new(Upstream {
        answer: response.into_body(),
        framing,
        dialect,
        began: now,
        last_sign: now,
        alarm: Box::pin(tokio::time::sleep_until(now + BETWEEN_EVENTS)),
    }))
}

/// Small servers forget the type; one that says HTML did not answer.
fn framing(headers: &HeaderMap) -> Option<Framing> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "text/html" => None,
        json if json == "application/json" || json.ends_with("+json") => Some(Framing::Whole(Vec::new())),
        _ => Some(Framing::Events(Reader::new())),
    }
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
    let limit = Duration::from_secs(ERROR_BODY_SECONDS);
    let body = tokio::time::timeout(limit, client::read_all(answer, MAX_ERROR_BYTES)).await.ok().flatten();
    reported::sentence(&body.unwrap_or_default())
}

impl Upstream {
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, transcript: &mut Transcript) -> Poll<()> {
        while transcript.end().is_none() && transcript.waiting_bytes() < MAX_BATCH_BYTES {
            match Pin::new(&mut self.answer).poll_frame(context) {
                Poll::Pending => {
                    transcript.pause();
                    if transcript.waiting_bytes() > 0 {
                        return Poll::Ready(());
                    }
                    return self.poll_alarm(context, transcript);
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.read(bytes, transcript);
                    }
                }
                Poll::Ready(None) => self.ended(transcript),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a provider's stream broke");
                    self.ended(transcript);
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
        let is_sound = match &mut self.framing {
            Framing::Events(reader) => reader.feed(bytes, |frame| dialect.event(&frame, transcript)).is_ok(),
            Framing::Whole(whole) => {
                whole.extend_from_slice(bytes);
                whole.len() <= MAX_WHOLE_BYTES
            }
        };
        if !is_sound {
            transcript.fail(Failure::Malformed);
        }
    }

    /// The bytes ended. With a reason given, the answer was whole and only the figures may be missing.
    fn ended(&mut self, transcript: &mut Transcript) {
        let dialect = &mut self.dialect;
        match &mut self.framing {
            // Half an event is no event; a whole one may lack its blank line.
            Framing::Events(reader) => reader.finish(|frame| {
                if frame.data == DONE || serde_json::from_str::<IgnoredAny>(frame.data).is_ok() {
                    dialect.event(&frame, transcript);
                }
            }),
            Framing::Whole(whole) => {
                let data = String::from_utf8_lossy(whole);
                dialect.event(&Frame { name: "", data: data.trim() }, transcript);
            }
        }
        if transcript.end().is_some() {
            return;
        }
        if transcript.has_finish_reason() {
            dialect.done(transcript);
        } else {
            transcript.fail(Failure::Cut);
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
    /// Reads one event. What is no JSON of the dialect is malformed; an event named `error` is one, whatever it holds.
    fn event(&mut self, frame: &Frame<'_>, transcript: &mut Transcript) {
        if transcript.end().is_some() {
            return;
        }
        if frame.name == "error" {
            return transcript.fail(reported::failure(frame.data));
        }
        match frame.data.trim() {
            "" | "null" => {}
            DONE => self.done(transcript),
            data => match self {
                Self::Openai(stream) => stream.event(data, transcript),
                Self::Anthropic(stream) => stream.event(data, transcript),
            },
        }
    }

    fn done(&mut self, transcript: &mut Transcript) {
        match self {
            Self::Openai(stream) => stream.done(transcript),
            Self::Anthropic(stream) => stream.done(transcript),
        }
    }
}
