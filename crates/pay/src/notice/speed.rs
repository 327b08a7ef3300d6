//! How long the check of a notice takes, for the benchmark.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::{IpnSecret, authenticate, sign_bytes};
use crate::json::{self, Arrays, Json};

/// Larger than any notice seen; the target of 50 µs is for this size.
const BODY_BYTES: usize = 2 * 1024;

/// The mean time of [`authenticate`] for a notice of 2 KiB in its dearest form, where two comparisons fail first.
///
/// # Panics
/// When `rounds` is 0.
#[must_use]
pub fn time_per_notice(rounds: u32) -> Duration {
    let secret = IpnSecret::new("a secret to measure with").expect("not blank");
    let json = notice();
    let body = json::canonical(&json, Arrays::Kept).replace("\":", "\": ");
    let signature = sign_bytes(&secret, json::canonical(&json, Arrays::AsObjects).as_bytes());
    let started = Instant::now();
    for _ in 0..rounds {
        let report = authenticate(black_box(&secret), black_box(&signature), black_box(body.as_bytes()));
        black_box(report).expect("signed with the same secret");
    }
    started.elapsed() / rounds
}

/// A notice with a description that fills it up.
fn notice() -> Json {
    /// What the other members and their names take.
    const OTHERS_BYTES: usize = 500;
    const WORDS: &str = "pack \"standard\" \u{1f680} ";
    let number = Json::number_or_string;
    Json::object([
        ("payment_id", number("4948622852")),
        ("payment_status", Json::string("finished")),
        ("order_id", Json::string("ord_0198f3c1d2e47b5a9c3e1f2a4b6c8d0e")),
        ("price_amount", number("10")),
        ("price_currency", Json::string("usd")),
        ("pay_amount", number("0.00068973183")),
        ("pay_currency", Json::string("btc")),
        ("actually_paid", number("0.0001081275758333504")),
        ("updated_at", number("1700942489923")),
        ("payment_extra_ids", Json::Array(vec![number("5513339153"), number("5513339154")])),
        ("fee", Json::object([("currency", Json::string("btc")), ("depositFee", number("2.7589e-7"))])),
        ("order_description", Json::string(&WORDS.repeat((BODY_BYTES - OTHERS_BYTES) / WORDS.len()))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_has_the_size_that_is_spoken_of() {
        let bytes = json::canonical(&notice(), Arrays::Kept).len();
        assert!((BODY_BYTES..BODY_BYTES + 300).contains(&bytes), "{bytes}");
    }
}
