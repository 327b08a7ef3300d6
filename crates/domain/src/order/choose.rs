//! The choice of a coin: it makes a payment. Another choice makes another payment of the same order.
//!
//! The vendor is asked between two transactions, never inside one. A lease on the order keeps two clicks from making
//! two payments; should a process die on the way, the vendor may know a payment that we do not: its first notice
//! brings it in (`apply`).

use pay::nowpayments::{Client, Created, NewPayment};
use sqlx::PgPool;
use time::Duration;
use types::failpoint;

use super::apply::{self, ApplyError};
use super::rule::{self, Facts};
use super::store::{self, PaymentRow};
use super::{Order, OrderError, OrderId, OrderView, Payer, Status, coins, poll, view};
use crate::Ctx;
use crate::flags::Flag;

/// Payments of one order: each coin once or twice. A bound on what one order can make the vendor do.
pub const PAYMENTS_PER_ORDER_AT_MOST: usize = 10;
/// How long an order's price holds for a new payment. What is paid later than that still credits.
const OPEN_FOR: Duration = Duration::days(7);
/// Longer than the vendor's client waits; after it, a click may try again.
const CHOOSING_AT_MOST: Duration = Duration::seconds(60);
/// The vendor's answer cannot be asked for again, so busy books are tried again, well within [`CHOOSING_AT_MOST`].
const WRITES_AT_MOST: u32 = 4;

/// Makes a payment of the order in `coin`, or finds the one that was made and still waits.
pub async fn choose(ctx: &Ctx, who: Payer, order: OrderId, coin: &str) -> Result<OrderView, OrderError> {
    let coin = coin.trim().to_ascii_lowercase();
    let mut connection = ctx.db.acquire().await?;
    let order = store::order(&mut connection, order).await?.filter(|order| order.key == who.key);
    let order = order.ok_or(OrderError::NoOrder)?;
    let payments = store::payments(&mut connection, order.id).await?;
    drop(connection);
    if is_waiting(ctx, &payments, &coin) {
        return Ok(view::with_coins(ctx, &order, &payments).await);
    }
    if !ctx.flags.is_on(Flag::CryptoPayments) {
        return Err(OrderError::Off);
    }
    let vendor = ctx.payments.vendor.as_ref().ok_or(OrderError::NotConfigured)?;
    may_pay(ctx, &order, &payments)?;
    coins::check(ctx, vendor, &coin, &order.price_amount).await?;
    let payments = match claim(ctx, &order, &coin).await? {
        Claim::Made(payments) => payments,
        Claim::Ours => {
            let made = make(ctx, vendor, &order, &coin).await;
            let done = match made {
                Ok(created) => write(ctx, &order, &coin, &created).await,
                Err(error) => Err(OrderError::of_vendor(error)),
            };
            release(&ctx.db, &order).await?;
            done?;
            let mut connection = ctx.db.acquire().await?;
            store::payments(&mut connection, order.id).await?
        }
    };
    Ok(view::with_coins(ctx, &order, &payments).await)
}

/// Whether the order already has a payment in that coin, and its amount still holds.
fn is_waiting(ctx: &Ctx, payments: &[PaymentRow], coin: &str) -> bool {
    let now = ctx.clock.now();
    payments.iter().any(|row| {
        row.coin.as_deref() == Some(coin)
            && row.pay_address.is_some()
            && row.payment.facts.status() == Status::Waiting
            && row.valid_until.is_none_or(|until| until > now)
    })
}

fn may_pay(ctx: &Ctx, order: &Order, payments: &[PaymentRow]) -> Result<(), OrderError> {
    let known: Vec<_> = payments.iter().map(|row| row.payment).collect();
    let status = rule::status(&known);
    if !view::is_payable(status) {
        return Err(OrderError::Done(status));
    }
    if ctx.clock.now() - order.created_at > OPEN_FOR {
        return Err(OrderError::Done(Status::Expired));
    }
    if payments.len() >= PAYMENTS_PER_ORDER_AT_MOST { Err(OrderError::TooManyPayments) } else { Ok(()) }
}

enum Claim {
    /// The payment is there by now.
    Made(Vec<PaymentRow>),
    /// Nobody else makes one until the lease ends.
    Ours,
}

async fn claim(ctx: &Ctx, order: &Order, coin: &str) -> Result<Claim, OrderError> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await?;
    store::lock_order(&mut tx, order.id).await?;
    let payments = store::payments(&mut tx, order.id).await?;
    if is_waiting(ctx, &payments, coin) {
        return Ok(Claim::Made(payments));
    }
    may_pay(ctx, order, &payments)?;
    let done = sqlx::query(
        "update purchase_order set choosing_until = $2 where id = $1 and coalesce(choosing_until <= $3, true)",
    )
    .bind(order.id.0)
    .bind(now + CHOOSING_AT_MOST)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(OrderError::InFlight);
    }
    tx.commit().await?;
    Ok(Claim::Ours)
}

async fn release(db: &PgPool, order: &Order) -> Result<(), sqlx::Error> {
    sqlx::query("update purchase_order set choosing_until = null where id = $1")
        .bind(order.id.0)
        .execute(db)
        .await?;
    Ok(())
}

async fn make(ctx: &Ctx, vendor: &Client, order: &Order, coin: &str) -> Result<Created, pay::Error> {
    let name = ctx.catalog.packs.get(&order.pack).map_or(order.pack.as_str(), |pack| &pack.name);
    let new = NewPayment {
        order_id: order.id.to_string(),
        price_amount: order.price_amount.clone(),
        price_currency: order.price_currency.clone(),
        pay_currency: coin.to_owned(),
        ipn_callback_url: ctx.payments.notice_url.clone(),
        order_description: format!("{name} pack"),
    };
    vendor.create_payment(&new).await
}

/// Writes the vendor's answer down, and tries again while somebody else holds the order.
async fn write(ctx: &Ctx, order: &Order, coin: &str, created: &Created) -> Result<(), OrderError> {
    let payment = created.report.payment_id.as_str();
    let mut attempt = 1;
    loop {
        failpoint::reach("pay.before_write").await;
        match try_write(ctx, order, coin, created).await {
            Ok(()) => return Ok(()),
            Err(ApplyError::Busy(error)) if attempt < WRITES_AT_MOST => {
                tracing::info!(payment, %error, "a new payment could not be written down yet");
                attempt += 1;
            }
            Err(error) => {
                tracing::error!(payment, order = %order.id, "a payment that the vendor made was not written down");
                return Err(OrderError::Unexpected(error.into()));
            }
        }
    }
}

/// The order's lock comes first, as everywhere: the vendor tells of a payment the moment it makes it, and [`apply()`](super::apply())
/// holds the order while it waits for this row. A notice that came first left a row, which gets what only the
/// vendor's answer says.
async fn try_write(ctx: &Ctx, order: &Order, coin: &str, created: &Created) -> Result<(), ApplyError> {
    let mut tx = ctx.db.begin().await?;
    sqlx::query(apply::LOCK_WAIT).execute(&mut *tx).await?;
    store::lock_order(&mut tx, order.id).await?;
    let now = ctx.clock.now();
    let done = sqlx::query(
        "insert into payment (id, order_id, coin, network, pay_address, memo, pay_amount, valid_until, created_at, facts,
           next_poll_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict on constraint payment_pk do update set coin = excluded.coin, network = excluded.network,
           pay_address = excluded.pay_address, memo = excluded.memo, pay_amount = excluded.pay_amount,
           valid_until = excluded.valid_until
         where payment.order_id = excluded.order_id",
    )
    .bind(&created.report.payment_id)
    .bind(order.id.0)
    .bind(coin)
    .bind(&created.network)
    .bind(&created.pay_address)
    .bind(&created.payin_extra_id)
    .bind(&created.pay_amount)
    .bind(created.valid_until.or(created.expires_at))
    .bind(now)
    .bind(Facts::WAITING.as_db())
    .bind(poll::first(now))
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() != 1 {
        let payment = &created.report.payment_id;
        return Err(anyhow::anyhow!("the vendor's new payment {payment} is another order's").into());
    }
    Ok(tx.commit().await?)
}
