//! Limits that do not depend on what is limited: shares of a pot, room in a bounded map, and the count of refusals.
//!
//! What is shared by all clients (memory for bodies, connections, sockets, answers in flight) is a pot. What always holds:
//! no client has more than its share of a pot, everything is given back on drop, and memory is bounded by what is held.
//! All counts are of this process; what must hold over all processes is the database's matter. Deliberately absent: HTTP,
//! clocks, and what each limit is (whoever owns a pot says so).

mod pot;
mod room;
mod shares;

pub use pot::{By, Pot};
pub use room::make_room;
pub use shares::{Full, Share, Shares};

use std::net::IpAddr;

use types::{AccountId, CommunityId};

/// Whose share it is: the account where it is known, and else the network that the request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// An account; all its keys have one share together.
    Account(CommunityId, AccountId),
    /// An IPv4 address or an IPv6 /64.
    Network(IpAddr),
}

impl Client {
    /// The client at this address, of whom nothing else is known.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self::Network(types::network_of(address))
    }
}
