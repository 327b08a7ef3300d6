//! Reading chat completion chunks, leniently: unknown members, null deltas and missing parts are all in the field.
//!
//! Figures may come in a last chunk of their own, in every chunk, or never. `[DONE]` may be missing. `message` may stand
//! in place of `delta`, and a whole completion in place of the stream. What is not JSON at all is malformed; an error in
//! any of its shapes ends the answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use types::s2s::InferenceRequest;

use crate::failure::Failure;
use crate::providers::calls::{Calls, Piece};
use crate::providers::reported;
use crate::providers::value::{Figure, Text, Words, members, says_something, text_or_json};
use crate::transcript::Transcript;

/// The place of a `function_call`, which has no index: there is one in an answer.
const LEGACY_INDEX: u64 = u64::MAX;

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Stream {
    calls: Calls,
    /// The caller's stop sequences: a server may report others, of its own.
    stops: Vec<String>,
}

/// A chunk that is text and nothing else, which nearly every chunk is: read first, because it is read fastest. All that
/// means something beside the text is null here, or it is another chunk.
#[derive(Deserialize)]
struct TextChunk<'a> {
    #[serde(borrow)]
    choices: (TextChoice<'a>,),
    #[serde(default, rename = "usage")]
    _usage: (),
    #[serde(default, rename = "error")]
    _error: (),
}

#[derive(Deserialize)]
struct TextChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    delta: TextDelta<'a>,
    #[serde(default, rename = "finish_reason")]
    _finish_reason: (),
    #[serde(default, rename = "error")]
    _error: (),
}

#[derive(Deserialize)]
struct TextDelta<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(default, rename = "refusal")]
    _refusal: (),
    #[serde(default, rename = "reasoning_content")]
    _reasoning_content: (),
    #[serde(default, rename = "reasoning")]
    _reasoning: (),
    #[serde(default, rename = "tool_calls")]
    _tool_calls: (),
    #[serde(default, rename = "function_call")]
    _function_call: (),
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Option<Choice<'a>>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    msg: Option<&'a RawValue>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Figure,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    /// In place of `delta`: whole answers, and servers that took the wrong word.
    #[serde(borrow, default)]
    message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
    /// vLLM's: the stop sequence that matched, or a token's number.
    #[serde(borrow, default)]
    stop_reason: Option<&'a RawValue>,
    /// The same with `SGLang`.
    #[serde(borrow, default)]
    matched_stop: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Words<'a>,
    #[serde(borrow, default)]
    refusal: Text<'a>,
    #[serde(borrow, default)]
    reasoning_content: Words<'a>,
    #[serde(borrow, default)]
    reasoning: Words<'a>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Option<ToolCall<'a>>>>,
    /// The predecessor of `tool_calls`.
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(default)]
    index: Figure,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Default, Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Figures {
    #[serde(default)]
    prompt_tokens: Figure,
    #[serde(default)]
    completion_tokens: Figure,
}

impl Stream {
    /// The stream that answers this request.
    #[must_use]
    pub(super) fn of(request: &InferenceRequest) -> Self {
        let stop = request.stop.as_ref().map_or("null", |stop| stop.get());
        let stops = serde_json::from_str::<Vec<String>>(stop)
            .or_else(|_| serde_json::from_str(stop).map(|one| vec![one]));
        Self { stops: stops.unwrap_or_default(), ..Self::default() }
    }

    /// Reads one event's data.
    pub fn event(&mut self, data: &str, transcript: &mut Transcript) {
        if let Ok(TextChunk { choices: (choice,), .. }) = serde_json::from_str(data)
            && choice.index == 0
        {
            return transcript.text(&choice.delta.content);
        }
        let Ok(mut chunk) = serde_json::from_str::<Chunk<'_>>(data) else {
            return transcript.fail(malformed(data));
        };
        let choices = chunk.choices.take().unwrap_or_default();
        if chunk.is_error(choices.is_empty()) {
            return transcript.fail(reported::failure(data));
        }
        // We never ask for more than one choice; a server that gives more is not paid for them.
        for choice in choices.into_iter().flatten().filter(|choice| choice.index.0.unwrap_or(0) == 0) {
            self.choice(&choice, transcript);
        }
        // After the choices: with the reason in the same chunk, the figures are final.
        if let Some(usage) = chunk.usage {
            let figures: Figures = members(usage);
            transcript.figures(figures.prompt_tokens.0, figures.completion_tokens.0);
        }
    }

    /// The provider said its last word.
    pub fn done(&mut self, transcript: &mut Transcript) {
        self.calls.finish(transcript);
        transcript.done();
    }

    fn choice(&mut self, choice: &Choice<'_>, transcript: &mut Transcript) {
        if let Some(delta) = choice.delta.as_ref().or(choice.message.as_ref()) {
            self.delta(delta, transcript);
        }
        if says_something(choice.error) {
            return transcript.fail(reported::failure(choice.error.map_or("", RawValue::get)));
        }
        let Some(reason) = choice.finish_reason.get().filter(|reason| !matches!(*reason, "null" | "None"))
        else {
            return;
        };
        match finish_reason(reason) {
            None => transcript.fail(reported::of_reason(reason)),
            Some(reason) => {
                self.calls.finish(transcript);
                transcript.finish_reason(reason);
                let matched = [choice.stop_reason, choice.matched_stop].into_iter().flatten();
                let texts = matched.filter(|raw| raw.get().starts_with('"')).map(text_or_json);
                for stop in texts.filter(|text| self.stops.iter().any(|stop| stop == text)) {
                    transcript.stopped_by(&stop);
                }
            }
        }
    }

    fn delta(&mut self, delta: &Delta<'_>, transcript: &mut Transcript) {
        // Some servers send the same thought under both names.
        let thought =
            if delta.reasoning_content.text.is_empty() { &delta.reasoning } else { &delta.reasoning_content };
        for thought in [&thought.text, &thought.thought, &delta.content.thought] {
            transcript.unseen(thought);
        }
        transcript.text(&delta.content.text);
        transcript.text(delta.refusal.get().unwrap_or_default());
        for call in delta.tool_calls.iter().flatten().flatten() {
            self.call(call.index.0, &call.id, call.function.as_ref(), transcript);
        }
        if let Some(function) = &delta.function_call {
            self.call(Some(LEGACY_INDEX), &Text::default(), Some(function), transcript);
        }
    }

    fn call(
        &mut self,
        index: Option<u64>,
        id: &Text<'_>,
        function: Option<&Function<'_>>,
        transcript: &mut Transcript,
    ) {
        let arguments =
            function.and_then(|function| function.arguments).map(text_or_json).unwrap_or_default();
        let name = function.and_then(|function| function.name.get());
        let piece = Piece { index, id: id.get(), name, arguments: &arguments };
        if piece.id.is_some() || piece.name.is_some() || !piece.arguments.is_empty() {
            self.calls.piece(piece, transcript);
        }
    }
}

impl Chunk<'_> {
    fn is_error(&self, has_no_choices: bool) -> bool {
        let named = [self.object.get(), self.kind.get()].contains(&Some("error"));
        let others = [self.message, self.msg, self.detail, self.code];
        named
            || says_something(self.error)
            || (has_no_choices && (self.error.is_some() || others.into_iter().any(says_something)))
    }
}

/// What cannot be read as a chunk: an error of another shape (Google's is a list), or no JSON of this dialect at all.
fn malformed(data: &str) -> Failure {
    match reported::failure(data) {
        Failure::Reported => Failure::Malformed,
        named => named,
    }
}

/// OpenAI's word for a reason; `None` for one that speaks of a failure.
pub(in crate::providers) fn finish_reason(reason: &str) -> Option<&'static str> {
    /// Parts of reasons that no finished answer has.
    const FAILURES: [&str; 12] = [
        "abort",
        "cancel",
        "disconnect",
        "error",
        "exhausted",
        "fail",
        "insufficient",
        "interrupt",
        "malformed",
        "overload",
        "timeout",
        "unavailable",
    ];
    let reason = reason.to_ascii_lowercase();
    match reason.as_str() {
        "stop" | "end_turn" | "stop_sequence" | "eos" => Some("stop"),
        "length" | "max_tokens" | "model_length" | "max_output_tokens" | "model_context_window_exceeded" => {
            Some("length")
        }
        "tool_calls" | "tool_use" | "function_call" => Some("tool_calls"),
        "content_filter" | "refusal" | "safety" | "recitation" | "sensitive" | "blocklist"
        | "prohibited_content" => Some("content_filter"),
        other if FAILURES.iter().any(|part| other.contains(part)) => None,
        _ => Some("stop"),
    }
}
