//! Reading chat completion chunks, leniently: unknown fields, null deltas and missing parts are all in the field.
//!
//! Figures may come in a last chunk of their own, in every chunk, or never. `[DONE]` may be missing. What is not JSON at
//! all is malformed, and an error object ends the answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use types::s2s::Usage;

use crate::failure::Failure;
use crate::transcript::Transcript;

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// The index of the last tool call, for servers that leave it out.
    last_call: Option<u32>,
}

/// Borrows where it can; serde's own `Option<Cow>` always copies.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Figures>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Figures {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

impl Stream {
    /// Reads one event's data.
    pub fn event(&mut self, data: &str, transcript: &mut Transcript) {
        if data.trim() == "[DONE]" {
            return transcript.done();
        }
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(data) else {
            return transcript.fail(Failure::Malformed);
        };
        if chunk.error.is_some_and(|error| error.get() != "null") {
            return transcript.fail(Failure::Reported);
        }
        if let Some(Figures { prompt_tokens: Some(prompt), completion_tokens: Some(completion) }) =
            chunk.usage
        {
            transcript.meter.told(Usage::new(prompt, completion));
        }
        // We never ask for more than one choice; a server that gives more is not paid for them.
        let choices = chunk.choices.unwrap_or_default();
        for choice in choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            if let Some(delta) = &choice.delta {
                self.delta(delta, transcript);
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.0.is_empty()) {
                transcript.finish_reason(finish_reason(&reason.0));
            }
        }
    }

    fn delta(&mut self, delta: &Delta<'_>, transcript: &mut Transcript) {
        // Some servers send the same thought under both names.
        if let Some(Text(thought)) = delta.reasoning_content.as_ref().or(delta.reasoning.as_ref()) {
            transcript.reasoning(thought);
        }
        for Text(text) in delta.content.iter().chain(&delta.refusal) {
            transcript.text(text);
        }
        for call in delta.tool_calls.iter().flatten() {
            self.tool_call(call, transcript);
        }
    }

    fn tool_call(&mut self, call: &ToolCall<'_>, transcript: &mut Transcript) {
        let begins = call.id.is_some();
        let index = call.index.unwrap_or(match self.last_call {
            Some(last) if begins => last.saturating_add(1),
            Some(last) => last,
            None => 0,
        });
        self.last_call = Some(index);
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
        let (name, arguments) = call
            .function
            .as_ref()
            .map_or((None, None), |function| (text(&function.name), text(&function.arguments)));
        let not_empty = |text: &String| !text.is_empty();
        transcript.tool_call(
            index,
            text(&call.id).filter(not_empty).as_deref(),
            name.filter(not_empty).as_deref(),
            arguments.as_deref().unwrap_or(""),
        );
    }
}

fn finish_reason(reason: &str) -> &'static str {
    match reason {
        "length" | "max_tokens" => "length",
        "tool_calls" | "function_call" => "tool_calls",
        "content_filter" => "content_filter",
        _ => "stop",
    }
}
