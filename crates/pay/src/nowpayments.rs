//! The client of NOWPayments.
//!
//! Seven questions, each one request with an end in time and size. What always holds: a payment is asked for once
//! (the vendor has no idempotency key, so a repetition would be a second payment); questions that change nothing are
//! asked up to three times; an answer about another payment, coin or price than the one asked for is unreadable; the key is in one
//! header and nowhere else. Backing off after 429 is the caller's, who knows what else is waiting.
//!
//! Deliberately absent: invoices (their answer has no payment id), the list of payments (it wants the dashboard's
//! password), redirects, proxies, and a budget of requests.

pub mod answer;
mod wire;

use std::cmp::Ordering;
use std::sync::Arc;

use types::Clock;

use crate::Error;
use crate::json::{self, Arrays, Json};
use crate::report::Report;

pub use answer::{Created, Minimum};
pub use wire::{BadAddress, Timeouts};

/// The vendor's address.
pub const PRODUCTION: &str = "https://api.nowpayments.io/v1";
/// The vendor's place to practise; it has keys of its own.
pub const SANDBOX: &str = "https://api-sandbox.nowpayments.io/v1";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPayment {
    /// Ours; comes back in each notice.
    pub order_id: String,
    /// The price as decimal text: `10`.
    pub price_amount: String,
    /// The price's currency: `usd`.
    pub price_currency: String,
    /// The coin.
    pub pay_currency: String,
    /// Where notices go.
    pub ipn_callback_url: String,
    /// What the payer may see.
    pub order_description: String,
}

/// The client. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client(Arc<wire::Wire>);

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("base", &self.0.base()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the API at `base_url` (`/v1` is added where it is missing). The clock reads dates in `Retry-After`.
    pub fn new(base_url: &str, api_key: &str, clock: Clock) -> Result<Self, BadAddress> {
        Self::with_timeouts(base_url, api_key, clock, Timeouts::default())
    }

    /// The same with other time limits.
    pub fn with_timeouts(
        base_url: &str,
        api_key: &str,
        clock: Clock,
        timeouts: Timeouts,
    ) -> Result<Self, BadAddress> {
        Ok(Self(Arc::new(wire::Wire::new(base_url, api_key, clock, timeouts)?)))
    }

    /// Makes a payment. Asked once: after [`Error::Unreachable`] nobody knows whether it was made.
    pub async fn create_payment(&self, new: &NewPayment) -> Result<Created, Error> {
        let body = Json::object([
            ("price_amount", Json::number_or_string(&new.price_amount)),
            ("price_currency", Json::string(&new.price_currency)),
            ("pay_currency", Json::string(&new.pay_currency)),
            ("ipn_callback_url", Json::string(&new.ipn_callback_url)),
            ("order_id", Json::string(&new.order_id)),
            ("order_description", Json::string(&new.order_description)),
        ]);
        let bytes = self.0.post("/payment", json::canonical(&body, Arrays::Kept)).await?;
        let created = answer::created(&bytes)?;
        // The vendor repeats our id; a payment of another order would be credited to the wrong buyer.
        if created.report.order_id.as_deref().is_some_and(|order| order != new.order_id) {
            return Err(Error::Unreadable);
        }
        if is_as_asked(&created, new) { Ok(created) } else { Err(Error::Unreadable) }
    }

    /// What is known of a payment.
    pub async fn payment(&self, id: &str) -> Result<Report, Error> {
        let bytes = self.0.get(&format!("/payment/{}", escape(id))).await?;
        let report = answer::payment(&bytes)?;
        if report.payment_id == id { Ok(report) } else { Err(Error::Unreadable) }
    }

    /// The least that may be paid in the coin `from` for a payout in `to`, and what that is worth in USD.
    pub async fn min_amount(&self, from: &str, to: &str) -> Result<Minimum, Error> {
        let query = format!("currency_from={}&currency_to={}&fiat_equivalent=usd", escape(from), escape(to));
        answer::minimum(&self.0.get(&format!("/min-amount?{query}")).await?)
    }

    /// What `amount` of `from` is in `to`, as decimal text.
    pub async fn estimate(&self, amount: &str, from: &str, to: &str) -> Result<String, Error> {
        let (amount, from, to) = (escape(amount), escape(from), escape(to));
        let query = format!("amount={amount}&currency_from={from}&currency_to={to}");
        answer::estimate(&self.0.get(&format!("/estimate?{query}")).await?)
    }

    /// The coins on offer, in lower case.
    pub async fn currencies(&self) -> Result<Vec<String>, Error> {
        answer::currencies(&self.0.get("/currencies").await?)
    }

    /// Whether the vendor says that it works.
    pub async fn status(&self) -> Result<(), Error> {
        answer::status(&self.0.get("/status").await?)
    }
}

/// Whether the payment is in the coin and for the price that were asked for. Any other would be paid and not credited.
fn is_as_asked(created: &Created, new: &NewPayment) -> bool {
    let is_same = |said: &str, asked: &str| said.eq_ignore_ascii_case(asked);
    let report = &created.report;
    is_same(&created.pay_currency, &new.pay_currency)
        && report.price_currency.as_deref().is_none_or(|said| is_same(said, &new.price_currency))
        && report
            .price_amount
            .as_deref()
            .is_none_or(|said| crate::decimal::compare(said, &new.price_amount) == Ok(Ordering::Equal))
}

/// Percent-encodes all but letters, digits, `-` and `_` (dots too: `..` is a path's), so that a value stays one value.
fn escape(text: &str) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let escaped = |byte| if is_safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escaped).collect()
}
