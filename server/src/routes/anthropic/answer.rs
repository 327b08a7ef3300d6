//! Writes answers as Anthropic shapes them: one message, or a stream of its events.
//!
//! Blocks follow each other: a block is closed before the next opens. What the prompt took is known only at the end,
//! so `message_start` says 0 and `message_delta` carries both figures, which the SDKs take over.

use std::collections::HashMap;
use std::sync::Arc;

use domain::turn::{Finished, Piece};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use types::{Pool, ReservationId};
use utoipa::ToSchema;

use super::error;
use super::order::InOrder;
use crate::routes::sentences;
use crate::routes::shared::Receipt;
use crate::routes::stream::{Cut, Gathered, Wire, push_json};

/// What one answer repeats.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The hold: the message's id is made of it, so one search finds both.
    pub id: ReservationId,
    /// The catalog id of the model that answers.
    pub model: String,
    /// Its pool.
    pub pool: Pool,
}

/// A whole message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Message<'a> {
    /// `msg_` and the reservation.
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    /// The model that answered.
    model: &'a str,
    content: Vec<Block<'a>>,
    /// `end_turn`, `max_tokens`, `stop_sequence`, `tool_use` or `refusal`.
    stop_reason: Option<&'static str>,
    /// With `stop_sequence`: which one.
    stop_sequence: Option<&'a str>,
    usage: Usage,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    x_freeside: Option<Receipt<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        #[schema(value_type = Object)]
        input: Box<RawValue>,
    },
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Usage {
    /// Tokens of the question, cached ones included.
    input_tokens: u64,
    /// Tokens of the answer.
    output_tokens: u64,
}

impl From<types::s2s::Usage> for Usage {
    fn from(usage: types::s2s::Usage) -> Self {
        Self { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens }
    }
}

/// The whole answer as one object.
pub(crate) fn message<'a>(head: &'a Head, answer: &'a Gathered) -> Message<'a> {
    let text = (!answer.text.is_empty()).then_some(Block::Text { text: &answer.text });
    let calls = answer.calls.iter().map(|call| Block::ToolUse {
        id: &call.id,
        name: &call.name,
        input: object(&call.arguments),
    });
    Message {
        content: text.into_iter().chain(calls).collect(),
        stop_reason: Some(stop_reason(&answer.finished)),
        stop_sequence: answer.finished.stop_sequence.as_deref(),
        usage: answer.finished.usage.into(),
        x_freeside: Some(receipt(head, &answer.finished)),
        ..opening(head)
    }
}

fn opening(head: &Head) -> Message<'_> {
    Message {
        id: format!("msg_{}", head.id.0.simple()),
        kind: "message",
        role: "assistant",
        model: &head.model,
        content: Vec::new(),
        stop_reason: None,
        stop_sequence: None,
        usage: Usage { input_tokens: 0, output_tokens: 0 },
        x_freeside: None,
    }
}

fn receipt<'a>(head: &Head, finished: &'a Finished) -> Receipt<'a> {
    Receipt {
        cost_micro: finished.cost,
        pool: head.pool,
        reservation_id: head.id,
        note: finished.note.as_deref(),
    }
}

/// A call's arguments as an object; text that a cut answer left incomplete stays readable under a name of its own.
fn object(arguments: &str) -> Box<RawValue> {
    let sound = if arguments.trim().is_empty() { "{}" } else { arguments };
    match RawValue::from_string(sound.to_owned()) {
        Ok(raw) if raw.get().starts_with('{') => raw,
        _ => {
            to_raw_value(&HashMap::from([("incomplete_json", arguments)])).expect("a map of text serialises")
        }
    }
}

fn stop_reason(finished: &Finished) -> &'static str {
    match finished.finish_reason.as_str() {
        "stop" if finished.stop_sequence.is_some() => "stop_sequence",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

/// Writes the events of one streamed answer.
#[derive(Debug)]
pub(crate) struct EventWriter {
    head: Head,
    request_id: Arc<str>,
    begun: bool,
    /// Blocks begun so far; the last of them is open when `open` says so.
    blocks: u32,
    open: Option<Open>,
    order: InOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    /// Which of the engine's calls.
    Call(u32),
}

impl EventWriter {
    pub(crate) fn new(head: Head, request_id: &Arc<str>) -> Self {
        let request_id = Arc::clone(request_id);
        Self { head, request_id, begun: false, blocks: 0, open: None, order: InOrder::default() }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
            push_json(out, &opening(&self.head));
            out.extend_from_slice(b"}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n");
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.extend_from_slice(
                b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":",
            );
            push_json(out, &(self.blocks - 1));
            out.extend_from_slice(b"}\n\n");
        }
    }

    fn open(&mut self, out: &mut Vec<u8>, kind: Open, block: &Block<'_>) {
        self.close(out);
        let index = self.blocks;
        self.blocks += 1;
        self.open = Some(kind);
        out.extend_from_slice(
            b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":",
        );
        push_json(out, &index);
        out.extend_from_slice(b",\"content_block\":");
        push_json(out, block);
        out.extend_from_slice(b"}\n\n");
    }

    /// Writes text or a piece of a call, which is in order.
    fn write(&mut self, out: &mut Vec<u8>, piece: Piece) {
        match piece {
            Piece::Text(text) => {
                if self.open != Some(Open::Text) {
                    self.open(out, Open::Text, &Block::Text { text: "" });
                }
                delta(out, self.blocks - 1, b"\"text_delta\",\"text\":", &text);
            }
            Piece::ToolCall { index, id, name, arguments } => {
                if self.open != Some(Open::Call(index)) {
                    let (id, name) = (id.unwrap_or_default(), name.unwrap_or_default());
                    let start = Block::ToolUse { id: &id, name: &name, input: object("") };
                    self.open(out, Open::Call(index), &start);
                }
                if !arguments.is_empty() {
                    delta(out, self.blocks - 1, b"\"input_json_delta\",\"partial_json\":", &arguments);
                }
            }
            Piece::Done(finished) => self.finish(out, &finished),
            Piece::Broken { code: _, message, usage: _, cost } => {
                error::event(out, sentences::broken(&message, cost), &self.request_id);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>, finished: &Finished) {
        self.close(out);
        out.extend_from_slice(
            b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":",
        );
        push_json(out, stop_reason(finished));
        out.extend_from_slice(b",\"stop_sequence\":");
        push_json(out, &finished.stop_sequence);
        out.extend_from_slice(b"},\"usage\":");
        push_json(out, &Usage::from(finished.usage));
        out.extend_from_slice(b",\"x_freeside\":");
        push_json(out, &receipt(&self.head, finished));
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

fn delta(out: &mut Vec<u8>, index: u32, kind: &[u8], text: &str) {
    out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    push_json(out, &index);
    out.extend_from_slice(b",\"delta\":{\"type\":");
    out.extend_from_slice(kind);
    push_json(out, text);
    out.extend_from_slice(b"}}\n\n");
}

impl Wire for EventWriter {
    fn piece(&mut self, out: &mut Vec<u8>, piece: Piece) {
        self.begin(out);
        let mut order = std::mem::take(&mut self.order);
        if matches!(piece, Piece::Done(_) | Piece::Broken { .. }) {
            order.finish(|piece| self.write(out, piece));
        }
        order.take(piece, |piece| self.write(out, piece));
        self.order = order;
    }

    fn cut(&mut self, out: &mut Vec<u8>, cut: Cut) {
        error::event(out, cut.message().to_owned(), &self.request_id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use types::MicroUsd;

    use super::*;
    use crate::routes::stream::Call;

    fn head() -> Head {
        let id = "0199c0de-0000-7000-8000-000000000001".parse().expect("a UUID");
        Head { id, model: "m".to_owned(), pool: Pool::Cheap }
    }

    fn finished(reason: &str) -> Finished {
        Finished {
            usage: types::s2s::Usage::new(3, 2),
            cost: MicroUsd(7),
            finish_reason: reason.to_owned(),
            stop_sequence: None,
            note: Some("balance ended".to_owned()),
        }
    }

    fn receipt() -> Value {
        json!({"cost_micro": "7", "pool": "cheap", "reservation_id": "0199c0de-0000-7000-8000-000000000001", "note": "balance ended"})
    }

    fn events(pieces: Vec<Piece>) -> Vec<Value> {
        let mut writer = EventWriter::new(head(), &"req_1".into());
        let mut out = Vec::new();
        for piece in pieces {
            writer.piece(&mut out, piece);
        }
        let mut events = Vec::new();
        let read = types::sse::Reader::new().feed(&out, |frame| {
            let value: Value = serde_json::from_str(frame.data).expect("JSON");
            assert_eq!(value["type"], frame.name, "the event's name is its type");
            events.push(value);
        });
        read.expect("small");
        events
    }

    #[test]
    fn a_stream_is_anthropics_event_by_event() {
        let call = |id: Option<&str>, arguments: &str| Piece::ToolCall {
            index: 0,
            id: id.map(str::to_owned),
            name: id.map(|_| "f".to_owned()),
            arguments: arguments.to_owned(),
        };
        let events = events(vec![
            Piece::Text("a\"".into()),
            Piece::Text("b".into()),
            call(Some("call_1"), ""),
            call(None, "{\"x\":"),
            call(None, "1}"),
            Piece::Done(finished("tool_calls")),
        ]);
        let delta =
            |index: u32, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let expected = vec![
            json!({"type": "message_start", "message": {"id": "msg_0199c0de000070008000000000000001", "type": "message",
                "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null,
                "usage": {"input_tokens": 0, "output_tokens": 0}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            delta(0, json!({"type": "text_delta", "text": "a\""})),
            delta(0, json!({"type": "text_delta", "text": "b"})),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1,
                "content_block": {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}}),
            delta(1, json!({"type": "input_json_delta", "partial_json": "{\"x\":"})),
            delta(1, json!({"type": "input_json_delta", "partial_json": "1}"})),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
                "usage": {"input_tokens": 3, "output_tokens": 2}, "x_freeside": receipt()}),
            json!({"type": "message_stop"}),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn a_broken_stream_ends_with_an_error_and_without_stop() {
        let broken = Piece::Broken {
            code: "provider_error".into(),
            message: "The provider broke off.".into(),
            usage: types::s2s::Usage::default(),
            cost: MicroUsd(0),
        };
        let events = events(vec![Piece::Text("a".into()), broken]);
        let last = events.last().expect("one");
        assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("api_error")));
        assert!(last["error"]["message"].as_str().expect("text").contains("Nothing was charged"));
    }

    #[test]
    fn a_whole_answer_is_anthropics_message() {
        let call = |arguments: &str| Call { id: "c".into(), name: "f".into(), arguments: arguments.into() };
        let answer = Gathered {
            text: "hello".into(),
            calls: vec![call("{\"x\": 1}"), call(""), call("{\"cut")],
            finished: finished("length"),
        };
        let head = head();
        let value = serde_json::to_value(message(&head, &answer)).expect("serialises");
        let tool = |input: Value| json!({"type": "tool_use", "id": "c", "name": "f", "input": input});
        assert_eq!(
            value,
            json!({"id": "msg_0199c0de000070008000000000000001", "type": "message", "role": "assistant", "model": "m",
                "content": [{"type": "text", "text": "hello"}, tool(json!({"x": 1})), tool(json!({})), tool(json!({"incomplete_json": "{\"cut"}))],
                "stop_reason": "max_tokens", "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 2},
                "x_freeside": receipt()})
        );
    }
}
