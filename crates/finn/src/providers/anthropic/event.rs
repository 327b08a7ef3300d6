//! Reading Anthropic's stream events; unknown ones are ignored, as its documentation asks.

use std::borrow::Cow;

use serde::Deserialize;
use types::s2s::Usage;

use crate::failure::Failure;
use crate::transcript::Transcript;

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Stream {
    prompt_tokens: u64,
    output_tokens: Option<u64>,
    /// Which call of the answer each open `tool_use` block is, and whether it has had arguments.
    calls: Vec<OpenCall>,
}

#[derive(Debug)]
struct OpenCall {
    block: u32,
    has_arguments: bool,
}

/// Borrows where it can; serde's own `Option<Cow>` always copies.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u32,
    #[serde(default)]
    message: Option<Start>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    usage: Option<Figures>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Option<Figures>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the names are the vendor's")]
struct Figures {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

impl Stream {
    /// Reads one event's data.
    pub fn event(&mut self, data: &str, transcript: &mut Transcript) {
        let Ok(event) = serde_json::from_str::<Raw<'_>>(data) else {
            return transcript.fail(Failure::Malformed);
        };
        match &*event.kind {
            "message_start" => self.figures(event.message.and_then(|start| start.usage), transcript),
            "content_block_start" => self.block(event.index, event.content_block, transcript),
            "content_block_delta" => self.delta(event.index, event.delta, transcript),
            "content_block_stop" => self.block_stop(event.index, transcript),
            "message_delta" => {
                if let Some(Text(reason)) = event.delta.and_then(|delta| delta.stop_reason) {
                    transcript.finish_reason(finish_reason(&reason));
                }
                if let Some(figures) = event.usage {
                    self.output_tokens = figures.output_tokens.or(self.output_tokens);
                    self.figures(Some(Figures { output_tokens: None, ..figures }), transcript);
                    if let Some(output) = self.output_tokens {
                        transcript.meter.told(Usage::new(self.prompt_tokens, output));
                    }
                }
            }
            "message_stop" => transcript.done(),
            "error" => transcript.fail(Failure::Reported),
            _ => {} // ping, and what comes in later versions
        }
    }

    /// The prompt's figures. The answer's are believed only from `message_delta`: the first are a placeholder.
    fn figures(&mut self, figures: Option<Figures>, transcript: &mut Transcript) {
        let Some(figures) = figures else { return };
        let Some(input) = figures.input_tokens else { return };
        let cached = figures.cache_creation_input_tokens.unwrap_or(0);
        let read = figures.cache_read_input_tokens.unwrap_or(0);
        let prompt = input.saturating_add(cached).saturating_add(read);
        // A later event may leave the cache's part out; the prompt does not shrink.
        self.prompt_tokens = self.prompt_tokens.max(prompt);
        transcript.meter.told_prompt(self.prompt_tokens);
    }

    fn block(&mut self, index: u32, block: Option<Block<'_>>, transcript: &mut Transcript) {
        let Some(block) = block else { return };
        match &*block.kind {
            "tool_use" => {
                let call = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                self.calls.push(OpenCall { block: index, has_arguments: false });
                let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
                transcript.tool_call(call, text(&block.id).as_deref(), text(&block.name).as_deref(), "");
            }
            "text" => transcript.text(block.text.as_ref().map_or("", |text| &text.0)),
            _ => {}
        }
    }

    fn delta(&mut self, index: u32, delta: Option<Delta<'_>>, transcript: &mut Transcript) {
        let Some(delta) = delta else { return };
        if let Some(Text(text)) = delta.text {
            transcript.text(&text);
        }
        if let Some(Text(thought)) = delta.thinking {
            transcript.reasoning(&thought);
        }
        if let Some(Text(arguments)) = delta.partial_json.filter(|json| !json.0.is_empty())
            && let Some(call) = self.call(index)
        {
            self.calls[call].has_arguments = true;
            transcript.tool_call(u32::try_from(call).unwrap_or(u32::MAX), None, None, &arguments);
        }
    }

    /// A call without arguments ends as an empty object, which is what OpenAI's callers parse.
    fn block_stop(&mut self, index: u32, transcript: &mut Transcript) {
        if let Some(call) = self.call(index)
            && !self.calls[call].has_arguments
        {
            self.calls[call].has_arguments = true;
            transcript.tool_call(u32::try_from(call).unwrap_or(u32::MAX), None, None, "{}");
        }
    }

    fn call(&self, block: u32) -> Option<usize> {
        self.calls.iter().position(|call| call.block == block)
    }
}

fn finish_reason(reason: &str) -> &'static str {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}
