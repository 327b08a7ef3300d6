//! So many of something per address and minute, in bounded memory.
//!
//! The limit is there to keep strangers off the database, not to protect the secrets: nobody guesses 190 bits.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use ::limits::make_room;
use time::{Duration, OffsetDateTime};
use types::network_of;

const WINDOW: Duration = Duration::seconds(60);
/// Addresses remembered at once: about 5 MB at worst. Past it the ones seen longest ago are forgiven.
const MAX_ADDRESSES: usize = 10_000;

/// Counts per address.
#[derive(Debug)]
pub(crate) struct PerMinute {
    most: usize,
    addresses: Mutex<HashMap<IpAddr, VecDeque<OffsetDateTime>>>,
}

impl PerMinute {
    /// At most `most` of one address in any minute.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, addresses: Mutex::default() }
    }

    /// Seconds to wait, when the address has used its minute up.
    pub(crate) fn blocked(&self, ip: IpAddr, now: OffsetDateTime) -> Option<u32> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = addresses.get(&network_of(ip))?;
        self.wait(seen, now)
    }

    /// Counts one; seconds to wait, when they were used up before. A blocked try is not counted, so the block ends
    /// although the client goes on trying.
    pub(crate) fn count(&self, ip: IpAddr, now: OffsetDateTime) -> Option<u32> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(ip);
        if !addresses.contains_key(&network) {
            make_room(&mut addresses, MAX_ADDRESSES, |seen| Some(seen.back().copied()));
        }
        let seen = addresses.entry(network).or_default();
        while seen.front().is_some_and(|first| *first + WINDOW <= now) {
            seen.pop_front();
        }
        let blocked = self.wait(seen, now);
        if blocked.is_none() {
            seen.push_back(now);
        }
        blocked
    }

    fn wait(&self, seen: &VecDeque<OffsetDateTime>, now: OffsetDateTime) -> Option<u32> {
        let recent = seen.iter().filter(|at| **at + WINDOW > now).count();
        if recent < self.most {
            return None;
        }
        let first = seen[seen.len() - self.most];
        let left = (first + WINDOW - now).whole_milliseconds();
        Some(u32::try_from((left + 999) / 1_000).unwrap_or(1).clamp(1, 60))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn the_twenty_first_failure_of_a_minute_is_blocked_until_the_first_is_a_minute_old() {
        let failures = PerMinute::new(20);
        let ip: IpAddr = "192.0.2.1".parse().expect("an address");
        for second in 0..20 {
            assert_eq!(failures.blocked(ip, START + Duration::seconds(second)), None);
            assert_eq!(failures.count(ip, START + Duration::seconds(second)), None);
        }
        let now = START + Duration::seconds(20);
        assert_eq!(failures.count(ip, now), Some(40));
        assert_eq!(failures.blocked(ip, now), Some(40));
        assert_eq!(failures.blocked("::ffff:192.0.2.1".parse().expect("an address"), now), Some(40));
        assert_eq!(failures.blocked("192.0.2.2".parse().expect("an address"), now), None);
        assert_eq!(failures.count(ip, START + WINDOW), None);
        assert_eq!(failures.count(ip, START + WINDOW), Some(1));
    }

    #[test]
    fn one_ipv6_network_is_one_stranger_and_memory_stays_bounded() {
        let failures = PerMinute::new(20);
        for host in 1..=20_u16 {
            assert_eq!(failures.count(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host).into(), START), None);
        }
        assert!(failures.blocked(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9).into(), START).is_some());
        for (second, address) in (0_u32..30_000).enumerate() {
            let now = START + Duration::milliseconds(i64::try_from(second).expect("small"));
            failures.count(std::net::Ipv4Addr::from_bits(address).into(), now);
        }
        assert!(failures.addresses.lock().expect("not poisoned").len() <= MAX_ADDRESSES);
    }
}
