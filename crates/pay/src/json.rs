//! JSON whose numbers keep their text, for signatures over what JavaScript printed.
//!
//! A NOWPayments signature covers the sender's own print of a document. To print it again we may change nothing that
//! JavaScript would not: a number is its token as it came, never a float; strings are decoded and encoded as
//! `JSON.stringify` does, lone surrogates included; the order of keys is JavaScript's ([`canonical()`]).
//!
//! What always holds: the same key twice in one object is refused at every depth, since two readers could then read
//! two truths; nesting ends at [`MAX_DEPTH`]; no input panics. The caller bounds the size: memory grows with it
//! linearly. Deliberately absent: serde, numbers as numbers, and any leniency beyond RFC 8259.

mod canonical;
mod parse;
mod text;

pub use canonical::{Arrays, canonical};
pub use parse::{Fault, JsonError, parse};
pub use text::Text;

/// Arrays and objects inside each other. A notice has three levels; a bound keeps the reader's stack small.
pub const MAX_DEPTH: usize = 32;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string, decoded.
    String(Text),
    /// Values in their order.
    Array(Vec<Json>),
    /// Keys with their values, in the order of the wire. [`parse()`] lets no key in twice.
    Object(Vec<(Text, Json)>),
}

/// A number as it was written: `1e-7` stays `1e-7`, and differs from `0.0000001`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// The number that `text` writes, if it writes one as JSON demands.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (parse::number_length(text.as_bytes()) == Some(text.len())).then(|| Self(text.to_owned()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Json {
    /// A string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// A number if `text` writes one, else a string.
    #[must_use]
    pub fn number_or_string(text: &str) -> Self {
        Number::new(text).map_or_else(|| Self::string(text), Self::Number)
    }

    /// An object with these keys, which the caller keeps different.
    #[must_use]
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// The value under `key`, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The text of a string or of a number, for ids and amounts, which come as either.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => text.as_str(),
            Self::Number(number) => Some(number.as_str()),
            Self::Null | Self::Bool(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }
}
