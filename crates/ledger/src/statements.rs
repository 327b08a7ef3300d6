//! Every statement of a money transaction, reads and writes, and how state becomes their parameters.
//!
//! Reads come in two: first the locks (books, then accounts, each in key order), then, in *later* statements, lots
//! and holds. In READ COMMITTED a statement that waits for a lock re-reads only the locked row; anything it joins
//! comes from the snapshot before the wait. Reading lots with the lock would read them stale.
//!
//! Not `sqlx::query!`, which checks the other SQL of this crate while it compiles: two drivers share these texts (`column`).

use types::{CommunityId, LotId, ReservationId};

use crate::column::{Column, Row};
use crate::model::{Account, AccountKey, Book, Cap, Hold, HoldState, Lot, Op, Source};
use crate::state::{AccountState, BookState, HoldRow, LotState, State, Write};

/// Open lots that are read with an account at first. Nearly every settle lies within the first; the rule asks for
/// the rest when it needs them.
pub(crate) const LOTS_AT_FIRST: i64 = 4;
/// More open lots than one account can sensibly have, as a bound of the second read.
pub(crate) const LOTS_AT_MOST: i64 = 1_000_000;

pub(crate) const LOCK_BOOKS: &str =
    "select community_id, version, seq, head, cap_month, cap_limit, cap_held, cap_spent
 from book where community_id = any($1) order by community_id for update";

pub(crate) const LOCK_ACCOUNTS: &str =
    "select a.community_id, a.id, a.version, a.seq, a.minted, a.available, a.held, a.spent, a.expired,
 a.reversed, a.owed, a.cap_month, a.cap_limit, a.cap_held, a.cap_spent, a.holder, a.frozen_at is not null
 from account a join (select unnest($1::bigint[]), unnest($2::bigint[])) as k(community_id, id)
 on a.community_id = k.community_id and a.id = k.id order by a.community_id, a.id for update of a";

pub(crate) const READ_LOTS: &str = "select l.community_id, l.account_id, l.id, l.source, l.minted, l.remaining, l.reversed, l.expires_at, l.created_at, l.expired
 from (select unnest($1::bigint[]), unnest($2::bigint[])) as k(community_id, id), lateral (
 select * from lot where lot.community_id = k.community_id and lot.account_id = k.id and lot.is_open
 order by lot.expires_at, lot.id limit $3) l";

pub(crate) const READ_HOLDS: &str =
    "select h.community_id, h.id, h.account_id, h.amount, h.input_hash, h.cap_month, h.state, h.charged
 from (select unnest($1::bigint[]), unnest($2::uuid[])) as k(community_id, id), lateral (
 select * from hold where hold.community_id = k.community_id and hold.id = k.id limit 1) h";

pub(crate) const READ_NAMED_LOTS: &str = "select l.community_id, l.account_id, l.id, l.source, l.minted, l.remaining, l.reversed, l.expires_at, l.created_at, l.expired
 from (select unnest($1::bigint[]), unnest($2::uuid[])) as k(community_id, id), lateral (
 select * from lot where lot.community_id = k.community_id and lot.id = k.id limit 1) l";

/// Whether the guard stopped minting. One row, read only by batches that mint.
pub(crate) const READ_GUARD: &str = "select minting_stopped_at is not null from guard where id = 1";

// Rows come as arrays, one for each column, and are put together by `unnest` in a select list. In a FROM clause PostgreSQL
// stores each array as a table of its own first: 14 arrays of one batch cost 60 to 75 µs that way, and 13 this way.
//
// Each write counts its rows and divides by zero when one is missing: the statement fails, the transaction with it,
// and a commit that was already sent becomes a rollback. `joined` takes them apart where COUNTED says.
pub(crate) const WRITE_BOOKS: &str =
    "with u as (update book b set version = b.version + 1, seq = k.seq, head = k.head,
 cap_month = k.cap_month, cap_held = k.cap_held, cap_spent = k.cap_spent
 from (select unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bytea[]),
 unnest($6::date[]), unnest($7::bigint[]), unnest($8::bigint[]))
 as k(community_id, version, seq, head, cap_month, cap_held, cap_spent)
 where b.community_id = k.community_id and b.version = k.version returning 1)
 select 1 / (count(*) = $1)::int from u";

pub(crate) const WRITE_ACCOUNTS: &str = "with u as (update account a set version = a.version + 1, seq = k.seq, minted = k.minted,
 available = k.available, held = k.held, spent = k.spent, expired = k.expired, reversed = k.reversed, owed = k.owed,
 cap_month = k.cap_month, cap_held = k.cap_held, cap_spent = k.cap_spent
 from (select unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]),
 unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]),
 unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::date[]), unnest($14::bigint[]), unnest($15::bigint[]))
 as k(community_id, id, version, seq, minted, available, held, spent, expired, reversed, owed, cap_month, cap_held, cap_spent)
 where a.community_id = k.community_id and a.id = k.id and a.version = k.version returning 1)
 select 1 / (count(*) = $1)::int from u";

pub(crate) const INSERT_LOTS: &str = "with u as (insert into lot (community_id, account_id, id, source, minted, remaining, reversed, expires_at, is_open, created_at, expired)
 select unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::uuid[]), unnest($5::smallint[]), unnest($6::bigint[]),
 unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::timestamptz[]), unnest($10::boolean[]),
 unnest($11::timestamptz[]), unnest($12::bigint[]) returning 1)
 select 1 / (count(*) = $1)::int from u";

pub(crate) const UPDATE_LOTS: &str = "with u as (update lot l set remaining = k.remaining, reversed = k.reversed, is_open = k.is_open, expired = k.expired
 from (select unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::bigint[]),
 unnest($6::boolean[]), unnest($7::bigint[]))
 as k(community_id, id, remaining, reversed, is_open, expired)
 where l.community_id = k.community_id and l.id = k.id returning 1)
 select 1 / (count(*) = $1)::int from u";

pub(crate) const INSERT_HOLDS: &str = "with u as (insert into hold (community_id, id, account_id, owner_id, key_id, cap_month, amount, input_hash, state,
 price_version, agent, asked, created_at)
 select k.community_id, k.id, k.account_id, k.owner_id, k.key_id, k.cap_month, k.amount, k.input_hash, 0, k.price_version, k.agent, k.asked, k.at
 from (select unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::int[]), unnest($6::bigint[]),
 unnest($7::date[]), unnest($8::bigint[]), unnest($9::bytea[]), unnest($10::int[]), unnest($11::text[]),
 unnest($12::text[]), unnest($13::timestamptz[]))
 as k(community_id, id, account_id, owner_id, key_id, cap_month, amount, input_hash, price_version, agent, asked, at) returning 1)
 select 1 / (count(*) = $1)::int from u";

pub(crate) const UPDATE_HOLDS: &str = "with u as (update hold h set amount = k.amount, state = k.state, charged = k.charged, pool = k.pool, model = k.model,
 reason = k.reason, tokens_in = k.tokens_in, tokens_out = k.tokens_out, own_in = k.own_in, own_out = k.own_out, closed_at = k.closed_at
 from (select unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::smallint[]), unnest($5::bigint[]),
 unnest($6::smallint[]), unnest($7::bigint[]), unnest($8::smallint[]), unnest($9::text[]), unnest($10::text[]),
 unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::bigint[]),
 unnest($15::timestamptz[]))
 as k(community_id, id, stored, amount, state, charged, pool, model, reason, tokens_in, tokens_out, own_in, own_out, closed_at)
 where h.community_id = k.community_id and h.id = k.id and h.state = k.stored returning 1)
 select 1 / (count(*) = $1)::int from u";

pub(crate) const INSERT_ENTRIES: &str = "with u as (insert into journal (community_id, seq, account_id, account_seq, kind, debit, credit, amount, balance_after,
 ref, pool, at, hash)
 select unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::smallint[]),
 unnest($7::smallint[]), unnest($8::smallint[]), unnest($9::bigint[]), unnest($10::bigint[]), unnest($11::uuid[]),
 unnest($12::smallint[]), unnest($13::timestamptz[]), unnest($14::bytea[]) returning 1)
 select 1 / (count(*) = $1)::int from u";

/// What stands around each write: its rows are counted, and compared with its first parameter.
const COUNTED: (&str, &str) = ("with u as (", ")\n select 1 / (count(*) = $1)::int from u");

/// Whether a statement of [`ALL`] is a write. The writer's connection runs them joined only.
pub(crate) fn is_write(sql: &str) -> bool {
    sql.starts_with(COUNTED.0)
}

/// All writes that a batch can have at once, as one statement: for the test that looks at its plan.
#[doc(hidden)]
pub fn joined_writes() -> String {
    joined(ALL.into_iter().filter(|sql| is_write(sql)))
}

/// Several writes as one statement: what a statement costs beside its rows (its messages, its start, its reply and who wakes
/// for that) is paid once. Their parameters follow one another. PostgreSQL gives all of them one snapshot and promises no
/// order, so no two may write the same row. In fact `and` asks for the counts from the left, books before accounts: without
/// that, writes that come without locks before them could meet others in a deadlock, and would go again.
pub(crate) fn joined<'a>(writes: impl Iterator<Item = &'a str>) -> String {
    let (mut parts, mut counts) = (Vec::new(), Vec::new());
    let mut taken = 0;
    for (number, sql) in writes.enumerate() {
        let body = sql.strip_prefix(COUNTED.0).and_then(|rest| rest.strip_suffix(COUNTED.1));
        let (body, parameters) = renumbered(body.expect("every write counts its rows"), taken);
        parts.push(format!("u{number} as ({body})"));
        counts.push(format!("(select count(*) from u{number}) = ${}", taken + 1));
        taken = parameters;
    }
    format!("with {}\n select 1 / ({})::int", parts.join(",\n"), counts.join(" and "))
}

/// The text with its parameters counted on from `taken`, and how many are taken then.
fn renumbered(body: &str, taken: usize) -> (String, usize) {
    let mut pieces = body.split('$');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    let mut last = taken + 1;
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let number = taken + piece[..digits].parse::<usize>().expect("a parameter has a number");
        last = last.max(number);
        out.extend(["$", &number.to_string(), &piece[digits..]]);
    }
    (out, last)
}

/// Every statement of a money transaction.
pub const ALL: [&str; 13] = [
    LOCK_BOOKS,
    LOCK_ACCOUNTS,
    READ_LOTS,
    READ_HOLDS,
    READ_NAMED_LOTS,
    READ_GUARD,
    WRITE_BOOKS,
    WRITE_ACCOUNTS,
    INSERT_LOTS,
    UPDATE_LOTS,
    INSERT_HOLDS,
    UPDATE_HOLDS,
    INSERT_ENTRIES,
];

/// A statement and its parameters.
pub(crate) type Statement = (&'static str, Vec<Column>);

/// What a batch of operations has to read.
pub(crate) fn reads<'a>(ops: impl Iterator<Item = &'a Op>, lots: i64) -> Vec<Statement> {
    let (mut keys, mut holds, mut named) = (Vec::new(), Vec::new(), Vec::new());
    let mut mints = false;
    for op in ops {
        mints |= matches!(op, Op::Mint { .. });
        let key = op.key();
        keys.push(key);
        holds.extend(op.hold_id().map(|id| (key.community.0, id.0)));
        named.extend(op.lot_id().map(|id| (key.community.0, id.0)));
    }
    keys.sort_unstable();
    keys.dedup();
    holds.sort_unstable();
    holds.dedup();
    named.sort_unstable();
    named.dedup();
    let mut communities: Vec<i64> = keys.iter().map(|key| key.community.0).collect();
    communities.dedup();
    let key_columns = || {
        vec![
            Column::Big(keys.iter().map(|key| key.community.0).collect()),
            Column::Big(keys.iter().map(|key| key.account.0).collect()),
        ]
    };
    let mut lot_parameters = key_columns();
    lot_parameters.push(Column::One(lots));
    let mut statements = vec![
        (LOCK_BOOKS, vec![Column::Big(communities)]),
        (LOCK_ACCOUNTS, key_columns()),
        (READ_LOTS, lot_parameters),
    ];
    let pairs = |pairs: Vec<(i64, uuid::Uuid)>| {
        let (communities, ids) = pairs.into_iter().unzip();
        vec![Column::Big(communities), Column::Uuid(ids)]
    };
    if !holds.is_empty() {
        statements.push((READ_HOLDS, pairs(holds)));
    }
    if !named.is_empty() {
        statements.push((READ_NAMED_LOTS, pairs(named)));
    }
    if mints {
        statements.push((READ_GUARD, Vec::new()));
    }
    statements
}

/// State from the rows that [`reads`] brought, in its order.
pub(crate) fn decode<R: Row>(answers: &[(&'static str, Vec<R>)], lots_asked: i64) -> State {
    let mut state = State::default();
    for (statement, rows) in answers {
        for row in rows {
            match *statement {
                LOCK_BOOKS => {
                    let book = book(row);
                    state.books.insert(book.community, BookState { book, touched: false });
                }
                LOCK_ACCOUNTS => {
                    let account = account(row);
                    let fresh = AccountState { account, lots: Vec::new(), horizon: None, touched: false };
                    state.accounts.insert(fresh.account.key, fresh);
                }
                READ_LOTS => {
                    let lot = lot(row);
                    if let Some(account) = state.accounts.get_mut(&lot.key) {
                        account.insert_lot(LotState { lot, write: Write::Nothing });
                        let is_full =
                            i64::try_from(account.lots.len()).is_ok_and(|count| count >= lots_asked);
                        account.horizon = account.lots.last().filter(|_| is_full).map(LotState::place);
                    }
                }
                READ_NAMED_LOTS => {
                    let lot = lot(row);
                    state.named_lots.insert((lot.key.community, lot.id), lot);
                }
                READ_GUARD => state.minting_stopped = row.flag(0),
                _ => {
                    let row = HoldRow::stored(hold(row));
                    state.holds.insert((row.hold.key.community, row.hold.id), row);
                }
            }
        }
    }
    state
}

fn book(row: &impl Row) -> Book {
    Book {
        community: CommunityId(row.big(0)),
        version: row.big(1),
        seq: row.big(2),
        head: row.hash(3),
        cap: Cap { month: row.date(4), limit: row.opt_big(5), held: row.big(6), spent: row.big(7) },
    }
}

fn account(row: &impl Row) -> Account {
    Account {
        key: key(row, 0, 1),
        version: row.big(2),
        seq: row.big(3),
        minted: row.big(4),
        available: row.big(5),
        held: row.big(6),
        spent: row.big(7),
        expired: row.big(8),
        reversed: row.big(9),
        owed: row.big(10),
        cap: Cap { month: row.date(11), limit: row.opt_big(12), held: row.big(13), spent: row.big(14) },
        holder: row.opt_text(15),
        frozen: row.flag(16),
    }
}

pub(crate) fn lot(row: &impl Row) -> Lot {
    Lot {
        key: key(row, 0, 1),
        id: LotId(row.uuid(2)),
        source: Source::from_db(row.small(3)).expect("a CHECK keeps sources known"),
        minted: row.big(4),
        remaining: row.big(5),
        reversed: row.big(6),
        expires_at: row.time(7),
        created_at: row.time(8),
        expired: row.big(9),
    }
}

fn hold(row: &impl Row) -> Hold {
    let state = match (row.small(6), row.opt_big(7)) {
        (0, _) => HoldState::Open,
        (1, Some(charged)) => HoldState::Settled { charged },
        (2, _) => HoldState::Released,
        _ => HoldState::Orphaned,
    };
    Hold {
        id: ReservationId(row.uuid(1)),
        key: key(row, 0, 2),
        amount: row.big(3),
        input_hash: row.hash(4),
        cap_month: row.date(5),
        state,
    }
}

fn key(row: &impl Row, community: usize, account: usize) -> AccountKey {
    AccountKey { community: CommunityId(row.big(community)), account: types::AccountId(row.big(account)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_writes_count_each_its_rows_and_their_parameters_follow_one_another() {
        let one = format!(
            "{}update a set x = k.x from (select unnest($2::bigint[]), unnest($3::int[])) k returning 1{}",
            COUNTED.0, COUNTED.1
        );
        let other = format!("{}insert into b select unnest($2::text[]) returning 1{}", COUNTED.0, COUNTED.1);
        assert_eq!(
            joined([one.as_str(), &other].into_iter()),
            "with u0 as (update a set x = k.x from (select unnest($2::bigint[]), unnest($3::int[])) k returning 1),\n\
             u1 as (insert into b select unnest($5::text[]) returning 1)\n \
             select 1 / ((select count(*) from u0) = $1 and (select count(*) from u1) = $4)::int"
        );
        assert_eq!(ALL.iter().filter(|sql| is_write(sql)).count(), 7);
        let all = joined_writes();
        assert!(all.contains("$84") && !all.contains("$85"), "{all}");
    }
}
