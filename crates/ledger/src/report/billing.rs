//! Credits of a community for its admins: where they came from, what is left of them, and what happened to them.

use sqlx::PgConnection;
use time::OffsetDateTime;
use types::{AccountId, CommunityId, LotId};
use uuid::Uuid;

use crate::model::{AccountKey, Kind, Lot, Source};

/// All lots of one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The origin.
    pub source: Source,
    /// How many lots.
    pub lots: i64,
    /// Ever credited, micro-USD.
    pub minted: i64,
    /// Left.
    pub remaining: i64,
    /// Taken back.
    pub reversed: i64,
    /// Lost to expiry.
    pub expired: i64,
}

/// The lots of a community by origin.
pub async fn origins(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<Vec<Origin>, sqlx::Error> {
    let rows: Vec<(i16, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "select source, count(*), sum(minted)::bigint, sum(remaining)::bigint, sum(reversed)::bigint,
                sum(expired)::bigint
         from lot where community_id = $1 group by source order by source",
    )
    .bind(community.0)
    .fetch_all(connection)
    .await?;
    let origin = |(source, lots, minted, remaining, reversed, expired)| Origin {
        source: source_of(source),
        lots,
        minted,
        remaining,
        reversed,
        expired,
    };
    Ok(rows.into_iter().map(origin).collect())
}

#[derive(sqlx::FromRow)]
struct LotRow {
    id: Uuid,
    account_id: i64,
    source: i16,
    minted: i64,
    remaining: i64,
    reversed: i64,
    expired: i64,
    expires_at: OffsetDateTime,
    created_at: OffsetDateTime,
}

/// A page of lots, newest first, of one account or of all; `before` is the last of the page before.
pub async fn lots(
    connection: &mut PgConnection,
    community: CommunityId,
    account: Option<AccountId>,
    before: Option<(OffsetDateTime, LotId)>,
    limit: i64,
) -> Result<Vec<Lot>, sqlx::Error> {
    let rows: Vec<LotRow> = sqlx::query_as(
        "select id, account_id, source, minted, remaining, reversed, expired, expires_at, created_at from lot
         where community_id = $1 and ($2::bigint is null or account_id = $2)
           and ($3::timestamptz is null or (created_at, id) < ($3, $4)) order by created_at desc, id desc limit $5",
    )
    .bind(community.0)
    .bind(account.map(|account| account.0))
    .bind(before.map(|(at, _)| at))
    .bind(before.map_or(Uuid::nil(), |(_, id)| id.0))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let lot = |row: LotRow| Lot {
        id: LotId(row.id),
        key: AccountKey { community, account: AccountId(row.account_id) },
        source: source_of(row.source),
        minted: row.minted,
        remaining: row.remaining,
        reversed: row.reversed,
        expired: row.expired,
        expires_at: row.expires_at,
        created_at: row.created_at,
    };
    Ok(rows.into_iter().map(lot).collect())
}

/// A movement of credits that is no charge: a mint, an expiry, a refund, a receivable that was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Number in the community's journal.
    pub seq: i64,
    /// Whose.
    pub account: AccountId,
    /// What kind.
    pub kind: Kind,
    /// Micro-USD.
    pub amount: i64,
    /// The account's balance afterwards.
    pub balance_after: i64,
    /// The lot that it is about.
    pub lot: Option<LotId>,
    /// When.
    pub at: OffsetDateTime,
}

/// A page of movements, newest first, of one account or of all; `before` is the last number of the page before.
pub async fn movements(
    connection: &mut PgConnection,
    community: CommunityId,
    account: Option<AccountId>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Movement>, sqlx::Error> {
    type Row = (i64, i64, i16, i64, i64, Option<Uuid>, OffsetDateTime);
    let rows: Vec<Row> = sqlx::query_as(
        "select seq, account_id, kind, amount, balance_after, ref, at from journal
         where community_id = $1 and ($2::bigint is null or account_id = $2) and seq < $3 and kind in (1, 3, 4, 6)
         order by seq desc limit $4",
    )
    .bind(community.0)
    .bind(account.map(|account| account.0))
    .bind(before.unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let movement = |(seq, account, kind, amount, balance_after, lot, at): Row| Movement {
        seq,
        account: AccountId(account),
        kind: Kind::from_db(kind).expect("a CHECK keeps kinds known"),
        amount,
        balance_after,
        lot: lot.map(LotId),
        at,
    };
    Ok(rows.into_iter().map(movement).collect())
}

fn source_of(number: i16) -> Source {
    Source::from_db(number).expect("a CHECK keeps sources known")
}
