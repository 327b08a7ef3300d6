//! Who a wallet is: its address, and how that was proved.
//!
//! A key's address is the same person on every chain: whoever has the key signs everywhere. A contract is an address on
//! one chain: on another one the same address may be somebody else's contract. What always holds: the two are different
//! identities, and so is the contract on each chain; they compare, hash, print and store differently, so that no row of one
//! is found for the other. Deliberately absent: the proof itself (`identity` recovers keys, `chain` asks contracts).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Wallet;
use crate::wallet::NotAWallet;

/// Before a contract's text, as CAIP-10 writes it: `eip155:8453:0x…`.
const NAMESPACE: &str = "eip155:";
/// Bytes of an address.
const ADDRESS: usize = 20;
/// Bytes of a contract: its address, then its chain, the highest byte first.
const CONTRACT: usize = ADDRESS + 8;

/// How a wallet proved that it is who it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// By the signature of its key, which no chain has to confirm.
    Key,
    /// By its contract (ERC-1271) on one chain, and on that chain alone.
    Contract {
        /// EIP-155.
        chain_id: u64,
    },
}

/// A wallet as somebody who owns things here. Prints as `0x…`, or as `eip155:8453:0x…` for a contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalletId {
    /// What people call it by. Two identities may share it: never compare or look up by it alone.
    pub address: Wallet,
    /// How it was proved.
    pub proof: Proof,
}

impl WalletId {
    /// The wallet whose key signed.
    #[must_use]
    pub const fn by_key(address: Wallet) -> Self {
        Self { address, proof: Proof::Key }
    }

    /// The contract at `address` on one chain.
    #[must_use]
    pub const fn by_contract(address: Wallet, chain_id: u64) -> Self {
        Self { address, proof: Proof::Contract { chain_id } }
    }

    /// The chain of a contract; `None`: it was proved by key.
    #[must_use]
    pub fn chain_id(self) -> Option<u64> {
        match self.proof {
            Proof::Key => None,
            Proof::Contract { chain_id } => Some(chain_id),
        }
    }

    /// As tables keep it: 20 bytes, or 28 for a contract.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.address.0.to_vec();
        if let Proof::Contract { chain_id } = self.proof {
            bytes.extend_from_slice(&chain_id.to_be_bytes());
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let address = Wallet(bytes.get(..ADDRESS)?.try_into().ok()?);
        match bytes.len() {
            ADDRESS => Some(Self::by_key(address)),
            CONTRACT => {
                let chain_id = u64::from_be_bytes(bytes[ADDRESS..].try_into().ok()?);
                Some(Self::by_contract(address, chain_id))
            }
            _ => None,
        }
    }
}

impl fmt::Display for WalletId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Proof::Contract { chain_id } = self.proof {
            write!(formatter, "{NAMESPACE}{chain_id}:")?;
        }
        self.address.fmt(formatter)
    }
}

impl fmt::Debug for WalletId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WalletId({self})")
    }
}

impl FromStr for WalletId {
    type Err = NotAWallet;

    fn from_str(text: &str) -> Result<Self, NotAWallet> {
        let Some(contract) = text.strip_prefix(NAMESPACE) else { return text.parse().map(Self::by_key) };
        let (chain, address) = contract.split_once(':').ok_or(NotAWallet::Form)?;
        let chain_id: u64 = chain.parse().map_err(|_| NotAWallet::Form)?;
        // One text for each identity: no sign, no leading zero.
        if chain_id == 0 || chain_id.to_string() != chain {
            return Err(NotAWallet::Form);
        }
        address.parse().map(|address| Self::by_contract(address, chain_id))
    }
}

impl Serialize for WalletId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WalletId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn one_address_proved_in_three_ways_is_three_identities() {
        let address: Wallet = TEXT.parse().expect("an address");
        let all = [
            WalletId::by_key(address),
            WalletId::by_contract(address, 1),
            WalletId::by_contract(address, 8_453),
        ];
        let texts = [TEXT.to_owned(), format!("eip155:1:{TEXT}"), format!("eip155:8453:{TEXT}")];
        for (place, (id, text)) in all.iter().zip(&texts).enumerate() {
            assert_eq!(id.to_string(), *text);
            assert_eq!(text.parse(), Ok(*id));
            assert_eq!(WalletId::from_bytes(&id.to_bytes()), Some(*id));
            let json = serde_json::to_string(id).expect("text");
            assert_eq!(serde_json::from_str::<WalletId>(&json).expect("text"), *id);
            for (other_place, other) in all.iter().enumerate() {
                assert_eq!(id == other, place == other_place);
                assert_eq!(id.to_bytes() == other.to_bytes(), place == other_place);
            }
        }
        assert_eq!(all.map(WalletId::chain_id), [None, Some(1), Some(8_453)]);
    }

    #[test]
    fn an_identity_has_one_text_and_one_length() {
        for text in [
            format!("eip155:0:{TEXT}"),
            format!("eip155:01:{TEXT}"),
            format!("eip155:+1:{TEXT}"),
            format!("eip155::{TEXT}"),
            format!("eip155:1:1:{TEXT}"),
            format!("EIP155:1:{TEXT}"),
            format!("eip155:18446744073709551616:{TEXT}"),
            format!("solana:1:{TEXT}"),
            "eip155:1".to_owned(),
        ] {
            assert!(text.parse::<WalletId>().is_err(), "{text}");
        }
        for length in (0..40).filter(|length| !matches!(length, 20 | 28)) {
            assert_eq!(WalletId::from_bytes(&vec![1; length]), None, "{length}");
        }
    }
}
