//! The queue of what a person has to look at, and the decisions about it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::order::{self, DecideError, Decided, Resolution, ResolveError, ReviewItem, ReviewState, Which};
use serde::{Deserialize, Serialize};
use types::{CommunityId, MicroUsd};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::super::accounts::required;
use super::super::caller::{self, Administrator, Claimant};
use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::fields::Field;
use super::super::problem::{self, Shape};
use super::super::sentences;
use super::super::shared::moment;
use super::super::{App, body, limits, shared};
use super::approvals::ApprovalAnswer;
use super::payments::not_applied;
use super::{ConfirmationAnswer, OfWhom, Paging};

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichReviews {
    /// `open` (also when absent) or `all`.
    state: Option<String>,
}

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewList {
    /// Oldest first.
    reviews: Vec<ReviewAnswer>,
    /// Ask for the next page with it; null on the last.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// Something that a person has to look at, or has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewAnswer {
    /// Its number.
    id: String,
    /// `partially_paid`, `overpay`, `child_payment`, `wrong_currency`, `wrong_price`, `unknown_status`, `unknown_order` or
    /// `other_order`.
    kind: &'static str,
    /// The processor's payment.
    payment_id: String,
    /// The unknown status, or the other order; else empty.
    detail: String,
    /// The order, if one of ours is meant.
    order_id: Option<String>,
    /// Whose order.
    #[schema(value_type = Option<String>)]
    community_id: Option<CommunityId>,
    /// `open`, `overtaken`, `credited` or `dismissed`.
    state: &'static str,
    /// When it was opened.
    opened_at: String,
    /// When it was closed.
    closed_at: Option<String>,
    /// Who closed it.
    closed_by: Option<String>,
    /// What they wrote.
    note: Option<String>,
}

impl From<ReviewItem> for ReviewAnswer {
    fn from(item: ReviewItem) -> Self {
        let (state, closed_at, by) = match item.state {
            ReviewState::Open => ("open", None, None),
            ReviewState::Overtaken { at } => ("overtaken", Some(at), None),
            ReviewState::Credited(by) => ("credited", Some(by.at), Some((by.who, by.note))),
            ReviewState::Dismissed(by) => ("dismissed", Some(by.at), Some((by.who, by.note))),
        };
        let (closed_by, note) = by.unzip();
        Self {
            id: item.id.to_string(),
            kind: item.kind.as_str(),
            payment_id: item.payment_id,
            detail: item.detail,
            order_id: item.order.map(|order| order.to_string()),
            community_id: item.community,
            state,
            opened_at: moment(item.opened_at),
            closed_at: closed_at.map(moment),
            closed_by,
            note,
        }
    }
}

/// What a person has to look at: odd payments, overpayments, notices that no order explains.
#[utoipa::path(
    get, path = "/api/v1/admin/reviews", tag = "admin", operation_id = "listReviews",
    params(WhichReviews, OfWhom, Paging),
    responses(
        (status = 200, description = "The queue; a community's own for its administrators, all for the operator", body = ReviewList),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    which: Result<Query<WhichReviews>, QueryRejection>,
    of: Result<Query<OfWhom>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let community = super::of_list(&app, &asked, headers, &super::query(of)?).await?;
        let (query, paging) = (super::query(which)?, super::query(paging)?);
        let which = match query.state.as_deref() {
            None | Some("open") => Which::Open,
            Some("all") => Which::All,
            Some(_) => return Err(Fault::field("state", "This has to be open or all.")),
        };
        let limit = paging.limit()?;
        let after = paging.cursor(|text| text.parse().ok())?.unwrap_or(0);
        let mut connection = app.ctx.db.acquire().await.map_err(unexpected)?;
        let found = order::reviews(&mut connection, community, which, after, limit).await;
        Ok((found.map_err(unexpected)?, limit))
    };
    match read.await {
        Ok((found, limit)) => {
            let next_cursor = super::next_cursor(&found, limit, |item| item.id.to_string());
            let reviews = found.into_iter().map(ReviewAnswer::from).collect();
            let data_as_of = moment(app.ctx.clock.now());
            shared::json(HeaderMap::new(), &ReviewList { reviews, next_cursor, data_as_of })
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// A decision.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ResolveBody<'a> {
    /// `credit` (an overpayment: a lot of the pack's whole worth) or `dismiss`.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "dismiss")]
    resolution: Field<'a>,
    /// Why, for the record: 1 to 500 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true)]
    note: Field<'a>,
    /// Of the first answer; absent the first time.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = Uuid)]
    confirmation: Field<'a>,
}

/// What a decision did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResolvedAnswer {
    /// The item as it is now.
    review: ReviewAnswer,
    /// Micro-USD credited by it.
    #[schema(value_type = String)]
    pub(crate) credited_micro: MicroUsd,
}

/// Decides about a review item. To dismiss is asked for twice: a key asks, a wallet confirms, a second administrator where
/// there are two. To credit is asked for once, and the operator approves it. All of it is recorded with its note.
#[utoipa::path(
    post, path = "/api/v1/admin/reviews/{id}/resolve", tag = "admin", operation_id = "resolveReview",
    params(("id" = String, Path, description = "The item's number")),
    request_body = ResolveBody<'static>,
    responses(
        (status = 200, description = "Decided", body = ResolvedAnswer),
        (status = 202, description = "Send it again with this confirmation, or wait: the operator approves what credits money and what concerns an order of your own", body = FirstAnswer),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`, or the order is the confirming administrator's own", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such item that you administer", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The item is closed, is no overpayment, or the confirmation does not serve", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The books are busy, or nothing is credited for now: the confirmation serves on; with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn resolve(
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
        let body: ResolveBody<'_> = whole.parse()?;
        let resolution = resolution_of(&required("resolution", body.resolution)?)?;
        let (note, token) = (super::reason("note", body.note)?, super::confirmation(body.confirmation)?);
        Ok((claimant, Decision { resolution, note, token }))
    };
    let (claimant, decision) = match read.await {
        Ok(read) => read,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    match decide(&app, &asked, claimant, &id, decision).await {
        Ok(Outcome::First(answer)) => accepted(&FirstAnswer::Confirmation(answer)),
        Ok(Outcome::Waiting(answer)) => accepted(&FirstAnswer::Waiting(answer)),
        Ok(Outcome::Done(answer)) => shared::json(HeaderMap::new(), &answer),
        Err(shape) => problem::respond(shape, &asked),
    }
}

fn accepted(answer: &FirstAnswer) -> Response {
    shared::json_with(StatusCode::ACCEPTED, HeaderMap::new(), answer)
}

/// The decision that a word names.
pub(crate) fn resolution_of(word: &str) -> Result<Resolution, Fault> {
    match word {
        "credit" => Ok(Resolution::Credit),
        "dismiss" => Ok(Resolution::Dismiss),
        _ => Err(Fault::field("resolution", "This has to be credit or dismiss.")),
    }
}

/// What somebody decided, and the token of their first request.
pub(crate) struct Decision {
    pub(crate) resolution: Resolution,
    pub(crate) note: String,
    pub(crate) token: Option<Uuid>,
}

/// What became of a decision.
pub(crate) enum Outcome {
    /// It was the first request: this is what to confirm.
    First(ConfirmationAnswer),
    /// It waits for the operator.
    Waiting(Box<WaitingAnswer>),
    /// It was done.
    Done(Box<ResolvedAnswer>),
}

/// A decision that waits for the operator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingAnswer {
    /// `operator`.
    waits_for: &'static str,
    /// The request. `GET /api/v1/admin/approvals?state=all` shows how it went on.
    approval: ApprovalAnswer,
}

/// The first answer: something to confirm, or a request that waits.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum FirstAnswer {
    /// Send it again with this confirmation.
    Confirmation(ConfirmationAnswer),
    /// The operator approves it.
    Waiting(Box<WaitingAnswer>),
}

/// Takes a decision, or asks for what it still needs: for the API and for the page.
pub(crate) async fn decide(
    app: &App,
    asked: &Asked,
    claimant: Claimant,
    id: &str,
    decision: Decision,
) -> Result<Outcome, Shape> {
    let Decision { resolution, note, token } = decision;
    let (who, item) = item_of(app, claimant, id).await.map_err(|fault| problem::of(fault, asked))?;
    let decided = order::decide(&app.ctx, &who, item.id, resolution, &note, token).await;
    match decided {
        Ok(Decided::First(confirmation, by)) => {
            let will = format!(
                "{} review item {} ({}) of payment {}",
                resolution.as_str(),
                item.id,
                item.kind.as_str(),
                item.payment_id
            );
            Ok(Outcome::First(super::first_answer(confirmation, by, will)))
        }
        Ok(Decided::Waiting(request)) => {
            let waiting = WaitingAnswer { waits_for: "operator", approval: request.into() };
            Ok(Outcome::Waiting(Box::new(waiting)))
        }
        Ok(Decided::NotConfirmed) => Err(Shape::not_confirmed(super::not_confirmed())),
        Ok(Decided::Done(resolved)) => {
            let answer = ResolvedAnswer { review: resolved.item.into(), credited_micro: resolved.credited };
            Ok(Outcome::Done(Box::new(answer)))
        }
        Err(DecideError::NotFresh) => {
            Err(problem::of(Fault::SessionOver { message: sentences::SESSION_NOT_FRESH }, asked))
        }
        Err(DecideError::OwnOrder) => {
            let detail =
                "You bought this order yourself, so another administrator or the operator decides about it.";
            Err(Shape::forbidden(detail))
        }
        Err(DecideError::OtherWaits(request)) => {
            let detail = format!(
                "{} asked to {} this item, and that waits for the operator. Nothing was changed.",
                request.who,
                request.resolution.as_str()
            );
            Err(Shape::conflict(detail))
        }
        Err(DecideError::DeclinedTooOften) => {
            let detail = format!(
                "The operator has declined {} requests about this item. Write to the operator instead.",
                order::ASKS_PER_ITEM
            );
            Err(Shape::conflict(detail))
        }
        Err(DecideError::Resolve(error)) => Err(refused(error, asked)),
    }
}

/// What is said when an item was not closed.
pub(super) fn refused(error: ResolveError, asked: &Asked) -> Shape {
    match error {
        ResolveError::NoItem => problem::of(no_item(), asked),
        ResolveError::Closed(_) => Shape::conflict("The item is closed: nothing was changed."),
        ResolveError::NotAnOverpayment => Shape::conflict(
            "Only an overpayment can be credited here. For anything else an operator grants credits.",
        ),
        ResolveError::Frozen => Shape::frozen(),
        ResolveError::MintingStopped => Shape::minting_stopped(),
        ResolveError::Apply(error) => not_applied(error, asked),
    }
}

/// The item, if this administrator may see it. What belongs to no community is the operator's alone.
async fn item_of(app: &App, claimant: Claimant, id: &str) -> Result<(Administrator, ReviewItem), Fault> {
    let id: i64 = id.parse().map_err(|_| no_item())?;
    let mut connection = app.ctx.db.acquire().await.map_err(unexpected)?;
    let item = order::review(&mut connection, id).await.map_err(unexpected)?.ok_or_else(no_item)?;
    drop(connection);
    let who = claimant.of_owned(app, item.community).await?.ok_or_else(no_item)?;
    Ok((who, item))
}

fn no_item() -> Fault {
    Fault::NotFound { message: "There is no such review item that you administer.".to_owned() }
}

fn unexpected(error: sqlx::Error) -> Fault {
    Fault::Unexpected(error.into())
}
