//! A request's count, and the day's tokens of an account and of a key that is allowed less.
//!
//! They are read from the books on first sight, before a request is admitted, and each minute beside the requests, so that
//! several processes come to see one another's tokens.
//!
//! A reading goes on where the one before ended, no request waits for a second one, callers of one account share the
//! first, and few run at once: a minute's end must not be felt by anybody.

use std::sync::Arc;

use identity::{ApiKey, Counted, Limited, Of, Seeding, Which};
use limits::{By, Pot};
use types::TokenDay;

use super::Refusal;
use crate::{Ctx, reports};

/// Counts a request against its key's minute, before its body is read: whatever becomes of the request, it is counted.
pub async fn count(ctx: &Arc<Ctx>, key: &Arc<ApiKey>) -> Result<Counted, Refusal> {
    match ctx.limits.count(key) {
        Ok(counted) => Ok(counted),
        Err(limited) => {
            // What is left of the day stands in the refusal's headers.
            seed_limits(ctx, key).await?;
            Err(refused(Limited { headers: ctx.limits.headers(key), ..limited }))
        }
    }
}

/// A refusal of the limits, counted.
pub(super) fn refused(limited: Limited) -> Refusal {
    match limited.which {
        Which::RequestsPerMinute => Pot::Requests.refused(By::Client),
        Which::TokensPerDay => Pot::Tokens.refused(By::Client),
    }
    Refusal::Limited(limited)
}

/// Sees to it that the limits know the day's tokens.
pub(super) async fn seed_limits(ctx: &Arc<Ctx>, key: &Arc<ApiKey>) -> Result<(), Refusal> {
    for (of, seeding) in ctx.limits.seeding(key) {
        match seeding {
            Seeding::Known => {}
            Seeding::Stale(last) => {
                let (ctx, key) = (Arc::clone(ctx), Arc::clone(key));
                tokio::spawn(async move {
                    let _turn = ctx.limits.reading().await;
                    if let Err(error) = read(&ctx, &key, of, Some(last)).await {
                        tracing::warn!(%error, key = %key.public_id, ?of, "the day's tokens could not be read again");
                    }
                });
            }
            Seeding::Unknown => {
                let _turn = ctx.limits.first_sight(key).await;
                if !ctx.limits.is_read(key, of) {
                    read(ctx, key, of, None).await.map_err(|error| Refusal::unread(error.into()))?;
                }
            }
        }
    }
    Ok(())
}

async fn read(ctx: &Ctx, key: &ApiKey, of: Of, last: Option<TokenDay>) -> Result<(), sqlx::Error> {
    let mut connection = ctx.db.acquire().await?;
    let now = ctx.clock.now();
    let account = reports::paying_account(reports::account_of(key), key.kind);
    let read = match of {
        Of::Account => ledger::report::tokens_of_account(&mut connection, account, last, now).await?,
        Of::Key => ledger::report::tokens_of_key(&mut connection, account, key.id, last, now).await?,
    };
    ctx.limits.seed(key, of, read);
    Ok(())
}
