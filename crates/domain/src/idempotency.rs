//! Idempotency keys: the caller's own text under which a request may be sent again (SPEC §13, §14).
//!
//! What a key may look like and how long it is remembered is the same for orders (`order`, one transaction each) and for
//! inference ([`answers`], which outlive any transaction).

pub mod answers;

use time::Duration;

/// How long an answer is kept.
pub(crate) const KEPT: Duration = Duration::hours(24);
/// A key's length; a UUID has 36.
const KEY_BYTES_AT_MOST: usize = 255;

/// Whether a key has 1 to 255 visible ASCII characters.
#[must_use]
pub fn is_valid_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_AT_MOST && key.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_255_visible_characters() {
        assert!(is_valid_key("a") && is_valid_key(&"~".repeat(255)) && is_valid_key("0b9c-!"));
        for bad in ["", " ", "a b", "a\t", "\u{e9}", "a\u{7f}", &"x".repeat(256)] {
            assert!(!is_valid_key(bad), "{bad:?}");
        }
    }
}
