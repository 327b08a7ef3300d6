//! The lots of an order: how a payment is credited and how it is taken back.
//!
//! What always holds: a lot's id is made from the order and the payment, so that twice is once; a mint event is the
//! purchase lot and its bonus lot, and a refund reverses both.

use ledger::{Answer, NEVER, Op, PostError, Refusal, Source};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use types::{Clock, LotId, MicroUsd};

use super::apply::{Applied, ApplyError};
use super::{Order, OrderId};

/// The lots of an order's payment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lot {
    Purchase,
    Bonus,
    Overpay,
}

/// A lot's id: a hash of what it is for, marked as a custom UUID (RFC 9562, version 8). Twice is once.
fn lot_id(order: OrderId, payment: &str, lot: Lot) -> LotId {
    let text = format!("{lot:?} of order {order} by payment {payment}");
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bytes: [u8; 16] = digest.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes");
    LotId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// How a mint went.
pub(super) enum Minting {
    /// This much was credited.
    Done(MicroUsd),
    /// The books do not add up somewhere, and until a person has looked nothing is minted (SPEC §13).
    Stopped,
}

/// A mint event: the purchase lot and its bonus lot.
pub(super) async fn mint_pack(
    tx: &mut PgConnection,
    clock: &Clock,
    order: &Order,
    payment: &str,
    now: OffsetDateTime,
) -> Result<Minting, ApplyError> {
    match mint(tx, clock, order, Lot::Purchase, payment, order.credits, now).await {
        Ok(()) => {}
        Err(PostError::Refused(Refusal::MintingStopped)) => return Ok(Minting::Stopped),
        Err(error) => return Err(error.into()),
    }
    if order.bonus > MicroUsd::ZERO {
        mint(tx, clock, order, Lot::Bonus, payment, order.bonus, now).await?;
    }
    Ok(Minting::Done(worth(order)?))
}

/// Pack and bonus together.
pub(super) fn worth(order: &Order) -> Result<MicroUsd, ApplyError> {
    let sum = order.credits.checked_add(order.bonus);
    sum.ok_or_else(|| anyhow::anyhow!("order {} is worth more than there is", order.id).into())
}

pub(super) async fn mint(
    tx: &mut PgConnection,
    clock: &Clock,
    order: &Order,
    lot: Lot,
    payment: &str,
    amount: MicroUsd,
    now: OffsetDateTime,
) -> Result<(), PostError> {
    let source = match lot {
        Lot::Purchase => Source::Purchase,
        Lot::Bonus => Source::Bonus,
        Lot::Overpay => Source::Overpay,
    };
    let expires_at = order.expires_days.map_or(NEVER, |days| now + Duration::days(days.into()));
    let id = lot_id(order.id, payment, lot);
    let op = Op::Mint { key: order.key, id, source, amount: amount.0, expires_at };
    ledger::post(tx, clock, &op).await.map(|_| ())
}

pub(super) async fn reverse(
    tx: &mut PgConnection,
    clock: &Clock,
    order: &Order,
    lot: Lot,
    payment: &str,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let op = Op::Reverse { key: order.key, lot: lot_id(order.id, payment, lot) };
    if let Answer::Reversed { taken, .. } = ledger::post(tx, clock, &op).await? {
        applied.reversed = applied.reversed.checked_add(MicroUsd(taken)).unwrap_or(MicroUsd(i64::MAX));
    }
    Ok(())
}
