//! Carries an answer from the domain to the socket: batch by batch, or gathered.
//!
//! The door only watches the turn. Dropping the stream drops the [`Events`], which tells the domain that the client
//! left; the domain then cuts the engine and settles. Nothing here knows a price.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use domain::turn::{Events, Finished, Piece};
use identity::ApiKey;

use super::fault::Fault;
use super::{limits, sentences};

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

struct Pump<W> {
    events: Events,
    key: Arc<ApiKey>,
    wire: W,
}

/// The body of a streamed answer: one frame per batch.
pub(crate) fn body<W: Wire>(events: Events, key: Arc<ApiKey>, wire: W) -> Body {
    let first = Some(Pump { events, key, wire });
    Body::from_stream(futures_util::stream::unfold(first, async |pump| {
        let (bytes, next) = step(pump?).await;
        Some((Ok::<_, Infallible>(bytes), next))
    }))
}

/// The next frame, and the pump unless that was the last one.
///
/// [`Events::next`] is cancel-safe: a batch is either returned or still to come when the silence ends first.
async fn step<W: Wire>(mut pump: Pump<W>) -> (Bytes, Option<Pump<W>>) {
    let mut out = Vec::with_capacity(1_024);
    let mut ended = false;
    while out.is_empty() && !ended {
        tokio::select! {
            biased;
            () = pump.key.revoked.cancelled() => {
                pump.wire.cut(&mut out, Cut::Revoked);
                ended = true;
            }
            batch = pump.events.next() => if let Some(pieces) = batch {
                for piece in pieces {
                    ended |= matches!(piece, Piece::Done(_) | Piece::Broken { .. });
                    pump.wire.piece(&mut out, piece);
                }
            } else {
                pump.wire.cut(&mut out, Cut::Lost);
                ended = true;
            },
            () = tokio::time::sleep(limits::KEEP_ALIVE) => out.extend_from_slice(b": keep-alive\n\n"),
        }
    }
    (out.into(), (!ended).then_some(pump))
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
