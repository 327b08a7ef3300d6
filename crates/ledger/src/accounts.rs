//! Opening accounts and caps: rare writes, each under the lock order of the house.
//!
//! Deliberately absent: thawing. Only [`crate::resolve_violation`] does that, after a look at the books.

use sqlx::PgConnection;
use types::{AccountId, Clock, CommunityId};

use crate::model::AccountKey;
use crate::rule::month_of;

/// Makes the book of `community`, when it is missing. Twice is once. A community has one from its first day on, so that its
/// administrators can set a cap before anybody spends.
pub async fn open_book(
    connection: &mut PgConnection,
    clock: &Clock,
    community: CommunityId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into book (community_id, cap_month) values ($1, $2) on conflict do nothing",
        community.0,
        month_of(clock.now())
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the book of `community` and the account, when they are missing. Twice is once.
pub async fn open_account(
    connection: &mut PgConnection,
    clock: &Clock,
    key: AccountKey,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    open_book(&mut *connection, clock, key.community).await?;
    // The account's row refers to the book's, which locks it a little; whoever credits the account next wants all of that
    // lock. Two who open accounts side by side would then wait for each other: so all of it is taken here.
    sqlx::query("select from book where community_id = $1 for update")
        .bind(key.community.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into account (community_id, id, cap_month, holder) values ($1, $2, $3, $4) on conflict do nothing",
        key.community.0,
        key.account.0,
        month_of(clock.now()),
        holder
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Sets or lifts (`None`) a community's monthly cap in micro-USD. `false`: no such community.
pub async fn set_community_cap(
    connection: &mut PgConnection,
    community: CommunityId,
    limit: Option<i64>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update book set cap_limit = $2, version = version + 1 where community_id = $1",
        community.0,
        limit
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets or lifts (`None`) one account's monthly cap in micro-USD. `false`: no such account.
pub async fn set_account_cap(
    connection: &mut PgConnection,
    community: CommunityId,
    account: AccountId,
    limit: Option<i64>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update account set cap_limit = $3, version = version + 1 where community_id = $1 and id = $2",
        community.0,
        account.0,
        limit
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
