//! Sessions of wallets that signed in (SPEC §6): open, recognise, list, end.
//!
//! What always holds:
//! * A session is a row; its token is a signed claim that names the row, lives as long as it, and is stored nowhere.
//! * A token that was seen before costs one HMAC and no SQL. What was ended is refused here at once and in every other
//!   process with its next look at `changes` (each 500 ms), and this **fails closed** as for keys: what the database has
//!   not confirmed for [`BELIEVED_FOR`] is read again.
//! * A token speaks only from the origin it was made for; the doors compare.
//!
//! Deliberately absent: cookies and headers (doors), what a wallet owns or may do (`domain`), and renewal: after an hour
//! the wallet signs again.

mod cache;
mod store;
mod token;

use std::sync::Arc;

use ring::rand::SystemRandom;
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};
use types::{Clock, WalletId};
use uuid::Uuid;

use crate::changes::{self, Tail};
use crate::{Secret, ShownOnce};

use cache::{Cache, Recall};

/// How long a session lasts (SPEC §6).
pub const LIFE: Duration = Duration::hours(1);
/// Sessions of one wallet that live at once. One more ends the oldest: a person has fewer devices, a script has not.
pub const MAX_ACTIVE_SESSIONS: i64 = 20;
/// The longest label, in characters; more is cut. The table checks the same.
pub const MAX_LABEL_CHARACTERS: usize = 100;
/// What the database has not confirmed for this long is not believed any more: the same bound as for keys.
pub const BELIEVED_FOR: Duration = Duration::minutes(5);
/// Every cached session is looked up again this often, so that a missed change heals.
pub const REFRESH_EVERY: Duration = Duration::seconds(60);
/// A secret shorter than the HMAC's own output could be searched for by someone who holds one token.
pub const MIN_SECRET_BYTES: usize = 32;

/// One signed-in device of one wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub Uuid);

impl std::fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A wallet that signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The row.
    pub id: SessionId,
    /// Who signed, and how that was proved.
    pub wallet: WalletId,
    /// The only origin that may use it.
    pub origin: String,
    /// When its wallet signed in, which a hand-off does not change.
    pub created_at: OffsetDateTime,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
}

/// A session that was just opened.
#[derive(Debug)]
pub struct NewSession {
    /// The session.
    pub session: Arc<Session>,
    /// What proves it, for a cookie or a frame's memory.
    pub token: ShownOnce,
}

/// A session as its owner's list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The row.
    pub id: SessionId,
    /// The only origin that may use it.
    pub origin: String,
    /// Browser and system, shortened.
    pub label: String,
    /// When its wallet signed in.
    pub created_at: OffsetDateTime,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
}

/// Why a token was not accepted. What has ended may be said aloud: only whoever had the token can ask.
#[derive(Debug, thiserror::Error)]
pub enum SessionRefusal {
    /// It is no token of ours: another form, another signature, another secret.
    #[error("this is not a session of ours")]
    Malformed,
    /// Its hour is over.
    #[error("the session is over: sign in again")]
    Expired,
    /// It was ended, here or from another device.
    #[error("the session was ended: sign in again")]
    Ended,
    /// It could not be checked.
    #[error("the session could not be checked")]
    Unexpected(#[source] anyhow::Error),
}

/// What is wrong with the secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionSecretFault {
    /// The current one is too short.
    #[error("SIWE_SESSION_SECRET is shorter than {MIN_SECRET_BYTES} bytes")]
    TooShort,
    /// The previous one is too short.
    #[error("SIWE_SESSION_SECRET_PREVIOUS is shorter than {MIN_SECRET_BYTES} bytes")]
    PreviousTooShort,
}

/// What tokens are signed with: the current secret, and the one before it while tokens of it live. A day is plenty: a
/// token lives an hour.
#[derive(Clone)]
pub struct SessionSecrets(token::Signers);

impl SessionSecrets {
    /// Checks and prepares the secrets.
    pub fn new(current: &Secret, previous: Option<&Secret>) -> Result<Self, SessionSecretFault> {
        if current.reveal().len() < MIN_SECRET_BYTES {
            return Err(SessionSecretFault::TooShort);
        }
        if previous.is_some_and(|previous| previous.reveal().len() < MIN_SECRET_BYTES) {
            return Err(SessionSecretFault::PreviousTooShort);
        }
        Ok(Self(token::Signers::new(current, previous)))
    }
}

impl std::fmt::Debug for SessionSecrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SessionSecrets([secret])")
    }
}

/// The sessions of one process. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    db: PgPool,
    signers: token::Signers,
    clock: Clock,
    random: SystemRandom,
    cache: Cache,
    follow: tokio::sync::Mutex<Follow>,
}

struct Follow {
    tail: Tail,
    refreshed_at: OffsetDateTime,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sessions").field("cached", &self.0.cache.len()).finish_non_exhaustive()
    }
}

impl Sessions {
    /// The sessions that live in `db`.
    pub fn new(db: PgPool, secrets: SessionSecrets, clock: Clock) -> Self {
        let now = clock.now();
        Self(Arc::new(Inner {
            db,
            signers: secrets.0,
            clock,
            random: SystemRandom::new(),
            cache: Cache::new(now),
            follow: tokio::sync::Mutex::new(Follow { tail: Tail::default(), refreshed_at: now }),
        }))
    }

    /// Opens a session for a wallet that has proved itself. `label` is what its owner will know the device by; it is
    /// cut and cleaned here. The wallet's oldest session ends when there are [`MAX_ACTIVE_SESSIONS`].
    pub async fn open(&self, wallet: WalletId, origin: &str, label: &str) -> Result<NewSession, sqlx::Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.db.begin().await?;
        store::lock_wallet(&mut tx, wallet).await?;
        let session = Session {
            id: SessionId(self.0.clock.uuid_v7()),
            wallet,
            origin: origin.to_owned(),
            created_at: now,
            expires_at: now + LIFE,
        };
        self.insert(tx, session, label, now).await
    }

    /// Opens a second session beside one that was handed on; `None`: that one has ended. It is as old as the first and
    /// ends with its hour: a hand-off is no way around signing again.
    pub async fn open_beside(
        &self,
        first: &Session,
        origin: &str,
        label: &str,
    ) -> Result<Option<NewSession>, sqlx::Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.db.begin().await?;
        store::lock_wallet(&mut tx, first.wallet).await?;
        // The row, and under the lock: what memory says may be half a second old, and whoever ends all sessions must
        // not miss one that is on its way.
        if !store::is_living(&mut tx, first.id, now).await? {
            return Ok(None);
        }
        let session =
            Session { id: SessionId(self.0.clock.uuid_v7()), origin: origin.to_owned(), ..first.clone() };
        self.insert(tx, session, label, now).await.map(Some)
    }

    /// Writes a session down, in a transaction that has the wallet's lock.
    async fn insert(
        &self,
        mut tx: sqlx::PgTransaction<'static>,
        session: Session,
        label: &str,
        now: OffsetDateTime,
    ) -> Result<NewSession, sqlx::Error> {
        let inner = &*self.0;
        let leaving = store::end_oldest(&mut tx, session.wallet, MAX_ACTIVE_SESSIONS - 1, now).await?;
        for id in &leaving {
            changes::announce(&mut tx, changes::SESSION, &id.to_string(), now).await?;
        }
        store::insert(&mut tx, &session, &cleaned(label)).await?;
        tx.commit().await?;
        for id in leaving {
            inner.cache.end(id);
        }
        let token = inner.signers.sign(&session, &inner.random);
        Ok(NewSession { session: Arc::new(session), token: ShownOnce::new(token) })
    }

    /// Recognises a token. No SQL for one that was seen before.
    pub async fn check(&self, token: &str) -> Result<Arc<Session>, SessionRefusal> {
        let inner = &*self.0;
        let claims = inner.signers.verify(token).ok_or(SessionRefusal::Malformed)?;
        if claims.expires_at <= inner.clock.now() {
            return Err(SessionRefusal::Expired);
        }
        match inner.find(claims.id).await.map_err(|error| SessionRefusal::Unexpected(error.into()))? {
            Some(session) if claims.fit(&session) => Ok(session),
            // Signed by us and about another session than the row: there is no honest way to such a token.
            Some(_) => Err(SessionRefusal::Malformed),
            None => Err(SessionRefusal::Ended),
        }
    }

    /// Whether a session may go on: for whoever serves one for long. What cannot be checked may not.
    pub async fn is_alive(&self, id: SessionId) -> bool {
        matches!(self.0.find(id).await, Ok(Some(_)))
    }

    /// The living session of this id. No SQL for one that was seen before.
    pub async fn get(&self, id: SessionId) -> Result<Option<Arc<Session>>, sqlx::Error> {
        self.0.find(id).await
    }

    /// The wallet's living sessions, newest first.
    pub async fn list(&self, wallet: WalletId) -> Result<Vec<SessionRow>, sqlx::Error> {
        store::list(&self.0.db, wallet, self.0.clock.now()).await
    }

    /// Ends a session of this wallet: at once here, with their next look in other processes. `false`: the wallet has no
    /// such session. Ending twice is a quiet success.
    pub async fn revoke(&self, wallet: WalletId, id: SessionId) -> Result<bool, sqlx::Error> {
        let inner = &*self.0;
        let now = inner.clock.now();
        let mut tx = inner.db.begin().await?;
        store::lock_wallet(&mut tx, wallet).await?;
        let is_theirs = store::revoke(&mut tx, wallet, id, now).await?;
        if is_theirs {
            changes::announce(&mut tx, changes::SESSION, &id.to_string(), now).await?;
        }
        tx.commit().await?;
        if is_theirs {
            inner.cache.end(id);
        }
        Ok(is_theirs)
    }

    /// Ends every session of this wallet.
    pub async fn revoke_all(&self, wallet: WalletId) -> Result<(), sqlx::Error> {
        let inner = &*self.0;
        let now = inner.clock.now();
        let mut tx = inner.db.begin().await?;
        store::lock_wallet(&mut tx, wallet).await?;
        let ended = store::end_oldest(&mut tx, wallet, 0, now).await?;
        for id in &ended {
            changes::announce(&mut tx, changes::SESSION, &id.to_string(), now).await?;
        }
        tx.commit().await?;
        for id in ended {
            inner.cache.end(id);
        }
        Ok(())
    }

    /// Follows the `changes` table and, every [`REFRESH_EVERY`], looks all cached sessions up again and drops rows that
    /// are over. The server calls it every 500 ms; after an error the next call catches up.
    pub async fn poll_changes(&self) -> Result<(), sqlx::Error> {
        let inner = &*self.0;
        let mut follow = inner.follow.lock().await;
        let now = inner.clock.now();
        let rows = follow.tail.read(&inner.db).await?;
        for row in rows.iter().filter(|row| row.topic == changes::SESSION) {
            if let Ok(id) = row.subject.parse() {
                inner.cache.end(SessionId(id));
            }
        }
        follow.tail.advance(&rows, now);
        inner.cache.confirm(now);
        if now - follow.refreshed_at >= REFRESH_EVERY {
            let cached = inner.cache.drop_over(now);
            for batch in cached.chunks(store::BATCH) {
                for id in store::ended_of(&inner.db, batch).await? {
                    inner.cache.end(id);
                }
            }
            store::prune(&inner.db, now).await?;
            follow.refreshed_at = now;
        }
        Ok(())
    }
}

impl Inner {
    /// The living session, from memory or from its row.
    async fn find(&self, id: SessionId) -> Result<Option<Arc<Session>>, sqlx::Error> {
        let now = self.clock.now();
        match self.cache.get(id, now) {
            Recall::Living(session) => return Ok(Some(session)),
            Recall::Over => return Ok(None),
            Recall::Unknown => {}
        }
        // An end that is applied between this line and `put` wins: `put` never revives what memory says has ended.
        let generation = self.cache.generation();
        let found = store::read(&self.db, id, now).await?;
        let Some(session) = found else { return Ok(None) };
        Ok(self.cache.put(Arc::new(session), generation, now))
    }
}

/// A label that is safe to show: printable, and no longer than the table allows.
fn cleaned(label: &str) -> String {
    let printable = label.chars().filter(|character| !types::text::is_control(*character));
    printable.take(MAX_LABEL_CHARACTERS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_cut_and_cleaned() {
        assert_eq!(cleaned("  Firefox\n on\u{7} Linux "), "Firefox on Linux");
        assert_eq!(cleaned(&"é".repeat(500)).chars().count(), MAX_LABEL_CHARACTERS);
    }

    #[test]
    fn a_short_secret_is_refused() {
        let long = Secret::new([7; MIN_SECRET_BYTES]);
        let short = Secret::new([7; MIN_SECRET_BYTES - 1]);
        assert!(SessionSecrets::new(&long, Some(&long)).is_ok());
        assert_eq!(SessionSecrets::new(&short, None).err(), Some(SessionSecretFault::TooShort));
        let refused = SessionSecrets::new(&long, Some(&short)).err();
        assert_eq!(refused, Some(SessionSecretFault::PreviousTooShort));
    }
}
