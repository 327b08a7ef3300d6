//! Which pool and model answered a community's requests, and why; and what share each pool had.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::reports::community::Enforcement;
use ledger::report::{Charged, Decision, DecisionFilter};
use serde::{Deserialize, Serialize};
use time::Date;
use types::{AccountId, CommunityId, MicroUsd, Pool, ReservationId};
use utoipa::{IntoParams, ToSchema};

use super::super::accounts::{Days, range};
use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::shared::moment;
use super::super::{App, problem, shared};
use super::Paging;
use super::usage::{ChargedAnswer, OfPool, pool_of};

/// Longer than any agent's name and any reason of the engine's.
const FILTER_BYTES: usize = 160;

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfDecision {
    /// One agent only, as `{slug}:{token}`.
    agent: Option<String>,
    /// One reason only.
    reason: Option<String>,
}

/// Routing decisions of a community.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnforcementAnswer {
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// First day.
    from: String,
    /// Last day.
    to: String,
    /// Each pool's share over all pages: what it answered.
    by_pool: BTreeMap<&'static str, ShareAnswer>,
    /// Each reason's, by the same words as the decisions'.
    by_reason: BTreeMap<String, ShareAnswer>,
    /// A page of decisions, newest first.
    decisions: Vec<DecisionAnswer>,
    /// Ask for older decisions with it; null on the last page.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// A share of all decisions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShareAnswer {
    #[serde(flatten)]
    charged: ChargedAnswer,
    /// Its share of the requests in hundredths of a per cent, rounded down.
    share_basis_points: i64,
}

/// One answered request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecisionAnswer {
    /// The request's reservation.
    reservation_id: String,
    /// When it was made.
    timestamp: String,
    /// Who paid.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// The agent, as `{slug}:{token}`; null: a plain pool or model was asked.
    nft_id: Option<String>,
    /// The model's name as the caller wrote it.
    requested_model: String,
    /// The pool that was asked for; null: the tier or the agent's affinities chose.
    requested_pool: Option<&'static str>,
    /// The pool that answered.
    actual_pool: Option<&'static str>,
    /// The model that answered.
    model: String,
    /// `requested`, `default`, `affinity`, `forbidden_pool`, `forbidden_model`, `unknown_model`, `model_off` or `fallback`.
    reason: String,
    /// What it cost.
    #[schema(value_type = String)]
    cost_micro: MicroUsd,
}

impl From<&(Decision, Option<Pool>)> for DecisionAnswer {
    fn from((decision, requested): &(Decision, Option<Pool>)) -> Self {
        Self {
            reservation_id: decision.id.to_string(),
            timestamp: moment(decision.at),
            account_id: decision.account,
            nft_id: decision.agent.clone(),
            requested_model: decision.asked.clone(),
            requested_pool: requested.map(Pool::as_str),
            actual_pool: decision.pool.map(Pool::as_str),
            model: decision.model.clone(),
            reason: decision.reason.clone(),
            cost_micro: MicroUsd(decision.cost),
        }
    }
}

/// Which pool and model answered, and why: every charged request.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/pool-enforcement", tag = "admin", operation_id = "readPoolEnforcement",
    params(("id" = String, Path, description = "The community's id"), Days, OfPool, OfDecision, Paging),
    responses(
        (status = 200, description = "The decisions and the shares", body = EnforcementAnswer),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such community that you administer", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
#[expect(clippy::too_many_arguments, reason = "each is a part of the request that the framework reads")]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    days: Result<Query<Days>, QueryRejection>,
    pool: Result<Query<OfPool>, QueryRejection>,
    of: Result<Query<OfDecision>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let (_, community) = super::of_community(&app, &asked, headers, id).await?;
        let (paging, of) = (super::query(paging)?, super::query(of)?);
        let now = app.ctx.clock.now();
        let (from, to) = range(&super::query(days)?, now.date())?;
        let filter = DecisionFilter {
            from,
            to,
            pool: pool_of(&super::query(pool)?)?,
            agent: bounded("agent", of.agent)?,
            reason: bounded("reason", of.reason)?,
        };
        let limit = paging.limit()?;
        let before = paging.cursor(|text| text.parse().ok().map(ReservationId))?;
        let found =
            domain::reports::community::enforcement(&app.ctx, community, &filter, before, limit).await;
        let found = found.map_err(Fault::Unexpected)?.ok_or_else(super::no_community)?;
        Ok(answer(community, (from, to), &found, limit, moment(now)))
    };
    match read.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

fn answer(
    community_id: CommunityId,
    (from, to): (Date, Date),
    found: &Enforcement,
    limit: i64,
    data_as_of: String,
) -> EnforcementAnswer {
    let Enforcement { shares, decisions } = found;
    let all = shares.by_pool.iter().fold(0_i64, |sum, (_, charged)| sum.saturating_add(charged.requests));
    let share = |charged: Charged| ShareAnswer {
        charged: charged.into(),
        share_basis_points: basis_points(charged.requests, all),
    };
    EnforcementAnswer {
        community_id,
        from: from.to_string(),
        to: to.to_string(),
        by_pool: shares
            .by_pool
            .iter()
            .map(|(pool, charged)| (pool.map_or("unknown", Pool::as_str), share(*charged)))
            .collect(),
        by_reason: shares.by_reason.iter().map(|(reason, of)| (reason.clone(), share(*of))).collect(),
        decisions: decisions.iter().map(DecisionAnswer::from).collect(),
        next_cursor: super::next_cursor(decisions, limit, |(decision, _)| decision.id.to_string()),
        data_as_of,
    }
}

fn basis_points(part: i64, all: i64) -> i64 {
    i64::try_from(i128::from(part) * 10_000 / i128::from(all.max(1))).unwrap_or(0)
}

fn bounded(param: &str, text: Option<String>) -> Result<Option<String>, Fault> {
    match text {
        Some(text) if text.len() > FILTER_BYTES || text.chars().any(char::is_control) => {
            Err(Fault::field(param, "This has to be an agent or a reason as the decisions name it."))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_numbers_of_all() {
        assert_eq!((basis_points(1, 3), basis_points(3, 3), basis_points(0, 0)), (3_333, 10_000, 0));
        assert_eq!(basis_points(i64::MAX, i64::MAX), 10_000);
    }
}
