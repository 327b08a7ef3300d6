//! A new order: a pack at today's price, for one account. No payment yet: that is the choice of a coin.

use time::{Duration, OffsetDateTime};
use types::MicroUsd;
use types::catalog::Pack;

use super::idempotency::{self, Found};
use super::{Order, OrderError, OrderId, OrderView, PRICE_CURRENCY, Payer, view};
use crate::Ctx;
use crate::flags::Flag;

/// Orders of one account in an hour: far more than anybody buys, few enough that rows stay cheap.
pub const ORDERS_PER_HOUR: i64 = 60;

/// Makes an order for the pack with that slug. The same idempotency key gets the same answer for 24 hours.
///
/// The account must be open in the books.
pub async fn start(
    ctx: &Ctx,
    who: Payer,
    pack: &str,
    idempotency_key: Option<&str>,
) -> Result<OrderView, OrderError> {
    if !ctx.flags.is_on(Flag::CryptoPayments) {
        return Err(OrderError::Off);
    }
    if ctx.payments.vendor.is_none() {
        return Err(OrderError::NotConfigured);
    }
    let Some(sold) = ctx.catalog.packs.get(pack) else {
        return Err(OrderError::UnknownPack(pack.to_owned()));
    };
    let mut tx = ctx.db.begin().await?;
    let made = make(ctx, &mut tx, who, (pack, sold), idempotency_key).await;
    // Before the answer, whatever it is: a transaction that is dropped ends some time later, and the key is in flight
    // until then.
    match made {
        Ok(_) => tx.commit().await?,
        Err(_) => tx.rollback().await?,
    }
    made
}

async fn make(
    ctx: &Ctx,
    tx: &mut sqlx::PgConnection,
    who: Payer,
    (pack, sold): (&str, &Pack),
    idempotency_key: Option<&str>,
) -> Result<OrderView, OrderError> {
    let now = ctx.clock.now();
    let slot = match idempotency_key {
        None => None,
        Some(key) => match idempotency::look(tx, who.key, key, &format!("order {pack}"), now).await? {
            Found::Answered(view) => return Ok(view),
            Found::Free(slot) => Some(slot),
        },
    };
    count(tx, who, now).await?;
    let order = Order {
        id: OrderId(ctx.clock.uuid_v7()),
        key: who.key,
        pack: pack.to_owned(),
        price_amount: sold.price_usd.clone(),
        price_currency: PRICE_CURRENCY.to_owned(),
        credits: MicroUsd(sold.credits_micro),
        bonus: MicroUsd(sold.bonus_micro()),
        expires_days: sold.expires_days.map(i32::from),
        created_at: now,
    };
    insert(tx, &order).await?;
    let view = view::without_coins(&order, &[]);
    if let Some(slot) = slot {
        idempotency::keep(tx, slot, &view, now).await?;
    }
    Ok(view)
}

async fn insert(tx: &mut sqlx::PgConnection, order: &Order) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into purchase_order (id, community_id, account_id, pack, price_amount, price_currency, credits, bonus,
           expires_days, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(order.id.0)
    .bind(order.key.community.0)
    .bind(order.key.account.0)
    .bind(&order.pack)
    .bind(&order.price_amount)
    .bind(&order.price_currency)
    .bind(order.credits.0)
    .bind(order.bonus.0)
    .bind(order.expires_days)
    .bind(order.created_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Counts the account's orders of the last hour. Simultaneous ones may pass together: a limit, not a promise.
async fn count(tx: &mut sqlx::PgConnection, who: Payer, now: OffsetDateTime) -> Result<(), OrderError> {
    let hour_ago = now - Duration::hours(1);
    let (made, oldest): (i64, Option<OffsetDateTime>) = sqlx::query_as(
        "select count(*), min(created_at) from purchase_order
         where community_id = $1 and account_id = $2 and created_at > $3",
    )
    .bind(who.key.community.0)
    .bind(who.key.account.0)
    .bind(hour_ago)
    .fetch_one(tx)
    .await?;
    if made < ORDERS_PER_HOUR {
        return Ok(());
    }
    let wait = oldest.map_or(3_600, |oldest| (oldest - hour_ago).whole_seconds().clamp(1, 3_600));
    Err(OrderError::TooManyOrders { retry_after_s: u32::try_from(wait).unwrap_or(3_600) })
}
