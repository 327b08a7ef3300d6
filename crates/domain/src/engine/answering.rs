//! An answer of finn, as it comes: headers first, then events in the batches in which the network brought them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Body as _;
use tokio::time::{Instant, Sleep};
use types::Pool;
use types::s2s::{Event, Usage, headers};
use types::sse;

use crate::turn::Piece;

/// finn gives a provider 60 s between events (SPEC §4) and reports when they pass; a little more for the report.
const SILENCE_AT_MOST: Duration = Duration::from_secs(70);

/// The stream ended without its terminal event.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// What one read brought.
#[derive(Debug, Default)]
pub struct Read {
    /// Text and tool calls, in order.
    pub pieces: Vec<Piece>,
    /// The running figure of the last event that had one.
    pub usage: Option<Usage>,
    /// The model has named the reason of its end, and its final figures are still to come: the answer is whole.
    pub finishing: bool,
    /// The terminal event, if it came.
    pub end: Option<End>,
}

/// How finn says an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Complete.
    Done {
        /// Final figures.
        usage: Usage,
        /// finn's own count, when the provider's was taken.
        own_count: Option<Usage>,
        /// OpenAI's word.
        finish_reason: String,
        /// The caller's stop sequence that ended it, where the provider says so.
        stop_sequence: Option<String>,
    },
    /// Broken off.
    Error {
        /// Stable word.
        code: String,
        /// For a person.
        message: String,
        /// Metered up to there.
        usage: Usage,
    },
}

/// Who answers, and why.
#[derive(Clone, Debug, Default)]
pub struct Answerer {
    /// The pool that answers.
    pub pool: Option<Pool>,
    /// The catalog id of the model that answers.
    pub model: String,
    /// Whose personality, or `none`.
    pub personality_id: String,
    /// Why this pool and model.
    pub reason: String,
}

/// A stream that a provider has begun to fill.
#[derive(Debug)]
pub struct Answering {
    /// As the headers say.
    pub by: Answerer,
    body: Option<client::Answer>,
    reader: sse::Reader,
    last_sign: Instant,
    /// Set anew when it rings, not with each frame.
    silence: Pin<Box<Sleep>>,
}

impl Answering {
    pub(super) fn new(response: Response<client::Answer>) -> Self {
        let text = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let by = Answerer {
            pool: text(headers::POOL_USED).parse().ok(),
            model: text(headers::MODEL_USED),
            personality_id: text(headers::PERSONALITY_ID),
            reason: text(headers::ROUTE_REASON),
        };
        let now = Instant::now();
        Self {
            by,
            body: Some(response.into_body()),
            reader: sse::Reader::new(),
            last_sign: now,
            silence: Box::pin(tokio::time::sleep_until(now + SILENCE_AT_MOST)),
        }
    }

    /// The next batch; an error when the stream ends, breaks or falls silent before its terminal event.
    ///
    /// Safe to drop and call again: nothing is taken from the body before it is parsed.
    pub async fn next(&mut self) -> Result<Read, Broken> {
        loop {
            let Some(body) = self.body.as_mut() else { return Err(Broken("engine_cut")) };
            let (silence, last_sign) = (&mut self.silence, &mut self.last_sign);
            let frame = poll_fn(|context| {
                if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
                    *last_sign = Instant::now();
                    return Poll::Ready(Ok(frame));
                }
                while silence.as_mut().poll(context).is_ready() {
                    let due = *last_sign + SILENCE_AT_MOST;
                    if due <= Instant::now() {
                        return Poll::Ready(Err(Broken("engine_silent")));
                    }
                    silence.as_mut().reset(due);
                }
                Poll::Pending
            });
            let Some(Ok(frame)) = frame.await? else { return Err(Broken("engine_cut")) };
            let Ok(data) = frame.into_data() else { continue }; // the trailer is a cross-check, not a figure
            let read = self.parse(&data)?;
            if read.end.is_some() || read.usage.is_some() || read.finishing || !read.pieces.is_empty() {
                return Ok(read);
            }
        }
    }

    /// Reads to the end in the background, after the terminal event, so that the connection can be used again.
    pub fn finish(&mut self) {
        if let Some(mut body) = self.body.take() {
            tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        }
    }

    /// Closes the connection: finn cuts its provider, and nothing more is metered.
    pub fn cut(&mut self) {
        self.body = None;
    }

    fn parse(&mut self, data: &Bytes) -> Result<Read, Broken> {
        let mut read = Read::default();
        let mut is_sound = true;
        let fed = self.reader.feed(data, |frame| match Event::parse(frame.data) {
            Ok(event) if read.end.is_none() => read.take(event),
            Ok(_) => {} // exactly one terminal event, and it is the last
            Err(_) => is_sound = false,
        });
        if fed.is_err() || !is_sound { Err(Broken("engine_malformed")) } else { Ok(read) }
    }
}

impl Read {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Token { content, usage, finish_reason } => {
                self.usage = usage.or(self.usage);
                self.finishing |= finish_reason.is_some();
                if !content.is_empty() {
                    self.pieces.push(Piece::Text(content.into_owned()));
                }
            }
            Event::ToolCall { index, id, name, arguments, usage } => {
                self.usage = usage.or(self.usage);
                self.pieces.push(Piece::ToolCall {
                    index,
                    id: id.map(Into::into),
                    name: name.map(Into::into),
                    arguments: arguments.into_owned(),
                });
            }
            Event::Done { usage, finish_reason, own_count, stop_sequence, .. } => {
                self.end = Some(End::Done {
                    usage,
                    own_count,
                    finish_reason: finish_reason.into_owned(),
                    stop_sequence: stop_sequence.map(Into::into),
                });
            }
            Event::Error { code, message, usage, .. } => {
                self.end = Some(End::Error { code: code.into_owned(), message: message.into_owned(), usage });
            }
            Event::Unknown => {}
        }
    }
}
