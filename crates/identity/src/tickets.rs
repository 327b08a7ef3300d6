//! One-time tickets that open a socket for a session (SPEC §8): a browser cannot set headers on a socket, and a credential
//! in its address would stand in every log.
//!
//! What always holds: a ticket works once, for 30 s, in any process; only its hash is stored. Deliberately absent: whether
//! the session still lives when it is used. Whoever redeems asks [`crate::Sessions`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};
use types::{Clock, WalletId};
use uuid::Uuid;

use crate::ShownOnce;
use crate::sessions::{Session, SessionId};

/// A page asks for a ticket and uses it at once; this covers a slow phone.
pub const LIFE: Duration = Duration::seconds(30);
/// Unused tickets of one session: three sockets that reconnect a few times in half a minute.
pub const UNUSED_AT_MOST: i64 = 20;
/// 256 bits: nobody guesses one within its life.
const RANDOM_BYTES: usize = 32;
/// The length of a ticket's text; anything else is none.
const TEXT_BYTES: usize = 43;

/// Makes and takes tickets. Cheap to clone.
#[derive(Clone)]
pub struct Tickets(Arc<Inner>);

struct Inner {
    db: PgPool,
    clock: Clock,
    random: SystemRandom,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// Whose ticket it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// The session it was made for.
    pub session: SessionId,
    /// Its wallet.
    pub wallet: WalletId,
}

/// Why there is no ticket.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// [`UNUSED_AT_MOST`] of this session wait to be used.
    #[error("{UNUSED_AT_MOST} tickets wait to be used: use one, or wait half a minute")]
    TooMany,
    /// The database did not answer as it should.
    #[error("the ticket could not be written")]
    Unexpected(#[from] sqlx::Error),
}

impl Tickets {
    /// Tickets in this database.
    #[must_use]
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self(Arc::new(Inner { db, clock, random: SystemRandom::new() }))
    }

    /// Makes a ticket. Its text is in the answer and nowhere else.
    pub async fn issue(&self, session: &Session) -> Result<ShownOnce, TicketError> {
        let mut bytes = [0; RANDOM_BYTES];
        self.0.random.fill(&mut bytes).expect("the system's random numbers do not end");
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let now = self.0.clock.now();
        let mut tx = self.0.db.begin().await?;
        sqlx::query("delete from ws_ticket where expires_at <= $1").bind(now).execute(&mut *tx).await?;
        let made = sqlx::query(
            "insert into ws_ticket (id, session_id, wallet, expires_at) select $1, $2, $3, $4
             where (select count(*) from ws_ticket where session_id = $2) < $5",
        )
        .bind(hash(&text))
        .bind(session.id.0)
        .bind(session.wallet.to_bytes())
        .bind(now + LIFE)
        .bind(UNUSED_AT_MOST)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if made.rows_affected() == 0 { Err(TicketError::TooMany) } else { Ok(ShownOnce::new(text)) }
    }

    /// Uses a ticket up. `None`: unknown, used or too old; which of them is nobody's business.
    pub async fn redeem(&self, text: &str) -> Result<Option<Redeemed>, sqlx::Error> {
        if text.len() != TEXT_BYTES {
            return Ok(None);
        }
        let taken: Option<(Uuid, Vec<u8>, OffsetDateTime)> =
            sqlx::query_as("delete from ws_ticket where id = $1 returning session_id, wallet, expires_at")
                .bind(hash(text))
                .fetch_optional(&self.0.db)
                .await?;
        let now = self.0.clock.now();
        Ok(taken.filter(|(_, _, expires_at)| now < *expires_at).and_then(|(session, wallet, _)| {
            let wallet = WalletId::from_bytes(&wallet)?;
            Some(Redeemed { session: SessionId(session), wallet })
        }))
    }
}

fn hash(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use testing::postgres::TestDatabase;

    use super::*;

    fn session(clock: &Clock) -> Session {
        Session {
            id: SessionId(clock.uuid_v7()),
            wallet: WalletId::by_key(types::Wallet([7; 20])),
            origin: "https://freeside.example".to_owned(),
            created_at: clock.now(),
            expires_at: clock.now() + Duration::hours(1),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_ticket_opens_once_and_for_half_a_minute() {
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(Clock::system().now());
        let tickets = Tickets::new(database.pool.clone(), clock.clone());
        let session = session(&clock);
        let ticket = tickets.issue(&session).await.expect("made");
        let uses = (0..20).map(|_| tickets.redeem(ticket.reveal()));
        let used: Vec<_> = futures_util::future::join_all(uses).await;
        let opened: Vec<_> = used.into_iter().filter_map(|used| used.expect("readable")).collect();
        assert_eq!(
            opened,
            [Redeemed { session: session.id, wallet: session.wallet }],
            "one of twenty at once"
        );

        let late = tickets.issue(&session).await.expect("made");
        clock.advance(LIFE - Duration::microseconds(1));
        let in_time = tickets.issue(&session).await.expect("made");
        clock.advance(Duration::microseconds(1));
        assert_eq!(tickets.redeem(late.reveal()).await.expect("readable"), None);
        assert!(tickets.redeem(in_time.reveal()).await.expect("readable").is_some());
        for wrong in ["", "x", &"A".repeat(TEXT_BYTES), &"é".repeat(22)] {
            assert_eq!(tickets.redeem(wrong).await.expect("readable"), None);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_session_has_a_bounded_number_of_unused_tickets() {
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(Clock::system().now());
        let tickets = Tickets::new(database.pool.clone(), clock.clone());
        let (one, other) = (session(&clock), session(&clock));
        for _ in 0..UNUSED_AT_MOST {
            tickets.issue(&one).await.expect("made");
        }
        assert!(matches!(tickets.issue(&one).await, Err(TicketError::TooMany)));
        tickets.issue(&other).await.expect("another session's is made");
        clock.advance(LIFE);
        tickets.issue(&one).await.expect("the old ones are over");
    }
}
