//! The three parts of a compact JWS, and its header. Strict: what is not canonical is refused, not repaired.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Refusal;

/// freeside's tokens are under 1 KiB; a longer one is not ours, and costs nothing.
const MAX_TOKEN_BYTES: usize = 4096;
/// `{"alg","kid","typ"}` with a thumbprint takes 100 bytes; the encoded part may be this long.
const MAX_HEADER_CHARS: usize = 1024;
/// An ES256 signature is r ‖ s, 32 bytes each.
const SIGNATURE_BYTES: usize = 64;
/// A key id is a 43-character thumbprint; others are accepted up to this.
const MAX_KID_BYTES: usize = 128;
/// More members than this in a header or payload is not a token of the contract.
const MAX_MEMBERS: usize = 64;

/// A token taken apart, nothing of it believed yet.
pub(super) struct Parts<'t> {
    pub(super) header: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// What the signature covers: the first two parts as they were sent.
    pub(super) signed: &'t str,
}

/// Splits and decodes: exactly three non-empty parts of canonical base64url without padding.
pub(super) fn split(token: &str) -> Result<Parts<'_>, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Malformed);
    }
    let mut pieces = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return Err(Refusal::Malformed);
    };
    if header.is_empty() || header.len() > MAX_HEADER_CHARS || payload.is_empty() {
        return Err(Refusal::Malformed);
    }
    // The engine refuses padding, foreign letters and non-zero trailing bits, so one value has one spelling.
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed);
    let parts = Parts {
        header: decode(header)?,
        payload: decode(payload)?,
        signature: decode(signature)?,
        signed: &token[..header.len() + 1 + payload.len()],
    };
    if parts.signature.len() != SIGNATURE_BYTES {
        return Err(Refusal::Signature);
    }
    Ok(parts)
}

/// The header's `kid`, once `alg`, `typ` and the absence of `crit` are certain.
pub(super) fn header_kid(header: &[u8]) -> Result<String, Refusal> {
    let members = members(header)?;
    // Any `crit` names an extension that we do not know: RFC 7515 says refuse.
    if members.get("crit").is_some() {
        return Err(Refusal::Header);
    }
    let is = |name: &str, expected: &str| members.text(name).is_some_and(|value| value == expected);
    if !is("alg", "ES256") || !is("typ", "JWT") {
        return Err(Refusal::Header);
    }
    members
        .text("kid")
        .filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID_BYTES)
        .map(Cow::into_owned)
        .ok_or(Refusal::Header)
}

/// The members of one JSON object, in order, names unique.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Reads one JSON object and refuses a repeated name: two readers could each believe another of the two.
pub(super) fn members(json: &[u8]) -> Result<Members<'_>, Refusal> {
    serde_json::from_slice(json).map_err(|_| Refusal::Malformed)
}

impl<'a> Members<'a> {
    /// A member's raw JSON.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// A member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(|raw| serde_json::from_str::<Text<'a>>(raw.get()).ok()).map(|text| text.0)
    }

    /// A member that is a whole number: `1.0`, `1e3` and `"1"` are not.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }
}

/// Borrows where it can: serde's own `Cow` always copies.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object with unique names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(12);
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if members.len() == MAX_MEMBERS || members.iter().any(|(seen, _)| *seen == name) {
                        return Err(A::Error::custom("a repeated name, or too many"));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_is_refused_also_when_it_is_written_otherwise() {
        assert!(members(br#"{"alg":"ES256","x":1}"#).is_ok());
        assert!(members(br#"{"alg":"ES256","alg":"none"}"#).is_err());
        assert!(members(br#"{"alg":"ES256","\u0061lg":"none"}"#).is_err());
        assert!(members(br#"{"x":1,"x":1}"#).is_err(), "unknown members too");
        assert!(members(b"[]").is_err());
        assert!(members(br#"{"a":1} {"b":2}"#).is_err());
    }

    #[test]
    fn the_header_has_one_form() {
        let header = |text: &str| header_kid(text.as_bytes());
        assert_eq!(header(r#"{"alg":"ES256","kid":"k","typ":"JWT","x5u":"ignored"}"#), Ok("k".to_owned()));
        for wrong in [
            r#"{"alg":"none","kid":"k","typ":"JWT"}"#,
            r#"{"alg":"es256","kid":"k","typ":"JWT"}"#,
            r#"{"alg":["ES256"],"kid":"k","typ":"JWT"}"#,
            r#"{"alg":"ES256","typ":"JWT"}"#,
            r#"{"alg":"ES256","kid":7,"typ":"JWT"}"#,
            r#"{"alg":"ES256","kid":"","typ":"JWT"}"#,
            r#"{"alg":"ES256","kid":"k"}"#,
            r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","kid":"k","typ":"JWT","crit":[]}"#,
        ] {
            assert_eq!(header(wrong), Err(Refusal::Header), "{wrong}");
        }
    }
}
