//! The payment processor's notices: `POST /api/crypto/webhook` (SPEC §3).
//!
//! What always holds: nothing is believed before its signature is; 2xx is said after the commit, and nothing later than
//! [`limits::NOTICE`]; whatever else is answered, the vendor tells again and the poller asks, so nothing is lost. The
//! switch for payments is not looked at: an order of yesterday is credited today. Deliberately absent: what a notice
//! means (`domain::order`), and any word about orders to whoever asks without a signature.

use std::sync::Arc;

use ::limits::{By, Pot};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use axum::response::Response;
use domain::order::{self, ApplyError, Origin};
use pay::notice::{self, IpnSecret, Rejection};
use pay::report::Report;
use serde::Serialize;
use tokio::time::Instant;
use types::failpoint;
use utoipa::ToSchema;

use super::body::Whole;
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
        (status = 408, description = "The body did not arrive in time", body = problem::Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than 64 KiB", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many from this address, or more than ten of one payment in an hour that say nothing new; with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
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
    let until = Instant::now() + limits::NOTICE;
    let outcome = match authenticated(&app, &asked, secret, &parts.headers, body).await {
        // Only what the vendor has signed may be late by our fault.
        Ok(notice) => {
            let applied = tokio::time::timeout_at(until, apply(&app, &notice)).await;
            applied.unwrap_or(Err(Refused::Late))
        }
        Err(refused) => Err(refused),
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
    /// Too many of this payment that say nothing new.
    Payment { retry_after_s: u64 },
    /// The body did not come, or is too large.
    Body(Fault),
    /// It is not the vendor's.
    Signature,
    /// It is no unambiguous JSON.
    NotJson(String),
    /// The books did not take it.
    Failed(anyhow::Error),
    /// It is the vendor's, and it took us too long; the transaction is rolled back.
    Late,
}

/// Reads a notice, and believes it by its signature alone.
async fn authenticated(
    app: &App,
    asked: &Asked,
    secret: &IpnSecret,
    headers: &HeaderMap,
    body: Body,
) -> Result<Notice, Refused> {
    let now = app.ctx.clock.now();
    app.gate.address(asked.ip, now).map_err(|retry_after_s| Refused::Address { retry_after_s })?;
    let reading = body::read_any(&app.budgets.notices, asked.client(), body, limits::NOTICE_BODY_BYTES);
    let whole = match tokio::time::timeout(limits::NOTICE, reading).await {
        Ok(read) => read.map_err(Refused::Body)?,
        Err(_) => return Err(Refused::Body(Fault::TooSlow)),
    };
    let size = whole.bytes().len();
    app.gate.body(asked.ip, size, now).map_err(|retry_after_s| Refused::Address { retry_after_s })?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = match notice::authenticate(secret, signature, whole.bytes()) {
        Ok(report) => Ok(report),
        Err(Rejection::BadSignature) => return Err(Refused::Signature),
        Err(Rejection::NotJson(error)) => return Err(Refused::NotJson(error.to_string())),
        Err(Rejection::Incomplete(missing)) => Err(missing.to_string()),
    };
    Ok(Notice { said, whole })
}

/// A notice of the vendor's.
struct Notice {
    /// What it says, or why it says too little to be applied.
    said: Result<Report, String>,
    whole: Whole,
}

/// Takes the vendor's notice into the books. The limit per payment is of repeats: past it, news is applied still.
async fn apply(app: &App, notice: &Notice) -> Result<Outcome, Refused> {
    let (ctx, verbatim) = (&app.ctx, notice.whole.bytes());
    let failed = |error: ApplyError| Refused::Failed(error.into());
    let report = match &notice.said {
        Ok(report) => report,
        Err(why) => {
            let kept = order::keep_unread(&ctx.db, &ctx.clock, verbatim, why).await;
            return kept.map(|()| Outcome::Unread).map_err(failed);
        }
    };
    failpoint::reach("webhook.authenticated").await;
    match app.gate.repeat(&report.payment_id, ctx.clock.now()) {
        Ok(repeat) => {
            let origin = Origin::Notice { verbatim };
            let applied = order::apply(&ctx.db, &ctx.clock, report, origin).await.map_err(failed)?;
            if !applied.is_news {
                repeat.use_up();
            }
        }
        Err(retry_after_s) => {
            let applied = order::apply_news(&ctx.db, &ctx.clock, report, verbatim).await.map_err(failed)?;
            if applied.is_none() {
                return Err(Refused::Payment { retry_after_s });
            }
        }
    }
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
            Pot::Repeats.refused(By::Client);
            let detail = "Ten notices of this payment that say nothing new came within an hour, and this is another one. What \
                          is new is taken in at any time.";
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
