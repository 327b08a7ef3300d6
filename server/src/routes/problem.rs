//! Our own dialect of errors: RFC 9457 `application/problem+json`. The page behind each `type` is `app::problems`.
//!
//! A `type` is a path of this server and never changes; `detail` says what to do next; figures come as fields.

mod sign_in;

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::turn::Refusal;
use identity::RateHeaders;
use serde::Serialize;
use types::{MicroUsd, ReservationId};
use utoipa::ToSchema;

use super::exchange::Asked;
use super::fault::Fault;
use super::rate::{self, Retry};
use super::{sentences, shared};

/// A kind of problem: its page's name, its title, its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    slug: &'static str,
    title: &'static str,
    status: u16,
}

macro_rules! kinds {
    ($($name:ident $slug:literal $status:literal $title:literal),+ $(,)?) => {
        $(const $name: Kind = Kind { slug: $slug, title: $title, status: $status };)+
        /// Every kind, for their pages.
        const KINDS: &[Kind] = &[$($name),+];
    };
}

kinds! {
    TOO_LARGE "request-too-large" 413 "The request is too large",
    WRONG_TYPE "unsupported-media-type" 415 "The body is not JSON",
    UNREADABLE "invalid-json" 400 "The body cannot be read",
    TOO_SLOW "request-timeout" 408 "The request took too long to arrive",
    INVALID "invalid-request" 400 "The request cannot be right",
    UNAUTHENTICATED "unauthenticated" 401 "A valid API key is needed",
    FORBIDDEN "forbidden" 403 "The key may not do this",
    NOT_FOUND "not-found" 404 "There is nothing here",
    WRONG_METHOD "method-not-allowed" 405 "The method does not fit",
    CONFLICT "conflict" 409 "The current state does not allow this",
    UNKNOWN_MODEL "model-not-found" 404 "There is no such model",
    INSUFFICIENT_CREDITS "insufficient-credits" 402 "The balance does not cover this request",
    OVER_CAP "over-monthly-cap" 402 "The monthly budget does not cover this request",
    OWING "debt-to-settle" 402 "Money is owed from an earlier answer",
    FROZEN "account-frozen" 403 "The account is frozen",
    RATE_LIMITED "rate-limited" 429 "Too many requests",
    SIGN_UP_OFF "sign-up-off" 503 "Sign-up and new keys are switched off",
    BAD_SIGNATURE "bad-signature" 401 "The notice's signature does not fit",
    WEB_CHAT_OFF "web-chat-off" 503 "The web chat is switched off",
    RESTARTING "restarting" 503 "This server is restarting",
    PAYMENTS_OFF "payments-off" 503 "Buying credits is switched off",
    PAYMENTS_UNAVAILABLE "payments-unavailable" 503 "The payment processor cannot be asked now",
    UNKNOWN_PACK "pack-not-found" 404 "There is no such pack",
    UNKNOWN_COIN "coin-not-offered" 400 "The coin is not on offer",
    BELOW_MINIMUM "below-minimum" 409 "The pack is below the coin's minimum",
    ORDER_DONE "order-done" 409 "The order takes no further payment",
    IN_FLIGHT "request-in-flight" 409 "The same request is being answered",
    ANSWER_NOT_KEPT "answer-not-kept" 409 "The answer was charged and not kept",
    KEY_REUSED "idempotency-key-reused" 422 "The idempotency key was used for another request",
    NOT_CONFIRMED "not-confirmed" 409 "The deed has to be confirmed",
    SIGN_IN_NEEDED "sign-in-needed" 401 "A wallet has to be signed in",
    SESSION_OVER "session-over" 401 "The session is over",
    CROSS_SITE "cross-site-request" 403 "The change comes from another site",
    NOT_OUR_PAGE "origin-not-ours" 403 "The page is not one of this server",
    SIGN_IN_NEEDS_HTTPS "sign-in-needs-https" 403 "Signing in needs https",
    SIWE_FORM "siwe-malformed" 400 "The message is not one of EIP-4361",
    SIWE_NOT_CANONICAL "siwe-not-canonical" 400 "The message differs from its canonical form",
    SIWE_DOMAIN "siwe-wrong-domain" 400 "The message is for another domain",
    SIWE_URI "siwe-wrong-uri" 400 "The message is for another URI",
    SIWE_VERSION "siwe-wrong-version" 400 "The message is of another version",
    SIWE_CHAIN "siwe-wrong-chain" 400 "The message names another chain",
    SIWE_TIME "siwe-wrong-time" 400 "The message was not made just now",
    SIWE_EXPIRED "siwe-expired" 400 "The message has expired",
    SIWE_NOT_YET "siwe-not-yet-valid" 400 "The message does not hold yet",
    SIWE_SIGNATURE_FORM "siwe-signature-malformed" 400 "The signature is not one",
    SIWE_SIGNATURE "siwe-signature-mismatch" 403 "The signature is not of this message and wallet",
    SIWE_UNASKED "siwe-wallet-unreachable" 503 "The wallet's contract cannot be asked",
    NONCE_UNKNOWN "siwe-nonce-unknown" 400 "The nonce is not one of ours",
    NONCE_USED "siwe-nonce-used" 409 "The nonce was used before",
    NONCE_EXPIRED "siwe-nonce-expired" 400 "The nonce has expired",
    NONCE_FOREIGN "siwe-nonce-foreign" 403 "The nonce was issued to another page or browser",
    HANDOFF_UNKNOWN "handoff-not-found" 404 "There is no such hand-off code",
    HANDOFF_FOREIGN "handoff-foreign" 403 "The hand-off code was made for another page or browser",
    MINTING_STOPPED "minting-stopped" 503 "No credits are added while the books are checked",
    ENGINE_UNAVAILABLE "engine-unavailable" 503 "Inference temporarily unavailable",
    MODEL_UNAVAILABLE "model-unavailable" 503 "The model cannot answer now",
    PROVIDER_LIMITED "provider-rate-limited" 429 "The model's provider is at its limit",
    PROVIDER_OVERLOADED "provider-overloaded" 503 "The model's provider is overloaded",
    ENGINE_FAILED "engine-failed" 502 "The model failed",
    ENGINE_TIMEOUT "engine-timeout" 504 "The model did not answer in time",
    OVERLOADED "overloaded" 503 "Too busy",
    UNEXPECTED "unexpected" 500 "Something broke on our side",
}

/// RFC 9457, with our fields.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A stable path of this server that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient-credits")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened and what to do next.
    detail: String,
    /// The request's id in our logs.
    request_id: String,
    /// Which field cannot be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// A stable word of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Micro-USD that the request may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    asked_micro: Option<MicroUsd>,
    /// Micro-USD that are available.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    affordable_micro: Option<MicroUsd>,
    /// The largest `max_tokens` that would pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    affordable_max_tokens: Option<u32>,
    /// The monthly cap in micro-USD.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    limit_micro: Option<MicroUsd>,
    /// Micro-USD spent and held this month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    used_micro: Option<MicroUsd>,
    /// Micro-USD owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    owed_micro: Option<MicroUsd>,
    /// Micro-USD charged for what was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    cost_micro: Option<MicroUsd>,
    /// The request that came first with the same `Idempotency-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_request_id: Option<String>,
    /// The hold that paid for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reservation_id: Option<ReservationId>,
}

pub(crate) struct Shape {
    problem: Problem,
    retry: Retry,
    rate: Option<RateHeaders>,
}

/// Every kind, for their pages.
pub(crate) fn kinds() -> impl Iterator<Item = app::problems::Problem> {
    KINDS.iter().map(|Kind { slug, title, status }| app::problems::Problem { slug, title, status: *status })
}

/// Answers a fault.
pub(crate) fn answer(fault: Fault, asked: &Asked) -> Response {
    respond(of(fault, asked), asked)
}

/// What a fault is among the kinds; logged when it is ours.
pub(crate) fn of(fault: Fault, asked: &Asked) -> Shape {
    fault.report(&asked.id);
    shape(fault)
}

/// Answers a refusal that is not of a turn.
pub(crate) fn respond(shape: Shape, asked: &Asked) -> Response {
    let (status, headers) = shape.head();
    let problem = Problem { request_id: asked.id.to_string(), ..shape.problem };
    shared::typed(status, headers, "application/problem+json", &problem)
}

fn shape(fault: Fault) -> Shape {
    match fault {
        Fault::TooLarge { limit } => Shape::new(TOO_LARGE, sentences::too_large(limit)),
        Fault::WrongType => Shape::new(WRONG_TYPE, sentences::WRONG_TYPE),
        Fault::Unreadable { message } => Shape::new(UNREADABLE, message),
        Fault::TooSlow => Shape::new(TOO_SLOW, sentences::TOO_SLOW),
        Fault::Hungup => Shape::new(UNREADABLE, sentences::HUNG_UP),
        Fault::Crowded => Shape::new(OVERLOADED, sentences::CROWDED).retry(Retry::after_seconds(1)),
        Fault::OverShare => Shape::rate_limited(sentences::OVER_SHARE, 1),
        Fault::Field { param, message } => Shape::invalid(&param, &message),
        Fault::NoKey => Shape::new(UNAUTHENTICATED, sentences::NO_KEY),
        Fault::BadKey => Shape::new(UNAUTHENTICATED, sentences::BAD_KEY),
        Fault::TooManyFailures { retry_after_s } => {
            Shape::new(RATE_LIMITED, sentences::too_many_failures(retry_after_s))
                .retry(Retry::after_seconds(retry_after_s))
        }
        Fault::NoScope { scope } => Shape::new(FORBIDDEN, sentences::no_scope(scope)),
        Fault::NoSession => Shape::sign_in_needed(),
        Fault::SessionOver { message } => Shape::new(SESSION_OVER, message),
        Fault::NotFound { message } => Shape::not_found(message),
        Fault::WrongMethod => Shape::new(WRONG_METHOD, sentences::WRONG_METHOD),
        Fault::Turn(refusal) => turn(refusal),
        Fault::Broken { code, message, cost } => {
            // Another try would be another charge: that is for the caller to decide.
            let retry = if cost.0 > 0 { Retry::Useless } else { Retry::Open };
            Shape::new(ENGINE_FAILED, sentences::broken(&message, cost)).retry(retry).with(|problem| {
                problem.code = Some(code);
                problem.cost_micro = Some(cost);
            })
        }
        Fault::AnswerTooLong => Shape::invalid("stream", sentences::ANSWER_TOO_LONG),
        Fault::InFlight { request_id } => {
            let detail = sentences::in_flight(&request_id);
            Shape::new(IN_FLIGHT, detail).retry(Retry::Useless).with(|problem| {
                problem.first_request_id = Some(request_id);
            })
        }
        Fault::KeyReused => Shape::key_reused(),
        Fault::AnswerNotKept { request_id, reservation_id } => {
            let detail = sentences::answer_not_kept(&request_id, reservation_id);
            Shape::new(ANSWER_NOT_KEPT, detail).retry(Retry::Useless).with(|problem| {
                problem.first_request_id = Some(request_id);
                problem.reservation_id = Some(reservation_id);
            })
        }
        Fault::Unexpected(_) => Shape::new(UNEXPECTED, sentences::UNEXPECTED),
    }
}

fn turn(refusal: Refusal) -> Shape {
    match refusal {
        Refusal::UnknownModel { name } => Shape::new(UNKNOWN_MODEL, sentences::unknown_model(&name)),
        Refusal::ModelOutOfReach { name, pool } => {
            Shape::new(UNKNOWN_MODEL, sentences::out_of_reach(&name, pool))
                .with(|problem| problem.code = Some("model_unavailable".to_owned()))
        }
        Refusal::BadRequest { field, message } => Shape::invalid(field, &message),
        Refusal::NotEnough { asked, affordable, affordable_max_tokens } => {
            let detail = sentences::not_enough(asked, affordable, affordable_max_tokens);
            Shape::new(INSUFFICIENT_CREDITS, detail).retry(Retry::Useless).with(|problem| {
                problem.asked_micro = Some(asked);
                problem.affordable_micro = Some(affordable);
                problem.affordable_max_tokens = Some(affordable_max_tokens);
            })
        }
        Refusal::OverCap { limit, used, asked } => {
            Shape::new(OVER_CAP, sentences::over_cap(limit, used, asked)).retry(Retry::Useless).with(
                |problem| {
                    problem.limit_micro = Some(limit);
                    problem.used_micro = Some(used);
                    problem.asked_micro = Some(asked);
                },
            )
        }
        Refusal::Owing { owed } => Shape::new(OWING, sentences::owing(owed))
            .retry(Retry::Useless)
            .with(|problem| problem.owed_micro = Some(owed)),
        Refusal::Frozen => Shape::new(FROZEN, sentences::FROZEN).retry(Retry::Useless),
        Refusal::Limited(limited) => {
            let retry = if limited.never_fits { Retry::Useless } else { Retry::After(limited.retry_after) };
            let shape = Shape::new(RATE_LIMITED, sentences::limited(&limited)).retry(retry);
            Shape { rate: Some(limited.headers), ..shape }
        }
        Refusal::TooManyAtOnce { most } => Shape::rate_limited(sentences::too_many_at_once(most), 1),
        Refusal::EngineUnavailable { retry_after_s } => {
            Shape::new(ENGINE_UNAVAILABLE, sentences::UNAVAILABLE)
                .retry(Retry::After(Duration::from_secs(retry_after_s.into())))
        }
        Refusal::ModelUnavailable { code, message, retry_after_s } => Shape::new(MODEL_UNAVAILABLE, message)
            .retry(Retry::known(retry_after_s))
            .with(|problem| problem.code = Some(code)),
        Refusal::ProviderLimited { retry_after_s } => provider_limited(retry_after_s),
        Refusal::ProviderOverloaded { retry_after_s } => provider_overloaded(retry_after_s),
        Refusal::EngineFailed { status, code, message } => {
            let kind = if shared::is_callers_fault(status) { INVALID } else { ENGINE_FAILED };
            Shape::new(kind, message).with(|problem| problem.code = Some(code))
        }
        Refusal::EngineTimeout => Shape::new(ENGINE_TIMEOUT, sentences::TIMED_OUT),
        Refusal::Overloaded => Shape::new(OVERLOADED, sentences::OVERLOADED).retry(Retry::after_seconds(1)),
        Refusal::Unexpected(_) => Shape::new(UNEXPECTED, sentences::UNEXPECTED),
    }
}

fn provider_limited(retry_after_s: u32) -> Shape {
    Shape::new(PROVIDER_LIMITED, sentences::provider_limited(retry_after_s))
        .retry(Retry::after_seconds(retry_after_s.into()))
}

fn provider_overloaded(retry_after_s: u32) -> Shape {
    Shape::new(PROVIDER_OVERLOADED, sentences::provider_overloaded(retry_after_s))
        .retry(Retry::after_seconds(retry_after_s.into()))
}

impl Shape {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let problem = Problem {
            kind: format!("/problems/{}", kind.slug),
            title: kind.title,
            status: kind.status,
            detail: detail.into(),
            ..Problem::default()
        };
        Self { problem, retry: Retry::Open, rate: None }
    }

    /// The status and the headers that the answer has in any dress.
    pub(crate) fn head(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        self.retry.write(&mut headers);
        if let Some(rate) = &self.rate {
            rate::write_native(&mut headers, rate);
        }
        let status = StatusCode::from_u16(self.problem.status).expect("a status of this file's own table");
        (status, headers)
    }

    /// The kind in words, and what to do next.
    pub(crate) fn words(&self) -> (&str, &str) {
        (self.problem.title, &self.problem.detail)
    }

    pub(crate) fn invalid(field: &str, message: &str) -> Self {
        Self::new(INVALID, format!("{field}: {message}"))
            .with(|problem| problem.field = Some(field.to_owned()))
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(CONFLICT, detail)
    }

    pub(crate) fn rate_limited(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(RATE_LIMITED, detail).retry(Retry::after_seconds(retry_after_s))
    }

    pub(crate) fn sign_up_off() -> Self {
        let detail = "Sign-up is switched off here for now. Keys that were made before work as ever; ask the operator for one.";
        Self::new(SIGN_UP_OFF, detail).retry(Retry::Useless)
    }

    pub(crate) fn new_keys_off() -> Self {
        let detail = "New keys are switched off here for now. Keys that were made before work as ever, and can be rotated.";
        Self::new(SIGN_UP_OFF, detail).retry(Retry::Useless)
    }

    pub(crate) fn no_credit(detail: impl Into<String>) -> Self {
        Self::new(INSUFFICIENT_CREDITS, detail).retry(Retry::Useless)
    }

    /// The caller may not do this, whatever its scopes.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(FORBIDDEN, detail).retry(Retry::Useless)
    }

    /// A page that is none of ours.
    pub(crate) fn foreign_origin() -> Self {
        let detail =
            "A socket is opened by a page of this server, whose origin the Origin header names exactly.";
        Self::new(FORBIDDEN, detail).retry(Retry::Useless)
    }

    /// The web chat is switched off.
    pub(crate) fn web_chat_off() -> Self {
        let detail =
            "The web chat is switched off here for now. Answers that run go on, and the API answers as ever.";
        Self::new(WEB_CHAT_OFF, detail).retry(Retry::Useless)
    }

    /// This process stops, and another one answers.
    pub(crate) fn restarting() -> Self {
        let detail = "This server is restarting. Connect again in a moment.";
        Self::new(RESTARTING, detail).retry(Retry::after_seconds(1))
    }

    /// A page elsewhere sent a form of ours.
    pub(crate) fn foreign_form() -> Self {
        let detail = "This form was sent by a page of another site, so nothing was done. Open the page here and send it again.";
        Self::new(CROSS_SITE, detail).retry(Retry::Useless)
    }

    /// A notice that is not the vendor's.
    pub(crate) fn bad_signature(detail: impl Into<String>) -> Self {
        Self::new(BAD_SIGNATURE, detail)
    }

    /// A body that cannot be read, in a door's own words.
    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(UNREADABLE, detail)
    }

    /// Nobody can buy credits now.
    pub(crate) fn payments_off(detail: impl Into<String>) -> Self {
        Self::new(PAYMENTS_OFF, detail).retry(Retry::Useless)
    }

    /// It could not be done in time, and nothing is lost.
    pub(crate) fn payments_unavailable(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(PAYMENTS_UNAVAILABLE, detail).retry(Retry::after_seconds(retry_after_s))
    }

    /// No pack of that name.
    pub(crate) fn unknown_pack(detail: impl Into<String>) -> Self {
        Self::new(UNKNOWN_PACK, detail)
    }

    /// No coin of that name.
    pub(crate) fn unknown_coin(detail: impl Into<String>) -> Self {
        Self::new(UNKNOWN_COIN, detail).with(|problem| problem.field = Some("currency".to_owned()))
    }

    /// The pack costs less than the coin carries.
    pub(crate) fn below_minimum(detail: impl Into<String>) -> Self {
        Self::new(BELOW_MINIMUM, detail).retry(Retry::Useless)
    }

    /// The order is paid, paid back, or has payments enough.
    pub(crate) fn order_done(detail: impl Into<String>) -> Self {
        Self::new(ORDER_DONE, detail).retry(Retry::Useless)
    }

    /// SPEC §13: the first request is still being answered.
    pub(crate) fn in_flight() -> Self {
        let detail = "A request with this Idempotency-Key is being answered right now. Wait for its answer, or send it \
                      again in a few seconds to read the same one.";
        Self::new(IN_FLIGHT, detail).retry(Retry::Useless)
    }

    /// SPEC §13: the same key with another body.
    pub(crate) fn key_reused() -> Self {
        Self::new(KEY_REUSED, sentences::KEY_REUSED).retry(Retry::Useless)
    }

    /// A deed that has to be asked for twice.
    pub(crate) fn not_confirmed(detail: impl Into<String>) -> Self {
        Self::new(NOT_CONFIRMED, detail).retry(Retry::Useless)
    }

    /// The account is frozen while its books are checked.
    pub(crate) fn frozen() -> Self {
        Self::new(FROZEN, sentences::FROZEN).retry(Retry::Useless)
    }

    /// The sums of all accounts differ: nothing is minted until a person has looked.
    pub(crate) fn minting_stopped() -> Self {
        let detail = "The books are being checked, and no credits are added until that is done. Nothing is lost; try later.";
        Self::new(MINTING_STOPPED, detail).retry(Retry::after_seconds(60))
    }

    fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    fn with(mut self, change: impl FnOnce(&mut Problem)) -> Self {
        change(&mut self.problem);
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::routes::shared::tests::refusals;

    #[test]
    fn every_refusal_has_its_kind_of_problem() {
        let told: Vec<String> = refusals()
            .into_iter()
            .map(|refusal| {
                let problem = turn(refusal).problem;
                format!("{} {}", problem.status, problem.kind)
            })
            .collect();
        let expected = [
            "404 /problems/model-not-found",
            "404 /problems/model-not-found",
            "400 /problems/invalid-request",
            "402 /problems/insufficient-credits",
            "402 /problems/over-monthly-cap",
            "402 /problems/debt-to-settle",
            "403 /problems/account-frozen",
            "429 /problems/rate-limited",
            "429 /problems/rate-limited",
            "429 /problems/rate-limited",
            "503 /problems/engine-unavailable",
            "503 /problems/model-unavailable",
            "503 /problems/model-unavailable",
            "429 /problems/provider-rate-limited",
            "503 /problems/provider-overloaded",
            "502 /problems/engine-failed",
            "400 /problems/invalid-request",
            "504 /problems/engine-timeout",
            "503 /problems/overloaded",
            "500 /problems/unexpected",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_figures_come_as_strings_of_micro_usd() {
        let refusal =
            Refusal::NotEnough { asked: MicroUsd(9), affordable: MicroUsd(4), affordable_max_tokens: 2 };
        let value = serde_json::to_value(turn(refusal).problem).expect("serialises");
        assert_eq!((&value["asked_micro"], &value["affordable_micro"]), (&json!("9"), &json!("4")));
        assert_eq!(value["affordable_max_tokens"], json!(2));
        assert!(value.get("limit_micro").is_none());
    }

    #[test]
    fn no_surprise_leaks_its_cause() {
        let shape = turn(Refusal::Unexpected(anyhow::anyhow!("a secret detail")));
        assert!(!serde_json::to_string(&shape.problem).expect("serialises").contains("secret"));
    }

    #[test]
    fn the_kinds_have_names_of_their_own() {
        let mut slugs: Vec<&str> = KINDS.iter().map(|kind| kind.slug).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), KINDS.len());
    }

    #[test]
    fn each_kind_has_words_for_its_page() {
        for kind in KINDS {
            assert!(app::problems::known(kind.slug).is_some(), "{}", kind.slug);
        }
    }
}
