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

#[cfg(test)]
mod tests {
    use super::*;

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
