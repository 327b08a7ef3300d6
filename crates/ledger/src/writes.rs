//! The write half of a batch: changed state as multi-row statements, each with its count first.

use time::OffsetDateTime;

use crate::column::Column;
use crate::model::{Entry, HoldState};
use crate::state::{AccountState, BookState, HoldRow, LotState, State, Write};
use crate::statements::{
    INSERT_ENTRIES, INSERT_HOLDS, INSERT_LOTS, Statement, UPDATE_HOLDS, UPDATE_LOTS, WRITE_ACCOUNTS,
    WRITE_BOOKS,
};

/// What a batch has to write; statements without rows are left out.
pub(crate) fn writes(state: &State, now: OffsetDateTime) -> Vec<Statement> {
    let mut statements = Vec::with_capacity(7);
    books(&mut statements, &state.books.values().filter(|book| book.touched).collect::<Vec<_>>());
    accounts(&mut statements, &state.accounts.values().filter(|account| account.touched).collect::<Vec<_>>());
    let lots = |write| -> Vec<&LotState> {
        state.accounts.values().flat_map(|account| &account.lots).filter(|lot| lot.write == write).collect()
    };
    insert_lots(&mut statements, &lots(Write::Insert));
    update_lots(&mut statements, &lots(Write::Update));
    let mut changed: Vec<&HoldRow> = state.holds.values().filter(|row| row.changed).collect();
    changed.sort_unstable_by_key(|row| (row.hold.key, row.hold.id));
    insert_holds(
        &mut statements,
        &changed.iter().copied().filter(|row| row.new.is_some()).collect::<Vec<_>>(),
        now,
    );
    let closing = |row: &&&HoldRow| row.new.is_none() || row.hold.state != HoldState::Open;
    update_holds(&mut statements, &changed.iter().filter(closing).copied().collect::<Vec<_>>(), now);
    entries(&mut statements, &state.entries);
    statements
}

/// [`writes`], in groups that may each be joined into one statement: a hold that one batch makes and closes is written
/// twice, and what writes it second comes in a group of its own.
pub(crate) fn groups(state: &State, now: OffsetDateTime) -> Vec<Vec<Statement>> {
    let mut first = writes(state, now);
    let is_made_and_closed =
        |row: &HoldRow| row.changed && row.new.is_some() && row.hold.state != HoldState::Open;
    let second = state.holds.values().any(is_made_and_closed).then(|| {
        let at = first.iter().position(|(sql, _)| *sql == UPDATE_HOLDS).expect("closing it is an update");
        vec![first.remove(at)]
    });
    [first].into_iter().chain(second).filter(|group| !group.is_empty()).collect()
}

/// Adds a statement whose first parameter is the number of its rows.
macro_rules! push {
    ($statements:expr, $sql:expr, $rows:expr, $($kind:ident |$row:ident| $value:expr),+ $(,)?) => {
        if !$rows.is_empty() {
            let count = i64::try_from($rows.len()).expect("a batch is bounded");
            $statements.push(($sql, vec![Column::One(count), $(Column::$kind($rows.iter().map(|$row| $value).collect())),+]));
        }
    };
}

fn books(statements: &mut Vec<Statement>, rows: &[&BookState]) {
    push!(
        statements,
        WRITE_BOOKS,
        rows,
        Big | row | row.book.community.0,
        Big | row | row.book.version,
        Big | row | row.book.seq,
        Hash | row | row.book.head.to_vec(),
        Date | row | row.book.cap.month,
        Big | row | row.book.cap.held,
        Big | row | row.book.cap.spent,
    );
}

fn accounts(statements: &mut Vec<Statement>, rows: &[&AccountState]) {
    push!(
        statements,
        WRITE_ACCOUNTS,
        rows,
        Big | row | row.account.key.community.0,
        Big | row | row.account.key.account.0,
        Big | row | row.account.version,
        Big | row | row.account.seq,
        Big | row | row.account.minted,
        Big | row | row.account.available,
        Big | row | row.account.held,
        Big | row | row.account.spent,
        Big | row | row.account.expired,
        Big | row | row.account.reversed,
        Big | row | row.account.owed,
        Date | row | row.account.cap.month,
        Big | row | row.account.cap.held,
        Big | row | row.account.cap.spent,
    );
}

fn insert_lots(statements: &mut Vec<Statement>, rows: &[&LotState]) {
    push!(
        statements,
        INSERT_LOTS,
        rows,
        Big | row | row.lot.key.community.0,
        Big | row | row.lot.key.account.0,
        Uuid | row | row.lot.id.0,
        Small | row | row.lot.source as i16,
        Big | row | row.lot.minted,
        Big | row | row.lot.remaining,
        Big | row | row.lot.reversed,
        Time | row | row.lot.expires_at,
        Bool | row | row.lot.remaining > 0,
        Time | row | row.lot.created_at,
        Big | row | row.lot.expired,
    );
}

fn update_lots(statements: &mut Vec<Statement>, rows: &[&LotState]) {
    push!(
        statements,
        UPDATE_LOTS,
        rows,
        Big | row | row.lot.key.community.0,
        Uuid | row | row.lot.id.0,
        Big | row | row.lot.remaining,
        Big | row | row.lot.reversed,
        Bool | row | row.lot.remaining > 0,
        Big | row | row.lot.expired,
    );
}

fn insert_holds(statements: &mut Vec<Statement>, rows: &[&HoldRow], now: OffsetDateTime) {
    fn new(row: &HoldRow) -> &crate::model::NewHold {
        row.new.as_ref().expect("only new holds are inserted")
    }
    push!(
        statements,
        INSERT_HOLDS,
        rows,
        Big | row | row.hold.key.community.0,
        Uuid | row | row.hold.id.0,
        Big | row | row.hold.key.account.0,
        Int | row | new(row).owner.0,
        OptBig | row | new(row).api_key,
        Date | row | row.hold.cap_month,
        Big | row | row.hold.amount,
        Hash | row | row.hold.input_hash.to_vec(),
        Int | row | new(row).price_version,
        OptText | row | new(row).agent.clone(),
        Text | row | new(row).asked.clone(),
        Time | _row | now,
    );
}

fn update_holds(statements: &mut Vec<Statement>, rows: &[&HoldRow], now: OffsetDateTime) {
    push!(
        statements,
        UPDATE_HOLDS,
        rows,
        Big | row | row.hold.key.community.0,
        Uuid | row | row.hold.id.0,
        Small | row | row.stored.unwrap_or(HoldState::Open).as_db(),
        Big | row | row.hold.amount,
        Small | row | row.hold.state.as_db(),
        OptBig
            | row
            | match row.hold.state {
                HoldState::Settled { charged } => Some(charged),
                HoldState::Open | HoldState::Released | HoldState::Orphaned => None,
            },
        OptSmall | row | row.charge.as_ref().and_then(|charge| charge.pool),
        OptText | row | row.charge.as_ref().map(|charge| charge.model.clone()),
        OptText | row | row.charge.as_ref().map(|charge| charge.reason.clone()),
        OptBig | row | row.charge.as_ref().map(|charge| charge.tokens_in),
        OptBig | row | row.charge.as_ref().map(|charge| charge.tokens_out),
        OptBig | row | row.charge.as_ref().map(|charge| charge.own_in),
        OptBig | row | row.charge.as_ref().map(|charge| charge.own_out),
        OptTime | row | (row.hold.state != HoldState::Open).then_some(now),
    );
}

fn entries(statements: &mut Vec<Statement>, rows: &[Entry]) {
    push!(
        statements,
        INSERT_ENTRIES,
        rows,
        Big | row | row.key.community.0,
        Big | row | row.seq,
        Big | row | row.key.account.0,
        Big | row | row.account_seq,
        Small | row | row.kind as i16,
        Small | row | row.debit as i16,
        Small | row | row.credit as i16,
        Big | row | row.amount,
        Big | row | row.balance_after,
        OptUuid | row | row.reference,
        OptSmall | row | row.pool,
        Time | row | row.at,
        Hash | row | row.hash.to_vec(),
    );
}
