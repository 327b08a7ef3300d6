//! What the books say, for people: balances, usage by day, model and pool. Reads only.
//!
//! For admins of a community: usage, billing and conservation, each in a module of its own.

mod agents;
mod billing;
mod caps;
mod community_usage;
mod conservation;
mod decisions;
mod requests;

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use types::{AccountId, CommunityId, KeyId, ReservationId, TokenDay};
use uuid::Uuid;

pub use agents::{AgentUsage, usage_of_agents};
pub use billing::{Movement, Origin, lots, movements, origins};
pub use caps::{CappedAccount, capped_accounts};
pub use community_usage::{
    Charged, Projection, Span, Usage, UserUsage, projection, span, usage as usage_of_community, usage_by_user,
};
pub use conservation::{Conservation, conservation};
pub use decisions::{Decision, DecisionFilter, Shares, decisions, shares};
pub use requests::{Life, RequestLine, RequestQuery, requests};

use crate::lease::{UNSEEN_MS, first_id_at};
use crate::model::{AccountKey, Source};

/// An account's sums, in micro-USD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Ever credited.
    pub minted: i64,
    /// Free.
    pub available: i64,
    /// Set aside.
    pub held: i64,
    /// Charged.
    pub spent: i64,
    /// Lost to expiry.
    pub expired: i64,
    /// Taken back.
    pub reversed: i64,
    /// Receivable.
    pub owed: i64,
    /// Monthly cap, if any.
    pub cap_limit: Option<i64>,
    /// No new holds.
    pub frozen: bool,
}

/// The sums of one account.
pub async fn balance(connection: &mut PgConnection, key: AccountKey) -> Result<Option<Balance>, sqlx::Error> {
    sqlx::query_as!(
        Balance,
        r#"select minted, available, held, spent, expired, reversed, owed, cap_limit, frozen_at is not null as "frozen!"
           from account where community_id = $1 and id = $2"#,
        key.community.0,
        key.account.0
    )
    .fetch_optional(connection)
    .await
}

/// The community that an account is in: an account's number alone names it, for an operator at a keyboard.
pub async fn find_account(
    connection: &mut PgConnection,
    account: AccountId,
) -> Result<Option<AccountKey>, sqlx::Error> {
    let community = sqlx::query_scalar!("select community_id from account where id = $1 limit 1", account.0)
        .fetch_optional(connection)
        .await?;
    Ok(community.map(|community| AccountKey { community: CommunityId(community), account }))
}

/// The sums of a community and its monthly cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// First day of the month that the next two count.
    pub cap_month: Date,
    /// Monthly cap, if any.
    pub cap_limit: Option<i64>,
    /// Held by this month's holds.
    pub cap_held: i64,
    /// Spent by this month's holds.
    pub cap_spent: i64,
    /// Free, over all accounts.
    pub available: i64,
    /// Set aside, over all accounts.
    pub held: i64,
    /// Charged, over all accounts.
    pub spent: i64,
}

/// The budget of one community.
pub async fn budget(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<Option<Budget>, sqlx::Error> {
    sqlx::query_as!(
        Budget,
        r#"select b.cap_month, b.cap_limit, b.cap_held, b.cap_spent,
             coalesce(sum(a.available), 0)::bigint as "available!", coalesce(sum(a.held), 0)::bigint as "held!",
             coalesce(sum(a.spent), 0)::bigint as "spent!"
           from book b left join account a on a.community_id = b.community_id
           where b.community_id = $1 group by b.community_id"#,
        community.0
    )
    .fetch_optional(connection)
    .await
}

/// One line of a usage report: what one model of one pool did on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// UTC day on which the request was made.
    pub day: Date,
    /// The pool's small number.
    pub pool: Option<i16>,
    /// The model's id.
    pub model: Option<String>,
    /// Charged requests.
    pub requests: i64,
    /// Charged prompt tokens.
    pub prompt_tokens: i64,
    /// Charged completion tokens.
    pub completion_tokens: i64,
    /// Micro-USD.
    pub cost: i64,
}

/// What a payer used from `from` to `to` (UTC days, both counted) with sandbox and live keys, by day, pool and model.
pub async fn usage(
    connection: &mut PgConnection,
    key: AccountKey,
    from: Date,
    to: Date,
) -> Result<Vec<UsageLine>, sqlx::Error> {
    sqlx::query_as!(
        UsageLine,
        r#"select (created_at at time zone 'utc')::date as "day!", pool, model, count(*) as "requests!",
             sum(tokens_in)::bigint as "prompt_tokens!", sum(tokens_out)::bigint as "completion_tokens!",
             sum(charged)::bigint as "cost!"
           from hold where community_id = $1 and id >= $3 and id < $4 and account_id in ($2, $5) and state = 1
           group by 1, 2, 3 order by 1, 2, 3"#,
        key.community.0,
        key.account.0,
        first_id_of(from),
        first_id_of(to.next_day().unwrap_or(Date::MAX)),
        key.account.sandbox().0
    )
    .fetch_all(connection)
    .await
}

/// Tokens that all API keys of an account used on `now`'s UTC day, by the books. Goes on from the `last` reading of that
/// day and reads what is new since then, of the account's own answers and nobody else's.
///
/// A hold that was swept and charged late, after a reading passed it, is not seen again: it was its process that died.
pub async fn tokens_of_account(
    connection: &mut PgConnection,
    account: AccountKey,
    last: Option<TokenDay>,
    now: OffsetDateTime,
) -> Result<TokenDay, sqlx::Error> {
    let span = Unread::of(last, now);
    let row = sqlx::query_as!(
        TokensRead,
        r#"with answer as materialized (
             select id, state, tokens_in + tokens_out as tokens from hold
             where community_id = $1 and account_id = $2 and key_id is not null and id >= $3 and id < $4),
           until as (
             select least($5, (select id from answer where state = 0 order by id limit 1)) as id)
           select until.id as "until!",
             coalesce(sum(tokens) filter (where state = 1 and answer.id < until.id), 0)::bigint as "ended!",
             coalesce(sum(tokens) filter (where state = 1 and answer.id >= until.id), 0)::bigint as "later!"
           from until left join answer on true group by until.id"#,
        account.community.0,
        account.account.0,
        span.since,
        span.day_end,
        span.settled
    )
    .fetch_one(connection)
    .await?;
    Ok(span.with(&row))
}

/// [`tokens_of_account`], of one API key of the account.
pub async fn tokens_of_key(
    connection: &mut PgConnection,
    account: AccountKey,
    key: KeyId,
    last: Option<TokenDay>,
    now: OffsetDateTime,
) -> Result<TokenDay, sqlx::Error> {
    let span = Unread::of(last, now);
    let row = sqlx::query_as!(
        TokensRead,
        r#"with answer as materialized (
             select id, state, tokens_in + tokens_out as tokens from hold
             where community_id = $1 and account_id = $2 and key_id = $3 and id >= $4 and id < $5),
           until as (
             select least($6, (select id from answer where state = 0 order by id limit 1)) as id)
           select until.id as "until!",
             coalesce(sum(tokens) filter (where state = 1 and answer.id < until.id), 0)::bigint as "ended!",
             coalesce(sum(tokens) filter (where state = 1 and answer.id >= until.id), 0)::bigint as "later!"
           from until left join answer on true group by until.id"#,
        account.community.0,
        account.account.0,
        key.0,
        span.since,
        span.day_end,
        span.settled
    )
    .fetch_one(connection)
    .await?;
    Ok(span.with(&row))
}

/// The part of a day that a reading of tokens has still to look at.
struct Unread {
    day: Date,
    /// What the readings before have summed up, and up to which answer.
    before: u64,
    since: Uuid,
    /// The first answer that may still become visible.
    settled: Uuid,
    day_end: Uuid,
}

/// What a reading of tokens finds.
struct TokensRead {
    until: Uuid,
    ended: i64,
    later: i64,
}

impl Unread {
    fn of(last: Option<TokenDay>, now: OffsetDateTime) -> Self {
        let day = now.date();
        let (since, before) = match last {
            Some(last) if last.day == day => (last.until.0, last.ended),
            Some(_) | None => (first_id_of(day), 0),
        };
        let settled = first_id_at(milliseconds(now) - UNSEEN_MS).max(since);
        Self { day, before, since, settled, day_end: first_id_of(day.next_day().unwrap_or(Date::MAX)) }
    }

    fn with(&self, row: &TokensRead) -> TokenDay {
        let count = |tokens: i64| u64::try_from(tokens).unwrap_or(0);
        let ended = self.before + count(row.ended);
        TokenDay { day: self.day, used: ended + count(row.later), until: ReservationId(row.until), ended }
    }
}

/// Where one hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    /// Open still.
    Open,
    /// Charged.
    Charged {
        /// Micro-USD.
        amount: i64,
        /// Prompt tokens.
        tokens_in: i64,
        /// Completion tokens.
        tokens_out: i64,
    },
    /// Given back, by its owner or by the sweep.
    GivenBack,
}

/// Where a hold stands; `None`: nothing was ever set aside under this id.
pub async fn hold_end(
    connection: &mut PgConnection,
    community: CommunityId,
    id: ReservationId,
) -> Result<Option<HoldEnd>, sqlx::Error> {
    type Row = (i16, Option<i64>, Option<i64>, Option<i64>);
    let row: Option<Row> = sqlx::query_as(
        "select state, charged, tokens_in, tokens_out from hold where community_id = $1 and id = $2",
    )
    .bind(community.0)
    .bind(id.0)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(state, charged, tokens_in, tokens_out)| match (state, charged) {
        (0, _) => HoldEnd::Open,
        (_, Some(amount)) => HoldEnd::Charged {
            amount,
            tokens_in: tokens_in.unwrap_or(0),
            tokens_out: tokens_out.unwrap_or(0),
        },
        (_, None) => HoldEnd::GivenBack,
    }))
}

/// Whether the account ever got a lot of one of these origins.
pub async fn has_lot(
    connection: &mut PgConnection,
    key: AccountKey,
    sources: &[Source],
) -> Result<bool, sqlx::Error> {
    let sources: Vec<i16> = sources.iter().map(|source| *source as i16).collect();
    sqlx::query_scalar!(
        r#"select exists (select from lot where community_id = $1 and account_id = $2 and source = any($3)) as "has_lot!""#,
        key.community.0,
        key.account.0,
        &sources
    )
    .fetch_one(connection)
    .await
}

/// The id of this price list, made on first sight.
pub async fn price_version(
    connection: &mut PgConnection,
    prices: &str,
    now: OffsetDateTime,
) -> Result<i32, sqlx::Error> {
    let hash = ring::digest::digest(&ring::digest::SHA256, prices.as_bytes());
    sqlx::query!(
        "insert into price_version (hash, prices, created_at) values ($1, $2::text::jsonb, $3) on conflict do nothing",
        hash.as_ref(),
        prices,
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar!("select id from price_version where hash = $1", hash.as_ref())
        .fetch_one(connection)
        .await
}

fn first_id_of(day: Date) -> uuid::Uuid {
    first_id_at(milliseconds(day.midnight().assume_utc()))
}

/// Since 1970.
fn milliseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
