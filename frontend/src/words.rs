//! What islands say.

/// A text was copied.
pub const COPIED: &str = "Copied";
/// The browser does not let us write to the clipboard.
pub const NOT_COPIED: &str = "Select and copy by hand";
/// Nothing has come yet.
pub const WAITING: &str = "Waiting for your first request. It shows here as soon as it arrives.";

/// The first request came.
#[must_use]
pub fn arrived(requests: &str, tokens: f64, cost_micro: &str) -> String {
    let cost =
        cost_micro.parse::<i64>().map_or_else(|_| String::new(), |micro| format!(", ${}", dollars(micro)));
    let many = if requests == "1" { "Your first request has arrived" } else { "Your requests arrive" };
    format!("{many}: {tokens} tokens{cost}.")
}

/// Micro-USD as decimal text with all six digits.
#[must_use]
pub fn dollars(micro: i64) -> String {
    let magnitude = micro.unsigned_abs();
    let sign = if micro < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", magnitude / 1_000_000, magnitude % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_never_passes_through_a_float() {
        assert_eq!(dollars(85), "0.000085");
        assert_eq!(dollars(-1_000_001), "-1.000001");
        assert_eq!(dollars(i64::MAX), "9223372036854.775807");
        assert_eq!(arrived("1", 60.0, "85"), "Your first request has arrived: 60 tokens, $0.000085.");
        assert_eq!(arrived("2", 60.0, "x"), "Your requests arrive: 60 tokens.");
    }
}
