//! Leases belong to processes, not to holds: one heartbeat row, on the database's clock.
//!
//! A process that dies leaves open holds behind; when its lease has run out, any other process gives them back as
//! orphans. A process that lives compares its open holds with its live turns, which finds what it leaked itself.

use std::ops::Range;
use std::time::Duration;

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use types::{AccountId, CommunityId, OwnerId, ReservationId};

use crate::model::{AccountKey, Answer, Op};
use crate::{Ledger, SubmitError};

/// Clocks of machines differ; a hold's id may be this much older than its owner's start.
const CLOCK_MARGIN_MS: i64 = 60 * 60 * 1_000;
/// A hold's row may become visible this long after the time in its id: a writer refuses one that waited 5 s, and the rest
/// is room for clocks that differ.
pub(crate) const UNSEEN_MS: i64 = 15_000;
/// Holds of a dead process that one sweep gives back. The next one gives back the next.
const SWEPT_AT_ONCE: i64 = 1_000;

/// This process's place among the owners, kept alive by a task until it is dropped.
#[derive(Debug)]
pub struct Lease {
    id: OwnerId,
    heartbeat: JoinHandle<()>,
}

impl Lease {
    /// Takes a place that lasts `life` past the last heartbeat (SPEC §2: 5 min).
    pub async fn take(pool: PgPool, name: &str, life: Duration) -> Result<Self, sqlx::Error> {
        let id = sqlx::query_scalar!(
            "insert into owner (name, lease_until) values ($1, now() + $2 * interval '1 second') returning id",
            name,
            life.as_secs_f64()
        )
        .fetch_one(&pool)
        .await?;
        let heartbeat = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(life / 3);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await; // the first is now, and taking the place was the first heartbeat
            loop {
                ticks.tick().await;
                if let Err(error) = renew(&pool, id, life).await {
                    tracing::warn!(%error, "the heartbeat could not be written");
                }
            }
        });
        Ok(Self { id: OwnerId(id), heartbeat })
    }

    /// Who this process is.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.id
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

async fn renew(pool: &PgPool, id: i32, life: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update owner set lease_until = now() + $2 * interval '1 second', swept_at = null where id = $1",
        id,
        life.as_secs_f64()
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Those of `owners` whose lease has run out: nothing of theirs runs any more. One that nobody knows counts as dead.
pub async fn dead_among(pool: &PgPool, owners: &[OwnerId]) -> Result<Vec<OwnerId>, sqlx::Error> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<i32> = owners.iter().map(|owner| owner.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let dead: Vec<i32> = sqlx::query_scalar(
        "select id from unnest($1::int[]) id where not exists (
           select from owner where owner.id = id.id and owner.lease_until >= now())",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    Ok(dead.into_iter().map(OwnerId).collect())
}

/// Gives back the open holds of owners whose lease has run out. Returns how many; each is an anomaly in the log.
pub async fn sweep_dead_owners(pool: &PgPool, ledger: &Ledger) -> Result<u64, sqlx::Error> {
    let dead = sqlx::query!(
        r#"select id, (extract(epoch from started_at) * 1000)::bigint as "started_ms!" from owner
           where lease_until < now() and swept_at is null order by id"#
    )
    .fetch_all(pool)
    .await?;
    let mut swept = 0;
    for row in dead {
        let owner = row.id;
        let open = open_holds(pool, OwnerId(owner), row.started_ms - CLOCK_MARGIN_MS).await?;
        if open.is_empty() {
            // Only if it is dead still: its heartbeat may have come back in the meantime.
            sqlx::query!("update owner set swept_at = now() where id = $1 and lease_until < now()", owner)
                .execute(pool)
                .await?;
        }
        for (key, id) in open {
            match ledger.submit(Op::Orphan { key, id }).await {
                Ok(Answer::Orphaned) => {
                    swept += 1;
                    tracing::warn!(reservation = %id, owner, "an orphaned hold was given back: its process died");
                    metrics::counter!("ledger_orphans_total").increment(1);
                }
                Ok(_) | Err(SubmitError::Refused(_)) => {} // settled or released in the meantime
                Err(error) => tracing::warn!(%error, reservation = %id, "an orphan stays for the next sweep"),
            }
        }
    }
    Ok(swept)
}

/// Open holds of a process, from `since_ms` (Unix) on, at most [`SWEPT_AT_ONCE`].
async fn open_holds(
    pool: &PgPool,
    owner: OwnerId,
    since_ms: i64,
) -> Result<Vec<(AccountKey, ReservationId)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select h.community_id, h.account_id, h.id from book b, lateral (
           select * from hold where hold.community_id = b.community_id and hold.id >= $2
           and hold.owner_id = $1 and hold.state = 0 limit $3) h limit $3",
        owner.0,
        first_id_at(since_ms),
        SWEPT_AT_ONCE
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| hold(row.community_id, row.account_id, row.id)).collect())
}

/// Holds of a process that were made in a span of time, and are open.
pub async fn open_holds_made(
    pool: &PgPool,
    owner: OwnerId,
    made: Range<OffsetDateTime>,
) -> Result<Vec<(AccountKey, ReservationId)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select community_id, account_id, id from hold
         where owner_id = $1 and state = 0 and created_at >= $2 and created_at < $3",
        owner.0,
        made.start,
        made.end
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| hold(row.community_id, row.account_id, row.id)).collect())
}

/// Those of some holds that are open.
pub async fn still_open(
    pool: &PgPool,
    holds: impl IntoIterator<Item = &(AccountKey, ReservationId)>,
) -> Result<Vec<(AccountKey, ReservationId)>, sqlx::Error> {
    let (communities, ids): (Vec<i64>, Vec<uuid::Uuid>) =
        holds.into_iter().map(|(key, id)| (key.community.0, id.0)).unzip();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "select h.community_id, h.account_id, h.id from unnest($1::bigint[], $2::uuid[]) as k(community_id, id)
         join hold h on h.community_id = k.community_id and h.id = k.id where h.state = 0",
        &communities,
        &ids
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| hold(row.community_id, row.account_id, row.id)).collect())
}

fn hold(community: i64, account: i64, id: uuid::Uuid) -> (AccountKey, ReservationId) {
    (AccountKey { community: CommunityId(community), account: AccountId(account) }, ReservationId(id))
}

/// The least UUIDv7 of a millisecond: where a range of recent holds begins.
#[must_use]
pub(crate) fn first_id_at(unix_ms: i64) -> uuid::Uuid {
    uuid::Uuid::from_u128(u128::try_from(unix_ms.max(0)).unwrap_or(0) << 80)
}
