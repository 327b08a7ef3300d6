//! Failed keys per address: 20 a minute (SPEC §13), in bounded memory.
//!
//! The limit is there to keep strangers off the database, not to protect the secrets: nobody guesses 190 bits.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

use crate::bounded::make_room;

/// Failed keys of one address in any minute.
pub(crate) const MAX_FAILURES: usize = 20;
const WINDOW: Duration = Duration::seconds(60);
/// Addresses remembered at once: about 5 MB at worst. Past it the ones that failed longest ago are forgiven.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, VecDeque<OffsetDateTime>>>);

impl Failures {
    /// Seconds to wait, when the address has used its failures up.
    pub(super) fn blocked(&self, ip: IpAddr, now: OffsetDateTime) -> Option<u32> {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = addresses.get(&network_of(ip))?;
        wait(failed, now)
    }

    /// Counts a failure; seconds to wait, when they were used up before. A blocked try is not counted, so the block
    /// ends although the client goes on trying.
    pub(super) fn count(&self, ip: IpAddr, now: OffsetDateTime) -> Option<u32> {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(ip);
        if !addresses.contains_key(&network) {
            make_room(&mut addresses, MAX_ADDRESSES, |failed| Some(failed.back().copied()));
        }
        let failed = addresses.entry(network).or_default();
        while failed.front().is_some_and(|first| *first + WINDOW <= now) {
            failed.pop_front();
        }
        let blocked = wait(failed, now);
        if blocked.is_none() {
            failed.push_back(now);
        }
        blocked
    }
}

fn wait(failed: &VecDeque<OffsetDateTime>, now: OffsetDateTime) -> Option<u32> {
    let recent = failed.iter().filter(|at| **at + WINDOW > now).count();
    if recent < MAX_FAILURES {
        return None;
    }
    let first = failed[failed.len() - MAX_FAILURES];
    let left = (first + WINDOW - now).whole_milliseconds();
    Some(u32::try_from((left + 999) / 1_000).unwrap_or(1).clamp(1, 60))
}

/// A home or a server has a whole IPv6 /64; counting single addresses of it would count nothing.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn the_twenty_first_failure_of_a_minute_is_blocked_until_the_first_is_a_minute_old() {
        let failures = Failures::default();
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
        let failures = Failures::default();
        for host in 1..=20_u16 {
            assert_eq!(failures.count(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host).into(), START), None);
        }
        assert!(failures.blocked(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9).into(), START).is_some());
        for (second, address) in (0_u32..30_000).enumerate() {
            let now = START + Duration::milliseconds(i64::try_from(second).expect("small"));
            failures.count(std::net::Ipv4Addr::from_bits(address).into(), now);
        }
        assert!(failures.0.lock().expect("not poisoned").len() <= MAX_ADDRESSES);
    }
}
