//! The keys that may have sealed an export: a JWKS document, as freeside serves it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;

/// The largest key set that is read: hundreds of keys.
pub const JWKS_AT_MOST: usize = 256 * 1024;

/// Public keys by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet(Vec<(String, [u8; 65])>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

impl KeySet {
    /// Reads a JWKS document; keys of other kinds are passed over, as RFC 7517 asks.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        if json.len() > JWKS_AT_MOST {
            return Err(format!("a key set of more than {JWKS_AT_MOST} bytes"));
        }
        let set: Set = serde_json::from_slice(json).map_err(|error| format!("no JWKS document: {error}"))?;
        let keys: Vec<_> = set
            .keys
            .into_iter()
            .filter(|key| key.kty == "EC" && key.crv == "P-256")
            .filter_map(|key| {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(&coordinate(&key.x)?);
                point[33..].copy_from_slice(&coordinate(&key.y)?);
                Some((key.kid, point))
            })
            .collect();
        if keys.is_empty() { Err("the key set has no ES256 key".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Whether `signature` is that of the named key over `text`; `None`: there is no such key.
    pub(crate) fn verify(&self, kid: &str, text: &[u8], signature: &[u8]) -> Option<bool> {
        let (_, point) = self.0.iter().find(|(id, _)| id == kid)?;
        Some(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(text, signature).is_ok())
    }
}

fn coordinate(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
