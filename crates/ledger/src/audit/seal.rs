//! The first and the last line of an export: what it covers, and the seal on it. Pure; writer and verifier share it.
//!
//! Both are JSON with sorted keys and no white space, and each carries the SHA-256 of its own text without that hash, so
//! that damage shows without any key. The seal is an ES256 signature over the last line, which names the first line's
//! hash, the number of lines and the head of the chain: nothing in the file can change under it.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::audit_line::{hex, sha256};

/// What the first line says of the file; a reader of another form must not try.
pub(crate) const FORMAT: &str = "freeside-audit/1";

/// ES256 over the bytes it is given: r ‖ s, 64 bytes.
pub type Sign = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Who seals an export.
#[derive(Clone)]
pub struct Signer {
    /// Names the key in the JWKS.
    pub kid: String,
    /// Signs with that key.
    pub sign: Sign,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    pub(crate) account_id: Option<String>,
    /// Every line is there, from `from_seq` on: each names the hash of the one before.
    pub(crate) chained: bool,
    pub(crate) community_id: String,
    pub(crate) exported_at: String,
    pub(crate) format: String,
    pub(crate) from: Option<String>,
    pub(crate) from_seq: i64,
    #[serde(default)]
    pub(crate) hash: String,
    pub(crate) pool: Option<String>,
    pub(crate) prev_hash: String,
    pub(crate) to: Option<String>,
}

impl Opening {
    /// Fills in its own hash.
    pub(crate) fn seal(mut self) -> Self {
        self.hash = hex(&sha256(self.render(false).as_bytes()));
        self
    }

    /// The line, with its hash.
    pub(crate) fn line(&self) -> String {
        self.render(true)
    }

    /// Whether the hash is that of the rest.
    pub(crate) fn is_whole(&self) -> bool {
        self.hash == hex(&sha256(self.render(false).as_bytes()))
    }

    fn render(&self, with_hash: bool) -> String {
        let mut text = String::with_capacity(512);
        // Writing to a String cannot fail, so the results of `write!` say nothing.
        let _ = write!(
            text,
            r#"{{"account_id":{},"chained":{},"community_id":{},"exported_at":{},"format":{},"from":{},"from_seq":{}"#,
            optional(self.account_id.as_deref()),
            self.chained,
            quoted(&self.community_id),
            quoted(&self.exported_at),
            quoted(&self.format),
            optional(self.from.as_deref()),
            self.from_seq,
        );
        if with_hash {
            let _ = write!(text, r#","hash":{}"#, quoted(&self.hash));
        }
        let _ = write!(
            text,
            r#","pool":{},"prev_hash":{},"to":{}}}"#,
            optional(self.pool.as_deref()),
            quoted(&self.prev_hash),
            optional(self.to.as_deref()),
        );
        text
    }
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closing {
    /// Lines between the first and the last.
    pub(crate) count: u64,
    #[serde(default)]
    pub(crate) hash: String,
    /// Chained: the last line's hash. Unchained: see [`fold`].
    pub(crate) head_hash: String,
    pub(crate) kid: String,
    pub(crate) opening_hash: String,
    #[serde(default)]
    pub(crate) signature: String,
    /// Number of the last line; `from_seq` − 1 without any.
    pub(crate) to_seq: i64,
}

impl Closing {
    /// Signs, and fills in its own hash.
    pub(crate) fn seal(mut self, signer: &Signer) -> Self {
        self.kid.clone_from(&signer.kid);
        let header = self.header();
        let signature = (signer.sign)(self.signed_text().as_bytes());
        self.signature = format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature));
        self.hash = hex(&sha256(self.render(false, true).as_bytes()));
        self
    }

    /// The line, with hash and signature.
    pub(crate) fn line(&self) -> String {
        self.render(true, true)
    }

    /// Whether the hash is that of the rest.
    pub(crate) fn is_whole(&self) -> bool {
        self.hash == hex(&sha256(self.render(false, true).as_bytes()))
    }

    /// What is signed: a JWS with detached payload (RFC 7515, appendix F); the payload is this line without its hash and
    /// its signature.
    pub(crate) fn signed_text(&self) -> String {
        format!("{}.{}", self.header(), URL_SAFE_NO_PAD.encode(self.render(false, false)))
    }

    /// The signature's bytes, when it is the detached form that [`Closing::seal`] writes.
    pub(crate) fn signature_bytes(&self) -> Option<Vec<u8>> {
        let (header, signature) = self.signature.split_once("..")?;
        (header == self.header()).then(|| URL_SAFE_NO_PAD.decode(signature).ok())?
    }

    fn header(&self) -> String {
        // Its own type: no verifier of access tokens takes it for one.
        let header = format!(r#"{{"alg":"ES256","kid":{},"typ":"{FORMAT}"}}"#, quoted(&self.kid));
        URL_SAFE_NO_PAD.encode(header)
    }

    fn render(&self, with_hash: bool, with_signature: bool) -> String {
        let mut text = String::with_capacity(512);
        let _ = write!(text, r#"{{"count":{}"#, self.count);
        if with_hash {
            let _ = write!(text, r#","hash":{}"#, quoted(&self.hash));
        }
        let _ = write!(
            text,
            r#","head_hash":{},"kid":{},"opening_hash":{}"#,
            quoted(&self.head_hash),
            quoted(&self.kid),
            quoted(&self.opening_hash)
        );
        if with_signature {
            let _ = write!(text, r#","signature":{}"#, quoted(&self.signature));
        }
        let _ = write!(text, r#","to_seq":{}}}"#, self.to_seq);
        text
    }
}

/// The running head of an unchained export: the head so far and a line's own hash, both in hex. It begins with the
/// first line's hash, so that no line of the file can go or move unseen.
pub(crate) fn fold(head: &str, line_hash: &str) -> String {
    hex(&sha256(format!("{head}{line_hash}").as_bytes()))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string serialises")
}

fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quoted)
}
