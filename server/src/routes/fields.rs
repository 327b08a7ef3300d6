//! Judges single JSON fields: each refusal names the field and what would be right, and quotes nothing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::Fault;
use super::limits;

/// A field's raw JSON, absent when missing or null.
pub(crate) type Field<'a> = Option<&'a RawValue>;

/// A string.
pub(crate) fn text(param: &str, raw: &RawValue) -> Result<String, Fault> {
    serde_json::from_str(raw.get())
        .map_err(|_| Fault::field(param, "This has to be a string of valid Unicode."))
}

/// A model's name, when one is given.
pub(crate) fn model(raw: Field<'_>) -> Result<Option<String>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let name = text("model", raw)?;
    if name.is_empty() || name.len() > limits::MODEL_NAME_BYTES {
        let message = format!("This has to be a name of 1 to {} bytes.", limits::MODEL_NAME_BYTES);
        return Err(Fault::field("model", message));
    }
    Ok(Some(name))
}

/// True or false; false when absent.
pub(crate) fn flag(param: &str, raw: Field<'_>) -> Result<bool, Fault> {
    match raw.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Fault::field(param, "This has to be true or false.")),
    }
}

/// A number of completion tokens, when one is given.
pub(crate) fn completion_tokens(param: &str, raw: Field<'_>) -> Result<Option<u32>, Fault> {
    whole(param, raw, 1..=limits::COMPLETION_TOKENS)
}

/// A whole number within bounds, when one is given.
pub(crate) fn whole(param: &str, raw: Field<'_>, bounds: RangeInclusive<u32>) -> Result<Option<u32>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    match raw.get().parse::<u32>() {
        Ok(count) if bounds.contains(&count) => Ok(Some(count)),
        _ => {
            let message =
                format!("This has to be a whole number from {} to {}.", bounds.start(), bounds.end());
            Err(Fault::field(param, message))
        }
    }
}

/// A number within bounds, kept as the caller wrote it.
pub(crate) fn number(
    param: &str,
    raw: Field<'_>,
    bounds: RangeInclusive<u8>,
) -> Result<Option<Box<RawValue>>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let within = f64::from(*bounds.start())..=f64::from(*bounds.end());
    let numeric = raw.get().starts_with(|first: char| first.is_ascii_digit() || first == '-');
    if numeric && raw.get().parse::<f64>().is_ok_and(|value| within.contains(&value)) {
        return Ok(Some(raw.to_owned()));
    }
    let message = format!("This has to be a number from {} to {}.", bounds.start(), bounds.end());
    Err(Fault::field(param, message))
}

/// Stop sequences: a string, or a few.
pub(crate) fn stop(param: &str, raw: Field<'_>) -> Result<Option<Box<RawValue>>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let wrong = || {
        Fault::field(param, format!("This has to be a string or at most {} of them.", limits::STOP_SEQUENCES))
    };
    if raw.get().starts_with('[') {
        for sequence in list::<{ limits::STOP_SEQUENCES }>(param, raw)? {
            text(param, sequence).map_err(|_| wrong())?;
        }
    } else {
        text(param, raw).map_err(|_| wrong())?;
    }
    Ok(Some(raw.to_owned()))
}

/// What a parameter of one dialect has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Flag,
    Number,
    Text,
    Object,
}

/// Parameters that pass to a provider of their dialect as the caller wrote them, by name; only their shape is judged
/// here, because what they may be is the provider's to say.
pub(crate) fn passed(
    params: &[(&'static str, Field<'_>, Shape)],
) -> Result<BTreeMap<String, Box<RawValue>>, Fault> {
    let mut passed = BTreeMap::new();
    for (name, raw, shape) in params {
        let Some(raw) = raw else { continue };
        let first = raw.get().as_bytes().first().copied().unwrap_or_default();
        let (fits, what) = match shape {
            Shape::Flag => (matches!(first, b't' | b'f'), "true or false"),
            Shape::Number => (first == b'-' || first.is_ascii_digit(), "a number"),
            Shape::Text => (first == b'"' && text(name, raw).is_ok(), "a string"),
            Shape::Object => (first == b'{', "an object"),
        };
        if !fits {
            return Err(Fault::field(*name, format!("This has to be {what}.")));
        }
        passed.insert((*name).to_owned(), (*raw).to_owned());
    }
    Ok(passed)
}

/// Refuses the address of a picture that must not be fetched.
pub(crate) fn image_url(param: &str, url: &str) -> Result<(), Fault> {
    types::image_url::check(url).map(drop).map_err(|why| Fault::field(param, why))
}

/// An object, kept as the caller wrote it.
pub(crate) fn object(param: &str, raw: Field<'_>) -> Result<Option<Box<RawValue>>, Fault> {
    match raw {
        None => Ok(None),
        Some(raw) if raw.get().starts_with('{') => Ok(Some(raw.to_owned())),
        Some(_) => Err(Fault::field(param, "This has to be an object.")),
    }
}

/// Tools as OpenAI shapes them, kept as the caller wrote them; an empty list reads as none.
pub(crate) fn tools(raw: Field<'_>) -> Result<Option<Box<RawValue>>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    tools_fit(raw)?;
    let tools = list::<{ limits::MESSAGES }>("tools", raw)?;
    for (index, tool) in tools.iter().enumerate() {
        if !tool.get().starts_with('{') {
            return Err(Fault::field(format!("tools[{index}]"), "This has to be an object."));
        }
    }
    Ok((!tools.is_empty()).then(|| raw.to_owned()))
}

/// Refuses tools that are too long together.
pub(crate) fn tools_fit(raw: &RawValue) -> Result<(), Fault> {
    if raw.get().len() > limits::TOOLS_BYTES {
        let message =
            format!("The tools together may take {} bytes; send fewer or shorter ones.", limits::TOOLS_BYTES);
        return Err(Fault::field("tools", message));
    }
    Ok(())
}

/// OpenAI's `tool_choice`: a word or an object.
pub(crate) fn tool_choice(raw: Field<'_>) -> Result<Option<Box<RawValue>>, Fault> {
    match raw {
        None => Ok(None),
        Some(raw) if raw.get().starts_with('{') => Ok(Some(raw.to_owned())),
        Some(raw) if matches!(raw.get(), "\"auto\"" | "\"none\"" | "\"required\"") => {
            Ok(Some(raw.to_owned()))
        }
        Some(_) => Err(Fault::field(
            "tool_choice",
            "This has to be \"auto\", \"none\", \"required\" or a function's object.",
        )),
    }
}

/// An array of at most `N` values; never holds more than that in memory.
pub(crate) fn list<'a, const N: usize>(param: &str, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, Fault> {
    if !raw.get().starts_with('[') {
        return Err(Fault::field(param, "This has to be an array."));
    }
    let bounded: Bounded<'a, N> = serde_json::from_str(raw.get())
        .map_err(|_| Fault::field(param, format!("This may hold at most {N} entries.")))?;
    Ok(bounded.0)
}

struct Bounded<'a, const N: usize>(Vec<&'a RawValue>);

impl<'de, const N: usize> Deserialize<'de> for Bounded<'de, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<const N: usize>;
        impl<'de, const N: usize> Visitor<'de> for Entries<N> {
            type Value = Bounded<'de, N>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "at most {N} entries")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    if list.len() == N {
                        return Err(serde::de::Error::custom("too many"));
                    }
                    list.push(entry);
                }
                Ok(Bounded(list))
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    #[test]
    fn only_a_whole_number_of_tokens_within_reason_is_one() {
        assert_eq!(completion_tokens("max_tokens", None).expect("absent"), None);
        assert_eq!(completion_tokens("max_tokens", Some(&raw("1"))).expect("one"), Some(1));
        for bad in ["0", "-1", "1099511627776", "1.5", "1e3", "\"5\"", "true", "[]"] {
            let fault = completion_tokens("max_tokens", Some(&raw(bad))).expect_err(bad);
            assert!(matches!(fault, Fault::Field { param, .. } if param == "max_tokens"), "{bad}");
        }
    }

    #[test]
    fn numbers_keep_the_callers_text() {
        assert_eq!(
            number("temperature", Some(&raw("0.70")), 0..=2).expect("fine").expect("there").get(),
            "0.70"
        );
        for bad in ["2.1", "-0.1", "1e999", "\"1\"", "null1"] {
            if let Ok(value) = RawValue::from_string(bad.to_owned()) {
                assert!(number("temperature", Some(&value), 0..=2).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn passed_parameters_are_judged_by_their_shape_alone() {
        let seven = raw("7.50");
        let passed = super::passed(&[("seed", Some(&seven), Shape::Number), ("user", None, Shape::Text)]);
        assert_eq!(passed.expect("sound")["seed"].get(), "7.50");
        for (shape, bad) in [
            (Shape::Flag, "1"),
            (Shape::Number, "\"1\""),
            (Shape::Text, "\"\\ud800\""),
            (Shape::Text, "{}"),
            (Shape::Object, "[]"),
        ] {
            let fault = super::passed(&[("seed", Some(&raw(bad)), shape)]).expect_err(bad);
            assert!(matches!(fault, Fault::Field { param, .. } if param == "seed"), "{bad}");
        }
    }

    #[test]
    fn lists_are_bounded_while_they_are_read() {
        let long = format!("[{}0]", "0,".repeat(10));
        assert_eq!(list::<11>("x", &raw(&long)).expect("fits").len(), 11);
        assert!(list::<10>("x", &raw(&long)).is_err());
        assert!(list::<10>("x", &raw("{}")).is_err());
        assert!(stop("stop", Some(&raw("[\"a\",\"b\",\"c\",\"d\"]"))).is_ok());
        assert!(stop("stop", Some(&raw("[\"a\",1]"))).is_err());
    }
}
