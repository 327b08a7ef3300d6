//! The rows of a chat: a turn, and its text in chunks.
//!
//! What always holds: a chunk and the number of its last frame are one statement; a turn that has ended never changes
//! again, so two writers (the task that ran it, and the recovery that believed it dead) cannot both have the last word.

use sqlx::PgPool;
use time::OffsetDateTime;
use types::s2s::Usage;
use types::{AccountId, CommunityId, MicroUsd, OwnerId, Pool, ReservationId, WalletId};
use uuid::Uuid;

use ledger::AccountKey;

use super::words::{End, How, Question, Speaker, Started};

/// `chat_turn.state`.
pub(super) const DONE: i16 = 2;
const STOPPED: i16 = 3;
const BROKEN: i16 = 4;
pub(super) const REFUSED: i16 = 5;

/// A turn as its row says.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) agent_id: i64,
    pub(super) question: String,
    requested: Option<i16>,
    state: i16,
    pool: Option<i16>,
    model: Option<String>,
    personality: Option<String>,
    reason: Option<String>,
    last_seq: i32,
    finish_reason: Option<String>,
    note: Option<String>,
    code: Option<String>,
    message: Option<String>,
    tokens_in: i64,
    tokens_out: i64,
    cost_micro: i64,
}

const COLUMNS: &str =
    "select id, agent_id, question, requested, state, pool, model, personality, reason, last_seq,
    finish_reason, note, code, message, tokens_in, tokens_out, cost_micro from chat_turn";

impl Row {
    pub(super) fn last_seq(&self) -> u32 {
        u32::try_from(self.last_seq).unwrap_or(0)
    }

    /// Whether this row is that question.
    pub(super) fn is(&self, agent_id: i64, question: &Question) -> bool {
        self.agent_id == agent_id
            && self.question == question.text
            && self.requested == question.pool.map(Pool::as_db)
    }

    /// Who answered; `None` when nobody did.
    pub(super) fn started(&self) -> Option<Started> {
        let model = self.model.clone()?;
        Some(Started {
            pool: self.pool.and_then(Pool::from_db),
            model,
            personality_id: self.personality.clone().unwrap_or_default(),
            reason: self.reason.clone().unwrap_or_default(),
        })
    }

    /// How it ended; `None` while it runs.
    pub(super) fn end(&self) -> Option<End> {
        let code = || self.code.clone().unwrap_or_default();
        let message = || self.message.clone().unwrap_or_default();
        let how = match self.state {
            DONE => How::Done {
                finish_reason: self.finish_reason.clone().unwrap_or_default(),
                note: self.note.clone(),
            },
            STOPPED => How::Stopped,
            BROKEN => How::Broken { code: code(), message: message() },
            REFUSED => How::Refused { code: code(), message: message() },
            _ => return None,
        };
        let count = |tokens: i64| u64::try_from(tokens).unwrap_or(0);
        let usage = Usage::new(count(self.tokens_in), count(self.tokens_out));
        Some(End { how, usage, cost: MicroUsd(self.cost_micro) })
    }
}

/// Writes a question down, before anything else happens. `false`: this wallet has used the request's id before.
pub(super) async fn ask(
    db: &PgPool,
    id: ReservationId,
    speaker: &Speaker,
    agent_id: i64,
    question: &Question,
    owner: OwnerId,
    at: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let made = sqlx::query(
        "insert into chat_turn (id, wallet, request_id, agent_id, community_id, account_id, question, requested, owner_id, asked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict on constraint chat_turn_request_key do nothing",
    )
    .bind(id.0)
    .bind(speaker.wallet.to_string())
    .bind(question.request_id)
    .bind(agent_id)
    .bind(speaker.account.community.0)
    .bind(speaker.account.account.0)
    .bind(&question.text)
    .bind(question.pool.map(Pool::as_db))
    .bind(owner.0)
    .bind(at)
    .execute(db)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// A wallet's turn by its request's id.
pub(super) async fn find(
    db: &PgPool,
    wallet: WalletId,
    request_id: Uuid,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as(sqlx::AssertSqlSafe(format!("{COLUMNS} where wallet = $1 and request_id = $2")))
        .bind(wallet.to_string())
        .bind(request_id)
        .fetch_optional(db)
        .await
}

/// A turn by its id.
pub(super) async fn read(db: &PgPool, id: Uuid) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as(sqlx::AssertSqlSafe(format!("{COLUMNS} where id = $1"))).bind(id).fetch_optional(db).await
}

/// Frames of text after `after`, with the number of the first: at most a few chunks.
pub(super) async fn texts_after(
    db: &PgPool,
    id: Uuid,
    after: u32,
) -> Result<Vec<(u32, String)>, sqlx::Error> {
    /// Some hundred milliseconds of an answer each; a reader comes again for more.
    const CHUNKS_AT_ONCE: i64 = 16;
    let rows: Vec<(i32, Vec<String>)> = sqlx::query_as(
        "select first_seq, pieces from chat_chunk where turn_id = $1 and first_seq + cardinality(pieces) > $2 + 1
         order by first_seq limit $3",
    )
    .bind(id)
    .bind(i32::try_from(after).unwrap_or(i32::MAX - 1))
    .bind(CHUNKS_AT_ONCE)
    .fetch_all(db)
    .await?;
    let frames = rows.into_iter().flat_map(|(first, pieces)| {
        let first = u32::try_from(first).unwrap_or(0);
        (first..).zip(pieces).filter(|(seq, _)| *seq > after).collect::<Vec<_>>()
    });
    Ok(frames.collect())
}

/// Text that waits to be stored.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) pieces: Vec<String>,
    pub(super) bytes: usize,
}

/// What is stored of a turn so far, and what waits.
#[derive(Debug)]
pub(super) struct Growth {
    pub(super) id: Uuid,
    /// The newest stored frame.
    pub(super) stored: u32,
    pub(super) started: Option<Started>,
    pub(super) pending: Pending,
    /// Whether the row says who answers.
    is_begun: bool,
}

impl Growth {
    /// A turn of which nothing is stored but the question.
    pub(super) fn of(id: Uuid) -> Self {
        Self { id, stored: 0, started: None, pending: Pending::default(), is_begun: false }
    }

    /// A provider has answered: the first frame, which [`Growth::store`] puts into the row itself.
    pub(super) fn begin(&mut self, started: Started) {
        self.started = Some(started);
        self.stored = 1;
    }

    /// Whether something waits to be stored.
    pub(super) fn waits(&self) -> bool {
        !self.pending.pieces.is_empty() || (self.started.is_some() && !self.is_begun)
    }

    /// Stores what waits: one statement, so that a reader elsewhere sees all of it or nothing.
    pub(super) async fn store(&mut self, db: &PgPool) -> Result<(), sqlx::Error> {
        let first = i32::try_from(self.stored + 1).unwrap_or(i32::MAX);
        let count = u32::try_from(self.pending.pieces.len()).unwrap_or(u32::MAX);
        let started = self.started.clone().unwrap_or_default();
        sqlx::query(
            "with chunk as (
               insert into chat_chunk (turn_id, first_seq, pieces)
               select id, $2, $3 from chat_turn where id = $1 and state < 2 and cardinality($3) > 0
               on conflict on constraint chat_chunk_pk do nothing)
             update chat_turn set state = 1, last_seq = $4, pool = $5, model = $6, personality = $7, reason = $8
             where id = $1 and state < 2",
        )
        .bind(self.id)
        .bind(first)
        .bind(&self.pending.pieces)
        .bind(i32::try_from(self.stored + count).unwrap_or(i32::MAX))
        .bind(started.pool.map(Pool::as_db))
        .bind(started.model)
        .bind(started.personality_id)
        .bind(started.reason)
        .execute(db)
        .await?;
        self.stored += count;
        self.pending = Pending::default();
        self.is_begun = true;
        Ok(())
    }
}

/// Writes how a turn ended. `false`: it had ended before, and stays as it was.
pub(super) async fn finish(
    db: &PgPool,
    id: Uuid,
    last_seq: u32,
    end: &End,
    at: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let (state, finish_reason, note, code, message) = match &end.how {
        How::Done { finish_reason, note } => (DONE, Some(finish_reason), note.as_ref(), None, None),
        How::Stopped => (STOPPED, None, None, None, None),
        How::Broken { code, message } => (BROKEN, None, None, Some(code), Some(message)),
        How::Refused { code, message } => (REFUSED, None, None, Some(code), Some(message)),
    };
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let written = sqlx::query(
        "update chat_turn set state = $2, last_seq = $3, finish_reason = $4, note = $5, code = $6, message = $7,
           tokens_in = $8, tokens_out = $9, cost_micro = $10, ended_at = $11
         where id = $1 and state < 2",
    )
    .bind(id)
    .bind(state)
    .bind(i32::try_from(last_seq).unwrap_or(i32::MAX))
    .bind(finish_reason)
    .bind(note)
    .bind(code)
    .bind(message)
    .bind(count(end.usage.prompt_tokens))
    .bind(count(end.usage.completion_tokens))
    .bind(end.cost.0)
    .bind(at)
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Writes down that a turn's asker wants it stopped. `None`: there is no such turn that runs; else the process that has to
/// stop it.
pub(super) async fn want_stopped(
    db: &PgPool,
    wallet: WalletId,
    request_id: Uuid,
    at: OffsetDateTime,
) -> Result<Option<OwnerId>, sqlx::Error> {
    let owner: Option<i32> = sqlx::query_scalar(
        "update chat_turn set cancel_at = coalesce(cancel_at, $3) where wallet = $1 and request_id = $2 and state < 2
         returning owner_id",
    )
    .bind(wallet.to_string())
    .bind(request_id)
    .bind(at)
    .fetch_optional(db)
    .await?;
    Ok(owner.map(OwnerId))
}

/// Turns of this process that their askers want stopped: said at another process.
pub(super) async fn to_be_stopped(db: &PgPool, owner: OwnerId) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("select id from chat_turn where owner_id = $1 and state < 2 and cancel_at is not null")
        .bind(owner.0)
        .fetch_all(db)
        .await
}

/// A turn that nobody may be running any more.
#[derive(Clone, Debug)]
pub(super) struct Unfinished {
    pub(super) id: ReservationId,
    pub(super) owner: OwnerId,
    pub(super) account: AccountKey,
    pub(super) last_seq: u32,
}

/// Turns that have not ended, over all processes: the oldest first.
pub(super) async fn unfinished(db: &PgPool) -> Result<Vec<Unfinished>, sqlx::Error> {
    /// A page; the next look takes the next.
    const AT_ONCE: i64 = 1_000;
    let rows: Vec<(Uuid, i32, i64, i64, i32)> = sqlx::query_as(
        "select id, owner_id, community_id, account_id, last_seq from chat_turn where state < 2 order by id limit $1",
    )
    .bind(AT_ONCE)
    .fetch_all(db)
    .await?;
    let turn = |(id, owner, community, account, last_seq): (Uuid, i32, i64, i64, i32)| Unfinished {
        id: ReservationId(id),
        owner: OwnerId(owner),
        account: AccountKey { community: CommunityId(community), account: AccountId(account) },
        last_seq: u32::try_from(last_seq).unwrap_or(0),
    };
    Ok(rows.into_iter().map(turn).collect())
}
