//! Reads the body of a chat completion into the domain's [`Ask`].

use domain::turn::{Ask, Fallback};
use serde::Deserialize;
use types::s2s::Options;
use utoipa::ToSchema;

use crate::routes::conversation;
use crate::routes::exchange::Asked;
use crate::routes::fault::Fault;
use crate::routes::fields::{self, Field, Shape};

/// OpenAI's request. Fields that are not listed are ignored.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChatBody<'a> {
    /// A pool (`cheap` … `flagship`), `native`, a model id of the catalog, or `agent:{slug}:{token}`.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "native")]
    model: Field<'a>,
    /// The conversation: roles `system`, `developer`, `user`, `assistant`, `tool`; content a string or parts.
    #[serde(borrow)]
    #[schema(value_type = Vec<Object>, required = true, min_items = 1, max_items = 2048)]
    messages: Field<'a>,
    /// Completion tokens at most; the older name.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 16_777_216)]
    max_tokens: Field<'a>,
    /// Completion tokens at most; wins over `max_tokens`.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 16_777_216)]
    max_completion_tokens: Field<'a>,
    /// Answer as server-sent events.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>)]
    stream: Field<'a>,
    /// `{"include_usage": true}` adds a last chunk with the usage.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    stream_options: Field<'a>,
    /// Only 1.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1)]
    n: Field<'a>,
    /// Functions that the model may call.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Field<'a>,
    /// `auto`, `none`, `required`, or one function.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    tool_choice: Field<'a>,
    /// The predecessor of `tools`; refused.
    #[serde(borrow)]
    #[schema(ignore)]
    functions: Field<'a>,
    /// 0 to 2.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 2)]
    temperature: Field<'a>,
    /// 0 to 1.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    top_p: Field<'a>,
    /// A string, or up to four.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    stop: Field<'a>,
    /// The answer's format.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    response_format: Field<'a>,
    /// `false`: one tool call at a time.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>)]
    parallel_tool_calls: Field<'a>,
    /// How much a reasoning model thinks; passed to providers of OpenAI's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "low")]
    reasoning_effort: Field<'a>,
    /// How much a model says; passed to providers of OpenAI's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "low")]
    verbosity: Field<'a>,
    /// Passed to providers of OpenAI's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<i64>)]
    seed: Field<'a>,
    /// Passed to providers of OpenAI's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>)]
    frequency_penalty: Field<'a>,
    /// Passed to providers of OpenAI's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>)]
    presence_penalty: Field<'a>,
    /// Passed to providers of OpenAI's dialect.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    logit_bias: Field<'a>,
}

#[derive(Deserialize)]
struct StreamOptions<'a> {
    #[serde(borrow)]
    include_usage: Field<'a>,
}

/// What the caller wants, and in which form.
#[derive(Debug)]
pub(crate) struct Wish {
    pub ask: Ask,
    pub stream: bool,
    pub include_usage: bool,
}

/// Judges the body.
pub(crate) fn wish(body: &ChatBody<'_>, asked: &Asked, clamp: bool) -> Result<Wish, Fault> {
    let model = fields::model(body.model)?
        .ok_or_else(|| Fault::field("model", "This is required: GET /v1/models lists what you can use."))?;
    let messages =
        body.messages.ok_or_else(|| Fault::field("messages", "This is required: an array of messages."))?;
    if body.n.is_some_and(|n| n.get() != "1") {
        return Err(Fault::field("n", "Only 1 is offered: one answer per request."));
    }
    if body.functions.is_some() {
        return Err(Fault::field("functions", "This is no longer taken: use tools."));
    }
    let stream = fields::flag("stream", body.stream)?;
    let older = fields::completion_tokens("max_tokens", body.max_tokens)?;
    let newer = fields::completion_tokens("max_completion_tokens", body.max_completion_tokens)?;
    let tools = fields::tools(body.tools)?;
    let tool_choice = fields::tool_choice(body.tool_choice)?;
    let ask = Ask {
        request_id: asked.id.to_string(),
        model,
        pool: None,
        max_tokens: newer.or(older),
        options: options(body, tools.is_some())?,
        // A choice among no tools is an error at some providers and meaningless at all.
        tool_choice: tool_choice.filter(|_| tools.is_some()),
        tools,
        temperature: fields::number("temperature", body.temperature, 0..=2)?,
        top_p: fields::number("top_p", body.top_p, 0..=1)?,
        stop: fields::stop("stop", body.stop)?,
        response_format: fields::object("response_format", body.response_format)?,
        whole: !stream,
        clamp,
        fallback: Fallback::default(),
        prompt: String::new(),
        messages: Vec::new(),
    };
    let include_usage = include_usage(body.stream_options)?;
    let conversation = conversation::read(messages)?;
    let ask = Ask { prompt: conversation.prompt, messages: conversation.messages, ..ask };
    Ok(Wish { ask, stream, include_usage })
}

/// The parameters that pass to a provider of OpenAI's dialect.
fn options(body: &ChatBody<'_>, has_tools: bool) -> Result<Options, Fault> {
    let openai = fields::passed(&[
        // Without tools it is an error at the vendor and means nothing.
        ("parallel_tool_calls", body.parallel_tool_calls.filter(|_| has_tools), Shape::Flag),
        ("reasoning_effort", body.reasoning_effort, Shape::Text),
        ("verbosity", body.verbosity, Shape::Text),
        ("seed", body.seed, Shape::Number),
        ("frequency_penalty", body.frequency_penalty, Shape::Number),
        ("presence_penalty", body.presence_penalty, Shape::Number),
        ("logit_bias", body.logit_bias, Shape::Object),
    ])?;
    Ok(Options { openai, ..Options::default() })
}

fn include_usage(raw: Field<'_>) -> Result<bool, Fault> {
    let Some(raw) = raw else { return Ok(false) };
    let options: StreamOptions<'_> = serde_json::from_str(raw.get())
        .map_err(|_| Fault::field("stream_options", "This has to be an object with include_usage."))?;
    fields::flag("stream_options.include_usage", options.include_usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::body::parse;

    fn read(text: &str) -> Result<Wish, Fault> {
        let asked = Asked { id: "req_1".into(), ip: [127, 0, 0, 1].into(), local: true };
        parse(text.as_bytes()).and_then(|body| wish(&body, &asked, false))
    }

    fn refused(fields: &str) -> String {
        let text = format!(r#"{{"model":"cheap","messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
        match read(&text) {
            Err(Fault::Field { param, .. }) => param,
            other => panic!("{fields}: {other:?}"),
        }
    }

    #[test]
    fn a_full_request_reaches_the_domain_unchanged() {
        let wish = read(
            r#"{"model":"agent:demo:1","messages":[{"role":"user","content":"hi"}],"max_tokens":7,"max_completion_tokens":9,
               "stream":true,"stream_options":{"include_usage":true,"new":1},"n":1,"user":"someone","seed":3,
               "tools":[{"type":"function","function":{"name":"f","parameters":{"a": 1.10}}}],"tool_choice":"auto",
               "temperature":0.70,"top_p":1,"stop":["x"],"response_format":{"type":"json_object"},"logprobs":null}"#,
        )
        .expect("sound");
        assert!(wish.stream && wish.include_usage);
        let ask = wish.ask;
        assert_eq!(
            (ask.model.as_str(), ask.prompt.as_str(), ask.max_tokens),
            ("agent:demo:1", "hi", Some(9))
        );
        assert_eq!(ask.request_id, "req_1");
        let tools = ask.tools.expect("there");
        assert_eq!(tools.get(), r#"[{"type":"function","function":{"name":"f","parameters":{"a": 1.10}}}]"#);
        assert_eq!(ask.tool_choice.expect("there").get(), "\"auto\"");
        assert_eq!(ask.temperature.expect("there").get(), "0.70");
    }

    #[test]
    fn every_wrong_field_is_refused_by_name() {
        for bad in ["0", "-1", "1099511627776", "1.5", "\"7\""] {
            assert_eq!(refused(&format!(r#""max_tokens":{bad}"#)), "max_tokens");
            assert_eq!(refused(&format!(r#""max_completion_tokens":{bad}"#)), "max_completion_tokens");
        }
        assert_eq!(refused(r#""n":2"#), "n");
        assert_eq!(refused(r#""stream":"yes""#), "stream");
        assert_eq!(refused(r#""stream_options":{"include_usage":1}"#), "stream_options.include_usage");
        assert_eq!(refused(r#""tools":{}"#), "tools");
        assert_eq!(refused(r#""tools":[1]"#), "tools[0]");
        assert_eq!(refused(r#""tool_choice":"any""#), "tool_choice");
        assert_eq!(refused(r#""temperature":3"#), "temperature");
        assert_eq!(refused(r#""functions":[]"#), "functions");
        let long = format!(r#""tools":[{{"type":"{}"}}]"#, "x".repeat(300_000));
        assert_eq!(refused(&long), "tools");
    }

    #[test]
    fn model_and_messages_are_required() {
        let param = |text: &str| match read(text) {
            Err(Fault::Field { param, .. }) => param,
            other => panic!("{other:?}"),
        };
        assert_eq!(param(r#"{"messages":[{"role":"user","content":"hi"}]}"#), "model");
        assert_eq!(param(r#"{"model":"","messages":[]}"#), "model");
        assert_eq!(param(r#"{"model":5,"messages":[]}"#), "model");
        assert_eq!(param(r#"{"model":"cheap"}"#), "messages");
        assert_eq!(param(r#"{"model":"cheap","messages":[]}"#), "messages");
    }
}
