//! Ids. Each kind is its own type, so that an account can never be passed where a community is meant.
//!
//! In JSON every id is a string: JavaScript's numbers lose the low bits of a 64-bit id.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

macro_rules! big_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(formatter)
            }
        }
        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

big_id!(
    /// A community: one book, one audit chain, one monthly cap.
    CommunityId
);
big_id!(
    /// One payer (wallet or developer) in one community.
    AccountId
);
big_id!(
    /// An API key's row (not the public 12-character id in the key's text).
    KeyId
);

impl AccountId {
    /// The ledger account that pays for this payer's sandbox keys: the same number, negative, so that the pair needs no
    /// table. It holds sandbox credits only, and the payer's own account never does.
    #[must_use]
    pub fn sandbox(self) -> Self {
        Self(-self.0.abs())
    }

    /// Whose ledger account this is: the same for a payer's own and its sandbox account.
    #[must_use]
    pub fn payer(self) -> Self {
        Self(self.0.abs())
    }

    /// Whether this is the sandbox account of a payer.
    #[must_use]
    pub fn is_sandbox(self) -> bool {
        self.0 < 0
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(formatter)
            }
        }
        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// `budget_reservation_id`: one request's hold. A UUIDv7, so that recent holds lie together on disk.
    ReservationId
);
uuid_id!(
    /// One lot of credits. Chosen by whoever mints, so that minting twice is one lot.
    LotId
);

/// A running process that owns holds through its heartbeat lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub i32);
