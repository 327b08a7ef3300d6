//! What the books say of an API key's tokens on one UTC day.

use time::Date;

use crate::ReservationId;

/// One reading of the books (`ledger::report::tokens_of_key`), from which the next one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDay {
    /// The day.
    pub day: Date,
    /// All its tokens, as far as they are charged.
    pub used: u64,
    /// Every answer of the key before this one has ended: the next reading begins here …
    pub until: ReservationId,
    /// … and adds to this, what those answers used.
    pub ended: u64,
}
