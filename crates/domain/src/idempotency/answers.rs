//! Answers to inference requests that carried an `Idempotency-Key` (SPEC §14): the same request again gets the same
//! answer for a day, and is paid once.
//!
//! What always holds:
//! * One row per account and key. Whoever inserted it runs the turn, under the reservation id that the row names, and
//!   runs it to its end whether or not the caller still reads.
//! * A row is removed before its day is over only when its hold ended without a charge. So no retry pays a second time:
//!   it gets the stored answer, or is told which request was charged.
//! * A row whose process died is closed by what the ledger says of its hold.
//! * Bytes in memory, bytes per answer, and answers per account are bounded; an answer past a bound is charged and not
//!   kept.
//!
//! Deliberately absent: HTTP. A door says what the request is and what the answer looked like on the wire.

mod in_flight;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ledger::AccountKey;
use ledger::report::HoldEnd;
use sqlx::PgPool;
use time::OffsetDateTime;
use types::{OwnerId, ReservationId};

use super::KEPT;
use crate::Ctx;

pub use in_flight::InFlight;

use in_flight::Recording;
use store::State;

/// An answer at most (SPEC §14); a larger one is sent, charged and not kept.
pub const ANSWER_BYTES_AT_MOST: usize = 1024 * 1024;
/// A row can be freed or expire between our insert and our look; three times in a row it is somebody else's race.
const CLAIM_TRIES: usize = 3;
/// How often the ledger is asked whether a turn that was cut has been settled.
const SETTLE_POLL: Duration = Duration::from_millis(20);
/// Until the database takes the end of an answer: pauses between tries, and tries with the answer in memory.
const CLOSE_PAUSE: Duration = Duration::from_secs(1);
const CLOSE_TRIES_WITH_ANSWER: usize = 30;
/// Expired rows that one statement deletes, and statements of one sweep.
const PRUNED_AT_ONCE: i64 = 1_000;
const PRUNES_AT_MOST: usize = 100;

/// A request that carries a key.
#[derive(Clone, Debug)]
pub struct KeyedRequest {
    /// Who pays. The same key of another account is another request.
    pub account: AccountKey,
    /// The caller's own; see [`super::is_valid_key`].
    pub key: String,
    /// SHA-256 of everything that decides the answer.
    pub input_hash: [u8; 32],
    /// The request's id in our logs.
    pub request_id: String,
    /// The hold of the turn, should this request be the first with its key.
    pub reservation_id: ReservationId,
}

/// An answer as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its status and headers.
    pub head: ResponseHead,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for KeptAnswer {
    /// Without the body: it is somebody's conversation.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeptAnswer").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Status and headers of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The HTTP status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

/// What a request with a key gets.
#[derive(Debug)]
pub enum Claim {
    /// It is the first: it runs the turn.
    First(Claimed),
    /// It was answered before.
    Kept(KeptAnswer),
}

/// Why a request with a key gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The first request is still being answered.
    #[error("request {request_id} with this key is being answered")]
    InFlight {
        /// The first request.
        request_id: String,
    },
    /// The key came with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The first request was charged, and its answer is not here: too large, or lost with its process.
    #[error("the answer to request {request_id} was charged and not kept")]
    NotKept {
        /// The first request.
        request_id: String,
        /// What paid for it.
        reservation_id: ReservationId,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Claims the key for this request, or finds what became of the first one.
///
/// Once this returns [`Claim::First`], the claim has to be closed: a task that may be dropped does not call it.
pub async fn claim(ctx: &Arc<Ctx>, request: KeyedRequest) -> Result<Claim, ClaimError> {
    for _ in 0..CLAIM_TRIES {
        let now = ctx.clock.now();
        if store::insert(&ctx.db, &request, ctx.owner, now).await? {
            return Ok(Claim::First(Claimed::new(ctx, request)));
        }
        let Some(row) = store::find(&ctx.db, &request).await? else { continue };
        if row.is_expired(now) {
            store::free(&ctx.db, request.account, &request.key, row.reservation_id).await?;
            continue;
        }
        if row.input_hash != request.input_hash {
            return Err(ClaimError::KeyReused);
        }
        let (request_id, reservation_id) = (row.request_id, row.reservation_id);
        let not_kept = |request_id| ClaimError::NotKept { request_id, reservation_id };
        match row.state {
            State::Kept(answer) => return Ok(Claim::Kept(answer)),
            State::NotKept => return Err(not_kept(request_id)),
            State::InFlight { owner } => {
                let dead = ledger::dead_among(&ctx.db, &[owner]).await?;
                if dead.is_empty() {
                    return Err(ClaimError::InFlight { request_id });
                }
                match close_dead(&ctx.db, request.account, &request.key, reservation_id).await? {
                    Closed::StillOpen => return Err(ClaimError::InFlight { request_id }),
                    Closed::NotKept => return Err(not_kept(request_id)),
                    Closed::Freed => {}
                }
            }
        }
    }
    Err(ClaimError::InFlight { request_id: request.request_id })
}

/// A key that this process has claimed: it records the answer, and says at the end what became of it.
#[derive(Debug)]
pub struct Claimed {
    ctx: Arc<Ctx>,
    request: KeyedRequest,
    recording: Recording,
}

impl Claimed {
    fn new(ctx: &Arc<Ctx>, request: KeyedRequest) -> Self {
        let recording = ctx.keyed.record(request.account);
        Self { ctx: Arc::clone(ctx), request, recording }
    }

    /// Records bytes of the answer.
    pub fn record(&mut self, bytes: &[u8]) {
        self.recording.add(bytes);
    }

    /// Resolves when this process stops and the answer may not go on.
    pub fn cut(&self) -> impl Future<Output = ()> + Send + use<> {
        self.recording.cut()
    }

    /// Ends the claim: charged, the answer is kept if there is one and room for it; not charged, the key is free.
    ///
    /// `head` is `None` where there is no answer worth keeping. The turn has ended or is about to. Should the database be
    /// away, the end is written by a task of its own.
    pub async fn close(mut self, head: Option<ResponseHead>) {
        let body = self.recording.take();
        let answer = head.zip(body).map(|(head, body)| KeptAnswer { head, body });
        if let Err(error) = self.try_close(answer.as_ref()).await {
            tracing::warn!(%error, reservation = %self.request.reservation_id, "the end of a keyed request could not be written; it is tried again");
            tokio::spawn(self.close_later(answer));
        }
    }

    async fn close_later(self, answer: Option<KeptAnswer>) {
        let mut answer = answer;
        for attempt in 1.. {
            tokio::time::sleep(CLOSE_PAUSE).await;
            if attempt > CLOSE_TRIES_WITH_ANSWER {
                answer = None;
            }
            if self.try_close(answer.as_ref()).await.is_ok() {
                return;
            }
        }
    }

    async fn try_close(&self, answer: Option<&KeptAnswer>) -> Result<(), sqlx::Error> {
        let KeyedRequest { account, key, reservation_id: id, .. } = &self.request;
        let db = &self.ctx.db;
        let is_charged = match self.hold_end().await? {
            None | Some(HoldEnd::GivenBack) => false,
            // A failure that cost nothing is free even where the ledger has a settle of zero for it.
            Some(HoldEnd::Charged { amount, .. }) => {
                amount > 0 || answer.is_some_and(|answer| answer.head.status < 400)
            }
            // The ledger could not be told; it will be.
            Some(HoldEnd::Open) => true,
        };
        match answer {
            _ if !is_charged => store::free(db, *account, key, *id).await,
            Some(answer) if store::has_room(db, *account, answer.body.len()).await? => {
                store::keep(db, *account, key, *id, answer).await
            }
            Some(_) | None => store::give_up(db, *account, key, *id).await,
        }
    }

    /// How the turn's hold ended; waits for a turn that was cut and is being settled.
    async fn hold_end(&self) -> Result<Option<HoldEnd>, sqlx::Error> {
        let id = self.request.reservation_id;
        loop {
            // In this order: a turn leaves the list after its hold is closed.
            let is_live = self.ctx.live.contains(id);
            let end = hold_end(&self.ctx.db, self.request.account, id).await?;
            if !is_live || matches!(end, Some(HoldEnd::Charged { .. } | HoldEnd::GivenBack)) {
                return Ok(end);
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
    }
}

async fn hold_end(
    db: &PgPool,
    account: AccountKey,
    id: ReservationId,
) -> Result<Option<HoldEnd>, sqlx::Error> {
    ledger::report::hold_end(&mut *db.acquire().await?, account.community, id).await
}

/// What became of a row whose process died.
enum Closed {
    /// Its hold is open: the ledger's sweep comes first.
    StillOpen,
    /// Charged; the answer is lost.
    NotKept,
    /// Not charged; the key is free.
    Freed,
}

async fn close_dead(
    db: &PgPool,
    account: AccountKey,
    key: &str,
    id: ReservationId,
) -> Result<Closed, sqlx::Error> {
    match hold_end(db, account, id).await? {
        Some(HoldEnd::Open) => Ok(Closed::StillOpen),
        Some(HoldEnd::Charged { amount, .. }) if amount > 0 => {
            store::give_up(db, account, key, id).await?;
            Ok(Closed::NotKept)
        }
        Some(HoldEnd::Charged { .. } | HoldEnd::GivenBack) | None => {
            store::free(db, account, key, id).await?;
            Ok(Closed::Freed)
        }
    }
}

/// Closes the rows of dead processes. Returns how many; any number of processes may do it at once.
pub async fn recover(ctx: &Ctx) -> Result<usize, sqlx::Error> {
    let owners: Vec<OwnerId> = store::owners_in_flight(&ctx.db).await?;
    let dead = ledger::dead_among(&ctx.db, &owners).await?;
    let mut closed = 0;
    for row in store::in_flight_of(&ctx.db, &dead).await? {
        match close_dead(&ctx.db, row.account, &row.key, row.reservation_id).await? {
            Closed::StillOpen => {}
            Closed::NotKept | Closed::Freed => {
                tracing::warn!(reservation = %row.reservation_id, "a keyed request was closed for a process that died");
                closed += 1;
            }
        }
    }
    Ok(closed)
}

/// Deletes rows whose day is over. A job's step.
pub async fn prune(ctx: &Ctx) -> Result<(), sqlx::Error> {
    let before = ctx.clock.now() - KEPT;
    for _ in 0..PRUNES_AT_MOST {
        if store::prune(&ctx.db, before, PRUNED_AT_ONCE).await? < PRUNED_AT_ONCE.unsigned_abs() {
            break;
        }
    }
    Ok(())
}

impl store::Row {
    /// Its day is over. A turn ends long before that, and what is in flight is never taken away.
    fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.created_at + KEPT <= now && !matches!(self.state, State::InFlight { .. })
    }
}
