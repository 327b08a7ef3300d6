//! The sandbox allowance: a lot worth 10,000 tokens of the cheap pool, new each UTC day (SPEC §13), in a ledger account of
//! its own beside the payer's: sandbox keys spend nothing that was bought, and live keys nothing that is free.
//!
//! Minted with the day's first request, under an id made from account and day: any number of processes and retries
//! mint one lot.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use identity::{ApiKey, KeyKind};
use ledger::{AccountKey, Op, Source, SubmitError};
use time::Date;
use types::{LotId, MicroUsd, Pool};

use crate::{Ctx, reports};

/// Accounts whose lot of the day this process knows to be there.
#[derive(Debug, Default)]
pub struct Minted(Mutex<HashMap<AccountKey, Date>>);

/// Sandbox accounts remembered at most; past that the books are asked again, which is slower and never wrong.
const REMEMBERED_AT_MOST: usize = 100_000;

/// Makes sure that a sandbox key's account has today's lot. Live keys have no allowance.
pub(crate) async fn ensure(ctx: &Ctx, key: &ApiKey) -> Result<(), SubmitError> {
    if key.kind != KeyKind::Sandbox {
        return Ok(());
    }
    let account = reports::paying_account(reports::account_of(key), key.kind);
    let today = ctx.clock.now().date();
    let is_known = ctx.sandbox.0.lock().unwrap_or_else(PoisonError::into_inner).get(&account) == Some(&today);
    if is_known {
        return Ok(());
    }
    let price = ctx.catalog.dearest(&[Pool::Cheap]);
    let tokens = u64::from(ctx.catalog.sandbox.tokens_per_day);
    let amount = if price.is_free() {
        // Each answer of a free model has a hold of 1 while it lasts.
        MicroUsd(i64::from(ctx.catalog.sandbox.tokens_per_day))
    } else {
        // Worth its tokens whichever way they are spent.
        price.charge(0, tokens).max(price.charge(tokens, 0))
    };
    let tomorrow = today.next_day().unwrap_or(Date::MAX).midnight().assume_utc();
    let op = Op::Mint {
        key: account,
        id: lot_of_day(account, today),
        source: Source::Sandbox,
        amount: amount.0,
        expires_at: tomorrow,
    };
    let mut minted = ctx.ledger.submit(op.clone()).await;
    if matches!(minted, Err(SubmitError::Refused(ledger::Refusal::NoAccount))) {
        open(ctx, account).await.map_err(|error| {
            tracing::error!(%error, %account.account, "a sandbox account could not be opened");
            SubmitError::Unexpected
        })?;
        minted = ctx.ledger.submit(op).await;
    }
    match minted {
        // A conflict means that the day's lot is there and the configured worth has changed since.
        Ok(_) | Err(SubmitError::Refused(ledger::Refusal::Conflict | ledger::Refusal::Frozen)) => {
            let mut known = ctx.sandbox.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED_AT_MOST {
                known.clear();
            }
            known.insert(account, today);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Opens the sandbox account of a payer with its first request.
async fn open(ctx: &Ctx, account: AccountKey) -> Result<(), sqlx::Error> {
    let mut tx = ctx.db.begin().await?;
    ledger::open_account(&mut tx, &ctx.clock, account, None).await?;
    tx.commit().await
}

/// The id of an account's lot of one day: a hash, marked as a custom UUID (RFC 9562, version 8).
fn lot_of_day(key: AccountKey, day: Date) -> LotId {
    let text = format!("sandbox lot {} {} {day}", key.community, key.account);
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bytes: [u8; 16] = digest.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes");
    LotId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
