//! Opening accounts, caps and unfreezing: rare writes, each under the lock order of the house.

use sqlx::PgConnection;
use types::{AccountId, Clock, CommunityId};

use crate::model::AccountKey;
use crate::rule::month_of;

/// Makes the book of `community` and the account, when they are missing. Twice is once.
pub async fn open_account(
    connection: &mut PgConnection,
    clock: &Clock,
    key: AccountKey,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    let month = month_of(clock.now());
    sqlx::query!(
        "insert into book (community_id, cap_month) values ($1, $2) on conflict do nothing",
        key.community.0,
        month
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into account (community_id, id, cap_month, holder) values ($1, $2, $3, $4) on conflict do nothing",
        key.community.0,
        key.account.0,
        month,
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

/// Lifts a freeze after a person looked; the note stays with the violations it resolves. `false`: it was not frozen.
pub async fn unfreeze(
    connection: &mut PgConnection,
    clock: &Clock,
    key: AccountKey,
    note: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with v as (update violation set resolved_at = $3, note = $4
         where community_id = $1 and account_id = $2 and resolved_at is null)
         update account set frozen_at = null, version = version + 1
         where community_id = $1 and id = $2 and frozen_at is not null",
        key.community.0,
        key.account.0,
        clock.now(),
        note
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
