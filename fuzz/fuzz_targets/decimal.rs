//! Any two lines as decimals: compared the same both ways, and the same number when written plainly.

#![no_main]

use std::cmp::Ordering;

use libfuzzer_sys::fuzz_target;
use pay::decimal::{Decimal, MAX_BYTES, MAX_EXPONENT, compare};

fuzz_target!(|text: &str| {
    let (left, right) = text.split_once('\n').unwrap_or((text, text));
    for side in [left, right] {
        let Ok(decimal) = Decimal::parse(side) else { continue };
        let plain = decimal.plain();
        assert!(plain.len() <= MAX_BYTES + usize::try_from(MAX_EXPONENT).expect("positive") + 2);
        assert_eq!(decimal.is_positive(), decimal > Decimal::parse("0").expect("a number"));
        if plain.len() <= MAX_BYTES {
            assert_eq!(compare(side, &plain), Ok(Ordering::Equal), "{plain}");
        }
    }
    if let Ok(order) = compare(left, right) {
        assert_eq!(compare(right, left), Ok(order.reverse()));
        // Far from the limits of a float, a float that sees a difference sees the same one.
        let float = |text: &str| text.parse::<f64>().expect("JSON's numbers are Rust's");
        if float(left) < float(right) {
            assert_eq!(order, Ordering::Less);
        }
    }
});
