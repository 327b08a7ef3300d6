//! Payments that hang, and the repair of one: the vendor is asked, and the answer is applied as a notice would be.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::admin::Deed;
use domain::order::{self, Applied, ApplyError, ReconcileError, StuckPayment};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use types::{AccountId, CommunityId, MicroUsd};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::super::caller::{self, Administrator, Claimant};
use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::fields::Field;
use super::super::problem::{self, Shape};
use super::super::shared::moment;
use super::super::{App, body, limits, shared};
use super::{Asking, ConfirmationAnswer, OfWhom, Paging, Repaired};

/// A payment id is the vendor's number, or nearly.
const PAYMENT_ID_BYTES: usize = 128;
/// What the record calls a repair.
pub(crate) const RECONCILE: &str = "payment.reconcile";

/// Which payments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichPayments {
    /// `stuck`: a deposit was seen half an hour ago, and nothing is credited.
    status: Option<String>,
}

/// Payments that hang.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentList {
    /// The longest first.
    payments: Vec<StuckAnswer>,
    /// Ask for the next page with it; null on the last.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// A payment that hangs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StuckAnswer {
    /// The processor's id.
    payment_id: String,
    /// Its order.
    order_id: String,
    /// Whose order.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// Whose account.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// The highest status that was told.
    status: &'static str,
    /// Paid, and only the credits are missing.
    is_paid: bool,
    /// The coin.
    currency: Option<String>,
    /// How many coins were asked for, as decimal text.
    pay_amount: Option<String>,
    /// How many came, as decimal text.
    actually_paid: Option<String>,
    /// When it was made.
    created_at: String,
    /// When the money was first seen.
    deposit_at: String,
    /// When the processor was last asked.
    polled_at: Option<String>,
}

impl From<StuckPayment> for StuckAnswer {
    fn from(payment: StuckPayment) -> Self {
        Self {
            payment_id: payment.payment_id,
            order_id: payment.order.to_string(),
            community_id: payment.community,
            account_id: payment.account,
            status: payment.status.as_str(),
            is_paid: payment.is_paid,
            currency: payment.coin,
            pay_amount: payment.pay_amount,
            actually_paid: payment.actually_paid,
            created_at: moment(payment.created_at),
            deposit_at: moment(payment.deposit_at),
            polled_at: payment.polled_at.map(moment),
        }
    }
}

/// Payments that hang: money was seen, and nothing is credited.
#[utoipa::path(
    get, path = "/api/v1/admin/payments", tag = "admin", operation_id = "listStuckPayments",
    params(WhichPayments, OfWhom, Paging),
    responses(
        (status = 200, description = "The payments; a community's own for its administrators, all for the operator", body = PaymentList),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    which: Result<Query<WhichPayments>, QueryRejection>,
    of: Result<Query<OfWhom>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let community = super::of_list(&app, &asked, headers, &super::query(of)?).await?;
        let (which, paging) = (super::query(which)?, super::query(paging)?);
        if which.status.as_deref() != Some("stuck") {
            return Err(Fault::field(
                "status",
                "This has to be \"stuck\": other payments stand in their orders.",
            ));
        }
        let (limit, after) = (paging.limit()?, paging.cursor(read_cursor)?);
        let mut connection = app.ctx.db.acquire().await.map_err(unexpected)?;
        let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
        let found = order::stuck(&mut connection, &app.ctx.clock, community, after, limit).await;
        Ok((found.map_err(unexpected)?, limit))
    };
    match read.await {
        Ok((found, limit)) => {
            let next_cursor = super::next_cursor(&found, limit, cursor_of);
            let payments = found.into_iter().map(StuckAnswer::from).collect();
            let data_as_of = moment(app.ctx.clock.now());
            shared::json(HeaderMap::new(), &PaymentList { payments, next_cursor, data_as_of })
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

pub(crate) fn cursor_of(payment: &StuckPayment) -> String {
    format!("{}.{}", payment.deposit_at.unix_timestamp_nanos() / 1_000, payment.payment_id)
}

pub(crate) fn read_cursor(text: &str) -> Option<(OffsetDateTime, String)> {
    let (micros, id) = text.split_once('.')?;
    let nanos = micros.parse::<i64>().ok().map(i128::from)? * 1_000;
    Some((OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?, id.to_owned()))
}

/// A repair.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ReconcileBody<'a> {
    /// Why, for the record: 1 to 500 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "the buyer shows a finished transaction")]
    reason: Field<'a>,
    /// Of the first answer; absent the first time.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = Uuid)]
    confirmation: Field<'a>,
}

/// What a repair did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReconciledAnswer {
    /// The processor's id.
    payment_id: String,
    /// Its order.
    order_id: Option<String>,
    /// How the order stands now.
    pub(crate) status: Option<&'static str>,
    /// Micro-USD credited by this repair, bonus included.
    #[schema(value_type = String)]
    pub(crate) minted_micro: MicroUsd,
    /// Micro-USD taken back by this repair.
    #[schema(value_type = String)]
    pub(crate) reversed_micro: MicroUsd,
    /// It is paid, and is credited once the books are checked.
    pub(crate) is_held_up: bool,
    /// What a person has to look at since.
    reviews_opened: Vec<&'static str>,
}

impl ReconciledAnswer {
    fn new(payment_id: String, applied: &Applied) -> Self {
        Self {
            payment_id,
            order_id: applied.order.map(|order| order.to_string()),
            status: applied.status.map(order::Status::as_str),
            minted_micro: applied.minted,
            reversed_micro: applied.reversed,
            is_held_up: applied.is_held_up,
            reviews_opened: applied.opened.iter().map(|review| review.as_str()).collect(),
        }
    }
}

/// Asks the processor about a payment and applies the answer. Asked for twice, and recorded with its reason.
#[utoipa::path(
    post, path = "/api/v1/admin/payments/{id}/reconcile", tag = "admin", operation_id = "reconcilePayment",
    params(("id" = String, Path, description = "The processor's id of the payment")),
    request_body = ReconcileBody<'static>,
    responses(
        (status = 200, description = "Asked and applied", body = ReconciledAnswer),
        (status = 202, description = "Send it again with this confirmation", body = ConfirmationAnswer),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such payment that you administer", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The confirmation does not serve", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The processor did not answer, or the books are busy; with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn reconcile(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let read = async {
        let claimant = caller::claimant(&app, &asked, &parts.headers).await?;
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: ReconcileBody<'_> = whole.parse()?;
        let (reason, token) =
            (super::reason("reason", body.reason)?, super::confirmation(body.confirmation)?);
        Ok((claimant, reason, token))
    };
    let (claimant, reason, token) = match read.await {
        Ok(read) => read,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    match repair(&app, &asked, claimant, &id, &reason, token).await {
        Ok(Repaired::First(answer)) => shared::json_with(StatusCode::ACCEPTED, HeaderMap::new(), &answer),
        Ok(Repaired::Done(answer)) => shared::json(HeaderMap::new(), &answer),
        Err(shape) => problem::respond(shape, &asked),
    }
}

/// Asks for a repair or, with its confirmation, does it: for the API and for the page.
pub(crate) async fn repair(
    app: &App,
    asked: &Asked,
    claimant: Claimant,
    id: &str,
    reason: &str,
    token: Option<Uuid>,
) -> Result<Repaired<ReconciledAnswer>, Shape> {
    let asking = async {
        if id.is_empty() || id.len() > PAYMENT_ID_BYTES || id.chars().any(char::is_control) {
            return Err(no_payment());
        }
        let (who, community) = of_payment(app, claimant, id).await?;
        let name = who.who();
        let deed = Deed { who: &name, what: RECONCILE, target: id, reason, community };
        let will = format!("ask the payment processor about payment {id} and apply its answer");
        super::ask_twice(app, &who, token, deed, will).await
    };
    let who = match asking.await.map_err(|fault| problem::of(fault, asked))? {
        Asking::Confirmed(who) => who,
        Asking::First(answer) => return Ok(Repaired::First(answer)),
        Asking::Wrong => return Err(Shape::not_confirmed(super::not_confirmed())),
    };
    let vendor = app.ctx.payments.vendor.as_ref().ok_or_else(|| {
        Shape::payments_off("This server has no payment processor to ask: NOWPAYMENTS_API_KEY names one.")
    })?;
    match order::reconcile(&app.ctx.db, &app.ctx.clock, vendor, id, &who, reason).await {
        Ok(applied) => Ok(Repaired::Done(ReconciledAnswer::new(id.to_owned(), &applied))),
        Err(error) => Err(refused(error, asked)),
    }
}

/// Who administers the community that a payment belongs to. What no order of ours explains is the operator's alone.
async fn of_payment(
    app: &App,
    claimant: Claimant,
    payment_id: &str,
) -> Result<(Administrator, Option<CommunityId>), Fault> {
    let mut connection = app.ctx.db.acquire().await.map_err(unexpected)?;
    let community = order::community_of_payment(&mut connection, payment_id).await.map_err(unexpected)?;
    drop(connection);
    let who = claimant.of_owned(app, community).await?.ok_or_else(no_payment)?;
    Ok((who, community))
}

fn no_payment() -> Fault {
    Fault::NotFound { message: "There is no such payment that you administer.".to_owned() }
}

fn unexpected(error: sqlx::Error) -> Fault {
    Fault::Unexpected(error.into())
}

fn refused(error: ReconcileError, asked: &Asked) -> Shape {
    match error {
        ReconcileError::NoPayment => problem::of(no_payment(), asked),
        ReconcileError::Vendor(error) => {
            let detail = format!(
                "The payment processor did not answer: {error}. Nothing was changed; try again later."
            );
            Shape::payments_unavailable(detail, 30)
        }
        ReconcileError::Apply(error) => not_applied(error, asked),
    }
}

/// What is said when the books did not take an answer or a decision.
pub(super) fn not_applied(error: ApplyError, asked: &Asked) -> Shape {
    match error {
        ApplyError::Busy(_) => {
            let detail = "The books are busy. Nothing was changed; try again in a few seconds.";
            Shape::payments_unavailable(detail, 5)
        }
        ApplyError::Unexpected(error) => problem::of(Fault::Unexpected(error), asked),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let at = datetime!(2026-03-14 12:00:00.000123 UTC);
        let text = format!("{}.{}", at.unix_timestamp_nanos() / 1_000, "57.45");
        assert_eq!(read_cursor(&text), Some((at, "57.45".to_owned())));
        for bad in ["", "1", "x.1", "99999999999999999999.1"] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }
}
