//! The exact check: recomputes an account's sums from the append-only journal, the open holds and the lots, in one
//! snapshot, and compares them with the cached counters. One micro-USD of difference is a violation (SPEC §2).
//!
//! It trusts no counter. The pass that runs every 15 s (`guard`) only raises suspicion; what this module says convicts.

use std::collections::HashMap;

use sqlx::{PgConnection, PgPool};
use types::{AccountId, CommunityId};

use crate::model::AccountKey;

/// Accounts in one statement: one snapshot, short enough not to hold back vacuum.
pub(crate) const PAGE: usize = 500;

/// Where the books do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub key: AccountKey,
    /// Which sum, what it is and what it should be.
    pub what: String,
    /// Which sum.
    pub sum: &'static str,
    /// What it is, less what it should be.
    pub by: i128,
}

/// Sums over an account's journal up to `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) seq: i64,
    pub(crate) lines: i64,
    pub(crate) minted: i64,
    pub(crate) spent: i64,
    pub(crate) expired: i64,
    pub(crate) reversed: i64,
    pub(crate) owed: i64,
    pub(crate) last_balance: i64,
}

impl Sums {
    /// What the account has by the journal: available + held − owed.
    pub(crate) fn balance(&self) -> i64 {
        self.minted - self.spent - self.expired - self.reversed
    }
}

/// An account's counters and what was recomputed.
#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    seq: i64,
    minted: i64,
    available: i64,
    held: i64,
    spent: i64,
    expired: i64,
    reversed: i64,
    owed: i64,
    open_holds: i64,
    open_lots: i64,
    j_seq: i64,
    j_lines: i64,
    j_minted: i64,
    j_spent: i64,
    j_expired: i64,
    j_reversed: i64,
    j_owed: i64,
    j_last_balance: i64,
}

/// Where the sums of open holds come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holds<'a> {
    /// From the table, in the same snapshot: it has no index by account, so this reads the community's holds.
    Read,
    /// From sums that were read before.
    Known(&'a HashMap<AccountKey, i64>),
}

/// One account as the exact check saw it.
pub(crate) struct Judged {
    pub(crate) key: AccountKey,
    pub(crate) sums: Sums,
    pub(crate) open_holds: i64,
    pub(crate) differences: Vec<Difference>,
}

/// Compares some accounts of one community with their whole journal.
pub(crate) async fn compare(
    connection: &mut PgConnection,
    community: CommunityId,
    accounts: &[i64],
    holds: Holds<'_>,
) -> Result<Vec<Judged>, sqlx::Error> {
    // One statement is one snapshot, whatever the isolation level.
    let rows: Vec<Row> = sqlx::query_as(
        "with open_hold as (
           select account_id, sum(amount)::bigint as amount from hold
           where $3 and community_id = $1 and state = 0 and account_id = any($2) group by account_id)
         select a.id, a.seq, a.minted, a.available, a.held, a.spent, a.expired, a.reversed, a.owed,
           coalesce(h.amount, 0) as open_holds, l.remaining as open_lots,
           j.seq as j_seq, j.lines as j_lines, j.minted as j_minted, j.spent as j_spent, j.expired as j_expired,
           j.reversed as j_reversed, j.owed as j_owed, coalesce(last.balance_after, 0) as j_last_balance
         from account a left join open_hold h on h.account_id = a.id
         cross join lateral (select coalesce(sum(remaining), 0)::bigint as remaining from lot
           where lot.community_id = $1 and lot.account_id = a.id and lot.is_open) l
         left join lateral (select balance_after from journal
           where journal.community_id = $1 and journal.account_id = a.id order by account_seq desc limit 1) last on true
         cross join lateral (select
             coalesce(max(account_seq), 0) as seq, count(*) as lines,
             coalesce(sum(amount) filter (where debit = 0), 0)::bigint as minted,
             coalesce(sum(amount) filter (where credit = 3), 0)::bigint as spent,
             coalesce(sum(amount) filter (where credit = 4), 0)::bigint as expired,
             coalesce(sum(amount) filter (where credit = 5), 0)::bigint as reversed,
             (coalesce(sum(amount) filter (where debit = 6), 0) - coalesce(sum(amount) filter (where credit = 6), 0))::bigint as owed
           from journal where journal.community_id = $1 and journal.account_id = a.id) j
         where a.community_id = $1 and a.id = any($2) order by a.id",
    )
    .bind(community.0)
    .bind(accounts)
    .bind(matches!(holds, Holds::Read))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| judge(community, row, holds)).collect())
}

fn judge(community: CommunityId, mut row: Row, holds: Holds<'_>) -> Judged {
    let key = AccountKey { community, account: AccountId(row.id) };
    if let Holds::Known(known) = holds {
        row.open_holds = known.get(&key).copied().unwrap_or(0);
    }
    let sums = Sums {
        seq: row.j_seq,
        lines: row.j_lines,
        minted: row.j_minted,
        spent: row.j_spent,
        expired: row.j_expired,
        reversed: row.j_reversed,
        owed: row.j_owed,
        last_balance: row.j_last_balance,
    };
    let available = i128::from(sums.balance()) - i128::from(row.open_holds) + i128::from(sums.owed);
    let pairs = [
        ("journal rows", sums.lines, row.seq.into()),
        ("last journal number", sums.seq, row.seq.into()),
        ("minted", row.minted, sums.minted.into()),
        ("spent", row.spent, sums.spent.into()),
        ("expired", row.expired, sums.expired.into()),
        ("reversed", row.reversed, sums.reversed.into()),
        ("owed", row.owed, sums.owed.into()),
        ("held", row.held, row.open_holds.into()),
        ("available", row.available, available),
        ("open lots", row.open_lots, i128::from(row.available) + i128::from(row.held)),
        ("balance of the last audit line", sums.last_balance, sums.balance().into()),
    ];
    let differences = pairs
        .into_iter()
        .map(|(sum, is, should)| (sum, i128::from(is), should))
        .filter(|(_, is, should)| is != should)
        .map(|(sum, is, should)| Difference {
            key,
            what: format!("{sum}: {is}, but {should} by the journal"),
            sum,
            by: is - should,
        })
        .collect();
    Judged { key, sums, open_holds: row.open_holds, differences }
}

/// Open holds per account of a community.
async fn open_holds(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<HashMap<AccountKey, i64>, sqlx::Error> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "select account_id, sum(amount)::bigint from hold where community_id = $1 and state = 0 group by account_id",
    )
    .bind(community.0)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(id, sum)| (AccountKey { community, account: AccountId(id) }, sum)).collect())
}

/// Recomputes all accounts of a community from the first journal row on.
///
/// Keyset pages, each a short statement of its own. Holds are read once for all of them, so an account that moved in
/// the meantime may look wrong: whoever does is looked at again in one snapshot, and only that counts.
pub async fn check_community(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<Vec<Difference>, sqlx::Error> {
    let holds = open_holds(connection, community).await?;
    let mut after = i64::MIN;
    let mut found = Vec::new();
    loop {
        let ids: Vec<i64> = sqlx::query_scalar(
            "select id from account where community_id = $1 and id > $2 order by id limit $3",
        )
        .bind(community.0)
        .bind(after)
        .bind(i64::try_from(PAGE).expect("small"))
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = ids.last() else { return Ok(found) };
        after = *last;
        let suspects: Vec<i64> = compare(connection, community, &ids, Holds::Known(&holds))
            .await?
            .into_iter()
            .filter(|judged| !judged.differences.is_empty())
            .map(|judged| judged.key.account.0)
            .collect();
        if !suspects.is_empty() {
            let judged = compare(connection, community, &suspects, Holds::Read).await?;
            found.extend(judged.into_iter().flat_map(|judged| judged.differences));
        }
    }
}

/// Recomputes all accounts of all communities: daily, and on demand. Freezes nothing; the caller decides.
pub async fn check_everything(pool: &PgPool) -> Result<Vec<Difference>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let communities: Vec<i64> = sqlx::query_scalar("select community_id from book order by community_id")
        .fetch_all(&mut *connection)
        .await?;
    let mut found = Vec::new();
    for community in communities {
        found.extend(check_community(&mut connection, CommunityId(community)).await?);
    }
    Ok(found)
}
