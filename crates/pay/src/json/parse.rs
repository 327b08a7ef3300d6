//! RFC 8259, read strictly.

use super::{Json, MAX_DEPTH, Number, Text};

/// Why a text is no JSON for us. It says where and what, and repeats nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct JsonError {
    /// The byte, from 0, at which reading ended.
    pub at: usize,
    /// What was wrong there.
    pub fault: Fault,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Something else belongs here.
    #[error("unexpected text")]
    Unexpected,
    /// The text ends inside a value.
    #[error("the text ends early")]
    Ended,
    /// More than one value.
    #[error("text after the value")]
    Trailing,
    /// Deeper than [`MAX_DEPTH`].
    #[error("nested too deep")]
    TooDeep,
    /// An object holds the same key twice.
    #[error("the same key twice")]
    DuplicateKey,
}

/// Reads one value, with nothing but spaces around it.
pub fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError { at: error.valid_up_to(), fault: Fault::NotUtf8 })?;
    let mut parser = Parser { text, at: 0 };
    parser.skip_spaces();
    let json = parser.value(0)?;
    parser.skip_spaces();
    match parser.peek() {
        None => Ok(json),
        Some(_) => Err(parser.fault(Fault::Trailing)),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Always on a character's border.
    at: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        match self.peek() {
            None => Err(self.fault(Fault::Ended)),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Json::String),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let start = self.open(depth)?;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            let key = self.string()?;
            self.skip_spaces();
            self.demand(b':')?;
            self.skip_spaces();
            members.push((key, self.value(depth)?));
            self.skip_spaces();
            if !self.take(b',') {
                break;
            }
            self.skip_spaces();
        }
        self.demand(b'}')?;
        if has_duplicates(&members) {
            return Err(JsonError { at: start, fault: Fault::DuplicateKey });
        }
        Ok(Json::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.open(depth)?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_spaces();
            if !self.take(b',') {
                break;
            }
            self.skip_spaces();
        }
        self.demand(b']')?;
        Ok(Json::Array(items))
    }

    /// Steps over the bracket that was seen; says where it stood.
    fn open(&mut self, depth: usize) -> Result<usize, JsonError> {
        if depth > MAX_DEPTH {
            return Err(self.fault(Fault::TooDeep));
        }
        let start = self.at;
        self.at += 1;
        self.skip_spaces();
        Ok(start)
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fault(Fault::Unexpected));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let rest = &self.text[self.at..];
        let length = number_length(rest.as_bytes()).ok_or(self.fault(Fault::Unexpected))?;
        self.at += length;
        Ok(Json::Number(Number(rest[..length].to_owned())))
    }

    fn string(&mut self) -> Result<Text, JsonError> {
        self.demand(b'"')?;
        let plain = self.plain();
        if self.take(b'"') {
            return Ok(Text::from(plain));
        }
        // Escapes are rare: only then the string is put together in UTF-16, where `\ud83d\ude80` is two units.
        let mut units: Vec<u16> = plain.encode_utf16().collect();
        while !self.take(b'"') {
            if self.take(b'\\') {
                units.push(self.escape()?);
            } else {
                let more = self.plain();
                if more.is_empty() {
                    // A control character, which may not stand in a string unescaped, or the end.
                    return Err(self.unexpected());
                }
                units.extend(more.encode_utf16());
            }
        }
        Ok(Text::from_units(units))
    }

    /// What stands up to the next quote, backslash or control character.
    fn plain(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let length =
            rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn escape(&mut self) -> Result<u16, JsonError> {
        let unit = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => 0x0a,
            Some(b'r') => 0x0d,
            Some(b't') => 0x09,
            Some(b'u') => {
                self.at += 1;
                return self.four_hex_digits();
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(u16::from(unit))
    }

    fn four_hex_digits(&mut self) -> Result<u16, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.and_then(|digit| u16::try_from(digit).ok()).ok_or_else(|| self.unexpected())?;
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.at += 1;
        }
        there
    }

    fn demand(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> JsonError {
        self.fault(if self.peek().is_none() { Fault::Ended } else { Fault::Unexpected })
    }

    fn fault(&self, fault: Fault) -> JsonError {
        JsonError { at: self.at, fault }
    }
}

/// Sorted and compared with the neighbour: a hash of a stranger's keys could be made to collide.
fn has_duplicates(members: &[(Text, Json)]) -> bool {
    let mut keys: Vec<_> = members.iter().map(|(key, _)| key).collect();
    keys.sort_by(|left, right| left.compare_units(right));
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// How many bytes at the start of `text` are a JSON number.
pub(super) fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += match text.get(at) {
        Some(b'0') => 1,
        Some(b'1'..=b'9') => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}
