//! The rule: state + operation → state + entries. No I/O, no clock, no randomness.
//!
//! Invariants it keeps for each account: `minted + owed = available + held + spent + expired + reversed`, the open
//! lots' remainders sum to `available + held`, and `available` and `owed` are never both above zero. An operation
//! that is refused changes nothing of its own (lots that were due may have expired on the way: time did that).
//! Deliberately absent: how rows are read and written (`store`), and who may ask (`domain`).

use time::{Date, OffsetDateTime};
use types::ReservationId;

use crate::audit_line;
use crate::model::{
    Account, AccountKey, Answer, Bucket, Cap, Charge, Entry, Hold, HoldState, Kind, Lot, NewHold, Op,
    Refusal, Source,
};
use crate::state::{HoldRow, LotState, State, Write};

/// What the rule says of one operation.
pub type Verdict = Result<Answer, Refusal>;

/// The rule needs lots that were not read: read all of this account's, and apply the batch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedLots(pub AccountKey);

/// Applies one operation at `now`.
pub fn apply(state: &mut State, now: OffsetDateTime, op: &Op) -> Result<Verdict, NeedLots> {
    let key = op.key();
    if !state.accounts.contains_key(&key) {
        return Ok(Err(Refusal::NoAccount));
    }
    match op {
        Op::Hold(new) => hold(state, now, new),
        Op::Extend { id, to, .. } => extend(state, now, key, *id, *to),
        Op::Settle { id, charge, .. } => settle(state, now, key, *id, charge),
        Op::Release { id, .. } => give_back(state, now, key, *id, HoldState::Released),
        Op::Orphan { id, .. } => give_back(state, now, key, *id, HoldState::Orphaned),
        Op::Mint { id, source, amount, expires_at, .. } => {
            let lot = Lot {
                id: *id,
                key,
                source: *source,
                minted: *amount,
                remaining: *amount,
                reversed: 0,
                expired: 0,
                expires_at: *expires_at,
                created_at: now,
            };
            mint(state, now, lot)
        }
        Op::Expire { .. } => expire_due(state, now, key).map(|amount| Ok(Answer::Expired { amount })),
        Op::Reverse { lot, .. } => reverse(state, now, key, *lot),
    }
}

fn hold(state: &mut State, now: OffsetDateTime, new: &NewHold) -> Result<Verdict, NeedLots> {
    let key = new.key;
    if new.amount <= 0 {
        return Ok(Err(Refusal::BadAmount));
    }
    if let Some(known) = state.holds.get(&(key.community, new.id)) {
        let same = known.hold.key == key && known.hold.input_hash == new.input_hash;
        let available = state.accounts[&key].account.available;
        return Ok(if same {
            Ok(Answer::Held { amount: known.hold.amount, available })
        } else {
            Err(Refusal::Conflict)
        });
    }
    expire_due(state, now, key)?;
    if let Err(refusal) = may_hold(state, now, key, new.amount) {
        return Ok(Err(refusal));
    }
    let month = month_of(now);
    set_aside(state, now, key, new.amount, month);
    let available = state.accounts[&key].account.available;
    let hold = Hold {
        id: new.id,
        key,
        amount: new.amount,
        input_hash: new.input_hash,
        cap_month: month,
        state: HoldState::Open,
    };
    let row = HoldRow { hold, stored: None, new: Some(new.clone()), changed: true, charge: None };
    state.holds.insert((key.community, new.id), row);
    Ok(Ok(Answer::Held { amount: new.amount, available }))
}

fn extend(
    state: &mut State,
    now: OffsetDateTime,
    key: AccountKey,
    id: ReservationId,
    to: i64,
) -> Result<Verdict, NeedLots> {
    let Some(hold) = find(state, key, id) else { return Ok(Err(Refusal::NoHold)) };
    if hold.state != HoldState::Open {
        return Ok(Err(Refusal::Closed(hold.state)));
    }
    let (amount, month) = (hold.amount, hold.cap_month);
    if to <= amount {
        return Ok(Ok(Answer::Extended { amount }));
    }
    expire_due(state, now, key)?;
    if let Err(refusal) = may_hold(state, now, key, to - amount) {
        return Ok(Err(refusal));
    }
    set_aside(state, now, key, to - amount, month);
    let row = state.holds.get_mut(&(key.community, id)).expect("found above");
    row.hold.amount = to;
    row.changed = true;
    Ok(Ok(Answer::Extended { amount: to }))
}

/// What stands in the way of setting `amount` aside, money last: a receivable says more than an empty balance.
fn may_hold(state: &mut State, now: OffsetDateTime, key: AccountKey, amount: i64) -> Result<(), Refusal> {
    let month = month_of(now);
    let book = &mut state.books.get_mut(&key.community).expect("locked with its accounts").book;
    let account = &mut state.accounts.get_mut(&key).expect("checked by apply").account;
    if account.frozen {
        return Err(Refusal::Frozen);
    }
    if account.owed > 0 {
        return Err(Refusal::Owing { owed: account.owed });
    }
    if account.available < amount {
        return Err(Refusal::NotEnough { available: account.available });
    }
    for cap in [&book.cap, &account.cap] {
        let (held, spent) = if cap.month == month { (cap.held, cap.spent) } else { (0, 0) };
        let used = held.saturating_add(spent);
        // Wider than the columns: a sum that stops at their end would fit the largest limit.
        if let Some(limit) = cap.limit
            && i128::from(used) + i128::from(amount) > i128::from(limit)
        {
            return Err(Refusal::OverCap { limit, used });
        }
        if held.checked_add(amount).is_none() {
            return Err(Refusal::BadAmount); // one account cannot, but the sum of a community's holds might
        }
    }
    Ok(())
}

/// Moves `amount` from available to held and counts it in the caps of the month in which its hold was made.
fn set_aside(state: &mut State, now: OffsetDateTime, key: AccountKey, amount: i64, counted_in: Date) {
    let month = month_of(now);
    let account = touch(state, key);
    account.available -= amount;
    account.held += amount;
    turn_month(&mut account.cap, month);
    let book = state.books.get_mut(&key.community).expect("locked with its accounts");
    turn_month(&mut book.book.cap, month);
    count_held(state, key, counted_in, amount);
}

fn settle(
    state: &mut State,
    now: OffsetDateTime,
    key: AccountKey,
    id: ReservationId,
    charge: &Charge,
) -> Result<Verdict, NeedLots> {
    // 0: the answer of a model that costs nothing.
    if charge.amount < 0 {
        return Ok(Err(Refusal::BadAmount));
    }
    let Some(hold) = find(state, key, id).cloned() else { return Ok(Err(Refusal::NoHold)) };
    let kind = match hold.state {
        HoldState::Open => Kind::Settle,
        HoldState::Orphaned => Kind::LateSettle,
        HoldState::Settled { charged } => {
            return Ok(Ok(Answer::Settled { charged, owed: state.accounts[&key].account.owed }));
        }
        HoldState::Released => return Ok(Err(Refusal::Closed(hold.state))),
    };
    // What the hold covers comes from it; what goes beyond comes from the balance, and then from the receivable.
    let set_aside = if kind == Kind::Settle { hold.amount } else { 0 };
    let from_hold = charge.amount.min(set_aside);
    let account = &mut state.accounts.get_mut(&key).expect("checked by apply").account;
    let from_available = (charge.amount - from_hold).min(account.available);
    let from_owed = charge.amount - from_hold - from_available;
    if !fits(account, from_owed) {
        return Ok(Err(Refusal::BadAmount));
    }
    consume_lots(state, key, from_hold + from_available)?;

    count_held(state, key, hold.cap_month, -set_aside);
    count_spent(state, key, hold.cap_month, charge.amount);
    let reference = Some(id.0);
    let line =
        |debit, amount| Line { kind, debit, credit: Bucket::Spent, amount, reference, pool: charge.pool };
    move_money(state, now, key, line(Bucket::Held, from_hold));
    move_money(state, now, key, line(Bucket::Available, from_available));
    move_money(state, now, key, line(Bucket::Owed, from_owed));
    // The rest of the hold goes back without a line: it does not change the balance.
    let account = touch(state, key);
    account.held -= set_aside - from_hold;
    account.available += set_aside - from_hold;
    repay(state, now, key)?;

    let row = state.holds.get_mut(&(key.community, id)).expect("found above");
    row.hold.state = HoldState::Settled { charged: charge.amount };
    row.charge = Some(charge.clone());
    row.changed = true;
    Ok(Ok(Answer::Settled { charged: charge.amount, owed: state.accounts[&key].account.owed }))
}

fn give_back(
    state: &mut State,
    now: OffsetDateTime,
    key: AccountKey,
    id: ReservationId,
    end: HoldState,
) -> Result<Verdict, NeedLots> {
    let done = if end == HoldState::Released { Answer::Released } else { Answer::Orphaned };
    let Some(hold) = find(state, key, id).cloned() else { return Ok(Err(Refusal::NoHold)) };
    match hold.state {
        HoldState::Open => {}
        // Already given back, in either way: the second arrival is a quiet success.
        HoldState::Released | HoldState::Orphaned => return Ok(Ok(done)),
        HoldState::Settled { .. } => return Ok(Err(Refusal::Closed(hold.state))),
    }
    let account = touch(state, key);
    account.held -= hold.amount;
    account.available += hold.amount;
    count_held(state, key, hold.cap_month, -hold.amount);
    repay(state, now, key)?;
    let row = state.holds.get_mut(&(key.community, id)).expect("found above");
    row.hold.state = end;
    row.changed = true;
    Ok(Ok(done))
}

fn mint(state: &mut State, now: OffsetDateTime, lot: Lot) -> Result<Verdict, NeedLots> {
    let key = lot.key;
    if let Some(known) = find_lot(state, key, lot.id) {
        // A grant's end is the granter's word; a purchase that comes again brings its own clock, and keeps the first end.
        let microseconds = |at: OffsetDateTime| at.unix_timestamp_nanos() / 1_000; // as the table keeps them
        let same_end =
            lot.source != Source::Grant || microseconds(known.expires_at) == microseconds(lot.expires_at);
        let same = known.key == key && known.minted == lot.minted && known.source == lot.source && same_end;
        return Ok(if same { Ok(Answer::Minted) } else { Err(Refusal::Conflict) });
    }
    let account = &state.accounts[&key].account;
    if lot.minted <= 0 || !fits(account, lot.minted) {
        return Ok(Err(Refusal::BadAmount));
    }
    if state.minting_stopped {
        return Ok(Err(Refusal::MintingStopped));
    }
    // A purchase is never refused for a freeze: the money is already here (SPEC §13: notices go on).
    if account.frozen && matches!(lot.source, Source::Grant | Source::Sandbox) {
        return Ok(Err(Refusal::Frozen));
    }
    let (id, amount) = (lot.id, lot.minted);
    state.named_lots.insert((key.community, id), lot.clone()); // another account of this batch may name it too
    state
        .accounts
        .get_mut(&key)
        .expect("checked by apply")
        .insert_lot(LotState { lot, write: Write::Insert });
    let line = Line {
        kind: Kind::Mint,
        debit: Bucket::Issued,
        credit: Bucket::Available,
        amount,
        reference: Some(id.0),
        pool: None,
    };
    move_money(state, now, key, line);
    repay(state, now, key)?;
    Ok(Ok(Answer::Minted))
}

fn reverse(
    state: &mut State,
    now: OffsetDateTime,
    key: AccountKey,
    id: types::LotId,
) -> Result<Verdict, NeedLots> {
    let Some(lot) = find_lot(state, key, id).filter(|lot| lot.key == key).cloned() else {
        return Ok(Err(Refusal::NoLot));
    };
    // What expired unspent is gone already: its owner never used it, and never owes it.
    let amount = lot.minted - lot.expired;
    if lot.reversed > 0 || amount == 0 {
        let owed = state.accounts[&key].account.owed;
        return Ok(Ok(Answer::Reversed { taken: lot.reversed, owed }));
    }
    let account = &state.accounts[&key].account;
    let from_available = amount.min(account.available);
    let from_owed = amount - from_available;
    if !fits(account, from_owed) {
        return Ok(Err(Refusal::BadAmount));
    }
    let is_listed = state.accounts[&key].lots.iter().any(|entry| entry.lot.id == id);
    if lot.remaining > 0 && !is_listed {
        return Err(NeedLots(key)); // open, but past the lots that were read
    }

    // The lot itself first, then the others: what is taken back must not stay spendable anywhere.
    let own = lot.remaining.min(from_available);
    mark_reversed(state, key, id, own, amount);
    consume_lots(state, key, from_available - own)?;
    let line = |debit, amount| Line {
        kind: Kind::Reverse,
        debit,
        credit: Bucket::Reversed,
        amount,
        reference: Some(id.0),
        pool: None,
    };
    move_money(state, now, key, line(Bucket::Available, from_available));
    move_money(state, now, key, line(Bucket::Owed, from_owed));
    Ok(Ok(Answer::Reversed { taken: amount, owed: state.accounts[&key].account.owed }))
}

/// Takes what is due out of the balance. Held money backs the earliest lots first and does not expire under a hold.
fn expire_due(state: &mut State, now: OffsetDateTime, key: AccountKey) -> Result<i64, NeedLots> {
    let account_state = state.accounts.get_mut(&key).expect("checked by apply");
    let is_due = |lot: &LotState| lot.lot.expires_at <= now;
    // First: when all that were read are spent, none of them is due, but one past them may be.
    if account_state.horizon.is_some_and(|(expires_at, _)| expires_at <= now) {
        return Err(NeedLots(key));
    }
    if !account_state.lots.first().is_some_and(is_due) {
        return Ok(0);
    }
    let mut backing = account_state.account.held;
    let mut due = Vec::new();
    for entry in account_state.lots.iter_mut().take_while(|entry| is_due(entry)) {
        let backed = backing.min(entry.lot.remaining);
        backing -= backed;
        let lost = entry.lot.remaining - backed;
        if lost > 0 {
            entry.lot.remaining = backed;
            entry.lot.expired += lost;
            entry.changed();
            due.push((entry.lot.id, lost));
        }
    }
    for (lot, amount) in &due {
        let line = Line {
            kind: Kind::Expire,
            debit: Bucket::Available,
            credit: Bucket::Expired,
            amount: *amount,
            reference: Some(lot.0),
            pool: None,
        };
        move_money(state, now, key, line);
    }
    Ok(due.iter().map(|(_, amount)| amount).sum())
}

/// Every credit pays the receivable first.
fn repay(state: &mut State, now: OffsetDateTime, key: AccountKey) -> Result<(), NeedLots> {
    let account = &state.accounts[&key].account;
    let amount = account.owed.min(account.available);
    if amount > 0 {
        consume_lots(state, key, amount)?;
        let line = Line {
            kind: Kind::Repay,
            debit: Bucket::Available,
            credit: Bucket::Owed,
            amount,
            reference: None,
            pool: None,
        };
        move_money(state, now, key, line);
    }
    Ok(())
}

/// Takes `amount` out of the open lots, earliest expiry first. What reaches zero stays in the list to be written; nothing
/// remains in it to be taken.
fn consume_lots(state: &mut State, key: AccountKey, amount: i64) -> Result<(), NeedLots> {
    let account_state = state.accounts.get_mut(&key).expect("checked by apply");
    let (mut left, horizon) = (amount, account_state.horizon);
    for entry in &mut account_state.lots {
        if left == 0 || horizon.is_some_and(|horizon| entry.place() > horizon) {
            break;
        }
        let taken = left.min(entry.lot.remaining);
        if taken > 0 {
            entry.lot.remaining -= taken;
            left -= taken;
            entry.changed();
        }
    }
    if left > 0 {
        // Lots sum to available + held, so with all of them read this cannot happen; with a part, read the rest.
        return Err(NeedLots(key));
    }
    Ok(())
}

fn mark_reversed(state: &mut State, key: AccountKey, id: types::LotId, taken: i64, amount: i64) {
    let account_state = state.accounts.get_mut(&key).expect("checked by apply");
    if let Some(entry) = account_state.lots.iter_mut().find(|entry| entry.lot.id == id) {
        entry.lot.remaining -= taken;
        entry.lot.reversed = amount;
        entry.changed();
    } else if let Some(mut lot) = state.named_lots.get(&(key.community, id)).cloned() {
        lot.reversed = amount; // closed: nothing of it remains to be taken
        account_state.insert_lot(LotState { lot, write: Write::Update });
    }
}

/// One movement before it has its numbers.
#[derive(Clone, Copy)]
struct Line {
    kind: Kind,
    debit: Bucket,
    credit: Bucket,
    amount: i64,
    reference: Option<uuid::Uuid>,
    pool: Option<i16>,
}

/// Moves money between two buckets and writes the entry; nothing for an amount of zero.
fn move_money(state: &mut State, now: OffsetDateTime, key: AccountKey, line: Line) {
    if line.amount == 0 {
        return;
    }
    let account = touch(state, key);
    let balance_before = account.balance();
    shift(account, line.debit, -line.amount);
    shift(account, line.credit, line.amount);
    account.seq += 1;
    let (account_seq, balance_after) = (account.seq, account.balance());
    let holder = account.holder.clone();
    let book = state.books.get_mut(&key.community).expect("locked with its accounts");
    book.book.seq += 1;
    let mut entry = Entry {
        key,
        seq: book.book.seq,
        account_seq,
        kind: line.kind,
        debit: line.debit,
        credit: line.credit,
        amount: line.amount,
        balance_before,
        balance_after,
        reference: line.reference,
        pool: line.pool,
        at: now,
        hash: [0; 32],
    };
    entry.hash = audit_line::hash(&book.book.head, &entry, holder.as_deref());
    book.book.head = entry.hash;
    state.entries.push(entry);
}

/// Debits are given as negative amounts. A receivable grows when it pays (debit) and shrinks when it is repaid.
fn shift(account: &mut Account, bucket: Bucket, by: i64) {
    match bucket {
        Bucket::Issued => account.minted -= by,
        Bucket::Available => account.available += by,
        Bucket::Held => account.held += by,
        Bucket::Spent => account.spent += by,
        Bucket::Expired => account.expired += by,
        Bucket::Reversed => account.reversed += by,
        Bucket::Owed => account.owed -= by,
    }
}

/// The account, which is going to change. Its book is written with it, so that the book's version counts every change.
fn touch(state: &mut State, key: AccountKey) -> &mut Account {
    state.books.get_mut(&key.community).expect("locked with its accounts").touched = true;
    let account_state = state.accounts.get_mut(&key).expect("checked by apply");
    account_state.touched = true;
    &mut account_state.account
}

/// Whether `minted + owed`, and with it every bucket of the account, stays in 64 bits when `more` comes to it.
fn fits(account: &Account, more: i64) -> bool {
    account.minted.checked_add(account.owed).and_then(|sum| sum.checked_add(more)).is_some()
}

fn find(state: &State, key: AccountKey, id: ReservationId) -> Option<&Hold> {
    state.holds.get(&(key.community, id)).map(|row| &row.hold).filter(|hold| hold.key == key)
}

fn find_lot(state: &State, key: AccountKey, id: types::LotId) -> Option<&Lot> {
    let open = state.accounts[&key].lots.iter().map(|entry| &entry.lot).find(|lot| lot.id == id);
    open.or_else(|| state.named_lots.get(&(key.community, id)))
}

fn count_held(state: &mut State, key: AccountKey, month: Date, by: i64) {
    for_caps(state, key, month, |cap| cap.held += by);
}

fn count_spent(state: &mut State, key: AccountKey, month: Date, by: i64) {
    for_caps(state, key, month, |cap| cap.spent = cap.spent.saturating_add(by));
}

/// A cap counts only its own month: what belongs to an earlier one has left its sums already.
fn for_caps(state: &mut State, key: AccountKey, month: Date, mut change: impl FnMut(&mut Cap)) {
    let book = state.books.get_mut(&key.community).expect("locked with its accounts");
    if book.book.cap.month == month {
        change(&mut book.book.cap);
    }
    let account = touch(state, key);
    if account.cap.month == month {
        change(&mut account.cap);
    }
}

fn turn_month(cap: &mut Cap, month: Date) {
    if cap.month < month {
        *cap = Cap { month, limit: cap.limit, held: 0, spent: 0 };
    }
}

/// First day of the month, UTC.
pub(crate) fn month_of(now: OffsetDateTime) -> Date {
    now.to_offset(time::UtcOffset::UTC).date().replace_day(1).expect("every month has a first day")
}

impl LotState {
    fn changed(&mut self) {
        if self.write == Write::Nothing {
            self.write = Write::Update;
        }
    }
}
