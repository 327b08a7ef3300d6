//! Public keys: their coordinates, their thumbprint, and the set of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One key of `keys.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PublicKey {
    pub(super) kid: String,
    x: String,
    y: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) expires_at: OffsetDateTime,
}

impl PublicKey {
    /// From an uncompressed point (`04 ‖ x ‖ y`), as ring gives it.
    pub(super) fn from_point(point: &[u8], created_at: OffsetDateTime, expires_at: OffsetDateTime) -> Self {
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self { kid: thumbprint(&x, &y), x, y, created_at, expires_at }
    }

    /// Whether the id is the thumbprint of 32-byte coordinates.
    pub(super) fn is_sound(&self) -> bool {
        let whole = |text: &str| URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32);
        whole(&self.x) && whole(&self.y) && self.kid == thumbprint(&self.x, &self.y)
    }
}

/// RFC 7638: SHA-256 of the required members, in the order of their names, without white space.
fn thumbprint(x: &str, y: &str) -> String {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

/// The public key set, ready to be served with `Cache-Control: max-age=300`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// The document.
    pub json: String,
    /// A strong entity tag of it, quotes included. The same keys give the same tag in every process.
    pub etag: String,
}

/// A key as RFC 7517 writes it; the order of the fields is the order on the wire.
#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    x: &'a str,
    y: &'a str,
    kid: &'a str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

#[derive(Serialize)]
struct Set<'a> {
    keys: Vec<Jwk<'a>>,
}

impl Jwks {
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Self {
        let keys = keys.map(|key| Jwk {
            kty: "EC",
            crv: "P-256",
            x: &key.x,
            y: &key.y,
            kid: &key.kid,
            usage: "sig",
            alg: "ES256",
        });
        let json = serde_json::to_string(&Set { keys: keys.collect() }).expect("a list of strings");
        let etag =
            format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest(&SHA256, json.as_bytes()).as_ref()[..16]));
        Self { json, etag }
    }
}
