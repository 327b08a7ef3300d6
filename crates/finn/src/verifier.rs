//! Who may ask: the strict check of freeside's tokens (SPEC §4).
//!
//! A compact JWS is parsed here by hand and its signature checked by `ring`. A general JWT library is deliberately
//! absent: the usual one grants 60 s of leeway (which doubles a 60 s token), lets a token without `aud` or `iss` pass
//! unless told otherwise, ignores `crit`, `typ` and a key's `use`, and picks the algorithm from the token. Here there is
//! one algorithm, one type, and nothing to configure.
//!
//! What always holds: nothing in the payload is believed before the signature was verified; a token is marked as seen
//! only after that, so a forger cannot burn somebody's `jti`; every refusal looks the same from outside, and only a
//! metric knows the reason.

pub mod replay;

mod claims;
mod compact;

use std::sync::Arc;

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use types::Clock;

pub use claims::Caller;
use replay::ReplayGuard;

use crate::jwks::{JwksCache, NoKey};

/// Clocks of two machines may differ by this much; more would stretch a 60 s token.
pub const LEEWAY_SECONDS: i64 = 5;
/// `iat` may lie this far ahead (SPEC §4).
pub const MAX_AHEAD_SECONDS: i64 = 30;

/// Why a token was refused. For the metric and the log; the answer never says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `Authorization: Bearer …`, or several.
    #[error("missing")]
    Missing,
    /// Not three parts, not canonical base64url, too long, or not JSON.
    #[error("malformed")]
    Malformed,
    /// Another algorithm than ES256, another type than JWT, or a `crit`.
    #[error("header")]
    Header,
    /// No key of that `kid`.
    #[error("unknown_key")]
    UnknownKey,
    /// The key set is missing or too old to be believed.
    #[error("keys_unavailable")]
    KeysUnavailable,
    /// The signature does not fit.
    #[error("signature")]
    Signature,
    /// A required claim is missing or of the wrong type.
    #[error("claims")]
    Claims,
    /// Another issuer.
    #[error("issuer")]
    Issuer,
    /// For somebody else.
    #[error("audience")]
    Audience,
    /// Too late.
    #[error("expired")]
    Expired,
    /// From the future, or not yet valid.
    #[error("future")]
    Future,
    /// It would live longer than 60 s.
    #[error("lifetime")]
    Lifetime,
    /// Its `jti` was used before.
    #[error("replayed")]
    Replayed,
    /// The replay set is full; refusing is safer than forgetting.
    #[error("replay_full")]
    ReplayFull,
}

impl Refusal {
    /// The stable word for the metric's `reason` label.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Header => "header",
            Self::UnknownKey => "unknown_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::Future => "future",
            Self::Lifetime => "lifetime",
            Self::Replayed => "replayed",
            Self::ReplayFull => "replay_full",
        }
    }
}

/// Checks tokens against the key cache, the clock and the replay set.
pub struct Verifier {
    keys: Arc<JwksCache>,
    replay: Arc<dyn ReplayGuard>,
    clock: Clock,
}

impl Verifier {
    /// A verifier over a key cache and a replay set.
    #[must_use]
    pub fn new(keys: Arc<JwksCache>, replay: Arc<dyn ReplayGuard>, clock: Clock) -> Self {
        Self { keys, replay, clock }
    }

    /// Checks the `Authorization` header's values; exactly one is right.
    pub async fn check_header<'h>(
        &self,
        mut values: impl Iterator<Item = &'h [u8]>,
    ) -> Result<Caller, Refusal> {
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::Missing) };
        let value = std::str::from_utf8(value).map_err(|_| Refusal::Malformed)?;
        let (scheme, token) = value.split_once(' ').ok_or(Refusal::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Missing);
        }
        self.check(token).await
    }

    /// Checks a compact token and marks it as used.
    pub async fn check(&self, token: &str) -> Result<Caller, Refusal> {
        let parts = compact::split(token)?;
        let kid = compact::header_kid(&parts.header)?;
        let point = self.keys.key(&kid).await.map_err(|error| match error {
            NoKey::Unknown => Refusal::UnknownKey,
            NoKey::Stale => Refusal::KeysUnavailable,
        })?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .verify(parts.signed.as_bytes(), &parts.signature)
            .map_err(|_| Refusal::Signature)?;
        let now = self.clock.now().unix_timestamp();
        let caller = claims::read(&parts.payload, now)?;
        match self.replay.first_use(&caller.jti, now, caller.expires_at + LEEWAY_SECONDS).await {
            Ok(replay::Use::First) => Ok(caller),
            Ok(replay::Use::Again) => Err(Refusal::Replayed),
            Err(replay::GuardUnavailable) => Err(Refusal::ReplayFull),
        }
    }
}
