//! Notices (IPN): what the processor tells us unasked, and the proof that it was the processor.
//!
//! The signature is a hex HMAC-SHA512 over the document as JavaScript prints it with sorted keys. Senders differ in
//! how they sort, so three forms are accepted: keys sorted at every depth with arrays kept, the raw bytes, and keys
//! sorted with arrays printed as objects. What always holds: each form is compared in constant time, and the report
//! is read from the very document that was authenticated (the sorted prints say nothing that the document does not).
//!
//! Deliberately absent: freshness. A notice carries no time and no delivery id; whoever applies it makes a repetition
//! harmless. The size is bounded by whoever reads the body.

mod speed;

use ring::hmac::{self, HMAC_SHA512};

use crate::json::{self, Arrays, Json, JsonError};
use crate::report::{Missing, Report};

pub use speed::time_per_notice;

/// Bytes of a HMAC-SHA512.
const TAG_BYTES: usize = 64;

/// The key of the signatures. `Debug` prints nothing of it.
#[derive(Clone)]
pub struct IpnSecret(hmac::Key);

impl std::fmt::Debug for IpnSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("IpnSecret")
    }
}

impl IpnSecret {
    /// The secret as the processor's dashboard shows it; nothing when it is blank, which anybody could guess.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (!secret.is_empty()).then(|| Self(hmac::Key::new(HMAC_SHA512, secret.as_bytes())))
    }
}

/// Why a notice is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Missing, malformed, or made with another key or over another document.
    #[error("the signature does not fit")]
    BadSignature,
    /// The body is no JSON, or ambiguous JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(JsonError),
    /// Signed, and without what a notice must say.
    #[error("the notice is incomplete: {0}")]
    Incomplete(Missing),
}

/// Checks the `x-nowpayments-sig` of a body, and reads it.
pub fn authenticate(secret: &IpnSecret, signature: &str, body: &[u8]) -> Result<Report, Rejection> {
    let tag = tag(signature).ok_or(Rejection::BadSignature)?;
    let json = json::parse(body).map_err(Rejection::NotJson)?;
    let fits = |text: &[u8]| hmac::verify(&secret.0, text, &tag).is_ok();
    // The bytes as they are first: they cost no print.
    let is_genuine = fits(body)
        || fits(json::canonical(&json, Arrays::Kept).as_bytes())
        || fits(json::canonical(&json, Arrays::AsObjects).as_bytes());
    if !is_genuine {
        return Err(Rejection::BadSignature);
    }
    Report::read(&json).map_err(Rejection::Incomplete)
}

/// The signature of a document: for the simulator and for tests.
#[must_use]
pub fn sign(secret: &IpnSecret, json: &Json) -> String {
    sign_bytes(secret, json::canonical(json, Arrays::Kept).as_bytes())
}

/// The signature of bytes as they are.
#[must_use]
pub fn sign_bytes(secret: &IpnSecret, bytes: &[u8]) -> String {
    let tag = hmac::sign(&secret.0, bytes);
    let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("four bits are one hex digit");
    tag.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// The tag that lower-case hex writes. Its form is no secret, so this may take its own time.
fn tag(signature: &str) -> Option<[u8; TAG_BYTES]> {
    let digits = signature.as_bytes();
    if digits.len() != 2 * TAG_BYTES {
        return None;
    }
    let mut tag = [0; TAG_BYTES];
    for (byte, pair) in tag.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = half(pair[0])? * 16 + half(pair[1])?;
    }
    Some(tag)
}

fn half(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
