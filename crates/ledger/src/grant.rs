//! Credits that an operator gives, under an id of the operator's own: twice is once.

use sqlx::PgConnection;
use time::OffsetDateTime;
use types::{Clock, LotId};

use crate::audit_line::sha256;
use crate::model::{AccountKey, Answer, Op, Source};
use crate::post::{PostError, post};

/// The lot of a grant: the same account and the same words give the same lot, in every process.
#[must_use]
pub fn grant_lot(key: AccountKey, idempotency_key: &str) -> LotId {
    // The account's numbers cannot run into the words: each has 8 bytes.
    let mut text = b"freeside grant\0".to_vec();
    text.extend(key.community.0.to_be_bytes());
    text.extend(key.account.0.to_be_bytes());
    text.extend(idempotency_key.as_bytes());
    let hash = sha256(&text);
    let first: [u8; 16] = hash[..16].try_into().expect("32 bytes begin with 16");
    // A UUID of our own making (RFC 9562, version 8).
    LotId(uuid::Builder::from_custom_bytes(first).into_uuid())
}

/// Grants `amount` micro-USD inside the caller's transaction. The same id with the same amount is the same grant; with
/// another amount it is [`crate::Refusal::Conflict`].
pub async fn grant(
    connection: &mut PgConnection,
    clock: &Clock,
    key: AccountKey,
    idempotency_key: &str,
    amount: i64,
    expires_at: OffsetDateTime,
) -> Result<LotId, PostError> {
    let id = grant_lot(key, idempotency_key);
    let op = Op::Mint { key, id, source: Source::Grant, amount, expires_at };
    match post(connection, clock, &op).await? {
        Answer::Minted => Ok(id),
        other => unreachable!("a mint is answered as one, not as {other:?}"),
    }
}
