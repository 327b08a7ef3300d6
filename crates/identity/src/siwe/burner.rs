//! Signing with a key that we hold: for wallets that exist to try things out.
//!
//! Deliberately absent: any key worth holding. Only a development server has a door to this.

use k256::ecdsa::SigningKey;
use types::Wallet;

use super::signature::{hash, recover};

/// A key signature: r, s and the parity as 27 or 28.
pub type KeySignature = [u8; 65];

/// What `personal_sign` answers for `text` with this key, and whose it is. `None`: the bytes are no key.
pub fn sign(key: &[u8; 32], text: &str) -> Option<(Wallet, KeySignature)> {
    let key = SigningKey::from_slice(key).ok()?;
    let hash = hash(text);
    let (signature, recovery) = key.sign_prehash_recoverable(&hash);
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&signature.to_bytes());
    bytes[64] = 27 + recovery.to_byte();
    Some((recover(&hash, &bytes).ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siwe::verify_signature;

    #[test]
    fn what_is_signed_is_accepted_and_only_for_its_text() {
        let (wallet, signature) = sign(&[7; 32], "a text").expect("a key");
        assert_eq!(verify_signature("a text", &signature).expect("ours"), wallet);
        assert_ne!(verify_signature("another", &signature).ok(), Some(wallet));
        assert!(sign(&[0; 32], "").is_none() && sign(&[0xff; 32], "").is_none(), "no keys of the curve");
    }
}
