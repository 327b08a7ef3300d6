//! What the vendor said, applied: one transaction, whoever heard it.
//!
//! What always holds: report, payment row, mint, journal, review items and the message to the buyer are one commit;
//! the second arrival of anything is a quiet success. A lock that somebody else holds is waited for briefly, then
//! the whole is given up with an error: the vendor sends again, and the poller asks. Deliberately absent: retries.

use std::cmp::Ordering;

use ledger::{AccountKey, PostError};
use pay::report::Report;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use types::{Clock, CommunityId, MicroUsd, failpoint};

use super::lots::Lot;
use super::rule::{self, Credit, Effect, Need, Payment, Review, Terms};
use super::store::{self, PaymentRow};
use super::{Order, OrderId, Status, lots, notices, poll, review};
use crate::admin::{self, Deed};

/// Who heard it.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The vendor told us unasked.
    Notice {
        /// The body, byte for byte.
        verbatim: &'a [u8],
    },
    /// We asked.
    Poll,
    /// An admin had us ask.
    Admin {
        /// Who, as [`Deed::who`] says it.
        who: &'a str,
        /// Why.
        reason: &'a str,
    },
}

impl Origin<'_> {
    pub(super) fn as_db(&self) -> i16 {
        match self {
            Self::Notice { .. } => 1,
            Self::Poll => 2,
            Self::Admin { .. } => 3,
        }
    }
}

/// What a report did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The order that it was about; `None`: no order of ours.
    pub order: Option<OrderId>,
    /// Whose order.
    pub community: Option<CommunityId>,
    /// The order as it is now.
    pub status: Option<Status>,
    /// Credited now, bonus included.
    pub minted: MicroUsd,
    /// Taken back now.
    pub reversed: MicroUsd,
    /// Review items that it opened.
    pub opened: Vec<Review>,
    /// It is paid, and the ledger mints nothing for now: the next report credits it.
    pub is_held_up: bool,
    /// It said something new, or changed something that an earlier report could not.
    pub is_news: bool,
}

/// Why a report was not applied. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else holds the order or the account, or the database is away: the same report later will do.
    #[error("the books are busy")]
    Busy(#[source] sqlx::Error),
    /// A surprise.
    #[error("unexpected")]
    Unexpected(#[from] anyhow::Error),
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        /// Lock not available, serialization failure, deadlock, out of connections; cancelled, shutting down, crashed,
        /// starting; ended for idling in a transaction.
        const PASSING: [&str; 9] =
            ["55P03", "40001", "40P01", "53300", "57014", "57P01", "57P02", "57P03", "25P03"];
        let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        let is_passing = match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
            _ => code.is_some_and(|code| PASSING.contains(&code.as_str())),
        };
        if is_passing { Self::Busy(error) } else { Self::Unexpected(error.into()) }
    }
}

impl From<PostError> for ApplyError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Database(error) => error.into(),
            PostError::Refused(refusal) => {
                Self::Unexpected(anyhow::Error::from(refusal).context("the ledger refused"))
            }
        }
    }
}

/// How long to wait for an order or a book that somebody else has locked. Well within the 3 s in which a notice is
/// answered.
pub(super) const LOCK_WAIT: &str = "set local lock_timeout = '1500ms'";

/// Applies `report`, all of it or nothing.
pub async fn apply(
    db: &PgPool,
    clock: &Clock,
    report: &Report,
    origin: Origin<'_>,
) -> Result<Applied, ApplyError> {
    failpoint::reach("pay.before_apply").await;
    let mut tx = db.begin().await?;
    sqlx::query(LOCK_WAIT).execute(&mut *tx).await?;
    let applied = apply_in(&mut tx, clock, report, origin).await?;
    failpoint::reach("pay.before_commit").await;
    tx.commit().await?;
    failpoint::reach("pay.after_commit").await;
    tell(report, origin, &applied);
    Ok(applied)
}

/// [`apply`] of a notice, when it says something new; `None`: it does not, and nothing of it is kept. Told under the
/// order's lock: of the same news, ten at once, one is applied.
pub async fn apply_news(
    db: &PgPool,
    clock: &Clock,
    report: &Report,
    verbatim: &[u8],
) -> Result<Option<Applied>, ApplyError> {
    let origin = Origin::Notice { verbatim };
    let mut tx = db.begin().await?;
    sqlx::query(LOCK_WAIT).execute(&mut *tx).await?;
    let applied = apply_in(&mut tx, clock, report, origin).await?;
    if !applied.is_news {
        tx.rollback().await?;
        return Ok(None);
    }
    tx.commit().await?;
    tell(report, origin, &applied);
    Ok(Some(applied))
}

async fn apply_in(
    tx: &mut PgConnection,
    clock: &Clock,
    report: &Report,
    origin: Origin<'_>,
) -> Result<Applied, ApplyError> {
    let by_payment = store::order_of_payment(tx, &report.payment_id).await?;
    let named = match report.order_id.as_deref().and_then(|text| text.parse().ok()) {
        Some(id) => store::order(tx, id).await?.map(|order| order.id),
        None => None,
    };
    let by_parent = match &report.parent_payment_id {
        Some(parent) if named.is_none() && by_payment.is_none() => {
            store::order_of_payment(tx, parent).await?
        }
        Some(_) | None => None,
    };
    let Some(id) = named.or(by_payment).or(by_parent) else {
        return unknown(tx, clock, report, origin).await;
    };
    let order = store::lock_order(tx, id).await?;
    let order = order.ok_or_else(|| anyhow::anyhow!("order {id} is gone, and orders are never deleted"))?;
    // Times of one order never run backwards: read under its lock.
    let now = clock.now();
    if let Some(owner) = by_payment.filter(|by_payment| *by_payment != order.id) {
        return of_other_order(tx, clock, report, origin, &order, owner).await;
    }
    adopt(tx, report, &order, now).await?;
    let mut rows = store::lock_payments(tx, order.id).await?;
    let place = rows.iter().position(|row| row.id == report.payment_id);
    // Another transaction may have adopted the same payment for another order since we looked.
    let place = place.ok_or_else(|| ApplyError::Busy(sqlx::Error::RowNotFound))?;

    let is_news = take_in(&mut rows[place], &order, report);
    let mut applied = Applied { is_news, ..about(&order) };
    // A notice is kept each time it comes; an answer to our own question only when it says something new.
    if is_news || !matches!(origin, Origin::Poll) {
        notices::keep_report(tx, report, origin, Some(order.id), now).await?;
    }
    if Status::read(&report.status).is_none() {
        open(tx, &mut applied, Review::UnknownStatus, report, &report.status, Some(&order), now).await?;
    }
    settle(tx, clock, &order, &mut rows, Some(place), now, &mut applied).await?;
    poll::reschedule(tx, &rows[place], origin, applied.is_held_up, now).await?;
    let is_moved = applied.minted > MicroUsd::ZERO || applied.reversed > MicroUsd::ZERO;
    applied.is_news |= is_moved || !applied.opened.is_empty();
    record_deed(tx, clock, report, origin, Some(&order)).await?;
    Ok(applied)
}

/// A report that names `order`, about a payment of `owner`: for a person, and asked about further as any other.
async fn of_other_order(
    tx: &mut PgConnection,
    clock: &Clock,
    report: &Report,
    origin: Origin<'_>,
    order: &Order,
    owner: OrderId,
) -> Result<Applied, ApplyError> {
    let now = clock.now();
    let mut applied = about(order);
    let detail = order.id.to_string();
    open(tx, &mut applied, Review::OtherOrder, report, &detail, Some(order), now).await?;
    applied.is_news = !applied.opened.is_empty();
    // An answer that says the same again is not kept, as in `apply_in`.
    if !applied.opened.is_empty() || !matches!(origin, Origin::Poll) {
        notices::keep_report(tx, report, origin, Some(order.id), now).await?;
    }
    // Of the other order nothing but the time of the next question is written, so its lock is not needed.
    let rows = store::payments(tx, owner).await?;
    if let Some(row) = rows.iter().find(|row| row.id == report.payment_id) {
        poll::reschedule(tx, row, origin, false, now).await?;
    }
    record_deed(tx, clock, report, origin, Some(order)).await?;
    Ok(applied)
}

fn about(order: &Order) -> Applied {
    Applied { order: Some(order.id), community: Some(order.key.community), ..Applied::default() }
}

/// Adds a report to what is known of its payment; whether that was news.
fn take_in(row: &mut PaymentRow, order: &Order, report: &Report) -> bool {
    let terms = Terms { price_amount: &order.price_amount, price_currency: &order.price_currency };
    let known = row.payment.facts;
    row.payment.facts = known.join(rule::read(terms, report));
    // The largest sum that was told: an old notice that comes late does not take it back.
    let is_more = |known: &str, paid: &str| pay::decimal::compare(known, paid) == Ok(Ordering::Less);
    let mut is_more_paid = false;
    if let Some(paid) = &report.actually_paid
        && row.actually_paid.as_deref().is_none_or(|known| is_more(known, paid))
    {
        row.actually_paid = Some(paid.clone());
        is_more_paid = true;
    }
    row.payment.facts != known || is_more_paid
}

/// Makes the books, the rows and the review items what the rule says. Under the order's lock. `reported`: the place of
/// the payment whose facts may have grown.
pub(super) async fn settle(
    tx: &mut PgConnection,
    clock: &Clock,
    order: &Order,
    rows: &mut [PaymentRow],
    reported: Option<usize>,
    now: OffsetDateTime,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let mut payments: Vec<Payment> = rows.iter().map(|row| row.payment).collect();
    let before: Vec<Credit> = payments.iter().map(|payment| payment.credit).collect();
    let mut held_up = None;
    for effect in rule::settle(&mut payments) {
        match effect {
            Effect::MintPack(place) => {
                failpoint::reach("pay.before_mint").await;
                match lots::mint_pack(tx, clock, order, &rows[place].id, now).await? {
                    lots::Minting::Done(sum) => applied.minted = sum,
                    lots::Minting::Stopped => {
                        // The report is kept all the same, and the poller brings the next one.
                        payments[place].credit = before[place];
                        (held_up, applied.is_held_up) = (Some(place), true);
                    }
                }
                failpoint::reach("pay.after_mint").await;
            }
            Effect::ReversePack(place) => {
                let payment = &rows[place].id;
                lots::reverse(tx, clock, order, Lot::Purchase, payment, applied).await?;
                if order.bonus > MicroUsd::ZERO {
                    lots::reverse(tx, clock, order, Lot::Bonus, payment, applied).await?;
                }
            }
            Effect::ReverseOverpay(place) => {
                lots::reverse(tx, clock, order, Lot::Overpay, &rows[place].id, applied).await?;
            }
        }
    }
    for (row, payment) in rows.iter_mut().zip(&payments) {
        row.payment = *payment;
    }
    let is_changed = |place: &usize| reported == Some(*place) || before[*place] != payments[*place].credit;
    let changed: Vec<usize> = (0..rows.len()).filter(is_changed).collect();
    write_rows(tx, rows, &changed, &before, now).await?;
    for place in changed {
        let row = &rows[place];
        if row.payment.credit == Credit::Pack && before[place] != Credit::Pack {
            tell_buyer(tx, order, row, now).await?;
        }
        let mut items = rule::reviews(row.payment);
        if held_up == Some(place) {
            items.retain(|(kind, _)| *kind != Review::Overpay); // it only looks like one until it is minted
        }
        review::sync(tx, applied, order, row, &items, now).await?;
    }
    applied.status = Some(rule::status(&payments));
    Ok(())
}

/// Reversals first: the pack stands on one payment at a time, and the table's unique index says so too.
async fn write_rows(
    tx: &mut PgConnection,
    rows: &[PaymentRow],
    changed: &[usize],
    before: &[Credit],
    now: OffsetDateTime,
) -> Result<(), ApplyError> {
    for is_turn in [true, false] {
        for place in changed {
            let row = &rows[*place];
            let is_reversal = row.payment.credit == Credit::Reversed;
            if is_reversal == is_turn && !store::write_payment(tx, row, before[*place], now).await? {
                return Err(anyhow::anyhow!("payment {} was credited behind its lock", row.id).into());
            }
        }
    }
    Ok(())
}

/// A payment that the vendor made for us and we did not get to write down, or a deposit that repeats another.
async fn adopt(
    tx: &mut PgConnection,
    report: &Report,
    order: &Order,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into payment (id, order_id, parent_id, coin, pay_amount, created_at) values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint payment_pk do nothing",
    )
    .bind(&report.payment_id)
    .bind(order.id.0)
    .bind(&report.parent_payment_id)
    .bind(&report.pay_currency)
    .bind(&report.pay_amount)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// A report that names nothing of ours: kept for a person.
async fn unknown(
    tx: &mut PgConnection,
    clock: &Clock,
    report: &Report,
    origin: Origin<'_>,
) -> Result<Applied, ApplyError> {
    let now = clock.now();
    let mut applied = Applied::default();
    notices::keep_report(tx, report, origin, None, now).await?;
    open(tx, &mut applied, Review::UnknownOrder, report, "", None, now).await?;
    applied.is_news = !applied.opened.is_empty();
    record_deed(tx, clock, report, origin, None).await?;
    Ok(applied)
}

async fn open(
    tx: &mut PgConnection,
    applied: &mut Applied,
    kind: Review,
    report: &Report,
    detail: &str,
    order: Option<&Order>,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    review::insert(tx, applied, (kind, Need::Open), &report.payment_id, detail, order, now).await
}

/// The confirmation to the buyer, once per payment that was credited.
async fn tell_buyer(
    tx: &mut PgConnection,
    order: &Order,
    row: &PaymentRow,
    now: OffsetDateTime,
) -> Result<(), ApplyError> {
    let AccountKey { community, account } = order.key;
    let body = serde_json::json!({
        "order_id": order.id,
        "payment_id": row.id,
        "community_id": community,
        "account_id": account,
        "pack": order.pack,
        "credited_micro": lots::worth(order)?,
    });
    sqlx::query(
        "insert into outbox (topic, subject, body, at) values ('credits_added', $1, $2::text::jsonb, $3)
         on conflict on constraint outbox_once do nothing",
    )
    .bind(&row.id)
    .bind(body.to_string())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

async fn record_deed(
    tx: &mut PgConnection,
    clock: &Clock,
    report: &Report,
    origin: Origin<'_>,
    order: Option<&Order>,
) -> Result<(), sqlx::Error> {
    let Origin::Admin { who, reason } = origin else { return Ok(()) };
    let community = order.map(|order| order.key.community);
    let deed = Deed { who, what: "payment.reconcile", target: &report.payment_id, reason, community };
    admin::record(tx, clock, deed).await
}

/// Counts and logs, after the commit. Ids only: no addresses, no bodies.
fn tell(report: &Report, origin: Origin<'_>, applied: &Applied) {
    let from = match origin {
        Origin::Notice { .. } => "notice",
        Origin::Poll => "poll",
        Origin::Admin { .. } => "admin",
    };
    metrics::counter!("pay_reports_total", "from" => from).increment(1);
    let order = applied.order.map(|order| order.to_string()).unwrap_or_default();
    let (payment, status) = (report.payment_id.as_str(), report.status.as_str());
    if applied.minted > MicroUsd::ZERO {
        metrics::counter!("pay_mints_total").increment(1);
        tracing::info!(payment, order, micro_usd = applied.minted.0, from, "a payment was credited");
    }
    if applied.reversed > MicroUsd::ZERO {
        metrics::counter!("pay_reversals_total").increment(1);
        tracing::info!(payment, order, micro_usd = applied.reversed.0, from, "a refund took credits back");
    }
    for kind in &applied.opened {
        metrics::counter!("pay_reviews_opened_total", "kind" => kind.as_str()).increment(1);
        tracing::warn!(payment, order, status, kind = kind.as_str(), from, "a payment needs a person");
    }
}
