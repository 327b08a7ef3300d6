//! OpenAI's chat completions, streamed: OpenAI itself, vLLM, llama.cpp, Ollama and their kin.
//!
//! The caller's messages, tools, sampling settings and the dialect's other parameters pass through as they were written.
//! Figures are always asked for (`stream_options.include_usage`). `max_completion_tokens` and the `developer` role are spoken to OpenAI alone: the
//! compatible servers know `max_tokens` and `system`.

mod chunk;
mod foreign;

use std::borrow::Cow;
use std::collections::BTreeMap;

use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use types::catalog::ImageUrls;
use types::s2s::Message;

use super::upstream::{self, Dialect};
use super::{Call, Upstream};
use crate::failure::Failure;
use crate::prompt;
use crate::secret::Secret;
use client::Client;

pub use chunk::Stream;
pub(super) use chunk::finish_reason;

/// The host whose own dialect differs from what everybody copied.
const OPENAI_HOST: &str = "api.openai.com";

/// One server that speaks the dialect.
pub struct Openai {
    client: Client,
    endpoint: Uri,
    headers: HeaderMap,
    /// The original, which knows newer words than its copies.
    original: bool,
    takes_https_images: bool,
}

/// A base URL or key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the base URL is not one, or the key holds characters that no header can carry")]
pub struct BadSettings;

impl Openai {
    /// A provider at `base_url` (with the version folder), with a key unless the server needs none.
    /// Without `image_urls`, only the vendor's own host is given addresses of pictures.
    pub fn new(
        client: Client,
        base_url: &str,
        key: Option<&Secret>,
        image_urls: Option<ImageUrls>,
    ) -> Result<Self, BadSettings> {
        let endpoint: Uri = format!("{}/chat/completions", base_url.trim_end_matches('/'))
            .parse()
            .map_err(|_| BadSettings)?;
        if endpoint.scheme().is_none() || endpoint.authority().is_none() {
            return Err(BadSettings);
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| BadSettings)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let original = endpoint.host() == Some(OPENAI_HOST);
        let takes_https_images = image_urls.map_or(original, |urls| urls == ImageUrls::Https);
        Ok(Self { client, endpoint, headers, original, takes_https_images })
    }

    pub(super) async fn open(&self, call: Call<'_>) -> Result<Box<Upstream>, Failure> {
        prompt::check_images(call.request, self.takes_https_images).map_err(Failure::Unsupported)?;
        let body = serde_json::to_vec(&body(call, self.original)).expect("texts and raw JSON serialise");
        let dialect = Dialect::Openai(Stream::of(call.request));
        upstream::open(&self.client, &self.endpoint, &self.headers, body, dialect).await
    }
}

#[derive(Serialize)]
struct Body<'r> {
    model: &'r str,
    messages: Vec<OutMessage<'r>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Cow<'r, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'r RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'r RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'r RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'r RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'r RawValue>,
    #[serde(flatten)]
    options: &'r BTreeMap<String, Box<RawValue>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct OutMessage<'r> {
    role: &'r str,
    /// Required also where it is null: an assistant's message that only calls tools.
    content: Content<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Cow<'r, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'r str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'r> {
    Raw(Option<Cow<'r, RawValue>>),
    Text(Cow<'r, str>),
}

fn body(call: Call<'_>, is_openai: bool) -> Body<'_> {
    let request = call.request;
    let messages = match &request.messages {
        Some(messages) => messages.iter().map(|message| out_message(message, is_openai)).collect(),
        None => vec![OutMessage {
            role: "user",
            content: Content::Text(Cow::Borrowed(&request.prompt)),
            tool_calls: None,
            tool_call_id: None,
            name: None,
        }],
    };
    // A choice among no tools is an error at several servers and means nothing at the others.
    let tools = request.tools.as_deref().filter(|tools| tools.get().contains('{'));
    Body {
        model: call.upstream_model,
        messages,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        max_tokens: (!is_openai).then_some(call.max_tokens),
        max_completion_tokens: is_openai.then_some(call.max_tokens),
        tools: tools.map(foreign::without_cache_control),
        tool_choice: request.tool_choice.as_deref().filter(|_| tools.is_some()),
        temperature: request.temperature.as_deref(),
        top_p: request.top_p.as_deref(),
        stop: request.stop.as_deref(),
        response_format: request.response_format.as_deref(),
        options: &request.options.openai,
    }
}

fn out_message(message: &Message, is_openai: bool) -> OutMessage<'_> {
    OutMessage {
        role: if !is_openai && message.role == "developer" { "system" } else { &message.role },
        content: Content::Raw(message.content.as_deref().map(foreign::without_cache_control)),
        tool_calls: message.tool_calls.as_deref().map(foreign::without_cache_control),
        tool_call_id: message.tool_call_id.as_deref(),
        name: message.name.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::s2s::InferenceRequest;

    fn json(request: &InferenceRequest, is_openai: bool) -> serde_json::Value {
        let call = Call { upstream_model: "m", request, max_tokens: 7 };
        serde_json::to_value(body(call, is_openai)).expect("serialises")
    }

    #[test]
    fn openai_alone_hears_its_newer_words() {
        let request: InferenceRequest = serde_json::from_str(
            r#"{"prompt":"x","messages":[{"role":"developer","content":"be brief"},
                {"role":"assistant","tool_calls":[{"id":"c"}]},{"role":"tool","tool_call_id":"c","content":"4"}],
                "temperature":0.50,"tools":[]}"#,
        )
        .expect("a request");
        let others = json(&request, false);
        assert_eq!(others["max_tokens"], 7);
        assert_eq!(others.get("max_completion_tokens"), None);
        assert_eq!(others["messages"][0]["role"], "system");
        assert_eq!(others["messages"][1]["content"], serde_json::Value::Null);
        assert_eq!(others["messages"][2]["tool_call_id"], "c");
        assert_eq!(others["stream_options"]["include_usage"], true);
        let openai = json(&request, true);
        assert_eq!(openai["max_completion_tokens"], 7);
        assert_eq!(openai.get("max_tokens"), None);
        assert_eq!(openai["messages"][0]["role"], "developer");
    }

    #[test]
    fn tools_and_their_choice_go_together_and_other_parameters_as_they_are() {
        let request: InferenceRequest = serde_json::from_str(
            r#"{"prompt":"x","tools":[ ],"tool_choice":"none",
                "options":{"openai":{"seed":7,"logit_bias":{"5":-100}},"anthropic":{"top_k":5}}}"#,
        )
        .expect("a request");
        let body = json(&request, true);
        assert_eq!((body.get("tools"), body.get("tool_choice")), (None, None));
        assert_eq!((&body["seed"], &body["logit_bias"]["5"]), (&7.into(), &(-100).into()));
        assert_eq!(body.get("top_k"), None);
    }

    #[test]
    fn a_prompt_alone_is_one_user_message() {
        let request = InferenceRequest { prompt: "hi \"there\"".into(), ..InferenceRequest::default() };
        let body = json(&request, false);
        assert_eq!(body["messages"], serde_json::json!([{"role":"user","content":"hi \"there\""}]));
        assert_eq!(body.get("tools"), None);
    }
}
