//! The first answer to a request, kept for a day under the key that its sender chose (SPEC §13).
//!
//! What always holds: the answer and what it speaks of are one commit. A request that is being answered holds an
//! advisory lock of its transaction, so a process that dies leaves no key behind that nobody may use. Deliberately
//! absent: requests that cannot be answered inside one transaction.

use ledger::AccountKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::OrderError;
use crate::idempotency::{KEPT, is_valid_key};

/// Keys of others that one request clears away at most: a bound on what it waits for.
const CLEARED_AT_ONCE: i64 = 100;

/// A place for the answer to one request.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    account: AccountKey,
    key: &'a str,
    input_hash: [u8; 32],
}

/// Whether the request was answered already.
#[derive(Debug)]
pub(super) enum Found<'a, Answer> {
    /// Yes, like this.
    Answered(Answer),
    /// No, and nobody else is at it until the transaction ends.
    Free(Slot<'a>),
}

/// Looks for the answer to the request that `input` describes.
pub(super) async fn look<'a, Answer: DeserializeOwned>(
    tx: &mut PgConnection,
    account: AccountKey,
    key: &'a str,
    input: &str,
    now: OffsetDateTime,
) -> Result<Found<'a, Answer>, OrderError> {
    if !is_valid_key(key) {
        return Err(OrderError::BadKey);
    }
    let name = format!("idempotency {} {} {key}", account.community, account.account);
    let is_ours: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(name)
        .fetch_one(&mut *tx)
        .await?;
    if !is_ours {
        return Err(OrderError::InFlight);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, input.as_bytes());
    let input_hash: [u8; 32] = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
    let known: Option<(Vec<u8>, String)> = sqlx::query_as(
        "select input_hash, answer from idempotency
         where community_id = $1 and account_id = $2 and key = $3 and created_at > $4",
    )
    .bind(account.community.0)
    .bind(account.account.0)
    .bind(key)
    .bind(now - KEPT)
    .fetch_optional(&mut *tx)
    .await?;
    match known {
        None => Ok(Found::Free(Slot { account, key, input_hash })),
        Some((hash, _)) if hash != input_hash => Err(OrderError::KeyReused),
        Some((_, answer)) => {
            let answer = serde_json::from_str(&answer).map_err(anyhow::Error::from)?;
            Ok(Found::Answered(answer))
        }
    }
}

/// Keeps the answer, with whatever else the transaction did.
pub(super) async fn keep(
    tx: &mut PgConnection,
    slot: Slot<'_>,
    answer: &impl Serialize,
    now: OffsetDateTime,
) -> Result<(), OrderError> {
    let text = serde_json::to_string(answer).map_err(anyhow::Error::from)?;
    sqlx::query(
        "delete from idempotency where ctid = any(array(
           select ctid from idempotency where created_at <= $1 limit $2 for update skip locked))",
    )
    .bind(now - KEPT)
    .bind(CLEARED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    // A row of this key can only be an expired one.
    sqlx::query(
        "insert into idempotency (community_id, account_id, key, input_hash, answer, created_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint idempotency_pk
         do update set input_hash = excluded.input_hash, answer = excluded.answer, created_at = excluded.created_at",
    )
    .bind(slot.account.community.0)
    .bind(slot.account.account.0)
    .bind(slot.key)
    .bind(slot.input_hash.as_slice())
    .bind(text)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}
