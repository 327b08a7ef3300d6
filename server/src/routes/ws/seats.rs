//! How many sockets there may be, and how much may be said over them: per address, per wallet, per session, in all.
//!
//! Everything is counted in this process, in bounded memory: what must hold over all processes (money) is the books'
//! matter. A seat is given up when it is dropped, however a connection ends.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ::limits::{Client, Full, Share, Shares};
use identity::sessions::SessionId;
use time::{Duration, OffsetDateTime};
use types::WalletId;

/// Sockets of one address (SPEC §8): a household, or an office's three people.
const PER_ADDRESS: usize = 10;
/// Sockets of one wallet (SPEC §8): two tabs and a phone.
const PER_WALLET: usize = 3;
/// Sockets of one process: 20,000 at 6 KB each are 120 MB, and the file descriptors are counted for as many.
const IN_ALL: usize = 20_000;
/// Messages of one session in a minute (SPEC §13).
const MESSAGES: usize = 20;
const MINUTE: Duration = Duration::MINUTE;
/// Sessions whose messages are remembered: more than speak in any minute here. Past it the quiet ones are forgotten.
const SESSIONS_AT_MOST: usize = 20_000;

/// Counts sockets and messages. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Seats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    by_address: Shares<Client>,
    by_wallet: Shares<WalletId>,
    said: Mutex<HashMap<SessionId, VecDeque<OffsetDateTime>>>,
}

impl Default for Seats {
    fn default() -> Self {
        Self(Arc::new(Inner {
            by_address: Shares::new(IN_ALL, PER_ADDRESS),
            by_wallet: Shares::new(IN_ALL, PER_WALLET),
            said: Mutex::default(),
        }))
    }
}

impl Seats {
    /// A seat for a connection from this address.
    pub(crate) fn sit(&self, address: IpAddr) -> Result<Seat, Full> {
        let place = self.0.by_address.take(Client::at(address), 1)?;
        Ok(Seat { by_wallet: self.0.by_wallet.clone(), _place: place, wallet: None })
    }

    /// How many sockets there are.
    pub(crate) fn count(&self) -> usize {
        self.0.by_address.taken()
    }

    /// Counts a message of a session. When it is one too many: the time until the next.
    pub(crate) fn say(&self, session: SessionId, now: OffsetDateTime) -> Result<(), Duration> {
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        let minute_ago = now - MINUTE;
        if said.len() >= SESSIONS_AT_MOST && !said.contains_key(&session) {
            said.retain(|_, times| times.back().is_some_and(|last| *last > minute_ago));
            if said.len() >= SESSIONS_AT_MOST {
                return Err(MINUTE);
            }
        }
        let times = said.entry(session).or_default();
        while times.front().is_some_and(|first| *first <= minute_ago) {
            times.pop_front();
        }
        if times.len() >= MESSAGES {
            let oldest = times.front().copied().unwrap_or(now);
            return Err(oldest + MINUTE - now);
        }
        times.push_back(now);
        Ok(())
    }
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Seat {
    by_wallet: Shares<WalletId>,
    _place: Share<Client>,
    wallet: Option<Share<WalletId>>,
}

impl Seat {
    /// The connection is this wallet's from here on.
    pub(crate) fn belong_to(&mut self, wallet: WalletId) -> Result<(), Full> {
        if self.wallet.as_ref().is_some_and(|share| share.client() == wallet) {
            return Ok(());
        }
        self.wallet = Some(self.by_wallet.take(wallet, 1)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use types::{Wallet, WalletId};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_ten_seats_and_gets_them_back() {
        let seats = Seats::default();
        let mut taken: Vec<Seat> =
            (0..PER_ADDRESS).map(|_| seats.sit(address("192.0.2.1")).expect("free")).collect();
        assert_eq!(seats.sit(address("192.0.2.1")).err(), Some(Full::Yours));
        assert_eq!(seats.sit(address("::ffff:192.0.2.1")).err(), Some(Full::Yours), "the same one");
        let other = seats.sit(address("192.0.2.2")).expect("another address");
        taken.pop();
        taken.push(seats.sit(address("192.0.2.1")).expect("one was given up"));
        assert_eq!(seats.count(), PER_ADDRESS + 1);
        drop((taken, other));
        assert_eq!(seats.count(), 0);
    }

    #[test]
    fn a_household_of_ipv6_is_one_address() {
        let seats = Seats::default();
        let taken: Vec<Seat> = (0..PER_ADDRESS)
            .map(|host| seats.sit(address(&format!("2001:db8::{host:x}"))).expect("free"))
            .collect();
        assert_eq!(seats.sit(address("2001:db8::ffff")).err(), Some(Full::Yours));
        assert!(seats.sit(address("2001:db8:0:1::1")).is_ok());
        drop(taken);
    }

    #[test]
    fn a_wallet_has_three_seats_wherever_it_sits() {
        let seats = Seats::default();
        let (one, other) = (WalletId::by_key(Wallet([1; 20])), WalletId::by_contract(Wallet([1; 20]), 1));
        let mut taken: Vec<Seat> = (0..=PER_WALLET)
            .map(|host| seats.sit(address(&format!("192.0.2.{host}"))).expect("free"))
            .collect();
        let mut last = taken.pop().expect("four");
        for seat in &mut taken {
            assert_eq!((seat.belong_to(one), seat.belong_to(one)), (Ok(()), Ok(())), "twice is once");
        }
        assert_eq!(last.belong_to(one), Err(Full::Yours));
        assert_eq!(last.belong_to(other), Ok(()));
        taken.pop();
        assert_eq!(last.belong_to(one), Ok(()), "one was given up");
        drop((taken, last));
        assert_eq!(seats.0.by_wallet.taken(), 0);
    }

    #[test]
    fn a_session_says_twenty_messages_in_any_minute() {
        let seats = Seats::default();
        let session = SessionId(Uuid::from_u128(1));
        let start = OffsetDateTime::UNIX_EPOCH + Duration::HOUR;
        for number in 0..20 {
            assert_eq!(seats.say(session, start + Duration::seconds(number)), Ok(()));
        }
        assert_eq!(seats.say(session, start + Duration::seconds(20)), Err(Duration::seconds(40)));
        assert_eq!(seats.say(SessionId(Uuid::from_u128(2)), start), Ok(()), "another session");
        assert!(seats.say(session, start + MINUTE - Duration::MICROSECOND).is_err());
        assert_eq!(seats.say(session, start + MINUTE), Ok(()), "the first one is a minute old");
        assert!(seats.say(session, start + MINUTE).is_err(), "the second one is not");
    }
}
