//! What the panel says: sums, addresses, sentences for errors.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString as _;

/// A charge for a person, from micro-USD as a decimal string, exact: `$0.000042`. Between two and six decimals.
pub fn dollars(micro: &str) -> Option<String> {
    let digits = micro.strip_prefix('-').unwrap_or(micro);
    if digits.is_empty() || digits.len() > 19 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{digits:0>7}");
    let (whole, part) = digits.split_at(digits.len() - 6);
    let kept = part.trim_end_matches('0').len().max(2);
    let sign = if micro.starts_with('-') { "−" } else { "" };
    let whole = whole.trim_start_matches('0');
    Some(format!("{sign}${}.{}", if whole.is_empty() { "0" } else { whole }, &part[..kept]))
}

/// An address short enough for a line: `0x5aAe…eAed`.
pub fn short_address(address: &str) -> String {
    match (address.get(..6), address.len().checked_sub(4).and_then(|at| address.get(at..))) {
        (Some(start), Some(end)) if address.len() > 12 => format!("{start}…{end}"),
        _ => address.to_owned(),
    }
}

/// How a badge counts.
pub fn badge(count: u32) -> String {
    if count > 9 { "9+".to_owned() } else { count.to_string() }
}

/// A text without more than `limit` bytes, cut between characters, with a sign that it was cut.
pub fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", text[..text.floor_char_boundary(limit)].trim_end())
}

/// Whether a character belongs to a word, as far as marks beside it go. The standard library's tables are exact and weigh
/// a kilobyte; here all that is not known as a sign is a letter, in whatever script.
pub fn is_of_word(c: char) -> bool {
    match c {
        '\0'..='\x7f' => c.is_ascii_alphanumeric(),
        '\u{80}'..='\u{bf}' => matches!(c, 'ª' | '²' | '³' | 'µ' | '¹' | 'º' | '¼'..='¾'),
        // Punctuation, currencies, arrows, mathematics, drawings; those of Chinese and Japanese; private use; emoji; wide
        // forms.
        '×'
        | '÷'
        | '\u{2000}'..='\u{2bff}'
        | '\u{2e00}'..='\u{2e7f}'
        | '\u{3000}'..='\u{3004}'
        | '\u{3008}'..='\u{3020}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{fe10}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff0f}'
        | '\u{ff1a}'..='\u{ff20}'
        | '\u{ff3b}'..='\u{ff40}'
        | '\u{ff5b}'..='\u{ff65}'
        | '\u{1f000}'..='\u{1faff}' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_signs_in_any_script() {
        for letter in "aZ09äßÆµ²яΩعשक字ひ한ー".chars() {
            assert!(is_of_word(letter) && letter.is_alphanumeric(), "{letter}");
        }
        for sign in " \n\t.,*_~`-«»¡×÷–—…„“€→∑█★、。「」！？（）\u{a0}\u{e000}🙂".chars()
        {
            assert!(!is_of_word(sign) && !sign.is_alphanumeric(), "{sign}");
        }
    }

    #[test]
    fn sums_are_exact() {
        for (micro, text) in [
            ("0", "$0.00"),
            ("1", "$0.000001"),
            ("42", "$0.000042"),
            ("1500", "$0.0015"),
            ("1000000", "$1.00"),
            ("12345678", "$12.345678"),
            ("-2500000", "−$2.50"),
            ("9223372036854775807", "$9223372036854.775807"),
        ] {
            assert_eq!(dollars(micro).as_deref(), Some(text));
        }
        for bad in ["", "-", "1.5", "1e3", "x", "99999999999999999999"] {
            assert_eq!(dollars(bad), None);
        }
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(short_address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), "0x5aAe…eAed");
        assert_eq!(short_address("short"), "short");
        assert_eq!(shortened("aé字", 3), "aé…");
        assert_eq!((badge(3), badge(10)), ("3".to_owned(), "9+".to_owned()));
    }
}
