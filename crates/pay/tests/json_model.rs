//! A second, simple idea of JSON, for comparison: values made by proptest, written to the wire in many ways, and
//! sorted by a map instead of by a sort.

use std::collections::BTreeMap;

use proptest::prelude::*;

/// A value; object keys are unique because a map holds them.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Model>),
    Object(BTreeMap<Key, Model>),
}

/// Ordered as JavaScript orders: array indices, then UTF-16 units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64, Vec<u16>);

impl Key {
    pub(crate) fn new(text: &str) -> Self {
        let index =
            text.parse::<u64>().ok().filter(|index| index.to_string() == text && *index < 4_294_967_295);
        Self(index.unwrap_or(u64::MAX), text.encode_utf16().collect())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf16(&self.1).expect("made from text")
    }
}

impl Model {
    /// What the sorted print should be; `serde_json` writes the strings.
    pub(crate) fn canonical(&self, arrays_kept: bool) -> String {
        let joined = |items: Vec<String>| items.join(",");
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) => text.clone(),
            Self::Text(text) => literal(text),
            Self::Array(items) if arrays_kept => {
                format!("[{}]", joined(items.iter().map(|item| item.canonical(true)).collect()))
            }
            Self::Array(items) => {
                let item = |(index, item): (usize, &Self)| format!("\"{index}\":{}", item.canonical(false));
                format!("{{{}}}", joined(items.iter().enumerate().map(item).collect()))
            }
            Self::Object(members) => {
                let member = |(key, value): (&Key, &Self)| {
                    format!("{}:{}", literal(&key.text()), value.canonical(arrays_kept))
                };
                format!("{{{}}}", joined(members.iter().map(member).collect()))
            }
        }
    }

    /// A text of the wire for it. `noise` chooses spaces, needless escapes and the order of keys.
    pub(crate) fn wire(&self, noise: &mut Noise<'_>) -> String {
        let text = match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => self.canonical(true),
            Self::Text(text) => noise.literal(text),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.wire(noise)).collect();
                format!("[{}{}]", noise.space(), items.join(","))
            }
            Self::Object(members) => {
                let mut parts = Vec::new();
                for (key, value) in members {
                    let (key, space, value) = (noise.literal(&key.text()), noise.space(), value.wire(noise));
                    parts.push(format!("{space}{key}{space}:{value}"));
                }
                noise.turn(&mut parts);
                format!("{{{}{}}}", parts.join(","), noise.space())
            }
        };
        format!("{}{text}{}", noise.space(), noise.space())
    }

    /// The wire text of this document with one key of one object written twice, the second time escaped.
    /// `None` when no object has a key.
    pub(crate) fn with_a_duplicate(&self, choice: usize) -> Option<String> {
        let objects = self.objects();
        let chosen = *objects.get(choice.checked_rem(objects.len())?)?;
        Some(self.print_with_duplicate(chosen))
    }

    fn objects(&self) -> Vec<*const Self> {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => Vec::new(),
            Self::Array(items) => items.iter().flat_map(Self::objects).collect(),
            Self::Object(members) => {
                let own = (!members.is_empty()).then_some(std::ptr::from_ref(self));
                own.into_iter().chain(members.values().flat_map(Self::objects)).collect()
            }
        }
    }

    fn print_with_duplicate(&self, chosen: *const Self) -> String {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => self.canonical(true),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.print_with_duplicate(chosen)).collect();
                format!("[{}]", items.join(","))
            }
            Self::Object(members) => {
                let member = |(key, value): (&Key, &Self)| {
                    format!("{}:{}", literal(&key.text()), value.print_with_duplicate(chosen))
                };
                let mut parts: Vec<_> = members.iter().map(member).collect();
                if std::ptr::eq(self, chosen) {
                    let (key, _) = members.first_key_value().expect("only objects with keys are chosen");
                    parts.push(format!("\"{}\":null", all_escaped(&key.text())));
                }
                format!("{{{}}}", parts.join(","))
            }
        }
    }
}

/// Choices that proptest made, used one after the other and then again.
pub(crate) struct Noise<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl<'a> Noise<'a> {
    pub(crate) fn new(choices: &'a [u8]) -> Self {
        assert!(!choices.is_empty(), "noise needs a choice");
        Self(choices.iter().cycle())
    }

    fn next(&mut self) -> u8 {
        *self.0.next().expect("a cycle of something")
    }

    fn space(&mut self) -> &'static str {
        ["", "", " ", "\n\t", "\r"][usize::from(self.next()) % 5]
    }

    fn turn(&mut self, parts: &mut [String]) {
        if !parts.is_empty() {
            parts.rotate_left(usize::from(self.next()) % parts.len());
        }
    }

    fn literal(&mut self, text: &str) -> String {
        match self.next() % 3 {
            0 => format!("\"{}\"", all_escaped(text)),
            1 => literal(text).replace('/', "\\/"),
            _ => literal(text),
        }
    }
}

fn literal(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

fn all_escaped(text: &str) -> String {
    let escaped: Vec<_> = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    escaped.concat()
}

/// A number as JSON writes numbers, also such as no JavaScript engine prints.
pub(crate) fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-c]{0,2}",
        "[0-9]{1,11}",
        proptest::sample::select(vec![
            "",
            "0",
            "00",
            "4294967294",
            "4294967295",
            "🚀",
            "\u{ff41}",
            "\u{e000}",
            "\u{2028}"
        ])
        .prop_map(str::to_owned),
    ]
}

/// Any document.
pub(crate) fn document() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![
        Just(Model::Null),
        any::<bool>().prop_map(Model::Bool),
        number().prop_map(Model::Number),
        text().prop_map(Model::Text),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let member = (text(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Model::Array),
            proptest::collection::vec(member, 0..6).prop_map(|members| {
                Model::Object(members.into_iter().map(|(key, value)| (Key::new(&key), value)).collect())
            }),
        ]
    })
}
