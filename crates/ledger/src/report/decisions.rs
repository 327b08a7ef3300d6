//! Which pool and model answered a community's requests, and why: the routing record, for its admins.
//!
//! A hold keeps it from the settle on, so recording costs nothing beside the charge. Deliberately absent: requests that
//! no provider answered, of which there is no decision, only a refusal.

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use types::{AccountId, CommunityId, Pool, ReservationId};
use uuid::Uuid;

use super::community_usage::Charged;
use super::first_id_of;

/// Which decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionFilter {
    /// First UTC day, by when the request was made.
    pub from: Date,
    /// Last UTC day, counted.
    pub to: Date,
    /// Only those that this pool answered.
    pub pool: Option<Pool>,
    /// Only those of this agent, `{slug}:{token}`.
    pub agent: Option<String>,
    /// Only those with this reason.
    pub reason: Option<String>,
}

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The request's hold.
    pub id: ReservationId,
    /// When it was made.
    pub at: OffsetDateTime,
    /// Who paid.
    pub account: AccountId,
    /// `{slug}:{token}`, when an agent answered.
    pub agent: Option<String>,
    /// What was asked for, as the caller wrote it.
    pub asked: String,
    /// Which pool answered.
    pub pool: Option<Pool>,
    /// Which model.
    pub model: String,
    /// Why, as the engine's word.
    pub reason: String,
    /// Micro-USD.
    pub cost: i64,
}

/// A page of decisions, newest first; `before` is the last one of the page before.
pub async fn decisions(
    connection: &mut PgConnection,
    community: CommunityId,
    filter: &DecisionFilter,
    before: Option<ReservationId>,
    limit: i64,
) -> Result<Vec<Decision>, sqlx::Error> {
    type Row = (
        Uuid,
        OffsetDateTime,
        i64,
        Option<String>,
        String,
        Option<i16>,
        Option<String>,
        Option<String>,
        Option<i64>,
    );
    let rows: Vec<Row> = sqlx::query_as(
        "select id, created_at, account_id, agent, asked, pool, model, reason, charged from hold
         where community_id = $1 and id >= $2 and id < $3 and state = 1 and ($4::smallint is null or pool = $4)
           and ($5::text is null or agent = $5) and ($6::text is null or reason = $6)
           and ($7::uuid is null or id < $7) order by id desc limit $8",
    )
    .bind(community.0)
    .bind(first_id_of(filter.from))
    .bind(first_id_of(filter.to.next_day().unwrap_or(Date::MAX)))
    .bind(filter.pool.map(Pool::as_db))
    .bind(filter.agent.as_deref())
    .bind(filter.reason.as_deref())
    .bind(before.map(|id| id.0))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let decision = |(id, at, account, agent, asked, pool, model, reason, cost): Row| Decision {
        id: ReservationId(id),
        at,
        account: AccountId(account),
        agent,
        asked,
        pool: pool.and_then(Pool::from_db),
        model: model.unwrap_or_default(),
        reason: reason.unwrap_or_default(),
        cost: cost.unwrap_or(0),
    };
    Ok(rows.into_iter().map(decision).collect())
}

/// All decisions of a filter by the pool that answered, and by the reason; both add up to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// By pool; `None`: not known.
    pub by_pool: Vec<(Option<Pool>, Charged)>,
    /// By the engine's word, the most frequent first.
    pub by_reason: Vec<(String, Charged)>,
}

/// Sums the decisions of a filter.
pub async fn shares(
    connection: &mut PgConnection,
    community: CommunityId,
    filter: &DecisionFilter,
) -> Result<Shares, sqlx::Error> {
    /// Which grouping a row is of, its pool or its reason, and the sums.
    type Row = (i32, Option<i16>, Option<String>, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "select grouping(pool, reason), pool, reason, count(*), coalesce(sum(charged), 0)::bigint from hold
         where community_id = $1 and id >= $2 and id < $3 and state = 1 and ($4::smallint is null or pool = $4)
           and ($5::text is null or agent = $5) and ($6::text is null or reason = $6)
         group by grouping sets ((pool), (reason)) order by 1, 2, 4 desc, 3",
    )
    .bind(community.0)
    .bind(first_id_of(filter.from))
    .bind(first_id_of(filter.to.next_day().unwrap_or(Date::MAX)))
    .bind(filter.pool.map(Pool::as_db))
    .bind(filter.agent.as_deref())
    .bind(filter.reason.as_deref())
    .fetch_all(connection)
    .await?;
    let mut shares = Shares::default();
    for (grouping, pool, reason, requests, cost) in rows {
        let charged = Charged { requests, cost };
        if grouping == 1 {
            shares.by_pool.push((pool.and_then(Pool::from_db), charged));
        } else {
            shares.by_reason.push((reason.unwrap_or_default(), charged));
        }
    }
    Ok(shares)
}
