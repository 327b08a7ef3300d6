//! What a pass reads, all of it in the caller's REPEATABLE READ transaction: new journal rows, accounts in pages,
//! open holds, chains' ends, and PostgreSQL's own count of changed journal rows.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use types::{AccountId, CommunityId};

use crate::model::AccountKey;

/// Names the lock that passes take among themselves; any number that nobody else in this database uses.
const LOCK: i64 = 0x66_72_65_65_67_75_61_72;
/// Accounts of one statement: enough that the statement costs more than its round trip, few enough to be joined in memory.
const PAGE: i64 = 20_000;
/// A hold's row may become visible this long after its time: the writer takes the time before it writes and commits.
/// A writer refuses a hold that waited 5 s; the rest is room for clocks that differ. One that comes later still is found
/// by the exact check. At 1,500 answers/s each second of this is 1,500 rows that every pass reads.
const LATE: Duration = Duration::seconds(10);

/// Whether this pass may look: one at a time does. The lock goes with the transaction.
pub(super) async fn lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(connection).await
}

/// Adds the journal rows that are new since the last pass to the sums per account and to the sums of all. `false`:
/// some community has more than `at_once`, and more is to be read.
pub(super) async fn absorb(connection: &mut PgConnection, at_once: i64) -> Result<bool, sqlx::Error> {
    let most: i64 = sqlx::query_scalar(
        "with line as (
           select j.community_id, j.account_id, j.seq, j.account_seq, j.debit, j.credit, j.amount, j.balance_after
           from book b left join proof_book p on p.community_id = b.community_id
           cross join lateral (select * from journal where journal.community_id = b.community_id
             and journal.seq > coalesce(p.seq, 0) order by journal.seq limit $1) j
           where b.seq <> coalesce(p.seq, 0)),
         sums as (
           select community_id, account_id, count(*) as lines, max(account_seq) as seq, max(seq) as book_seq,
             coalesce(sum(amount) filter (where debit = 0), 0)::bigint as minted,
             coalesce(sum(amount) filter (where credit = 3), 0)::bigint as spent,
             coalesce(sum(amount) filter (where credit = 4), 0)::bigint as expired,
             coalesce(sum(amount) filter (where credit = 5), 0)::bigint as reversed,
             (coalesce(sum(amount) filter (where debit = 6), 0) - coalesce(sum(amount) filter (where credit = 6), 0))::bigint as owed,
             (array_agg(balance_after order by account_seq desc))[1] as last_balance
           from line group by community_id, account_id),
         accounts as (
           insert into proof as p (community_id, account_id, lines, seq, minted, spent, expired, reversed, owed, last_balance)
           select community_id, account_id, lines, seq, minted, spent, expired, reversed, owed, last_balance from sums
           on conflict (community_id, account_id) do update set lines = p.lines + excluded.lines, seq = excluded.seq,
             minted = p.minted + excluded.minted, spent = p.spent + excluded.spent, expired = p.expired + excluded.expired,
             reversed = p.reversed + excluded.reversed, owed = p.owed + excluded.owed, last_balance = excluded.last_balance),
         books as (
           insert into proof_book as b (community_id, seq) select community_id, max(book_seq) from sums group by community_id
           on conflict (community_id) do update set seq = excluded.seq),
         total as (
           update guard set lines = guard.lines + t.lines, minted = guard.minted + t.minted, spent = guard.spent + t.spent,
             expired = guard.expired + t.expired, reversed = guard.reversed + t.reversed, owed = guard.owed + t.owed
           from (select sum(lines) as lines, sum(minted) as minted, sum(spent) as spent, sum(expired) as expired,
             sum(reversed) as reversed, sum(owed) as owed from sums) t where t.lines > 0)
         select coalesce(max(lines), 0)::bigint from (select sum(lines) as lines from sums group by community_id) c",
    )
    .bind(at_once)
    .fetch_one(connection)
    .await?;
    Ok(most < at_once)
}

/// Open holds by account. Reads those that were made since the oldest that was open at the last pass, and remembers
/// where the next pass has to begin.
pub(super) async fn open_holds(
    connection: &mut PgConnection,
    now: OffsetDateTime,
) -> Result<HashMap<AccountKey, i64>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, OffsetDateTime)> = sqlx::query_as(
        "select community_id, account_id, sum(amount)::bigint, min(created_at) from hold
         where state = 0 and created_at >= coalesce((select open_since from guard), '-infinity')
         group by community_id, account_id",
    )
    .fetch_all(&mut *connection)
    .await?;
    let oldest = rows.iter().map(|row| row.3).min().unwrap_or(now).min(now - LATE);
    sqlx::query("update guard set open_since = $1 where open_since is distinct from $1")
        .bind(oldest)
        .execute(connection)
        .await?;
    let key =
        |community, account| AccountKey { community: CommunityId(community), account: AccountId(account) };
    Ok(rows.into_iter().map(|row| (key(row.0, row.1), row.2)).collect())
}

/// A hold from before was open after all: the next pass reads them all.
pub(super) async fn forget_open_since(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("update guard set open_since = null").execute(connection).await?;
    Ok(())
}

/// What the look at all accounts brought.
#[derive(Default)]
pub(super) struct Look {
    pub(super) accounts: i64,
    /// Whose counters do not fit what is kept of the journal.
    pub(super) suspects: Vec<AccountKey>,
    /// Sums of all that no suspect explains, in words.
    pub(super) global: Vec<String>,
}

/// One page: how many accounts, who looks wrong (`community id`, a comma between two), and the sums.
#[derive(sqlx::FromRow)]
struct Page {
    accounts: i64,
    suspects: String,
    lines: String,
    minted: String,
    spent: String,
    expired: String,
    reversed: String,
    owed: String,
}

/// The sums of all, by name. `numeric` travels as text: the sum of all accounts may pass 64 bits.
const TOTALS: [&str; 6] = ["journal rows", "minted", "spent", "expired", "reversed", "owed"];

/// Compares every account with what is kept of its journal, and the sum of all with the sum of all rows.
pub(super) async fn look(
    connection: &mut PgConnection,
    holds: &HashMap<AccountKey, i64>,
) -> Result<Look, sqlx::Error> {
    let mut open: Vec<(AccountKey, i64)> = holds.iter().map(|(key, amount)| (*key, *amount)).collect();
    open.sort_unstable();
    let mut look = Look::default();
    let mut totals = [0_i128; 6];
    let (mut after, last) = ((i64::MIN, i64::MIN), (i64::MAX, i64::MAX));
    while after != last {
        let until: Option<(i64, i64)> = sqlx::query_as(
            "select community_id, id from account where (community_id, id) > ($1, $2) order by community_id, id offset $3 limit 1",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(PAGE)
        .fetch_optional(&mut *connection)
        .await?;
        let until = until.unwrap_or(last);
        let position = |(key, _): &(AccountKey, i64)| (key.community.0, key.account.0);
        let from = open.partition_point(|entry| position(entry) <= after);
        let to = open.partition_point(|entry| position(entry) <= until);
        let page = page(connection, after, until, &open[from..to]).await?;
        look.accounts += page.accounts;
        let sums = [page.lines, page.minted, page.spent, page.expired, page.reversed, page.owed];
        for (total, sum) in totals.iter_mut().zip(&sums) {
            *total += number(sum);
        }
        let suspects: Vec<AccountKey> = page.suspects.split(',').filter_map(key_of).collect();
        if !suspects.is_empty() {
            // A suspect counts with what it should have: what one account explains is no difference of all.
            let excess = excess(connection, &suspects).await?;
            for (total, excess) in totals.iter_mut().zip(excess) {
                *total -= excess;
            }
            look.suspects.extend(suspects);
        }
        after = until;
    }
    let by_journal: (String, String, String, String, String, String) = sqlx::query_as(
        "select lines::text, minted::text, spent::text, expired::text, reversed::text, owed::text from guard",
    )
    .fetch_one(connection)
    .await?;
    let (lines, minted, spent, expired, reversed, owed) = by_journal;
    for ((name, is), should) in TOTALS.iter().zip(totals).zip([lines, minted, spent, expired, reversed, owed])
    {
        let should = number(&should);
        if is != should {
            look.global.push(format!(
                "the sum of all accounts: {name} {} {} than the journal's",
                is.abs_diff(should),
                if is > should { "more" } else { "less" }
            ));
        }
    }
    Ok(look)
}

/// Compares the accounts after one key up to another.
async fn page(
    connection: &mut PgConnection,
    after: (i64, i64),
    until: (i64, i64),
    open: &[(AccountKey, i64)],
) -> Result<Page, sqlx::Error> {
    let communities: Vec<i64> = open.iter().map(|(key, _)| key.community.0).collect();
    let accounts: Vec<i64> = open.iter().map(|(key, _)| key.account.0).collect();
    let amounts: Vec<i64> = open.iter().map(|(_, amount)| *amount).collect();
    sqlx::query_as(
        "with open_hold as (select * from unnest($5::bigint[], $6::bigint[], $7::bigint[]) as h(community_id, id, amount)),
         lots as (
           select community_id, account_id as id, sum(remaining) as remaining from lot
           where is_open and (community_id, account_id) > ($1, $2) and (community_id, account_id) <= ($3, $4)
           group by community_id, account_id),
         kept as (
           select community_id, account_id as id, lines, seq, minted, spent, expired, reversed, owed, last_balance,
             minted - spent - expired - reversed as balance from proof
           where (community_id, account_id) > ($1, $2) and (community_id, account_id) <= ($3, $4)),
         page as (
           select community_id, id, seq, minted, available, held, spent, expired, reversed, owed from account
           where (community_id, id) > ($1, $2) and (community_id, id) <= ($3, $4)),
         judged as (
           select community_id, id, a.seq is not distinct from coalesce(p.lines, 0) and a.seq = coalesce(p.seq, 0)
               and a.minted = coalesce(p.minted, 0) and a.spent = coalesce(p.spent, 0) and a.expired = coalesce(p.expired, 0)
               and a.reversed = coalesce(p.reversed, 0) and a.owed = coalesce(p.owed, 0) and a.held = coalesce(h.amount, 0)
               and a.available = coalesce(p.balance + p.owed, 0) - coalesce(h.amount, 0)
               and coalesce(l.remaining, 0) = coalesce(p.balance + p.owed, 0)
               and coalesce(p.last_balance, 0) = coalesce(p.balance, 0) as is_sound,
             a.seq as lines, a.minted, a.spent, a.expired, a.reversed, a.owed
           from page a full join kept p using (community_id, id)
           left join lots l using (community_id, id) left join open_hold h using (community_id, id))
         select count(*) as accounts,
           coalesce(string_agg(community_id || ' ' || id, ',') filter (where not is_sound), '') as suspects,
           coalesce(sum(lines), 0)::text as lines, coalesce(sum(minted), 0)::text as minted, coalesce(sum(spent), 0)::text as spent,
           coalesce(sum(expired), 0)::text as expired, coalesce(sum(reversed), 0)::text as reversed, coalesce(sum(owed), 0)::text as owed
         from judged",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(until.0)
    .bind(until.1)
    .bind(communities)
    .bind(accounts)
    .bind(amounts)
    .fetch_one(connection)
    .await
}

fn key_of(text: &str) -> Option<AccountKey> {
    let (community, id) = text.split_once(' ')?;
    Some(AccountKey { community: CommunityId(community.parse().ok()?), account: AccountId(id.parse().ok()?) })
}

/// How much more some accounts' counters sum to than what is kept of their journal; an account that is gone has less.
async fn excess(connection: &mut PgConnection, keys: &[AccountKey]) -> Result<[i128; 6], sqlx::Error> {
    let communities: Vec<i64> = keys.iter().map(|key| key.community.0).collect();
    let ids: Vec<i64> = keys.iter().map(|key| key.account.0).collect();
    let (lines, minted, spent, expired, reversed, owed): (String, String, String, String, String, String) = sqlx::query_as(
        "select sum(coalesce(a.seq, 0)::numeric - coalesce(p.lines, 0))::text, sum(coalesce(a.minted, 0)::numeric - coalesce(p.minted, 0))::text,
           sum(coalesce(a.spent, 0)::numeric - coalesce(p.spent, 0))::text, sum(coalesce(a.expired, 0)::numeric - coalesce(p.expired, 0))::text,
           sum(coalesce(a.reversed, 0)::numeric - coalesce(p.reversed, 0))::text, sum(coalesce(a.owed, 0)::numeric - coalesce(p.owed, 0))::text
         from unnest($1::bigint[], $2::bigint[]) as k(community_id, id)
         left join account a on a.community_id = k.community_id and a.id = k.id
         left join proof p on p.community_id = k.community_id and p.account_id = k.id",
    )
    .bind(communities)
    .bind(ids)
    .fetch_one(connection)
    .await?;
    Ok([lines, minted, spent, expired, reversed, owed].map(|sum| number(&sum)))
}

/// A `numeric` without decimals, as text.
fn number(text: &str) -> i128 {
    text.parse().expect("sums of bigints are whole, and fewer than 2^63 of them")
}

/// Looks at the ends of some communities' chains: the last journal row must be the one that the book names. Returns
/// where the next look begins, and what is broken.
pub(crate) async fn heads(
    connection: &mut PgConnection,
    after: i64,
    at_once: i64,
) -> Result<(i64, Vec<(CommunityId, String)>), sqlx::Error> {
    let (count, last, communities, seqs, journal): (i64, Option<i64>, Vec<i64>, Vec<i64>, Vec<i64>) =
        sqlx::query_as(
            "with ends as (
               select b.community_id, b.seq, coalesce(j.seq, 0) as last,
                 b.seq = coalesce(j.seq, 0) and b.head = coalesce(j.hash, decode(repeat('00', 32), 'hex')) as is_sound
               from (select community_id, seq, head from book where community_id > $1 order by community_id limit $2) b
               left join lateral (select seq, hash from journal where journal.community_id = b.community_id
                 order by seq desc limit 1) j on true)
             select count(*), max(community_id),
               coalesce(array_agg(community_id) filter (where not is_sound), '{}'),
               coalesce(array_agg(seq) filter (where not is_sound), '{}'),
               coalesce(array_agg(last) filter (where not is_sound), '{}')
             from ends",
        )
        .bind(after)
        .bind(at_once)
        .fetch_one(connection)
        .await?;
    let broken =
        communities.into_iter().zip(seqs.into_iter().zip(journal)).map(|(community, (seq, last))| {
            let what = if seq == last {
                format!("community {community}: the book's head is not the hash of journal row {seq}")
            } else {
                format!("community {community}: the book ends at {seq}, the journal at {last}")
            };
            (CommunityId(community), what)
        });
    let next = if count < at_once { i64::MIN } else { last.unwrap_or(i64::MIN) };
    Ok((next, broken.collect()))
}

/// How many journal rows were ever changed or deleted, before and now, when that moved. PostgreSQL counts them for
/// itself, also when somebody switched the triggers off; a crash sets its count to zero.
pub(super) async fn changed_rows(connection: &mut PgConnection) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let (before, now): (i64, i64) = sqlx::query_as(
        "select changed, coalesce((select n_tup_upd + n_tup_del from pg_stat_user_tables where relid = 'journal'::regclass), 0)
         from guard",
    )
    .fetch_one(connection)
    .await?;
    Ok((before != now).then_some((before, now)))
}

/// Makes everything that is kept anew from the whole journal. For an operator, after a mending.
pub(crate) async fn rebuild(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    for statement in [
        "delete from proof",
        "delete from proof_book",
        "update guard set lines = 0, minted = 0, spent = 0, expired = 0, reversed = 0, owed = 0, open_since = null",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    while !absorb(connection, super::LINES_AT_ONCE).await? {}
    Ok(())
}
