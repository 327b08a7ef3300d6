//! Characters that have no place in a name.

/// Whether a character changes how others are shown and is not seen itself: control characters, and the marks, embeddings,
/// overrides and isolates of the Unicode bidirectional algorithm (UAX #9).
///
/// A name with one of these reads backwards, or makes the text after it do so: `user\u{202e}nimda` is shown as `useradmin`.
#[must_use]
pub fn is_control(character: char) -> bool {
    character.is_control() || is_bidi_control(character)
}

fn is_bidi_control(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_a_text_around_is_a_control_and_letters_of_any_script_are_not() {
        for control in ['\0', '\n', '\u{7f}', '\u{200f}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{61c}'] {
            assert!(is_control(control), "{control:?}");
        }
        for letter in ['a', ' ', '\u{5d0}', '\u{627}', '\u{200d}', '\u{1f469}', '\u{4e2d}'] {
            assert!(!is_control(letter), "{letter:?}");
        }
    }
}
