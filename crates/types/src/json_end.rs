//! Finds the end of a JSON object that comes in pieces, without parsing it.
//!
//! Readers and writers of tool calls need to know whether a call's arguments are whole: several providers say so in no
//! other way. It counts brackets outside of strings and judges nothing else.

/// The state after the pieces so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonEnd {
    depth: u32,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl JsonEnd {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.begun = true;
                    self.depth = self.depth.saturating_add(1);
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// An object (or array) has begun and ended.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_bracket_ends_it() {
        let text = r#" {"a":[1,{"b":"}\"]"}],"c":"\\"}"#;
        let mut end = JsonEnd::default();
        for (index, character) in text.char_indices() {
            assert!(!end.is_whole(), "before byte {index}");
            end.feed(character.encode_utf8(&mut [0; 4]));
        }
        assert!(end.is_whole());
    }

    #[test]
    fn nothing_is_not_whole() {
        for text in ["", "  ", "7", "\"{}\"", "{\"a\""] {
            let mut end = JsonEnd::default();
            end.feed(text);
            assert!(!end.is_whole(), "{text:?}");
        }
    }
}
