//! What belongs to another dialect and is left out here: `cache_control`, which servers of this one refuse or ignore.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

const CACHE_CONTROL: &str = "cache_control";

/// A content, a list of tool calls or a list of tools without the marks. Without any it is passed on as it was written.
pub(super) fn without_cache_control(raw: &RawValue) -> Cow<'_, RawValue> {
    // In a plain text it is a word like any other.
    if !raw.get().starts_with('[') || !raw.get().contains(CACHE_CONTROL) {
        return Cow::Borrowed(raw);
    }
    let Ok(Value::Array(mut entries)) = serde_json::from_str(raw.get()) else { return Cow::Borrowed(raw) };
    let mut marks = 0;
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        marks += usize::from(entry.remove(CACHE_CONTROL).is_some());
    }
    if marks == 0 {
        return Cow::Borrowed(raw);
    }
    // One text alone goes as a string, which every server takes; it was made a list to carry the mark.
    let left = match entries.as_slice() {
        [only] if only["type"] == "text" && only["text"].is_string() => to_raw_value(&only["text"]),
        _ => to_raw_value(&entries),
    };
    Cow::Owned(left.expect("a JSON value serialises"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marks_are_left_out() {
        for (given, left) in [
            (r#""cache_control""#, r#""cache_control""#),
            (
                r#"[{"type":"text","text":"cache_control", "x": 1.10}]"#,
                r#"[{"type":"text","text":"cache_control", "x": 1.10}]"#,
            ),
            (r#"[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]"#, r#""a""#),
            (
                r#"[{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"b"}]"#,
                r#"[{"text":"a","type":"text"},{"text":"b","type":"text"}]"#,
            ),
        ] {
            let raw = RawValue::from_string(given.to_owned()).expect("JSON");
            assert_eq!(without_cache_control(&raw).get(), left);
        }
    }
}
