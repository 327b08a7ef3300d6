//! Reading texts out of a request: their size for the meter, and the last ones for the scripted model.
//!
//! A picture's price only its provider knows. Until that says so, each counts what the pool's `image_tokens` sets aside.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use types::image_url::{self, ImageUrl};
use types::s2s::{InferenceRequest, Message};

use crate::metering;

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

/// The size of every text sent (messages, tool calls and tool definitions), as [`metering::quarters`] counts it.
#[must_use]
pub(crate) fn quarters(request: &InferenceRequest) -> u64 {
    let raw = |raw: &Option<Box<RawValue>>| raw.as_ref().map_or(0, |raw| metering::quarters(raw.get()));
    let texts = match &request.messages {
        Some(messages) => messages
            .iter()
            .map(|message| message.content.as_deref().map_or(0, content_quarters) + raw(&message.tool_calls))
            .sum(),
        None => metering::quarters(&request.prompt),
    };
    texts + raw(&request.tools)
}

/// Refuses pictures that the provider must not be given an address of.
pub(crate) fn check_images(request: &InferenceRequest, takes_https: bool) -> Result<(), String> {
    let contents = request.messages.iter().flatten().filter_map(|message| message.content.as_deref());
    for url in contents.flat_map(image_url::of_content) {
        match image_url::check(&url) {
            Ok(ImageUrl::Https) if !takes_https => {
                return Err(
                    "This model takes a picture as a base64 data URL only, not by its address.".into()
                );
            }
            Ok(ImageUrl::Data | ImageUrl::Https) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}

/// Pictures of the conversation.
#[must_use]
pub(crate) fn images(request: &InferenceRequest) -> u64 {
    request.messages.iter().flatten().map(|message| message.content_size().images).sum::<usize>() as u64
}

fn content_quarters(content: &RawValue) -> u64 {
    let json = content.get();
    // A string without escapes is as long as it is written, less its quotes: most are, and need no parsing.
    if json.starts_with('"') && !json.contains('\\') {
        return metering::quarters(json).saturating_sub(2);
    }
    metering::quarters(&text(content))
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
    fn the_size_is_that_of_the_texts_and_not_of_their_json() {
        let count = |json: &str| quarters(&serde_json::from_str(json).expect("a request"));
        assert_eq!(count(r#"{"prompt":"abcd"}"#), 4);
        assert_eq!(count(r#"{"prompt":"世界"}"#), 8);
        assert_eq!(count(r#"{"prompt":"x","messages":[{"role":"user","content":"世\u754c"}]}"#), 8);
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

    #[test]
    fn a_provider_off_the_vendor_s_own_address_is_given_no_address_to_fetch() {
        let check = |url: &str, takes_https| {
            let message = serde_json::json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]});
            let request = serde_json::json!({"prompt": "x", "messages": [message]});
            check_images(&serde_json::from_value(request).expect("a request"), takes_https)
        };
        for takes_https in [true, false] {
            assert_eq!(check("data:image/png;base64,AAAA", takes_https), Ok(()));
            assert_eq!(check("https://pictures.example/x.png", takes_https).is_ok(), takes_https);
            assert!(check("https://127.0.0.1/x.png", takes_https).is_err());
            assert!(check("http://pictures.example/x.png", takes_https).is_err());
        }
    }
}
