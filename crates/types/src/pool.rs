//! Pools and tiers: which models a caller may reach (SPEC §5).

use serde::{Deserialize, Serialize};

/// A named set of models. The order is the order of cost: a fall-back never climbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Small and quick; the only pool of tiers 1–3 and of sandbox keys.
    Cheap,
    /// Everyday.
    Standard,
    /// Thinks longer.
    Reasoning,
    /// Long plans and code.
    Architect,
    /// The best there is.
    Flagship,
}

impl Pool {
    /// All pools, cheapest first.
    pub const ALL: [Self; 5] =
        [Self::Cheap, Self::Standard, Self::Reasoning, Self::Architect, Self::Flagship];

    /// The pool's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cheap => "cheap",
            Self::Standard => "standard",
            Self::Reasoning => "reasoning",
            Self::Architect => "architect",
            Self::Flagship => "flagship",
        }
    }

    /// The small number that stands for the pool in a table (0 = cheap … 4 = flagship).
    #[must_use]
    pub fn as_db(self) -> i16 {
        self as i16
    }

    /// The pool of a table's small number.
    #[must_use]
    pub fn from_db(number: i16) -> Option<Self> {
        usize::try_from(number).ok().and_then(|index| Self::ALL.get(index)).copied()
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no pool.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no pool of that name")]
pub struct UnknownPool;

impl std::str::FromStr for Pool {
    type Err = UnknownPool;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|pool| pool.as_str() == text).ok_or(UnknownPool)
    }
}

/// A conviction tier, 1–9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier(u8);

impl Tier {
    /// What a wallet acts as that holds nothing, or nothing known.
    pub const LOWEST: Self = Self(1);
    /// What a sandbox key acts as (SPEC §13).
    pub const SANDBOX: Self = Self(1);
    /// What a live key acts as (SPEC §13).
    pub const LIVE: Self = Self(4);

    /// A tier from its number.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (1..=9).contains(&number).then_some(Self(number))
    }

    /// The tier's number, 1–9.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The pools the tier may reach, cheapest first.
    #[must_use]
    pub fn allowed_pools(self) -> &'static [Pool] {
        match self.0 {
            0..=3 => &[Pool::Cheap],
            4..=6 => &[Pool::Cheap, Pool::Standard, Pool::Reasoning],
            _ => &Pool::ALL,
        }
    }

    /// Where `native`, an unknown and a forbidden request go.
    #[must_use]
    pub fn default_pool(self) -> Pool {
        match self.0 {
            0..=3 => Pool::Cheap,
            4..=6 => Pool::Standard,
            _ => Pool::Reasoning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_reaches_its_default_and_nothing_above_its_list() {
        for number in 1..=9 {
            let tier = Tier::new(number).expect("1–9");
            assert!(tier.allowed_pools().contains(&tier.default_pool()));
        }
        assert_eq!(Tier::new(0), None);
        assert_eq!(Tier::new(10), None);
        assert_eq!(Tier::SANDBOX.allowed_pools(), [Pool::Cheap]);
    }

    #[test]
    fn pools_survive_the_table_and_the_wire() {
        for pool in Pool::ALL {
            assert_eq!(Pool::from_db(pool.as_db()), Some(pool));
            assert_eq!(pool.as_str().parse(), Ok(pool));
        }
        assert_eq!(Pool::from_db(5), None);
        assert_eq!(Pool::from_db(-1), None);
    }
}
