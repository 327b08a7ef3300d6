//! The nine statuses of a payment and what a person is told of each (SPEC §3).

/// Where a payment is, in the order in which a later one overrules an earlier one. All ranks differ: with equal ranks
/// the end would depend on the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Status {
    /// An address is shown, no money was seen.
    Waiting = 0,
    /// A deposit is on its chain.
    Confirming = 1,
    /// The chain has confirmed it.
    Confirmed = 2,
    /// The vendor pays out to the merchant.
    Sending = 3,
    /// Nobody paid in time; a late payment still finishes.
    Expired = 4,
    /// The vendor gave up.
    Failed = 5,
    /// Less than the price came.
    PartiallyPaid = 6,
    /// Paid.
    Finished = 7,
    /// Paid back.
    Refunded = 8,
}

impl Status {
    /// All nine, by rank.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Confirming,
        Self::Confirmed,
        Self::Sending,
        Self::Expired,
        Self::Failed,
        Self::PartiallyPaid,
        Self::Finished,
        Self::Refunded,
    ];

    /// Reads the vendor's word, in lower case. `None`: a word that nobody announced.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The vendor's word, which is also ours.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Confirming => "confirming",
            Self::Confirmed => "confirmed",
            Self::Sending => "sending",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::PartiallyPaid => "partially_paid",
            Self::Finished => "finished",
            Self::Refunded => "refunded",
        }
    }

    /// The table's number.
    #[must_use]
    pub fn rank(self) -> i16 {
        self as i16
    }

    /// What the buyer reads.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Waiting => "Payment pending: waiting for confirmation",
            Self::Confirming => "Payment detected: confirming on-chain",
            Self::Confirmed | Self::Sending => "Payment confirmed: processing",
            Self::Expired => "Invoice expired: use /buy-credits for a new one",
            Self::Failed => "Payment failed: please try again",
            Self::PartiallyPaid => "Underpaid: send the remainder or contact support",
            Self::Finished => "Credits added to your account!",
            Self::Refunded => "Refund processed",
        }
    }

    /// Whether the buyer's money was seen.
    #[must_use]
    pub fn shows_deposit(self) -> bool {
        match self {
            Self::Waiting | Self::Expired | Self::Failed => false,
            Self::Confirming
            | Self::Confirmed
            | Self::Sending
            | Self::PartiallyPaid
            | Self::Finished
            | Self::Refunded => true,
        }
    }

    /// Which of an order's payments speaks for it: money that came before an address that waits, and what waits
    /// before what ended without money. Within one payment the rank decides, not this.
    pub(crate) fn prominence(self) -> u8 {
        match self {
            Self::Expired => 0,
            Self::Failed => 1,
            Self::Waiting => 2,
            Self::Refunded => 3,
            Self::PartiallyPaid => 4,
            Self::Confirming => 5,
            Self::Confirmed => 6,
            Self::Sending => 7,
            Self::Finished => 8,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What the buyer reads while a person has to look at the payment.
pub const REVIEW_TEXT: &str = "We are checking your payment";
