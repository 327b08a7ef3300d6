//! What an answer cost us and nobody pays, and where a provider's figures were beyond what its request could use.
//!
//! Both are statements about a hold: no balance moves, and a second statement about the same hold changes nothing.
//! Deliberately absent: the decision who pays (`domain::turn`).

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use types::ReservationId;
use types::s2s::Usage;

use crate::model::AccountKey;

/// Rows older than this are deleted: a provider's invoice of a year ago may still be disputed.
const KEPT: Duration = Duration::days(400);

/// An answer that failed through a provider or through us before its caller had anything usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The hold that is given back.
    pub hold: ReservationId,
    /// The stable code of the failure.
    pub cause: String,
    /// The provider's name in the catalog; empty when unknown.
    pub provider: String,
    /// The model's catalog id; empty when unknown.
    pub model: String,
    /// Prompt and completion, metered up to the failure.
    pub tokens: u64,
    /// What they would have cost, in micro-USD.
    pub cost_micro: i64,
}

/// A report that was clamped to the ceiling of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The hold that pays.
    pub hold: ReservationId,
    /// The model's catalog id.
    pub model: String,
    /// What was reported.
    pub reported: Usage,
    /// What is charged.
    pub charged: Usage,
}

/// Writes a loss.
pub async fn record_loss(
    connection: &mut PgConnection,
    account: AccountKey,
    loss: &Loss,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into loss (community_id, hold_id, cause, provider, model, tokens, cost_micro, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
        account.community.0,
        loss.hold.0,
        loss.cause,
        loss.provider,
        loss.model,
        count(loss.tokens),
        loss.cost_micro,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes a mismatch.
pub async fn record_mismatch(
    connection: &mut PgConnection,
    account: AccountKey,
    mismatch: &Mismatch,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into usage_mismatch
           (community_id, hold_id, model, reported_in, reported_out, charged_in, charged_out, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
        account.community.0,
        mismatch.hold.0,
        mismatch.model,
        count(mismatch.reported.prompt_tokens),
        count(mismatch.reported.completion_tokens),
        count(mismatch.charged.prompt_tokens),
        count(mismatch.charged.completion_tokens),
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes what is older than 400 days.
pub async fn prune_losses(connection: &mut PgConnection, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    let before = now - KEPT;
    sqlx::query!("delete from loss where at < $1", before).execute(&mut *connection).await?;
    sqlx::query!("delete from usage_mismatch where at < $1", before).execute(connection).await?;
    Ok(())
}

/// A figure as the tables keep it: a provider may report what no column holds.
fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
