//! A wallet: the 20 bytes of an Ethereum address, and their text with a checksum (EIP-55).
//!
//! Two texts of one address are one value, so whoever compares, stores or joins by `Wallet` cannot be fooled by case.
//! Deliberately absent: signatures (they live in `identity::siwe`) and names such as ENS.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha3::{Digest, Keccak256};

/// An address. Prints as `0x` and 40 hex digits whose case is the checksum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wallet(pub [u8; 20]);

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWallet {
    /// It does not look like one.
    #[error("an address is 0x and 40 hexadecimal digits")]
    Form,
    /// The case of its letters says that a character is wrong (EIP-55).
    #[error("the address's checksum does not fit: a character is wrong, or its case is")]
    Checksum,
}

/// Keccak-256, the hash that Ethereum means by SHA-3. It is not the SHA-3 that was standardised.
#[must_use]
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

impl Wallet {
    /// The address of an uncompressed public key: `xy` is both coordinates without the leading 4.
    #[must_use]
    pub fn of_public_key(xy: &[u8; 64]) -> Self {
        let hash = keccak256(xy);
        Self(hash[12..].try_into().expect("32 - 12 = 20 bytes"))
    }

    /// The text without its `0x`, in the case that EIP-55 gives each letter.
    fn digits(self) -> [u8; 40] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 40];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        let hash = keccak256(&text);
        for (place, letter) in text.iter_mut().enumerate() {
            let half = hash[place / 2] >> (if place % 2 == 0 { 4 } else { 0 }) & 15;
            if half >= 8 {
                letter.make_ascii_uppercase();
            }
        }
        text
    }
}

impl fmt::Display for Wallet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        formatter.write_str("0x")?;
        formatter.write_str(std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Wallet({self})")
    }
}

/// All lower or all upper case is taken as it is; mixed case is a checksum and has to fit.
impl FromStr for Wallet {
    type Err = NotAWallet;

    fn from_str(text: &str) -> Result<Self, NotAWallet> {
        let digits = text.strip_prefix("0x").ok_or(NotAWallet::Form)?;
        if digits.len() != 40 {
            return Err(NotAWallet::Form);
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        let wallet = Self(bytes);
        let has_lower = digits.bytes().any(|digit| digit.is_ascii_lowercase());
        let has_upper = digits.bytes().any(|digit| digit.is_ascii_uppercase());
        if has_lower && has_upper && wallet.digits() != digits.as_bytes() {
            return Err(NotAWallet::Checksum);
        }
        Ok(wallet)
    }
}

fn nibble(digit: u8) -> Result<u8, NotAWallet> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(NotAWallet::Form),
    }
}

impl Serialize for Wallet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wallet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of EIP-55 itself.
    const KNOWN: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn the_examples_of_the_standard_read_and_print() {
        for text in KNOWN {
            let wallet: Wallet = text.parse().expect(text);
            assert_eq!(wallet.to_string(), text);
            assert_eq!(text.to_ascii_lowercase().parse(), Ok(wallet));
            assert_eq!(format!("0x{}", text[2..].to_ascii_uppercase()).parse(), Ok(wallet));
            let json = serde_json::to_string(&wallet).expect("text");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Wallet>(&json).expect("text"), wallet);
        }
    }

    #[test]
    fn one_letter_of_the_wrong_case_is_refused() {
        for text in KNOWN {
            for place in 2..text.len() {
                let mut wrong = text.as_bytes().to_vec();
                wrong[place] ^= 0x20;
                if !wrong[place].is_ascii_alphabetic() {
                    continue;
                }
                let wrong = String::from_utf8(wrong).expect("ASCII");
                let digits = &wrong[2..];
                let is_uniform = digits == digits.to_lowercase() || digits == digits.to_uppercase();
                assert_eq!(wrong.parse::<Wallet>().is_err(), !is_uniform, "{wrong}");
            }
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "0x",
            "52908400098527886E0F7030069857D2E4169EE7",
            "0X52908400098527886E0F7030069857D2E4169EE7",
            "0x52908400098527886E0F7030069857D2E4169EE",
            "0x52908400098527886E0F7030069857D2E4169EE70",
            "0x52908400098527886E0F7030069857D2E4169EEg",
            "0x52908400098527886E0F7030069857D2E4169E\u{e9}",
            " 0x52908400098527886E0F7030069857D2E4169EE7",
        ] {
            assert_eq!(text.parse::<Wallet>(), Err(NotAWallet::Form), "{text}");
        }
    }

    #[test]
    fn keccak_is_the_one_of_ethereum() {
        let empty = keccak256(b"");
        assert_eq!(empty[..4], [0xc5, 0xd2, 0x46, 0x01], "SHA-3 would begin with a7ff c6f8");
    }
}
