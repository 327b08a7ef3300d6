//! Micro-USD: the one unit of money. Signed 64-bit, no float, products through `i128`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in micro-USD (1 USD = 1,000,000). Serialised as a decimal string (SPEC §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroUsd(pub i64);

impl MicroUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Sum, or `None` past the 64-bit range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The amount as US dollars with as many decimals as it needs, at least two: `"0.0105"`, `"10.50"`.
    #[must_use]
    pub fn to_usd(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let digits = format!("{:06}", magnitude % 1_000_000);
        let trimmed = digits.trim_end_matches('0');
        let decimals = if trimmed.len() < 2 { &digits[..2] } else { trimmed };
        format!("{sign}{}.{decimals}", magnitude / 1_000_000)
    }
}

impl std::fmt::Display for MicroUsd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for MicroUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MicroUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A model's price: micro-USD per million tokens, input and output apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PricePerMillion {
    /// Micro-USD for a million prompt tokens.
    pub input: i64,
    /// Micro-USD for a million completion tokens.
    pub output: i64,
}

impl PricePerMillion {
    /// What a request costs: one `ceil` over the whole of it, at least 1 (SPEC §2); 0 where the model has no price.
    ///
    /// Saturates at `i64::MAX`, which no balance reaches, so an absurd count is refused and never wraps.
    #[must_use]
    pub fn charge(self, prompt_tokens: u64, completion_tokens: u64) -> MicroUsd {
        let product = i128::from(prompt_tokens) * i128::from(self.input)
            + i128::from(completion_tokens) * i128::from(self.output);
        let micro = (product + 999_999) / 1_000_000;
        let least = i128::from(!self.is_free());
        MicroUsd(i64::try_from(micro.max(least)).unwrap_or(i64::MAX))
    }

    /// Whether nothing is asked for a token, neither of the prompt nor of the answer.
    #[must_use]
    pub fn is_free(self) -> bool {
        self == Self { input: 0, output: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_rounds_up_once_and_only_what_has_no_price_is_free() {
        let price = PricePerMillion { input: 100_000, output: 400_000 };
        assert_eq!(price.charge(0, 0), MicroUsd(1));
        assert_eq!(price.charge(10, 0), MicroUsd(1));
        assert_eq!(price.charge(11, 0), MicroUsd(2));
        assert_eq!(price.charge(5, 1), MicroUsd(1));
        assert_eq!(price.charge(1_000_000, 1_000_000), MicroUsd(500_000));
        assert_eq!(price.charge(u64::MAX, u64::MAX), MicroUsd(i64::MAX));
        assert_eq!(PricePerMillion { input: 0, output: 1 }.charge(9, 0), MicroUsd(1));
        assert_eq!(PricePerMillion { input: 0, output: 0 }.charge(u64::MAX, u64::MAX), MicroUsd(0));
    }

    #[test]
    fn dollars_keep_every_micro() {
        assert_eq!(MicroUsd(10_500_000).to_usd(), "10.50");
        assert_eq!(MicroUsd(1).to_usd(), "0.000001");
        assert_eq!(MicroUsd(-1_050_000).to_usd(), "-1.05");
        assert_eq!(MicroUsd(0).to_usd(), "0.00");
    }

    #[test]
    fn json_is_a_decimal_string() {
        assert_eq!(serde_json::to_string(&MicroUsd(-7)).expect("serialises"), "\"-7\"");
        assert_eq!(serde_json::from_str::<MicroUsd>("\"42\"").expect("parses"), MicroUsd(42));
        assert!(serde_json::from_str::<MicroUsd>("42").is_err());
    }
}
