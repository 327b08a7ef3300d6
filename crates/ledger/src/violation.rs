//! Violations: what the guard found, what was done about it, and how a person resolves it.
//!
//! A row stays for ever. An open one about an account keeps that account frozen; an open one without an account keeps
//! minting stopped. Resolving looks again, exactly: nothing thaws while its books do not agree.

use std::collections::HashSet;

use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use types::{AccountId, Clock, CommunityId};

use crate::audit;
use crate::check::{Difference, Holds, check_community, compare};
use crate::guard;
use crate::model::AccountKey;

/// The longest note, in characters: an explanation, not a file.
pub const NOTE_AT_MOST: usize = 2_000;
/// Reasons against a resolution that are named at most; the first ones say enough.
const REASONS_AT_MOST: usize = 20;

/// One account's differences on their way into the table.
pub(crate) struct Finding {
    key: AccountKey,
    what: String,
    /// The same without absolute figures: it stays the same while money moves on.
    fault: String,
}

impl Finding {
    /// From the differences of one account; there is at least one.
    pub(crate) fn of(differences: &[Difference]) -> Self {
        let join =
            |text: fn(&Difference) -> String| differences.iter().map(text).collect::<Vec<_>>().join("; ");
        Self {
            key: differences.first().expect("a finding has a difference").key,
            what: join(|difference| difference.what.clone()),
            fault: join(|difference| format!("{} {:+}", difference.sum, difference.by)),
        }
    }
}

/// Freezes an account and records why, once per fault.
pub(crate) async fn freeze(
    connection: &mut PgConnection,
    finding: &Finding,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let Finding { key, what, fault } = finding;
    let is_new: bool = sqlx::query_scalar(
        "with frozen as (update account set frozen_at = $3, version = version + 1
           where community_id = $1 and id = $2 and frozen_at is null returning 1),
         recorded as (insert into violation (community_id, account_id, found_at, what, fault)
           select $1, $2, $3, $4, $5 where not exists (
             select from violation where community_id = $1 and account_id = $2 and fault = $5 and resolved_at is null)
           returning 1)
         select exists (select from recorded)",
    )
    .bind(key.community.0)
    .bind(key.account.0)
    .bind(now)
    .bind(what)
    .bind(fault)
    .fetch_one(connection)
    .await?;
    if is_new {
        metrics::counter!("ledger_conservation_violations_total").increment(1);
        tracing::error!(community = %key.community, account = %key.account, %what, "the books do not agree: the account is frozen");
    }
    Ok(())
}

/// Records what no account explains, and stops minting until it is resolved.
pub(crate) async fn stop_minting(
    connection: &mut PgConnection,
    community: Option<CommunityId>,
    what: &str,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let community = community.map(|community| community.0);
    let is_new: bool = sqlx::query_scalar(
        "with stopped as (update guard set minting_stopped_at = $2 where minting_stopped_at is null),
         recorded as (insert into violation (community_id, found_at, what, fault)
           select $1, $2, $3, $3 where not exists (
             select from violation where community_id is not distinct from $1 and account_id is null and fault = $3 and resolved_at is null)
           returning 1)
         select exists (select from recorded)",
    )
    .bind(community)
    .bind(now)
    .bind(what)
    .fetch_one(connection)
    .await?;
    if is_new {
        metrics::counter!("ledger_conservation_violations_total").increment(1);
        tracing::error!(community, %what, "the books do not agree as a whole: minting is stopped");
    }
    Ok(())
}

/// Which of these accounts have an open violation.
pub(crate) async fn already_open(
    connection: &mut PgConnection,
    community: CommunityId,
    accounts: &[i64],
) -> Result<HashSet<i64>, sqlx::Error> {
    let ids: Vec<i64> = sqlx::query_scalar(
        "select distinct account_id from violation where community_id = $1 and account_id = any($2) and resolved_at is null",
    )
    .bind(community.0)
    .bind(accounts)
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().collect())
}

/// A violation, open or resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number.
    pub id: i64,
    /// Where; `None`: the sum of all.
    pub community: Option<CommunityId>,
    /// Whose; `None`: no account explains it, and minting is stopped while it is open.
    pub account: Option<AccountId>,
    /// When it was found.
    pub found_at: OffsetDateTime,
    /// What did not agree, in words.
    pub what: String,
    /// When it was resolved.
    pub resolved_at: Option<OffsetDateTime>,
    /// By whom.
    pub resolved_by: Option<String>,
    /// What they wrote about it.
    pub note: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    community_id: Option<i64>,
    account_id: Option<i64>,
    found_at: OffsetDateTime,
    what: String,
    resolved_at: Option<OffsetDateTime>,
    resolved_by: Option<String>,
    note: Option<String>,
}

impl From<Row> for Violation {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            community: row.community_id.map(CommunityId),
            account: row.account_id.map(AccountId),
            found_at: row.found_at,
            what: row.what,
            resolved_at: row.resolved_at,
            resolved_by: row.resolved_by,
            note: row.note,
        }
    }
}

/// Which violations a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Those of one community, and those of none: what stops minting concerns everybody. `None`: all.
    pub community: Option<CommunityId>,
    /// Only those that nobody resolved yet.
    pub only_open: bool,
    /// Only those with a smaller number: the next page.
    pub before: Option<i64>,
}

/// A page of violations, newest first.
pub async fn violations(
    connection: &mut PgConnection,
    which: Which,
    limit: i64,
) -> Result<Vec<Violation>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, community_id, account_id, found_at, what, resolved_at, resolved_by, note from violation
         where ($1::bigint is null or community_id is null or community_id = $1) and (not $2 or resolved_at is null)
           and id < coalesce($3, 9223372036854775807) order by id desc limit $4",
    )
    .bind(which.community.map(|community| community.0))
    .bind(which.only_open)
    .bind(which.before)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Violation::from).collect())
}

/// Whether minting is stopped, and since when.
pub async fn minting_stopped(connection: &mut PgConnection) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    sqlx::query_scalar("select minting_stopped_at from guard").fetch_one(connection).await
}

/// Why a violation was not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is none with this number.
    #[error("there is no violation {0}")]
    Unknown(i64),
    /// Somebody resolved it before.
    #[error("violation {0} is resolved already")]
    Resolved(i64),
    /// A note says what was found and done; an empty or endless one does not.
    #[error("a note of 1 to {NOTE_AT_MOST} characters says what was found and done")]
    BadNote,
    /// The books do not agree yet, for these reasons.
    #[error("the books do not agree yet: {}", .0.join("; "))]
    StillBroken(Vec<String>),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What a resolution did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Violations that are resolved by it: all open ones of the same account, community or sum.
    pub violations: u64,
    /// The account that may be used again.
    pub thawed: Option<AccountKey>,
    /// Minting goes on.
    pub minting_goes_on: bool,
}

/// Resolves a violation once its books agree: recomputes them from the first journal row on, and refuses with the
/// reasons when they do not. An account thaws; after what stopped minting, the whole of the books is read.
pub async fn resolve_violation(
    connection: &mut PgConnection,
    clock: &Clock,
    id: i64,
    who: &str,
    note: &str,
) -> Result<Resolved, ResolveError> {
    let note = note.trim();
    if note.is_empty() || note.chars().count() > NOTE_AT_MOST {
        return Err(ResolveError::BadNote);
    }
    let mut tx = connection.begin().await?;
    let row: Option<(Option<i64>, Option<i64>, bool)> = sqlx::query_as(
        "select community_id, account_id, resolved_at is not null from violation where id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    let resolved = match row {
        None => return Err(ResolveError::Unknown(id)),
        Some((_, _, true)) => return Err(ResolveError::Resolved(id)),
        Some((Some(community), Some(account), false)) => {
            let key = AccountKey { community: CommunityId(community), account: AccountId(account) };
            thaw(&mut tx, clock, key, who, note).await?
        }
        Some((_, _, false)) => go_on_minting(&mut tx, clock, who, note).await?,
    };
    tx.commit().await?;
    tracing::warn!(violation = id, who, note, "a violation was resolved");
    Ok(resolved)
}

async fn thaw(
    connection: &mut PgConnection,
    clock: &Clock,
    key: AccountKey,
    who: &str,
    note: &str,
) -> Result<Resolved, ResolveError> {
    // The ledger's lock order; nothing moves on this account between the look and the thaw.
    sqlx::query("select 1 from book where community_id = $1 for update")
        .bind(key.community.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query("select 1 from account where community_id = $1 and id = $2 for update")
        .bind(key.community.0)
        .bind(key.account.0)
        .execute(&mut *connection)
        .await?;
    let judged = compare(connection, key.community, &[key.account.0], Holds::Read).await?;
    let Some(judged) = judged.into_iter().next() else {
        return Err(ResolveError::StillBroken(vec![format!("account {} is gone", key.account)]));
    };
    if !judged.differences.is_empty() {
        return Err(ResolveError::StillBroken(
            judged.differences.into_iter().map(|difference| difference.what).collect(),
        ));
    }
    let now = clock.now();
    sqlx::query("update account set frozen_at = null, version = version + 1 where community_id = $1 and id = $2 and frozen_at is not null")
        .bind(key.community.0)
        .bind(key.account.0)
        .execute(&mut *connection)
        .await?;
    let done = sqlx::query(
        "update violation set resolved_at = $3, resolved_by = $4, note = $5
         where community_id = $1 and account_id = $2 and resolved_at is null",
    )
    .bind(key.community.0)
    .bind(key.account.0)
    .bind(now)
    .bind(who)
    .bind(note)
    .execute(connection)
    .await?;
    Ok(Resolved { violations: done.rows_affected(), thawed: Some(key), minting_goes_on: false })
}

/// Reads the whole of the books: every account, every chain. What the guard keeps is made anew from the journal.
async fn go_on_minting(
    connection: &mut PgConnection,
    clock: &Clock,
    who: &str,
    note: &str,
) -> Result<Resolved, ResolveError> {
    let mut reasons = Vec::new();
    let communities: Vec<i64> = sqlx::query_scalar("select community_id from book order by community_id")
        .fetch_all(&mut *connection)
        .await?;
    for community in communities.into_iter().map(CommunityId) {
        // An account that is frozen for a difference of its own does not keep the others waiting.
        let open = open_accounts(connection, community).await?;
        let differences = check_community(connection, community).await?;
        let news = differences.into_iter().filter(|difference| !open.contains(&difference.key.account.0));
        reasons.extend(
            news.map(|difference| format!("account {}: {}", difference.key.account, difference.what)),
        );
        reasons.extend(audit::check_chain(connection, community).await?.map(|fault| fault.to_string()));
        if reasons.len() >= REASONS_AT_MOST {
            break;
        }
    }
    reasons.extend(ownerless(connection).await?);
    if !reasons.is_empty() {
        reasons.truncate(REASONS_AT_MOST);
        return Err(ResolveError::StillBroken(reasons));
    }
    // A hand that mended a book need not know that versions count its changes; a writer may still know it unmended.
    sqlx::query(
        "update book set version = version + 1
         where community_id in (select community_id from book order by community_id for update)",
    )
    .execute(&mut *connection)
    .await?;
    guard::rebuild(connection).await?;
    sqlx::query("update guard set minting_stopped_at = null").execute(&mut *connection).await?;
    let done = sqlx::query(
        "update violation set resolved_at = $1, resolved_by = $2, note = $3 where account_id is null and resolved_at is null",
    )
    .bind(clock.now())
    .bind(who)
    .bind(note)
    .execute(connection)
    .await?;
    Ok(Resolved { violations: done.rows_affected(), thawed: None, minting_goes_on: true })
}

async fn open_accounts(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<HashSet<i64>, sqlx::Error> {
    let ids: Vec<i64> = sqlx::query_scalar(
        "select distinct account_id from violation where community_id = $1 and account_id is not null and resolved_at is null",
    )
    .bind(community.0)
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().collect())
}

/// Journal rows whose account or book is gone.
async fn ownerless(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "select j.community_id, j.account_id, count(*) from journal j
         left join account a on a.community_id = j.community_id and a.id = j.account_id
         where a.id is null group by j.community_id, j.account_id order by 1, 2 limit $1",
    )
    .bind(i64::try_from(REASONS_AT_MOST).expect("small"))
    .fetch_all(connection)
    .await?;
    let words = |(community, account, lines)| {
        format!("community {community}: {lines} journal rows of account {account}, which is not there")
    };
    Ok(rows.into_iter().map(words).collect())
}
