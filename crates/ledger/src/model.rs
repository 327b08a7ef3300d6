//! The ledger's nouns: rows as values, operations, answers and refusals.

use time::{Date, OffsetDateTime};
use types::{AccountId, CommunityId, LotId, OwnerId, ReservationId};

/// "Never": PostgreSQL's `infinity` has no value in Rust's calendar, so the last day of the year 9999 stands for it.
pub const NEVER: OffsetDateTime = time::macros::datetime!(9999-12-31 00:00 UTC);

/// An account's full key. Ordered as locks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// The community, whose book is locked first.
    pub community: CommunityId,
    /// The account in it.
    pub account: AccountId,
}

/// Head of a community's audit chain and its monthly cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// Its community.
    pub community: CommunityId,
    /// Raised by one with each write; a write with another version fails.
    pub version: i64,
    /// Number of the last journal row.
    pub seq: i64,
    /// Hash of the last journal row.
    pub head: [u8; 32],
    /// The community's monthly cap.
    pub cap: Cap,
}

/// A monthly cap and what counts against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// First day of the month that is counted.
    pub month: Date,
    /// Micro-USD a month; `None`: no cap.
    pub limit: Option<i64>,
    /// Held by open holds that were made in this month.
    pub held: i64,
    /// Spent by holds that were made in this month.
    pub spent: i64,
}

/// One payer in one community. All amounts in micro-USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its key.
    pub key: AccountKey,
    /// Raised by one with each write.
    pub version: i64,
    /// Number of its last journal row.
    pub seq: i64,
    /// Ever credited.
    pub minted: i64,
    /// Free to be held.
    pub available: i64,
    /// Set aside by open holds.
    pub held: i64,
    /// Charged.
    pub spent: i64,
    /// Lost to expiry.
    pub expired: i64,
    /// Taken back by refunds.
    pub reversed: i64,
    /// A receivable: charged or taken back beyond what there was.
    pub owed: i64,
    /// The user's own monthly cap.
    pub cap: Cap,
    /// Wallet address for audit lines.
    pub holder: Option<String>,
    /// No new holds or grants while set.
    pub frozen: bool,
}

impl Account {
    /// The balance that audit lines carry.
    #[must_use]
    pub fn balance(&self) -> i64 {
        self.available + self.held - self.owed
    }
}

/// Where credits came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Source {
    /// Bought.
    Purchase = 1,
    /// Given with a purchase.
    Bonus = 2,
    /// Given by an operator or community.
    Grant = 3,
    /// A sandbox day.
    Sandbox = 4,
    /// Paid by x402.
    X402 = 5,
    /// A second payment of one order, after review.
    Overpay = 6,
}

impl Source {
    /// Reads the table's number.
    #[must_use]
    pub fn from_db(number: i16) -> Option<Self> {
        [Self::Purchase, Self::Bonus, Self::Grant, Self::Sandbox, Self::X402, Self::Overpay]
            .into_iter()
            .find(|source| *source as i16 == number)
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Bonus => "bonus",
            Self::Grant => "grant",
            Self::Sandbox => "sandbox",
            Self::X402 => "x402",
            Self::Overpay => "overpay",
        }
    }
}

/// Credits of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Chosen by whoever mints.
    pub id: LotId,
    /// Whose.
    pub key: AccountKey,
    /// Origin.
    pub source: Source,
    /// At first.
    pub minted: i64,
    /// Now.
    pub remaining: i64,
    /// Taken back by a refund of this lot.
    pub reversed: i64,
    /// Lost to expiry.
    pub expired: i64,
    /// When what no hold needs is lost.
    pub expires_at: OffsetDateTime,
    /// When it was minted.
    pub created_at: OffsetDateTime,
}

/// Where a hold is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// Money is set aside.
    Open,
    /// Charged, once.
    Settled {
        /// Micro-USD.
        charged: i64,
    },
    /// Given back; a later report is our loss.
    Released,
    /// Its process died; given back, but a late report still charges.
    Orphaned,
}

impl HoldState {
    /// The table's number.
    #[must_use]
    pub fn as_db(self) -> i16 {
        match self {
            Self::Open => 0,
            Self::Settled { .. } => 1,
            Self::Released => 2,
            Self::Orphaned => 3,
        }
    }
}

/// One request's reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// `budget_reservation_id`.
    pub id: ReservationId,
    /// Who pays.
    pub key: AccountKey,
    /// Set aside in all, extensions included.
    pub amount: i64,
    /// Hash of what was asked for, for idempotency.
    pub input_hash: [u8; 32],
    /// First day of the month whose caps count it.
    pub cap_month: Date,
    /// Where it is in its life.
    pub state: HoldState,
}

/// Asks to set money aside for one request.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// Chosen by the caller: the same id with the same hash is the same hold.
    pub id: ReservationId,
    /// Who pays.
    pub key: AccountKey,
    /// Micro-USD.
    pub amount: i64,
    /// SHA-256 of what was asked for.
    pub input_hash: [u8; 32],
    /// The process that answers for it.
    pub owner: OwnerId,
    /// The API key that asked.
    pub api_key: Option<i64>,
    /// Which price list will charge it.
    pub price_version: i32,
    /// `{slug}:{token}` when an agent was asked.
    pub agent: Option<String>,
    /// The model's name as the caller wrote it.
    pub asked: String,
}

/// What a request cost and how it was routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Micro-USD, at least 1.
    pub amount: i64,
    /// Charged prompt tokens.
    pub tokens_in: i64,
    /// Charged completion tokens.
    pub tokens_out: i64,
    /// Our own count of prompt tokens.
    pub own_in: i64,
    /// Our own count of completion tokens.
    pub own_out: i64,
    /// The pool that answered (0–4).
    pub pool: Option<i16>,
    /// The model that answered.
    pub model: String,
    /// Why.
    pub reason: String,
}

/// An operation on money. Each is idempotent on its id.
#[derive(Clone, Debug)]
pub enum Op {
    /// Set money aside.
    Hold(NewHold),
    /// Raise a hold to a total; less than it has is a quiet success.
    Extend {
        /// Whose.
        key: AccountKey,
        /// Which hold.
        id: ReservationId,
        /// The new total in micro-USD.
        to: i64,
    },
    /// Charge a hold and give the rest back.
    Settle {
        /// Whose.
        key: AccountKey,
        /// Which hold.
        id: ReservationId,
        /// What it cost.
        charge: Charge,
    },
    /// Give a hold back.
    Release {
        /// Whose.
        key: AccountKey,
        /// Which hold.
        id: ReservationId,
    },
    /// Give a dead process's hold back; a late report still charges.
    Orphan {
        /// Whose.
        key: AccountKey,
        /// Which hold.
        id: ReservationId,
    },
    /// Credit a new lot.
    Mint {
        /// Whose.
        key: AccountKey,
        /// The lot.
        id: LotId,
        /// Origin.
        source: Source,
        /// Micro-USD.
        amount: i64,
        /// [`NEVER`] for credits that stay.
        expires_at: OffsetDateTime,
    },
    /// Take due lots out of the balance, but for what open holds need.
    Expire {
        /// Whose.
        key: AccountKey,
    },
    /// Take a whole lot back (a refund); what was spent becomes a receivable.
    Reverse {
        /// Whose.
        key: AccountKey,
        /// Which lot.
        lot: LotId,
    },
}

impl Op {
    /// Whose money it moves.
    #[must_use]
    pub fn key(&self) -> AccountKey {
        match self {
            Self::Hold(hold) => hold.key,
            Self::Extend { key, .. }
            | Self::Settle { key, .. }
            | Self::Release { key, .. }
            | Self::Orphan { key, .. }
            | Self::Mint { key, .. }
            | Self::Expire { key }
            | Self::Reverse { key, .. } => *key,
        }
    }

    /// The hold it speaks of.
    #[must_use]
    pub fn hold_id(&self) -> Option<ReservationId> {
        match self {
            Self::Hold(hold) => Some(hold.id),
            Self::Extend { id, .. }
            | Self::Settle { id, .. }
            | Self::Release { id, .. }
            | Self::Orphan { id, .. } => Some(*id),
            Self::Mint { .. } | Self::Expire { .. } | Self::Reverse { .. } => None,
        }
    }

    /// The lot it speaks of.
    #[must_use]
    pub fn lot_id(&self) -> Option<LotId> {
        match self {
            Self::Mint { id, .. } => Some(*id),
            Self::Reverse { lot, .. } => Some(*lot),
            _ => None,
        }
    }
}

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Money is set aside.
    Held {
        /// Micro-USD.
        amount: i64,
        /// What is left to hold.
        available: i64,
    },
    /// The hold has this total now.
    Extended {
        /// Micro-USD.
        amount: i64,
    },
    /// Charged. A second report gets the first one's figures.
    Settled {
        /// Micro-USD.
        charged: i64,
        /// The receivable of the account afterwards.
        owed: i64,
    },
    /// Given back.
    Released,
    /// Given back, its process being dead.
    Orphaned,
    /// The lot is there.
    Minted,
    /// This much was lost to expiry now.
    Expired {
        /// Micro-USD.
        amount: i64,
    },
    /// The lot is taken back.
    Reversed {
        /// What was taken back of the lot, by this call or by an earlier one: all of it but what had expired, micro-USD.
        taken: i64,
        /// The receivable of the account afterwards.
        owed: i64,
    },
}

/// Why an operation was not done. It wrote nothing of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such account: it is opened before it is used.
    #[error("there is no such account")]
    NoAccount,
    /// No such hold on this account.
    #[error("there is no such hold on this account")]
    NoHold,
    /// No such lot on this account.
    #[error("there is no such lot on this account")]
    NoLot,
    /// Not enough is available.
    #[error("{available} micro-USD are available")]
    NotEnough {
        /// Micro-USD.
        available: i64,
    },
    /// A monthly cap leaves no room.
    #[error("the monthly cap is {limit} micro-USD, {used} are used")]
    OverCap {
        /// Micro-USD a month.
        limit: i64,
        /// Spent and held.
        used: i64,
    },
    /// A receivable has to be settled first.
    #[error("{owed} micro-USD are owed")]
    Owing {
        /// Micro-USD.
        owed: i64,
    },
    /// The account is frozen.
    #[error("the account is frozen")]
    Frozen,
    /// The id is known with other input.
    #[error("this id was used for something else")]
    Conflict,
    /// The books do not agree as a whole, and nothing is minted until an operator has resolved that.
    #[error("minting is stopped until a difference in the books is resolved")]
    MintingStopped,
    /// The hold ended otherwise.
    #[error("the hold is closed: {0:?}")]
    Closed(HoldState),
    /// Zero, negative, or past the 64-bit range.
    #[error("the amount is out of range")]
    BadAmount,
}

/// The named sides of a journal entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Bucket {
    /// Where credits come from.
    Issued = 0,
    /// Free.
    Available = 1,
    /// Set aside.
    Held = 2,
    /// Charged.
    Spent = 3,
    /// Lost to expiry.
    Expired = 4,
    /// Taken back.
    Reversed = 5,
    /// Receivable.
    Owed = 6,
}

/// What kind of movement an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Kind {
    /// Credits came in.
    Mint = 1,
    /// A request was charged.
    Settle = 2,
    /// Credits expired.
    Expire = 3,
    /// Credits were taken back.
    Reverse = 4,
    /// A request was charged after its process had died.
    LateSettle = 5,
    /// Credits paid a receivable.
    Repay = 6,
}

impl Kind {
    /// `operation_type` of the audit line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Settle => "settle",
            Self::Expire => "expire",
            Self::Reverse => "reverse",
            Self::LateSettle => "late_settle",
            Self::Repay => "repay",
        }
    }

    /// Reads the table's number.
    #[must_use]
    pub fn from_db(number: i16) -> Option<Self> {
        [Self::Mint, Self::Settle, Self::Expire, Self::Reverse, Self::LateSettle, Self::Repay]
            .into_iter()
            .find(|kind| *kind as i16 == number)
    }
}

/// A journal row before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub key: AccountKey,
    /// Number in the community.
    pub seq: i64,
    /// Number in the account.
    pub account_seq: i64,
    /// What kind.
    pub kind: Kind,
    /// From.
    pub debit: Bucket,
    /// To.
    pub credit: Bucket,
    /// Micro-USD, more than 0.
    pub amount: i64,
    /// The account's balance before.
    pub balance_before: i64,
    /// The account's balance after.
    pub balance_after: i64,
    /// The hold or lot that caused it.
    pub reference: Option<uuid::Uuid>,
    /// The pool that answered.
    pub pool: Option<i16>,
    /// When.
    pub at: OffsetDateTime,
    /// SHA-256 over the previous hash and the audit line.
    pub hash: [u8; 32],
}
