//! Planted bugs. Tests switch one on to show that the checks would see it; a release build has none.

/// A fault in how the writer speaks to the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub enum Sabotage {
    /// As it should be.
    #[default]
    None,
    /// Accounts and books are read without a lock and written without looking at the version.
    LostUpdate,
    /// A settle does not take the money out of the lot.
    MissedLot,
    /// A closed hold looks open, and closing it does not look at its state.
    DoubleSettle,
    /// Lots are read before the locks.
    LotsBeforeLock,
}

impl Sabotage {
    /// The statement as this fault would have it.
    pub(crate) fn rewrite(self, sql: &'static str) -> std::borrow::Cow<'static, str> {
        if !cfg!(debug_assertions) {
            return sql.into();
        }
        match self {
            Self::None | Self::LotsBeforeLock => sql.into(),
            Self::LostUpdate => sql
                .replace(" for update of a", "")
                .replace(" for update", "")
                .replace(" and b.version = k.version", "")
                .replace(" and a.version = k.version", "")
                .into(),
            Self::MissedLot => sql
                .replace("set remaining = k.remaining", "set remaining = l.remaining")
                .replace("is_open = k.is_open", "is_open = l.is_open")
                .into(),
            Self::DoubleSettle => sql
                .replace("h.cap_month, h.state, h.charged", "h.cap_month, 0::smallint, null::bigint")
                .replace(" and h.state = k.stored", "")
                .into(),
        }
    }
}
