//! The rate limits' headers in three dialects.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use identity::RateHeaders;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::exchange::text;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Stainless's header, which all four SDKs obey before any rule of their own.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A wait longer than this is not worth sitting through: some SDKs would ignore it and try again at once, others would
/// sleep for hours.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Whether and when another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The client's own rule decides.
    Open,
    /// After this time.
    After(Duration),
    /// The same request gets the same answer.
    Useless,
}

impl Retry {
    pub(crate) fn after_seconds(seconds: u64) -> Self {
        Self::After(Duration::from_secs(seconds))
    }

    /// After so many seconds; without any, waiting alone does not help.
    pub(crate) fn known(retry_after_s: Option<u32>) -> Self {
        retry_after_s.map_or(Self::Useless, |seconds| Self::after_seconds(seconds.into()))
    }

    /// Says so in headers.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        match self {
            Self::Open => {}
            Self::After(wait) => {
                // Whole seconds round up: a client that comes a moment early is refused again.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                headers.insert(RETRY_AFTER_MS, text(&wait.as_millis().to_string()));
                if wait > LONGEST_WAIT {
                    headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
                }
            }
            Self::Useless => {
                headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
            }
        }
    }
}

/// OpenAI's six headers.
pub(crate) fn write_openai(headers: &mut HeaderMap, rate: &RateHeaders) {
    let mut put =
        |name: &'static str, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
    put("x-ratelimit-limit-requests", rate.limit_requests.into());
    put("x-ratelimit-remaining-requests", rate.remaining_requests.into());
    put("x-ratelimit-reset-requests", text(&go_duration(rate.reset_requests_s.into())));
    put("x-ratelimit-limit-tokens", rate.limit_tokens.into());
    put("x-ratelimit-remaining-tokens", rate.remaining_tokens.into());
    put("x-ratelimit-reset-tokens", text(&go_duration(rate.reset_tokens_s.into())));
}

/// Anthropic's six headers; resets are times.
pub(crate) fn write_anthropic(headers: &mut HeaderMap, rate: &RateHeaders, now: OffsetDateTime) {
    let mut put =
        |name: &'static str, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
    put("anthropic-ratelimit-requests-limit", rate.limit_requests.into());
    put("anthropic-ratelimit-requests-remaining", rate.remaining_requests.into());
    put("anthropic-ratelimit-requests-reset", text(&moment(now, rate.reset_requests_s.into())));
    put("anthropic-ratelimit-tokens-limit", rate.limit_tokens.into());
    put("anthropic-ratelimit-tokens-remaining", rate.remaining_tokens.into());
    put("anthropic-ratelimit-tokens-reset", text(&moment(now, rate.reset_tokens_s.into())));
}

/// Our own three: requests per minute, reset in seconds.
pub(crate) fn write_native(headers: &mut HeaderMap, rate: &RateHeaders) {
    let mut put =
        |name: &'static str, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
    put("x-ratelimit-limit", rate.limit_requests.into());
    put("x-ratelimit-remaining", rate.remaining_requests.into());
    put("x-ratelimit-reset", rate.reset_requests_s.into());
}

/// Go's way of writing a duration, as OpenAI does: `1s`, `6m0s`, `1h0m0s`.
fn go_duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        (_, _) => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn moment(now: OffsetDateTime, seconds: u64) -> String {
    let ahead = time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    let whole = now.replace_nanosecond(0).unwrap_or(now);
    whole.saturating_add(ahead).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn durations_and_times_are_the_vendors() {
        assert_eq!(go_duration(0), "0s");
        assert_eq!(go_duration(59), "59s");
        assert_eq!(go_duration(360), "6m0s");
        assert_eq!(go_duration(3_661), "1h1m1s");
        assert_eq!(moment(datetime!(2026-01-31 23:59:30.5 UTC), 45), "2026-02-01T00:00:15Z");
    }

    #[test]
    fn a_retry_is_told_in_seconds_that_are_never_too_few() {
        let mut headers = HeaderMap::new();
        Retry::After(Duration::from_millis(1_200)).write(&mut headers);
        assert_eq!(headers[RETRY_AFTER], "2");
        assert_eq!(headers[RETRY_AFTER_MS], "1200");
        assert!(!headers.contains_key(X_SHOULD_RETRY));
        Retry::after_seconds(3_600).write(&mut headers);
        assert_eq!(headers[X_SHOULD_RETRY], "false");
    }
}
