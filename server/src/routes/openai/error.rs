//! Faults in OpenAI's shape: `{"error": {message, type, param, code}}`.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::turn::Refusal;
use identity::RateHeaders;
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::exchange::Asked;
use crate::routes::fault::Fault;
use crate::routes::rate::{self, Retry};
use crate::routes::{sentences, shared};

/// OpenAI's error object.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAiError {
    error: Inner,
}

#[derive(Debug, Serialize, ToSchema)]
struct Inner {
    /// What happened and what to do next.
    message: String,
    /// The class of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field that cannot be right.
    param: Option<String>,
    /// A stable word.
    code: Option<String>,
}

struct Shape {
    status: StatusCode,
    kind: &'static str,
    code: String,
    param: Option<String>,
    message: String,
    retry: Retry,
    rate: Option<RateHeaders>,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";
const QUOTA: &str = "insufficient_quota";
const LIMITED: &str = "rate_limit_exceeded";

/// Answers a fault.
pub(crate) fn answer(fault: Fault, asked: &Asked) -> Response {
    fault.report(&asked.id);
    let shape = shape(fault);
    let mut headers = HeaderMap::new();
    shape.retry.write(&mut headers);
    if let Some(rate) = &shape.rate {
        rate::write_openai(&mut headers, rate);
    }
    let error =
        Inner { message: shape.message, kind: shape.kind, param: shape.param, code: Some(shape.code) };
    shared::json_with(shape.status, headers, &OpenAiError { error })
}

/// The event that ends a stream which broke off.
pub(crate) fn event(out: &mut Vec<u8>, code: &str, message: String) {
    let error = Inner { message, kind: SERVER, param: None, code: Some(code.to_owned()) };
    types::sse::write_data(out, &OpenAiError { error });
}

fn shape(fault: Fault) -> Shape {
    match fault {
        Fault::TooLarge { limit } => {
            Shape::new(413, INVALID, "request_too_large", sentences::too_large(limit))
        }
        Fault::WrongType => Shape::new(415, INVALID, "unsupported_media_type", sentences::WRONG_TYPE),
        Fault::Unreadable { message } => Shape::new(400, INVALID, "invalid_json", message),
        Fault::TooSlow => Shape::new(408, INVALID, "request_timeout", sentences::TOO_SLOW),
        Fault::Hungup => Shape::new(400, INVALID, "incomplete_body", sentences::HUNG_UP),
        Fault::Crowded => {
            Shape::new(503, SERVER, "overloaded", sentences::CROWDED).retry(Retry::after_seconds(1))
        }
        Fault::OverShare => {
            Shape::new(429, "requests", LIMITED, sentences::OVER_SHARE).retry(Retry::after_seconds(1))
        }
        Fault::Field { param, message } => Shape {
            param: Some(param.clone()),
            ..Shape::new(400, INVALID, "invalid_value", format!("{param}: {message}"))
        },
        Fault::NoKey => Shape::new(401, INVALID, "invalid_api_key", sentences::NO_KEY),
        Fault::BadKey => Shape::new(401, INVALID, "invalid_api_key", sentences::BAD_KEY),
        Fault::TooManyFailures { retry_after_s } => {
            Shape::new(429, "requests", LIMITED, sentences::too_many_failures(retry_after_s))
                .retry(Retry::after_seconds(retry_after_s))
        }
        Fault::NoScope { scope } => {
            Shape::new(403, INVALID, "insufficient_permissions", sentences::no_scope(scope))
        }
        Fault::NoSession => Shape::new(401, INVALID, "sign_in_needed", sentences::NO_SESSION),
        Fault::SessionOver { message } => Shape::new(401, INVALID, "session_over", message),
        Fault::NotFound { message } => Shape::new(404, INVALID, "unknown_url", message),
        Fault::WrongMethod => Shape::new(405, INVALID, "method_not_supported", sentences::WRONG_METHOD),
        Fault::Turn(refusal) => turn(refusal),
        Fault::Broken { code, message, cost } => {
            // Another try would be another charge: that is for the caller to decide.
            let retry = if cost.0 > 0 { Retry::Useless } else { Retry::Open };
            Shape::new(502, SERVER, &code, sentences::broken(&message, cost)).retry(retry)
        }
        Fault::AnswerTooLong => {
            Shape::new(400, INVALID, "answer_too_long", sentences::ANSWER_TOO_LONG).param("stream")
        }
        Fault::InFlight { request_id } => {
            Shape::new(409, INVALID, "request_in_flight", sentences::in_flight(&request_id))
                .retry(Retry::Useless)
        }
        Fault::KeyReused => {
            Shape::new(422, INVALID, "idempotency_key_reused", sentences::KEY_REUSED).retry(Retry::Useless)
        }
        Fault::AnswerNotKept { request_id, reservation_id } => {
            let message = sentences::answer_not_kept(&request_id, reservation_id);
            Shape::new(409, INVALID, "answer_not_kept", message).retry(Retry::Useless)
        }
        Fault::Unexpected(_) => Shape::new(500, SERVER, "internal_error", sentences::UNEXPECTED),
    }
}

fn turn(refusal: Refusal) -> Shape {
    match refusal {
        Refusal::UnknownModel { name } => {
            Shape::new(404, INVALID, "model_not_found", sentences::unknown_model(&name)).param("model")
        }
        Refusal::ModelOutOfReach { name, pool } => {
            Shape::new(404, INVALID, "model_unavailable", sentences::out_of_reach(&name, pool)).param("model")
        }
        Refusal::BadRequest { field, message } => {
            Shape::new(400, INVALID, "invalid_value", format!("{field}: {message}")).param(field)
        }
        Refusal::NotEnough { asked, affordable, affordable_max_tokens } => {
            Shape::new(402, QUOTA, QUOTA, sentences::not_enough(asked, affordable, affordable_max_tokens))
                .retry(Retry::Useless)
        }
        Refusal::OverCap { limit, used, asked } => {
            Shape::new(402, QUOTA, QUOTA, sentences::over_cap(limit, used, asked)).retry(Retry::Useless)
        }
        Refusal::Owing { owed } => {
            Shape::new(402, QUOTA, QUOTA, sentences::owing(owed)).retry(Retry::Useless)
        }
        Refusal::Frozen => {
            Shape::new(403, INVALID, "account_frozen", sentences::FROZEN).retry(Retry::Useless)
        }
        Refusal::Limited(limited) => {
            let kind = match limited.which {
                identity::Which::RequestsPerMinute => "requests",
                identity::Which::TokensPerDay => "tokens",
            };
            let retry = if limited.never_fits { Retry::Useless } else { Retry::After(limited.retry_after) };
            Shape {
                rate: Some(limited.headers),
                ..Shape::new(429, kind, LIMITED, sentences::limited(&limited)).retry(retry)
            }
        }
        Refusal::TooManyAtOnce { most } => {
            Shape::new(429, "requests", LIMITED, sentences::too_many_at_once(most))
                .retry(Retry::after_seconds(1))
        }
        Refusal::EngineUnavailable { retry_after_s } => {
            Shape::new(503, SERVER, "engine_unavailable", sentences::UNAVAILABLE)
                .retry(Retry::After(Duration::from_secs(retry_after_s.into())))
        }
        Refusal::ModelUnavailable { code, message, retry_after_s } => {
            Shape::new(503, SERVER, &code, message).retry(Retry::known(retry_after_s))
        }
        Refusal::ProviderLimited { retry_after_s } => provider_limited(retry_after_s),
        Refusal::ProviderOverloaded { retry_after_s } => provider_overloaded(retry_after_s),
        Refusal::EngineFailed { status, code, message } => {
            let (status, kind) =
                if shared::is_callers_fault(status) { (400, INVALID) } else { (502, SERVER) };
            Shape::new(status, kind, &code, message)
        }
        Refusal::EngineTimeout => Shape::new(504, SERVER, "engine_timeout", sentences::TIMED_OUT),
        Refusal::Overloaded => {
            Shape::new(503, SERVER, "overloaded", sentences::OVERLOADED).retry(Retry::after_seconds(1))
        }
        Refusal::Unexpected(_) => Shape::new(500, SERVER, "internal_error", sentences::UNEXPECTED),
    }
}

/// The vendor's own status: its SDKs wait and try again.
fn provider_limited(retry_after_s: u32) -> Shape {
    Shape::new(429, "requests", "provider_rate_limited", sentences::provider_limited(retry_after_s))
        .retry(Retry::after_seconds(retry_after_s.into()))
}

/// OpenAI has no 529; its SDKs try a 503 again.
fn provider_overloaded(retry_after_s: u32) -> Shape {
    Shape::new(503, SERVER, "provider_overloaded", sentences::provider_overloaded(retry_after_s))
        .retry(Retry::after_seconds(retry_after_s.into()))
}

impl Shape {
    fn new(status: u16, kind: &'static str, code: &str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status of this file's own tables"),
            kind,
            code: code.to_owned(),
            param: None,
            message: message.into(),
            retry: Retry::Open,
            rate: None,
        }
    }

    fn param(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
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
    fn every_refusal_has_its_status_type_and_code() {
        let told: Vec<String> = refusals()
            .into_iter()
            .map(|refusal| {
                let shape = turn(refusal);
                format!("{} {} {}", shape.status.as_u16(), shape.kind, shape.code)
            })
            .collect();
        let expected = [
            "404 invalid_request_error model_not_found",
            "404 invalid_request_error model_unavailable",
            "400 invalid_request_error invalid_value",
            "402 insufficient_quota insufficient_quota",
            "402 insufficient_quota insufficient_quota",
            "402 insufficient_quota insufficient_quota",
            "403 invalid_request_error account_frozen",
            "429 requests rate_limit_exceeded",
            "429 tokens rate_limit_exceeded",
            "429 requests rate_limit_exceeded",
            "503 server_error engine_unavailable",
            "503 server_error provider_unavailable",
            "503 server_error no_model_on",
            "429 requests provider_rate_limited",
            "503 server_error provider_overloaded",
            "502 server_error provider_error",
            "400 invalid_request_error bad_request",
            "504 server_error engine_timeout",
            "503 server_error overloaded",
            "500 server_error internal_error",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_error_object_has_all_four_fields() {
        let mut out = Vec::new();
        event(&mut out, "provider_error", "It \"broke\"".to_owned());
        let expected = "data: {\"error\":{\"message\":\"It \\\"broke\\\"\",\"type\":\"server_error\",\"param\":null,\
                        \"code\":\"provider_error\"}}\n\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
