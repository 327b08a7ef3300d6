//! A community's agents, and what its accounts asked them lately.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::agent::Page;
use domain::reports::community::{ACTIVE_FOR, AgentActivity};
use serde::Serialize;
use types::MicroUsd;
use utoipa::ToSchema;

use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::shared::moment;
use super::super::{App, problem, shared};
use super::Paging;

/// A page of agents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentList {
    /// In the order in which they came.
    agents: Vec<ActiveAgent>,
    /// The figures of an agent count so many days back.
    active_days: i64,
    /// Ask for the next page with it; null on the last.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// An agent and its use by this community's accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActiveAgent {
    /// `{slug}:{token}`, as usage and routing records name it.
    agent: String,
    /// What people call it.
    name: String,
    /// Its personality's version.
    version: i32,
    /// Only its holder may talk to it.
    holder_only: bool,
    /// Its conversations may be read without a login.
    public_history: bool,
    /// Whether anyone asked it within `active_days`.
    active: bool,
    /// Charged requests.
    requests: i64,
    /// Accounts that asked.
    users: i64,
    /// Micro-USD.
    #[schema(value_type = String)]
    cost_micro: MicroUsd,
    /// Conversations within `active_days`: one for each wallet that asked.
    conversations: i64,
    /// Null: not within `active_days`.
    last_active_at: Option<String>,
}

impl From<&AgentActivity> for ActiveAgent {
    fn from(found: &AgentActivity) -> Self {
        let AgentActivity { agent, usage, conversations } = found;
        Self {
            agent: agent.nft_id(),
            name: agent.name.clone(),
            version: agent.version,
            holder_only: agent.holder_only,
            public_history: agent.public_history,
            active: usage.is_some(),
            requests: usage.as_ref().map_or(0, |usage| usage.requests),
            users: usage.as_ref().map_or(0, |usage| usage.users),
            cost_micro: MicroUsd(usage.as_ref().map_or(0, |usage| usage.cost)),
            conversations: *conversations,
            last_active_at: usage.as_ref().map(|usage| moment(usage.last_active_at)),
        }
    }
}

/// The agents of a community, and how they are used.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/agents", tag = "admin", operation_id = "listCommunityAgents",
    params(("id" = String, Path, description = "The community's id"), Paging),
    responses(
        (status = 200, description = "A page of agents", body = AgentList),
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
        let (limit, after) = (paging.limit()?, paging.cursor(|text| text.parse().ok())?);
        let found = domain::reports::community::agents(&app.ctx, community, Page { after, limit }).await;
        let found = found.map_err(Fault::Unexpected)?.ok_or_else(super::no_community)?;
        Ok(AgentList {
            agents: found.iter().map(ActiveAgent::from).collect(),
            active_days: ACTIVE_FOR.whole_days(),
            next_cursor: super::next_cursor(&found, limit, |found| found.agent.id.to_string()),
            data_as_of: moment(app.ctx.clock.now()),
        })
    };
    match read.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}
