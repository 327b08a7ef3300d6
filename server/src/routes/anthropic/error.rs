//! Faults in Anthropic's shape: `{"type": "error", "error": {type, message}, "request_id"}`.
//!
//! Decision: our own queue being full answers 529, the status that Anthropic's SDKs know as "overloaded"; an engine
//! that cannot be reached answers 503, as on every other door. A provider's 529 is passed on as it is. All carry the type `overloaded_error` and `retry-after`.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::turn::Refusal;
use identity::RateHeaders;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::routes::exchange::Asked;
use crate::routes::fault::Fault;
use crate::routes::rate::{self, Retry};
use crate::routes::{sentences, shared};

/// Anthropic's error object.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnthropicError<'a> {
    /// Always `error`.
    #[serde(rename = "type")]
    kind: &'static str,
    error: Inner,
    /// The request's id in our logs.
    request_id: &'a str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Inner {
    /// The class of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What happened and what to do next.
    message: String,
}

struct Shape {
    status: StatusCode,
    kind: &'static str,
    message: String,
    retry: Retry,
    rate: Option<RateHeaders>,
}

const INVALID: &str = "invalid_request_error";
const BILLING: &str = "billing_error";
const OVERLOADED: &str = "overloaded_error";
const LIMITED: &str = "rate_limit_error";
const API: &str = "api_error";

/// Answers a fault that no rate limit stands behind.
pub(crate) fn answer(fault: Fault, asked: &Asked) -> Response {
    answer_at(fault, asked, OffsetDateTime::UNIX_EPOCH)
}

/// Answers a fault; `now` dates the limits' resets.
pub(crate) fn answer_at(fault: Fault, asked: &Asked, now: OffsetDateTime) -> Response {
    fault.report(&asked.id);
    let shape = shape(fault);
    let mut headers = HeaderMap::new();
    shape.retry.write(&mut headers);
    if let Some(rate) = &shape.rate {
        rate::write_anthropic(&mut headers, rate, now);
    }
    let error = Inner { kind: shape.kind, message: shape.message };
    shared::json_with(shape.status, headers, &AnthropicError { kind: "error", error, request_id: &asked.id })
}

/// The event that ends a stream which broke off.
pub(crate) fn event(out: &mut Vec<u8>, message: String, request_id: &str) {
    out.extend_from_slice(b"event: error\n");
    let error = Inner { kind: API, message };
    types::sse::write_data(out, &AnthropicError { kind: "error", error, request_id });
}

fn shape(fault: Fault) -> Shape {
    match fault {
        Fault::TooLarge { limit } => Shape::new(413, "request_too_large", sentences::too_large(limit)),
        Fault::WrongType => Shape::new(415, INVALID, sentences::WRONG_TYPE),
        Fault::Unreadable { message } => Shape::new(400, INVALID, message),
        Fault::TooSlow => Shape::new(408, INVALID, sentences::TOO_SLOW),
        Fault::Hungup => Shape::new(400, INVALID, sentences::HUNG_UP),
        Fault::Crowded => Shape::new(529, OVERLOADED, sentences::CROWDED).retry(Retry::after_seconds(1)),
        Fault::OverShare => {
            Shape::new(429, "rate_limit_error", sentences::OVER_SHARE).retry(Retry::after_seconds(1))
        }
        Fault::Field { param, message } => Shape::new(400, INVALID, format!("{param}: {message}")),
        Fault::NoKey => Shape::new(401, "authentication_error", sentences::NO_KEY),
        Fault::BadKey => Shape::new(401, "authentication_error", sentences::BAD_KEY),
        Fault::TooManyFailures { retry_after_s } => {
            Shape::new(429, LIMITED, sentences::too_many_failures(retry_after_s))
                .retry(Retry::after_seconds(retry_after_s))
        }
        Fault::NoScope { scope } => Shape::new(403, "permission_error", sentences::no_scope(scope)),
        Fault::NoSession => Shape::new(401, "authentication_error", sentences::NO_SESSION),
        Fault::SessionOver { message } => Shape::new(401, "authentication_error", message),
        Fault::NotFound { message } => Shape::new(404, "not_found_error", message),
        Fault::WrongMethod => Shape::new(405, INVALID, sentences::WRONG_METHOD),
        Fault::Turn(refusal) => turn(refusal),
        Fault::Broken { code: _, message, cost } => {
            // Another try would be another charge: that is for the caller to decide.
            let retry = if cost.0 > 0 { Retry::Useless } else { Retry::Open };
            Shape::new(502, API, sentences::broken(&message, cost)).retry(retry)
        }
        Fault::AnswerTooLong => Shape::new(400, INVALID, sentences::ANSWER_TOO_LONG),
        Fault::InFlight { request_id } => {
            Shape::new(409, INVALID, sentences::in_flight(&request_id)).retry(Retry::Useless)
        }
        Fault::KeyReused => Shape::new(422, INVALID, sentences::KEY_REUSED).retry(Retry::Useless),
        Fault::AnswerNotKept { request_id, reservation_id } => {
            let message = sentences::answer_not_kept(&request_id, reservation_id);
            Shape::new(409, INVALID, message).retry(Retry::Useless)
        }
        Fault::Unexpected(_) => Shape::new(500, API, sentences::UNEXPECTED),
    }
}

fn turn(refusal: Refusal) -> Shape {
    match refusal {
        Refusal::UnknownModel { name } => Shape::new(404, "not_found_error", sentences::unknown_model(&name)),
        Refusal::ModelOutOfReach { name, pool } => {
            Shape::new(404, "not_found_error", sentences::out_of_reach(&name, pool))
        }
        Refusal::BadRequest { field, message } => Shape::new(400, INVALID, format!("{field}: {message}")),
        Refusal::NotEnough { asked, affordable, affordable_max_tokens } => {
            Shape::new(402, BILLING, sentences::not_enough(asked, affordable, affordable_max_tokens))
                .retry(Retry::Useless)
        }
        Refusal::OverCap { limit, used, asked } => {
            Shape::new(402, BILLING, sentences::over_cap(limit, used, asked)).retry(Retry::Useless)
        }
        Refusal::Owing { owed } => Shape::new(402, BILLING, sentences::owing(owed)).retry(Retry::Useless),
        Refusal::Frozen => Shape::new(403, "permission_error", sentences::FROZEN).retry(Retry::Useless),
        Refusal::Limited(limited) => {
            let retry = if limited.never_fits { Retry::Useless } else { Retry::After(limited.retry_after) };
            Shape {
                rate: Some(limited.headers),
                ..Shape::new(429, LIMITED, sentences::limited(&limited)).retry(retry)
            }
        }
        Refusal::TooManyAtOnce { most } => {
            Shape::new(429, "rate_limit_error", sentences::too_many_at_once(most))
                .retry(Retry::after_seconds(1))
        }
        Refusal::EngineUnavailable { retry_after_s } => Shape::new(503, OVERLOADED, sentences::UNAVAILABLE)
            .retry(Retry::After(Duration::from_secs(retry_after_s.into()))),
        Refusal::ModelUnavailable { code: _, message, retry_after_s } => {
            Shape::new(503, API, message).retry(Retry::known(retry_after_s))
        }
        Refusal::ProviderLimited { retry_after_s } => provider_limited(retry_after_s),
        Refusal::ProviderOverloaded { retry_after_s } => provider_overloaded(retry_after_s),
        Refusal::EngineFailed { status, code: _, message } => {
            let (status, kind) = if shared::is_callers_fault(status) { (400, INVALID) } else { (502, API) };
            Shape::new(status, kind, message)
        }
        Refusal::EngineTimeout => Shape::new(504, "timeout_error", sentences::TIMED_OUT),
        Refusal::Overloaded => {
            Shape::new(529, OVERLOADED, sentences::OVERLOADED).retry(Retry::after_seconds(1))
        }
        Refusal::Unexpected(_) => Shape::new(500, API, sentences::UNEXPECTED),
    }
}

fn provider_limited(retry_after_s: u32) -> Shape {
    Shape::new(429, LIMITED, sentences::provider_limited(retry_after_s))
        .retry(Retry::after_seconds(retry_after_s.into()))
}

fn provider_overloaded(retry_after_s: u32) -> Shape {
    Shape::new(529, OVERLOADED, sentences::provider_overloaded(retry_after_s))
        .retry(Retry::after_seconds(retry_after_s.into()))
}

impl Shape {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status of this file's own tables"),
            kind,
            message: message.into(),
            retry: Retry::Open,
            rate: None,
        }
    }

    fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::shared::tests::refusals;

    #[test]
    fn every_refusal_has_its_status_and_type() {
        let told: Vec<String> = refusals()
            .into_iter()
            .map(|refusal| {
                let shape = turn(refusal);
                format!("{} {}", shape.status.as_u16(), shape.kind)
            })
            .collect();
        let expected = [
            "404 not_found_error",
            "404 not_found_error",
            "400 invalid_request_error",
            "402 billing_error",
            "402 billing_error",
            "402 billing_error",
            "403 permission_error",
            "429 rate_limit_error",
            "429 rate_limit_error",
            "429 rate_limit_error",
            "503 overloaded_error",
            "503 api_error",
            "503 api_error",
            "429 rate_limit_error",
            "529 overloaded_error",
            "502 api_error",
            "400 invalid_request_error",
            "504 timeout_error",
            "529 overloaded_error",
            "500 api_error",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_error_event_is_anthropics() {
        let mut out = Vec::new();
        event(&mut out, "It broke".to_owned(), "req_1");
        let expected = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"It broke\"},\
                        \"request_id\":\"req_1\"}\n\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
