//! The keys that sign freeside's tokens for finn, and their public half as a JWKS (SPEC §4).
//!
//! Private keys come from files (in production the secret store's), never from the database or the network, and nothing
//! here prints one. Beside them lies `keys.json` with what is public: key ids, dates, coordinates, and which key is
//! active. The layout allows several keys, as a rotation needs; the rotation itself is not here yet.
//!
//! What always holds: the private key in use fits its published half (checked when it is read), and `kid` is the RFC
//! 7638 thumbprint of that half. Signing parses nothing: key pair and header segment are made once.

mod files;
mod jwk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::EcdsaKeyPair;
use time::{Duration, OffsetDateTime};
use types::s2s::{AUDIENCE, Claims, ISSUER, TOKEN_LIFE_SECONDS};
use types::{Clock, CommunityId, Pool, ReservationId, Tier};

pub use jwk::Jwks;
use jwk::PublicKey;

/// A key lives this long (SPEC §4: 90 days, rotated quarterly).
pub const KEY_LIFE: Duration = Duration::days(90);
/// A key that ends sooner than this is warned about.
pub const WARN_BEFORE: Duration = Duration::days(14);
/// The public file beside the private keys.
pub const METADATA_FILE: &str = "keys.json";

/// Why the keys could not be read or made. No variant holds key material.
#[derive(Debug, thiserror::Error)]
pub enum ServiceKeyError {
    /// There is nothing: `bootstrap` makes the first key.
    #[error("there is no signing key at {}: run `freeside keys bootstrap`", .0.display())]
    Missing(PathBuf),
    /// `bootstrap` found keys and leaves them alone.
    #[error("there are signing keys at {} already, and they are left as they are", .0.display())]
    AlreadyThere(PathBuf),
    /// A file's content is no usable key, or does not fit the others.
    #[error("{}: {reason}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
}

/// How one key stands, for `freeside keys status` and `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKeyStatus {
    /// The key's id: a thumbprint of its public half.
    pub kid: String,
    /// Whether it signs.
    pub active: bool,
    /// When it was made (for a bare key file: the file's date).
    pub created_at: OffsetDateTime,
    /// When it leaves the JWKS, unless it is the active one.
    pub expires_at: OffsetDateTime,
    /// Since `created_at`.
    pub age: Duration,
    /// Until `expires_at`; negative once it is over.
    pub left: Duration,
    /// What a person should do about it.
    pub warning: Option<String>,
}

/// The signing key and all published ones. Cheap to clone.
#[derive(Clone)]
pub struct ServiceKeys(Arc<Inner>);

struct Inner {
    clock: Clock,
    random: SystemRandom,
    pair: EcdsaKeyPair,
    /// Every key, the active one included, ordered by `kid`.
    published: Vec<PublicKey>,
    active_kid: String,
    /// base64url of the header, and the dot.
    header: String,
    readable_by_others: bool,
}

impl std::fmt::Debug for ServiceKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServiceKeys").field("active_kid", &self.0.active_kid).finish_non_exhaustive()
    }
}

impl ServiceKeys {
    /// Makes the first key in `folder` (made when missing, readable by us alone) and loads it. Never overwrites: of two
    /// processes that try at once, one gets [`ServiceKeyError::AlreadyThere`].
    pub fn bootstrap(folder: &Path, clock: Clock) -> Result<Self, ServiceKeyError> {
        files::bootstrap(folder, clock.now())?;
        Self::load(folder, clock)
    }

    /// Reads the keys: `path` is a folder that [`ServiceKeys::bootstrap`] made, or one private key file (PKCS#8, PEM or
    /// DER; `S2S_PRIVATE_KEY_FILE`) with or without a `keys.json` beside it.
    pub fn load(path: &Path, clock: Clock) -> Result<Self, ServiceKeyError> {
        let loaded = files::load(path)?;
        let active_kid = loaded.active.kid.clone();
        let mut published = loaded.others;
        published.push(loaded.active);
        published.sort_by(|left, right| left.kid.cmp(&right.kid));
        let header = format!(r#"{{"alg":"ES256","kid":"{active_kid}","typ":"JWT"}}"#);
        Ok(Self(Arc::new(Inner {
            clock,
            random: loaded.random,
            pair: loaded.pair,
            published,
            active_kid,
            header: URL_SAFE_NO_PAD.encode(header) + ".",
            readable_by_others: loaded.readable_by_others,
        })))
    }

    /// The id of the key that signs.
    pub fn active_kid(&self) -> &str {
        &self.0.active_kid
    }

    /// Claims for one request: now, for 60 s, with an id that finn accepts once.
    pub fn mint_claims(
        &self,
        hold: ReservationId,
        community: CommunityId,
        tier: Tier,
        nft_id: &str,
        allowed_pools: &[Pool],
    ) -> Claims {
        let iat = self.0.clock.now().unix_timestamp();
        Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat,
            exp: iat + TOKEN_LIFE_SECONDS,
            jti: self.0.clock.uuid_v7().to_string(),
            nft_id: nft_id.to_owned(),
            tier: tier.number().to_string(),
            budget_reservation_id: hold.to_string(),
            community_id: community.to_string(),
            allowed_pools: allowed_pools.to_vec(),
            payer: String::new(),
        }
    }

    /// The claims as a signed token.
    pub fn sign(&self, claims: &Claims) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are strings and numbers");
        let mut token = String::with_capacity(self.0.header.len() + claims.len() * 4 / 3 + 92);
        token.push_str(&self.0.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.0.pair.sign(&self.0.random, token.as_bytes()).expect(
            "it signed when it was loaded, and the system's random source does not fail once it is up",
        );
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// Signs bytes that are no token, such as the end of an audit export: ES256, r ‖ s, 64 bytes. Whoever reads them knows
    /// the key by [`ServiceKeys::active_kid`].
    pub fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let signature = self.0.pair.sign(&self.0.random, bytes).expect(
            "it signed when it was loaded, and the system's random source does not fail once it is up",
        );
        signature.as_ref().to_vec()
    }

    /// The public keys: every one that has not ended, and the active one whatever its date.
    pub fn jwks(&self) -> Jwks {
        let now = self.0.clock.now();
        let keys = self.0.published.iter().filter(|key| key.expires_at > now || key.kid == self.0.active_kid);
        Jwks::new(keys)
    }

    /// How every key stands, the active one first.
    pub fn status(&self) -> Vec<ServiceKeyStatus> {
        let now = self.0.clock.now();
        let mut status: Vec<_> = self.0.published.iter().map(|key| self.status_of(key, now)).collect();
        status.sort_by_key(|key| !key.active);
        status
    }

    fn status_of(&self, key: &PublicKey, now: OffsetDateTime) -> ServiceKeyStatus {
        let active = key.kid == self.0.active_kid;
        let left = key.expires_at - now;
        let warning = if active && left <= Duration::ZERO {
            Some(format!("the signing key ended on {}: rotate it now", key.expires_at.date()))
        } else if active && left <= WARN_BEFORE {
            Some(format!("the signing key ends in {} days: rotate it", left.whole_days()))
        } else if active && self.0.readable_by_others {
            Some("the signing key's file can be read by other users of this machine: chmod 600".to_owned())
        } else {
            None
        };
        ServiceKeyStatus {
            kid: key.kid.clone(),
            active,
            created_at: key.created_at,
            expires_at: key.expires_at,
            age: now - key.created_at,
            left,
            warning,
        }
    }
}
