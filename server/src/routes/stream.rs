//! Carries an answer from the domain to the socket: batch by batch, or gathered.
//!
//! The door only watches the turn. Dropping the stream drops the [`Events`], which tells the domain that the client
//! left; the domain then cuts the engine and settles. Nothing here knows a price.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use domain::turn::{Events, Finished, Piece};
use futures_util::Stream;
use identity::ApiKey;
use tokio::time::{Instant, Sleep};

use super::fault::Fault;
use super::{limits, sentences};

/// A batch is a chunk or a few; most fit without growing.
const OUT_BYTES: usize = 512;

/// Writes an answer in one dialect's events.
pub(crate) trait Wire: Send + 'static {
    /// Appends the events of one piece.
    fn piece(&mut self, out: &mut Vec<u8>, piece: Piece);
    /// Appends the event that says why the stream ends before its last word.
    fn cut(&mut self, out: &mut Vec<u8>, cut: Cut);
}

/// Why a stream ends before its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The key was revoked.
    Revoked,
    /// The turn went away without a last word.
    Lost,
}

impl Cut {
    /// A stable word.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Revoked => "key_revoked",
            Self::Lost => "interrupted",
        }
    }

    /// For a person.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Revoked => sentences::REVOKED,
            Self::Lost => sentences::CUT,
        }
    }
}

/// Writes batches as they come. What is waited for beside them (the key's end, a silence) is one future each for the whole
/// answer: made anew for each batch, they cost more than the batch.
struct Pump<W> {
    events: Events,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Set anew when it rings, not with each batch.
    silence: Pin<Box<Sleep>>,
    last_word: Instant,
    wire: W,
    ended: bool,
}

/// The body of a streamed answer: one frame per batch.
pub(crate) fn body<W: Wire + Unpin>(events: Events, key: Arc<ApiKey>, wire: W) -> Body {
    let now = Instant::now();
    Body::from_stream(Pump {
        events,
        revoked: Box::pin(async move { key.revoked.cancelled().await }),
        silence: Box::pin(tokio::time::sleep_until(now + limits::KEEP_ALIVE)),
        last_word: now,
        wire,
        ended: false,
    })
}

impl<W: Wire + Unpin> Stream for Pump<W> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let mut out = Vec::with_capacity(OUT_BYTES);
        if this.revoked.as_mut().poll(context).is_ready() {
            this.cut(&mut out, Cut::Revoked);
        }
        while out.is_empty() {
            match this.events.poll_next(context) {
                Poll::Ready(Some(pieces)) => {
                    for piece in pieces {
                        this.ended |= matches!(piece, Piece::Done(_) | Piece::Broken { .. });
                        this.wire.piece(&mut out, piece);
                    }
                }
                Poll::Ready(None) => this.cut(&mut out, Cut::Lost),
                Poll::Pending => {
                    std::task::ready!(this.poll_silence(context));
                    out.extend_from_slice(b": keep-alive\n\n");
                }
            }
        }
        this.last_word = Instant::now();
        Poll::Ready(Some(Ok(out.into())))
    }
}

impl<W: Wire> Pump<W> {
    fn cut(&mut self, out: &mut Vec<u8>, cut: Cut) {
        self.wire.cut(out, cut);
        self.ended = true;
    }

    /// Ready when nothing was written for as long as a proxy may find suspicious.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.silence.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let due = self.last_word + limits::KEEP_ALIVE;
            let is_due = due <= now;
            self.silence.as_mut().reset(if is_due { now + limits::KEEP_ALIVE } else { due });
            if is_due {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// The text.
    pub text: String,
    /// The tool calls, in order.
    pub calls: Vec<Call>,
    /// How it ended.
    pub finished: Finished,
}

/// A tool call of a whole answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

/// Reads an answer to its end.
pub(crate) async fn gather(mut events: Events, key: &ApiKey) -> Result<Gathered, Fault> {
    let mut text = String::new();
    let mut calls: Vec<(u32, Call)> = Vec::new();
    let mut size = 0;
    loop {
        let batch = tokio::select! {
            biased;
            () = key.revoked.cancelled() => return Err(Fault::BadKey),
            batch = events.next() => batch,
        };
        let Some(pieces) = batch else {
            return Err(Fault::Unexpected(anyhow::anyhow!("the turn ended without a last word")));
        };
        for piece in pieces {
            match piece {
                Piece::Text(more) => {
                    size += more.len();
                    text.push_str(&more);
                }
                Piece::ToolCall { index, id, name, arguments } => {
                    size += arguments.len();
                    let position = calls.iter().position(|(known, _)| *known == index).unwrap_or_else(|| {
                        calls.push((index, Call::default()));
                        calls.len() - 1
                    });
                    let call = &mut calls[position].1;
                    // Some providers repeat both on every piece.
                    if let Some(id) = id.filter(|_| call.id.is_empty()) {
                        call.id = id;
                    }
                    if let Some(name) = name.filter(|_| call.name.is_empty()) {
                        call.name = name;
                    }
                    call.arguments.push_str(&arguments);
                }
                Piece::Done(finished) => {
                    let calls = calls.into_iter().map(|(_, call)| call).collect();
                    return Ok(Gathered { text, calls, finished });
                }
                Piece::Broken { code, message, usage: _, cost } => {
                    return Err(Fault::Broken { code, message, cost });
                }
            }
        }
        if size > limits::GATHERED_ANSWER_BYTES {
            return Err(Fault::AnswerTooLong);
        }
    }
}

/// Appends a JSON string.
pub(crate) fn push_json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("our wire shapes serialise into memory");
}
