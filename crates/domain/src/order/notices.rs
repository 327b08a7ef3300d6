//! What the vendor said, kept as it came. Insert-only: the database refuses anything else.

use pay::report::Report;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use types::Clock;

use super::OrderId;
use super::apply::{ApplyError, Origin};

/// Keeps a report about `order`: a notice byte for byte, an answer as JSON.
pub(super) async fn keep_report(
    tx: &mut PgConnection,
    report: &Report,
    origin: Origin<'_>,
    order: Option<OrderId>,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let read;
    let body = match origin {
        Origin::Notice { verbatim } => verbatim,
        Origin::Poll | Origin::Admin { .. } => {
            read = as_json(report).to_string();
            read.as_bytes()
        }
    };
    keep(tx, Some(&report.payment_id), order, origin, &report.status, body, now).await
}

async fn keep(
    tx: &mut PgConnection,
    payment: Option<&str>,
    order: Option<OrderId>,
    origin: Origin<'_>,
    status: &str,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into notice (payment_id, order_id, origin, status, body, at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(payment)
    .bind(order.map(|order| order.0))
    .bind(origin.as_db())
    .bind(status)
    .bind(body)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps an authenticated notice that says too little to be applied, and why. It can be read by people only.
pub async fn keep_unread(db: &PgPool, clock: &Clock, verbatim: &[u8], why: &str) -> Result<(), ApplyError> {
    let mut connection = db.acquire().await?;
    let status = format!("unreadable: {why}");
    let origin = Origin::Notice { verbatim };
    keep(&mut connection, None, None, origin, &status, verbatim, clock.now()).await?;
    metrics::counter!("pay_unreadable_notices_total").increment(1);
    tracing::warn!(why, "an authenticated notice cannot be read; it is kept");
    Ok(())
}

/// What an answer said, in the vendor's words.
fn as_json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "payment_id": report.payment_id,
        "parent_payment_id": report.parent_payment_id,
        "order_id": report.order_id,
        "payment_status": report.status,
        "price_amount": report.price_amount,
        "price_currency": report.price_currency,
        "pay_amount": report.pay_amount,
        "pay_currency": report.pay_currency,
        "actually_paid": report.actually_paid,
        "purchase_id": report.purchase_id,
        "updated_at": report.updated_at,
    })
}
