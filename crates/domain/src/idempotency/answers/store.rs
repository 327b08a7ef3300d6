//! The rows of keyed requests. Every change names the reservation, so that whoever was believed dead changes nothing of
//! the request that took its key.

use ledger::AccountKey;
use sqlx::PgPool;
use time::OffsetDateTime;
use types::{AccountId, CommunityId, OwnerId, ReservationId};

use super::{KeptAnswer, KeyedRequest, ResponseHead};

/// Answers that an account keeps, and their bytes; the migration says the same.
const ANSWERS_PER_ACCOUNT: i64 = 10_000;
const BYTES_PER_ACCOUNT: i64 = 64 * 1024 * 1024;
/// Rows of dead processes that one look closes.
const RECOVERED_AT_ONCE: i64 = 1_000;

/// `kept_answer.state`.
const KEPT: i16 = 1;
const NOT_KEPT: i16 = 2;

/// A request as its row says.
pub(super) struct Row {
    pub(super) input_hash: Vec<u8>,
    pub(super) reservation_id: ReservationId,
    pub(super) request_id: String,
    pub(super) created_at: OffsetDateTime,
    pub(super) state: State,
}

/// How far it is.
pub(super) enum State {
    InFlight { owner: OwnerId },
    Kept(KeptAnswer),
    NotKept,
}

/// A request in flight.
pub(super) struct Unfinished {
    pub(super) account: AccountKey,
    pub(super) key: String,
    pub(super) reservation_id: ReservationId,
}

/// Claims the key; `false`: somebody has.
pub(super) async fn insert(
    db: &PgPool,
    request: &KeyedRequest,
    owner: OwnerId,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into kept_answer (community_id, account_id, key, input_hash, reservation_id, request_id, owner_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict on constraint kept_answer_pk do nothing",
        request.account.community.0,
        request.account.account.0,
        request.key,
        request.input_hash.as_slice(),
        request.reservation_id.0,
        request.request_id,
        owner.0,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn find(db: &PgPool, request: &KeyedRequest) -> Result<Option<Row>, sqlx::Error> {
    let row = sqlx::query!(
        "select input_hash, reservation_id, request_id, owner_id, state, status, headers, body, created_at
         from kept_answer where community_id = $1 and account_id = $2 and key = $3",
        request.account.community.0,
        request.account.account.0,
        request.key
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let state = match (row.state, row.status, row.headers, row.body) {
        (KEPT, Some(status), Some(headers), Some(body)) => {
            let headers =
                serde_json::from_str(&headers).map_err(|error| sqlx::Error::Decode(error.into()))?;
            let status = u16::try_from(status).map_err(|error| sqlx::Error::Decode(error.into()))?;
            State::Kept(KeptAnswer { head: ResponseHead { status, headers }, body })
        }
        (NOT_KEPT, ..) => State::NotKept,
        _ => State::InFlight { owner: OwnerId(row.owner_id) },
    };
    Ok(Some(Row {
        input_hash: row.input_hash,
        reservation_id: ReservationId(row.reservation_id),
        request_id: row.request_id,
        created_at: row.created_at,
        state,
    }))
}

/// Frees the key.
pub(super) async fn free(
    db: &PgPool,
    account: AccountKey,
    key: &str,
    id: ReservationId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from kept_answer where community_id = $1 and account_id = $2 and key = $3 and reservation_id = $4",
        account.community.0,
        account.account.0,
        key,
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps the answer.
pub(super) async fn keep(
    db: &PgPool,
    account: AccountKey,
    key: &str,
    id: ReservationId,
    answer: &KeptAnswer,
) -> Result<(), sqlx::Error> {
    let headers = serde_json::to_string(&answer.head.headers).expect("pairs of text serialise");
    sqlx::query!(
        "update kept_answer set state = 1, status = $5, headers = $6, body = $7
         where community_id = $1 and account_id = $2 and key = $3 and reservation_id = $4 and state = 0",
        account.community.0,
        account.account.0,
        key,
        id.0,
        i16::try_from(answer.head.status).unwrap_or(i16::MAX),
        headers,
        answer.body
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Remembers that the request was charged, without an answer.
pub(super) async fn give_up(
    db: &PgPool,
    account: AccountKey,
    key: &str,
    id: ReservationId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update kept_answer set state = 2
         where community_id = $1 and account_id = $2 and key = $3 and reservation_id = $4 and state = 0",
        account.community.0,
        account.account.0,
        key,
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the account may keep one more answer of this size. Simultaneous ones may pass together: a limit, not a promise.
pub(super) async fn has_room(db: &PgPool, account: AccountKey, bytes: usize) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query!(
        r#"select count(*) as "answers!", coalesce(sum(octet_length(body)), 0) as "bytes!" from (
             select body from kept_answer where community_id = $1 and account_id = $2 and state = 1 limit $3) kept"#,
        account.community.0,
        account.account.0,
        ANSWERS_PER_ACCOUNT
    )
    .fetch_one(db)
    .await?;
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    Ok(kept.answers < ANSWERS_PER_ACCOUNT && kept.bytes.saturating_add(bytes) <= BYTES_PER_ACCOUNT)
}

/// Processes with requests in flight, alive or dead.
pub(super) async fn owners_in_flight(db: &PgPool) -> Result<Vec<OwnerId>, sqlx::Error> {
    let owners = sqlx::query_scalar!("select distinct owner_id from kept_answer where state = 0");
    Ok(owners.fetch_all(db).await?.into_iter().map(OwnerId).collect())
}

/// Requests in flight of these processes.
pub(super) async fn in_flight_of(db: &PgPool, owners: &[OwnerId]) -> Result<Vec<Unfinished>, sqlx::Error> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let owners: Vec<i32> = owners.iter().map(|owner| owner.0).collect();
    let rows = sqlx::query!(
        "select community_id, account_id, key, reservation_id from kept_answer
         where state = 0 and owner_id = any($1) order by created_at limit $2",
        &owners,
        RECOVERED_AT_ONCE
    )
    .fetch_all(db)
    .await?;
    let unfinished = rows.into_iter().map(|row| Unfinished {
        account: AccountKey { community: CommunityId(row.community_id), account: AccountId(row.account_id) },
        key: row.key,
        reservation_id: ReservationId(row.reservation_id),
    });
    Ok(unfinished.collect())
}

/// Deletes rows that are older, at most so many. Returns how many.
pub(super) async fn prune(db: &PgPool, before: OffsetDateTime, at_once: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from kept_answer where ctid = any(array(
           select ctid from kept_answer where created_at <= $1 and state <> 0
           order by created_at limit $2 for update skip locked))",
        before,
        at_once
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
