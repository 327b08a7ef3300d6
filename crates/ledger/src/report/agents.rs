//! What a community's accounts asked its agents, for its admins.

use sqlx::PgConnection;
use time::OffsetDateTime;
use types::CommunityId;

use crate::lease::first_id_at;

/// The use of one agent.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AgentUsage {
    /// `{slug}:{token}`.
    pub agent: String,
    /// Charged requests.
    pub requests: i64,
    /// Micro-USD.
    pub cost: i64,
    /// Accounts that asked.
    pub users: i64,
    /// When it was asked last.
    pub last_active_at: OffsetDateTime,
}

/// The use of some agents since a time; one that nobody asked has no entry. Holds lie in the order of their ids, so this
/// reads those of the span and no other.
pub async fn usage_of_agents(
    connection: &mut PgConnection,
    community: CommunityId,
    since: OffsetDateTime,
    agents: &[String],
) -> Result<Vec<AgentUsage>, sqlx::Error> {
    let since_ms = i64::try_from(since.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    sqlx::query_as(
        "select agent, count(*) filter (where state = 1) as requests, coalesce(sum(charged), 0)::bigint as cost,
           count(distinct account_id) as users, max(created_at) as last_active_at
         from hold where community_id = $1 and id >= $2 and agent = any($3) group by agent",
    )
    .bind(community.0)
    .bind(first_id_at(since_ms))
    .bind(agents)
    .fetch_all(connection)
    .await
}
