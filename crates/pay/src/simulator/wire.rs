//! JSON as the original prints it: keys in its own order, numbers by their text; and times as it writes them.
//!
//! Deliberately absent: reading (requests are read where they arrive) and the sorted form, which is the signature's.

use time::OffsetDateTime;

use crate::json::{Arrays, Json, canonical};

/// A value to print.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// A number that is printed as it stands.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(&'static str, Value)>),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(number: impl Into<i128>) -> Self {
        Self::Number(number.into().to_string())
    }

    /// A text, or `null`.
    pub(super) fn optional(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// The JSON text.
    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => write_text(text, out),
            Self::List(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    write_text(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Quotes, backslashes and control characters escaped; slashes and letters beyond ASCII left alone, as in JavaScript.
fn write_text(text: &str, out: &mut String) {
    out.push_str(&canonical(&Json::string(text), Arrays::Kept));
}

/// A time as `Date.prototype.toISOString` writes it.
pub(super) fn iso(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

/// A time as `Date.now()` counts it.
pub(super) fn epoch_ms(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_javascript_escapes_them() {
        let value = Value::Object(vec![
            ("a", Value::List(vec![Value::Null, Value::Bool(true), Value::number(1)])),
            ("ü", Value::text("\"\\/\u{1}\n€")),
        ]);
        assert_eq!(value.print(), "{\"a\":[null,true,1],\"ü\":\"\\\"\\\\/\\u0001\\n€\"}");
    }

    #[test]
    fn times_have_milliseconds() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_942_489_923_456_000).unwrap();
        assert_eq!(iso(at), "2023-11-25T20:01:29.923Z");
        assert_eq!(epoch_ms(at), 1_700_942_489_923);
    }
}
