//! What the books say of the tokens of one UTC day: an account's, or an API key's.

use time::Date;

use crate::ReservationId;

/// One reading of the books (`ledger::report::tokens_of_account`, `tokens_of_key`), from which the next one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenDay {
    /// The day.
    pub day: Date,
    /// All its tokens, as far as they are charged.
    pub used: u64,
    /// Every answer before this one has ended: the next reading begins here …
    pub until: ReservationId,
    /// … and adds to this, what those answers used.
    pub ended: u64,
}
