//! The SQL of `api_key`: the only file that reads or writes the table.

use std::collections::HashMap;

use ring::hmac;
use ring::rand::SecureRandom;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use types::{AccountId, CommunityId, KeyId};

use super::cache::Use;
use super::{ApiKey, ApiKeyRow, KeyError, MAX_LISTED, Revocation};
use crate::key_text::{KeyKind, PublicId, SECRET};
use crate::{Peppers, Scopes};

/// Keys of one statement: large enough to be cheap, small enough to be over in a millisecond.
pub(super) const BATCH: usize = 1_000;

const SALT: usize = 16;

/// What a secret is checked against.
pub(super) struct Proof {
    salt: [u8; SALT],
    hash: [u8; 32],
    pepper_version: i16,
}

impl Proof {
    /// The proof of a new secret: a random salt, the newest pepper.
    pub(super) fn make(
        peppers: &Peppers,
        random: &dyn SecureRandom,
        secret: &[u8; SECRET],
    ) -> Result<Self, ring::error::Unspecified> {
        let mut salt = [0; SALT];
        random.fill(&mut salt)?;
        let (pepper_version, key) = peppers.newest();
        let hash = hmac::sign(key, &salted(&salt, secret));
        let hash = hash.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes");
        Ok(Self { salt, hash, pepper_version })
    }

    /// Whether the secret is the one, in constant time. Fails when the settings lack the pepper that made the hash.
    pub(super) fn verify(&self, peppers: &Peppers, secret: &[u8; SECRET]) -> Result<bool, anyhow::Error> {
        let version = self.pepper_version;
        let key = peppers
            .get(version)
            .ok_or_else(|| anyhow::anyhow!("keys in use need API_KEY_PEPPER_V{version}, which is not set"))?;
        Ok(hmac::verify(key, &salted(&self.salt, secret), &self.hash).is_ok())
    }
}

fn salted(salt: &[u8; SALT], secret: &[u8; SECRET]) -> [u8; SALT + SECRET] {
    let mut both = [0; SALT + SECRET];
    both[..SALT].copy_from_slice(salt);
    both[SALT..].copy_from_slice(secret);
    both
}

/// A whole row.
pub(super) struct Row {
    pub(super) view: ApiKeyRow,
    pub(super) proof: Proof,
}

impl Row {
    pub(super) fn key(&self, revoked: Revocation) -> ApiKey {
        ApiKey {
            id: self.view.id,
            public_id: self.view.public_id.clone(),
            community: self.view.community,
            account: self.view.account,
            name: self.view.name.clone(),
            kind: self.view.kind,
            scopes: self.view.scopes,
            requests_per_minute: self.view.requests_per_minute,
            tokens_per_day: self.view.tokens_per_day,
            revoked,
        }
    }
}

/// The columns as they lie in the table. Each statement names them all: behind a `*`, a column that a later migration
/// adds would move the others in a binary that is already running.
struct Columns {
    id: i64,
    public_id: String,
    community_id: i64,
    account_id: i64,
    name: String,
    kind: i16,
    salt: Vec<u8>,
    hash: Vec<u8>,
    pepper_version: i16,
    scopes: Vec<String>,
    requests_per_minute: i32,
    tokens_per_day: i64,
    created_at: OffsetDateTime,
    last_used_at: Option<OffsetDateTime>,
    expires_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
    /// The public id of the key that took this one's place; not read where nobody is shown it.
    successor: Option<String>,
}

impl TryFrom<Columns> for Row {
    type Error = sqlx::Error;

    fn try_from(columns: Columns) -> Result<Self, sqlx::Error> {
        let salt = columns.salt.as_slice().try_into().map_err(|_| bad_column("salt"))?;
        let hash = columns.hash.as_slice().try_into().map_err(|_| bad_column("hash"))?;
        let proof = Proof { salt, hash, pepper_version: columns.pepper_version };
        Ok(Self { view: columns.try_into()?, proof })
    }
}

impl TryFrom<Columns> for ApiKeyRow {
    type Error = sqlx::Error;

    fn try_from(columns: Columns) -> Result<Self, sqlx::Error> {
        let requests_per_minute = columns.requests_per_minute.try_into();
        let tokens_per_day = columns.tokens_per_day.try_into();
        Ok(Self {
            id: KeyId(columns.id),
            public_id: columns.public_id,
            community: CommunityId(columns.community_id),
            account: AccountId(columns.account_id),
            name: columns.name,
            kind: KeyKind::from_db(columns.kind).ok_or_else(|| bad_column("kind"))?,
            scopes: Scopes::from_row(&columns.scopes),
            requests_per_minute: requests_per_minute.map_err(|_| bad_column("requests_per_minute"))?,
            tokens_per_day: tokens_per_day.map_err(|_| bad_column("tokens_per_day"))?,
            created_at: columns.created_at,
            last_used_at: columns.last_used_at,
            expires_at: columns.expires_at,
            revoked_at: columns.revoked_at,
            replaced_by: columns.successor,
        })
    }
}

/// The table's own checks rule this out; a row that breaks them is a fault, not a key.
fn bad_column(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("api_key.{column} is out of range").into())
}

pub(super) async fn read_one(db: &PgPool, id: PublicId) -> Result<Option<Row>, sqlx::Error> {
    Ok(read_many(db, &[id]).await?.remove(&id))
}

pub(super) async fn read_many(db: &PgPool, ids: &[PublicId]) -> Result<HashMap<PublicId, Row>, sqlx::Error> {
    let texts: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    if texts.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query_as!(
        Columns,
        r#"select id, public_id, community_id, account_id, name, kind, salt, hash, pepper_version, scopes,
             requests_per_minute, tokens_per_day, created_at, last_used_at, expires_at, revoked_at,
             null::text as "successor?"
           from api_key where public_id = any($1)"#,
        &texts
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|columns| {
        let row = Row::try_from(columns)?;
        let id = PublicId::parse(&row.view.public_id).ok_or_else(|| bad_column("public_id"))?;
        Ok((id, row))
    });
    rows.collect()
}

/// The account's keys, newest first, but those that ended before `ended_after`.
pub(super) async fn list(
    db: &PgPool,
    account: AccountId,
    ended_after: OffsetDateTime,
) -> Result<Vec<ApiKeyRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"select k.id, k.public_id, k.community_id, k.account_id, k.name, k.kind, k.salt, k.hash, k.pepper_version,
             k.scopes, k.requests_per_minute, k.tokens_per_day, k.created_at, k.last_used_at, k.expires_at, k.revoked_at,
             next.public_id as "successor?"
           from api_key k left join api_key next on next.id = k.replaced_by
           where k.account_id = $1 and coalesce(least(k.revoked_at, k.expires_at) > $3, true)
           order by k.created_at desc, k.id desc limit $2"#,
        account.0,
        MAX_LISTED,
        ended_after
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(ApiKeyRow::try_from).collect()
}

/// Keeps other transactions from making keys of this account until this one ends. The count that follows is a statement
/// of its own and so sees what the previous holder committed; that needs READ COMMITTED, the default.
pub(super) async fn lock_account(tx: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('api_key of account ' || $1::bigint, 0))",
        account.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Active keys of the account at `now`, `but` one.
pub(super) async fn count_active(
    tx: &mut PgConnection,
    account: AccountId,
    but: Option<KeyId>,
    now: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_key
           where account_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)
             and ($3::bigint is null or id <> $3)"#,
        account.0,
        now,
        but.map(|id| id.0)
    )
    .fetch_one(tx)
    .await
}

/// When the account made the key before its `count` newest ones; `None`: it has not made so many.
pub(super) async fn made_before(
    tx: &mut PgConnection,
    account: AccountId,
    count: i64,
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    sqlx::query_scalar!(
        "select created_at from api_key where account_id = $1 order by created_at desc offset $2 limit 1",
        account.0,
        count
    )
    .fetch_optional(tx)
    .await
}

/// Deletes the account's keys that ended before `ended`. A key that took the place of one that is kept stays with it.
pub(super) async fn forget_ended(
    tx: &mut PgConnection,
    account: AccountId,
    ended: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from api_key k
         where account_id = $1 and created_at < $2 and least(revoked_at, expires_at) < $2
           and not exists (select from api_key before where before.replaced_by = k.id
                             and coalesce(least(before.revoked_at, before.expires_at) >= $2, true))",
        account.0,
        ended
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether the row was written; not, when its id or public id is taken, and another must be drawn.
pub(super) async fn insert(tx: &mut PgConnection, row: &Row) -> Result<bool, KeyError> {
    let view = &row.view;
    let requests_per_minute = i32::try_from(view.requests_per_minute).map_err(|_| KeyError::BadLimits)?;
    let tokens_per_day = i64::try_from(view.tokens_per_day).map_err(|_| KeyError::BadLimits)?;
    let scopes: Vec<String> = view.scopes.names().into_iter().map(str::to_owned).collect();
    let done = sqlx::query!(
        "insert into api_key (id, public_id, community_id, account_id, name, kind, salt, hash, pepper_version, scopes,
                              requests_per_minute, tokens_per_day, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict do nothing",
        view.id.0,
        view.public_id,
        view.community.0,
        view.account.0,
        view.name,
        view.kind.as_db(),
        row.proof.salt.as_slice(),
        row.proof.hash.as_slice(),
        row.proof.pepper_version,
        &scopes,
        requests_per_minute,
        tokens_per_day,
        view.created_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The account's key, locked until the transaction ends.
pub(super) async fn lock_key(
    tx: &mut PgConnection,
    account: AccountId,
    id: PublicId,
) -> Result<Option<ApiKeyRow>, sqlx::Error> {
    let row = sqlx::query_as!(
        Columns,
        r#"select k.id, k.public_id, k.community_id, k.account_id, k.name, k.kind, k.salt, k.hash, k.pepper_version,
             k.scopes, k.requests_per_minute, k.tokens_per_day, k.created_at, k.last_used_at, k.expires_at, k.revoked_at,
             next.public_id as "successor?"
           from api_key k left join api_key next on next.id = k.replaced_by
           where k.account_id = $1 and k.public_id = $2
           for no key update of k"#,
        account.0,
        id.as_str()
    )
    .fetch_optional(tx)
    .await?;
    row.map(ApiKeyRow::try_from).transpose()
}

pub(super) async fn replace(
    tx: &mut PgConnection,
    old: KeyId,
    new: KeyId,
    expires_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update api_key set replaced_by = $2, expires_at = $3 where id = $1",
        old.0,
        new.0,
        expires_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn revoke(tx: &mut PgConnection, id: KeyId, at: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!("update api_key set revoked_at = $2 where id = $1", id.0, at).execute(tx).await?;
    Ok(())
}

/// Never moves a time back; rows are locked in the order of their ids, so that two processes cannot cross.
pub(super) async fn write_last_used(db: &PgPool, uses: &[Use]) -> Result<(), sqlx::Error> {
    let ids: Vec<i64> = uses.iter().map(|each| each.id.0).collect();
    let times: Vec<OffsetDateTime> = uses.iter().map(|each| each.at).collect();
    sqlx::query!(
        "with used as (
             select api_key.id, used.at
             from unnest($1::bigint[], $2::timestamptz[]) as used (id, at) join api_key on api_key.id = used.id
             where api_key.last_used_at is null or api_key.last_used_at < used.at
             order by api_key.id
             for no key update of api_key
         )
         update api_key set last_used_at = greatest(api_key.last_used_at, used.at) from used where api_key.id = used.id",
        &ids,
        &times
    )
    .execute(db)
    .await?;
    Ok(())
}
