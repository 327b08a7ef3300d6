//! Rows of orders and payments, and the locks on them.
//!
//! The order's row is locked first and alone; its payments are read in a later statement, so that they are as the
//! transaction before us left them (in READ COMMITTED a statement that waits for a lock re-reads only the locked row).

use ledger::AccountKey;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use types::{AccountId, CommunityId, MicroUsd};
use uuid::Uuid;

use super::rule::{Credit, Facts, Payment};
use super::{Order, OrderId};

/// A payment's row.
#[derive(Clone, Debug)]
pub(super) struct PaymentRow {
    pub(super) id: String,
    pub(super) coin: Option<String>,
    pub(super) network: Option<String>,
    pub(super) pay_address: Option<String>,
    pub(super) memo: Option<String>,
    pub(super) pay_amount: Option<String>,
    pub(super) actually_paid: Option<String>,
    pub(super) valid_until: Option<OffsetDateTime>,
    pub(super) created_at: OffsetDateTime,
    pub(super) payment: Payment,
}

impl sqlx::FromRow<'_, PgRow> for Order {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        Ok(Self {
            id: OrderId(row.try_get("id")?),
            key: AccountKey {
                community: CommunityId(row.try_get("community_id")?),
                account: AccountId(row.try_get("account_id")?),
            },
            pack: row.try_get("pack")?,
            price_amount: row.try_get("price_amount")?,
            price_currency: row.try_get("price_currency")?,
            credits: MicroUsd(row.try_get("credits")?),
            bonus: MicroUsd(row.try_get("bonus")?),
            expires_days: row.try_get("expires_days")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl sqlx::FromRow<'_, PgRow> for PaymentRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let unknown =
            |what: &str| sqlx::Error::Decode(format!("payment.{what} is of a later version").into());
        let facts = Facts::from_db(row.try_get("facts")?).ok_or_else(|| unknown("facts"))?;
        let credit = Credit::from_db(row.try_get("credit")?).ok_or_else(|| unknown("credit"))?;
        Ok(Self {
            id: row.try_get("id")?,
            coin: row.try_get("coin")?,
            network: row.try_get("network")?,
            pay_address: row.try_get("pay_address")?,
            memo: row.try_get("memo")?,
            pay_amount: row.try_get("pay_amount")?,
            actually_paid: row.try_get("actually_paid")?,
            valid_until: row.try_get("valid_until")?,
            created_at: row.try_get("created_at")?,
            payment: Payment { facts, credit },
        })
    }
}

/// An order, as it is.
pub(super) async fn order(connection: &mut PgConnection, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    sqlx::query_as(
        "select id, community_id, account_id, pack, price_amount, price_currency, credits, bonus, expires_days, created_at
         from purchase_order where id = $1",
    )
    .bind(id.0)
    .fetch_optional(connection)
    .await
}

/// The latest orders of an account, the newest first.
pub(super) async fn recent(
    connection: &mut PgConnection,
    key: AccountKey,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    sqlx::query_as(
        "select id, community_id, account_id, pack, price_amount, price_currency, credits, bonus, expires_days, created_at
         from purchase_order where community_id = $1 and account_id = $2 order by created_at desc, id limit $3",
    )
    .bind(key.community.0)
    .bind(key.account.0)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// An order, locked until the transaction ends. The first lock of whatever changes one.
pub(super) async fn lock_order(
    connection: &mut PgConnection,
    id: OrderId,
) -> Result<Option<Order>, sqlx::Error> {
    sqlx::query_as(
        "select id, community_id, account_id, pack, price_amount, price_currency, credits, bonus, expires_days, created_at
         from purchase_order where id = $1 for update",
    )
    .bind(id.0)
    .fetch_optional(connection)
    .await
}

/// The payments of an order, oldest first.
pub(super) async fn payments(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    sqlx::query_as(
        "select id, coin, network, pay_address, memo, pay_amount, actually_paid, valid_until, created_at,
         facts, credit from payment where order_id = $1 order by created_at, id",
    )
    .bind(order.0)
    .fetch_all(connection)
    .await
}

/// The payments of an order, oldest first, locked. The order is locked already.
pub(super) async fn lock_payments(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    sqlx::query_as(
        "select id, coin, network, pay_address, memo, pay_amount, actually_paid, valid_until, created_at,
         facts, credit from payment where order_id = $1 order by created_at, id for update",
    )
    .bind(order.0)
    .fetch_all(connection)
    .await
}

/// The order that a payment belongs to.
pub(super) async fn order_of_payment(
    connection: &mut PgConnection,
    payment_id: &str,
) -> Result<Option<OrderId>, sqlx::Error> {
    let order: Option<Uuid> = sqlx::query_scalar("select order_id from payment where id = $1")
        .bind(payment_id)
        .fetch_optional(connection)
        .await?;
    Ok(order.map(OrderId))
}

/// Records what was told of a payment and what was done for it. `false`: somebody credited it meanwhile, which the
/// locks make impossible and this guard makes harmless.
pub(super) async fn write_payment(
    connection: &mut PgConnection,
    row: &PaymentRow,
    before: Credit,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let facts = row.payment.facts;
    let is_mint = before == Credit::Nothing && matches!(row.payment.credit, Credit::Pack | Credit::Overpay);
    let done = sqlx::query(
        "update payment set facts = $2, rank = $3, credit = $4, actually_paid = coalesce($5, actually_paid),
           deposit_at = coalesce(deposit_at, case when $6 then $9 end),
           credits_minted_at = case when $7 then $9 else credits_minted_at end,
           credits_reversed_at = case when $4 = 3 then coalesce(credits_reversed_at, $9) end
         where id = $1 and credit = $8 and (not $7 or credits_minted_at is null)",
    )
    .bind(&row.id)
    .bind(facts.as_db())
    .bind(facts.status().rank())
    .bind(row.payment.credit as i16)
    .bind(&row.actually_paid)
    .bind(facts.shows_deposit())
    .bind(is_mint)
    .bind(before as i16)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
