//! The service-to-service contract 1.0.0 between freeside and finn (SPEC §4). Frozen: fields may be added, never changed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Pool;

/// Sent by both sides in [`headers::CONTRACT_VERSION`]; a mismatch warns and does not block.
pub const CONTRACT_VERSION: &str = "1.0.0";
/// `iss` of freeside's tokens.
pub const ISSUER: &str = "loa-freeside";
/// `aud` of tokens for finn.
pub const AUDIENCE: &str = "loa-finn";
/// A token lives this long: `exp = iat + 60`.
pub const TOKEN_LIFE_SECONDS: i64 = 60;
/// finn's one endpoint.
pub const INFERENCE_PATH: &str = "/api/v1/inference";
/// Where freeside publishes its public keys.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// Header names, lower case as HTTP/1.1 libraries compare them.
pub mod headers {
    /// Which pool answered; sent once a provider has answered.
    pub const POOL_USED: &str = "x-pool-used";
    /// Which model answered (its id in the catalog).
    pub const MODEL_USED: &str = "x-model-used";
    /// Whose personality spoke, or `none`.
    pub const PERSONALITY_ID: &str = "x-personality-id";
    /// The request's id in both services' logs.
    pub const REQUEST_ID: &str = "x-request-id";
    /// The hold that pays.
    pub const BUDGET_RESERVATION_ID: &str = "x-budget-reservation-id";
    /// Trailer: total tokens, a cross-check of the last event.
    pub const TOKEN_COUNT: &str = "x-token-count";
    /// Why this pool and model, one stable word (agreed extension).
    pub const ROUTE_REASON: &str = "x-route-reason";
    /// [`super::CONTRACT_VERSION`].
    pub const CONTRACT_VERSION: &str = "x-contract-version";
}

/// The token's claims. Strings, as the contract says, also where a number would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Ends at, Unix seconds: `iat + 60`.
    pub exp: i64,
    /// Unique; finn refuses a second use.
    pub jti: String,
    /// `{collection slug}:{token id}`, or `""` without an agent.
    #[serde(default)]
    pub nft_id: String,
    /// `"1"` … `"9"`.
    #[serde(default)]
    pub tier: String,
    /// The hold that pays for this request.
    #[serde(default)]
    pub budget_reservation_id: String,
    /// The community whose budget pays.
    #[serde(default)]
    pub community_id: String,
    /// Pools that may answer, by name.
    #[serde(default)]
    pub allowed_pools: Vec<Pool>,
    /// Who pays, opaque (agreed extension): what finn shares among payers, one payer cannot use up for the others. A
    /// community has many payers; a token without one counts its community as one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payer: String,
}

/// One message of a conversation. `content` is OpenAI's: a string, or parts; kept as the caller sent it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// A JSON string, an array of parts, or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Box<RawValue>>,
    /// Calls that the assistant made, as OpenAI shapes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Box<RawValue>>,
    /// Which call a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The speaker's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How large a message's content is, for whoever prices it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentSize {
    /// Bytes of everything but pictures, as JSON, which is never shorter than the text that it encodes.
    pub bytes: usize,
    /// Pictures: what one counts has nothing to do with the bytes that name it.
    pub images: usize,
}

impl Message {
    /// The content's size. The one place that says what counts as a picture.
    #[must_use]
    pub fn content_size(&self) -> ContentSize {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow, rename = "type")]
            kind: Option<&'a RawValue>,
        }
        let Some(content) = self.content.as_deref().map(RawValue::get) else { return ContentSize::default() };
        let whole = ContentSize { bytes: content.len(), images: 0 };
        if !content.starts_with('[') {
            return whole;
        }
        let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(content) else { return whole };
        parts.into_iter().fold(ContentSize::default(), |size, part| {
            let kind = serde_json::from_str::<Kind<'_>>(part.get()).ok().and_then(|part| part.kind);
            match kind.map(RawValue::get) {
                Some("\"image_url\"") => ContentSize { images: size.images + 1, ..size },
                _ => ContentSize { bytes: size.bytes + part.get().len(), ..size },
            }
        })
    }
}

/// The body of `POST /api/v1/inference`. The first four fields are frozen, the others agreed extensions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InferenceRequest {
    /// The last user text; used alone only when `messages` is absent.
    pub prompt: String,
    /// The conversation; when present, it is used alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Completion tokens at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Always true in contract 1.0.0.
    #[serde(default)]
    pub stream: bool,
    /// A pool asked for; one outside the claims falls to the tier's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_pool: Option<Pool>,
    /// A model of the catalog asked for by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_model: Option<String>,
    /// Models that may answer, by id (agreed extension); absent: every model of the pool. finn knows no price, and
    /// freeside no dearer substitute for a model that was asked for by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_models: Option<Vec<String>>,
    /// OpenAI's `tools`, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Box<RawValue>>,
    /// OpenAI's `tool_choice`, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Box<RawValue>>,
    /// Sampling temperature, as the caller wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Box<RawValue>>,
    /// Nucleus sampling, as the caller wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<Box<RawValue>>,
    /// Stop sequences: OpenAI's string or array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Box<RawValue>>,
    /// OpenAI's `response_format`, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Box<RawValue>>,
    /// Parameters that one dialect knows.
    #[serde(default, skip_serializing_if = "Options::is_empty")]
    pub options: Options,
}

/// Parameters that only one dialect knows, by their names there and as the caller wrote them. A provider of that dialect
/// gets them unchanged; one of the other dialect gets the exact counterparts that exist.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// `seed`, `reasoning_effort`, `parallel_tool_calls`, ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub openai: BTreeMap<String, Box<RawValue>>,
    /// `thinking`, `top_k`, ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub anthropic: BTreeMap<String, Box<RawValue>>,
}

impl Options {
    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.openai.is_empty() && self.anthropic.is_empty()
    }

    /// Bytes of their values, for whoever prices the request.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.openai.values().chain(self.anthropic.values()).map(|value| value.get().len()).sum()
    }
}

/// Token counts. The only figures that anyone is charged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the question, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// The sum.
    pub total_tokens: u64,
}

impl Usage {
    /// A usage whose total is the sum of its parts.
    #[must_use]
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
        }
    }
}

/// One event of finn's stream: exactly one terminal (`done` or `error`), last. Unknown types are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A piece of the answer. An empty one is a sign of life: the model thinks, or has named the reason of its end.
    Token {
        /// Text to append.
        #[serde(borrow)]
        content: Cow<'a, str>,
        /// Metered so far, this piece included.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// The model has said why it ends; only the final figures are still to come (agreed extension).
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        finish_reason: Option<Cow<'a, str>>,
    },
    /// A piece of a tool call (agreed extension): `name` and `id` come first, `arguments` in pieces.
    ToolCall {
        /// Which call of this answer.
        index: u32,
        /// The call's id, on its first piece.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        id: Option<Cow<'a, str>>,
        /// The tool's name, on its first piece.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        name: Option<Cow<'a, str>>,
        /// JSON text to append.
        #[serde(borrow, default)]
        arguments: Cow<'a, str>,
        /// Metered so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// The answer is complete.
    Done {
        /// The final figures.
        usage: Usage,
        /// The catalog id of the model that answered.
        #[serde(borrow)]
        model: Cow<'a, str>,
        /// OpenAI's: `stop`, `length`, `tool_calls`, `content_filter`.
        #[serde(borrow)]
        finish_reason: Cow<'a, str>,
        /// The provider's own figures when they differ in origin from `usage` (both are recorded).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own_count: Option<Usage>,
        /// Which of the caller's stop sequences ended the answer, where the provider says so (agreed extension).
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        stop_sequence: Option<Cow<'a, str>>,
    },
    /// The answer broke off.
    Error {
        /// Stable word, for example `provider_error`, `provider_timeout`.
        #[serde(borrow)]
        code: Cow<'a, str>,
        /// For a person.
        #[serde(borrow)]
        message: Cow<'a, str>,
        /// Metered up to the break.
        usage: Usage,
        /// The model that broke off.
        #[serde(borrow)]
        model: Cow<'a, str>,
    },
    /// An event of a later minor version.
    #[serde(other)]
    Unknown,
}

impl<'a> Event<'a> {
    /// Reads one event's data. A piece of text, which nearly every event is, is read directly: whatever else it may be,
    /// serde first keeps all of its fields until it has seen the tag.
    pub fn parse(data: &'a str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Tag {
            Token,
        }
        #[derive(Deserialize)]
        struct Token<'a> {
            #[serde(rename = "type")]
            _tag: Tag,
            #[serde(borrow)]
            content: Cow<'a, str>,
            #[serde(default)]
            usage: Option<Usage>,
            #[serde(borrow, default)]
            finish_reason: Option<Cow<'a, str>>,
        }
        match serde_json::from_str(data) {
            Ok(Token { _tag: Tag::Token, content, usage, finish_reason }) => {
                Ok(Self::Token { content, usage, finish_reason })
            }
            Err(_) => serde_json::from_str(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_counts_as_one_and_its_address_nothing() {
        let of = |content: &str| {
            let message: Message = serde_json::from_str(&format!(r#"{{"role":"user","content":{content}}}"#))
                .expect("a message");
            let ContentSize { bytes, images } = message.content_size();
            (bytes, images)
        };
        let text = r#"{"type":"text","text":"abc"}"#;
        let image = format!(r#"{{"type":"image_url","image_url":{{"url":"data:{}"}}}}"#, "A".repeat(5_000));
        assert_eq!(of("null"), (0, 0));
        assert_eq!(of("\"abc\""), (5, 0));
        assert_eq!(of(&format!("[{text}]")), (text.len(), 0));
        assert_eq!(of(&format!("[{image},{text},{image}]")), (text.len(), 2));
        assert_eq!(of(&format!("[{image}, 7]")), (1, 1), "what is no part is text");
    }

    #[test]
    fn an_event_reads_the_same_directly_and_by_its_tag() {
        for data in [
            r#"{"type":"token","content":"Hi","usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#,
            r#"{"content":"a \"quoted\" \u00fc","type":"token","of a later version":[1]}"#,
            r#"{"type":"token","content":"","usage":null}"#,
            r#"{"type":"token","content":"","finish_reason":"stop"}"#,
            r#"{"type":"token"}"#,
            r#"{"type":"token","content":7}"#,
            r#"{"type":"tool_call","index":0,"id":"call_1","name":"f","arguments":""}"#,
            r#"{"type":"done","usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4},"model":"m","finish_reason":"stop"}"#,
            r#"{"type":"of a later version","content":"not text for the reader"}"#,
            r#"{"content":"no tag"}"#,
            "[]",
            "",
        ] {
            let by_tag = serde_json::from_str::<Event<'_>>(data);
            assert_eq!(Event::parse(data).ok(), by_tag.ok(), "{data}");
        }
    }
}
