//! The judge: replays what happened in the order of each book with the independent model, and compares every answer,
//! every row and every hash.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::model::{Community, Counted, End, Line, Moment};
use crate::run::{Caught, Event, START, Tally, What, caught};
use crate::translate::{deed, micros, month, reply};
use crate::world::{COMMUNITIES, accounts};

const MOST: i128 = i64::MAX as i128;

pub(crate) struct Verdict {
    pub(crate) batches: usize,
    pub(crate) journal: usize,
    pub(crate) refused: BTreeMap<String, u64>,
}

pub(crate) async fn judge(
    pool: &PgPool,
    events: Vec<Event>,
    mut tally: Tally,
    overloaded: u64,
) -> Result<Verdict, Caught> {
    let (mut verdict, mut by_community) =
        (Verdict { batches: 0, journal: 0, refused: BTreeMap::new() }, HashMap::new());
    for event in events {
        by_community.entry(event.community).or_insert_with(Vec::new).push(event);
    }
    let mut connection = pool.acquire().await.unwrap();
    for community in COMMUNITIES {
        let mut model = Community::new(accounts(community), month(START));
        let mut events = by_community.remove(&community).unwrap_or_default();
        verdict.batches += events.len();
        replay(&mut model, &mut events, &mut tally, &mut verdict.refused)?;
        verdict.journal += model.journal.len();
        compare_book(&mut connection, community, &model, &events).await?;
        compare_accounts(&mut connection, community, &model).await?;
        compare_lots(&mut connection, community, &model).await?;
        compare_holds(&mut connection, community, &model).await?;
        compare_journal(&mut connection, community, &model).await?;
        identities(&mut connection, community).await?;
    }
    // What was answered is what was done; only an operation refused for want of time may have been done unheard, and
    // been undone.
    let (invented, unheard) = tally.difference();
    if invented > 0 || unheard > 2 * i64::try_from(overloaded).unwrap() {
        return caught("the callers", format!("{invented} answers nobody gave, {unheard} that nobody got"));
    }
    Ok(verdict)
}

fn replay(
    model: &mut Community,
    events: &mut [Event],
    tally: &mut Tally,
    refused: &mut BTreeMap<String, u64>,
) -> Result<(), Caught> {
    events.sort_by_key(|event| (event.version, !event.wrote));
    let mut version = 0;
    for event in events {
        if event.version != version + i64::from(event.wrote) {
            return caught("the order of the book", format!("version {} follows {version}", event.version));
        }
        version = event.version;
        match &event.what {
            What::CommunityCap(limit) => model.cap.limit = limit.map(i128::from),
            What::AccountCap(account, limit) => {
                model.accounts.get_mut(account).unwrap().cap.limit = limit.map(i128::from);
            }
            What::Frozen(account, frozen) => model.accounts.get_mut(account).unwrap().frozen = *frozen,
            What::Done { now, done } => {
                let at = Moment { micros: micros(*now), month: month(*now) };
                for (op, answer) in done {
                    tally.count(op, answer, 1);
                    let expected = model.apply(op.key().account.0, at, &deed(op));
                    if reply(answer) != expected {
                        return caught(
                            "an answer",
                            format!("{op:?} got {answer:?}, the model says {expected:?}"),
                        );
                    }
                    if let Err(refusal) = answer {
                        let name =
                            format!("{refusal:?}").chars().take_while(char::is_ascii_alphabetic).collect();
                        *refused.entry(name).or_default() += 1;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The identities of the migration's header, in one statement and so in one snapshot, by sums of our own.
pub(crate) async fn identities(connection: &mut PgConnection, community: i64) -> Result<(), Caught> {
    let broken: Vec<(String,)> = sqlx::query_as(
        "with l as (select account_id, sum(remaining) as open from lot where community_id = $1 group by 1),
         h as (select account_id, sum(amount) as open from hold where community_id = $1 and state = 0 group by 1),
         j as (select account_id, count(*) as n, max(account_seq) as last,
             sum(case when debit = 0 then amount when credit in (3, 4, 5) then -amount else 0 end) as balance,
             sum(case when debit = 6 then amount when credit = 6 then -amount else 0 end) as owed
           from journal where community_id = $1 group by 1),
         c as (select (select count(*) from journal where community_id = $1) as n,
             (select max(seq) from journal where community_id = $1) as last,
             (select hash from journal where community_id = $1 order by seq desc limit 1) as head)
         select 'account ' || a.id from account a left join l on l.account_id = a.id left join h on h.account_id = a.id
           left join j on j.account_id = a.id
           where a.community_id = $1 and not (
             a.minted::numeric + a.owed = a.available::numeric + a.held + a.spent + a.expired + a.reversed
             and coalesce(l.open, 0) = a.available + a.held and coalesce(h.open, 0) = a.held
             and coalesce(j.balance, 0) = a.available + a.held - a.owed and coalesce(j.owed, 0) = a.owed
             and coalesce(j.n, 0) = a.seq and coalesce(j.last, 0) = a.seq)
         union all
         select 'book ' || b.community_id from book b cross join c
           where b.community_id = $1 and not (b.seq = c.n and b.seq = coalesce(c.last, 0)
             and (c.head is null or b.head = c.head)
             and b.cap_held = (select coalesce(sum(amount), 0) from hold
               where community_id = $1 and state = 0 and cap_month = b.cap_month)
             and b.cap_spent = (select least(coalesce(sum(charged), 0), 9223372036854775807) from hold
               where community_id = $1 and state = 1 and cap_month = b.cap_month))",
    )
    .bind(community)
    .fetch_all(connection)
    .await
    .unwrap();
    match broken.first() {
        Some((what,)) => caught("the identities, in a snapshot", format!("{what} of community {community}")),
        None => Ok(()),
    }
}

async fn compare_book(
    connection: &mut PgConnection,
    community: i64,
    model: &Community,
    events: &[Event],
) -> Result<(), Caught> {
    let (version, seq, cap_month, held, spent): (i64, i64, Date, i64, i64) = sqlx::query_as(
        "select version, seq, cap_month, cap_held, cap_spent from book where community_id = $1",
    )
    .bind(community)
    .fetch_one(connection)
    .await
    .unwrap();
    let cap_month = (cap_month.year(), u8::from(cap_month.month()));
    let is = (version, i128::from(seq), cap_month, i128::from(held), i128::from(spent));
    let Counted { held, spent } = model.cap.counted(model.cap.month);
    let last = events.last().map_or(0, |event| event.version);
    let should = (last, model.journal.len() as i128, model.cap.month, held, spent.min(MOST));
    same("the book's row", &community, &is, &should)
}

type AccountRow = (i64, i64, i64, i64, i64, i64, i64, i64, i64, Date, i64, i64, bool);

async fn compare_accounts(
    connection: &mut PgConnection,
    community: i64,
    model: &Community,
) -> Result<(), Caught> {
    let rows: Vec<AccountRow> = sqlx::query_as(
        "select id, seq, minted, available, held, spent, expired, reversed, owed, cap_month, cap_held, cap_spent,
         frozen_at is not null from account where community_id = $1 order by id",
    )
    .bind(community)
    .fetch_all(connection)
    .await
    .unwrap();
    for (
        id,
        seq,
        minted,
        available,
        held,
        spent,
        expired,
        reversed,
        owed,
        cap_month,
        cap_held,
        cap_spent,
        frozen,
    ) in rows
    {
        let account = &model.accounts[&id];
        let is = [seq, minted, available, held, spent, expired, reversed, owed, cap_held, cap_spent]
            .map(i128::from);
        let counted = account.cap.counted(account.cap.month);
        let should = [
            account.lines,
            account.minted,
            model.available(id),
            model.held(id),
            account.spent,
            account.expired,
            account.reversed,
            account.owed,
            counted.held,
            counted.spent.min(MOST),
        ];
        let cap_month = (cap_month.year(), u8::from(cap_month.month()));
        same(
            "an account's row",
            &(community, id),
            &(is, cap_month, frozen),
            &(should, account.cap.month, account.frozen),
        )?;
    }
    Ok(())
}

type LotRow = (Uuid, i64, i16, i64, i64, i64, i64, OffsetDateTime, bool);

async fn compare_lots(
    connection: &mut PgConnection,
    community: i64,
    model: &Community,
) -> Result<(), Caught> {
    let rows: Vec<LotRow> = sqlx::query_as(
        "select id, account_id, source, minted, remaining, reversed, expired, expires_at, is_open from lot where community_id = $1",
    )
    .bind(community)
    .fetch_all(connection)
    .await
    .unwrap();
    same("the number of lots", &community, &rows.len(), &model.lots.len())?;
    for (id, account, source, minted, remaining, reversed, expired, expires_at, is_open) in rows {
        let lot = &model.lots[&id.as_u128()];
        let is = (
            account,
            source,
            [minted, remaining, reversed, expired].map(i128::from),
            micros(expires_at),
            is_open,
        );
        let should = (
            lot.account,
            lot.source,
            [lot.minted, lot.remaining, lot.reversed, lot.expired],
            lot.expires,
            lot.remaining > 0,
        );
        same("a lot's row", &id, &is, &should)?;
    }
    Ok(())
}

type HoldRow = (Uuid, i64, i64, i16, Option<i64>, Date, Vec<u8>);

async fn compare_holds(
    connection: &mut PgConnection,
    community: i64,
    model: &Community,
) -> Result<(), Caught> {
    let rows: Vec<HoldRow> = sqlx::query_as(
        "select id, account_id, amount, state, charged, cap_month, input_hash from hold where community_id = $1",
    )
    .bind(community)
    .fetch_all(connection)
    .await
    .unwrap();
    same("the number of holds", &community, &rows.len(), &model.holds.len())?;
    for (id, account, amount, state, charged, cap_month, input) in rows {
        let hold = &model.holds[&id.as_u128()];
        let end = match (state, charged) {
            (0, None) => End::Open,
            (1, Some(charged)) => End::Settled(charged.into()),
            (2, None) => End::Released,
            (3, None) => End::Orphaned,
            other => return caught("a hold's row", format!("{id} is {other:?}")),
        };
        let is =
            (account, i128::from(amount), end, (cap_month.year(), u8::from(cap_month.month())), &input[..]);
        same("a hold's row", &id, &is, &(hold.account, hold.amount, hold.end, hold.month, &hold.input[..]))?;
    }
    Ok(())
}

type JournalRow = (
    i64,
    i64,
    i64,
    i16,
    i16,
    i16,
    i64,
    i64,
    Option<Uuid>,
    Option<i16>,
    OffsetDateTime,
    Vec<u8>,
    String,
    Option<String>,
);

/// Every journal row is the model's, and the chain is what SPEC §7 says, by a reading of our own.
async fn compare_journal(
    connection: &mut PgConnection,
    community: i64,
    model: &Community,
) -> Result<(), Caught> {
    let rows: Vec<JournalRow> = sqlx::query_as(
        "select j.seq, j.account_id, j.account_seq, j.kind, j.debit, j.credit, j.amount, j.balance_after, j.ref, j.pool, j.at,
         j.hash, to_char(j.at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), a.holder
         from journal j join account a on a.community_id = j.community_id and a.id = j.account_id
         where j.community_id = $1 order by j.seq",
    )
    .bind(community)
    .fetch_all(connection)
    .await
    .unwrap();
    same("the number of journal rows", &community, &rows.len(), &model.journal.len())?;
    let (mut previous, mut balances) = ("0".repeat(64), HashMap::new());
    for (index, (row, line)) in rows.into_iter().zip(&model.journal).enumerate() {
        let (
            seq,
            account,
            account_seq,
            kind,
            debit,
            credit,
            amount,
            balance_after,
            reference,
            pool,
            at,
            hash,
            text,
            holder,
        ) = row;
        same("the numbers of the journal", &community, &seq, &i64::try_from(index + 1).unwrap())?;
        let is = Line {
            account,
            account_seq: account_seq.into(),
            kind,
            debit,
            credit,
            amount: amount.into(),
            balance_after: balance_after.into(),
            reference: reference.map(|id| id.as_u128()),
            pool,
            at: micros(at),
        };
        same("a journal row", &(community, seq), &is, line)?;
        let before: i64 = balances.insert(account, balance_after).unwrap_or(0);
        let kinds = ["mint", "settle", "expire", "reverse", "late_settle", "repay"];
        let pools = ["cheap", "standard", "reasoning", "architect", "flagship"];
        let reservation = reference.filter(|_| credit == 3).map(|id| id.to_string());
        let audit_line: BTreeMap<&str, Value> = BTreeMap::from([
            ("timestamp", text.into()),
            ("seq", seq.into()),
            ("operation_type", kinds[usize::try_from(kind - 1).unwrap()].into()),
            ("amount_micro", amount.to_string().into()),
            ("pool", pool.map(|pool| pools[usize::try_from(pool).unwrap()]).into()),
            ("user_wallet", holder.into()),
            ("reservation_id", reservation.into()),
            ("pre_balance_micro", before.to_string().into()),
            ("post_balance_micro", balance_after.to_string().into()),
            ("conservation_result", "ok".into()),
            ("prev_hash", previous.clone().into()),
        ]);
        let text = previous + &serde_json::to_string(&audit_line).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        same("the hash chain", &(community, seq), &hash, &digest.as_ref().to_vec())?;
        previous = hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(
    by: &'static str,
    whose: &impl std::fmt::Debug,
    is: &T,
    should: &T,
) -> Result<(), Caught> {
    if is == should { Ok(()) } else { caught(by, format!("{whose:?}: {is:?}, the model says {should:?}")) }
}
