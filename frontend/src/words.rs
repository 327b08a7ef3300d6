//! What islands say.

/// A text was copied.
pub const COPIED: &str = "Copied";
/// The browser does not let us write to the clipboard.
pub const NOT_COPIED: &str = "Select and copy by hand";
/// Nothing has come yet.
pub const WAITING: &str = "Waiting for your first request. It shows here as soon as it arrives.";

/// The answer is on its way.
pub const ASKING: &str = "Asking…";
/// There is no key to ask with.
pub const NO_KEY: &str = "Put an API key into the field above; it starts with lf_.";
/// The answer was stopped.
pub const STOPPED: &str = "Stopped. What was said is charged, and no more.";
/// Nothing came back.
pub const AWAY: &str = "The server cannot be reached. Send it again in a moment.";

/// What an answer took.
#[must_use]
pub fn receipt(prompt: f64, completion: f64, cost_micro: &str, pool: &str) -> String {
    let cost =
        cost_micro.parse::<i64>().map_or_else(|_| String::new(), |micro| format!(", ${}", dollars(micro)));
    format!("{prompt} tokens asked, {completion} answered by the pool {pool}{cost}.")
}

/// How long it is until something ends.
#[must_use]
pub fn left(seconds: i64) -> String {
    if seconds <= 0 {
        return "(over)".to_owned();
    }
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours >= 48 {
        return format!("({} days left)", hours / 24);
    }
    if hours > 0 {
        format!("({hours}:{minutes:02}:{seconds:02} left)")
    } else {
        format!("({minutes}:{seconds:02} left)")
    }
}

/// The zone of what the server writes.
pub const UTC: &str = "UTC";

/// What a press on the zone's name does.
#[must_use]
pub fn turn_zone(other: &str) -> String {
    format!("Show times in {other}")
}

/// A moment by some clock, as the server writes one of that length: `2026-01-31 14:05:59`, without the seconds, or the
/// time alone.
#[must_use]
pub fn moment(date: [u32; 3], [hour, minute, second]: [u32; 3], length: usize) -> String {
    let [year, month, day] = date;
    let whole = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    let shown = if length == "14:05".len() { 11..16 } else { 0..length };
    whole.get(shown).unwrap_or(&whole).to_owned()
}

/// The first request came.
#[must_use]
pub fn arrived(requests: &str, tokens: f64, cost_micro: &str) -> String {
    let cost =
        cost_micro.parse::<i64>().map_or_else(|_| String::new(), |micro| format!(", ${}", dollars(micro)));
    let many = if requests == "1" { "Your first request has arrived" } else { "Your requests arrive" };
    format!("{many}: {tokens} tokens{cost}.")
}

/// Micro-USD as decimal text with as many decimals as it needs, at least two.
#[must_use]
pub fn dollars(micro: i64) -> String {
    let magnitude = micro.unsigned_abs();
    let sign = if micro < 0 { "-" } else { "" };
    let digits = format!("{:06}", magnitude % 1_000_000);
    let needed = digits.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", magnitude / 1_000_000, &digits[..needed])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_in_minutes_until_there_are_hours() {
        let told = [0, 59, 61, 3_661, 600_000].map(left).join(" ");
        assert_eq!(told, "(over) (0:59 left) (1:01 left) (1:01:01 left) (6 days left)");
    }

    #[test]
    fn a_moment_is_as_long_as_the_one_that_it_replaces() {
        let told = [19, 16, 5, 10, 99].map(|length| moment([2026, 1, 31], [4, 5, 9], length));
        let all = "2026-01-31 04:05:09|2026-01-31 04:05|04:05|2026-01-31|2026-01-31 04:05:09";
        assert_eq!(told.join("|"), all);
    }

    #[test]
    fn a_receipt_names_the_pool_and_the_cost() {
        assert_eq!(
            receipt(12.0, 9.0, "85", "cheap"),
            "12 tokens asked, 9 answered by the pool cheap, $0.000085."
        );
    }

    #[test]
    fn an_amount_never_passes_through_a_float() {
        assert_eq!(dollars(85), "0.000085");
        assert_eq!(dollars(2_500_000), "2.50");
        assert_eq!(dollars(-1_000_001), "-1.000001");
        assert_eq!(dollars(i64::MAX), "9223372036854.775807");
        assert_eq!(arrived("1", 60.0, "85"), "Your first request has arrived: 60 tokens, $0.000085.");
        assert_eq!(arrived("2", 60.0, "x"), "Your requests arrive: 60 tokens.");
    }
}
