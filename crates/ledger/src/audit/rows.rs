//! Journal rows as audit lines: pages by number, the previous row's hash beside each.

use sqlx::PgConnection;
use time::OffsetDateTime;
use types::{AccountId, CommunityId, Pool};
use uuid::Uuid;

use crate::model::{AccountKey, Bucket, Entry, Kind};

/// The hash before the first line.
pub(crate) const GENESIS: [u8; 32] = [0; 32];

/// What an export or a page is filtered by, beside its range. Any filter breaks the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only charges of requests that this pool answered.
    pub pool: Option<Pool>,
    /// Only this account's lines.
    pub account: Option<AccountId>,
}

impl Filter {
    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A journal row with what its audit line needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The entry.
    pub entry: Entry,
    /// Wallet address of its account.
    pub holder: Option<String>,
    /// Hash of the row before it in its community.
    pub previous: [u8; 32],
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    account_id: i64,
    account_seq: i64,
    kind: i16,
    debit: i16,
    credit: i16,
    amount: i64,
    balance_after: i64,
    #[sqlx(rename = "ref")]
    reference: Option<Uuid>,
    pool: Option<i16>,
    at: OffsetDateTime,
    hash: Vec<u8>,
    holder: Option<String>,
    previous: Option<Vec<u8>>,
}

/// Where a page begins and where reading ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Rows after this number.
    pub(crate) after: i64,
    /// And, of a single account, after this number of its own.
    pub(crate) after_own: i64,
    /// Up to this number.
    pub(crate) until: i64,
}

/// At most `limit` rows of a span, in order.
pub(crate) async fn ascending(
    connection: &mut PgConnection,
    community: CommunityId,
    span: Span,
    filter: Filter,
    limit: i64,
) -> Result<Vec<AuditRow>, sqlx::Error> {
    let rows: Vec<Row> = if let Some(account) = filter.account {
        // Its own index: in a large community, one account's rows are far apart.
        sqlx::query_as(
            "select j.seq, j.account_id, j.account_seq, j.kind, j.debit, j.credit, j.amount, j.balance_after, j.ref, j.pool,
               j.at, j.hash, a.holder, before.hash as previous
             from journal j left join account a on a.community_id = j.community_id and a.id = j.account_id
             left join journal before on before.community_id = j.community_id and before.seq = j.seq - 1
             where j.community_id = $1 and j.account_id = $5 and j.seq > $2 and j.seq <= $3 and ($6::smallint is null or j.pool = $6)
               and j.account_seq > $7
             order by j.account_seq limit $4",
        )
        .bind(community.0)
        .bind(span.after)
        .bind(span.until)
        .bind(limit)
        .bind(account.0)
        .bind(filter.pool.map(Pool::as_db))
        .bind(span.after_own)
        .fetch_all(connection)
        .await?
    } else {
        sqlx::query_as(
            "select j.seq, j.account_id, j.account_seq, j.kind, j.debit, j.credit, j.amount, j.balance_after, j.ref, j.pool,
               j.at, j.hash, a.holder, before.hash as previous
             from journal j left join account a on a.community_id = j.community_id and a.id = j.account_id
             left join journal before on before.community_id = j.community_id and before.seq = j.seq - 1
             where j.community_id = $1 and j.seq > $2 and j.seq <= $3 and ($5::smallint is null or j.pool = $5)
             order by j.seq limit $4",
        )
        .bind(community.0)
        .bind(span.after)
        .bind(span.until)
        .bind(limit)
        .bind(filter.pool.map(Pool::as_db))
        .fetch_all(connection)
        .await?
    };
    rows.into_iter().map(|row| decode(community, row)).collect()
}

/// At most `limit` rows before number `before`, newest first: the pages that people read.
pub(crate) async fn descending(
    connection: &mut PgConnection,
    community: CommunityId,
    (after, before): (i64, i64),
    filter: Filter,
    limit: i64,
) -> Result<Vec<AuditRow>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select j.seq, j.account_id, j.account_seq, j.kind, j.debit, j.credit, j.amount, j.balance_after, j.ref, j.pool,
           j.at, j.hash, a.holder, before.hash as previous
         from journal j left join account a on a.community_id = j.community_id and a.id = j.account_id
         left join journal before on before.community_id = j.community_id and before.seq = j.seq - 1
         where j.community_id = $1 and j.seq > $2 and j.seq < $3 and ($5::smallint is null or j.pool = $5)
           and ($6::bigint is null or j.account_id = $6)
         order by j.seq desc limit $4",
    )
    .bind(community.0)
    .bind(after)
    .bind(before)
    .bind(limit)
    .bind(filter.pool.map(Pool::as_db))
    .bind(filter.account.map(|account| account.0))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| decode(community, row)).collect()
}

fn decode(community: CommunityId, row: Row) -> Result<AuditRow, sqlx::Error> {
    // No CHECK bounds the sides: a row that was written by hand may have any.
    let unknown = |what: &str| {
        sqlx::Error::Decode(format!("journal row {community}/{}: unknown {what}", row.seq).into())
    };
    let (debit, credit) = bucket(row.debit).zip(bucket(row.credit)).ok_or_else(|| unknown("side"))?;
    let entry = Entry {
        key: AccountKey { community, account: AccountId(row.account_id) },
        seq: row.seq,
        account_seq: row.account_seq,
        kind: Kind::from_db(row.kind).ok_or_else(|| unknown("kind"))?,
        debit,
        credit,
        amount: row.amount,
        balance_before: row.balance_after.saturating_sub(change(debit, credit, row.amount)),
        balance_after: row.balance_after,
        reference: row.reference,
        pool: row.pool,
        at: row.at,
        hash: hash(&row.hash),
    };
    let previous = row.previous.map_or(GENESIS, |bytes| hash(&bytes));
    Ok(AuditRow { entry, holder: row.holder, previous })
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("a CHECK keeps hashes at 32 bytes")
}

fn bucket(number: i16) -> Option<Bucket> {
    [
        Bucket::Issued,
        Bucket::Available,
        Bucket::Held,
        Bucket::Spent,
        Bucket::Expired,
        Bucket::Reversed,
        Bucket::Owed,
    ]
    .into_iter()
    .find(|bucket| *bucket as i16 == number)
}

/// What an entry does to the balance (available + held − owed).
fn change(debit: Bucket, credit: Bucket, amount: i64) -> i64 {
    match (debit, credit) {
        (Bucket::Issued, _) => amount,
        (_, Bucket::Spent | Bucket::Expired | Bucket::Reversed) => -amount,
        _ => 0, // between available, held and owed
    }
}

/// The number of the first journal row at or after `at`: times of a community's journal do not run backwards, so the
/// place is found by halving, with some thirty looks at the key's index.
pub(crate) async fn first_at(
    connection: &mut PgConnection,
    community: CommunityId,
    last: i64,
    at: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let time: Option<OffsetDateTime> =
            sqlx::query_scalar("select at from journal where community_id = $1 and seq = $2")
                .bind(community.0)
                .bind(middle)
                .fetch_optional(&mut *connection)
                .await?;
        if time.is_some_and(|time| time < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The number of the last journal row; `None`: no such community.
pub(crate) async fn last(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("select seq from book where community_id = $1")
        .bind(community.0)
        .fetch_optional(connection)
        .await
}

/// The hash of row `seq`; zeros before the first.
pub(crate) async fn hash_of(
    connection: &mut PgConnection,
    community: CommunityId,
    seq: i64,
) -> Result<[u8; 32], sqlx::Error> {
    let bytes: Option<Vec<u8>> =
        sqlx::query_scalar("select hash from journal where community_id = $1 and seq = $2")
            .bind(community.0)
            .bind(seq)
            .fetch_optional(connection)
            .await?;
    Ok(bytes.map_or(GENESIS, |bytes| hash(&bytes)))
}
