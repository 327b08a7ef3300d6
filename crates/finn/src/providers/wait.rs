//! How long a provider asks to be left alone: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110 §10.2.3).
//!
//! What a header cannot mean counts as no header. A wait is never longer than [`LONGEST_WAIT_S`].

use hyper::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use types::Clock;

/// A provider that asks for more than five minutes is asked again after these: nobody waits at a limit for an hour.
pub(crate) const LONGEST_WAIT_S: u32 = 300;
/// OpenAI's, in milliseconds.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Whole seconds, rounded up.
pub(super) fn asked_for(headers: &HeaderMap) -> Option<u32> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds =
        text(RETRY_AFTER_MS).and_then(|text| text.parse::<f64>().ok()).map(|wait| wait / 1_000.0);
    let wait = milliseconds.filter(|wait| *wait >= 0.0).or_else(|| {
        let text = text(RETRY_AFTER)?;
        text.parse::<f64>().ok().filter(|wait| *wait >= 0.0).or_else(|| until(headers, text))
    })?;
    whole(wait)
}

/// Seconds until the date, by the provider's own clock where it says it.
fn until(headers: &HeaderMap, date: &str) -> Option<f64> {
    let date = OffsetDateTime::parse(date, &Rfc2822).ok()?;
    let theirs =
        headers.get(DATE).and_then(|value| OffsetDateTime::parse(value.to_str().ok()?, &Rfc2822).ok());
    let now = theirs.unwrap_or_else(|| Clock::system().now());
    Some((date - now).as_seconds_f64().max(0.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and LONGEST_WAIT_S")]
fn whole(seconds: f64) -> Option<u32> {
    seconds.is_finite().then(|| seconds.ceil().clamp(0.0, f64::from(LONGEST_WAIT_S)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Option<u32> {
        let pairs =
            pairs.iter().map(|(name, text)| (HeaderName::from_static(name), text.parse().expect("text")));
        asked_for(&pairs.collect())
    }

    #[test]
    fn a_wait_is_read_in_each_of_its_forms_and_bounded() {
        assert_eq!(of(&[("retry-after", "20")]), Some(20));
        assert_eq!(of(&[("retry-after", " 0.4 ")]), Some(1));
        assert_eq!(of(&[("retry-after-ms", "1200"), ("retry-after", "20")]), Some(2));
        assert_eq!(of(&[("retry-after", "86400")]), Some(LONGEST_WAIT_S));
        let date = ("date", "Wed, 21 Oct 2026 07:27:30 GMT");
        assert_eq!(of(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), date]), Some(30));
        assert_eq!(of(&[("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"), date]), Some(0), "past");
        assert_eq!(of(&[("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")]), Some(LONGEST_WAIT_S));
        for nonsense in ["soon", "-3", "NaN", "inf", ""] {
            assert_eq!(of(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(of(&[]), None);
    }
}
