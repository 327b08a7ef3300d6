//! What a batch has in hand: rows as values, locked or known by their versions, and what the rule did to them.

use std::collections::{BTreeMap, HashMap};

use time::OffsetDateTime;
use types::{CommunityId, LotId, ReservationId};

use crate::model::{Account, AccountKey, Book, Charge, Entry, Hold, HoldState, Lot, NewHold};

/// Rows that were read under their locks, or are known (`known`), and the rows to write. No I/O.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Books by community; a batch locks them in this order.
    pub books: BTreeMap<CommunityId, BookState>,
    /// Accounts in lock order.
    pub accounts: BTreeMap<AccountKey, AccountState>,
    /// Holds that an operation speaks of.
    pub holds: HashMap<(CommunityId, ReservationId), HoldRow>,
    /// Lots that an operation names, as they were read or minted. What the account's own list says of a lot goes first.
    pub named_lots: HashMap<(CommunityId, LotId), Lot>,
    /// Journal rows to insert, in order.
    pub entries: Vec<Entry>,
    /// A difference that no account explains: nothing new is minted. Read when an operation mints.
    pub minting_stopped: bool,
}

/// A book and whether it changed.
#[derive(Clone, Debug)]
pub struct BookState {
    /// The row.
    pub book: Book,
    /// To be written.
    pub touched: bool,
}

/// An account, its open lots, and whether it changed.
#[derive(Clone, Debug)]
pub struct AccountState {
    /// The row.
    pub account: Account,
    /// Open lots, earliest expiry first.
    pub lots: Vec<LotState>,
    /// The table may have open lots past this place that are not in `lots`; `None`: all are. A lot minted by this
    /// batch may stand past it, so the rule takes nothing from there before it has asked for the rest.
    pub horizon: Option<LotPlace>,
    /// To be written.
    pub touched: bool,
}

/// Where a lot stands in the order of consumption: earliest expiry first, then its id.
pub type LotPlace = (OffsetDateTime, LotId);

/// A lot and what has to be written of it.
#[derive(Clone, Debug)]
pub struct LotState {
    /// The row.
    pub lot: Lot,
    /// How.
    pub write: Write,
}

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Not at all.
    Nothing,
    /// It is new.
    Insert,
    /// It changed.
    Update,
}

/// A hold and what has to be written of it.
#[derive(Clone, Debug)]
pub struct HoldRow {
    /// The row.
    pub hold: Hold,
    /// Its state in the table, which the update must still find there; `None` when it is new.
    pub stored: Option<HoldState>,
    /// What it was made from, when it is new.
    pub new: Option<NewHold>,
    /// The row differs from the table's.
    pub changed: bool,
    /// What it was charged, when this batch settles it.
    pub charge: Option<Charge>,
}

impl HoldRow {
    /// As the table has it.
    pub(crate) fn stored(hold: Hold) -> Self {
        Self { stored: Some(hold.state), hold, new: None, changed: false, charge: None }
    }
}

impl AccountState {
    /// Puts a lot where its expiry says.
    pub(crate) fn insert_lot(&mut self, lot: LotState) {
        let at = self.lots.partition_point(|other| other.place() < lot.place());
        self.lots.insert(at, lot);
    }
}

impl LotState {
    /// Its place among the lots of its account.
    #[must_use]
    pub fn place(&self) -> LotPlace {
        (self.lot.expires_at, self.lot.id)
    }
}
