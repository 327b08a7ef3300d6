//! Values as providers write them: one reader for both dialects.
//!
//! Lenient where nothing depends on it: a text may be null, a number or a list of parts. Strict where money does: a
//! figure is a whole number that can be read as nothing else, or it is as if it were absent. None of these readers
//! fails on JSON of another shape, and none copies a plain text.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A short text: an id, a name, a reason. Numbers are read as their text, everything else as absent.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, unless it is absent or empty.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

/// A count of tokens, or an index. `10`, `10.0`, `1e1` and `"10"` are ten; `-1`, `10.5` and `null` are absent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figure(pub(super) Option<u64>);

/// What a model says: a string, or parts of which some may be thoughts.
#[derive(Debug, Default)]
pub(super) struct Words<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) thought: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Box<Words<'a>>>,
    #[serde(borrow, default)]
    thinking: Option<Box<Words<'a>>>,
}

/// The text of a JSON string, or the JSON itself where a server gives an object in place of its text.
pub(super) fn text_or_json(raw: &RawValue) -> Cow<'_, str> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(json).ok().and_then(|text| text.0).unwrap_or_default(),
        Some(b'n') => Cow::Borrowed(""),
        _ => Cow::Borrowed(json),
    }
}

/// An object's members; of anything else, none.
pub(super) fn members<'a, T: Deserialize<'a> + Default>(raw: &'a RawValue) -> T {
    let object = Some(raw.get()).filter(|json| json.starts_with('{'));
    object.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Whether a member says anything: null, false and the empty text do not.
pub(super) fn says_something(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| !matches!(raw.get(), "null" | "false" | "\"\""))
}

fn whole(number: f64) -> Option<u64> {
    /// Up to here every whole number has a float of its own.
    const MOST: f64 = 9_007_199_254_740_992.0;
    if !(0.0..=MOST).contains(&number) || number.fract() != 0.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within 0 … 2^53")]
    Some(number as u64)
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text<'de>, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Figure;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Figure, E> {
                Ok(Figure(Some(number)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Figure, E> {
                Ok(Figure(u64::try_from(number).ok()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Figure, E> {
                Ok(Figure(whole(number)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Figure, E> {
                let text = text.trim();
                Ok(Figure(text.parse().ok().or_else(|| text.parse().ok().and_then(whole))))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Figure, E> {
                Ok(Figure(None))
            }
            fn visit_unit<E>(self) -> Result<Figure, E> {
                Ok(Figure(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Figure, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Figure(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Figure, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Figure(None))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Words<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Words<'de>, E> {
                Ok(Words { text: Cow::Borrowed(text), thought: Cow::default() })
            }
            fn visit_str<E>(self, text: &str) -> Result<Words<'de>, E> {
                Ok(Words { text: Cow::Owned(text.to_owned()), thought: Cow::default() })
            }
            fn visit_u64<E>(self, _: u64) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }
            fn visit_unit<E>(self) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words<'de>, A::Error> {
                let mut all = Words::default();
                while let Some(part) = list.next_element::<Words<'de>>()? {
                    all.text += part.text;
                    all.thought += part.thought;
                }
                Ok(all)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Words<'de>, A::Error> {
                let part = Part::deserialize(MapAccessDeserializer::new(map))?;
                let of = |words: Option<Box<Words<'de>>>| words.map(|words| words.text).unwrap_or_default();
                Ok(match part.kind.get() {
                    Some("thinking" | "reasoning") => {
                        Words { text: Cow::default(), thought: of(part.thinking.or(part.text)) }
                    }
                    _ => Words { text: of(part.text), thought: Cow::default() },
                })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_whole_number_or_absent() {
        for (json, expected) in [
            ("10", Some(10)),
            ("10.0", Some(10)),
            ("1e1", Some(10)),
            ("\"10\"", Some(10)),
            ("\" 10.0 \"", Some(10)),
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-1", None),
            ("-1.0", None),
            ("10.5", None),
            ("\"10.5\"", None),
            ("\"-1\"", None),
            ("\"ten\"", None),
            ("\"\"", None),
            ("null", None),
            ("true", None),
            ("[10]", None),
            ("{\"a\":10}", None),
            ("1e30", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
        ] {
            assert_eq!(serde_json::from_str::<Figure>(json).expect(json).0, expected, "{json}");
        }
    }

    #[test]
    fn words_are_a_text_or_parts() {
        for (json, text, thought) in [
            ("\"plain\"", "plain", ""),
            ("\"esc\\u0061ped\"", "escaped", ""),
            ("null", "", ""),
            ("7", "", ""),
            (r#"["a",{"type":"text","text":"b"},null,{"type":"reference","reference_ids":[1]}]"#, "ab", ""),
            (
                r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"x"}]"#,
                "x",
                "hm",
            ),
            (r#"{"type":"thinking","thinking":"hm"}"#, "", "hm"),
        ] {
            let words: Words<'_> = serde_json::from_str(json).expect(json);
            assert_eq!((&*words.text, &*words.thought), (text, thought), "{json}");
        }
        let plain: Words<'_> = serde_json::from_str("\"plain\"").expect("a text");
        assert!(matches!(plain.text, Cow::Borrowed(_)), "a plain text is not copied");
    }

    #[test]
    fn an_object_in_place_of_its_text_is_its_json() {
        for (json, expected) in [("\"{}\"", "{}"), ("{\"a\": 1}", "{\"a\": 1}"), ("null", "")] {
            let raw = RawValue::from_string(json.to_owned()).expect("JSON");
            assert_eq!(text_or_json(&raw), expected);
        }
    }
}
