//! A JSON Web Key Set, read strictly: only EC keys on P-256 that may sign ES256 count.
//!
//! A key that we do not understand is passed over (a later freeside may publish other kinds); a set that contradicts
//! itself is refused whole, and the cache then keeps the one it has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// An uncompressed point, as ring reads it: 4, x, y.
pub type Point = [u8; 65];

/// freeside publishes at most a handful: the active key, the next and those that leave.
const MAX_KEYS: usize = 64;
const COORDINATE_BYTES: usize = 32;

/// What came is no key set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this is no key set: {0}")]
pub struct InvalidKeySet(&'static str);

/// Keys by id.
#[derive(Debug, Default)]
pub struct KeySet(Vec<(String, Point)>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    crv: String,
    x: String,
    y: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
}

impl KeySet {
    /// Reads a set.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        let set: Set = serde_json::from_slice(json).map_err(|_| InvalidKeySet("not the JSON of one"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(InvalidKeySet("too many keys"));
        }
        let mut keys: Vec<(String, Point)> = Vec::new();
        for (kid, point) in set.keys.into_iter().filter_map(usable) {
            if keys.iter().any(|(other, _)| *other == kid) {
                return Err(InvalidKeySet("two keys share an id"));
            }
            keys.push((kid, point));
        }
        Ok(Self(keys))
    }

    /// The key of that id.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<Point> {
        self.0.iter().find(|(id, _)| id == kid).map(|(_, point)| *point)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No key at all: every token is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn usable(value: serde_json::Value) -> Option<(String, Point)> {
    let key: Jwk = serde_json::from_value(value).ok()?;
    let fits = key.kty == "EC"
        && key.crv == "P-256"
        && !key.kid.is_empty()
        && key.purpose.is_none_or(|purpose| purpose == "sig")
        && key.alg.is_none_or(|alg| alg == "ES256")
        && key.key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !fits {
        return None;
    }
    let mut point = [0; 65];
    point[0] = 4;
    point[1..=COORDINATE_BYTES].copy_from_slice(&coordinate(&key.x)?);
    point[1 + COORDINATE_BYTES..].copy_from_slice(&coordinate(&key.y)?);
    Some((key.kid, point))
}

fn coordinate(text: &str) -> Option<[u8; COORDINATE_BYTES]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, change: (&str, &str)) -> String {
        let half = URL_SAFE_NO_PAD.encode([7; 32]);
        format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{half}","y":"{half}","use":"sig","alg":"ES256"}}"#)
            .replace(change.0, change.1)
    }

    fn count(keys: &[String]) -> Result<usize, InvalidKeySet> {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).map(|set| set.len())
    }

    #[test]
    fn only_p256_signing_keys_count() {
        assert_eq!(count(&[key("a", ("", ""))]), Ok(1));
        assert_eq!(count(&[key("a", (r#","use":"sig","alg":"ES256""#, ""))]), Ok(1));
        for change in [
            (r#""EC""#, r#""RSA""#),
            (r#""P-256""#, r#""P-384""#),
            (r#""sig""#, r#""enc""#),
            (r#""ES256""#, r#""HS256""#),
            (r#""kid":"a","#, ""),
            (r#""kid":"a""#, r#""kid":"""#),
            (r#""x":"B"#, r#""x":"BB"#),
            (r#""use":"sig""#, r#""key_ops":["sign"]"#),
        ] {
            assert_eq!(count(&[key("a", change)]), Ok(0), "{change:?}");
        }
        assert_eq!(count(&[key("a", ("", "")), r#"{"kty":"OKP"}"#.to_owned(), "7".to_owned()]), Ok(1));
    }

    #[test]
    fn a_set_that_contradicts_itself_or_is_none_is_refused() {
        assert!(count(&[key("a", ("", "")), key("a", ("", ""))]).is_err());
        assert!(KeySet::parse(b"[]").is_err());
        assert!(KeySet::parse(b"{\"keys\":{}}").is_err());
        assert!(KeySet::parse(&[0xff, 0xfe]).is_err());
        assert!(count(&vec![key("a", ("", "")); 65]).is_err());
        assert_eq!(count(&[]), Ok(0), "an empty set is an answer: everything was revoked");
    }
}
