//! The payment processor's notices: `POST /api/crypto/webhook` (SPEC §3).
//!
//! What always holds: nothing is believed before its signature is; 2xx is said after the commit, and nothing later than
//! [`limits::NOTICE`]; whatever else is answered, the vendor tells again and the poller asks, so nothing is lost. The
//! switch for payments is not looked at: an order of yesterday is credited today. Deliberately absent: what a notice
//! means (`domain::order`), and any word about orders to whoever asks without a signature.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use axum::response::Response;
use domain::order::{self, Applied, ApplyError, Origin};
use pay::notice::{self, IpnSecret, Rejection};
use serde::Serialize;
use types::failpoint;
use utoipa::ToSchema;

use super::caller::Access;
use super::exchange::Asked;
use super::fault::Fault;
use super::problem::{self, Shape};
use super::{App, body, limits, shared};

/// Who may call: anyone; the signature says whether it was the vendor.
pub(crate) const ACCESS: Access = Access::Anyone;

const SIGNATURE: HeaderName = HeaderName::from_static("x-nowpayments-sig");
/// After a failure of ours: the vendor's own pauses are longer.
const RETRY_S: u64 = 5;

/// A notice was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// `ok`.
    status: &'static str,
}

/// Takes a payment notice in: signed, applied, committed, and only then answered.
#[utoipa::path(
    post, path = "/api/crypto/webhook", tag = "payments", operation_id = "takePaymentNotice",
    params(("x-nowpayments-sig" = String, Header, description = "Lower-case hex HMAC-SHA512 of the sorted body with the IPN secret")),
    request_body(content = Object, description = "The processor's notice, at most 64 KiB"),
    responses(
        (status = 200, description = "Applied, now or before; or kept for a person to look at", body = Taken),
        (status = 400, description = "The body is not unambiguous JSON", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "The signature is missing or does not fit", body = problem::Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than 64 KiB", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many from this address, or more than ten of one payment in an hour; with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not taken in, and nothing is lost: tell it again; with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(secret) = app.ipn_secret.as_ref() else {
        let detail =
            "This server has no payment processor: it takes no notices until NOWPAYMENTS_IPN_SECRET is set.";
        return problem::respond(Shape::payments_unavailable(detail, RETRY_S), &asked);
    };
    let taking = take_in_time(&app, &asked, secret, &parts.headers, body);
    let outcome = match tokio::time::timeout(limits::NOTICE, taking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refused::Late),
    };
    metrics::counter!("freeside_payment_notices_total", "outcome" => word(&outcome)).increment(1);
    match outcome {
        Ok(_) => shared::json(HeaderMap::new(), &Taken { status: "ok" }),
        Err(refused) => refuse(refused, &asked),
    }
}

/// What became of a notice that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Applied,
    /// It says too little to be applied, and is kept.
    Unread,
}

/// Why a notice was not taken in.
#[derive(Debug)]
enum Refused {
    /// Too many from this address.
    Address { retry_after_s: u64 },
    /// Too many of this payment.
    Payment { retry_after_s: u64 },
    /// The body did not come, or is too large.
    Body(Fault),
    /// It is not the vendor's.
    Signature,
    /// It is no unambiguous JSON.
    NotJson(String),
    /// The books did not take it.
    Failed(anyhow::Error),
    /// It took too long; the transaction is rolled back.
    Late,
}

async fn take_in_time(
    app: &App,
    asked: &Asked,
    secret: &IpnSecret,
    headers: &HeaderMap,
    body: Body,
) -> Result<Outcome, Refused> {
    let now = app.ctx.clock.now();
    app.gate.address(asked.ip, now).map_err(|retry_after_s| Refused::Address { retry_after_s })?;
    let whole = body::read_any(&app.notices, body, limits::NOTICE_BODY_BYTES).await.map_err(Refused::Body)?;
    let size = whole.bytes().len();
    app.gate.body(asked.ip, size, now).map_err(|retry_after_s| Refused::Address { retry_after_s })?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let report = match notice::authenticate(secret, signature, whole.bytes()) {
        Ok(report) => report,
        Err(Rejection::BadSignature) => return Err(Refused::Signature),
        Err(Rejection::NotJson(error)) => return Err(Refused::NotJson(error.to_string())),
        Err(Rejection::Incomplete(missing)) => {
            let (ctx, why) = (&app.ctx, missing.to_string());
            let kept = order::keep_unread(&ctx.db, &ctx.clock, whole.bytes(), &why).await;
            return kept.map(|()| Outcome::Unread).map_err(|error| Refused::Failed(error.into()));
        }
    };
    let counted = app.gate.payment(&report.payment_id, now);
    let counted = counted.map_err(|retry_after_s| Refused::Payment { retry_after_s })?;
    failpoint::reach("webhook.authenticated").await;
    let applied: Result<Applied, ApplyError> =
        order::apply(&app.ctx.db, &app.ctx.clock, &report, Origin::Notice { verbatim: whole.bytes() }).await;
    applied.map_err(|error| Refused::Failed(error.into()))?;
    counted.use_up();
    failpoint::reach("webhook.applied").await;
    Ok(Outcome::Applied)
}

fn word(outcome: &Result<Outcome, Refused>) -> &'static str {
    match outcome {
        Ok(Outcome::Applied) => "applied",
        Ok(Outcome::Unread) => "unread",
        Err(Refused::Address { .. }) => "limited_address",
        Err(Refused::Payment { .. }) => "limited_payment",
        Err(Refused::Body(_)) => "bad_body",
        Err(Refused::Signature) => "bad_signature",
        Err(Refused::NotJson(_)) => "not_json",
        Err(Refused::Failed(_)) => "failed",
        Err(Refused::Late) => "late",
    }
}

fn refuse(refused: Refused, asked: &Asked) -> Response {
    let shape = match refused {
        Refused::Address { retry_after_s } => {
            Shape::rate_limited("Too many payment notices come from this address.", retry_after_s)
        }
        Refused::Payment { retry_after_s } => {
            let detail = "Ten notices of this payment came within an hour. Nothing is lost: the payment is asked about anyway.";
            Shape::rate_limited(detail, retry_after_s)
        }
        Refused::Body(fault) => return problem::answer(fault, asked),
        Refused::Signature => Shape::bad_signature(
            "The header x-nowpayments-sig is missing, or is not the signature of this body.",
        ),
        Refused::NotJson(what) => Shape::unreadable(format!("The notice is not unambiguous JSON: {what}.")),
        Refused::Failed(error) => {
            tracing::error!(
                request_id = asked.id.as_ref(),
                error = format!("{error:#}"),
                "a payment notice was not applied; it will be told or asked again"
            );
            Shape::payments_unavailable("The notice could not be applied now. Send it again.", RETRY_S)
        }
        Refused::Late => {
            tracing::error!(
                request_id = asked.id.as_ref(),
                "a payment notice took too long; it will be told or asked again"
            );
            Shape::payments_unavailable("The notice could not be applied in time. Send it again.", RETRY_S)
        }
    };
    problem::respond(shape, asked)
}
