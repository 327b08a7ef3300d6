//! Reads an OpenAPI 3.1 document as far as the reference shows it. What is not there reads as empty.

use std::collections::BTreeSet;

use serde_json::Value;

/// Where shapes lie in the document.
const SHAPES: &str = "#/components/schemas/";

/// A group of operations.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Its word in addresses.
    pub(super) name: String,
    /// Its title.
    pub(super) title: String,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation<'a> {
    /// In upper case.
    pub(super) method: String,
    pub(super) path: &'a str,
    pub(super) id: &'a str,
    pub(super) summary: &'a str,
    pub(super) value: &'a Value,
}

/// One name with what it holds.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) about: String,
}

/// What a value may be, in words; `shape` is the named one among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) before: String,
    pub(super) shape: Option<String>,
    pub(super) after: String,
}

impl Kind {
    fn plain(text: impl Into<String>) -> Self {
        Self { before: text.into(), ..Self::default() }
    }

    fn with(self, before: &str, after: &str) -> Self {
        if self.shape.is_some() {
            Self {
                before: format!("{before}{}", self.before),
                after: format!("{}{after}", self.after),
                ..self
            }
        } else {
            Self::plain(format!("{before}{}{after}", self.before))
        }
    }
}

/// The groups, in the document's order.
pub(super) fn groups(document: &Value) -> Vec<Group> {
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.map(|tag| {
        let name = text(&tag["name"]).to_owned();
        let title = tag["description"].as_str().unwrap_or(&name).to_owned();
        Group { name, title }
    })
    .collect()
}

/// The operations of a group, in the order of their paths.
pub(super) fn operations<'a>(document: &'a Value, group: &str) -> Vec<Operation<'a>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, value)| Operation {
            method: method.to_uppercase(),
            path,
            id: text(&value["operationId"]),
            summary: text(&value["summary"]),
            value,
        })
    });
    all.filter(|operation| list(&operation.value["tags"]).any(|tag| tag == group)).collect()
}

/// An operation's parameters.
pub(super) fn parameters(operation: &Value) -> Vec<Field> {
    list(&operation["parameters"])
        .map(|parameter| Field {
            name: text(&parameter["name"]).to_owned(),
            kind: Kind::plain(format!("{}, {}", kind(&parameter["schema"]).before, text(&parameter["in"]))),
            is_required: parameter["required"] == true,
            about: text(&parameter["description"]).to_owned(),
        })
        .collect()
}

/// The first content of a body or a response.
pub(super) fn content(value: &Value) -> Option<(&str, &Value)> {
    let (kind, content) = value["content"].as_object()?.iter().next()?;
    Some((kind, &content["schema"]))
}

/// The fields of a shape.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let required: BTreeSet<&str> = list(&schema["required"]).map(text).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| Field {
            name: name.clone(),
            kind: kind(property),
            is_required: required.contains(name.as_str()),
            about: text(&property["description"]).to_owned(),
        })
        .collect()
}

/// The shape of that name.
pub(super) fn shape<'a>(document: &'a Value, name: &str) -> &'a Value {
    &document["components"]["schemas"][name]
}

/// The names of all shapes that `value` needs, those of the shapes it names included.
pub(super) fn shapes_of(document: &Value, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(named)
                && found.insert(name.to_owned())
            {
                shapes_of(document, shape(document, name), found);
            }
            map.values().for_each(|value| shapes_of(document, value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| shapes_of(document, value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a value of this schema may be.
pub(super) fn kind(schema: &Value) -> Kind {
    if let Some(name) = schema["$ref"].as_str().and_then(named) {
        return Kind { shape: Some(name.to_owned()), ..Kind::default() };
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        let kinds: Vec<&Value> = list(&schema[several]).collect();
        let or_null = if kinds.iter().any(|kind| kind["type"] == "null") { " or null" } else { "" };
        if let Some(first) = kinds.into_iter().find(|kind| kind["type"] != "null") {
            return kind(first).with("", or_null);
        }
    }
    let (name, or_null) = match &schema["type"] {
        Value::Array(names) => {
            let name = names.iter().map(text).find(|name| *name != "null").unwrap_or("null");
            (name, if names.iter().any(|name| name == "null") { " or null" } else { "" })
        }
        name => (text(name), ""),
    };
    let kind = match name {
        "array" => kind(&schema["items"]).with("list of ", ""),
        "object" if schema["additionalProperties"].is_object() => {
            kind(&schema["additionalProperties"]).with("map to ", "")
        }
        "" => Kind::plain("any"),
        name => Kind::plain(name),
    };
    let words: Vec<&str> = list(&schema["enum"]).map(text).collect();
    let kind = if words.is_empty() { kind } else { Kind::plain(words.join(" | ")) };
    kind.with("", or_null)
}

fn named(reference: &str) -> Option<&str> {
    reference.strip_prefix(SHAPES)
}

/// A text, or nothing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: &Value) -> String {
        let Kind { before, shape, after } = kind(schema);
        format!("{before}{}{after}", shape.map_or_else(String::new, |name| format!("<{name}>")))
    }

    #[test]
    fn a_schema_is_told_in_words() {
        for (schema, words) in [
            (json!({"type": "string"}), "string"),
            (json!({"type": ["integer", "null"]}), "integer or null"),
            (json!({"type": "array", "items": {"$ref": "#/components/schemas/A"}}), "list of <A>"),
            (json!({"type": ["array", "null"], "items": {"type": "string"}}), "list of string or null"),
            (json!({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/A"}]}), "<A> or null"),
            (
                json!({"type": "object", "additionalProperties": {"$ref": "#/components/schemas/A"}}),
                "map to <A>",
            ),
            (json!({"type": "string", "enum": ["a", "b"]}), "a | b"),
            (json!({}), "any"),
        ] {
            assert_eq!(told(&schema), words);
        }
    }

    #[test]
    fn shapes_that_name_each_other_are_found_once() {
        let document = json!({"components": {"schemas": {
            "A": {"properties": {"b": {"$ref": "#/components/schemas/B"}}},
            "B": {"properties": {"a": {"$ref": "#/components/schemas/A"}}},
        }}});
        let mut found = BTreeSet::new();
        shapes_of(&document, &json!({"x": [{"$ref": "#/components/schemas/A"}]}), &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["A", "B"]);
    }
}
