//! A key's tokens of the day, read from the books: on first sight before its request is admitted, and each minute
//! beside its requests, so that several processes come to see one another's tokens.
//!
//! A reading goes on where the one before ended, no request waits for a second one, callers of one key share the first,
//! and few run at once: a minute's end must not be felt by anybody.

use std::sync::Arc;

use identity::{ApiKey, Seeding};
use types::KeyDay;

use super::Refusal;
use crate::Ctx;

/// Sees to it that the key's limits know its tokens of the day.
pub(super) async fn seed_limits(ctx: &Arc<Ctx>, key: &Arc<ApiKey>) -> Result<(), Refusal> {
    match ctx.limits.seeding(key) {
        Seeding::Known => Ok(()),
        Seeding::Stale(last) => {
            let (ctx, key) = (Arc::clone(ctx), Arc::clone(key));
            tokio::spawn(async move {
                let _turn = ctx.limits.reading().await;
                if let Err(error) = read(&ctx, &key, Some(last)).await {
                    tracing::warn!(%error, key = %key.public_id, "a key's tokens of the day could not be read again");
                }
            });
            Ok(())
        }
        Seeding::Unknown => {
            let _turn = ctx.limits.first_sight(key).await;
            if ctx.limits.seeding(key) == Seeding::Unknown {
                read(ctx, key, None).await.map_err(|error| Refusal::unread(error.into()))?;
            }
            Ok(())
        }
    }
}

async fn read(ctx: &Ctx, key: &ApiKey, last: Option<KeyDay>) -> Result<(), sqlx::Error> {
    let mut connection = ctx.db.acquire().await?;
    let read = ledger::report::tokens_of_key(&mut connection, key.id, last, ctx.clock.now()).await?;
    ctx.limits.seed(key, read);
    Ok(())
}
