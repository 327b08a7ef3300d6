//! What administrators read of their community's books. `None` everywhere: there is no such community in the books.
//!
//! Read live from the books; only what the guard says is as old as its last look. Deliberately absent: who may read.

use ledger::report::{
    AgentUsage, Budget, CappedAccount, Conservation, Decision, DecisionFilter, Movement, Origin, Projection,
    Shares, Span, Usage, UserUsage, lots, movements, origins, projection, usage_by_user, usage_of_community,
};
use std::collections::HashMap;
use std::sync::Arc;

use ledger::{Lot, Violation, Which};
use time::{Date, Duration, OffsetDateTime};
use types::{AccountId, CommunityId, LotId, Pool, ReservationId};

use crate::agent::{self, Agent, Page};
use crate::{Ctx, chat, community, turn};

/// Which usage.
#[derive(Clone, Copy, Debug)]
pub struct UsageQuery {
    /// First UTC day.
    pub from: Date,
    /// Last UTC day, counted.
    pub to: Date,
    /// Of one pool only.
    pub pool: Option<Pool>,
    /// Further users of the same figures.
    pub after: Option<UserPlace>,
    /// Users of a page.
    pub limit: i64,
}

/// A place in the list of users. It holds the range of the first page, so that all pages add up to its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserPlace {
    /// The journal rows that the first page summed.
    pub span: Span,
    /// What the page's last user was charged.
    pub cost: i64,
    /// The page's last user.
    pub account: AccountId,
}

/// What a community used.
#[derive(Clone, Debug)]
pub struct CommunityUsage {
    /// The journal rows that were summed.
    pub span: Span,
    /// Sums.
    pub usage: Usage,
    /// A page of users, dearest first.
    pub users: Vec<UserUsage>,
    /// How long the credits last.
    pub projection: Projection,
}

/// Usage of a community: totals, by pool, by day, by user, and a projection.
pub async fn usage(
    ctx: &Ctx,
    community: CommunityId,
    query: UsageQuery,
) -> anyhow::Result<Option<CommunityUsage>> {
    let mut connection = ctx.db.acquire().await?;
    let UsageQuery { from, to, pool, after, limit } = query;
    let today = ctx.clock.now().date();
    let Some(projection) = projection(&mut connection, community, today).await? else { return Ok(None) };
    let span = match after {
        Some(place) => Some(place.span),
        None => ledger::report::span(&mut connection, community, from, to).await?,
    };
    let Some(span) = span else { return Ok(None) };
    let usage = usage_of_community(&mut connection, community, span, pool).await?;
    let after = after.map(|place| (place.cost, place.account));
    let users = usage_by_user(&mut connection, community, span, pool, after, limit).await?;
    Ok(Some(CommunityUsage { span, usage, users, projection }))
}

/// Where a community's credits came from, a page of lots, and a page of what happened to them.
#[derive(Clone, Debug)]
pub struct Billing {
    /// By origin.
    pub origins: Vec<Origin>,
    /// Newest first.
    pub lots: Vec<Lot>,
    /// Newest first.
    pub history: Vec<Movement>,
}

/// Which pages of the billing.
#[derive(Clone, Copy, Debug)]
pub struct BillingQuery {
    /// Of one account only.
    pub account: Option<AccountId>,
    /// The last lot of the page before.
    pub lots_before: Option<(OffsetDateTime, LotId)>,
    /// The last movement of the page before.
    pub history_before: Option<i64>,
    /// Rows of a page.
    pub limit: i64,
}

/// The billing of a community.
pub async fn billing(
    ctx: &Ctx,
    community: CommunityId,
    query: BillingQuery,
) -> anyhow::Result<Option<Billing>> {
    let mut connection = ctx.db.acquire().await?;
    let BillingQuery { account, lots_before, history_before, limit } = query;
    if ledger::report::budget(&mut connection, community).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(Billing {
        origins: origins(&mut connection, community).await?,
        lots: lots(&mut connection, community, account, lots_before, limit).await?,
        history: movements(&mut connection, community, account, history_before, limit).await?,
    }))
}

/// Whether the books agree, and a page of violations.
pub async fn conservation(
    ctx: &Ctx,
    community: CommunityId,
    before: Option<i64>,
    limit: i64,
) -> anyhow::Result<Option<(Conservation, Vec<Violation>)>> {
    let mut connection = ctx.db.acquire().await?;
    let Some(sums) = ledger::report::conservation(&mut connection, community).await? else { return Ok(None) };
    let which = Which { community: Some(community), only_open: false, before };
    Ok(Some((sums, ledger::violations(&mut connection, which, limit).await?)))
}

/// The monthly caps: the community's, and a page of its accounts' own.
pub async fn caps(
    ctx: &Ctx,
    community: CommunityId,
    after: Option<AccountId>,
    limit: i64,
) -> anyhow::Result<Option<(Budget, Vec<CappedAccount>)>> {
    let mut connection = ctx.db.acquire().await?;
    let Some(budget) = ledger::report::budget(&mut connection, community).await? else { return Ok(None) };
    let accounts = ledger::report::capped_accounts(&mut connection, community, after, limit).await?;
    Ok(Some((budget, accounts)))
}

/// A page of routing decisions, with what was asked for.
#[derive(Clone, Debug)]
pub struct Enforcement {
    /// Over all pages.
    pub shares: Shares,
    /// Newest first, each with the pool that was asked for; `None`: none was, and the tier or the agent's affinities chose.
    pub decisions: Vec<(Decision, Option<Pool>)>,
}

/// Which pool and model answered, and why.
pub async fn enforcement(
    ctx: &Ctx,
    community: CommunityId,
    filter: &DecisionFilter,
    before: Option<ReservationId>,
    limit: i64,
) -> anyhow::Result<Option<Enforcement>> {
    let mut connection = ctx.db.acquire().await?;
    if ledger::report::budget(&mut connection, community).await?.is_none() {
        return Ok(None);
    }
    let shares = ledger::report::shares(&mut connection, community, filter).await?;
    let decisions = ledger::report::decisions(&mut connection, community, filter, before, limit).await?;
    let requested = |decision: Decision| {
        let pool = turn::requested_pool(&ctx.catalog, &decision.asked);
        (decision, pool)
    };
    Ok(Some(Enforcement { shares, decisions: decisions.into_iter().map(requested).collect() }))
}

/// An agent counts as active for so long after a question: a month, as caps and bills have it.
pub const ACTIVE_FOR: Duration = Duration::days(30);

/// An agent and what its community's accounts asked it lately.
#[derive(Clone, Debug)]
pub struct AgentActivity {
    /// Which.
    pub agent: Arc<Agent>,
    /// Within [`ACTIVE_FOR`]; `None`: nothing.
    pub usage: Option<AgentUsage>,
    /// Conversations in which anything was said within [`ACTIVE_FOR`], one for each wallet, whoever pays.
    pub conversations: i64,
}

/// A page of a community's agents. What other communities' accounts asked them stands in those communities' books.
pub async fn agents(
    ctx: &Ctx,
    community: CommunityId,
    page: Page,
) -> anyhow::Result<Option<Vec<AgentActivity>>> {
    if community::by_id(ctx, community).await?.is_none() {
        return Ok(None);
    }
    let agents = agent::list(ctx, community, page).await?;
    let names: Vec<String> = agents.iter().map(|agent| agent.nft_id()).collect();
    let since = ctx.clock.now() - ACTIVE_FOR;
    let mut connection = ctx.db.acquire().await?;
    let used = ledger::report::usage_of_agents(&mut connection, community, since, &names).await?;
    let mut used: HashMap<String, AgentUsage> =
        used.into_iter().map(|used| (used.agent.clone(), used)).collect();
    let ids: Vec<i64> = agents.iter().map(|agent| agent.id).collect();
    let talks: HashMap<i64, i64> =
        chat::conversations(&mut connection, since, &ids).await?.into_iter().collect();
    let activity = |agent: Arc<Agent>| AgentActivity {
        usage: used.remove(&agent.nft_id()),
        conversations: talks.get(&agent.id).copied().unwrap_or(0),
        agent,
    };
    Ok(Some(agents.into_iter().map(activity).collect()))
}
