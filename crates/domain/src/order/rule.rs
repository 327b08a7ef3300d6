//! The rule of payments: what was told + one more report → what is to be credited, taken back and looked at. No I/O.
//!
//! The vendor promises no order, no single delivery, no delivery at all. So the rule does not follow events: it keeps
//! the *facts* of each payment, a set that only grows, and derives from all payments of an order what must be true of
//! its credits ([`settle`]). An effect is the difference between that and what was done. A set has no order and no
//! doubles, so neither can matter; what a stopped or failed run left undone, the next report of any kind does.
//!
//! What must be true: an order's pack is credited while at least one of its payments is *paid* (finished with the
//! checks passed, not refunded, not a child) and it stands on exactly one of them. Each further paid payment waits for
//! a person. When the payment under the pack is refunded, the pack is taken back, and a further paid one takes its
//! place. `refunded` before `finished`: never paid, so nothing is minted and nothing reversed.
//!
//! Which of two paid payments carries the pack depends on which came first, and nothing else does: both are worth the
//! same pack. Deliberately absent: amounts (the order's row has them), people's decisions other than their outcome.

use std::cmp::Ordering;

use pay::report::Report;

use super::Status;

#[cfg(test)]
mod tests;

/// Everything that was ever told of one payment: statuses and oddities, one bit each. Bits are only ever added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts(u16);

impl Facts {
    /// What is known of a payment that was just made.
    pub const WAITING: Self = Self(Self::bit(Status::Waiting));

    /// It said `finished`, and the checks passed.
    const PAID: u16 = 1 << 9;
    /// It said `finished` in a currency that is not the order's, or in none.
    const WRONG_CURRENCY: u16 = 1 << 10;
    /// It said `finished` for a price that is not the order's, or for none.
    const WRONG_PRICE: u16 = 1 << 11;
    /// It named a parent: a repeated or wrong-asset deposit.
    const CHILD: u16 = 1 << 12;
    /// The bit of [`Facts::as_db`] without which a payment is not [paid](Facts::is_paid).
    pub(super) const PAID_BIT: i32 = Self::PAID as i32;
    /// The bits of [`Facts::as_db`] with any of which it is not.
    pub(super) const NEVER_PAID_BITS: i32 = Self::CHILD as i32 | Self::bit(Status::Refunded) as i32;

    /// Reads the table's number.
    #[must_use]
    pub fn from_db(number: i32) -> Option<Self> {
        let known = u16::try_from(number).ok()?;
        (known < Self::CHILD << 1).then_some(Self(known))
    }

    /// The table's number.
    #[must_use]
    pub fn as_db(self) -> i32 {
        i32::from(self.0)
    }

    /// What both say.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the vendor ever said this status.
    #[must_use]
    pub fn saw(self, status: Status) -> bool {
        self.has(Self::bit(status))
    }

    /// The highest status that was told; [`Status::Waiting`] when none was.
    #[must_use]
    pub fn status(self) -> Status {
        Status::ALL.into_iter().rev().find(|status| self.saw(*status)).unwrap_or(Status::Waiting)
    }

    /// Whether the money was ever seen.
    #[must_use]
    pub fn shows_deposit(self) -> bool {
        Status::ALL.into_iter().any(|status| status.shows_deposit() && self.saw(status))
    }

    /// Whether it is a repeated or wrong-asset deposit.
    #[must_use]
    pub fn is_child(self) -> bool {
        self.has(Self::CHILD)
    }

    /// Finished with the checks passed, and neither refunded nor a child.
    #[must_use]
    pub fn is_paid(self) -> bool {
        self.has(Self::PAID) && !self.saw(Status::Refunded) && !self.is_child()
    }

    /// Whether the vendor has nothing more to say of it that would move money by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.saw(Status::Finished) || self.saw(Status::Refunded) || self.is_child()
    }

    const fn bit(status: Status) -> u16 {
        1 << status as u16
    }

    fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }
}

/// What of an order a report is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The price, as decimal text.
    pub price_amount: &'a str,
    /// Its currency, in lower case.
    pub price_currency: &'a str,
}

/// What a report says of its payment. A status that nobody announced adds no status.
#[must_use]
pub fn read(terms: Terms<'_>, report: &Report) -> Facts {
    let mut facts = 0;
    if report.parent_payment_id.as_ref().is_some_and(|parent| *parent != report.payment_id) {
        facts |= Facts::CHILD;
    }
    let status = Status::read(&report.status);
    if let Some(status) = status {
        facts |= Facts::bit(status);
    }
    if status == Some(Status::Finished) {
        let currency = report.price_currency.as_deref();
        let is_currency =
            currency.is_some_and(|currency| currency.eq_ignore_ascii_case(terms.price_currency));
        let price = report.price_amount.as_deref();
        let is_price = price
            .is_some_and(|price| pay::decimal::compare(price, terms.price_amount) == Ok(Ordering::Equal));
        facts |= match (is_currency, is_price) {
            (true, true) => Facts::PAID,
            (false, _) => Facts::WRONG_CURRENCY,
            (true, false) => Facts::WRONG_PRICE,
        };
    }
    Facts(facts)
}

/// What was credited for a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Credit {
    /// Nothing.
    #[default]
    Nothing = 0,
    /// The order's pack: the purchase lot and the bonus lot.
    Pack = 1,
    /// An overpay lot, after a person approved it.
    Overpay = 2,
    /// What was credited is taken back.
    Reversed = 3,
    /// A person decided that nothing will be.
    Declined = 4,
}

impl Credit {
    /// Reads the table's number.
    #[must_use]
    pub fn from_db(number: i16) -> Option<Self> {
        [Self::Nothing, Self::Pack, Self::Overpay, Self::Reversed, Self::Declined]
            .into_iter()
            .find(|credit| *credit as i16 == number)
    }
}

/// One payment of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payment {
    /// What was told.
    pub facts: Facts,
    /// What was done.
    pub credit: Credit,
}

/// What has to be done in the books. The numbers are places in the list of payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Credit the pack for this payment.
    MintPack(usize),
    /// Take back the pack that was credited for this payment.
    ReversePack(usize),
    /// Take back the overpay lot that was credited for this payment.
    ReverseOverpay(usize),
}

/// Makes what was done equal to what must be true, and says what that takes. Twice is once.
///
/// A mint comes before the reversal that made room for it, so that no receivable arises in between.
pub fn settle(payments: &mut [Payment]) -> Vec<Effect> {
    let mut reversals = Vec::new();
    for (place, payment) in payments.iter_mut().enumerate().filter(|(_, payment)| !payment.facts.is_paid()) {
        match payment.credit {
            Credit::Pack => reversals.push(Effect::ReversePack(place)),
            Credit::Overpay => reversals.push(Effect::ReverseOverpay(place)),
            Credit::Nothing | Credit::Reversed | Credit::Declined => continue,
        }
        payment.credit = Credit::Reversed;
    }
    let mut effects = Vec::new();
    if !payments.iter().any(|payment| payment.credit == Credit::Pack) {
        let is_next = |payment: &Payment| payment.facts.is_paid() && payment.credit == Credit::Nothing;
        if let Some(place) = payments.iter().position(is_next) {
            payments[place].credit = Credit::Pack;
            effects.push(Effect::MintPack(place));
        }
    }
    effects.append(&mut reversals);
    effects
}

/// Why a person has to look at a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Review {
    /// Less than the price came.
    PartiallyPaid = 1,
    /// A second paid payment of one order.
    Overpay = 2,
    /// A repeated or wrong-asset deposit.
    Child = 3,
    /// Finished in another currency than the order's.
    WrongCurrency = 4,
    /// Finished for another price than the order's.
    WrongPrice = 5,
    /// A status that nobody announced.
    UnknownStatus = 6,
    /// No order of ours was meant.
    UnknownOrder = 7,
    /// The report names one order, and its payment belongs to another.
    OtherOrder = 8,
}

impl Review {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PartiallyPaid,
        Self::Overpay,
        Self::Child,
        Self::WrongCurrency,
        Self::WrongPrice,
        Self::UnknownStatus,
        Self::UnknownOrder,
        Self::OtherOrder,
    ];

    /// Reads the table's number.
    #[must_use]
    pub fn from_db(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|review| *review as i16 == number)
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartiallyPaid => "partially_paid",
            Self::Overpay => "overpay",
            Self::Child => "child_payment",
            Self::WrongCurrency => "wrong_currency",
            Self::WrongPrice => "wrong_price",
            Self::UnknownStatus => "unknown_status",
            Self::UnknownOrder => "unknown_order",
            Self::OtherOrder => "other_order",
        }
    }
}

/// Whether a review item still needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Yes.
    Open,
    /// What happened since has answered it.
    Overtaken,
}

/// The review items that follow from a settled payment. The other kinds follow from single reports ([`Review`]'s last
/// three) and stay open until a person closes them.
#[must_use]
pub fn reviews(payment: Payment) -> Vec<(Review, Need)> {
    let facts = payment.facts;
    let is_refunded = facts.saw(Status::Refunded);
    let need = |is_answered: bool| if is_answered { Need::Overtaken } else { Need::Open };
    let mut items = Vec::new();
    if facts.saw(Status::PartiallyPaid) {
        items.push((Review::PartiallyPaid, need(facts.has(Facts::PAID) || is_refunded)));
    }
    if facts.is_paid() && payment.credit == Credit::Nothing {
        items.push((Review::Overpay, Need::Open));
    }
    if facts.is_child() {
        items.push((Review::Child, need(is_refunded)));
    }
    for (bit, review) in
        [(Facts::WRONG_CURRENCY, Review::WrongCurrency), (Facts::WRONG_PRICE, Review::WrongPrice)]
    {
        if facts.has(bit) {
            items.push((review, need(facts.has(Facts::PAID) || is_refunded)));
        }
    }
    items
}

/// What the order as a whole is told to be: the most telling of its payments ([`Status::Waiting`] before any).
#[must_use]
pub fn status(payments: &[Payment]) -> Status {
    let shown = payments.iter().filter(|payment| !payment.facts.is_child()).copied().map(shown);
    shown.max_by_key(|status| status.prominence()).unwrap_or(Status::Waiting)
}

/// Finished is said only of what was credited; what is not yet, or waits for a person, is still on its way.
fn shown(payment: Payment) -> Status {
    match (payment.facts.status(), payment.credit) {
        (Status::Finished, Credit::Nothing) => Status::Sending,
        (Status::Finished, Credit::Declined) => Status::Refunded,
        (status, _) => status,
    }
}
