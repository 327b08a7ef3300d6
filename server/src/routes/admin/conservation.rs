//! Whether a community's books agree: its sums, the guard's last look, and every violation with its resolution.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use ledger::Violation;
use ledger::report::Conservation;
use serde::Serialize;
use time::OffsetDateTime;
use types::{AccountId, CommunityId, MicroUsd};
use utoipa::ToSchema;

use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::shared::moment;
use super::super::{App, problem, shared};
use super::Paging;

/// Where a community's credits are: `created + receivable = available + held + consumed + expired + reversed`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConservationAnswer {
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// Accounts.
    accounts: i64,
    /// Ever credited.
    #[schema(value_type = String)]
    created_micro: MicroUsd,
    /// Charged.
    #[schema(value_type = String)]
    consumed_micro: MicroUsd,
    /// Set aside.
    #[schema(value_type = String)]
    held_micro: MicroUsd,
    /// Free.
    #[schema(value_type = String)]
    available_micro: MicroUsd,
    /// Lost to expiry.
    #[schema(value_type = String)]
    expired_micro: MicroUsd,
    /// Taken back.
    #[schema(value_type = String)]
    reversed_micro: MicroUsd,
    /// Owed to us.
    #[schema(value_type = String)]
    receivable_micro: MicroUsd,
    /// By how much any sum disagrees with the journal: 0, or something is wrong.
    #[schema(value_type = String)]
    difference_micro: MicroUsd,
    /// `holds`, or `violated` while a difference or an open violation stands.
    conservation_result: &'static str,
    /// Accounts that are frozen.
    frozen_accounts: i64,
    /// Violations that nobody has resolved.
    open_violations: i64,
    /// Since when nothing is credited, because of a difference that no account explains.
    minting_stopped_at: Option<String>,
    /// When every account was last looked at.
    last_check_at: Option<String>,
    /// How many seconds ago that was.
    last_check_age_seconds: Option<i64>,
    /// A page of violations, newest first.
    violations: Vec<ViolationAnswer>,
    /// Ask for older violations with it; null on the last page.
    next_cursor: Option<String>,
    /// When the sums were read.
    data_as_of: String,
}

/// Where the books did not agree.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ViolationAnswer {
    /// Its number.
    id: String,
    /// Whose; null: no account explains it.
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    /// When it was found.
    found_at: String,
    /// What did not agree.
    what: String,
    /// When it was resolved.
    resolved_at: Option<String>,
    /// By whom.
    resolved_by: Option<String>,
    /// What they wrote about it.
    note: Option<String>,
}

impl From<&Violation> for ViolationAnswer {
    fn from(violation: &Violation) -> Self {
        Self {
            id: violation.id.to_string(),
            account_id: violation.account,
            found_at: moment(violation.found_at),
            what: violation.what.clone(),
            resolved_at: violation.resolved_at.map(moment),
            resolved_by: violation.resolved_by.clone(),
            note: violation.note.clone(),
        }
    }
}

/// Where a community's credits are, and whether the books agree.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/conservation", tag = "admin", operation_id = "readConservation",
    params(("id" = String, Path, description = "The community's id"), Paging),
    responses(
        (status = 200, description = "The sums and the violations", body = ConservationAnswer),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such community that you administer", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn read(
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
        let found = domain::reports::community::conservation(&app.ctx, community, before, limit).await;
        let (sums, violations) = found.map_err(Fault::Unexpected)?.ok_or_else(super::no_community)?;
        Ok(answer(community, &sums, &violations, limit, app.ctx.clock.now()))
    };
    match read.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

fn answer(
    community_id: CommunityId,
    sums: &Conservation,
    violations: &[Violation],
    limit: i64,
    now: OffsetDateTime,
) -> ConservationAnswer {
    let holds = sums.difference == 0 && sums.open_violations == 0;
    ConservationAnswer {
        community_id,
        accounts: sums.accounts,
        created_micro: MicroUsd(sums.created),
        consumed_micro: MicroUsd(sums.consumed),
        held_micro: MicroUsd(sums.held),
        available_micro: MicroUsd(sums.available),
        expired_micro: MicroUsd(sums.expired),
        reversed_micro: MicroUsd(sums.reversed),
        receivable_micro: MicroUsd(sums.receivable),
        difference_micro: MicroUsd(sums.difference),
        conservation_result: if holds { "holds" } else { "violated" },
        frozen_accounts: sums.frozen,
        open_violations: sums.open_violations,
        minting_stopped_at: sums.minting_stopped_at.map(moment),
        last_check_at: sums.checked_at.map(moment),
        last_check_age_seconds: sums.checked_at.map(|at| (now - at).whole_seconds().max(0)),
        violations: violations.iter().map(ViolationAnswer::from).collect(),
        next_cursor: super::next_cursor(violations, limit, |violation| violation.id.to_string()),
        data_as_of: moment(now),
    }
}
