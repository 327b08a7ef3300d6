//! A JavaScript string: almost always text, now and then a lone surrogate that no UTF-8 can hold.
//!
//! What always holds: each string has one form here (`Units` only when a lone surrogate is in it), so that equal
//! strings are equal values.

use std::cmp::Ordering;

/// A string as JavaScript has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Plain(String),
    /// UTF-16 with at least one lone surrogate.
    Units(Vec<u16>),
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Form::Plain(text))
    }
}

impl Text {
    /// From UTF-16, whole or with lone surrogates.
    #[must_use]
    pub fn from_units(units: Vec<u16>) -> Self {
        Self(String::from_utf16(&units).map_or(Form::Units(units), Form::Plain))
    }

    /// As text; nothing when a lone surrogate is in it.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Form::Plain(text) => Some(text),
            Form::Units(_) => None,
        }
    }

    /// JavaScript's order of strings: by UTF-16 code units, where U+1F680 comes before U+FF41.
    #[must_use]
    pub fn compare_units(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Form::Plain(left), Form::Plain(right)) => left.encode_utf16().cmp(right.encode_utf16()),
            (Form::Plain(left), Form::Units(right)) => left.encode_utf16().cmp(right.iter().copied()),
            (Form::Units(left), Form::Plain(right)) => left.iter().copied().cmp(right.encode_utf16()),
            (Form::Units(left), Form::Units(right)) => left.cmp(right),
        }
    }

    /// The number of an array index (`0`, `10`, never `01`), which JavaScript puts before all other keys.
    #[must_use]
    pub fn array_index(&self) -> Option<u32> {
        let text = self.as_str()?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let canonical = text == "0" || !text.starts_with('0');
        // The largest array index is 2^32 - 2: one more is the largest length.
        (digits && canonical).then(|| text.parse().ok()).flatten().filter(|index| *index < u32::MAX)
    }

    /// Appends the string literal that `JSON.stringify` prints.
    pub(super) fn print(&self, out: &mut String) {
        out.push('"');
        match &self.0 {
            Form::Plain(text) => print_plain(text, out),
            Form::Units(units) => {
                for unit in char::decode_utf16(units.iter().copied()) {
                    match unit {
                        Ok(character) => print_plain(character.encode_utf8(&mut [0; 4]), out),
                        Err(lone) => print_escape(lone.unpaired_surrogate(), out),
                    }
                }
            }
        }
        out.push('"');
    }
}

fn print_plain(text: &str, out: &mut String) {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[done..at]);
        done = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0a => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            0x0d => out.push_str("\\r"),
            _ => print_escape(u16::from(byte), out),
        }
    }
    out.push_str(&text[done..]);
}

fn print_escape(unit: u16, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let digit =
            char::from_digit(u32::from(unit >> shift & 0xf), 16).expect("four bits are one hex digit");
        out.push(digit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_array_index_is_one_less_than_the_largest_length() {
        let index = |text: &str| Text(Form::Plain(text.to_owned())).array_index();
        assert_eq!(index("0"), Some(0));
        assert_eq!(index("10"), Some(10));
        assert_eq!(index("4294967294"), Some(u32::MAX - 1));
        for key in ["4294967295", "4294967296", "01", "00", "-1", "1x", ""] {
            assert_eq!(index(key), None, "{key}");
        }
    }
}
