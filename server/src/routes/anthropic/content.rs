//! Anthropic's system text and content blocks as OpenAI's messages.
//!
//! One of their user turns may become several of ours: results of tools are messages of their own there, and come
//! first, since they answer the assistant's calls. Past thinking is left out: its signatures mean nothing elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use types::s2s::Message;

use crate::routes::conversation::{Conversation, raw_text};
use crate::routes::fault::Fault;
use crate::routes::fields::{self, Field};
use crate::routes::limits;

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    source: Field<'a>,
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    tool_use_id: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    is_error: Field<'a>,
    #[serde(borrow)]
    cache_control: Field<'a>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow)]
    media_type: Field<'a>,
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    url: Field<'a>,
}

/// OpenAI's part of a message, with Anthropic's mark on it: only a provider of Anthropic's dialect is given that.
#[derive(Serialize)]
struct Part<'a> {
    #[serde(flatten)]
    said: Said,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Field<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Field<'a>,
}

#[derive(Serialize)]
struct Function {
    name: String,
    arguments: String,
}

/// Translates `system` and `messages`.
pub(super) fn translate(system: Field<'_>, raw: &RawValue) -> Result<Conversation, Fault> {
    let turns = fields::list::<{ limits::MESSAGES }>("messages", raw)?;
    if turns.is_empty() {
        return Err(Fault::field("messages", "This needs at least one message."));
    }
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if let Some(system) = system {
        messages.extend(system_message(system)?);
    }
    let mut prompt = String::new();
    for (index, raw) in turns.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        let turn: Turn<'_> = serde_json::from_str(raw.get())
            .map_err(|_| Fault::field(&at, "This has to be an object with a role and content, each once."))?;
        let content = turn.content.ok_or_else(|| {
            Fault::field(format!("{at}.content"), "This has to be a string or an array of blocks.")
        })?;
        match turn.role.map(RawValue::get) {
            Some("\"user\"") => prompt = user(&format!("{at}.content"), content, &mut messages)?,
            Some("\"assistant\"") => assistant(&format!("{at}.content"), content, &mut messages)?,
            _ => return Err(Fault::field(format!("{at}.role"), "This has to be user or assistant.")),
        }
    }
    Ok(Conversation { messages, prompt })
}

/// Appends a user's turn and returns its text.
fn user(at: &str, raw: &RawValue, messages: &mut Vec<Message>) -> Result<String, Fault> {
    if raw.get().starts_with('"') {
        let text = fields::text(at, raw)?;
        messages.push(message("user", Some(raw.to_owned())));
        return Ok(text);
    }
    let mut parts = Vec::new();
    let mut prompt = String::new();
    for (at, block) in blocks(at, raw)? {
        match block.kind.map(RawValue::get) {
            Some("\"text\"") => {
                let part = text_part(&at, &block)?;
                if let Said::Text { text } = &part.said {
                    prompt.push_str(text);
                }
                parts.push(part);
            }
            Some("\"image\"") => parts.push(image(&at, &block)?),
            Some("\"tool_result\"") => messages.push(tool_result(&at, &block, &mut parts)?),
            _ => {
                return Err(Fault::field(format!("{at}.type"), "This has to be text, image or tool_result."));
            }
        }
    }
    if !parts.is_empty() {
        messages.push(message("user", Some(content_of(&parts))));
    }
    Ok(prompt)
}

fn assistant(at: &str, raw: &RawValue, messages: &mut Vec<Message>) -> Result<(), Fault> {
    if raw.get().starts_with('"') {
        fields::text(at, raw)?;
        messages.push(message("assistant", Some(raw.to_owned())));
        return Ok(());
    }
    let mut text = String::new();
    let mut calls = Vec::new();
    for (at, block) in blocks(at, raw)? {
        match block.kind.map(RawValue::get) {
            Some("\"text\"") => text.push_str(&text_of(&at, &block)?),
            Some("\"tool_use\"") => calls.push(tool_use(&at, &block)?),
            Some("\"thinking\"" | "\"redacted_thinking\"") => {}
            _ => return Err(Fault::field(format!("{at}.type"), "This has to be text or tool_use.")),
        }
    }
    let content = (!text.is_empty() || calls.is_empty()).then(|| raw_text(&text));
    let tool_calls =
        (!calls.is_empty()).then(|| to_raw_value(&calls).expect("our wire shapes serialise into memory"));
    messages.push(Message { tool_calls, ..message("assistant", content) });
    Ok(())
}

fn tool_use<'a>(at: &str, block: &Block<'a>) -> Result<ToolCall<'a>, Fault> {
    let arguments = match block.input {
        Some(input) if input.get().starts_with('{') => input.get().to_owned(),
        _ => return Err(Fault::field(format!("{at}.input"), "This has to be an object.")),
    };
    let function = Function { name: required(at, "name", block.name)?, arguments };
    let cache_control = cache_control(at, block.cache_control)?;
    Ok(ToolCall { id: required(at, "id", block.id)?, kind: "function", function, cache_control })
}

/// The result as a message; pictures in it go to the user's parts, since a result holds only text over there.
fn tool_result<'a>(at: &str, block: &Block<'a>, parts: &mut Vec<Part<'a>>) -> Result<Message, Fault> {
    let id = required(at, "tool_use_id", block.tool_use_id)?;
    let mut text = String::new();
    // There is no flag for it in OpenAI's shape; the model has to read it.
    if fields::flag(&format!("{at}.is_error"), block.is_error)? {
        text.push_str("Error: ");
    }
    match block.content {
        None => {}
        Some(raw) if raw.get().starts_with('"') => {
            text.push_str(&fields::text(&format!("{at}.content"), raw)?);
        }
        Some(raw) => {
            for (at, block) in blocks(&format!("{at}.content"), raw)? {
                match block.kind.map(RawValue::get) {
                    Some("\"text\"") => text.push_str(&text_of(&at, &block)?),
                    Some("\"image\"") => parts.push(image(&at, &block)?),
                    _ => return Err(Fault::field(format!("{at}.type"), "This has to be text or image.")),
                }
            }
        }
    }
    let cache_control = cache_control(at, block.cache_control)?;
    let content = content_of(&[Part { said: Said::Text { text }, cache_control }]);
    Ok(Message { tool_call_id: Some(id), ..message("tool", Some(content)) })
}

fn image<'a>(at: &str, block: &Block<'a>) -> Result<Part<'a>, Fault> {
    let wrong = || {
        Fault::field(
            format!("{at}.source"),
            "This has to be a base64 source with media_type and data, or a url source.",
        )
    };
    let source = block.source.ok_or_else(wrong)?;
    let source: Source<'_> = serde_json::from_str(source.get()).map_err(|_| wrong())?;
    let text =
        |raw: Field<'_>| raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()).ok_or_else(wrong);
    let (url, member) = match source.kind.map(RawValue::get) {
        Some("\"base64\"") => {
            (format!("data:{};base64,{}", text(source.media_type)?, text(source.data)?), "data")
        }
        Some("\"url\"") => (text(source.url)?, "url"),
        _ => return Err(wrong()),
    };
    fields::image_url(&format!("{at}.source.{member}"), &url)?;
    let cache_control = cache_control(at, block.cache_control)?;
    Ok(Part { said: Said::ImageUrl { image_url: ImageUrl { url } }, cache_control })
}

/// The system's text: a string, or text blocks joined by a blank line, which stay apart where one is marked.
fn system_message(raw: &RawValue) -> Result<Option<Message>, Fault> {
    let mut parts = Vec::new();
    if raw.get().starts_with('"') {
        parts.push(Part { said: Said::Text { text: fields::text("system", raw)? }, cache_control: None });
    } else {
        for (at, block) in blocks("system", raw)? {
            if block.kind.map(RawValue::get) != Some("\"text\"") {
                return Err(Fault::field(format!("{at}.type"), "This has to be text."));
            }
            parts.push(text_part(&at, &block)?);
        }
    }
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match &part.said {
            Said::Text { text } => Some(text.as_str()),
            Said::ImageUrl { .. } => None,
        })
        .collect();
    let text = texts.join("\n\n");
    let is_marked = parts.iter().any(|part| part.cache_control.is_some());
    let content = if is_marked { content_of(&parts) } else { raw_text(&text) };
    Ok((!text.is_empty()).then(|| message("system", Some(content))))
}

/// Plain text stays a string: every server of OpenAI's dialect takes that, not every one takes parts.
fn content_of(parts: &[Part<'_>]) -> Box<RawValue> {
    match parts {
        [Part { said: Said::Text { text }, cache_control: None }] => raw_text(text),
        parts => to_raw_value(parts).expect("our wire shapes serialise into memory"),
    }
}

fn text_part<'a>(at: &str, block: &Block<'a>) -> Result<Part<'a>, Fault> {
    let cache_control = cache_control(at, block.cache_control)?;
    Ok(Part { said: Said::Text { text: text_of(at, block)? }, cache_control })
}

/// Where the prompt may be cached up to; the provider judges what it holds.
pub(super) fn cache_control<'a>(at: &str, raw: Field<'a>) -> Result<Field<'a>, Fault> {
    if raw.is_some_and(|raw| !raw.get().starts_with('{')) {
        return Err(Fault::field(format!("{at}.cache_control"), "This has to be an object."));
    }
    Ok(raw)
}

fn blocks<'a>(at: &str, raw: &'a RawValue) -> Result<Vec<(String, Block<'a>)>, Fault> {
    if !raw.get().starts_with('[') {
        return Err(Fault::field(at, "This has to be a string or an array of blocks."));
    }
    let list = fields::list::<{ limits::CONTENT_PARTS }>(at, raw)?;
    list.into_iter()
        .enumerate()
        .map(|(index, raw)| {
            let at = format!("{at}[{index}]");
            match serde_json::from_str(raw.get()) {
                Ok(block) => Ok((at, block)),
                Err(_) => Err(Fault::field(at, "This has to be an object with a type, each field once.")),
            }
        })
        .collect()
}

fn text_of(at: &str, block: &Block<'_>) -> Result<String, Fault> {
    required(at, "text", block.text)
}

fn required(at: &str, field: &str, raw: Field<'_>) -> Result<String, Fault> {
    let at = format!("{at}.{field}");
    match raw {
        Some(raw) => fields::text(&at, raw),
        None => Err(Fault::field(at, "This is required: a string.")),
    }
}

fn message(role: &str, content: Option<Box<RawValue>>) -> Message {
    Message { role: role.to_owned(), content, tool_calls: None, tool_call_id: None, name: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(value: &serde_json::Value) -> Box<RawValue> {
        to_raw_value(value).expect("JSON")
    }

    #[test]
    fn a_failed_tool_says_so_and_its_picture_is_kept() {
        let turns = raw(
            &json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": true,
            "content": [{"type": "text", "text": "no"}, {"type": "image", "source": {"type": "url", "url": "https://x.example/y.png"}}]}]}]),
        );
        let conversation = translate(None, &turns).expect("sound");
        let messages = serde_json::to_value(&conversation.messages).expect("serialises");
        assert_eq!(
            messages,
            json!([{"role": "tool", "tool_call_id": "t", "content": "Error: no"},
                   {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}]}])
        );
        assert_eq!(conversation.prompt, "");
    }

    #[test]
    fn the_last_user_text_is_the_prompt() {
        let turns = raw(&json!([{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
            {"role": "user", "content": [{"type": "text", "text": "thr"}, {"type": "text", "text": "ee"}]}]));
        let conversation = translate(Some(&raw(&json!("sys"))), &turns).expect("sound");
        assert_eq!((conversation.prompt.as_str(), conversation.messages.len()), ("three", 4));
    }
}
