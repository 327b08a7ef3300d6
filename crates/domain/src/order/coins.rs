//! The least that each coin can carry, asked of the vendor and remembered for a while.
//!
//! What always holds: an old figure is never shown; a vendor that does not answer costs the coin, not the page; each
//! coin is asked about once at a time, and after a failure not again for a while, so that a page that is loaded again
//! and again does not spend the vendor's patience with all of us.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use pay::nowpayments::Client;
use time::{Duration, OffsetDateTime};
use types::catalog;

use super::view::{Coin, Coins};
use super::{OrderError, PRICE_CURRENCY};
use crate::Ctx;

/// Minimums follow fees and prices, slowly.
const FRESH: Duration = Duration::minutes(10);
/// After a failure the coin is not asked about for this long.
const FAILED: Duration = Duration::seconds(30);
/// Nor for longer than this, whatever the vendor asks for: a buyer waits.
const FAILED_AT_MOST: Duration = Duration::minutes(5);

/// What was asked lately, by coin. One entry per coin of the catalog. A slot is locked while its coin is asked about.
#[derive(Debug, Default)]
pub(super) struct Minimums(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Known>>>>>);

/// The last answer about a coin.
#[derive(Debug)]
struct Known {
    until: OffsetDateTime,
    /// The least in USD.
    answer: Result<String, pay::Error>,
}

/// The coins whose minimum fits `price`. Those that the vendor did not answer for are left out, and said to be.
pub(super) async fn on_offer(ctx: &Ctx, price: &str) -> Coins {
    let Some(vendor) = &ctx.payments.vendor else { return Coins { offered: Vec::new(), is_complete: true } };
    let coins = ctx.catalog.payments.coins.iter().take(catalog::COINS_AT_MOST);
    let answers =
        join_all(coins.map(|coin| async { (coin.clone(), minimum_usd(ctx, vendor, coin).await) })).await;
    let mut found = Coins { offered: Vec::new(), is_complete: true };
    for (coin, answer) in answers {
        match answer {
            Ok(minimum_usd) if fits(&minimum_usd, price) => found.offered.push(Coin { coin, minimum_usd }),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(coin, %error, "no minimum for a coin");
                found.is_complete = false;
            }
        }
    }
    found
}

/// Refuses a coin that is not on offer, or whose least is more than `price`.
pub(super) async fn check(ctx: &Ctx, vendor: &Client, coin: &str, price: &str) -> Result<(), OrderError> {
    if !ctx.catalog.payments.coins.iter().any(|offered| offered == coin) {
        return Err(OrderError::UnknownCoin(coin.to_owned()));
    }
    let minimum_usd = minimum_usd(ctx, vendor, coin).await.map_err(OrderError::of_vendor)?;
    if fits(&minimum_usd, price) {
        Ok(())
    } else {
        Err(OrderError::BelowMinimum { coin: coin.to_owned(), minimum_usd })
    }
}

fn fits(minimum: &str, price: &str) -> bool {
    pay::decimal::compare(minimum, price).is_ok_and(|ordering| ordering != Ordering::Greater)
}

async fn minimum_usd(ctx: &Ctx, vendor: &Client, coin: &str) -> Result<String, pay::Error> {
    let slot = {
        let mut slots = ctx.payments.minimums.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(coin.to_owned()).or_default())
    };
    // Whoever comes while the vendor is asked waits here, and finds the answer.
    let mut known = slot.lock().await;
    let now = ctx.clock.now();
    if let Some(known) = known.as_ref().filter(|known| now < known.until) {
        return known.answer.clone();
    }
    let answer = ask(ctx, vendor, coin).await;
    let fresh = answer.as_ref().map_or_else(pause_after, |_| FRESH);
    *known = Some(Known { until: ctx.clock.now() + fresh, answer: answer.clone() });
    answer
}

async fn ask(ctx: &Ctx, vendor: &Client, coin: &str) -> Result<String, pay::Error> {
    let minimum = vendor.min_amount(coin, &ctx.catalog.payments.payout_coin).await?;
    match minimum.fiat_equivalent {
        Some(usd) => Ok(usd),
        None => vendor.estimate(&minimum.amount, coin, PRICE_CURRENCY).await,
    }
}

/// How long a failure stands.
fn pause_after(error: &pay::Error) -> Duration {
    let asked_for = match error {
        pay::Error::Busy { retry_after } => Duration::try_from(*retry_after).unwrap_or(FAILED_AT_MOST),
        pay::Error::Unreachable | pay::Error::Refused { .. } | pay::Error::Unreadable => FAILED,
    };
    asked_for.clamp(FAILED, FAILED_AT_MOST)
}
