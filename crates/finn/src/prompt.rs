//! Reading texts out of a request: their size for the meter, and the last ones for the scripted model.
//!
//! A picture's price only its provider knows. Until that says so, each counts what the pool's `image_tokens` sets aside.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use types::s2s::{InferenceRequest, Message};

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

/// UTF-8 bytes of every text sent: messages, tool calls and tool definitions.
#[must_use]
pub(crate) fn bytes(request: &InferenceRequest) -> u64 {
    let raw = |raw: &Option<Box<RawValue>>| raw.as_ref().map_or(0, |raw| raw.get().len());
    let texts = match &request.messages {
        Some(messages) => messages
            .iter()
            .map(|message| message.content.as_deref().map_or(0, text_bytes) + raw(&message.tool_calls))
            .sum(),
        None => request.prompt.len(),
    };
    (texts + raw(&request.tools)) as u64
}

/// Pictures of the conversation.
#[must_use]
pub(crate) fn images(request: &InferenceRequest) -> u64 {
    request.messages.iter().flatten().map(|message| message.content_size().images).sum::<usize>() as u64
}

fn text_bytes(content: &RawValue) -> usize {
    let json = content.get();
    // A string without escapes is as long as it is written, less its quotes: most are, and need no parsing.
    if json.starts_with('"') && !json.contains('\\') {
        return json.len().saturating_sub(2);
    }
    text(content).len()
}

/// A content's text: the string, or its text parts joined.
fn text(content: &RawValue) -> Cow<'_, str> {
    let json = content.get();
    if let Ok(Text(text)) = serde_json::from_str::<Text<'_>>(json) {
        return text;
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(json).unwrap_or_default();
    parts.iter().filter_map(|part| part.text.as_ref()).map(|text| &*text.0).collect::<String>().into()
}

/// What the user said last.
#[must_use]
pub(crate) fn last_user_text(request: &InferenceRequest) -> Cow<'_, str> {
    let Some(messages) = &request.messages else { return Cow::Borrowed(&request.prompt) };
    let last = messages.iter().rev().find(|message| message.role == "user");
    last.and_then(|message| message.content.as_deref()).map_or(Cow::Borrowed(""), text)
}

/// The tool's result that the conversation ends with.
#[must_use]
pub(crate) fn last_tool_result(request: &InferenceRequest) -> Option<Cow<'_, str>> {
    let last: &Message = request.messages.as_ref()?.last()?;
    (last.role == "tool").then(|| last.content.as_deref().map_or(Cow::Borrowed(""), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_texts_and_not_of_their_json() {
        let count = |json: &str| bytes(&serde_json::from_str(json).expect("a request"));
        assert_eq!(count(r#"{"prompt":"abcd"}"#), 4);
        assert_eq!(count(r#"{"prompt":"x","messages":[{"role":"user","content":"ab\nü"}]}"#), 5);
        let parts = r#"[{"type":"text","text":"abc"},{"type":"image_url","image_url":{"url":"data:…"}}]"#;
        assert_eq!(
            count(&format!(r#"{{"prompt":"x","messages":[{{"role":"user","content":{parts}}}]}}"#)),
            3
        );
        let request = format!(r#"{{"prompt":"x","messages":[{{"role":"user","content":{parts}}}]}}"#);
        assert_eq!(images(&serde_json::from_str(&request).expect("a request")), 1);
        assert_eq!(count(r#"{"prompt":"x","messages":[{"role":"assistant","tool_calls":[1]}]}"#), 3);
    }
}
