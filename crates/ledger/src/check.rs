//! The checker: recomputes every sum from the append-only journal, the open holds and the lots, in one snapshot, and
//! compares it with the cached counters. One micro-USD of difference freezes the account (SPEC §2).
//!
//! It trusts no counter. What it may keep between passes are sums over journal rows it has read itself, which can
//! not change any more.

use std::collections::HashMap;

use sqlx::{PgConnection, PgPool};
use types::{AccountId, Clock, CommunityId};

use crate::accounts::freeze;
use crate::model::AccountKey;

/// Accounts in one statement: one snapshot, short enough not to hold back vacuum.
const PAGE: usize = 500;
/// Sums kept between passes. Past this they are forgotten and read again: slower, never wrong.
const KEPT_AT_MOST: usize = 100_000;

/// Where the books do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub key: AccountKey,
    /// Which sum, what it is and what it should be.
    pub what: String,
}

/// Sums over an account's journal up to `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    seq: i64,
    rows: i64,
    minted: i64,
    spent: i64,
    expired: i64,
    reversed: i64,
    owed: i64,
    balance: i64,
}

impl Sums {
    fn plus(self, later: Self) -> Self {
        Self {
            seq: self.seq.max(later.seq),
            rows: self.rows + later.rows,
            minted: self.minted + later.minted,
            spent: self.spent + later.spent,
            expired: self.expired + later.expired,
            reversed: self.reversed + later.reversed,
            owed: self.owed + later.owed,
            balance: self.balance + later.balance,
        }
    }
}

/// An account's counters, and its sums over the journal rows after those that are known (`j_…`).
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
    last_balance: Option<i64>,
    j_seq: i64,
    j_rows: i64,
    j_minted: i64,
    j_spent: i64,
    j_expired: i64,
    j_reversed: i64,
    j_owed: i64,
    j_balance: i64,
}

/// Compares some accounts of one community with their journal rows after `known`.
async fn compare(
    connection: &mut PgConnection,
    community: CommunityId,
    accounts: &[(i64, Sums)],
) -> Result<Vec<(AccountKey, Sums, Vec<Difference>)>, sqlx::Error> {
    let ids: Vec<i64> = accounts.iter().map(|(id, _)| *id).collect();
    let from: Vec<i64> = accounts.iter().map(|(_, sums)| sums.seq).collect();
    let known: HashMap<i64, Sums> = accounts.iter().copied().collect();
    // One statement is one snapshot, whatever the isolation level.
    let rows = sqlx::query_as!(
        Row,
        r#"with open_hold as (
           select account_id, sum(amount)::bigint as amount from hold
           where community_id = $1 and state = 0 and account_id = any($2) group by account_id)
         select a.id, a.seq, a.minted, a.available, a.held, a.spent, a.expired, a.reversed, a.owed,
           coalesce(h.amount, 0) as "open_holds!", l.remaining as "open_lots!", last.balance_after as "last_balance?",
           j.seq as "j_seq!", j.rows as "j_rows!", j.minted as "j_minted!", j.spent as "j_spent!", j.expired as "j_expired!",
           j.reversed as "j_reversed!", j.owed as "j_owed!", j.balance as "j_balance!"
         from unnest($2::bigint[], $3::bigint[]) as k(id, from_seq)
         join account a on a.community_id = $1 and a.id = k.id
         left join open_hold h on h.account_id = a.id
         cross join lateral (select coalesce(sum(remaining), 0)::bigint as remaining from lot
           where lot.community_id = $1 and lot.account_id = a.id and lot.is_open) l
         left join lateral (select balance_after from journal
           where journal.community_id = $1 and journal.account_id = a.id order by account_seq desc limit 1) last on true
         cross join lateral (select
             coalesce(max(account_seq), 0) as seq, count(*) as rows,
             coalesce(sum(amount) filter (where debit = 0), 0)::bigint as minted,
             coalesce(sum(amount) filter (where credit = 3), 0)::bigint as spent,
             coalesce(sum(amount) filter (where credit = 4), 0)::bigint as expired,
             coalesce(sum(amount) filter (where credit = 5), 0)::bigint as reversed,
             (coalesce(sum(amount) filter (where debit = 6), 0) - coalesce(sum(amount) filter (where credit = 6), 0))::bigint as owed,
             (coalesce(sum(amount) filter (where debit = 0), 0) - coalesce(sum(amount) filter (where credit in (3, 4, 5)), 0))::bigint as balance
           from journal where journal.community_id = $1 and journal.account_id = a.id and account_seq > k.from_seq) j"#,
        community.0,
        &ids,
        &from
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| judge(community, &row, known[&row.id])).collect())
}

fn judge(community: CommunityId, row: &Row, known: Sums) -> (AccountKey, Sums, Vec<Difference>) {
    let key = AccountKey { community, account: AccountId(row.id) };
    let sums = known.plus(Sums {
        seq: row.j_seq,
        rows: row.j_rows,
        minted: row.j_minted,
        spent: row.j_spent,
        expired: row.j_expired,
        reversed: row.j_reversed,
        owed: row.j_owed,
        balance: row.j_balance,
    });
    let pairs = [
        ("journal rows", sums.rows, row.seq),
        ("last journal number", sums.seq, row.seq),
        ("minted", row.minted, sums.minted),
        ("spent", row.spent, sums.spent),
        ("expired", row.expired, sums.expired),
        ("reversed", row.reversed, sums.reversed),
        ("owed", row.owed, sums.owed),
        ("held", row.held, row.open_holds),
        ("available", row.available, sums.balance - row.open_holds + sums.owed),
        ("open lots", row.open_lots, row.available + row.held),
        ("balance of the last audit line", row.last_balance.unwrap_or(0), sums.balance),
    ];
    let differences = pairs
        .into_iter()
        .filter(|(_, is, should)| is != should)
        .map(|(name, is, should)| Difference {
            key,
            what: format!("{name}: {is}, but {should} by the journal"),
        })
        .collect();
    (key, sums, differences)
}

/// Recomputes all accounts of a community from the first journal row on.
pub async fn check_community(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<Vec<Difference>, sqlx::Error> {
    let mut after = i64::MIN;
    let mut found = Vec::new();
    loop {
        let ids = sqlx::query_scalar!(
            "select id from account where community_id = $1 and id > $2 order by id limit $3",
            community.0,
            after,
            i64::try_from(PAGE).expect("small")
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = ids.last() else { return Ok(found) };
        after = *last;
        let accounts: Vec<_> = ids.into_iter().map(|id| (id, Sums::default())).collect();
        for (_, _, differences) in compare(connection, community, &accounts).await? {
            found.extend(differences);
        }
    }
}

/// Recomputes all accounts of all communities: daily, and on demand. Freezes nothing; the caller decides.
pub async fn check_everything(pool: &PgPool) -> Result<Vec<Difference>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let communities = sqlx::query_scalar!("select community_id from book order by community_id")
        .fetch_all(&mut *connection)
        .await?;
    let mut found = Vec::new();
    for community in communities {
        found.extend(check_community(&mut connection, CommunityId(community)).await?);
    }
    Ok(found)
}

/// The job that runs every 15 s: looks at the accounts that moved since its last pass.
#[derive(Debug, Default)]
pub struct Checker {
    seen: HashMap<CommunityId, i64>,
    kept: HashMap<AccountKey, Sums>,
}

impl Checker {
    /// One pass. A difference freezes its account, is recorded and counted, and is returned.
    pub async fn pass(&mut self, pool: &PgPool, clock: &Clock) -> Result<Vec<Difference>, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let books = sqlx::query!("select community_id, seq from book order by community_id")
            .fetch_all(&mut *connection)
            .await?;
        let mut found = Vec::new();
        for book in books {
            let (community, seq) = (CommunityId(book.community_id), book.seq);
            let seen = self.seen.get(&community).copied().unwrap_or(0);
            if seen == seq {
                continue;
            }
            let moved = sqlx::query_scalar!(
                "select distinct account_id from journal where community_id = $1 and seq > $2 and seq <= $3",
                community.0,
                seen,
                seq
            )
            .fetch_all(&mut *connection)
            .await?;
            for page in moved.chunks(PAGE) {
                let known = |id: &i64| self.kept.get(&AccountKey { community, account: AccountId(*id) });
                let accounts: Vec<_> =
                    page.iter().map(|id| (*id, known(id).copied().unwrap_or_default())).collect();
                for (key, sums, differences) in compare(&mut connection, community, &accounts).await? {
                    if differences.is_empty() {
                        self.keep(key, sums);
                    } else {
                        self.kept.remove(&key);
                    }
                    for difference in &differences {
                        metrics::counter!("ledger_conservation_violations_total").increment(1);
                        tracing::error!(%community, account = %key.account, what = %difference.what, "the books do not agree: the account is frozen");
                        freeze(&mut connection, key, &difference.what, clock.now()).await?;
                    }
                    found.extend(differences);
                }
            }
            // Only now: a pass that breaks off looks at this community again.
            self.seen.insert(community, seq);
        }
        metrics::counter!("ledger_conservation_checks_total").increment(1);
        Ok(found)
    }

    fn keep(&mut self, key: AccountKey, sums: Sums) {
        if self.kept.len() >= KEPT_AT_MOST {
            self.kept.clear();
        }
        self.kept.insert(key, sums);
    }
}
