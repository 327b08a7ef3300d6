//! Payments that are paid and not credited because nothing was minted at the time: credited as soon as it is.
//!
//! What always holds: the vendor is not asked, for we know already; what waits for a person waits on; the lock, the
//! rule and the mint are those of every report. Deliberately absent: the loop that calls this.

use sqlx::PgPool;
use time::OffsetDateTime;
use types::{Clock, MicroUsd};
use uuid::Uuid;

use super::apply::{self, Applied, ApplyError, settle};
use super::rule::{Facts, Review};
use super::{Order, OrderId, store};

/// Orders looked at in one go.
const AT_ONCE: i64 = 100;

/// Goes through the orders that wait, a page at each step, and from the first one again after the last.
#[derive(Debug, Default)]
pub struct Creditor {
    after: Option<(OffsetDateTime, String)>,
}

impl Creditor {
    /// Credits what is paid and waits for no person; how many orders were. Ends early while nothing is minted.
    pub async fn step(&mut self, db: &PgPool, clock: &Clock) -> Result<usize, ApplyError> {
        let page = waiting(db, self.after.take()).await?;
        let is_full = i64::try_from(page.len()).is_ok_and(|count| count >= AT_ONCE);
        self.after = page.last().filter(|_| is_full).map(|(at, id, _)| (*at, id.clone()));
        let mut credited = 0;
        for (_, payment, order) in page {
            match credit(db, clock, OrderId(order)).await {
                Ok(applied) if applied.is_held_up => {
                    self.after = None;
                    break;
                }
                Ok(applied) => credited += usize::from(applied.minted > MicroUsd::ZERO),
                // One account that is frozen or busy does not hold up the others.
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::warn!(payment, error, "a paid payment could not be credited now");
                }
            }
        }
        Ok(credited)
    }
}

/// Time, payment and order, the longest waiting first.
async fn waiting(
    db: &PgPool,
    after: Option<(OffsetDateTime, String)>,
) -> Result<Vec<(OffsetDateTime, String, Uuid)>, sqlx::Error> {
    let (at, id) = after.unzip();
    sqlx::query_as(
        "select p.deposit_at, p.id, p.order_id from payment p
         where p.credit = 0 and p.deposit_at is not null and p.facts & $1 <> 0 and p.facts & $2 = 0
           and not exists (select from review_item r where r.payment_id = p.id and r.kind = $3 and r.state = 0)
           and ($4::timestamptz is null or (p.deposit_at, p.id) > ($4, $5))
         order by p.deposit_at, p.id limit $6",
    )
    .bind(Facts::PAID_BIT)
    .bind(Facts::NEVER_PAID_BITS)
    .bind(Review::Overpay as i16)
    .bind(at)
    .bind(id)
    .bind(AT_ONCE)
    .fetch_all(db)
    .await
}

async fn credit(db: &PgPool, clock: &Clock, id: OrderId) -> Result<Applied, ApplyError> {
    let mut tx = db.begin().await?;
    sqlx::query(apply::LOCK_WAIT).execute(&mut *tx).await?;
    let order: Option<Order> = store::lock_order(&mut tx, id).await?;
    let order = order.ok_or_else(|| anyhow::anyhow!("order {id} is gone, and orders are never deleted"))?;
    let mut rows = store::lock_payments(&mut tx, id).await?;
    let mut applied = Applied::default();
    settle(&mut tx, clock, &order, &mut rows, None, clock.now(), &mut applied).await?;
    tx.commit().await?;
    if applied.minted > MicroUsd::ZERO {
        metrics::counter!("pay_mints_total").increment(1);
        let micro_usd = applied.minted.0;
        tracing::info!(order = %id, micro_usd, "a payment that was held up was credited");
    }
    Ok(applied)
}
