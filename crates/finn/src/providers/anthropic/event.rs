//! Reading Anthropic's stream events; unknown ones are ignored, as its documentation asks, but not unknown errors.
//!
//! A whole message may stand in place of the stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::providers::calls::{Calls, Piece};
use crate::providers::openai::finish_reason;
use crate::providers::reported;
use crate::providers::value::{Figure, Text, Words, members, says_something};
use crate::transcript::Transcript;

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Stream {
    prompt: Prompt,
    calls: Calls,
}

/// The parts of the prompt, each as it was said last: later events leave some out.
#[derive(Debug, Default)]
struct Prompt {
    input: u64,
    cache_creation: u64,
    cache_read: u64,
}

/// A piece of text, which nearly every event is: read first, because it is read fastest.
#[derive(Deserialize)]
struct TextEvent<'a> {
    #[serde(rename = "type")]
    _kind: DeltaTag,
    #[serde(borrow)]
    delta: TextDelta<'a>,
    #[serde(default, rename = "error")]
    _error: (),
}

#[derive(Deserialize)]
enum DeltaTag {
    #[serde(rename = "content_block_delta")]
    Delta,
}

#[derive(Deserialize)]
struct TextDelta<'a> {
    #[serde(rename = "type")]
    _kind: TextTag,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
enum TextTag {
    #[serde(rename = "text_delta")]
    Text,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Text<'a>,
    #[serde(default)]
    index: Figure,
    /// Of `message_start`, or an error's sentence.
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Text<'a>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    /// Of a whole message.
    #[serde(borrow, default)]
    content: Option<Vec<Block<'a>>>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    #[serde(borrow, default)]
    stop_sequence: Text<'a>,
}

#[derive(Default, Deserialize)]
struct Start<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the names are the vendor's")]
struct Figures {
    #[serde(default)]
    input_tokens: Figure,
    #[serde(default)]
    cache_creation_input_tokens: Figure,
    #[serde(default)]
    cache_read_input_tokens: Figure,
    #[serde(default)]
    output_tokens: Figure,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    text: Words<'a>,
    #[serde(borrow, default)]
    thinking: Words<'a>,
    /// Whole arguments; a stream's are empty here and follow in deltas.
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Words<'a>,
    #[serde(borrow, default)]
    partial_json: Text<'a>,
    #[serde(borrow, default)]
    thinking: Words<'a>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    #[serde(borrow, default)]
    stop_sequence: Text<'a>,
}

impl Stream {
    /// Reads one event's data.
    pub fn event(&mut self, data: &str, transcript: &mut Transcript) {
        if let Ok(TextEvent { delta, .. }) = serde_json::from_str(data) {
            return transcript.text(&delta.text);
        }
        let Ok(event) = serde_json::from_str::<Raw<'_>>(data) else {
            return transcript.fail(match reported::failure(data) {
                Failure::Reported => Failure::Malformed,
                named => named,
            });
        };
        let index = event.index.0.unwrap_or(0);
        match event.kind.get().unwrap_or_default() {
            "content_block_delta" => self.delta(index, event.delta, transcript),
            _ if says_something(event.error) => transcript.fail(reported::failure(data)),
            "message_start" => {
                let start: Start<'_> = event.message.map(members).unwrap_or_default();
                self.figures(start.usage, transcript);
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.block(index, &block, transcript);
                }
            }
            "content_block_stop" => self.block_stop(index, transcript),
            "message_delta" => {
                if let Some(delta) = event.delta {
                    self.stop(&delta.stop_reason, &delta.stop_sequence, transcript);
                }
                self.figures(event.usage, transcript);
            }
            "message_stop" => self.done(transcript),
            "message" if event.content.is_some() => {
                for (block, index) in event.content.iter().flatten().zip(0..) {
                    self.block(index, block, transcript);
                    self.block_stop(index, transcript);
                }
                self.stop(&event.stop_reason, &event.stop_sequence, transcript);
                self.figures(event.usage, transcript);
            }
            "error" => transcript.fail(reported::failure(data)),
            "ping" => {}
            _ => {
                // What comes in later versions has a type and none of these.
                let others = [event.message, event.detail, event.code];
                if event.object.get() == Some("error") || others.into_iter().any(says_something) {
                    transcript.fail(reported::failure(data));
                }
            }
        }
    }

    /// The provider said its last word.
    pub fn done(&mut self, transcript: &mut Transcript) {
        self.calls.finish(transcript);
        transcript.done();
    }

    fn stop(&mut self, reason: &Text<'_>, sequence: &Text<'_>, transcript: &mut Transcript) {
        let Some(reason) = reason.get() else { return };
        match finish_reason(reason) {
            None => transcript.fail(reported::of_reason(reason)),
            Some(word) => {
                self.calls.finish(transcript);
                transcript.finish_reason(word);
                if let Some(sequence) = sequence.get() {
                    transcript.stopped_by(sequence);
                }
            }
        }
    }

    /// The prompt's figures count as they come. The answer's are believed only with the reason of the end: the first are a
    /// placeholder.
    fn figures(&mut self, usage: Option<&RawValue>, transcript: &mut Transcript) {
        let Some(usage) = usage else { return };
        let figures: Figures = members(usage);
        let prompt = &mut self.prompt;
        for (kept, said) in [
            (&mut prompt.input, figures.input_tokens),
            (&mut prompt.cache_creation, figures.cache_creation_input_tokens),
            (&mut prompt.cache_read, figures.cache_read_input_tokens),
        ] {
            *kept = said.0.filter(|figure| *figure > 0).unwrap_or(*kept);
        }
        let prompt = prompt.input.saturating_add(prompt.cache_creation).saturating_add(prompt.cache_read);
        // An answer whose every event leaves the prompt out, or calls it zero, says so by the word only.
        let said = prompt > 0 || figures.input_tokens.0.is_some();
        transcript.figures(said.then_some(prompt), figures.output_tokens.0);
    }

    fn block(&mut self, index: u64, block: &Block<'_>, transcript: &mut Transcript) {
        match block.kind.get().unwrap_or_default() {
            "tool_use" => {
                let input = block.input.map_or("", RawValue::get);
                let is_empty =
                    input.bytes().all(|byte| matches!(byte, b'{' | b'}' | b' ' | b'\n' | b'\r' | b'\t'));
                let arguments = if is_empty || !input.starts_with('{') { "" } else { input };
                let piece =
                    Piece { index: Some(index), id: block.id.get(), name: block.name.get(), arguments };
                self.calls.open(piece, transcript);
            }
            "text" => transcript.text(&block.text.text),
            // It may be told to hide its thoughts; that it has some is told all the same.
            "thinking" | "redacted_thinking" => {
                transcript.unseen(&block.thinking.text);
                transcript.sign_of_life();
            }
            _ => {}
        }
    }

    fn delta(&mut self, index: u64, delta: Option<Delta<'_>>, transcript: &mut Transcript) {
        let Some(delta) = delta else { return };
        transcript.text(&delta.text.text);
        transcript.unseen(&delta.thinking.text);
        if let Some(arguments) = delta.partial_json.get() {
            self.calls.append(index, arguments, transcript);
        }
    }

    /// A call without arguments ends as an empty object, which is what OpenAI's callers parse.
    fn block_stop(&mut self, index: u64, transcript: &mut Transcript) {
        if self.calls.lacks_arguments(index) {
            self.calls.append(index, "{}", transcript);
        }
    }
}
