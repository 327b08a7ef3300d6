//! The record of what administrators did in a community.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::admin::Recorded;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::shared::moment;
use super::super::{App, problem, shared};
use super::Paging;

/// The record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActionList {
    /// Newest first.
    actions: Vec<ActionAnswer>,
    /// Ask for the next page with it; null on the last.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// Who did what, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActionAnswer {
    /// When.
    at: String,
    /// `operator`, `command line`, or `key:` and a key's public id.
    who: String,
    /// A word, such as `payment.reconcile`.
    what: String,
    /// To which thing.
    target: String,
    /// Why, in their words.
    reason: String,
}

impl From<Recorded> for ActionAnswer {
    fn from(deed: Recorded) -> Self {
        Self { at: moment(deed.at), who: deed.who, what: deed.what, target: deed.target, reason: deed.reason }
    }
}

/// What administrators and the operator did in this community.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/actions", tag = "admin", operation_id = "listAdminActions",
    params(("id" = String, Path, description = "The community's id"), Paging),
    responses(
        (status = 200, description = "The record", body = ActionList),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such community that you administer", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let (_, community) = super::of_community(&app, &asked, headers, id).await?;
        let paging = super::query(paging)?;
        let (limit, before) = (paging.limit()?, paging.cursor(|text| text.parse().ok())?);
        let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
        let mut connection = app.ctx.db.acquire().await.map_err(unexpected)?;
        let found = domain::admin::deeds(&mut connection, Some(community), before, limit).await;
        Ok((found.map_err(unexpected)?, limit))
    };
    match read.await {
        Ok((found, limit)) => {
            let next_cursor = super::next_cursor(&found, limit, |deed| deed.id.to_string());
            let actions = found.into_iter().map(ActionAnswer::from).collect();
            let data_as_of = moment(app.ctx.clock.now());
            shared::json(HeaderMap::new(), &ActionList { actions, next_cursor, data_as_of })
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}
