//! Who signed: the public key is recovered from an EIP-191 signature, and the address from the key.

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use types::Wallet;
use types::wallet::keccak256;

/// A key's signature has 65 bytes; a contract's may hold several and their proofs.
pub const MAX_SIGNATURE_BYTES: usize = 4_096;
/// r, s and the parity.
const KEY_SIGNATURE_BYTES: usize = 65;

/// Why a signature was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SignatureFault {
    /// It is no signature at all.
    #[error("this is not a signature of 65 bytes")]
    Form,
    /// It is another wallet's, or of another text.
    #[error("the signature is not of this message and this wallet")]
    OtherSigner,
    /// The wallet may be a contract, and its chain did not answer.
    #[error("the wallet's contract could not be asked")]
    Unasked(#[source] anyhow::Error),
}

/// What a wallet signs for `text` (EIP-191, version `0x45`).
pub fn hash(text: &str) -> [u8; 32] {
    let mut bytes = format!("\x19Ethereum Signed Message:\n{}", text.len()).into_bytes();
    bytes.extend_from_slice(text.as_bytes());
    keccak256(&bytes)
}

/// Who signed `text`.
pub fn verify_signature(text: &str, signature: &[u8]) -> Result<Wallet, SignatureFault> {
    recover(&hash(text), signature)
}

/// Whose key made `signature` over `hash`. Both forms of the parity are known (0 and 1, 27 and 28), and a signature whose
/// s lies in the upper half is taken as its twin in the lower one: it is the same key's either way.
pub fn recover(hash: &[u8; 32], signature: &[u8]) -> Result<Wallet, SignatureFault> {
    if signature.len() != KEY_SIGNATURE_BYTES {
        return Err(SignatureFault::Form);
    }
    let parity = match signature[64] {
        0 | 27 => false,
        1 | 28 => true,
        _ => return Err(SignatureFault::Form),
    };
    let given = Signature::from_slice(&signature[..64]).map_err(|_| SignatureFault::Form)?;
    let low = given.normalize_s();
    let parity = parity ^ (low != given);
    let key = VerifyingKey::recover_from_prehash(hash, &low, RecoveryId::new(parity, false))
        .map_err(|_| SignatureFault::OtherSigner)?;
    let point = key.to_sec1_point(false);
    let coordinates: &[u8; 64] =
        point.as_bytes()[1..].try_into().expect("an uncompressed point has 65 bytes");
    Ok(Wallet::of_public_key(coordinates))
}
