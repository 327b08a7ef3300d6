//! Reads messages as OpenAI shapes them: the form in which the engine takes every conversation.
//!
//! Content stays as the caller wrote it. Only its shape is judged, and the addresses of its pictures.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use types::s2s::Message;

use super::fault::Fault;
use super::fields::{self, Field};
use super::limits;

/// A conversation and the last thing the user said in it.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// In order; never empty.
    pub messages: Vec<Message>,
    /// The text of the last user message; empty when none has text.
    pub prompt: String,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    tool_calls: Field<'a>,
    #[serde(borrow)]
    tool_call_id: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
}

#[derive(Deserialize)]
struct RawPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    image_url: Field<'a>,
}

#[derive(Deserialize)]
struct RawImage<'a> {
    #[serde(borrow)]
    url: Field<'a>,
}

/// A call that the assistant made, in the caller's history.
#[derive(Deserialize, Serialize)]
struct RawCall<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    id: Field<'a>,
    #[serde(borrow, rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Field<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    function: Option<RawFunction<'a>>,
}

#[derive(Deserialize, Serialize)]
struct RawFunction<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    name: Field<'a>,
    #[serde(borrow, deserialize_with = "borrowed", default, skip_serializing_if = "Option::is_none")]
    arguments: Option<Cow<'a, RawValue>>,
}

fn borrowed<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'a, RawValue>>, D::Error> {
    Ok(Field::deserialize(deserializer)?.map(Cow::Borrowed))
}

/// Reads `messages`.
pub(crate) fn read(raw: &RawValue) -> Result<Conversation, Fault> {
    let list = fields::list::<{ limits::MESSAGES }>("messages", raw)?;
    if list.is_empty() {
        return Err(Fault::field("messages", "This needs at least one message."));
    }
    let mut messages = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        messages.push(message(index, raw)?);
    }
    let prompt = last_user_text(&messages)?;
    Ok(Conversation { messages, prompt })
}

fn message(index: usize, raw: &RawValue) -> Result<Message, Fault> {
    let at = |field: &str| format!("messages[{index}].{field}");
    let raw: RawMessage<'_> = serde_json::from_str(raw.get()).map_err(|_| {
        Fault::field(
            format!("messages[{index}]"),
            "This has to be an object with a role and content, each once.",
        )
    })?;
    let roles = "This has to be one of system, developer, user, assistant, tool.";
    let role = match raw.role.map(RawValue::get) {
        Some("\"system\"") => "system",
        Some("\"developer\"") => "developer",
        Some("\"user\"") => "user",
        Some("\"assistant\"") => "assistant",
        Some("\"tool\"") => "tool",
        _ => return Err(Fault::field(at("role"), roles)),
    };
    match raw.content {
        Some(content) => check_content(&at("content"), content)?,
        None if role == "assistant" => {}
        None => return Err(Fault::field(at("content"), "This has to be a string or an array of parts.")),
    }
    let calls = raw.tool_calls.map(|calls| tool_calls(&at("tool_calls"), calls)).transpose()?;
    let tool_call_id = raw.tool_call_id.map(|id| fields::text(&at("tool_call_id"), id)).transpose()?;
    if role == "tool" && tool_call_id.is_none() {
        return Err(Fault::field(at("tool_call_id"), "A tool message has to say which call it answers."));
    }
    Ok(Message {
        role: role.to_owned(),
        content: raw.content.map(RawValue::to_owned),
        tool_calls: calls,
        tool_call_id,
        name: raw.name.map(|name| fields::text(&at("name"), name)).transpose()?,
    })
}

/// The calls as they were written; arguments that are an object become its text, which is what OpenAI's shape has.
fn tool_calls(param: &str, raw: &RawValue) -> Result<Box<RawValue>, Fault> {
    let mut has_objects = false;
    let mut calls = Vec::new();
    for (index, raw) in fields::list::<{ limits::MESSAGES }>(param, raw)?.into_iter().enumerate() {
        let at = format!("{param}[{index}]");
        let mut call: RawCall<'_> = serde_json::from_str(raw.get()).map_err(|_| {
            Fault::field(&at, "This has to be an object with an id and a function, each once.")
        })?;
        if let Some(arguments) = call.function.as_mut().and_then(|function| function.arguments.as_mut()) {
            match arguments.get().as_bytes().first() {
                Some(b'"') => {}
                Some(b'{') => {
                    has_objects = true;
                    *arguments = Cow::Owned(raw_text(arguments.get()));
                }
                _ => {
                    let message = "This has to be JSON text, or an object.";
                    return Err(Fault::field(format!("{at}.function.arguments"), message));
                }
            }
        }
        calls.push(call);
    }
    Ok(if has_objects { to_raw_value(&calls).expect("raw JSON serialises") } else { raw.to_owned() })
}

fn check_content(param: &str, raw: &RawValue) -> Result<(), Fault> {
    match raw.get().as_bytes().first() {
        Some(b'"') => check_text(param, raw),
        Some(b'[') => {
            for (index, raw) in fields::list::<{ limits::CONTENT_PARTS }>(param, raw)?.into_iter().enumerate()
            {
                let at = format!("{param}[{index}]");
                let part = part(&at, raw)?;
                match part.kind.map(RawValue::get) {
                    Some("\"text\"") => match part.text {
                        Some(text) if text.get().starts_with('"') => check_text(&format!("{at}.text"), text)?,
                        _ => {
                            return Err(Fault::field(
                                format!("{at}.text"),
                                "A text part needs a string here.",
                            ));
                        }
                    },
                    // Sound and files have no worst case that could be set aside.
                    Some("\"image_url\"") => check_image(&format!("{at}.image_url"), part.image_url)?,
                    Some("\"refusal\"") => {}
                    _ => {
                        let message = "This has to be one of text, image_url, refusal.";
                        return Err(Fault::field(format!("{at}.type"), message));
                    }
                }
            }
            Ok(())
        }
        _ => Err(Fault::field(param, "This has to be a string or an array of parts.")),
    }
}

fn check_image(param: &str, raw: Field<'_>) -> Result<(), Fault> {
    let image = raw.and_then(|raw| serde_json::from_str::<RawImage<'_>>(raw.get()).ok());
    let Some(url) = image.and_then(|image| image.url) else {
        return Err(Fault::field(param, "This has to be an object with a url."));
    };
    let param = format!("{param}.url");
    fields::image_url(&param, &fields::text(&param, url)?)
}

/// The parser takes half of a surrogate pair in raw text; nobody behind us should have to.
fn check_text(param: &str, raw: &RawValue) -> Result<(), Fault> {
    if raw.get().contains("\\u") { fields::text(param, raw).map(drop) } else { Ok(()) }
}

fn part<'a>(at: &str, raw: &'a RawValue) -> Result<RawPart<'a>, Fault> {
    serde_json::from_str(raw.get()).map_err(|_| Fault::field(at, "This has to be an object with a type."))
}

fn last_user_text(messages: &[Message]) -> Result<String, Fault> {
    let last = messages.iter().rev().find(|message| message.role == "user");
    let Some(content) = last.and_then(|message| message.content.as_deref()) else { return Ok(String::new()) };
    if content.get().starts_with('"') {
        return fields::text("messages", content);
    }
    let mut whole = String::new();
    for raw in fields::list::<{ limits::CONTENT_PARTS }>("messages", content)? {
        if let Some(text) = part("messages", raw)?.text {
            whole.push_str(&fields::text("messages", text)?);
        }
    }
    Ok(whole)
}

/// A string as raw JSON.
pub(crate) fn raw_text(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a string serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Conversation, String> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        read(&raw).map_err(|fault| match fault {
            Fault::Field { param, .. } => param,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn content_passes_through_as_written_and_the_last_user_text_is_the_prompt() {
        let conversation = parse(
            r#"[{"role":"system","content":"be kind"},{"role":"user","content":"first"},
               {"role":"assistant","content":null,"tool_calls":[{"id":"c1"}]},
               {"role":"tool","tool_call_id":"c1","content":"21 °C"},
               {"role":"user","content":[{"type":"text","text":"sec\u006fnd"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]"#,
        )
        .expect("sound");
        assert_eq!(conversation.prompt, "second");
        assert_eq!(conversation.messages.len(), 5);
        assert_eq!(conversation.messages[0].content.as_ref().expect("there").get(), "\"be kind\"");
        assert_eq!(conversation.messages[2].tool_calls.as_ref().expect("there").get(), r#"[{"id":"c1"}]"#);
        assert_eq!(conversation.messages[3].tool_call_id.as_deref(), Some("c1"));
    }

    #[test]
    fn arguments_given_as_an_object_become_their_text() {
        let conversation = parse(
            r#"[{"role":"assistant","tool_calls":[
                {"id":"c1","type":"function","function":{"name":"w","arguments":{"a": 1.10}}},
                {"id":"c2","type":"function","function":{"name":"w","arguments":"{}"}}]}]"#,
        )
        .expect("sound");
        let calls = conversation.messages[0].tool_calls.as_ref().expect("there").get();
        assert!(
            calls.contains(r#""arguments":"{\"a\": 1.10}""#) && calls.contains(r#""arguments":"{}""#),
            "{calls}"
        );
    }

    #[test]
    fn each_fault_names_its_field() {
        for (text, param) in [
            ("[]", "messages"),
            ("{}", "messages"),
            ("[1]", "messages[0]"),
            (r#"[{"content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"king","content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"user"}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":3}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":"\ud800"}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0].text"),
            (r#"[{"role":"user","content":[{"type":"smell"}]}]"#, "messages[0].content[0].type"),
            (r#"[{"role":"user","content":[{"type":"input_audio"}]}]"#, "messages[0].content[0].type"),
            (r#"[{"role":"user","content":[{"type":"file"}]}]"#, "messages[0].content[0].type"),
            (r#"[{"role":"user","content":[{"type":"image_url"}]}]"#, "messages[0].content[0].image_url"),
            (
                r#"[{"role":"user","content":[{"type":"image_url","image_url":"https://a.example/x"}]}]"#,
                "messages[0].content[0].image_url",
            ),
            (
                r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://127.0.0.1/x"}}]}]"#,
                "messages[0].content[0].image_url.url",
            ),
            (r#"[{"role":"assistant","tool_calls":[7]}]"#, "messages[0].tool_calls[0]"),
            (
                r#"[{"role":"assistant","tool_calls":[{"function":{"arguments":7}}]}]"#,
                "messages[0].tool_calls[0].function.arguments",
            ),
            (r#"[{"role":"tool","content":"x"}]"#, "messages[0].tool_call_id"),
            (r#"[{"role":"user","role":"user","content":"x"}]"#, "messages[0]"),
        ] {
            assert_eq!(parse(text).expect_err(text), param, "{text}");
        }
        let many = format!("[{}{{}}]", "{},".repeat(limits::MESSAGES));
        assert_eq!(parse(&many).expect_err("too many"), "messages");
    }
}
