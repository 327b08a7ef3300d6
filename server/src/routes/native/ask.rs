//! Reads the bodies of our own inference doors into the domain's [`Ask`].

use domain::turn::Ask;
use serde::Deserialize;
use types::s2s::Options;
use utoipa::ToSchema;

use super::Form;
use crate::routes::conversation;
use crate::routes::exchange::Asked;
use crate::routes::fault::Fault;
use crate::routes::fields::{self, Field, Shape};

/// The tier's default pool.
const DEFAULT_MODEL: &str = "native";
/// How a model name says that it is an agent.
const AGENT: &str = "agent:";

/// A request for an answer. Fields that are not listed are ignored.
#[derive(Deserialize, ToSchema)]
pub(crate) struct InferenceBody<'a> {
    /// The question; with `messages`, only they count.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "Say hello.")]
    prompt: Field<'a>,
    /// The conversation, as OpenAI shapes it.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Object>>, max_items = 2048)]
    messages: Field<'a>,
    /// A pool, `native` (the default), a model id of the catalog, or `agent:{slug}:{token}`.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    model: Field<'a>,
    /// Completion tokens at most.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 16_777_216)]
    max_tokens: Field<'a>,
    /// `false`: answer with one object. The default is a stream.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>)]
    stream: Field<'a>,
    /// Functions that the model may call, as OpenAI shapes them.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Field<'a>,
    /// `auto`, `none`, `required`, or one function.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    tool_choice: Field<'a>,
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
    /// The answer's format, as OpenAI shapes it.
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

/// A call of an agent: `{prompt, model?}` or `{agent, messages, modelAlias?}`.
#[derive(Deserialize, ToSchema)]
pub(crate) struct InvokeBody<'a> {
    /// The question.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "Say hello.")]
    prompt: Field<'a>,
    /// The conversation, as OpenAI shapes it.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Object>>, max_items = 2048)]
    messages: Field<'a>,
    /// `{slug}:{token}`, with or without `agent:` before it.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    agent: Field<'a>,
    /// A pool, `native` (the default), or a model id.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    model: Field<'a>,
    /// The same as `model`, for callers that know it by this name; without an agent.
    #[serde(borrow, rename = "modelAlias")]
    #[schema(value_type = Option<String>)]
    model_alias: Field<'a>,
    /// Completion tokens at most.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 16_777_216)]
    max_tokens: Field<'a>,
    /// Answer as server-sent events.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>)]
    stream: Field<'a>,
}

/// What the caller wants, and in which form when the body says so.
#[derive(Debug)]
pub(crate) struct Wish {
    pub ask: Ask,
    pub form: Option<Form>,
}

/// Judges the body of `POST /api/v1/inference`.
pub(crate) fn inference(body: &InferenceBody<'_>, asked: &Asked, clamp: bool) -> Result<Wish, Fault> {
    let model = fields::model(body.model)?.unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let form = form(body.stream)?;
    let tools = fields::tools(body.tools)?;
    let tool_choice = fields::tool_choice(body.tool_choice)?;
    let ask = Ask {
        max_tokens: fields::completion_tokens("max_tokens", body.max_tokens)?,
        options: options(body, tools.is_some())?,
        // A choice among no tools is an error at some providers and meaningless at all.
        tool_choice: tool_choice.filter(|_| tools.is_some()),
        tools,
        temperature: fields::number("temperature", body.temperature, 0..=2)?,
        top_p: fields::number("top_p", body.top_p, 0..=1)?,
        stop: fields::stop("stop", body.stop)?,
        response_format: fields::object("response_format", body.response_format)?,
        clamp,
        ..Ask::new(asked.id.to_string(), model)
    };
    Ok(Wish { ask: said(ask, body.prompt, body.messages)?, form })
}

/// The parameters that pass to a provider of OpenAI's dialect.
fn options(body: &InferenceBody<'_>, has_tools: bool) -> Result<Options, Fault> {
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

/// Judges the body of `POST /api/agents/invoke`.
pub(crate) fn invoke(body: &InvokeBody<'_>, asked: &Asked, clamp: bool) -> Result<Wish, Fault> {
    let model = match (body.agent, body.model.or(body.model_alias)) {
        (Some(agent), _) => agent_model(&fields::text("agent", agent)?)?,
        (None, named) => fields::model(named)?.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
    };
    let form = form(body.stream)?;
    let max_tokens = fields::completion_tokens("max_tokens", body.max_tokens)?;
    let ask = Ask { max_tokens, clamp, ..Ask::new(asked.id.to_string(), model) };
    Ok(Wish { ask: said(ask, body.prompt, body.messages)?, form })
}

/// An agent's model name. The agent's own routing chooses the pool, so an alias beside it decides nothing.
fn agent_model(agent: &str) -> Result<String, Fault> {
    let name = if agent.starts_with(AGENT) { agent.to_owned() } else { format!("{AGENT}{agent}") };
    let raw = conversation::raw_text(&name);
    match fields::model(Some(&raw)) {
        Ok(Some(name)) => Ok(name),
        Ok(None) | Err(_) => Err(Fault::field("agent", "This has to be {slug}:{token}.")),
    }
}

fn form(raw: Field<'_>) -> Result<Option<Form>, Fault> {
    let stream = fields::flag("stream", raw)?;
    Ok(raw.map(|_| if stream { Form::Stream } else { Form::Whole }))
}

/// Adds what was said: the messages when there are any, else the prompt.
fn said(ask: Ask, prompt: Field<'_>, messages: Field<'_>) -> Result<Ask, Fault> {
    if let Some(messages) = messages {
        let conversation = conversation::read(messages)?;
        return Ok(Ask { prompt: conversation.prompt, messages: conversation.messages, ..ask });
    }
    let raw = prompt.ok_or_else(|| Fault::field("prompt", "A prompt or messages are required."))?;
    let prompt = fields::text("prompt", raw)?;
    if prompt.is_empty() {
        return Err(Fault::field("prompt", "This may not be empty."));
    }
    Ok(Ask { prompt, ..ask })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::body::parse;

    fn asked() -> Asked {
        Asked { id: "req_1".into(), ip: [127, 0, 0, 1].into(), local: true }
    }

    fn infer(text: &str) -> Result<Wish, Fault> {
        parse(text.as_bytes()).and_then(|body| inference(&body, &asked(), true))
    }

    fn call(text: &str) -> Result<Wish, Fault> {
        parse(text.as_bytes()).and_then(|body| invoke(&body, &asked(), false))
    }

    #[test]
    fn a_prompt_alone_is_enough() {
        let wish = infer(r#"{"prompt":"hi"}"#).expect("sound");
        assert_eq!((wish.ask.model.as_str(), wish.ask.prompt.as_str()), ("native", "hi"));
        assert!(wish.ask.messages.is_empty() && wish.ask.clamp && wish.form.is_none());
        let wish = infer(r#"{"messages":[{"role":"user","content":"yo"}],"stream":false}"#).expect("sound");
        assert_eq!((wish.ask.prompt.as_str(), wish.form), ("yo", Some(Form::Whole)));
        for bad in [
            "{}",
            r#"{"prompt":""}"#,
            r#"{"prompt":3}"#,
            r#"{"prompt":"x","max_tokens":0}"#,
            r#"{"messages":[]}"#,
        ] {
            assert!(infer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_agent_is_named_in_either_body() {
        let model = |text: &str| call(text).expect(text).ask.model;
        assert_eq!(model(r#"{"prompt":"hi","model":"cheap"}"#), "cheap");
        let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
        assert_eq!(
            model(&format!(r#"{{"agent":"demo:7",{messages},"modelAlias":"native"}}"#)),
            "agent:demo:7"
        );
        assert_eq!(model(&format!(r#"{{"agent":"agent:demo:7",{messages}}}"#)), "agent:demo:7");
        assert_eq!(model(&format!(r#"{{{messages},"modelAlias":"standard"}}"#)), "standard");
        assert_eq!(model(r#"{"prompt":"hi"}"#), "native");
        assert!(call(r#"{"agent":3,"prompt":"hi"}"#).is_err());
    }
}
