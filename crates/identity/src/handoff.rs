//! How a session gets from the sign-in page into the frame that asked for it (SPEC §6, §13).
//!
//! A cookie never reaches a frame on somebody else's page, so the sign-in page hands over a code and the frame exchanges
//! it for a session of its own, which lives in the frame's memory. There are two ways:
//! * The page makes the code and posts it to its opener. Whoever holds it, at that origin, may exchange it.
//! * Where the browser cut the opener off, the frame made the code, told the page only its hash, and polls. A stranger
//!   could lure somebody to our sign-in page with the hash of a code of his own; therefore such a code works only from
//!   the address and browser that signed in, and the page lays it ready only for a chat of ours that opened it, after
//!   saying on which site that chat is.
//!
//! What always holds: a code works once, for 60 s, at one origin, while the session behind it lives; only its hash is
//! stored, and a wrong try at the right code uses it up.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use sqlx::{PgPool, Row as _};
use time::{Duration, OffsetDateTime};
use types::{Clock, network_of};
use uuid::Uuid;

use crate::ShownOnce;
use crate::nonces::{letters, sha256};
use crate::per_minute::PerMinute;
use crate::sessions::{Session, SessionId, Sessions};

/// How long a code works (SPEC §13).
pub const LIFE: Duration = Duration::seconds(60);
/// Each letter carries 5 bits: 200 in all.
const LETTERS: usize = 40;
/// Tries of one address in any minute: a frame that waits asks once a second, and a household may have two.
const TRIES_PER_ADDRESS: usize = 120;
/// A frame's own code: at least this many characters, so that nobody finds it from its hash.
const MIN_CODE_CHARACTERS: usize = 32;
/// And at most this many.
const MAX_CODE_CHARACTERS: usize = 128;

/// Who holds a browser, as far as a connection tells: its network and what it calls itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Client(Vec<u8>);

impl Client {
    /// The client at `ip` that calls itself `user_agent`.
    pub fn new(ip: IpAddr, user_agent: &str) -> Self {
        Self(sha256(&format!("{}\n{user_agent}", network_of(ip))))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Client")
    }
}

/// Why a session was not handed on.
#[derive(Debug, thiserror::Error)]
pub enum HandoffFault {
    /// There is no such code: not yet, not any more, or never.
    #[error("this code is not there, was used, or is over")]
    Unknown,
    /// It was made for another origin or another browser, and is used up now.
    #[error("this code was made for another page or browser")]
    Foreign,
    /// The hash of a frame's code is not one, or was used before.
    #[error("this hash cannot be used")]
    BadChallenge,
    /// The address tried too often.
    #[error("too many tries from this address")]
    TooMany {
        /// Seconds until the next one is looked at.
        retry_after_s: u32,
    },
    /// The database did not answer.
    #[error("the code could not be looked up")]
    Unexpected(#[source] anyhow::Error),
}

impl From<sqlx::Error> for HandoffFault {
    fn from(error: sqlx::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

/// The codes of one deployment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handoffs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: PgPool,
    sessions: Sessions,
    clock: Clock,
    random: SystemRandom,
    tried: PerMinute,
}

impl Handoffs {
    /// The codes that live in `db`, for sessions of `sessions`.
    pub fn new(db: PgPool, sessions: Sessions, clock: Clock) -> Self {
        let tried = PerMinute::new(TRIES_PER_ADDRESS);
        Self(Arc::new(Inner { db, sessions, clock, random: SystemRandom::new(), tried }))
    }

    /// Makes a code for the page at `origin` that opened the sign-in page.
    pub async fn offer(&self, session: &Session, origin: &str) -> Result<ShownOnce, HandoffFault> {
        let code = letters::<LETTERS>(&self.0.random).map_err(HandoffFault::Unexpected)?;
        self.insert(sha256(&code), session, origin, None).await?;
        Ok(ShownOnce::new(code))
    }

    /// Lays the session ready for a frame at `origin` that made its own code: `challenge` is the code's SHA-256 in
    /// base64url without padding, and the same `client` has to fetch it.
    pub async fn lay_ready(
        &self,
        session: &Session,
        origin: &str,
        challenge: &str,
        client: &Client,
    ) -> Result<(), HandoffFault> {
        let id = URL_SAFE_NO_PAD.decode(challenge).ok().filter(|id| id.len() == 32);
        let id = id.ok_or(HandoffFault::BadChallenge)?;
        self.insert(id, session, origin, Some(client)).await
    }

    /// Uses a code up. The session it stands for; the caller opens another one beside it.
    pub async fn take(
        &self,
        code: &str,
        origin: &str,
        client: &Client,
        ip: IpAddr,
    ) -> Result<Arc<Session>, HandoffFault> {
        let inner = &*self.0;
        let now = inner.clock.now();
        if let Some(retry_after_s) = inner.tried.count(ip, now) {
            return Err(HandoffFault::TooMany { retry_after_s });
        }
        if !(MIN_CODE_CHARACTERS..=MAX_CODE_CHARACTERS).contains(&code.len()) {
            return Err(HandoffFault::Unknown);
        }
        let row =
            sqlx::query("delete from handoff where id = $1 returning origin, client, session_id, expires_at")
                .bind(sha256(code))
                .fetch_optional(&inner.db)
                .await?
                .ok_or(HandoffFault::Unknown)?;
        if row.try_get::<OffsetDateTime, _>("expires_at")? <= now {
            return Err(HandoffFault::Unknown);
        }
        let for_client: Option<Vec<u8>> = row.try_get("client")?;
        if row.try_get::<String, _>("origin")? != origin || for_client.is_some_and(|hash| hash != client.0) {
            return Err(HandoffFault::Foreign);
        }
        let id: Uuid = row.try_get("session_id")?;
        inner.sessions.get(SessionId(id)).await?.ok_or(HandoffFault::Unknown)
    }

    /// Drops codes that are over. The server calls it each minute.
    pub async fn prune(&self) -> Result<(), sqlx::Error> {
        sqlx::query("delete from handoff where expires_at < $1")
            .bind(self.0.clock.now())
            .execute(&self.0.db)
            .await?;
        Ok(())
    }

    async fn insert(
        &self,
        id: Vec<u8>,
        session: &Session,
        origin: &str,
        client: Option<&Client>,
    ) -> Result<(), HandoffFault> {
        let inner = &*self.0;
        let done = sqlx::query(
            "insert into handoff (id, origin, client, session_id, expires_at) values ($1, $2, $3, $4, $5)
             on conflict on constraint handoff_pkey do nothing",
        )
        .bind(id)
        .bind(origin)
        .bind(client.map(|client| client.0.as_slice()))
        .bind(session.id.0)
        .bind(inner.clock.now() + LIFE)
        .execute(&inner.db)
        .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(HandoffFault::BadChallenge) }
    }
}
