//! Writes answers in our own shapes: one object, or events whose name is also their `type`.

use std::sync::Arc;

use domain::turn::{Finished, Piece};
use serde::Serialize;
use types::s2s::Usage;
use types::{MicroUsd, Pool, ReservationId};
use utoipa::ToSchema;

use crate::routes::sentences;
use crate::routes::stream::{Call, Cut, Gathered, Wire, push_json};

/// What one answer repeats.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The request's id in our logs.
    pub request_id: Arc<str>,
    /// The hold that pays.
    pub reservation_id: ReservationId,
    /// The pool that answers.
    pub pool: Pool,
    /// The model that answers.
    pub model: String,
    /// Whose personality speaks, or `none`.
    pub personality_id: String,
}

/// A whole answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer<'a> {
    /// The text.
    content: &'a str,
    /// Calls of the caller's tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
    #[serde(flatten)]
    end: End<'a>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ToolCall<'a> {
    id: &'a str,
    name: &'a str,
    /// JSON text.
    arguments: &'a str,
}

/// What the last word says.
#[derive(Debug, Serialize, ToSchema)]
struct End<'a> {
    /// The tokens that were charged.
    #[schema(value_type = Object)]
    usage: Usage,
    /// The charge in micro-USD, as a decimal string.
    #[schema(value_type = String)]
    cost_micro: MicroUsd,
    /// The model that answered.
    model: &'a str,
    /// Its pool.
    #[schema(value_type = String)]
    pool: Pool,
    /// Whose personality spoke, or `none`.
    personality_id: &'a str,
    /// `stop`, `length`, `tool_calls` or `content_filter`.
    finish_reason: &'a str,
    /// Which of the caller's stop sequences ended it, where the provider says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequence: Option<&'a str>,
    /// Why it ended early, when that is ours to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    /// The hold that paid.
    #[schema(value_type = String, format = Uuid)]
    reservation_id: ReservationId,
    /// The request's id in our logs.
    request_id: &'a str,
}

/// An event of the stream.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    Token {
        content: &'a str,
    },
    ToolCall {
        index: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        arguments: &'a str,
    },
    Done(End<'a>),
    Error {
        code: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cost_micro: Option<MicroUsd>,
        reservation_id: ReservationId,
        request_id: &'a str,
    },
}

/// The whole answer as one object.
pub(crate) fn whole<'a>(head: &'a Head, answer: &'a Gathered) -> Answer<'a> {
    let tool_call = |call: &'a Call| ToolCall { id: &call.id, name: &call.name, arguments: &call.arguments };
    Answer {
        content: &answer.text,
        tool_calls: answer.calls.iter().map(tool_call).collect(),
        end: end(head, &answer.finished),
    }
}

fn end<'a>(head: &'a Head, finished: &'a Finished) -> End<'a> {
    End {
        usage: finished.usage,
        cost_micro: finished.cost,
        model: &head.model,
        pool: head.pool,
        personality_id: &head.personality_id,
        finish_reason: &finished.finish_reason,
        stop_sequence: finished.stop_sequence.as_deref(),
        note: finished.note.as_deref(),
        reservation_id: head.reservation_id,
        request_id: &head.request_id,
    }
}

/// Writes the events of one streamed answer.
#[derive(Debug)]
pub(crate) struct EventWriter {
    head: Head,
}

impl EventWriter {
    pub(crate) fn new(head: Head) -> Self {
        Self { head }
    }

    fn error(&self, out: &mut Vec<u8>, code: &str, message: &str, charged: Option<(Usage, MicroUsd)>) {
        let event = Event::Error {
            code,
            message,
            usage: charged.map(|(usage, _)| usage),
            cost_micro: charged.map(|(_, cost)| cost),
            reservation_id: self.head.reservation_id,
            request_id: &self.head.request_id,
        };
        write(out, b"error", &event);
    }
}

fn write(out: &mut Vec<u8>, name: &[u8], event: &Event<'_>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\ndata: ");
    push_json(out, event);
    out.extend_from_slice(b"\n\n");
}

impl Wire for EventWriter {
    fn piece(&mut self, out: &mut Vec<u8>, piece: Piece) {
        match piece {
            Piece::Text(text) => write(out, b"token", &Event::Token { content: &text }),
            Piece::ToolCall { index, id, name, arguments } => {
                let (id, name) = (id.as_deref(), name.as_deref());
                write(out, b"tool_call", &Event::ToolCall { index, id, name, arguments: &arguments });
            }
            Piece::Done(finished) => write(out, b"done", &Event::Done(end(&self.head, &finished))),
            Piece::Broken { code, message, usage, cost } => {
                self.error(out, &code, &sentences::broken(&message, cost), Some((usage, cost)));
            }
        }
    }

    fn cut(&mut self, out: &mut Vec<u8>, cut: Cut) {
        self.error(out, cut.code(), cut.message(), None);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn head() -> Head {
        Head {
            request_id: "req_1".into(),
            reservation_id: "0199c0de-0000-7000-8000-000000000001".parse().expect("a UUID"),
            pool: Pool::Cheap,
            model: "m".to_owned(),
            personality_id: "none".to_owned(),
        }
    }

    fn finished() -> Finished {
        Finished {
            usage: Usage::new(3, 2),
            cost: MicroUsd(7),
            finish_reason: "stop".to_owned(),
            stop_sequence: None,
            note: None,
        }
    }

    fn last_word() -> Value {
        json!({"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, "cost_micro": "7", "model": "m", "pool": "cheap",
               "personality_id": "none", "finish_reason": "stop", "reservation_id": "0199c0de-0000-7000-8000-000000000001",
               "request_id": "req_1"})
    }

    #[test]
    fn events_are_named_by_their_type_and_end_with_one_last_word() {
        let mut writer = EventWriter::new(head());
        let mut out = Vec::new();
        writer.piece(&mut out, Piece::Text("a\nb".into()));
        let call = Piece::ToolCall { index: 0, id: None, name: None, arguments: "{}".into() };
        writer.piece(&mut out, call);
        writer.piece(&mut out, Piece::Done(finished()));
        writer.cut(&mut out, Cut::Revoked);
        let mut events = Vec::new();
        let read = types::sse::Reader::new().feed(&out, |frame| {
            let value: Value = serde_json::from_str(frame.data).expect("JSON");
            assert_eq!(value["type"], frame.name);
            events.push(value);
        });
        read.expect("small");
        assert_eq!(events[0], json!({"type": "token", "content": "a\nb"}));
        assert_eq!(events[1], json!({"type": "tool_call", "index": 0, "arguments": "{}"}));
        let mut done = last_word();
        done["type"] = json!("done");
        assert_eq!(events[2], done);
        assert_eq!((&events[3]["type"], &events[3]["code"]), (&json!("error"), &json!("key_revoked")));
    }

    #[test]
    fn a_whole_answer_carries_the_last_word_beside_the_text() {
        let answer = Gathered { text: "hi".into(), calls: Vec::new(), finished: finished() };
        let head = head();
        let mut expected = last_word();
        expected["content"] = json!("hi");
        assert_eq!(serde_json::to_value(whole(&head, &answer)).expect("serialises"), expected);
    }
}
