//! The expiry sweep: takes what is due out of balances that nobody touches.
//!
//! An account that is used expires its lots on the way; this is for the others, so that "available" never shows money that
//! is gone. What open holds need stays until they close, and is looked at again by the next sweep.

use futures_util::{StreamExt as _, stream};
use sqlx::PgPool;
use time::OffsetDateTime;
use types::{AccountId, Clock, CommunityId};

use crate::model::{AccountKey, Answer, Op};
use crate::{Ledger, SubmitError};

/// Lots of one look.
const LOTS_AT_ONCE: i64 = 1_000;
/// Looks of one sweep: a backlog goes over several sweeps, and requests get their turn.
const LOOKS_AT_MOST: usize = 100;
/// Operations that wait in the ledger's queue at once; a batch takes up to 512.
const IN_FLIGHT: usize = 64;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Accounts that lost something.
    pub accounts: u64,
    /// Micro-USD that expired.
    pub amount: i64,
}

/// Expires what is due, over all communities. Idempotent; any number of processes may sweep at once.
pub async fn expire_due_lots(pool: &PgPool, ledger: &Ledger, clock: &Clock) -> Result<Swept, sqlx::Error> {
    let now = clock.now();
    let mut swept = Swept::default();
    let mut after = (OffsetDateTime::UNIX_EPOCH, uuid::Uuid::nil());
    for _ in 0..LOOKS_AT_MOST {
        let due: Vec<(i64, i64, OffsetDateTime, uuid::Uuid)> = sqlx::query_as(
            "select community_id, account_id, expires_at, id from lot
             where is_open and expires_at <= $1 and (expires_at, id) > ($2, $3) order by expires_at, id limit $4",
        )
        .bind(now)
        .bind(after.0)
        .bind(after.1)
        .bind(LOTS_AT_ONCE)
        .fetch_all(pool)
        .await?;
        let Some(last) = due.last() else { break };
        after = (last.2, last.3);
        let mut keys: Vec<AccountKey> = due
            .iter()
            .map(|row| AccountKey { community: CommunityId(row.0), account: AccountId(row.1) })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let answers: Vec<_> = stream::iter(keys)
            .map(async |key| (key, ledger.submit(Op::Expire { key }).await))
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await;
        for (key, answer) in answers {
            match answer {
                Ok(Answer::Expired { amount }) => {
                    swept.accounts += u64::from(amount > 0);
                    swept.amount = swept.amount.saturating_add(amount);
                }
                Ok(_) => {}
                Err(SubmitError::Stopped) => return Ok(swept),
                Err(error) => {
                    tracing::warn!(%error, community = %key.community, account = %key.account, "due lots stay for the next sweep");
                }
            }
        }
    }
    if swept.accounts > 0 {
        metrics::counter!("ledger_expired_accounts_total").increment(swept.accounts);
        tracing::info!(accounts = swept.accounts, amount_micro = swept.amount, "due lots expired");
    }
    Ok(swept)
}
