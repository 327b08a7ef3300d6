//! What every inference door shares: the headers that say how to answer, the answer's headers, the shapes of responses; and how
//! every answer writes a moment.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::turn::{Fallback, Started};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::s2s::headers::{BUDGET_RESERVATION_ID, MODEL_USED, PERSONALITY_ID, POOL_USED};
use types::{MicroUsd, Pool, ReservationId};
use utoipa::ToSchema;

use super::exchange::text;
use super::fault::Fault;

const X_FREESIDE_CLAMP: HeaderName = HeaderName::from_static("x-freeside-clamp");
const X_FREESIDE_FALLBACK: HeaderName = HeaderName::from_static("x-freeside-fallback");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Whether `max_tokens` is to be lowered to what the balance covers.
pub(crate) fn clamp(headers: &HeaderMap) -> Result<bool, Fault> {
    match headers.get(X_FREESIDE_CLAMP).map(HeaderValue::as_bytes) {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"affordable") => Ok(true),
        Some(_) => Err(Fault::field("X-Freeside-Clamp", "The only value of this header is \"affordable\".")),
    }
}

/// Who may answer for a model that is asked for by its id.
pub(crate) fn fallback(headers: &HeaderMap) -> Result<Fallback, Fault> {
    match headers.get(X_FREESIDE_FALLBACK).map(HeaderValue::as_bytes) {
        None => Ok(Fallback::default()),
        Some(value) if value.eq_ignore_ascii_case(b"none") => Ok(Fallback::Nobody),
        Some(value) if value.eq_ignore_ascii_case(b"any") => Ok(Fallback::Anybody),
        Some(_) => Err(Fault::field(
            "X-Freeside-Fallback",
            "The values of this header are \"none\" and \"any\"; without it, a model that costs no more may answer.",
        )),
    }
}

/// Who answered and what pays, in headers: true once a provider has answered.
pub(crate) fn answer_headers(started: &Started) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(POOL_USED, HeaderValue::from_static(started.pool.as_str()));
    headers.insert(MODEL_USED, text(&started.model));
    headers.insert(PERSONALITY_ID, text(&started.personality_id));
    headers.insert(BUDGET_RESERVATION_ID, text(&started.reservation_id.0.hyphenated().to_string()));
    headers
}

/// A stream of events that no proxy may hold back or keep.
pub(crate) fn event_stream(mut headers: HeaderMap, body: Body) -> Response {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// A moment as every answer writes it: RFC 3339, in UTC.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// A JSON answer.
pub(crate) fn json(headers: HeaderMap, value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, headers, value)
}

/// A JSON answer with its status; nothing that is made for one caller is kept by a cache.
pub(crate) fn json_with(status: StatusCode, headers: HeaderMap, value: &impl Serialize) -> Response {
    typed(status, headers, "application/json", value)
}

/// A JSON answer of a type of its own.
pub(crate) fn typed(
    status: StatusCode,
    mut headers: HeaderMap,
    kind: &'static str,
    value: &impl Serialize,
) -> Response {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let mut response =
        Response::new(serde_json::to_vec(value).expect("our wire shapes serialise into memory").into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether the engine's status says that the request itself was wrong, and not the engine's way to the provider.
pub(crate) fn is_callers_fault(engine_status: u16) -> bool {
    matches!(engine_status, 400 | 413 | 422)
}

/// What an answer cost and who gave it: our own field beside the vendors'.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Receipt<'a> {
    /// The charge in micro-USD, as a decimal string.
    #[schema(value_type = String)]
    pub cost_micro: MicroUsd,
    /// The pool that answered.
    #[schema(value_type = String)]
    pub pool: Pool,
    /// The hold that paid.
    #[schema(value_type = String, format = Uuid)]
    pub reservation_id: ReservationId,
    /// Why the answer ended early, when that is ours to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use domain::turn::Refusal;
    use identity::{Limited, RateHeaders, Which};

    use super::*;

    pub(crate) const RATE: RateHeaders = RateHeaders {
        limit_requests: 10,
        remaining_requests: 0,
        reset_requests_s: 3,
        limit_tokens: 10_000,
        remaining_tokens: 9_000,
        reset_tokens_s: 3_600,
    };

    /// One of each, in the order of the enum; two for those that split.
    pub(crate) fn refusals() -> Vec<Refusal> {
        let limited = |which| {
            Refusal::Limited(Limited {
                which,
                retry_after: Duration::from_secs(3),
                headers: RATE,
                never_fits: false,
            })
        };
        let failed = |status, code: &str| Refusal::EngineFailed {
            status,
            code: code.to_owned(),
            message: "the provider said no".to_owned(),
        };
        vec![
            Refusal::UnknownModel { name: "gpt-9".to_owned() },
            Refusal::ModelOutOfReach { name: "claude-opus".to_owned(), pool: Pool::Cheap },
            Refusal::BadRequest { field: "max_tokens", message: "too many".to_owned() },
            Refusal::NotEnough { asked: MicroUsd(9), affordable: MicroUsd(4), affordable_max_tokens: 2 },
            Refusal::OverCap { limit: MicroUsd(9), used: MicroUsd(8), asked: MicroUsd(2) },
            Refusal::Owing { owed: MicroUsd(1) },
            Refusal::Frozen,
            limited(Which::RequestsPerMinute),
            limited(Which::TokensPerDay),
            Refusal::TooManyAtOnce { most: 512 },
            Refusal::EngineUnavailable { retry_after_s: 30 },
            Refusal::ModelUnavailable {
                code: "provider_unavailable".to_owned(),
                message: "it rests".to_owned(),
                retry_after_s: Some(30),
            },
            Refusal::ModelUnavailable {
                code: "no_model_on".to_owned(),
                message: "nobody is here".to_owned(),
                retry_after_s: None,
            },
            Refusal::ProviderLimited { retry_after_s: 20 },
            Refusal::ProviderOverloaded { retry_after_s: 20 },
            failed(502, "provider_error"),
            failed(400, "bad_request"),
            Refusal::EngineTimeout,
            Refusal::Overloaded,
            Refusal::Unexpected(anyhow::anyhow!("a secret detail")),
        ]
    }

    #[test]
    fn the_fallback_header_has_two_values() {
        let of = |text: &'static str| {
            fallback(&HeaderMap::from_iter([(X_FREESIDE_FALLBACK, HeaderValue::from_static(text))]))
        };
        assert_eq!(fallback(&HeaderMap::new()).expect("absent"), Fallback::NoDearer);
        assert_eq!(of("None").expect("known"), Fallback::Nobody);
        assert_eq!(of("any").expect("known"), Fallback::Anybody);
        assert!(of("cheaper").is_err() && of("").is_err());
    }

    #[test]
    fn the_clamp_header_has_one_value() {
        let mut headers = HeaderMap::new();
        assert!(!clamp(&headers).expect("absent"));
        headers.insert(X_FREESIDE_CLAMP, HeaderValue::from_static("Affordable"));
        assert!(clamp(&headers).expect("known"));
        headers.insert(X_FREESIDE_CLAMP, HeaderValue::from_static("yes"));
        assert!(clamp(&headers).is_err());
    }
}
