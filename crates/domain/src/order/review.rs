//! What a person has to look at: the queue, and the ways out of it.
//!
//! What always holds: an item is closed once; closing it, its credit and the record of who did it are one commit.

use ledger::{PostError, Refusal};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use time::OffsetDateTime;
use types::{Clock, CommunityId, MicroUsd};
use uuid::Uuid;

use super::apply::{self, Applied, ApplyError};
use super::lots::{self, Lot};
use super::rule::{Credit, Need, Review};
use super::store::PaymentRow;
use super::{Order, OrderId, store};
use crate::admin::{self, Deed};

/// Something that a person has to look at, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewItem {
    /// Its number; later ones are larger.
    pub id: i64,
    /// What it is about.
    pub kind: Review,
    /// The vendor's payment.
    pub payment_id: String,
    /// The status that nobody announced, or the other order's id; else empty.
    pub detail: String,
    /// The order, if any of ours is meant.
    pub order: Option<OrderId>,
    /// Whose order.
    pub community: Option<CommunityId>,
    /// How it stands.
    pub state: ReviewState,
    /// When it was opened.
    pub opened_at: OffsetDateTime,
}

/// How a review item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewState {
    /// It waits for a person.
    Open,
    /// What happened since has answered it.
    Overtaken {
        /// When.
        at: OffsetDateTime,
    },
    /// A person had it credited.
    Credited(ByPerson),
    /// A person closed it.
    Dismissed(ByPerson),
}

/// Who closed an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByPerson {
    /// When.
    pub at: OffsetDateTime,
    /// Who.
    pub who: String,
    /// Why.
    pub note: String,
}

impl sqlx::FromRow<'_, PgRow> for ReviewItem {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let later =
            |what: &str| sqlx::Error::Decode(format!("review_item.{what} is of a later version").into());
        let kind = Review::from_db(row.try_get("kind")?).ok_or_else(|| later("kind"))?;
        let closed: Option<OffsetDateTime> = row.try_get("closed_at")?;
        let by = || -> Result<ByPerson, sqlx::Error> {
            Ok(ByPerson {
                at: closed.ok_or_else(|| later("closed_at"))?,
                who: row.try_get("who")?,
                note: row.try_get::<Option<String>, _>("note")?.unwrap_or_default(),
            })
        };
        let state = match row.try_get::<i16, _>("state")? {
            0 => ReviewState::Open,
            1 => ReviewState::Overtaken { at: closed.ok_or_else(|| later("closed_at"))? },
            2 => ReviewState::Credited(by()?),
            3 => ReviewState::Dismissed(by()?),
            _ => return Err(later("state")),
        };
        Ok(Self {
            id: row.try_get("id")?,
            kind,
            payment_id: row.try_get("payment_id")?,
            detail: row.try_get("detail")?,
            order: row.try_get::<Option<Uuid>, _>("order_id")?.map(OrderId),
            community: row.try_get::<Option<i64>, _>("community_id")?.map(CommunityId),
            state,
            opened_at: row.try_get("opened_at")?,
        })
    }
}

/// Which items to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that wait for a person.
    Open,
    /// All that there ever were.
    All,
}

/// The queue, oldest first, at most `limit` items after the number `after`; of one community, or (`None`) of all.
pub async fn reviews(
    connection: &mut PgConnection,
    community: Option<CommunityId>,
    which: Which,
    after: i64,
    limit: i64,
) -> Result<Vec<ReviewItem>, sqlx::Error> {
    sqlx::query_as(
        "select id, kind, payment_id, detail, order_id, community_id, state, opened_at, closed_at, who, note
         from review_item
         where id > $1 and ($2::bigint is null or community_id = $2) and ($3 or state = 0) order by id limit $4",
    )
    .bind(after)
    .bind(community.map(|community| community.0))
    .bind(which == Which::All)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// One item; `None`: there is none of that number.
pub async fn review(connection: &mut PgConnection, id: i64) -> Result<Option<ReviewItem>, sqlx::Error> {
    sqlx::query_as(
        "select id, kind, payment_id, detail, order_id, community_id, state, opened_at, closed_at, who, note
         from review_item where id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await
}

/// Opens an item, or writes down one that was answered before anybody saw it. Twice is once.
pub(super) async fn insert(
    tx: &mut PgConnection,
    applied: &mut Applied,
    (kind, need): (Review, Need),
    payment: &str,
    detail: &str,
    order: Option<&Order>,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let is_open = need == Need::Open;
    let done = sqlx::query(
        "insert into review_item (kind, payment_id, detail, order_id, community_id, state, opened_at, closed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict on constraint review_item_once do nothing",
    )
    .bind(kind as i16)
    .bind(payment)
    .bind(detail)
    .bind(order.map(|order| order.id.0))
    .bind(order.map(|order| order.key.community.0))
    .bind(i16::from(!is_open))
    .bind(now)
    .bind((!is_open).then_some(now))
    .execute(tx)
    .await?;
    if done.rows_affected() == 1 && is_open {
        applied.opened.push(kind);
    }
    Ok(())
}

/// Opens what the payment's facts ask for and closes what they have answered. What a person closed stays closed.
pub(super) async fn sync(
    tx: &mut PgConnection,
    applied: &mut Applied,
    order: &Order,
    row: &PaymentRow,
    items: &[(Review, Need)],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    for (kind, need) in items {
        insert(tx, applied, (*kind, *need), &row.id, "", Some(order), now).await?;
    }
    let still_open: Vec<i16> =
        items.iter().filter(|(_, need)| *need == Need::Open).map(|(kind, _)| *kind as i16).collect();
    // Kinds 1 to 5 follow from facts; the others are about one report each.
    sqlx::query(
        "update review_item set state = 1, closed_at = $3
         where payment_id = $1 and state = 0 and kind between 1 and 5 and kind <> all($2)",
    )
    .bind(&row.id)
    .bind(&still_open)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Credit an overpayment: an overpay lot of the pack's whole worth.
    Credit,
    /// Close it without credit: it was paid back by hand, or is nothing.
    Dismiss,
}

impl Resolution {
    /// Reads the number of a closed item's state.
    pub(super) fn from_db(number: i16) -> Option<Self> {
        [Self::Credit, Self::Dismiss].into_iter().find(|resolution| resolution.as_db() == number)
    }

    /// The item's state, once it is closed so.
    pub(super) fn as_db(self) -> i16 {
        match self {
            Self::Credit => 2,
            Self::Dismiss => 3,
        }
    }

    /// The word on the wire and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Dismiss => "dismiss",
        }
    }

    /// How the record names it.
    #[must_use]
    pub fn deed(self) -> &'static str {
        match self {
            Self::Credit => "review.credit",
            Self::Dismiss => "review.dismiss",
        }
    }
}

/// What closing an item did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The item as it is now.
    pub item: ReviewItem,
    /// Credited now.
    pub credited: MicroUsd,
}

/// Why an item was not closed.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is none of that number.
    #[error("there is no such review item")]
    NoItem,
    /// It is closed.
    #[error("the review item is closed")]
    Closed(Box<ReviewItem>),
    /// Only an overpayment can be credited; for anything else there are grants.
    #[error("only an overpayment can be credited")]
    NotAnOverpayment,
    /// The account is frozen while its books are checked. Nothing was changed.
    #[error("the account is frozen while its books are checked")]
    Frozen,
    /// Nothing is minted until a person has looked at the books. Nothing was changed.
    #[error("minting is stopped while the books are checked")]
    MintingStopped,
    /// The books are busy, or a surprise.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<PostError> for ResolveError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Refused(Refusal::Frozen) => Self::Frozen,
            PostError::Refused(Refusal::MintingStopped) => Self::MintingStopped,
            error => Self::Apply(error.into()),
        }
    }
}

impl From<sqlx::Error> for ResolveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Apply(error.into())
    }
}

/// Closes an item as a person decided, and records who that was and why. Who may is for [`super::decide`] to say.
pub async fn resolve(
    db: &PgPool,
    clock: &Clock,
    id: i64,
    resolution: Resolution,
    who: &str,
    note: &str,
) -> Result<Resolved, ResolveError> {
    let mut tx = db.begin().await?;
    sqlx::query(apply::LOCK_WAIT).execute(&mut *tx).await?;
    let resolved = resolve_in(&mut tx, clock, id, resolution, who, note).await?;
    tx.commit().await?;
    Ok(resolved)
}

/// [`resolve`], within a transaction of the caller.
pub(super) async fn resolve_in(
    tx: &mut PgConnection,
    clock: &Clock,
    id: i64,
    resolution: Resolution,
    who: &str,
    note: &str,
) -> Result<Resolved, ResolveError> {
    let item = review(tx, id).await?.ok_or(ResolveError::NoItem)?;
    // The order before its items, as everywhere.
    let order = match item.order {
        Some(order) => store::lock_order(tx, order).await?,
        None => None,
    };
    let now = clock.now();
    let done = sqlx::query(
        "update review_item set state = $2, closed_at = $3, who = $4, note = $5 where id = $1 and state = 0",
    )
    .bind(id)
    .bind(resolution.as_db())
    .bind(now)
    .bind(who)
    .bind(note)
    .execute(&mut *tx)
    .await?;
    let item = review(tx, id).await?.ok_or(ResolveError::NoItem)?;
    if done.rows_affected() == 0 {
        return Err(ResolveError::Closed(Box::new(item)));
    }
    let credited = match (item.kind, &order) {
        (Review::Overpay, Some(order)) => close_overpayment(tx, clock, order, &item, resolution, now).await?,
        _ if resolution == Resolution::Credit => return Err(ResolveError::NotAnOverpayment),
        _ => MicroUsd::ZERO,
    };
    let target = format!("{id}");
    let what = resolution.deed();
    let deed = Deed { who, what, target: &target, reason: note, community: item.community };
    admin::record(tx, clock, deed).await?;
    Ok(Resolved { item, credited })
}

async fn close_overpayment(
    tx: &mut PgConnection,
    clock: &Clock,
    order: &Order,
    item: &ReviewItem,
    resolution: Resolution,
    now: OffsetDateTime,
) -> Result<MicroUsd, ResolveError> {
    let mut rows = store::lock_payments(tx, order.id).await?;
    let row = rows.iter_mut().find(|row| row.id == item.payment_id);
    let row = row.filter(|row| row.payment.facts.is_paid() && row.payment.credit == Credit::Nothing);
    let row = row.ok_or_else(|| {
        let what = format!("review item {} is open, and its payment is no overpayment", item.id);
        ApplyError::Unexpected(anyhow::anyhow!(what))
    })?;
    let worth = lots::worth(order)?;
    let credited = match resolution {
        Resolution::Credit => {
            lots::mint(tx, clock, order, Lot::Overpay, &row.id, worth, now).await?;
            row.payment.credit = Credit::Overpay;
            worth
        }
        Resolution::Dismiss => {
            row.payment.credit = Credit::Declined;
            MicroUsd::ZERO
        }
    };
    if !store::write_payment(tx, row, Credit::Nothing, now).await? {
        return Err(
            ApplyError::Unexpected(anyhow::anyhow!("payment {} changed behind its lock", row.id)).into()
        );
    }
    // Nothing follows from it today; should the rule ever say otherwise, it is done in the same commit.
    apply::settle(tx, clock, order, &mut rows, None, now, &mut Applied::default()).await?;
    Ok(credited)
}
