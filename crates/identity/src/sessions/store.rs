//! The SQL of `wallet_session`: the only file that reads or writes the table.

use sqlx::{PgConnection, PgPool, Row as _};
use time::{Duration, OffsetDateTime};
use types::WalletId;
use uuid::Uuid;

use super::{MAX_ACTIVE_SESSIONS, Session, SessionId, SessionRow};

/// Sessions of one statement: large enough to be cheap, small enough to be over in a millisecond.
pub(super) const BATCH: usize = 1_000;
/// Rows are kept a day past their end, for whoever asks what happened.
const KEPT: Duration = Duration::days(1);

/// Waits for whoever else changes the sessions of this wallet, until the transaction ends.
pub(super) async fn lock_wallet(tx: &mut PgConnection, wallet: WalletId) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('wallet_session ' || encode($1, 'hex'), 0))")
        .bind(wallet.to_bytes())
        .execute(tx)
        .await?;
    Ok(())
}

/// Ends all but the wallet's `keep` newest sessions and names those that ended.
pub(super) async fn end_oldest(
    tx: &mut PgConnection,
    wallet: WalletId,
    keep: i64,
    now: OffsetDateTime,
) -> Result<Vec<SessionId>, sqlx::Error> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "update wallet_session set revoked_at = $3
         where id in (
             select id from wallet_session where wallet = $1 and revoked_at is null and expires_at > $3
             order by created_at desc, id desc offset $2)
         returning id",
    )
    .bind(wallet.to_bytes())
    .bind(keep)
    .bind(now)
    .fetch_all(tx)
    .await?;
    Ok(ended.into_iter().map(SessionId).collect())
}

pub(super) async fn insert(tx: &mut PgConnection, session: &Session, label: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into wallet_session (id, wallet, origin, label, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(session.id.0)
    .bind(session.wallet.to_bytes())
    .bind(&session.origin)
    .bind(label)
    .bind(session.created_at)
    .bind(session.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// A session that lives at `now`.
pub(super) async fn read(
    db: &PgPool,
    id: SessionId,
    now: OffsetDateTime,
) -> Result<Option<Session>, sqlx::Error> {
    let row = sqlx::query(
        "select wallet, origin, created_at, expires_at from wallet_session
         where id = $1 and revoked_at is null and expires_at > $2",
    )
    .bind(id.0)
    .bind(now)
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Session {
            id,
            wallet: WalletId::from_bytes(row.try_get("wallet")?)
                .ok_or_else(|| sqlx::Error::Decode("wallet_session.wallet is no wallet".into()))?,
            origin: row.try_get("origin")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
        })
    })
    .transpose()
}

/// Whether a session lives at `now`, as its row says.
pub(super) async fn is_living(
    tx: &mut PgConnection,
    id: SessionId,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from wallet_session where id = $1 and revoked_at is null and expires_at > $2)",
    )
    .bind(id.0)
    .bind(now)
    .fetch_one(tx)
    .await
}

pub(super) async fn list(
    db: &PgPool,
    wallet: WalletId,
    now: OffsetDateTime,
) -> Result<Vec<SessionRow>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, origin, label, created_at, expires_at from wallet_session
         where wallet = $1 and revoked_at is null and expires_at > $2
         order by created_at desc, id desc limit $3",
    )
    .bind(wallet.to_bytes())
    .bind(now)
    .bind(MAX_ACTIVE_SESSIONS)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(SessionRow {
                id: SessionId(row.try_get("id")?),
                origin: row.try_get("origin")?,
                label: row.try_get("label")?,
                created_at: row.try_get("created_at")?,
                expires_at: row.try_get("expires_at")?,
            })
        })
        .collect()
}

/// Ends a session; `false` when the wallet has none of this id.
pub(super) async fn revoke(
    tx: &mut PgConnection,
    wallet: WalletId,
    id: SessionId,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update wallet_session set revoked_at = coalesce(revoked_at, $3) where id = $1 and wallet = $2",
    )
    .bind(id.0)
    .bind(wallet.to_bytes())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Those of `ids` that were ended.
pub(super) async fn ended_of(db: &PgPool, ids: &[SessionId]) -> Result<Vec<SessionId>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let ended: Vec<Uuid> =
        sqlx::query_scalar("select id from wallet_session where id = any($1) and revoked_at is not null")
            .bind(&ids)
            .fetch_all(db)
            .await?;
    Ok(ended.into_iter().map(SessionId).collect())
}

/// Drops rows that are over for long.
pub(super) async fn prune(db: &PgPool, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query("delete from wallet_session where expires_at < $1").bind(now - KEPT).execute(db).await?;
    Ok(())
}
