//! Writes answers as OpenAI shapes them: one object, or a stream of chunks.
//!
//! The stream is the hot path: everything that repeats is laid down once, and a chunk is three copies and one escape.

use domain::turn::{Finished, Piece};
use serde::Serialize;
use types::s2s::Usage;
use types::{Pool, ReservationId};
use utoipa::ToSchema;

use super::error;
use crate::routes::sentences;
use crate::routes::shared::Receipt;
use crate::routes::stream::{Call, Cut, Gathered, Wire, push_json};

/// What every object of one answer repeats.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The hold: the answer's id is made of it, so one search finds both.
    pub id: ReservationId,
    /// Unix seconds.
    pub created: i64,
    /// The catalog id of the model that answers.
    pub model: String,
    /// Its pool.
    pub pool: Pool,
}

impl Head {
    fn completion_id(&self) -> String {
        format!("chatcmpl-{}", self.id.0.simple())
    }
}

/// A whole completion.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatCompletion<'a> {
    /// `chatcmpl-` and the reservation.
    id: String,
    /// Always `chat.completion`.
    object: &'static str,
    /// Unix seconds.
    created: i64,
    /// The model that answered.
    model: &'a str,
    /// One.
    choices: [Choice<'a>; 1],
    /// The tokens that were charged.
    #[schema(value_type = Object)]
    usage: Usage,
    /// What it cost.
    x_freeside: Receipt<'a>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    /// `stop`, `length`, `tool_calls` or `content_filter`.
    finish_reason: &'a str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ToolCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// The whole answer as one object.
pub(crate) fn completion<'a>(head: &'a Head, answer: &'a Gathered) -> ChatCompletion<'a> {
    let tool_calls: Vec<ToolCall<'_>> = answer.calls.iter().map(tool_call).collect();
    // OpenAI sends null, not "", when the answer is nothing but calls.
    let content = (!answer.text.is_empty() || tool_calls.is_empty()).then_some(answer.text.as_str());
    ChatCompletion {
        id: head.completion_id(),
        object: "chat.completion",
        created: head.created,
        model: &head.model,
        choices: [Choice {
            index: 0,
            message: Message { role: "assistant", content, refusal: None, tool_calls },
            logprobs: None,
            finish_reason: &answer.finished.finish_reason,
        }],
        usage: answer.finished.usage,
        x_freeside: receipt(head.pool, head.id, &answer.finished),
    }
}

fn tool_call(call: &Call) -> ToolCall<'_> {
    let function = Function { name: &call.name, arguments: &call.arguments };
    ToolCall { id: &call.id, kind: "function", function }
}

fn receipt(pool: Pool, id: ReservationId, finished: &Finished) -> Receipt<'_> {
    Receipt { cost_micro: finished.cost, pool, reservation_id: id, note: finished.note.as_deref() }
}

/// Writes the chunks of one streamed answer.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    /// `data: {… "choices":[` : what every chunk begins with.
    open: Vec<u8>,
    /// What closes a chunk behind its choices.
    close: &'static [u8],
    include_usage: bool,
    begun: bool,
    pool: Pool,
    id: ReservationId,
}

impl ChunkWriter {
    pub(crate) fn new(head: &Head, include_usage: bool) -> Self {
        let mut open = Vec::with_capacity(160);
        open.extend_from_slice(b"data: {\"id\":");
        push_json(&mut open, &head.completion_id());
        open.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        push_json(&mut open, &head.created);
        open.extend_from_slice(b",\"model\":");
        push_json(&mut open, &head.model);
        open.extend_from_slice(b",\"choices\":[");
        // With include_usage, OpenAI sends `usage: null` on every chunk but the last.
        let close: &[u8] = if include_usage { b"],\"usage\":null" } else { b"]" };
        Self { open, close, include_usage, begun: false, pool: head.pool, id: head.id }
    }

    fn delta(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.open);
        out.extend_from_slice(b"{\"index\":0,\"delta\":{");
        write(out);
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":null}");
        out.extend_from_slice(self.close);
        out.extend_from_slice(b"}\n\n");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            let role = b"\"role\":\"assistant\",\"content\":\"\",\"refusal\":null";
            self.delta(out, |out| out.extend_from_slice(role));
        }
    }

    fn finish(&self, out: &mut Vec<u8>, finished: &Finished) {
        let receipt = receipt(self.pool, self.id, finished);
        out.extend_from_slice(&self.open);
        out.extend_from_slice(b"{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":");
        push_json(out, &finished.finish_reason);
        out.extend_from_slice(b"}");
        out.extend_from_slice(self.close);
        if self.include_usage {
            out.extend_from_slice(b"}\n\n");
            out.extend_from_slice(&self.open);
            out.extend_from_slice(b"],\"usage\":");
            push_json(out, &finished.usage);
        }
        out.extend_from_slice(b",\"x_freeside\":");
        push_json(out, &receipt);
        out.extend_from_slice(b"}\n\ndata: [DONE]\n\n");
    }
}

impl Wire for ChunkWriter {
    fn piece(&mut self, out: &mut Vec<u8>, piece: Piece) {
        self.begin(out);
        match piece {
            Piece::Text(text) => self.delta(out, |out| {
                out.extend_from_slice(b"\"content\":");
                push_json(out, &text);
            }),
            Piece::ToolCall { index, id, name, arguments } => self.delta(out, |out| {
                let first = id.is_some() || name.is_some();
                let delta = CallDelta {
                    index,
                    id,
                    kind: first.then_some("function"),
                    function: FunctionDelta { name, arguments },
                };
                out.extend_from_slice(b"\"tool_calls\":");
                push_json(out, &[delta]);
            }),
            Piece::Done(finished) => self.finish(out, &finished),
            Piece::Broken { code, message, usage: _, cost } => {
                error::event(out, &code, sentences::broken(&message, cost));
            }
        }
    }

    fn cut(&mut self, out: &mut Vec<u8>, cut: Cut) {
        error::event(out, cut.code(), cut.message().to_owned());
    }
}

#[derive(Serialize)]
struct CallDelta {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta,
}

#[derive(Serialize)]
struct FunctionDelta {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    arguments: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use types::MicroUsd;

    use super::*;

    fn head() -> Head {
        let id = "0199c0de-0000-7000-8000-000000000001".parse().expect("a UUID");
        Head { id, created: 1_700_000_000, model: "scripted-\"cheap\"".to_owned(), pool: Pool::Cheap }
    }

    fn finished(reason: &str) -> Finished {
        Finished {
            usage: Usage::new(3, 2),
            cost: MicroUsd(7),
            finish_reason: reason.to_owned(),
            stop_sequence: None,
            note: None,
        }
    }

    fn events(include_usage: bool, pieces: Vec<Piece>) -> Vec<String> {
        let mut writer = ChunkWriter::new(&head(), include_usage);
        let mut out = Vec::new();
        for piece in pieces {
            writer.piece(&mut out, piece);
        }
        let text = String::from_utf8(out).expect("text");
        assert!(text.ends_with("\n\n"));
        text.trim_end()
            .split("\n\n")
            .map(|event| event.strip_prefix("data: ").expect("data only").to_owned())
            .collect()
    }

    fn parsed(event: &str) -> Value {
        serde_json::from_str(event).expect("JSON")
    }

    #[test]
    fn a_stream_is_openais_chunk_by_chunk() {
        let pieces = vec![
            Piece::Text("Hé \"you\"\n".into()),
            Piece::Text("\u{1}".into()),
            Piece::Done(finished("stop")),
        ];
        let events = events(false, pieces);
        assert_eq!(events.len(), 5);
        let chunk = |choice: Value| {
            json!({"id": "chatcmpl-0199c0de000070008000000000000001", "object": "chat.completion.chunk",
                   "created": 1_700_000_000, "model": "scripted-\"cheap\"", "choices": [choice]})
        };
        let delta =
            |delta: Value| json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": null});
        let opening = json!({"role": "assistant", "content": "", "refusal": null});
        assert_eq!(parsed(&events[0]), chunk(delta(opening)));
        assert_eq!(parsed(&events[1]), chunk(delta(json!({"content": "Hé \"you\"\n"}))));
        assert_eq!(parsed(&events[2]), chunk(delta(json!({"content": "\u{1}"}))));
        let mut last = chunk(json!({"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"}));
        last["x_freeside"] = json!({"cost_micro": "7", "pool": "cheap", "reservation_id": "0199c0de-0000-7000-8000-000000000001"});
        assert_eq!(parsed(&events[3]), last);
        assert_eq!(events[4], "[DONE]");
    }

    #[test]
    fn usage_comes_last_and_is_null_before() {
        let events = events(true, vec![Piece::Text("a".into()), Piece::Done(finished("length"))]);
        assert_eq!(events.len(), 5);
        for event in &events[..3] {
            assert!(event.contains("\"usage\":null"), "{event}");
        }
        let last = parsed(&events[3]);
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"], json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}));
        assert_eq!(last["x_freeside"]["cost_micro"], "7");
        assert!(parsed(&events[2])["x_freeside"].is_null());
    }

    #[test]
    fn tool_calls_come_in_deltas() {
        let call = |id: Option<&str>, arguments: &str| Piece::ToolCall {
            index: 1,
            id: id.map(str::to_owned),
            name: id.map(|_| "get_weather".to_owned()),
            arguments: arguments.to_owned(),
        };
        let events = events(
            false,
            vec![call(Some("call_1"), ""), call(None, "{\"city\""), Piece::Done(finished("tool_calls"))],
        );
        let deltas = |event: &str| parsed(event)["choices"][0]["delta"]["tool_calls"].clone();
        let first = json!([{"index": 1, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}]);
        assert_eq!(deltas(&events[1]), first);
        assert_eq!(deltas(&events[2]), json!([{"index": 1, "function": {"arguments": "{\"city\""}}]));
        assert_eq!(parsed(&events[3])["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn a_broken_stream_ends_with_an_error_and_without_done() {
        let broken = Piece::Broken {
            code: "provider_error".into(),
            message: "The provider broke off.".into(),
            usage: Usage::new(1, 1),
            cost: MicroUsd(4),
        };
        let events = events(true, vec![Piece::Text("a".into()), broken]);
        let last = parsed(events.last().expect("one"));
        assert_eq!(last["error"]["code"], "provider_error");
        assert!(last["error"]["message"].as_str().expect("text").contains("4 micro-USD"));
    }

    #[test]
    fn a_whole_answer_is_openais_object() {
        let calls = vec![Call { id: "call_1".into(), name: "f".into(), arguments: "{}".into() }];
        let answer = Gathered { text: String::new(), calls, finished: finished("tool_calls") };
        let head = head();
        let value = serde_json::to_value(completion(&head, &answer)).expect("serialises");
        assert_eq!(
            value,
            json!({"id": "chatcmpl-0199c0de000070008000000000000001", "object": "chat.completion", "created": 1_700_000_000,
                "model": "scripted-\"cheap\"",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "refusal": null,
                    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                    "logprobs": null, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
                "x_freeside": {"cost_micro": "7", "pool": "cheap", "reservation_id": "0199c0de-0000-7000-8000-000000000001"}})
        );
    }
}
