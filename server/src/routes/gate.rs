//! The two limits of the payment webhook: per address before the signature is looked at, per payment after it.
//!
//! Both count in this process alone, in bounded memory. They keep a flood away from the books; what must happen once
//! is the books' own matter, so a count that is lost is laxness for a moment and never a wrong credit. The limit per
//! payment counts only what the vendor has signed and what said nothing new: a stranger cannot use a payment's repeats up
//! (SPEC §3), a failure of ours cannot, and news never waits behind repeats (SPEC §14).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};
use types::network_of;

/// Notices that one address may send at once. The vendor has four addresses and a queue that empties after an outage.
const BURST: i64 = 6_000;
/// And each second after that: twice the rate at which we promise to credit; a signature costs 50 µs to refuse.
const PER_SECOND: i64 = 200;
/// A notice is shorter than this. Looking at a longer body costs more, so each such part begun counts as a notice.
const PART_BYTES: usize = 2_048;
/// Addresses remembered at once, 64 bytes each.
const ADDRESSES_AT_MOST: usize = 16_384;
/// Signed notices of one payment in an hour that say nothing new (SPEC §3, §14).
const PER_PAYMENT: usize = 10;
const HOUR: Duration = Duration::hours(1);
/// Payments remembered at once: as many as an hour of the address limit's most.
const PAYMENTS_AT_MOST: usize = 65_536;

/// Counts notices.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    addresses: Mutex<HashMap<IpAddr, Bucket>>,
    payments: Mutex<HashMap<String, VecDeque<OffsetDateTime>>>,
}

/// A bucket of notices that runs full by itself.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In thousandths of a notice, as of `at`.
    left_milli: i64,
    at: OffsetDateTime,
}

impl Bucket {
    fn filled(self, now: OffsetDateTime) -> Self {
        let passed_ms = i64::try_from((now - self.at).whole_milliseconds()).unwrap_or(i64::MAX).max(0);
        let left_milli = self.left_milli.saturating_add(passed_ms.saturating_mul(PER_SECOND));
        Self { left_milli: left_milli.min(BURST * 1_000), at: now }
    }
}

impl Gate {
    /// Counts a notice from `ip`, before anything is known of it. `Err`: seconds to wait.
    pub(crate) fn address(&self, ip: IpAddr, now: OffsetDateTime) -> Result<(), u64> {
        self.charge(ip, 1_000, now)
    }

    /// Counts what a body of `bytes` costs beyond the notice that [`Gate::address`] counted. `Err`: seconds to wait.
    pub(crate) fn body(&self, ip: IpAddr, bytes: usize, now: OffsetDateTime) -> Result<(), u64> {
        let further = bytes.div_ceil(PART_BYTES).saturating_sub(1);
        self.charge(ip, i64::try_from(further).unwrap_or(i64::MAX).saturating_mul(1_000), now)
    }

    fn charge(&self, ip: IpAddr, milli: i64, now: OffsetDateTime) -> Result<(), u64> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(ip);
        if addresses.len() >= ADDRESSES_AT_MOST && !addresses.contains_key(&network) {
            addresses.retain(|_, bucket| bucket.filled(now).left_milli < BURST * 1_000);
            // Not for a handful: the look at all of them is paid once for many.
            if addresses.len() >= ADDRESSES_AT_MOST / 8 * 7 {
                addresses.clear();
            }
        }
        let fresh = Bucket { left_milli: BURST * 1_000, at: now };
        let bucket = addresses.entry(network).or_insert(fresh);
        *bucket = bucket.filled(now);
        if bucket.left_milli < milli {
            return Err(1);
        }
        bucket.left_milli -= milli;
        Ok(())
    }

    /// Counts a signed notice of `payment` as a repeat, until it is dropped and said something new. `Err`: seconds until the
    /// next repeat is taken in; until then only news is.
    pub(crate) fn repeat(&self, payment: &str, now: OffsetDateTime) -> Result<Repeat<'_>, u64> {
        let mut payments = self.payments.lock().unwrap_or_else(PoisonError::into_inner);
        if payments.len() >= PAYMENTS_AT_MOST && !payments.contains_key(payment) {
            payments.retain(|_, seen| seen.back().is_some_and(|last| *last + HOUR > now));
            if payments.len() >= PAYMENTS_AT_MOST / 8 * 7 {
                payments.clear();
            }
        }
        let seen = payments.entry(payment.to_owned()).or_default();
        while seen.front().is_some_and(|first| *first + HOUR <= now) {
            seen.pop_front();
        }
        if let Some(first) = seen.front().filter(|_| seen.len() >= PER_PAYMENT) {
            let left = (*first + HOUR - now).whole_seconds() + 1;
            return Err(u64::try_from(left).unwrap_or(1).clamp(1, 3_600));
        }
        seen.push_back(now);
        Ok(Repeat { gate: self, payment: payment.to_owned(), at: now, is_used: false })
    }
}

/// One of a payment's repeats in an hour. Dropped before it is [used](Repeat::use_up) it is given back: the notice said
/// something new, or the books were busy, which is not the vendor's fault.
#[derive(Debug)]
#[must_use]
pub(crate) struct Repeat<'a> {
    gate: &'a Gate,
    payment: String,
    at: OffsetDateTime,
    is_used: bool,
}

impl Repeat<'_> {
    /// The notice was taken in, and said nothing new.
    pub(crate) fn use_up(mut self) {
        self.is_used = true;
    }
}

impl Drop for Repeat<'_> {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        let mut payments = self.gate.payments.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = payments.get_mut(&self.payment) else { return };
        if let Some(place) = seen.iter().rposition(|at| *at == self.at) {
            seen.remove(place);
        }
        if seen.is_empty() {
            payments.remove(&self.payment);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn an_address_has_a_burst_and_then_a_rate_of_its_own() {
        let gate = Gate::default();
        let ip: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        for _ in 0..BURST {
            assert_eq!(gate.address(ip, START), Ok(()));
        }
        assert_eq!(gate.address(ip, START), Err(1));
        assert_eq!(gate.address(Ipv4Addr::new(192, 0, 2, 2).into(), START), Ok(()));
        let later = START + Duration::seconds(1);
        for _ in 0..PER_SECOND {
            assert_eq!(gate.address(ip, later), Ok(()));
        }
        assert_eq!(gate.address(ip, later), Err(1));
        assert_eq!(gate.address(ip, START), Err(1), "a clock that was set back fills nothing");
    }

    #[test]
    fn a_payment_has_ten_repeats_in_any_hour() {
        let gate = Gate::default();
        for minute in 0..10 {
            assert_eq!(take(&gate, "1", START + Duration::minutes(minute)), Ok(()));
        }
        assert_eq!(take(&gate, "1", START + Duration::minutes(10)), Err(3_001));
        assert_eq!(take(&gate, "2", START + Duration::minutes(10)), Ok(()));
        assert_eq!(take(&gate, "1", START + HOUR), Ok(()), "the first is an hour old");
        assert!(take(&gate, "1", START + HOUR).is_err());
    }

    fn take(gate: &Gate, payment: &str, now: OffsetDateTime) -> Result<(), u64> {
        gate.repeat(payment, now).map(Repeat::use_up)
    }

    #[test]
    fn a_notice_that_said_something_new_is_no_repeat() {
        let gate = Gate::default();
        for _ in 0..2 * PER_PAYMENT {
            drop(gate.repeat("1", START).expect("none was used"));
        }
        assert!(gate.payments.lock().expect("sound").is_empty());
        let running: Vec<_> =
            (0..PER_PAYMENT).map(|_| gate.repeat("1", START).expect("there is room")).collect();
        assert!(gate.repeat("1", START).is_err(), "what is not answered yet counts");
        running.into_iter().next().expect("one").use_up();
        assert_eq!(gate.payments.lock().expect("sound")["1"].len(), 1);
    }

    #[test]
    fn a_long_body_counts_as_many_notices() {
        let gate = Gate::default();
        let ip: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        for short in [0, 1, PART_BYTES] {
            assert_eq!(gate.body(ip, short, START), Ok(()));
        }
        let parts = 64 * 1024 / PART_BYTES;
        for _ in 0..usize::try_from(BURST).expect("small") / parts {
            assert_eq!(gate.address(ip, START), Ok(()));
            assert_eq!(gate.body(ip, 64 * 1024, START), Ok(()));
        }
        assert_eq!(gate.body(ip, 64 * 1024, START), Err(1));
        assert_eq!(gate.body(ip, PART_BYTES, START), Ok(()), "it was counted already");
    }

    #[test]
    fn memory_stays_bounded() {
        let gate = Gate::default();
        for number in 0..100_000_u32 {
            let now = START + Duration::milliseconds(number.into());
            gate.address(Ipv4Addr::from_bits(number).into(), now).expect("each is new");
            gate.repeat(&number.to_string(), now).expect("each is new").use_up();
        }
        assert!(gate.addresses.lock().expect("sound").len() <= ADDRESSES_AT_MOST);
        assert!(gate.payments.lock().expect("sound").len() <= PAYMENTS_AT_MOST);
    }
}
