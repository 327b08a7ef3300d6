//! Coin amounts: decimal text, compared exactly.
//!
//! A coin has up to 18 decimals and JavaScript writes small ones as `1e-7`, so neither a float nor a fixed unit holds
//! them all. What always holds: a comparison is exact, also between `1e-7` and `0.00000010`; text and exponent are
//! bounded. Deliberately absent: arithmetic beyond the one difference that a payer reads. What is credited comes from our
//! order, never from these.

use std::cmp::Ordering;

use crate::json::Number;

/// No coin amount is longer; a bound for what strangers write.
pub const MAX_BYTES: usize = 128;
/// JavaScript's numbers end at `1.8e308`; a bound, so that [`Decimal::plain`] stays short.
pub const MAX_EXPONENT: i32 = 400;

/// The text is no decimal number, or one beyond the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct NotDecimal;

/// A number, exactly. Equal numbers are equal values, however they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Never set for zero.
    negative: bool,
    /// Neither a leading nor a trailing zero; empty for zero.
    digits: String,
    /// The number is 0.`digits` · 10^`magnitude`; 0 for zero.
    magnitude: i32,
}

/// Compares two decimal texts as the numbers that they write.
pub fn compare(left: &str, right: &str) -> Result<Ordering, NotDecimal> {
    Ok(Decimal::parse(left)?.cmp(&Decimal::parse(right)?))
}

/// What `paid` falls short of `due`, as people write it. `None`: nothing is missing, one of them is no number, or they have
/// more digits than any coin.
#[must_use]
pub fn shortfall(due: &str, paid: &str) -> Option<String> {
    let (due, paid) = (Decimal::parse(due).ok()?.plain(), Decimal::parse(paid).ok()?.plain());
    let places = |text: &str| text.split_once('.').map_or(0, |(_, part)| part.len());
    let scale = places(&due).max(places(&paid));
    let scaled = |text: &str| {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{part:0<scale$}").parse::<u128>().ok()
    };
    let missing = scaled(&due)?.checked_sub(scaled(&paid)?).filter(|missing| *missing > 0)?;
    let digits = format!("{missing:0>width$}", width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let part = part.trim_end_matches('0');
    Some(if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") })
}

impl Decimal {
    /// Reads a number as JSON writes numbers: `15`, `0.00005`, `1e-7`, `1e+21`.
    pub fn parse(text: &str) -> Result<Self, NotDecimal> {
        if text.len() > MAX_BYTES {
            return Err(NotDecimal);
        }
        let number = Number::new(text).ok_or(NotDecimal)?;
        let (negative, number) = match number.as_str().strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.as_str()),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let exponent: i32 = exponent.parse().map_err(|_| NotDecimal)?;
        if exponent.abs() > MAX_EXPONENT {
            return Err(NotDecimal);
        }
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let leading = digits.len() - digits.trim_start_matches('0').len();
        let significant = digits.trim_matches('0');
        if significant.is_empty() {
            return Ok(Self { negative: false, digits: String::new(), magnitude: 0 });
        }
        let length = |bytes: usize| i32::try_from(bytes).expect("at most MAX_BYTES");
        let magnitude = length(whole.len()) - length(leading) + exponent;
        Ok(Self { negative, digits: significant.to_owned(), magnitude })
    }

    /// Whether it is more than zero.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.sign() > 0
    }

    /// As people write it, without an exponent: `0.0000001`.
    #[must_use]
    pub fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        if self.digits.is_empty() {
            return "0".to_owned();
        }
        let Ok(magnitude) = usize::try_from(self.magnitude) else {
            let zeros = usize::try_from(self.magnitude.unsigned_abs()).expect("bounded by MAX_EXPONENT");
            return format!("{sign}0.{}{}", "0".repeat(zeros), self.digits);
        };
        match self.digits.split_at_checked(magnitude) {
            Some(("", fraction)) => format!("{sign}0.{fraction}"),
            Some((whole, "")) => format!("{sign}{whole}"),
            Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
            None => format!("{sign}{}{}", self.digits, "0".repeat(magnitude - self.digits.len())),
        }
    }

    fn sign(&self) -> i8 {
        match (self.negative, self.digits.is_empty()) {
            (_, true) => 0,
            (true, false) => -1,
            (false, false) => 1,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros the magnitude decides first; without trailing ones digits compare as text.
        let sizes = self.magnitude.cmp(&other.magnitude).then_with(|| self.digits.cmp(&other.digits));
        let sizes = if self.negative { sizes.reverse() } else { sizes };
        self.sign().cmp(&other.sign()).then(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_exact_to_the_last_digit() {
        assert_eq!(shortfall("0.00010500", "5e-5").as_deref(), Some("0.000055"));
        assert_eq!(shortfall("10", "0.5").as_deref(), Some("9.5"));
        assert_eq!(shortfall("10", "1").as_deref(), Some("9"));
        for (due, paid) in [("1", "1"), ("1", "1.0"), ("1", "2"), ("x", "1"), ("1", "1e-80"), ("1e60", "1")] {
            assert_eq!(shortfall(due, paid), None, "{due} {paid}");
        }
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        for (left, right) in
            [("1e-7", "0.0000001"), ("1E2", "100"), ("15", "15.0"), ("-0", "0"), ("0e5", "0")]
        {
            assert_eq!(compare(left, right), Ok(Ordering::Equal), "{left} {right}");
        }
        for (less, more) in
            [("0.00005", "0.000051"), ("-2", "-1"), ("-1", "0"), ("9", "10"), ("1e-7", "1e+21")]
        {
            assert_eq!(compare(less, more), Ok(Ordering::Less), "{less} {more}");
            assert_eq!(compare(more, less), Ok(Ordering::Greater), "{more} {less}");
        }
    }

    #[test]
    fn plain_text_has_no_exponent() {
        for (text, plain) in [
            ("1e-7", "0.0000001"),
            ("1.25e+3", "1250"),
            ("-1.5", "-1.5"),
            ("0.10", "0.1"),
            ("12.5e-1", "1.25"),
            ("0.000", "0"),
            ("1e21", "1000000000000000000000"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().plain(), plain, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", "+1", "01", ".5", "5.", "1e", "1e401", "NaN", "Infinity", "1,5", " 1", "0x10", "null"]
        {
            assert_eq!(Decimal::parse(text), Err(NotDecimal), "{text}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(MAX_BYTES + 1)), Err(NotDecimal));
        assert_eq!(Decimal::parse("1e99999999999"), Err(NotDecimal));
    }

    #[test]
    fn the_bounds_themselves_are_within() {
        let longest = "9".repeat(MAX_BYTES);
        assert_eq!(Decimal::parse(&longest).unwrap().plain(), longest);
        for exponent in [MAX_EXPONENT, -MAX_EXPONENT] {
            assert!(Decimal::parse(&format!("1e{exponent}")).is_ok());
        }
        assert_eq!(Decimal::parse(&format!("1e-{}", MAX_EXPONENT + 1)), Err(NotDecimal));
    }

    #[test]
    fn what_is_more_than_nothing_is_positive() {
        let number = |text| Decimal::parse(text).unwrap();
        for (text, is_positive) in [("1e-18", true), ("0", false), ("-0.0", false), ("-1e-18", false)] {
            assert_eq!(number(text).is_positive(), is_positive, "{text}");
            assert_eq!(number(text) > number("0"), is_positive, "{text}");
        }
    }
}
