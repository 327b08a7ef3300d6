//! An order as its buyer sees it.

use time::OffsetDateTime;
use types::MicroUsd;

use super::rule::{self, Credit, Need};
use super::store::{self, PaymentRow};
use super::{Order, OrderId, Payer, REVIEW_TEXT, Status, coins};
use crate::Ctx;

/// An order with what there is to do about it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OrderView {
    /// Its id.
    pub id: OrderId,
    /// The pack's slug.
    pub pack: String,
    /// Where it is.
    pub status: Status,
    /// The same in a sentence (SPEC §3).
    pub text: String,
    /// Whether its credits are in the account now.
    pub is_credited: bool,
    /// The price, as decimal text.
    pub price_amount: String,
    /// In which currency.
    pub price_currency: String,
    /// What is credited for it.
    pub credits_micro: MicroUsd,
    /// What comes on top.
    pub bonus_micro: MicroUsd,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The payment that speaks for it: the most telling, the latest of equals. `None`: no coin was chosen.
    pub payment: Option<PaymentView>,
    /// What it can be paid in. Empty when no further payment is wanted, and in the answer to [`super::start()`].
    pub coins: Coins,
}

/// A payment as its payer sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PaymentView {
    /// The vendor's id.
    pub id: String,
    /// Where it is.
    pub status: Status,
    /// The coin.
    pub coin: Option<String>,
    /// The chain that it travels on.
    pub network: Option<String>,
    /// Where to pay. `None`: the vendor told us of a payment that we have no answer for.
    pub pay_address: Option<String>,
    /// The memo or destination tag, without which a deposit is lost.
    pub memo: Option<String>,
    /// How many coins, as decimal text.
    pub pay_amount: Option<String>,
    /// How many came, as decimal text.
    pub actually_paid: Option<String>,
    /// Until when the amount holds.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

impl PaymentView {
    /// How many coins are still missing, as decimal text. `None`: nothing came yet, or enough did.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        pay::decimal::shortfall(self.pay_amount.as_deref()?, self.actually_paid.as_deref()?)
    }
}

/// The coins on offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Coins {
    /// Those whose minimum fits the price.
    pub offered: Vec<Coin>,
    /// `false`: the vendor did not answer for all of them; there may be more in a minute.
    pub is_complete: bool,
}

/// A coin on offer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Coin {
    /// The vendor's name of it.
    pub coin: String,
    /// The least that it can carry, in USD, as decimal text.
    pub minimum_usd: String,
}

/// The order with that id, if it is the caller's. Asks the vendor only for minimums that are not fresh.
pub async fn view(ctx: &Ctx, who: Payer, order: OrderId) -> Result<Option<OrderView>, sqlx::Error> {
    let mut connection = ctx.db.acquire().await?;
    let Some(order) = store::order(&mut connection, order).await?.filter(|order| order.key == who.key) else {
        return Ok(None);
    };
    let payments = store::payments(&mut connection, order.id).await?;
    drop(connection);
    Ok(Some(with_coins(ctx, &order, &payments).await))
}

/// The latest orders of an account, the newest first, without coins on offer. Asks nobody.
pub async fn recent(ctx: &Ctx, who: Payer, limit: i64) -> Result<Vec<OrderView>, sqlx::Error> {
    let mut connection = ctx.db.acquire().await?;
    let mut views = Vec::new();
    for order in store::recent(&mut connection, who.key, limit).await? {
        let payments = store::payments(&mut connection, order.id).await?;
        views.push(without_coins(&order, &payments));
    }
    Ok(views)
}

/// The view of rows that were read, with the coins on offer, for which the vendor may have to be asked.
pub(super) async fn with_coins(ctx: &Ctx, order: &Order, rows: &[PaymentRow]) -> OrderView {
    let mut view = without_coins(order, rows);
    if is_payable(view.status) {
        view.coins = coins::on_offer(ctx, &order.price_amount).await;
    }
    view
}

/// Whether one more payment makes sense: no money was seen yet, or too little.
pub(super) fn is_payable(status: Status) -> bool {
    match status {
        Status::Waiting | Status::Expired | Status::Failed | Status::PartiallyPaid => true,
        Status::Confirming | Status::Confirmed | Status::Sending | Status::Finished | Status::Refunded => {
            false
        }
    }
}

/// The view of rows that were read. Asks nobody.
pub(super) fn without_coins(order: &Order, rows: &[PaymentRow]) -> OrderView {
    let payments: Vec<_> = rows.iter().map(|row| row.payment).collect();
    let status = rule::status(&payments);
    let is_credited = payments.iter().any(|payment| matches!(payment.credit, Credit::Pack | Credit::Overpay));
    // An underpayment has a sentence of its own, which says what to do.
    let needs_person = payments
        .iter()
        .copied()
        .flat_map(rule::reviews)
        .any(|(kind, need)| need == Need::Open && kind != rule::Review::PartiallyPaid);
    let text = if needs_person && !is_credited { REVIEW_TEXT } else { status.text() };
    // Among equals the last one: the coin that was chosen last.
    let speaks = rows
        .iter()
        .filter(|row| !row.payment.facts.is_child())
        .max_by_key(|row| rule::status(&[row.payment]).prominence());
    OrderView {
        id: order.id,
        pack: order.pack.clone(),
        status,
        text: text.to_owned(),
        is_credited,
        price_amount: order.price_amount.clone(),
        price_currency: order.price_currency.clone(),
        credits_micro: order.credits,
        bonus_micro: order.bonus,
        created_at: order.created_at,
        payment: speaks.map(payment_view),
        coins: Coins::default(),
    }
}

fn payment_view(row: &PaymentRow) -> PaymentView {
    PaymentView {
        id: row.id.clone(),
        status: rule::status(&[row.payment]),
        coin: row.coin.clone(),
        network: row.network.clone(),
        pay_address: row.pay_address.clone(),
        memo: row.memo.clone(),
        pay_amount: row.pay_amount.clone(),
        actually_paid: row.actually_paid.clone(),
        expires_at: row.valid_until,
    }
}
