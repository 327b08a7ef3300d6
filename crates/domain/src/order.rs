//! Orders and payments: credits are bought with crypto (SPEC §3, §13).
//!
//! [`start()`] makes an order, [`choose()`] a payment of it in one coin, [`view()`] shows both. What the vendor says comes
//! back in three ways (a notice, the [`Poller`], an admin's [`reconcile`]) and all three run one transaction,
//! [`apply()`]: lock the order and its payments, add the report to the facts, let the pure [`rule`] say what follows,
//! move the money through the ledger, open what a person has to look at, commit.
//!
//! What always holds: the report and the mint are one commit; reports may come in any order, any number of times, at
//! once; the amount that is credited comes from the order's own row. Deliberately absent: signatures (`pay`), HTTP,
//! limits per address or payment (the doors), and the sending of what stands in `outbox`.

mod apply;
mod approval;
mod choose;
mod coins;
mod held_up;
mod idempotency;
mod lots;
mod notices;
mod payer;
mod poll;
mod review;
pub mod rule;
mod start;
mod status;
mod store;
mod stuck;
mod view;

use ledger::AccountKey;
use time::OffsetDateTime;
use types::MicroUsd;
use uuid::Uuid;

pub use apply::{Applied, ApplyError, Origin, apply, apply_news};
pub use approval::{
    ASKS_PER_ITEM, ApprovalError, ApprovalRequest, ApprovalState, Approved, DecideError, Decided,
    WhichApprovals, approvals, approve, decide, decline,
};
pub use choose::{PAYMENTS_PER_ORDER_AT_MOST, choose};
pub use held_up::Creditor;
pub use notices::keep_unread;
pub use payer::payer_of;
pub use poll::{BACK_OFF_AT_FIRST, BACK_OFF_AT_MOST, Poller, REQUESTS_PER_SECOND, Step};
pub use review::{
    ByPerson, Resolution, ResolveError, Resolved, ReviewItem, ReviewState, Which, resolve, review, reviews,
};
pub use start::{ORDERS_PER_HOUR, start};
pub use status::{REVIEW_TEXT, Status};
pub use stuck::{ReconcileError, StuckPayment, community_of_payment, reconcile, stuck};
pub use view::{Coin, Coins, OrderView, PaymentView, recent, view};

/// The currency in which packs are priced.
pub const PRICE_CURRENCY: &str = "usd";

/// An order's id. Unguessable enough for an address, and still only its buyer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl std::fmt::Display for OrderId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::str::FromStr for OrderId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Who buys: an account that is open in the books, whichever door its owner came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The account that the credits go to.
    pub key: AccountKey,
}

/// How this process reaches the vendor.
#[derive(Debug)]
pub struct Payments {
    /// `None`: no vendor is configured, and no order can be made.
    pub vendor: Option<pay::nowpayments::Client>,
    /// Where the vendor sends its notices: our public address and `/api/crypto/webhook`.
    pub notice_url: String,
    /// Where a person presses what a simulated payer does; `None`: the vendor is a real one.
    pub simulator: Option<String>,
    /// Minimums that were asked for lately.
    minimums: coins::Minimums,
}

impl Payments {
    /// The vendor, and where it finds us.
    #[must_use]
    pub fn new(vendor: Option<pay::nowpayments::Client>, notice_url: String) -> Self {
        Self { vendor, notice_url, simulator: None, minimums: coins::Minimums::default() }
    }

    /// The vendor is a simulator, and this is its page.
    #[must_use]
    pub fn simulated_at(self, page: String) -> Self {
        Self { simulator: Some(page), ..self }
    }
}

/// Why there is no order, or no payment of it.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// `FEATURE_CRYPTO_PAYMENTS_ENABLED` is off. Old orders still credit.
    #[error("buying credits is switched off for now")]
    Off,
    /// No vendor is configured.
    #[error("no payment processor is configured")]
    NotConfigured,
    /// The price list has no such pack.
    #[error("there is no pack \"{0}\"")]
    UnknownPack(String),
    /// The coin is not on offer.
    #[error("the coin \"{0}\" is not on offer")]
    UnknownCoin(String),
    /// The pack costs less than the least that this coin can carry.
    #[error("the pack is below the least that {coin} can carry, {minimum_usd} USD")]
    BelowMinimum {
        /// The coin.
        coin: String,
        /// Its least, as decimal text.
        minimum_usd: String,
    },
    /// The caller has no such order.
    #[error("there is no such order")]
    NoOrder,
    /// Money was seen, or went back, or the order is a week old: another payment would be one too many.
    #[error("the order is {0}")]
    Done(Status),
    /// Too many orders in the last hour.
    #[error("too many orders in an hour")]
    TooManyOrders {
        /// Seconds until there is room.
        retry_after_s: u32,
    },
    /// Too many payments of this order.
    #[error("the order has too many payments")]
    TooManyPayments,
    /// The same request is being answered right now.
    #[error("the same request is being answered right now")]
    InFlight,
    /// The idempotency key was used with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The idempotency key is empty, too long, or not printable ASCII.
    #[error("an idempotency key has 1 to 255 printable ASCII characters")]
    BadKey,
    /// The vendor cannot be asked now.
    #[error("the payment processor cannot be asked now")]
    VendorUnavailable {
        /// Seconds after which to try again.
        retry_after_s: u32,
    },
    /// A surprise.
    #[error("unexpected")]
    Unexpected(#[from] anyhow::Error),
}

impl From<sqlx::Error> for OrderError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

impl OrderError {
    /// What the vendor's error means for whoever wants to pay.
    fn of_vendor(error: pay::Error) -> Self {
        match error {
            pay::Error::Busy { retry_after } => Self::VendorUnavailable {
                retry_after_s: u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1),
            },
            pay::Error::Unreachable | pay::Error::Unreadable => Self::VendorUnavailable { retry_after_s: 30 },
            pay::Error::Refused { status, .. } if status >= 500 => {
                Self::VendorUnavailable { retry_after_s: 30 }
            }
            pay::Error::Refused { .. } => Self::Unexpected(error.into()),
        }
    }
}

/// An order as its row says it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) key: AccountKey,
    pub(crate) pack: String,
    pub(crate) price_amount: String,
    pub(crate) price_currency: String,
    pub(crate) credits: MicroUsd,
    pub(crate) bonus: MicroUsd,
    pub(crate) expires_days: Option<i32>,
    pub(crate) created_at: OffsetDateTime,
}
