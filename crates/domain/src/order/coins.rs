//! The least that each coin can carry, asked of the vendor and remembered for a while.
//!
//! What always holds: an old figure is never shown; a vendor that does not answer costs the coin, not the page.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use pay::nowpayments::Client;
use time::{Duration, OffsetDateTime};
use types::catalog;

use super::view::{Coin, Coins};
use super::{OrderError, PRICE_CURRENCY};
use crate::Ctx;

/// Minimums follow fees and prices, slowly.
const FRESH: Duration = Duration::minutes(10);

/// What was asked lately: the least in USD, by coin. One entry per coin of the catalog.
#[derive(Debug, Default)]
pub(super) struct Minimums(Mutex<HashMap<String, (OffsetDateTime, String)>>);

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
    let now = ctx.clock.now();
    let known = {
        let minimums = ctx.payments.minimums.0.lock().unwrap_or_else(PoisonError::into_inner);
        minimums.get(coin).filter(|(at, _)| now - *at < FRESH).map(|(_, minimum)| minimum.clone())
    };
    if let Some(known) = known {
        return Ok(known);
    }
    let minimum = vendor.min_amount(coin, &ctx.catalog.payments.payout_coin).await?;
    let minimum = match minimum.fiat_equivalent {
        Some(usd) => usd,
        None => vendor.estimate(&minimum.amount, coin, PRICE_CURRENCY).await?,
    };
    let mut minimums = ctx.payments.minimums.0.lock().unwrap_or_else(PoisonError::into_inner);
    minimums.insert(coin.to_owned(), (now, minimum.clone()));
    Ok(minimum)
}
