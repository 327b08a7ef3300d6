//! The accounts of a community that have a monthly cap of their own, for its admins.

use sqlx::PgConnection;
use time::Date;
use types::{AccountId, CommunityId};

/// An account with a cap, and what counts against it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct CappedAccount {
    /// Its number.
    pub account: i64,
    /// Wallet address, if it has one.
    pub holder: Option<String>,
    /// Micro-USD a month.
    pub cap_limit: i64,
    /// First day of the month that the next two count.
    pub cap_month: Date,
    /// Held by that month's holds.
    pub cap_held: i64,
    /// Spent by that month's holds.
    pub cap_spent: i64,
}

/// A page of them, by number; `after` is the last one of the page before.
pub async fn capped_accounts(
    connection: &mut PgConnection,
    community: CommunityId,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<CappedAccount>, sqlx::Error> {
    sqlx::query_as(
        "select id as account, holder, cap_limit, cap_month, cap_held, cap_spent from account
         where community_id = $1 and id > $2 and cap_limit is not null order by id limit $3",
    )
    .bind(community.0)
    .bind(after.map_or(i64::MIN, |account| account.0))
    .bind(limit)
    .fetch_all(connection)
    .await
}
