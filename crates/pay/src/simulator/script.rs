//! The outcomes that a payment can be given, as lists of changes, and the manners of telling about them.
//!
//! Pure: a script says which changes follow from a status; who carries them out and who is told is decided elsewhere.

/// Where a payment is. The words are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Waiting,
    Confirming,
    Confirmed,
    Sending,
    PartiallyPaid,
    Finished,
    Failed,
    Refunded,
    Expired,
    WrongAsset,
    Cancelled,
}

impl Status {
    /// As it stands on the wire.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Confirming => "confirming",
            Self::Confirmed => "confirmed",
            Self::Sending => "sending",
            Self::PartiallyPaid => "partially_paid",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Refunded => "refunded",
            Self::Expired => "expired",
            Self::WrongAsset => "wrong_asset_confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a change does to the sum that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paid {
    /// Nothing new arrives.
    Same,
    /// Half of what is due.
    Half,
    /// All that is due.
    Full,
}

/// One step of a script: the payment takes this status, and a notice says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) status: Status,
    pub(super) paid: Paid,
}

/// What happens to a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// All of it arrives: waiting, confirming, confirmed, sending, finished; or what is left of that.
    Pay,
    /// Half of it arrives: `partially_paid`.
    Underpay,
    /// Nothing arrives: `expired`.
    Expire,
    /// A deposit is seen, and nothing more happens: it stays `confirming` until it is paid or failed.
    Detect,
    /// It expires, and all of it arrives afterwards; of an expired payment, only the second half.
    PayLate,
    /// The money goes back: `refunded`. Before anything was finished, too.
    Refund,
    /// The merchant takes an underpaid payment for paid: `finished`, with less than was due.
    Accept,
    /// The deposit is lost on the way: `failed`.
    Fail,
    /// The merchant calls it off: `cancelled`, a status that the documentation does not list.
    Cancel,
    /// Another coin arrives: a child payment ends as `wrong_asset_confirmed`, without an order id.
    WrongAsset,
    /// A second deposit to the same address: a child payment with the same order id that finishes.
    Repeat,
}

/// Every script, the common ones first.
pub(super) const SCRIPTS: &[Script] = &[
    Script::Pay,
    Script::Underpay,
    Script::Expire,
    Script::Refund,
    Script::Detect,
    Script::PayLate,
    Script::Accept,
    Script::Fail,
    Script::Cancel,
    Script::WrongAsset,
    Script::Repeat,
];

impl Script {
    /// Its name in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Underpay => "underpay",
            Self::Expire => "expire",
            Self::Detect => "detect",
            Self::PayLate => "late",
            Self::Refund => "refund",
            Self::Accept => "accept",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::WrongAsset => "wrong-asset",
            Self::Repeat => "repeat",
        }
    }

    /// The words on its button.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Pay => "Pay",
            Self::Underpay => "Underpay",
            Self::Expire => "Expire",
            Self::Detect => "Get stuck confirming",
            Self::PayLate => "Pay after expiry",
            Self::Refund => "Refund",
            Self::Accept => "Accept underpaid",
            Self::Fail => "Fail",
            Self::Cancel => "Cancel",
            Self::WrongAsset => "Send wrong coin",
            Self::Repeat => "Pay a second time",
        }
    }

    /// Whether it makes a payment of its own under the one it is run on.
    pub(super) fn makes_child(self) -> bool {
        matches!(self, Self::WrongAsset | Self::Repeat)
    }

    /// The changes that follow from a status; `None` when the original would not do this there.
    ///
    /// For a script that makes a child, the status is the parent's and the changes are the child's.
    pub(super) fn changes(self, from: Status) -> Option<Vec<Change>> {
        use Status as S;
        let same = |status| Change { status, paid: Paid::Same };
        let half = |status| Change { status, paid: Paid::Half };
        let full = |status| Change { status, paid: Paid::Full };
        let arrive = [full(S::Confirming), same(S::Confirmed), same(S::Sending), same(S::Finished)];
        let changes = match (self, from) {
            (Self::Pay, S::Waiting) => [&[same(S::Waiting)][..], &arrive].concat(),
            (Self::Pay, S::Confirming) => arrive[1..].to_vec(),
            (Self::Pay, S::Confirmed) => arrive[2..].to_vec(),
            (Self::Pay, S::Sending) => arrive[3..].to_vec(),
            (Self::Detect, S::Waiting) => vec![same(S::Waiting), full(S::Confirming)],
            (Self::Underpay, S::Waiting) => {
                vec![same(S::Waiting), half(S::Confirming), same(S::PartiallyPaid)]
            }
            (Self::Expire, S::Waiting) => vec![same(S::Waiting), same(S::Expired)],
            (Self::PayLate, S::Waiting) => [&[same(S::Waiting), same(S::Expired)][..], &arrive].concat(),
            (Self::PayLate, S::Expired) | (Self::Repeat, _) => arrive.to_vec(),
            (Self::Refund, S::Waiting) => {
                vec![same(S::Waiting), full(S::Confirming), same(S::Refunded)]
            }
            (
                Self::Refund,
                S::Confirming | S::Confirmed | S::Sending | S::PartiallyPaid | S::Finished | S::Failed,
            ) => vec![same(S::Refunded)],
            (Self::Accept, S::PartiallyPaid) => vec![same(S::Sending), same(S::Finished)],
            (Self::Fail, S::Waiting) => vec![same(S::Waiting), full(S::Confirming), same(S::Failed)],
            (Self::Fail, S::Confirming | S::Confirmed | S::Sending) => vec![same(S::Failed)],
            (Self::Cancel, S::Waiting) => vec![same(S::Cancelled)],
            (Self::WrongAsset, _) => vec![full(S::WrongAsset)],
            _ => return None,
        };
        Some(changes)
    }
}

/// How a payment's notices are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// One by one, in order.
    #[default]
    Plain,
    /// Each of them twice.
    Twice,
    /// Kept until the script has ended, then in another order.
    Shuffled,
    /// Kept until the script has ended, then each twice, in another order.
    TwiceShuffled,
    /// Never: only asking finds out.
    Silent,
}

/// Every manner.
pub(super) const MANNERS: &[Manner] =
    &[Manner::Plain, Manner::Twice, Manner::Shuffled, Manner::TwiceShuffled, Manner::Silent];

impl Manner {
    /// Its name in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Twice => "twice",
            Self::Shuffled => "shuffled",
            Self::TwiceShuffled => "twice-shuffled",
            Self::Silent => "silent",
        }
    }

    /// The words in the list of choices.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Plain => "each once, in order",
            Self::Twice => "each twice",
            Self::Shuffled => "shuffled",
            Self::TwiceShuffled => "each twice, shuffled",
            Self::Silent => "silent: none at all",
        }
    }

    /// How often each notice is sent.
    pub(super) fn copies(self) -> usize {
        match self {
            Self::Plain | Self::Shuffled => 1,
            Self::Twice | Self::TwiceShuffled => 2,
            Self::Silent => 0,
        }
    }

    /// Whether notices wait for the end of the script.
    pub(super) fn is_shuffled(self) -> bool {
        matches!(self, Self::Shuffled | Self::TwiceShuffled)
    }
}

/// Puts items into another order: the same one for the same seed, and never the one they came in.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64) {
    // SplitMix64: enough for an order, and the same on every machine.
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    // Sattolo's walk gives one cycle: no item stays where it was.
    for last in (1..items.len()).rev() {
        let places = u64::try_from(last).expect("a list fits into memory");
        items.swap(last, usize::try_from(next() % places).expect("less than the length"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_has_a_name_and_a_place_to_begin() {
        let all = [
            Status::Waiting,
            Status::Expired,
            Status::PartiallyPaid,
            Status::Finished,
            Status::Refunded,
            Status::Cancelled,
        ];
        for script in SCRIPTS {
            assert!(all.iter().any(|status| script.changes(*status).is_some()), "{script:?}");
            assert!(!script.label().is_empty());
        }
        let names: std::collections::HashSet<_> = SCRIPTS.iter().map(|script| script.name()).collect();
        assert_eq!(names.len(), SCRIPTS.len());
        assert_eq!(Script::Pay.changes(Status::Finished), None, "paying twice is a second deposit");
    }

    #[test]
    fn a_shuffle_moves_everything() {
        for seed in 0..100 {
            let mut items = [0, 1, 2, 3, 4];
            shuffle(&mut items, seed);
            assert!(items.iter().enumerate().all(|(place, item)| place != *item), "{items:?}");
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        shuffle::<u8>(&mut [], 1);
        shuffle(&mut [1], 1);
    }
}
