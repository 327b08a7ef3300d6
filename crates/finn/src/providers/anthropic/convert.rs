//! OpenAI's request shapes turned into Anthropic's.
//!
//! System and developer messages become `system`; tool results become blocks of a user message; neighbours of one role
//! are joined, because the roles must take turns. `temperature` above 1 becomes 1, and `top_p` is left out beside a
//! temperature (the newer models refuse both). `parallel_tool_calls: false` has its counterpart beside the choice of tools.
//! What cannot be said at all (`response_format` other than text, audio, files) is an error with a sentence, never
//! silently dropped. The dialect's own parameters pass unchanged, `cache_control` on parts, calls and tools among them.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use types::s2s::Message;

use super::Call;

type Said = String;

/// Where the prompt may be cached up to: a member of blocks and tools.
const CACHE_CONTROL: &str = "cache_control";

/// The request's body, or what cannot be said.
pub(super) fn body(call: Call<'_>) -> Result<Value, Said> {
    let request = call.request;
    let mut body = Map::new();
    body.insert("model".into(), call.upstream_model.into());
    body.insert("max_tokens".into(), call.max_tokens.into());
    body.insert("stream".into(), true.into());
    let (system, messages) = match &request.messages {
        Some(messages) => conversation(messages)?,
        None => (Vec::new(), vec![json!({"role": "user", "content": request.prompt})]),
    };
    if system.iter().any(|block| block.get(CACHE_CONTROL).is_some()) {
        body.insert("system".into(), system.into());
    } else if !system.is_empty() {
        let texts: Vec<&str> = system.iter().filter_map(|block| block["text"].as_str()).collect();
        body.insert("system".into(), texts.join("\n\n").into());
    }
    if messages.is_empty() {
        return Err("At least one user message is needed.".into());
    }
    body.insert("messages".into(), messages.into());
    let read = |raw: &Option<Box<RawValue>>| -> Result<Option<Value>, Said> {
        let value = raw.as_ref().map(|raw| serde_json::from_str::<Value>(raw.get())).transpose();
        value
            .map(|value| value.filter(|value| !value.is_null()))
            .map_err(|_| "It is nested too deeply.".into())
    };
    if let Some(temperature) = read(&request.temperature)? {
        let value = temperature.as_f64().ok_or("`temperature` must be a number.")?;
        body.insert("temperature".into(), if value > 1.0 { json!(1.0) } else { temperature });
    } else if let Some(top_p) = read(&request.top_p)? {
        body.insert("top_p".into(), top_p);
    }
    if let Some(stop) = read(&request.stop)? {
        let list = if stop.is_array() { stop } else { json!([stop]) };
        body.insert("stop_sequences".into(), list);
    }
    if let Some(format) = read(&request.response_format)?
        && format["type"] != "text"
    {
        return Err("This model has no `response_format`; ask for JSON in the messages.".into());
    }
    if let Some(tools) = read(&request.tools)? {
        let tools = tools.as_array().ok_or("`tools` must be an array.")?;
        let tools = tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
        if !tools.is_empty() {
            body.insert("tools".into(), tools.into());
            let choice = read(&request.tool_choice)?.map(|choice| tool_choice(&choice)).transpose()?;
            if let Some(choice) = one_at_a_time(call, choice) {
                body.insert("tool_choice".into(), choice);
            }
        }
    }
    for (name, value) in &request.options.anthropic {
        body.insert(name.clone(), read_json(value)?);
    }
    Ok(body.into())
}

fn read_json(raw: &RawValue) -> Result<Value, Said> {
    serde_json::from_str(raw.get()).map_err(|_| "It is nested too deeply.".into())
}

/// The choice of tools with the counterpart of `parallel_tool_calls: false`, which is a member of it here.
fn one_at_a_time(call: Call<'_>, choice: Option<Value>) -> Option<Value> {
    let parallel = call.request.options.openai.get("parallel_tool_calls").map(|value| value.get());
    if parallel != Some("false") {
        return choice;
    }
    let mut choice = choice.unwrap_or_else(|| json!({"type": "auto"}));
    if choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

/// Copies the mark behind which the provider may cache the prompt.
fn cached(from: &Value, mut to: Value) -> Value {
    if let Some(mark) = from.get(CACHE_CONTROL).filter(|mark| mark.is_object()) {
        to[CACHE_CONTROL] = mark.clone();
    }
    to
}

fn conversation(messages: &[Message]) -> Result<(Vec<Value>, Vec<Value>), Said> {
    let mut system: Vec<Value> = Vec::new();
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message.role.as_str() {
            "system" | "developer" => {
                let texts = blocks(message)?;
                system.extend(texts.into_iter().filter(|block| block["type"] == "text"));
                continue;
            }
            "user" => ("user", blocks(message)?),
            "assistant" => {
                let mut all = blocks(message)?;
                all.extend(tool_uses(message)?);
                ("assistant", all)
            }
            "tool" => ("user", vec![tool_result(message)?]),
            other => return Err(format!("There is no role `{}`.", crate::failure::presentable(other))),
        };
        match turns.last_mut() {
            Some((last, all)) if *last == role => all.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    let turns = turns.into_iter().filter(|(_, blocks)| !blocks.is_empty());
    let messages = turns.map(|(role, blocks)| json!({"role": role, "content": blocks})).collect();
    Ok((system, messages))
}

/// A message's content as blocks; empty texts are left out, because the API refuses them.
fn blocks(message: &Message) -> Result<Vec<Value>, Said> {
    let Some(raw) = &message.content else { return Ok(Vec::new()) };
    match serde_json::from_str(raw.get()).map_err(|_| "A message's content is nested too deeply.")? {
        Value::Null => Ok(Vec::new()),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(vec![json!({"type": "text", "text": text})]),
        Value::Array(parts) => parts.iter().filter(|part| part["text"] != "").map(part).collect(),
        _ => Err("A message's content must be a string or an array of parts.".into()),
    }
}

fn part(part: &Value) -> Result<Value, Said> {
    let block = match (part["type"].as_str(), part["text"].as_str()) {
        (Some("text" | "input_text"), Some(text)) => Ok(json!({"type": "text", "text": text})),
        (Some("refusal"), _) => Ok(json!({"type": "text", "text": part["refusal"]})),
        (Some("image_url"), _) => image(part["image_url"]["url"].as_str().unwrap_or("")),
        _ => Err("This model reads parts of type `text` and `image_url` only.".into()),
    };
    block.map(|block| cached(part, block))
}

fn image(url: &str) -> Result<Value, Said> {
    if let Some(data) = url.strip_prefix("data:") {
        let (kind, data) = data.split_once(";base64,").ok_or("An image's data URL must be base64.")?;
        if !matches!(kind, "image/png" | "image/jpeg" | "image/gif" | "image/webp") {
            return Err("An image must be PNG, JPEG, GIF or WebP.".into());
        }
        return Ok(json!({"type":"image","source":{"type":"base64","media_type":kind,"data":data}}));
    }
    if url.starts_with("https://") {
        return Ok(json!({"type": "image", "source": {"type": "url", "url": url}}));
    }
    Err("An image needs an https or data URL.".into())
}

fn tool_uses(message: &Message) -> Result<Vec<Value>, Said> {
    let Some(raw) = &message.tool_calls else { return Ok(Vec::new()) };
    let calls: Value = serde_json::from_str(raw.get()).map_err(|_| "`tool_calls` is nested too deeply.")?;
    let calls = calls.as_array().map(Vec::as_slice).unwrap_or_default();
    calls
        .iter()
        .map(|call| {
            let input = match &call["function"]["arguments"] {
                Value::Object(input) => Some(Value::Object(input.clone())),
                Value::String(text) if !text.trim().is_empty() => serde_json::from_str(text).ok(),
                Value::String(_) | Value::Null => Some(json!({})),
                _ => None,
            };
            let input = input
                .filter(Value::is_object)
                .ok_or("A tool call's `function.arguments` are no JSON object.")?;
            let block =
                json!({"type":"tool_use","id":call["id"],"name":call["function"]["name"],"input":input});
            Ok(cached(call, block))
        })
        .collect()
}

fn tool_result(message: &Message) -> Result<Value, Said> {
    let id = message.tool_call_id.as_deref().ok_or("A tool message needs `tool_call_id`.")?;
    let mut content = blocks(message)?;
    let mut result = json!({"type": "tool_result", "tool_use_id": id});
    // The mark belongs to the result as a whole.
    for block in &mut content {
        result = cached(block, result);
        block.as_object_mut().map(|block| block.remove(CACHE_CONTROL));
    }
    result["content"] = content.into();
    Ok(result)
}

fn tool(tool: &Value) -> Result<Value, Said> {
    let function = &tool["function"];
    let name = function["name"].as_str().ok_or("Every tool needs `function.name`.")?;
    let schema = match &function["parameters"] {
        Value::Null => json!({"type": "object", "properties": {}}),
        schema => schema.clone(),
    };
    let mut out = json!({"name": name, "input_schema": schema});
    if let Some(description) = function["description"].as_str() {
        out["description"] = description.into();
    }
    Ok(cached(tool, out))
}

fn tool_choice(choice: &Value) -> Result<Value, Said> {
    match choice.as_str() {
        Some("auto") => Ok(json!({"type": "auto"})),
        Some("none") => Ok(json!({"type": "none"})),
        Some("required") => Ok(json!({"type": "any"})),
        _ => match choice["function"]["name"].as_str() {
            Some(name) => Ok(json!({"type": "tool", "name": name})),
            None => Err("`tool_choice` must be auto, none, required or a function.".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::s2s::InferenceRequest;

    fn convert(request: &str) -> Result<Value, Said> {
        let request: InferenceRequest = serde_json::from_str(request).expect("a request");
        body(Call { upstream_model: "claude", request: &request, max_tokens: 9 })
    }

    #[test]
    fn a_conversation_with_tools_turns_round() {
        let body = convert(
            r#"{"prompt":"","messages":[
                {"role":"system","content":"be brief"},
                {"role":"user","content":"weather?"},
                {"role":"assistant","content":null,"tool_calls":[
                    {"id":"c1","type":"function","function":{"name":"w","arguments":"{\"city\":\"Paris\"}"}},
                    {"id":"c2","type":"function","function":{"name":"w","arguments":""}}]},
                {"role":"tool","tool_call_id":"c1","content":"sun"},
                {"role":"tool","tool_call_id":"c2","content":"rain"},
                {"role":"user","content":[{"type":"text","text":"and?"},
                    {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],
               "tools":[{"type":"function","function":{"name":"w","description":"d","parameters":{"type":"object"}}}],
               "tool_choice":"required","temperature":1.7,"top_p":0.9,"stop":"END"}"#,
        )
        .expect("everything has a counterpart");
        assert_eq!(body["system"], "be brief");
        let messages = body["messages"].as_array().expect("an array");
        assert_eq!(messages.len(), 3, "roles take turns: {messages:?}");
        assert_eq!(messages[1]["content"][0]["input"]["city"], "Paris");
        assert_eq!(messages[1]["content"][1]["input"], json!({}));
        assert_eq!(messages[2]["content"][0]["tool_use_id"], "c1");
        assert_eq!(messages[2]["content"][3]["source"]["media_type"], "image/png");
        assert_eq!(body["tools"][0]["input_schema"]["type"], "object");
        assert_eq!(body["tool_choice"]["type"], "any");
        assert_eq!(body["temperature"], 1.0);
        assert_eq!(body.get("top_p"), None);
        assert_eq!(body["stop_sequences"], json!(["END"]));
    }

    #[test]
    fn the_dialect_s_own_parameters_pass_and_the_other_s_have_their_counterparts() {
        let mark = r#""cache_control":{"type":"ephemeral"}"#;
        let body = convert(&format!(
            r#"{{"prompt":"","messages":[
                {{"role":"system","content":[{{"type":"text","text":"a"}},{{"type":"text","text":"b",{mark}}}]}},
                {{"role":"user","content":[{{"type":"text","text":"c",{mark}}}]}},
                {{"role":"assistant","tool_calls":[{{"id":"c1",{mark},"function":{{"name":"w","arguments":{{"a":1}}}}}}]}},
                {{"role":"tool","tool_call_id":"c1","content":[{{"type":"text","text":"d",{mark}}}]}}],
               "tools":[{{"type":"function",{mark},"function":{{"name":"w"}}}}],
               "options":{{"openai":{{"parallel_tool_calls":false,"seed":1}},"anthropic":{{"top_k":5,"thinking":{{"type":"adaptive"}}}}}}}}"#
        ))
        .expect("everything has a counterpart");
        let mark = json!({"type": "ephemeral"});
        assert_eq!(
            body["system"],
            json!([{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":mark}])
        );
        let messages = &body["messages"];
        assert_eq!(messages[0]["content"][0]["cache_control"], mark);
        let call = json!({"type":"tool_use","id":"c1","name":"w","input":{"a":1},"cache_control":mark});
        assert_eq!(messages[1]["content"][0], call);
        let result = json!({"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"d"}],"cache_control":mark});
        assert_eq!(messages[2]["content"][0], result);
        assert_eq!(body["tools"][0]["cache_control"], mark);
        assert_eq!(body["tool_choice"], json!({"type":"auto","disable_parallel_tool_use":true}));
        assert_eq!((&body["top_k"], &body["thinking"]["type"]), (&json!(5), &json!("adaptive")));
        assert_eq!(body.get("seed"), None);
    }

    #[test]
    fn what_has_no_counterpart_is_said() {
        for request in [
            r#"{"prompt":"x","response_format":{"type":"json_object"}}"#,
            r#"{"prompt":"","messages":[{"role":"user","content":[{"type":"input_audio"}]}]}"#,
            r#"{"prompt":"","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///x"}}]}]}"#,
            r#"{"prompt":"","messages":[{"role":"narrator","content":"x"}]}"#,
            r#"{"prompt":"","messages":[{"role":"tool","content":"x"}]}"#,
            r#"{"prompt":"","messages":[{"role":"system","content":"alone"}]}"#,
            r#"{"prompt":"","messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\":"}}]}]}"#,
            r#"{"prompt":"","messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"[1]"}}]}]}"#,
            r#"{"prompt":"","messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":7}}]}]}"#,
        ] {
            assert!(convert(request).is_err(), "{request}");
        }
    }
}
