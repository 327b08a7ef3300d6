//! The token of a session: a JWT signed with HMAC-SHA256.
//!
//! Written out here and not taken from a library: the one algorithm is fixed before a byte is read, every claim is
//! required, and nothing that the header says chooses anything but which of our two secrets is meant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use types::WalletId;
use uuid::Uuid;

use super::{Session, SessionId};
use crate::Secret;

/// A token is shorter than this; a longer one is not looked at. An origin has at most 255 characters of host.
const MAX_BYTES: usize = 1_024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    sub: WalletId,
    origin: &'a str,
    sid: Uuid,
    iat: i64,
    exp: i64,
    /// Random, so that one session's token cannot be predicted from its row.
    jti: &'a str,
}

/// What a token of ours says.
pub(super) struct Claims {
    pub(super) id: SessionId,
    wallet: WalletId,
    origin: String,
    pub(super) expires_at: OffsetDateTime,
}

impl Claims {
    /// Whether the row says the same.
    pub(super) fn fit(&self, session: &Session) -> bool {
        self.wallet == session.wallet && self.origin == session.origin
    }
}

/// The secrets, ready to sign.
#[derive(Clone)]
pub(super) struct Signers {
    current: Signer,
    previous: Option<Signer>,
}

#[derive(Clone)]
struct Signer {
    kid: String,
    key: hmac::Key,
}

impl Signer {
    fn new(secret: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal());
        // Names the secret and tells nothing of it.
        let kid = URL_SAFE_NO_PAD.encode(&hmac::sign(&key, b"the name of a session secret").as_ref()[..9]);
        Self { kid, key }
    }
}

impl Signers {
    pub(super) fn new(current: &Secret, previous: Option<&Secret>) -> Self {
        Self { current: Signer::new(current), previous: previous.map(Signer::new) }
    }

    pub(super) fn sign(&self, session: &Session, random: &dyn SecureRandom) -> String {
        let mut jti = [0; 12];
        // The signature is what protects a token; without random bytes it is merely predictable to us.
        let _ = random.fill(&mut jti);
        let header = Header { alg: "HS256", kid: &self.current.kid, typ: "JWT" };
        let payload = Payload {
            sub: session.wallet,
            origin: &session.origin,
            sid: session.id.0,
            iat: session.created_at.unix_timestamp(),
            exp: session.expires_at.unix_timestamp(),
            jti: &URL_SAFE_NO_PAD.encode(jti),
        };
        let mut token = part(&header);
        token.push('.');
        token.push_str(&part(&payload));
        let signature = hmac::sign(&self.current.key, token.as_bytes());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        token
    }

    /// The claims, when one of our secrets signed them. Time is the caller's to judge.
    pub(super) fn verify(&self, token: &str) -> Option<Claims> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: Header<'_> = serde_json::from_slice(&header).ok()?;
        if header.alg != "HS256" || header.typ != "JWT" {
            return None;
        }
        let signer = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|signer| signer.kid == header.kid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&signer.key, signed.as_bytes(), &signature).ok()?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let payload: Payload<'_> = serde_json::from_slice(&payload).ok()?;
        Some(Claims {
            id: SessionId(payload.sid),
            wallet: payload.sub,
            origin: payload.origin.to_owned(),
            expires_at: OffsetDateTime::from_unix_timestamp(payload.exp).ok()?,
        })
    }
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("text and numbers serialise into memory"))
}
