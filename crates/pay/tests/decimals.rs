//! Decimal texts as exact numbers, against integers and against written-out digits.

use std::cmp::Ordering;

use pay::decimal::{Decimal, MAX_BYTES, compare};
use proptest::prelude::*;

use crate::json_model::number;

/// A decimal text and the integer that it is when multiplied by 10^20.
fn scaled() -> impl Strategy<Value = (String, i128)> {
    let parts = (any::<bool>(), 0_u64..1_000_000_000_000, 0_usize..9, -9_i32..=5);
    parts.prop_map(|(negative, digits, decimals, exponent)| {
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = padded.split_at(padded.len() - decimals);
        let point = if fraction.is_empty() { "" } else { "." };
        let sign = if negative { "-" } else { "" };
        let power = u32::try_from(20 - i32::try_from(decimals).unwrap() + exponent).unwrap();
        let value = i128::from(digits) * 10_i128.pow(power) * if negative { -1 } else { 1 };
        (format!("{sign}{whole}{point}{fraction}e{exponent}"), value)
    })
}

/// Digits before and after the point, written out and padded, with the sign apart.
fn written_out(text: &str) -> (bool, String) {
    const WIDTH: usize = 700;
    let plain = Decimal::parse(text).unwrap().plain();
    let (negative, plain) = plain.strip_prefix('-').map_or((false, plain.as_str()), |rest| (true, rest));
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    (negative, format!("{whole:0>WIDTH$}.{fraction:0<WIDTH$}"))
}

fn bounded(text: &str) -> bool {
    Decimal::parse(text).is_ok()
}

proptest! {
    #[test]
    fn decimals_compare_as_the_numbers_they_write((left, left_value) in scaled(), (right, right_value) in scaled()) {
        prop_assert_eq!(compare(&left, &right), Ok(left_value.cmp(&right_value)), "{} {}", left, right);
    }

    #[test]
    fn far_apart_exponents_compare_as_written_out_digits(left in number().prop_filter("bounded", |text| bounded(text)), right in number().prop_filter("bounded", |text| bounded(text))) {
        let ((left_negative, left_digits), (right_negative, right_digits)) = (written_out(&left), written_out(&right));
        let expected = match (left_negative, right_negative) {
            (false, false) => left_digits.cmp(&right_digits),
            (true, true) => right_digits.cmp(&left_digits),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        };
        prop_assert_eq!(compare(&left, &right), Ok(expected));
        prop_assert_eq!(compare(&right, &left), Ok(expected.reverse()));
    }

    #[test]
    fn the_plain_text_is_the_same_number(text in number()) {
        let Ok(decimal) = Decimal::parse(&text) else { return Ok(()) };
        let plain = decimal.plain();
        prop_assert!(!plain.contains(['e', 'E']));
        if plain.len() <= MAX_BYTES {
            prop_assert_eq!(Decimal::parse(&plain), Ok(decimal));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Decimal::parse(&text);
    }
}
