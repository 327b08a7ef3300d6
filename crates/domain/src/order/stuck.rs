//! Payments that hang, and the admin's repair of one.

use pay::nowpayments::Client;
use sqlx::{PgConnection, PgPool};
use time::{Duration, OffsetDateTime};
use types::{AccountId, Clock, CommunityId};
use uuid::Uuid;

use super::apply::{Applied, ApplyError, Origin, apply};
use super::rule::Facts;
use super::{OrderId, Status, store};
use crate::admin::{self, Deed};

/// Money was seen this long ago, and nothing was credited.
const STUCK_AFTER: Duration = Duration::minutes(30);

/// A payment whose money was seen and not credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckPayment {
    /// The vendor's id.
    pub payment_id: String,
    /// Its order.
    pub order: OrderId,
    /// Whose order.
    pub community: CommunityId,
    /// Whose account.
    pub account: AccountId,
    /// The highest status that was told.
    pub status: Status,
    /// Finished with the checks passed: only the mint is missing.
    pub is_paid: bool,
    /// The coin.
    pub coin: Option<String>,
    /// How many coins were asked for.
    pub pay_amount: Option<String>,
    /// How many came.
    pub actually_paid: Option<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When the money was first seen.
    pub deposit_at: OffsetDateTime,
    /// When the vendor was last asked.
    pub polled_at: Option<OffsetDateTime>,
}

type Row = (
    String,
    Uuid,
    i64,
    i64,
    i32,
    Option<String>,
    Option<String>,
    Option<String>,
    OffsetDateTime,
    OffsetDateTime,
    Option<OffsetDateTime>,
);

/// Payments that hang, the longest first, at most `limit` of them; of one community, or (`None`) of all. The next page
/// begins `after` the last one's time and id.
pub async fn stuck(
    connection: &mut PgConnection,
    clock: &Clock,
    community: Option<CommunityId>,
    after: Option<(OffsetDateTime, &str)>,
    limit: i64,
) -> Result<Vec<StuckPayment>, sqlx::Error> {
    // Rank 8 is refunded: the money went back. What a person declined has another credit than 0, and what a person has
    // looked at hangs no longer, unless it is paid.
    let rows: Vec<Row> = sqlx::query_as(
        "select p.id, p.order_id, o.community_id, o.account_id, p.facts, p.coin, p.pay_amount, p.actually_paid,
           p.created_at, p.deposit_at, p.polled_at
         from payment p join purchase_order o on o.id = p.order_id
         where p.credit = 0 and p.deposit_at <= $1 and p.rank <> 8 and ($2::bigint is null or o.community_id = $2)
           and ($3::timestamptz is null or (p.deposit_at, p.id) > ($3, $4))
           and (p.facts & $6 <> 0
             or not exists (select from review_item r where r.payment_id = p.id and r.state in (2, 3))
             or exists (select from review_item r where r.payment_id = p.id and r.state = 0))
         order by p.deposit_at, p.id limit $5",
    )
    .bind(clock.now() - STUCK_AFTER)
    .bind(community.map(|community| community.0))
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, id)| id))
    .bind(limit)
    .bind(Facts::PAID_BIT)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(read).collect()
}

fn read(row: Row) -> Result<StuckPayment, sqlx::Error> {
    let (
        payment_id,
        order,
        community,
        account,
        facts,
        coin,
        pay_amount,
        actually_paid,
        created,
        deposit,
        polled,
    ) = row;
    let facts = Facts::from_db(facts)
        .ok_or_else(|| sqlx::Error::Decode("payment.facts is of a later version".into()))?;
    Ok(StuckPayment {
        payment_id,
        order: OrderId(order),
        community: CommunityId(community),
        account: AccountId(account),
        status: facts.status(),
        is_paid: facts.is_paid(),
        coin,
        pay_amount,
        actually_paid,
        created_at: created,
        deposit_at: deposit,
        polled_at: polled,
    })
}

/// Why a payment was not reconciled.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Nobody ever told us of such a payment.
    #[error("there is no such payment")]
    NoPayment,
    /// The vendor did not answer.
    #[error("the payment processor did not answer")]
    Vendor(#[from] pay::Error),
    /// The answer was not applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<sqlx::Error> for ReconcileError {
    fn from(error: sqlx::Error) -> Self {
        Self::Apply(error.into())
    }
}

/// The community that a payment's order belongs to; `None`: there is no such payment of ours.
pub async fn community_of_payment(
    connection: &mut PgConnection,
    payment_id: &str,
) -> Result<Option<CommunityId>, sqlx::Error> {
    let Some(order) = store::order_of_payment(&mut *connection, payment_id).await? else { return Ok(None) };
    Ok(store::order(connection, order).await?.map(|order| order.key.community))
}

/// Asks the vendor about one payment and applies the answer, as the poller does. That it was asked for is recorded first,
/// whatever comes of it; then the deed with its effect, or that the vendor did not answer.
pub async fn reconcile(
    db: &PgPool,
    clock: &Clock,
    vendor: &Client,
    payment_id: &str,
    who: &str,
    reason: &str,
) -> Result<Applied, ReconcileError> {
    let is_known: bool = sqlx::query_scalar(
        "select exists (select from payment where id = $1) or exists (select from notice where payment_id = $1)",
    )
    .bind(payment_id)
    .fetch_one(db)
    .await?;
    if !is_known {
        return Err(ReconcileError::NoPayment);
    }
    let record = async |what: &str| {
        let mut connection = db.acquire().await?;
        let community = community_of_payment(&mut connection, payment_id).await?;
        admin::record(&mut connection, clock, Deed { who, what, target: payment_id, reason, community }).await
    };
    record("payment.reconcile.asked").await?;
    match vendor.payment(payment_id).await {
        Ok(report) => Ok(apply(db, clock, &report, Origin::Admin { who, reason }).await?),
        Err(error) => {
            record("payment.reconcile.unanswered").await?;
            Err(error.into())
        }
    }
}
