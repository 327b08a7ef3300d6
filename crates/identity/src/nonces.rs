//! The number in a sign-in message: 160 random bits, five minutes, one use.
//!
//! What always holds: of any number of tries with one nonce, in any number of processes, one gets past [`Nonces::consume`];
//! and a try costs the nonce whatever comes of it. A nonce belongs to the origin and to the browser that asked for it, so
//! a message that somebody signed elsewhere signs nobody in here.
//!
//! Deliberately absent: the message (see [`crate::siwe`]).

use std::net::IpAddr;
use std::sync::Arc;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use sqlx::{PgPool, Row as _};
use time::{Duration, OffsetDateTime};
use types::Clock;

use crate::ShownOnce;
use crate::per_minute::PerMinute;

/// How long a nonce works (SPEC §6).
pub const LIFE: Duration = Duration::minutes(5);
/// Used and expired ones are kept a while, so that a late try hears which of the two it was.
const KEPT: Duration = Duration::minutes(10);
/// Nonces for one address in any minute: a page asks for one when it opens and one after each refusal.
const PER_ADDRESS: usize = 30;
/// Refused nonces of one address in any minute: each costs a query. A nonce that is good is taken all the same.
const REFUSED_PER_ADDRESS: usize = 60;
/// Each letter carries 5 bits: 160 in all. SPEC §6 asks for 128.
const LETTERS: usize = 32;
/// The cookie that ties a nonce to a browser: as hard to guess as the nonce.
const BROWSER_LETTERS: usize = 32;

/// A nonce that was just issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// The letters and digits that go into the message.
    pub text: String,
    /// When it was made.
    pub issued_at: OffsetDateTime,
    /// When it stops working.
    pub expires_at: OffsetDateTime,
}

/// Why a nonce was not accepted, or not issued.
#[derive(Debug, thiserror::Error)]
pub enum NonceFault {
    /// It was never issued here, or too long ago to remember.
    #[error("this nonce is not one of ours")]
    Unknown,
    /// Somebody has tried it before.
    #[error("this nonce was used before")]
    Used,
    /// Its five minutes are over.
    #[error("this nonce has expired")]
    Expired,
    /// It was issued to another origin or to another browser.
    #[error("this nonce was issued to another page or browser")]
    Foreign,
    /// The address asked for too many, or tried too many that were none.
    #[error("too many tries from this address")]
    TooMany {
        /// Seconds until the next one.
        retry_after_s: u32,
    },
    /// The database did not answer.
    #[error("the nonce could not be looked up")]
    Unexpected(#[source] anyhow::Error),
}

impl From<sqlx::Error> for NonceFault {
    fn from(error: sqlx::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

/// The nonces of one deployment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nonces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: PgPool,
    clock: Clock,
    random: SystemRandom,
    asked: PerMinute,
    refused: PerMinute,
}

impl Nonces {
    /// The nonces that live in `db`.
    pub fn new(db: PgPool, clock: Clock) -> Self {
        let (asked, refused) = (PerMinute::new(PER_ADDRESS), PerMinute::new(REFUSED_PER_ADDRESS));
        Self(Arc::new(Inner { db, clock, random: SystemRandom::new(), asked, refused }))
    }

    /// A new name for a browser, for its cookie.
    pub fn browser(&self) -> Result<ShownOnce, anyhow::Error> {
        Ok(ShownOnce::new(letters::<BROWSER_LETTERS>(&self.0.random)?))
    }

    /// Issues a nonce to a page of `origin` in the browser that holds this cookie.
    pub async fn issue(&self, origin: &str, browser: &str, ip: IpAddr) -> Result<Nonce, NonceFault> {
        let inner = &*self.0;
        let now = inner.clock.now();
        if let Some(retry_after_s) = inner.asked.count(ip, now) {
            return Err(NonceFault::TooMany { retry_after_s });
        }
        let text = letters::<LETTERS>(&inner.random).map_err(NonceFault::Unexpected)?;
        let nonce = Nonce { text, issued_at: now, expires_at: now + LIFE };
        sqlx::query(
            "insert into siwe_nonce (nonce, origin, browser, created_at, expires_at) values ($1, $2, $3, $4, $5)",
        )
        .bind(&nonce.text)
        .bind(origin)
        .bind(sha256(browser))
        .bind(nonce.issued_at)
        .bind(nonce.expires_at)
        .execute(&inner.db)
        .await?;
        Ok(nonce)
    }

    /// Uses a nonce up, whatever comes of it: at most one caller ever gets `Ok`.
    pub async fn consume(
        &self,
        nonce: &str,
        origin: &str,
        browser: &str,
        ip: IpAddr,
    ) -> Result<(), NonceFault> {
        let inner = &*self.0;
        let now = inner.clock.now();
        if let Some(retry_after_s) = inner.refused.blocked(ip, now) {
            return Err(NonceFault::TooMany { retry_after_s });
        }
        let answer = inner.take(nonce, origin, browser, now).await;
        if answer.is_err() {
            inner.refused.count(ip, now);
        }
        answer
    }

    /// Drops nonces that are over. The server calls it each minute.
    pub async fn prune(&self) -> Result<(), sqlx::Error> {
        sqlx::query("delete from siwe_nonce where expires_at < $1")
            .bind(self.0.clock.now() - KEPT)
            .execute(&self.0.db)
            .await?;
        Ok(())
    }
}

impl Inner {
    async fn take(
        &self,
        nonce: &str,
        origin: &str,
        browser: &str,
        now: OffsetDateTime,
    ) -> Result<(), NonceFault> {
        // Whoever finds the row locked comes second, and need not wait to hear it.
        let taken = sqlx::query(
            "update siwe_nonce set used_at = $2
             where nonce = (
                 select nonce from siwe_nonce where nonce = $1 and used_at is null for update skip locked)
             returning origin, browser, expires_at",
        )
        .bind(nonce)
        .bind(now)
        .fetch_optional(&self.db)
        .await?;
        let Some(row) = taken else {
            let is_known: bool =
                sqlx::query_scalar("select exists (select from siwe_nonce where nonce = $1)")
                    .bind(nonce)
                    .fetch_one(&self.db)
                    .await?;
            return Err(if is_known { NonceFault::Used } else { NonceFault::Unknown });
        };
        let (for_origin, for_browser): (String, Vec<u8>) = (row.try_get("origin")?, row.try_get("browser")?);
        if for_origin != origin || for_browser != sha256(browser) {
            return Err(NonceFault::Foreign);
        }
        if row.try_get::<OffsetDateTime, _>("expires_at")? <= now {
            return Err(NonceFault::Expired);
        }
        Ok(())
    }
}

/// Random letters and digits without those that are easily mistaken, 5 bits each.
pub(crate) fn letters<const COUNT: usize>(random: &dyn SecureRandom) -> Result<String, anyhow::Error> {
    const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
    let mut bytes = [0; COUNT];
    random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
}

pub(crate) fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
