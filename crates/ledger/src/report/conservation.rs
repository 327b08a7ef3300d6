//! Conservation of a community for its admins: what came in, where it is, and whether the books agree.

use sqlx::PgConnection;
use time::OffsetDateTime;
use types::CommunityId;

/// The sums of a community, in micro-USD, and what the guard says of them.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Conservation {
    /// Accounts.
    pub accounts: i64,
    /// Ever credited.
    pub created: i64,
    /// Charged.
    pub consumed: i64,
    /// Set aside by open holds.
    pub held: i64,
    /// Free.
    pub available: i64,
    /// Lost to expiry.
    pub expired: i64,
    /// Taken back.
    pub reversed: i64,
    /// Owed to us.
    pub receivable: i64,
    /// The largest disagreement of any sum with the journal, over all accounts: 0, or something is wrong.
    pub difference: i64,
    /// Accounts that are frozen.
    pub frozen: i64,
    /// Violations that nobody has resolved yet, those of the sum of all included.
    pub open_violations: i64,
    /// When the guard last looked at every account.
    pub checked_at: Option<OffsetDateTime>,
    /// No credits are minted since then, because of a difference that no account explains.
    pub minting_stopped_at: Option<OffsetDateTime>,
}

/// The sums of one community, counters and journal in one snapshot; `None`: no such community.
pub async fn conservation(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<Option<Conservation>, sqlx::Error> {
    // The journal's sums are those that the guard keeps, and the rows since: never the counters.
    sqlx::query_as(
        "with counted as (
           select count(*) as accounts, coalesce(sum(minted), 0) as minted, coalesce(sum(spent), 0) as spent,
             coalesce(sum(held), 0) as held, coalesce(sum(available), 0) as available, coalesce(sum(expired), 0) as expired,
             coalesce(sum(reversed), 0) as reversed, coalesce(sum(owed), 0) as owed, count(frozen_at) as frozen
           from account where community_id = $1),
         later as (
           select debit, credit, amount from journal where community_id = $1
             and seq > coalesce((select seq from proof_book where community_id = $1), 0)),
         proved as (
           select coalesce(sum(minted), 0) + (select coalesce(sum(amount), 0) from later where debit = 0) as minted,
             coalesce(sum(spent), 0) + (select coalesce(sum(amount), 0) from later where credit = 3) as spent,
             coalesce(sum(expired), 0) + (select coalesce(sum(amount), 0) from later where credit = 4) as expired,
             coalesce(sum(reversed), 0) + (select coalesce(sum(amount), 0) from later where credit = 5) as reversed,
             coalesce(sum(owed), 0) + (select coalesce(sum(amount), 0) from later where debit = 6)
               - (select coalesce(sum(amount), 0) from later where credit = 6) as owed
           from proof where community_id = $1)
         select c.accounts, c.minted::bigint as created, c.spent::bigint as consumed, c.held::bigint, c.available::bigint,
           c.expired::bigint, c.reversed::bigint, c.owed::bigint as receivable,
           greatest(abs(c.minted - p.minted), abs(c.spent - p.spent), abs(c.expired - p.expired), abs(c.reversed - p.reversed),
             abs(c.owed - p.owed), abs(c.available + c.held - (p.minted - p.spent - p.expired - p.reversed + p.owed)))::bigint as difference,
           c.frozen,
           (select count(*) from violation where resolved_at is null and (community_id = $1 or community_id is null)) as open_violations,
           g.checked_at, g.minting_stopped_at
         from book b cross join counted c cross join proved p cross join guard g where b.community_id = $1",
    )
    .bind(community.0)
    .fetch_optional(connection)
    .await
}
