//! Decisions that wait for the operator: administrators see their own, the operator approves or declines them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::order::{self, ApprovalError, ApprovalRequest, ApprovalState, WhichApprovals};
use serde::{Deserialize, Serialize};
use types::{CommunityId, MicroUsd};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::super::caller::{self, Claimant};
use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::fields::Field;
use super::super::problem::{self, Shape};
use super::super::shared::moment;
use super::super::{App, body, limits, shared};
use super::{OfWhom, Paging};

/// How the record names whoever holds the operator's token.
const OPERATOR: &str = "operator";

/// Which requests.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichRequests {
    /// `waiting` (also when absent) or `all`.
    state: Option<String>,
}

/// Requests for the operator's approval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalList {
    /// Newest first.
    approvals: Vec<ApprovalAnswer>,
    /// Ask for the next page with it; null on the last.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// A decision that waits for the operator, or has waited.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalAnswer {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: Uuid,
    /// Whose review item.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// The review item.
    review_id: String,
    /// What the item is about, as in the queue of reviews.
    kind: &'static str,
    /// The processor's payment.
    payment_id: String,
    /// `credit` or `dismiss`.
    resolution: &'static str,
    /// Who asked.
    asked_by: String,
    /// Why.
    note: String,
    /// When.
    asked_at: String,
    /// `waiting`, `approved`, `declined`, or `overtaken`: the item was closed otherwise.
    state: &'static str,
    /// Who approved or declined it.
    decided_by: Option<String>,
    /// When.
    decided_at: Option<String>,
    /// What they wrote.
    decision_note: Option<String>,
}

impl From<ApprovalRequest> for ApprovalAnswer {
    fn from(request: ApprovalRequest) -> Self {
        let (state, by) = match request.state {
            ApprovalState::Waiting => ("waiting", None),
            ApprovalState::Overtaken => ("overtaken", None),
            ApprovalState::Approved(by) => ("approved", Some(by)),
            ApprovalState::Declined(by) => ("declined", Some(by)),
        };
        Self {
            id: request.id,
            community_id: request.community,
            review_id: request.item.to_string(),
            kind: request.kind.as_str(),
            payment_id: request.payment_id,
            resolution: request.resolution.as_str(),
            asked_by: request.who,
            note: request.note,
            asked_at: moment(request.asked_at),
            state,
            decided_at: by.as_ref().map(|by| moment(by.at)),
            decided_by: by.as_ref().map(|by| by.who.clone()),
            decision_note: by.map(|by| by.note),
        }
    }
}

/// What waits for the operator's approval, and what became of earlier requests.
#[utoipa::path(
    get, path = "/api/v1/admin/approvals", tag = "admin", operation_id = "listApprovals",
    params(WhichRequests, OfWhom, Paging),
    responses(
        (status = 200, description = "The requests; a community's own for its administrators, all for the operator", body = ApprovalList),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    which: Result<Query<WhichRequests>, QueryRejection>,
    of: Result<Query<OfWhom>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let community = super::of_list(&app, &asked, headers, &super::query(of)?).await?;
        let (query, paging) = (super::query(which)?, super::query(paging)?);
        let which = match query.state.as_deref() {
            None | Some("waiting") => WhichApprovals::Waiting,
            Some("all") => WhichApprovals::All,
            Some(_) => return Err(Fault::field("state", "This has to be waiting or all.")),
        };
        let (limit, before) = (paging.limit()?, paging.cursor(|text| text.parse().ok())?);
        let mut connection = app.ctx.db.acquire().await.map_err(unexpected)?;
        let found = order::approvals(&mut connection, community, which, before, limit).await;
        Ok((found.map_err(unexpected)?, limit))
    };
    match read.await {
        Ok((found, limit)) => {
            let next_cursor = super::next_cursor(&found, limit, |request| request.id.to_string());
            let approvals = found.into_iter().map(ApprovalAnswer::from).collect();
            let data_as_of = moment(app.ctx.clock.now());
            shared::json(HeaderMap::new(), &ApprovalList { approvals, next_cursor, data_as_of })
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// The operator's word about a request.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ApprovalBody<'a> {
    /// Why, for the record: 1 to 500 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "the transfer stands in our account")]
    note: Field<'a>,
}

/// What an approval did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovedAnswer {
    /// The request as it is now.
    approval: ApprovalAnswer,
    /// Micro-USD credited by this approval; zero when it was approved before.
    #[schema(value_type = String)]
    credited_micro: MicroUsd,
}

/// Approves a request: what it asks for is done in the same commit. Approving twice does it once.
#[utoipa::path(
    post, path = "/api/v1/admin/approvals/{id}/approve", tag = "admin", operation_id = "approveRequest",
    params(("id" = String, Path, description = "The request's id")),
    request_body = ApprovalBody<'static>,
    responses(
        (status = 200, description = "Approved, now or before", body = ApprovedAnswer),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "Only the operator approves, or the account is frozen", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such request", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The request was declined, or its item is closed", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The books are busy, or nothing is credited for now; with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
pub(crate) async fn approve(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (id, note) = match read(&app, &asked, id, request).await {
        Ok(read) => read,
        Err(shape) => return problem::respond(shape, &asked),
    };
    match order::approve(&app.ctx.db, &app.ctx.clock, id, OPERATOR, &note).await {
        Ok(approved) => {
            let credited_micro = approved.done.map_or(MicroUsd::ZERO, |done| done.credited);
            let answer = ApprovedAnswer { approval: approved.request.into(), credited_micro };
            shared::json(HeaderMap::new(), &answer)
        }
        Err(error) => problem::respond(refused(error, &asked), &asked),
    }
}

/// Declines a request: nothing is done, and its item stays open.
#[utoipa::path(
    post, path = "/api/v1/admin/approvals/{id}/decline", tag = "admin", operation_id = "declineRequest",
    params(("id" = String, Path, description = "The request's id")),
    request_body = ApprovalBody<'static>,
    responses(
        (status = 200, description = "Declined, now or before", body = ApprovalAnswer),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "Only the operator declines", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such request", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The request was approved", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
pub(crate) async fn decline(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (id, note) = match read(&app, &asked, id, request).await {
        Ok(read) => read,
        Err(shape) => return problem::respond(shape, &asked),
    };
    match order::decline(&app.ctx.db, &app.ctx.clock, id, OPERATOR, &note).await {
        Ok(request) => shared::json(HeaderMap::new(), &ApprovalAnswer::from(request)),
        Err(error) => problem::respond(refused(error, &asked), &asked),
    }
}

/// The request that is meant and the operator's word about it; anybody else is refused before the body is read.
async fn read(
    app: &App,
    asked: &Asked,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<(Uuid, String), Shape> {
    let (parts, incoming) = request.into_parts();
    let of = |fault| problem::of(fault, asked);
    match caller::claimant(app, asked, &parts.headers).await.map_err(of)? {
        Claimant::Operator => {}
        Claimant::Key(_) | Claimant::Wallet(_) => {
            body::discard(incoming).await;
            return Err(Shape::forbidden("Only the operator decides about this. The request waits."));
        }
    }
    let whole =
        body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES).await;
    let whole = whole.map_err(of)?;
    let body: ApprovalBody<'_> = whole.parse().map_err(of)?;
    let note = super::reason("note", body.note).map_err(of)?;
    let id = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or_else(no_request)?;
    Ok((id, note))
}

fn refused(error: ApprovalError, asked: &Asked) -> Shape {
    match error {
        ApprovalError::NoRequest => no_request(),
        ApprovalError::Decided(request) => {
            let (word, by) = match request.state {
                ApprovalState::Approved(by) => ("approved", by.who),
                ApprovalState::Declined(by) => ("declined", by.who),
                ApprovalState::Waiting | ApprovalState::Overtaken => ("decided", "nobody".to_owned()),
            };
            Shape::conflict(format!("The request was {word} by {by}. Nothing was changed."))
        }
        ApprovalError::Resolve(error) => super::reviews::refused(error, asked),
    }
}

fn no_request() -> Shape {
    Shape::not_found("There is no such request. GET /api/v1/admin/approvals lists those that wait.")
}

fn unexpected(error: sqlx::Error) -> Fault {
    Fault::Unexpected(error.into())
}
