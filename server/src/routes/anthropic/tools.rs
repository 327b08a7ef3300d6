//! Anthropic's tools and their choice in OpenAI's words.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::routes::fault::Fault;
use crate::routes::fields::{self, Field};
use crate::routes::limits;

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
    #[serde(borrow)]
    input_schema: Field<'a>,
    #[serde(borrow)]
    cache_control: Field<'a>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    disable_parallel_tool_use: Field<'a>,
}

#[derive(Serialize)]
struct OpenAiTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
    /// For a provider of this dialect; one of OpenAI's is not given it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Field<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Field<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Field<'a>,
}

/// The tools as OpenAI shapes them; an empty list reads as none.
pub(super) fn translate(raw: &RawValue) -> Result<Option<Box<RawValue>>, Fault> {
    fields::tools_fit(raw)?;
    let list = fields::list::<{ limits::MESSAGES }>("tools", raw)?;
    let mut tools = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        let at = |field: &str| format!("tools[{index}].{field}");
        let tool: Tool<'_> = serde_json::from_str(raw.get())
            .map_err(|_| Fault::field(format!("tools[{index}]"), "This has to be an object."))?;
        if tool.kind.is_some_and(|kind| kind.get() != "\"custom\"") {
            let message = "Only tools of your own are offered: leave the type out and give an input_schema.";
            return Err(Fault::field(at("type"), message));
        }
        let name = string(tool.name).ok_or_else(|| Fault::field(at("name"), "A tool needs a name."))?;
        let schema = tool.input_schema.filter(|schema| schema.get().starts_with('{'));
        if schema.is_none() {
            return Err(Fault::field(at("input_schema"), "A tool needs a JSON schema here."));
        }
        let function = Function { name, description: string(tool.description), parameters: schema };
        let cache_control = super::content::cache_control(&format!("tools[{index}]"), tool.cache_control)?;
        tools.push(OpenAiTool { kind: "function", function, cache_control });
    }
    Ok((!tools.is_empty()).then(|| raw_of(&tools)))
}

/// The choice as OpenAI shapes it.
pub(super) fn choice(raw: &RawValue) -> Result<Box<RawValue>, Fault> {
    let wrong = || {
        Fault::field("tool_choice", "This has to be an object of type auto, any, none, or tool with a name.")
    };
    let choice: Choice<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    match (choice.kind.map(RawValue::get), string(choice.name)) {
        (Some("\"auto\""), _) => Ok(raw_of("auto")),
        (Some("\"any\""), _) => Ok(raw_of("required")),
        (Some("\"none\""), _) => Ok(raw_of("none")),
        (Some("\"tool\""), Some(name)) => {
            let function = Function { name, description: None, parameters: None };
            Ok(raw_of(&OpenAiTool { kind: "function", function, cache_control: None }))
        }
        _ => Err(wrong()),
    }
}

/// Whether the choice allows one call at a time only.
pub(super) fn is_one_at_a_time(raw: &RawValue) -> Result<bool, Fault> {
    let choice = serde_json::from_str::<Choice<'_>>(raw.get()).ok();
    fields::flag(
        "tool_choice.disable_parallel_tool_use",
        choice.and_then(|choice| choice.disable_parallel_tool_use),
    )
}

fn string(raw: Field<'_>) -> Field<'_> {
    raw.filter(|raw| raw.get().starts_with('"'))
}

fn raw_of(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("our wire shapes serialise into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_has_its_counterpart() {
        for (theirs, ours) in [
            (r#"{"type":"auto","disable_parallel_tool_use":true}"#, "\"auto\""),
            (r#"{"type":"any"}"#, "\"required\""),
            (r#"{"type":"none"}"#, "\"none\""),
            (r#"{"type":"tool","name":"f"}"#, r#"{"type":"function","function":{"name":"f"}}"#),
        ] {
            let raw = RawValue::from_string(theirs.to_owned()).expect("JSON");
            assert_eq!(choice(&raw).expect("known").get(), ours);
        }
        let raw = RawValue::from_string(r#"{"type":"tool"}"#.to_owned()).expect("JSON");
        assert!(choice(&raw).is_err());
    }
}
