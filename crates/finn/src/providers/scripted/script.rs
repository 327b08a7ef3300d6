//! Writing the script of one answer from the request: the text or tool call, the pace, and where it fails.

use std::time::Duration;

use serde_json::Value;
use types::s2s::{InferenceRequest, Usage};

use crate::metering;
use crate::prompt;
use crate::providers::Call;
use crate::providers::scripted::{Commands, Scripted};

/// One chunk is one token by our own count.
const CHUNK_BYTES: usize = 4;
/// So much of the prompt is echoed.
const ECHO_CHARS: usize = 80;
/// A directive may ask for this many tokens and no more.
const MAX_TOKENS: usize = 100_000;
/// A directive may slow the answer down to this.
const MAX_PACE_MS: u64 = 60_000;
const LABEL: &str = "[scripted model, no AI] ";
const FILLER: &str =
    "This text was made by a small script so that the whole path can be tried without a key. ";

/// What breaks an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    Stall,
    /// A stall that lasted too long.
    Silence,
    Cut,
    Malformed,
    Error,
}

/// An answer, before it is played.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) fails_with: Option<u16>,
    pub(super) first: Duration,
    pub(super) pace: Duration,
    pub(super) chunks: Vec<String>,
    pub(super) tool: Option<(String, String)>,
    pub(super) breaks: Option<(usize, Break)>,
    pub(super) usage: Option<Usage>,
    pub(super) finish_reason: &'static str,
}

pub(super) fn write(call: Call<'_>, scripted: Scripted) -> Script {
    let said = prompt::last_user_text(call.request);
    let (orders, ordered) = match scripted.commands {
        Commands::Obeyed => (Orders::read(&said, scripted.pace), ordered_call(&said)),
        Commands::Ignored => (Orders::none(scripted.pace), None),
    };
    let tool = ordered.or_else(|| tool_call(call.request, &said));
    let (text, finish_reason) = if tool.is_some() {
        (String::new(), "tool_calls")
    } else {
        let limit = usize::try_from(call.max_tokens).unwrap_or(usize::MAX);
        answer(call.request, &said, orders.tokens, limit)
    };
    let chunks = chunks(&text);
    let called =
        tool.as_ref().map_or(0, |(name, arguments)| metering::quarters(name) + metering::quarters(arguments));
    let written = metering::tokens(metering::quarters(&text) + called);
    let usage = Usage::new(
        metering::tokens(prompt::quarters(call.request)),
        if tool.is_some() { written } else { written.min(call.max_tokens.into()) },
    );
    Script {
        fails_with: orders.fails_with,
        first: orders.first.unwrap_or(orders.pace),
        pace: orders.pace,
        chunks,
        tool,
        breaks: orders.breaks,
        usage: (!orders.no_usage).then_some(usage),
        finish_reason,
    }
}

struct Orders {
    fails_with: Option<u16>,
    tokens: Option<usize>,
    pace: Duration,
    first: Option<Duration>,
    breaks: Option<(usize, Break)>,
    no_usage: bool,
}

impl Orders {
    fn none(pace: Duration) -> Self {
        Self { fails_with: None, tokens: None, pace, first: None, breaks: None, no_usage: false }
    }

    fn read(said: &str, pace: Duration) -> Self {
        let mut orders = Self::none(pace);
        let mut words = said.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let mut number = || words.peek().and_then(|next| next.parse::<u64>().ok());
            let count = |number: Option<u64>| usize::try_from(number.unwrap_or(0)).unwrap_or(usize::MAX);
            let millis = |number: Option<u64>| Duration::from_millis(number.unwrap_or(0).min(MAX_PACE_MS));
            match word {
                "!fail" => {
                    let status = number().and_then(|status| u16::try_from(status).ok());
                    orders.fails_with = Some(status.filter(|status| *status >= 400).unwrap_or(500));
                }
                "!stall" => orders.breaks = Some((count(number()), Break::Stall)),
                "!cut" => orders.breaks = Some((count(number()), Break::Cut)),
                "!malformed" => orders.breaks = Some((count(number()), Break::Malformed)),
                "!error" => orders.breaks = Some((count(number()), Break::Error)),
                "!tokens" => orders.tokens = Some(count(number()).min(MAX_TOKENS)),
                "!pace" => orders.pace = millis(number()),
                "!slow-first" => orders.first = Some(millis(number())),
                "!no-usage" => orders.no_usage = true,
                _ => {}
            }
        }
        orders
    }
}

/// The text, cut at the limit, and how it ends.
fn answer(
    request: &InferenceRequest,
    said: &str,
    tokens: Option<usize>,
    limit: usize,
) -> (String, &'static str) {
    let mut text = LABEL.to_owned();
    if let Some(result) = prompt::last_tool_result(request) {
        text.push_str("The tool said: ");
        text.extend(result.chars().take(ECHO_CHARS));
    } else {
        text.push_str("You wrote: ");
        text.extend(said.chars().take(ECHO_CHARS));
    }
    text.push_str(". ");
    text.push_str(FILLER.trim_end());
    let wanted = tokens.unwrap_or(text.len().div_ceil(CHUNK_BYTES));
    let bytes = wanted.min(limit).saturating_mul(CHUNK_BYTES);
    while tokens.is_some() && text.len() < bytes {
        text.push(' ');
        text.push_str(FILLER.trim_end());
    }
    if text.len() > bytes {
        let cut = (0..=bytes).rev().find(|cut| text.is_char_boundary(*cut)).unwrap_or(0);
        text.truncate(cut);
    }
    (text, if wanted > limit { "length" } else { "stop" })
}

fn chunks(text: &str) -> Vec<String> {
    let mut chunks = Vec::with_capacity(text.len() / CHUNK_BYTES + 1);
    let mut rest = text;
    while !rest.is_empty() {
        let end = (CHUNK_BYTES.min(rest.len())..=rest.len()).find(|end| rest.is_char_boundary(*end));
        let (chunk, tail) = rest.split_at(end.unwrap_or(rest.len()));
        chunks.push(chunk.to_owned());
        rest = tail;
    }
    chunks
}

/// The call that a directive commands.
fn ordered_call(said: &str) -> Option<(String, String)> {
    let (_, order) = said.split_once("!tool ")?;
    let line = order.lines().next().unwrap_or("");
    let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let arguments = Some(arguments.trim()).filter(|text| !text.is_empty()).unwrap_or("{}");
    Some((name.to_owned(), arguments.to_owned()))
}

/// The call to make: by demand, or because the text names a tool.
fn tool_call(request: &InferenceRequest, said: &str) -> Option<(String, String)> {
    let tools: Vec<Value> = serde_json::from_str(request.tools.as_ref()?.get()).ok()?;
    let choice: Value = request
        .tool_choice
        .as_ref()
        .and_then(|choice| serde_json::from_str(choice.get()).ok())
        .unwrap_or(Value::Null);
    if choice == "none" || prompt::last_tool_result(request).is_some() {
        return None;
    }
    let named = |tool: &&Value| tool["function"]["name"].as_str().is_some_and(|name| said.contains(name));
    let tool = match choice["function"]["name"].as_str() {
        Some(demanded) => tools.iter().find(|tool| tool["function"]["name"] == demanded),
        None if choice == "required" => tools.iter().find(named).or(tools.first()),
        None => tools.iter().find(named),
    }?;
    let name = tool["function"]["name"].as_str()?;
    Some((name.to_owned(), example(&tool["function"]["parameters"]).to_string()))
}

/// Arguments that a schema's required properties accept, most of the time.
fn example(schema: &Value) -> Value {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let pairs = required.iter().filter_map(Value::as_str).map(|name| {
        let property = &schema["properties"][name];
        let value = match (property["enum"].get(0), property["type"].as_str()) {
            (Some(first), _) => first.clone(),
            (None, Some("integer" | "number")) => 1.into(),
            (None, Some("boolean")) => true.into(),
            (None, Some("array")) => Value::Array(Vec::new()),
            (None, Some("object")) => example(property),
            _ => "example".into(),
        };
        (name.to_owned(), value)
    });
    pairs.collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(json: &str, max_tokens: u32) -> Script {
        script_with(Commands::Obeyed, json, max_tokens)
    }

    fn script_with(commands: Commands, json: &str, max_tokens: u32) -> Script {
        let request: InferenceRequest = serde_json::from_str(json).expect("a request");
        let scripted = Scripted { pace: Duration::from_millis(20), commands };
        write(Call { upstream_model: "echo", request: &request, max_tokens }, scripted)
    }

    #[test]
    fn outside_development_commands_are_text() {
        let json = r#"{"prompt":"!fail 500 !pace 0 !tokens 3 !no-usage !cut 1 !tool rm {}"}"#;
        let script = script_with(Commands::Ignored, json, 100);
        assert_eq!((script.fails_with, script.breaks, script.tool), (None, None, None));
        assert_eq!(script.pace, Duration::from_millis(20));
        assert!(script.usage.is_some() && script.chunks.concat().contains("!fail 500"));
        assert_eq!(super::tests::script(json, 100).fails_with, Some(500));
    }

    #[test]
    fn the_answer_is_labelled_and_as_long_as_asked() {
        let script = script(r#"{"prompt":"hi !tokens 40 !pace 0"}"#, 100);
        assert_eq!(script.chunks.len(), 40);
        assert!(script.chunks.concat().starts_with(LABEL));
        assert_eq!(script.usage.map(|usage| usage.completion_tokens), Some(40));
        assert_eq!((script.pace, script.finish_reason), (Duration::ZERO, "stop"));
        let cut = super::tests::script(r#"{"prompt":"hällo wörld ünd sö wäiter"}"#, 10);
        assert_eq!(cut.finish_reason, "length");
        assert!(cut.chunks.concat().len() <= 40);
    }

    #[test]
    fn tools_are_called_when_named_and_not_after_their_result() {
        let tools = r#""tools":[{"type":"function","function":{"name":"get_weather","parameters":
            {"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}}}]"#;
        let named = script(&format!(r#"{{"prompt":"use get_weather please",{tools}}}"#), 100);
        assert_eq!(named.tool, Some(("get_weather".into(), r#"{"city":"example","days":1}"#.into())));
        assert_eq!(named.finish_reason, "tool_calls");
        let ordered = script(r#"{"prompt":"!tool get_weather {\"city\":\"Paris\"}\nmore"}"#, 100);
        assert_eq!(ordered.tool, Some(("get_weather".into(), r#"{"city":"Paris"}"#.into())));
        let after = script(
            &format!(
                r#"{{"prompt":"","messages":[{{"role":"user","content":"use get_weather"}},
                {{"role":"assistant","tool_calls":[]}},{{"role":"tool","tool_call_id":"c","content":"sun"}}],{tools}}}"#
            ),
            100,
        );
        assert_eq!(after.tool, None);
        assert!(after.chunks.concat().contains("sun"));
    }
}
