//! Reads the body of `POST /v1/messages` into the domain's [`Ask`].

use domain::turn::{Ask, Fallback};
use serde::Deserialize;
use serde_json::value::RawValue;
use types::s2s::Options;
use utoipa::ToSchema;

use super::{content, tools};
use crate::routes::exchange::Asked;
use crate::routes::fault::Fault;
use crate::routes::fields::{self, Field, Shape};

/// Anthropic's request. Fields that are not listed are ignored.
#[derive(Deserialize, ToSchema)]
pub(crate) struct MessagesBody<'a> {
    /// A pool (`cheap` … `flagship`), `native`, a model id of the catalog, or `agent:{slug}:{token}`.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "native")]
    model: Field<'a>,
    /// The conversation: roles `user` and `assistant`; content a string or blocks.
    #[serde(borrow)]
    #[schema(value_type = Vec<Object>, required = true, min_items = 1, max_items = 2048)]
    messages: Field<'a>,
    /// Completion tokens at most.
    #[serde(borrow)]
    #[schema(value_type = u32, required = true, minimum = 1, maximum = 16_777_216)]
    max_tokens: Field<'a>,
    /// A string, or text blocks.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    system: Field<'a>,
    /// Answer as server-sent events.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>)]
    stream: Field<'a>,
    /// Tools that the model may call.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Field<'a>,
    /// `{"type": "auto" | "any" | "tool" | "none"}`.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    tool_choice: Field<'a>,
    /// Up to four.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<String>>, max_items = 4)]
    stop_sequences: Field<'a>,
    /// 0 to 1.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    temperature: Field<'a>,
    /// 0 to 1.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    top_p: Field<'a>,
    /// Passed to providers of Anthropic's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>)]
    top_k: Field<'a>,
    /// How much a model thinks; passed to providers of Anthropic's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    thinking: Field<'a>,
}

/// What the caller wants, and in which form.
#[derive(Debug)]
pub(crate) struct Wish {
    pub ask: Ask,
    pub stream: bool,
}

/// Judges and translates the body.
pub(crate) fn wish(body: &MessagesBody<'_>, asked: &Asked, clamp: bool) -> Result<Wish, Fault> {
    let model = fields::model(body.model)?
        .ok_or_else(|| Fault::field("model", "This is required: GET /v1/models lists what you can use."))?;
    let max_tokens = fields::completion_tokens("max_tokens", body.max_tokens)?
        .ok_or_else(|| Fault::field("max_tokens", "This is required: a whole number of tokens from 1."))?;
    let messages =
        body.messages.ok_or_else(|| Fault::field("messages", "This is required: an array of messages."))?;
    let stream = fields::flag("stream", body.stream)?;
    let tools = body.tools.map(tools::translate).transpose()?.flatten();
    let tool_choice = body.tool_choice.map(tools::choice).transpose()?;
    let one_at_a_time = body.tool_choice.map(tools::is_one_at_a_time).transpose()?.unwrap_or(false);
    let mut options = Options {
        anthropic: fields::passed(&[
            ("top_k", body.top_k, Shape::Number),
            ("thinking", body.thinking, Shape::Object),
        ])?,
        ..Options::default()
    };
    if one_at_a_time && tools.is_some() {
        let never = RawValue::from_string("false".to_owned()).expect("JSON");
        options.openai.insert("parallel_tool_calls".to_owned(), never);
    }
    let ask = Ask {
        request_id: asked.id.to_string(),
        model,
        pool: None,
        max_tokens: Some(max_tokens),
        // A choice among no tools is an error at some providers and meaningless at all.
        tool_choice: tool_choice.filter(|_| tools.is_some()),
        tools,
        temperature: fields::number("temperature", body.temperature, 0..=1)?,
        top_p: fields::number("top_p", body.top_p, 0..=1)?,
        stop: fields::stop("stop_sequences", body.stop_sequences)?,
        response_format: None,
        whole: !stream,
        options,
        clamp,
        fallback: Fallback::default(),
        prompt: String::new(),
        messages: Vec::new(),
    };
    let conversation = content::translate(body.system, messages)?;
    let ask = Ask { prompt: conversation.prompt, messages: conversation.messages, ..ask };
    Ok(Wish { ask, stream })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::routes::body::parse;

    fn read(value: &Value) -> Result<Wish, Fault> {
        let asked = Asked { id: "req_1".into(), ip: [127, 0, 0, 1].into(), local: true };
        parse(value.to_string().as_bytes()).and_then(|body| wish(&body, &asked, false))
    }

    fn param(value: &Value) -> String {
        match read(value) {
            Err(Fault::Field { param, .. }) => param,
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn a_full_request_becomes_openais_words() {
        let wish = read(&json!({
            "model": "native", "max_tokens": 50, "stream": true, "metadata": {"user_id": "u"}, "top_k": 5,
            "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Be brief."}],
            "stop_sequences": ["END"], "temperature": 0.5,
            "tools": [{"name": "get_weather", "description": "d", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "thinking": {"type": "adaptive"},
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}]},
                {"role": "user", "content": [
                    {"type": "text", "text": "And this?"},
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "21 °C"}]},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]}
            ]
        }))
        .expect("sound");
        assert!(wish.stream);
        let ask = wish.ask;
        assert_eq!((ask.max_tokens, ask.prompt.as_str()), (Some(50), "And this?"));
        assert_eq!(ask.stop.expect("there").get(), "[\"END\"]");
        assert_eq!(ask.tool_choice.expect("there").get(), "\"required\"");
        let options = serde_json::to_value(&ask.options).expect("serialises");
        let anthropic = json!({"top_k": 5, "thinking": {"type": "adaptive"}});
        assert_eq!(options, json!({"openai": {"parallel_tool_calls": false}, "anthropic": anthropic}));
        let tools: Value = serde_json::from_str(ask.tools.expect("there").get()).expect("JSON");
        let function = json!({"name": "get_weather", "description": "d", "parameters": {"type": "object"}});
        assert_eq!(tools, json!([{"type": "function", "function": function}]));
        let messages = serde_json::to_value(&ask.messages).expect("serialises");
        assert_eq!(
            messages,
            json!([
                {"role": "system", "content": [
                    {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": "Let me look.", "tool_calls": [
                    {"id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}}]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "21 °C"},
                {"role": "user", "content": [
                    {"type": "text", "text": "And this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
            ])
        );
    }

    #[test]
    fn every_wrong_field_is_refused_by_name() {
        let good =
            json!({"model": "cheap", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
        assert!(read(&good).is_ok());
        let with = |field: &str, value: Value| {
            let mut body = good.clone();
            body[field] = value;
            body
        };
        for bad in [json!(0), json!(-1), json!(1_u64 << 40), json!(1.5), Value::Null] {
            assert_eq!(param(&with("max_tokens", bad)), "max_tokens");
        }
        assert_eq!(param(&with("messages", json!([]))), "messages");
        assert_eq!(param(&with("messages", json!([{"role": "system", "content": "x"}]))), "messages[0].role");
        let block = |block: Value| with("messages", json!([{"role": "user", "content": [block]}]));
        assert_eq!(param(&block(json!({"type": "document"}))), "messages[0].content[0].type");
        assert_eq!(param(&block(json!({"type": "text"}))), "messages[0].content[0].text");
        assert_eq!(param(&block(json!({"type": "tool_result"}))), "messages[0].content[0].tool_use_id");
        assert_eq!(param(&block(json!({"type": "image", "source": {}}))), "messages[0].content[0].source");
        assert_eq!(param(&with("system", json!(3))), "system");
        assert_eq!(param(&with("temperature", json!(1.5))), "temperature");
        assert_eq!(
            param(&with("tools", json!([{"type": "web_search_20250305", "name": "w"}]))),
            "tools[0].type"
        );
        assert_eq!(param(&with("tools", json!([{"name": "w"}]))), "tools[0].input_schema");
        assert_eq!(param(&with("tool_choice", json!({"type": "perhaps"}))), "tool_choice");
        assert_eq!(param(&with("thinking", json!("much"))), "thinking");
        assert_eq!(param(&with("top_k", json!("5"))), "top_k");
        let choice = json!({"type": "auto", "disable_parallel_tool_use": 1});
        assert_eq!(param(&with("tool_choice", choice)), "tool_choice.disable_parallel_tool_use");
        let marked = json!({"type": "text", "text": "x", "cache_control": true});
        assert_eq!(param(&block(marked)), "messages[0].content[0].cache_control");
        let picture = |source: Value| json!({"type": "image", "source": source});
        let private = picture(json!({"type": "url", "url": "https://10.0.0.1/x.png"}));
        assert_eq!(param(&block(private.clone())), "messages[0].content[0].source.url");
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [private]});
        assert_eq!(param(&block(result)), "messages[0].content[0].content[0].source.url");
        let page = picture(json!({"type": "base64", "media_type": "text/html", "data": "AAAA"}));
        assert_eq!(param(&block(page)), "messages[0].content[0].source.data");
    }
}
