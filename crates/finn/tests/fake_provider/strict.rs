//! What the vendors refuse, refused here: unknown members, missing keys, roles out of turn.

use hyper::http::request::Parts;
use serde_json::Value;

type Checked = Result<Value, (u16, String)>;

pub(crate) const KEY: &str = "sk-test-key-of-the-fake";

fn parse(body: &[u8], known: &[&str]) -> Checked {
    let value: Value = serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
    let object = value.as_object().ok_or((400, "not an object".to_owned()))?;
    for member in object.keys() {
        if !known.contains(&member.as_str()) {
            return Err((400, format!("Unrecognized request argument supplied: {member}")));
        }
    }
    if value["stream"] != true || !value["model"].is_string() {
        return Err((400, "model and stream are needed".into()));
    }
    Ok(value)
}

pub(crate) fn openai(head: &Parts, body: &[u8]) -> Checked {
    let expected = format!("Bearer {KEY}");
    if head.headers.get("authorization").is_none_or(|value| value != expected.as_str()) {
        return Err((401, format!("Incorrect API key provided: {KEY}")));
    }
    if head.uri.path() != "/v1/chat/completions" || head.headers["content-type"] != "application/json" {
        return Err((404, "no such path".into()));
    }
    let value = parse(
        body,
        &[
            "model",
            "messages",
            "stream",
            "stream_options",
            "max_tokens",
            "tools",
            "tool_choice",
            "temperature",
            "top_p",
            "stop",
            "response_format",
            "seed",
            "parallel_tool_calls",
        ],
    )?;
    if value["stream_options"]["include_usage"] != true || !value["max_tokens"].is_u64() {
        return Err((400, "figures were not asked for".into()));
    }
    for message in value["messages"].as_array().ok_or((400, "messages".to_owned()))? {
        let role = message["role"].as_str().unwrap_or("");
        if !["system", "user", "assistant", "tool"].contains(&role) || message.get("content").is_none() {
            return Err((400, format!("'{role}' is not one of the roles, or content is missing")));
        }
    }
    Ok(value)
}

pub(crate) fn anthropic(head: &Parts, body: &[u8]) -> Checked {
    if head.headers.get("x-api-key").is_none_or(|value| value != KEY) {
        return Err((401, "invalid x-api-key".into()));
    }
    if head.headers.get("anthropic-version").is_none_or(|value| value != "2023-06-01") {
        return Err((400, "anthropic-version: header is required".into()));
    }
    let value = parse(
        body,
        &[
            "model",
            "messages",
            "stream",
            "max_tokens",
            "system",
            "tools",
            "tool_choice",
            "temperature",
            "top_p",
            "stop_sequences",
            "top_k",
        ],
    )?;
    if !value["max_tokens"].is_u64() {
        return Err((400, "max_tokens: Field required".into()));
    }
    let messages = value["messages"].as_array().filter(|all| !all.is_empty());
    for (position, message) in messages.ok_or((400, "messages".to_owned()))?.iter().enumerate() {
        let turn = if position % 2 == 0 { "user" } else { "assistant" };
        if message["role"] != turn {
            return Err((400, "roles must alternate".into()));
        }
    }
    Ok(value)
}
