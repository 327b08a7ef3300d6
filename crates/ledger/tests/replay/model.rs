//! A second ledger, written from the contract and not from the first: 128-bit amounts, no counters where a sum will do.
//!
//! What is available is what the open lots hold less what the open holds ask for; a balance is what came in less what
//! went out; a cap's month is looked up by its name. It shares no code and no type with the crate under test; the
//! replay translates. Deliberately absent: databases, concurrency, batches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Amounts and ids past which the real ledger's 64-bit columns cannot go.
const MOST: i128 = i64::MAX as i128;

pub(crate) type Month = (i32, u8);

/// A moment, in microseconds since 1970, and its UTC month.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) micros: i128,
    pub(crate) month: Month,
}

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Hold { id: u128, amount: i128, input: [u8; 32] },
    Extend { id: u128, to: i128 },
    Settle { id: u128, amount: i128, pool: Option<i16> },
    Release { id: u128 },
    Orphan { id: u128 },
    Mint { id: u128, source: i16, amount: i128, expires: i128 },
    Expire,
    Reverse { id: u128 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Held { amount: i128, available: i128 },
    Extended { amount: i128 },
    Settled { charged: i128, owed: i128 },
    Released,
    Orphaned,
    Minted,
    Expired { amount: i128 },
    Reversed { taken: i128, owed: i128 },
    No(Why),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    NoAccount,
    NoHold,
    NoLot,
    NotEnough { available: i128 },
    OverCap { limit: i128, used: i128 },
    Owing { owed: i128 },
    Frozen,
    Conflict,
    Closed(End),
    BadAmount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Settled(i128),
    Released,
    Orphaned,
}

#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) account: i64,
    pub(crate) amount: i128,
    pub(crate) input: [u8; 32],
    pub(crate) month: Month,
    pub(crate) end: End,
}

#[derive(Clone, Debug)]
pub(crate) struct Lot {
    pub(crate) account: i64,
    pub(crate) source: i16,
    pub(crate) minted: i128,
    pub(crate) remaining: i128,
    pub(crate) reversed: i128,
    pub(crate) expired: i128,
    pub(crate) expires: i128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) account: i64,
    pub(crate) account_seq: i128,
    pub(crate) kind: i16,
    pub(crate) debit: i16,
    pub(crate) credit: i16,
    pub(crate) amount: i128,
    pub(crate) balance_after: i128,
    pub(crate) reference: Option<u128>,
    pub(crate) pool: Option<i16>,
    pub(crate) at: i128,
}

/// Held by open holds of a month, and spent by its settled ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) held: i128,
    pub(crate) spent: i128,
}

#[derive(Clone, Debug)]
pub(crate) struct Cap {
    pub(crate) limit: Option<i128>,
    /// The last month in which anything was set aside.
    pub(crate) month: Month,
    months: BTreeMap<Month, Counted>,
}

impl Cap {
    fn new(month: Month) -> Self {
        Self { limit: None, month, months: BTreeMap::new() }
    }

    pub(crate) fn counted(&self, month: Month) -> Counted {
        self.months.get(&month).copied().unwrap_or_default()
    }

    fn of(&mut self, month: Month) -> &mut Counted {
        self.months.entry(month).or_default()
    }

    /// Whether `more` may be set aside now.
    fn admits(&self, month: Month, more: i128) -> Result<(), Why> {
        let Counted { held, spent } = self.counted(month);
        // The columns stop at 64 bits: what was spent says "at least that much" there.
        let used = (held + spent.min(MOST)).min(MOST);
        match self.limit {
            Some(limit) if used + more > limit => Err(Why::OverCap { limit, used }),
            _ if held + more > MOST => Err(Why::BadAmount),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) minted: i128,
    pub(crate) spent: i128,
    pub(crate) expired: i128,
    pub(crate) reversed: i128,
    pub(crate) owed: i128,
    pub(crate) frozen: bool,
    pub(crate) cap: Cap,
    pub(crate) lines: i128,
    /// Open lots as they are consumed.
    open_lots: BTreeSet<(i128, u128)>,
    open_holds: BTreeSet<u128>,
}

impl Account {
    fn balance(&self) -> i128 {
        self.minted - self.spent - self.expired - self.reversed
    }
}

/// One community: its accounts, everything ever held and minted in it, and its journal.
#[derive(Clone, Debug)]
pub(crate) struct Community {
    pub(crate) cap: Cap,
    pub(crate) accounts: BTreeMap<i64, Account>,
    pub(crate) holds: HashMap<u128, Hold>,
    pub(crate) lots: HashMap<u128, Lot>,
    pub(crate) journal: Vec<Line>,
}

impl Community {
    pub(crate) fn new(accounts: impl IntoIterator<Item = i64>, month: Month) -> Self {
        let account = || Account {
            minted: 0,
            spent: 0,
            expired: 0,
            reversed: 0,
            owed: 0,
            frozen: false,
            cap: Cap::new(month),
            lines: 0,
            open_lots: BTreeSet::new(),
            open_holds: BTreeSet::new(),
        };
        Self {
            cap: Cap::new(month),
            accounts: accounts.into_iter().map(|id| (id, account())).collect(),
            holds: HashMap::new(),
            lots: HashMap::new(),
            journal: Vec::new(),
        }
    }

    pub(crate) fn held(&self, account: i64) -> i128 {
        self.accounts[&account].open_holds.iter().map(|id| self.holds[id].amount).sum()
    }

    pub(crate) fn available(&self, account: i64) -> i128 {
        let lots: i128 =
            self.accounts[&account].open_lots.iter().map(|(_, id)| self.lots[id].remaining).sum();
        lots - self.held(account)
    }

    pub(crate) fn apply(&mut self, account: i64, at: Moment, deed: &Deed) -> Reply {
        if !self.accounts.contains_key(&account) {
            return Reply::No(Why::NoAccount);
        }
        let done = match *deed {
            Deed::Hold { id, amount, input } => self.hold(account, at, id, amount, input),
            Deed::Extend { id, to } => self.extend(account, at, id, to),
            Deed::Settle { id, amount, pool } => self.settle(account, at, id, amount, pool),
            Deed::Release { id } => self.give_back(account, at, id, End::Released),
            Deed::Orphan { id } => self.give_back(account, at, id, End::Orphaned),
            Deed::Mint { id, source, amount, expires } => self.mint(account, at, id, source, amount, expires),
            Deed::Expire => Ok(Reply::Expired { amount: self.expire(account, at) }),
            Deed::Reverse { id } => self.reverse(account, at, id),
        };
        let (available, held, now) = (self.available(account), self.held(account), &self.accounts[&account]);
        assert!(
            available >= 0 && now.owed >= 0 && (available == 0 || now.owed == 0),
            "the model lost its senses"
        );
        assert_eq!(now.balance(), available + held - now.owed, "the model lost its balance");
        done.unwrap_or_else(Reply::No)
    }

    fn hold(
        &mut self,
        account: i64,
        at: Moment,
        id: u128,
        amount: i128,
        input: [u8; 32],
    ) -> Result<Reply, Why> {
        if amount <= 0 {
            return Err(Why::BadAmount);
        }
        if let Some(known) = self.holds.get(&id) {
            let same = known.account == account && known.input == input;
            let first = Reply::Held { amount: known.amount, available: self.available(account) };
            return if same { Ok(first) } else { Err(Why::Conflict) };
        }
        self.expire(account, at);
        self.may_set_aside(account, at, amount)?;
        self.holds.insert(id, Hold { account, amount, input, month: at.month, end: End::Open });
        self.accounts.get_mut(&account).unwrap().open_holds.insert(id);
        self.count(account, at.month, |counted| counted.held += amount);
        self.turn(account, at.month);
        Ok(Reply::Held { amount, available: self.available(account) })
    }

    fn extend(&mut self, account: i64, at: Moment, id: u128, to: i128) -> Result<Reply, Why> {
        let Hold { amount, month, end, .. } = self.known(account, id)?;
        if end != End::Open {
            return Err(Why::Closed(end));
        }
        if to <= amount {
            return Ok(Reply::Extended { amount });
        }
        self.expire(account, at);
        self.may_set_aside(account, at, to - amount)?;
        self.holds.get_mut(&id).unwrap().amount = to;
        self.count(account, month, |counted| counted.held += to - amount);
        self.turn(account, at.month);
        Ok(Reply::Extended { amount: to })
    }

    fn settle(
        &mut self,
        account: i64,
        at: Moment,
        id: u128,
        charge: i128,
        pool: Option<i16>,
    ) -> Result<Reply, Why> {
        if charge < 0 {
            return Err(Why::BadAmount);
        }
        let hold = self.known(account, id)?;
        let owed = self.accounts[&account].owed;
        let (backed, kind) = match hold.end {
            End::Open => (hold.amount, 2),
            End::Orphaned => (0, 5),
            End::Settled(charged) => return Ok(Reply::Settled { charged, owed }),
            End::Released => return Err(Why::Closed(hold.end)),
        };
        let from_hold = charge.min(backed);
        let from_free = (charge - from_hold).min(self.available(account));
        let from_nothing = charge - from_hold - from_free;
        if self.accounts[&account].minted + owed + from_nothing > MOST {
            return Err(Why::BadAmount);
        }
        self.consume(account, from_hold + from_free);
        self.count(account, hold.month, |counted| {
            counted.held -= backed;
            counted.spent += charge;
        });
        self.holds.get_mut(&id).unwrap().end = End::Settled(charge);
        let payer = self.accounts.get_mut(&account).unwrap();
        payer.open_holds.remove(&id);
        payer.owed += from_nothing;
        for (debit, amount) in [(2, from_hold), (1, from_free), (6, from_nothing)] {
            self.line(account, at, kind, (debit, 3), amount, Some(id), pool);
        }
        self.repay(account, at);
        Ok(Reply::Settled { charged: charge, owed: self.accounts[&account].owed })
    }

    fn give_back(&mut self, account: i64, at: Moment, id: u128, how: End) -> Result<Reply, Why> {
        let hold = self.known(account, id)?;
        if let End::Settled(_) = hold.end {
            return Err(Why::Closed(hold.end));
        }
        if hold.end == End::Open {
            self.holds.get_mut(&id).unwrap().end = how;
            self.accounts.get_mut(&account).unwrap().open_holds.remove(&id);
            self.count(account, hold.month, |counted| counted.held -= hold.amount);
            self.repay(account, at);
        }
        Ok(if how == End::Released { Reply::Released } else { Reply::Orphaned })
    }

    fn mint(
        &mut self,
        account: i64,
        at: Moment,
        id: u128,
        source: i16,
        amount: i128,
        expires: i128,
    ) -> Result<Reply, Why> {
        if let Some(known) = self.lots.get(&id) {
            let same = (known.account, known.source, known.minted) == (account, source, amount)
                && (source != 3 || known.expires == expires);
            return if same { Ok(Reply::Minted) } else { Err(Why::Conflict) };
        }
        let payer = &self.accounts[&account];
        if amount <= 0 || payer.minted + payer.owed + amount > MOST {
            return Err(Why::BadAmount);
        }
        // A grant (3) and a sandbox day (4) are gifts; anything else is somebody's money, which a freeze lets in.
        if payer.frozen && (source == 3 || source == 4) {
            return Err(Why::Frozen);
        }
        self.lots.insert(
            id,
            Lot { account, source, minted: amount, remaining: amount, reversed: 0, expired: 0, expires },
        );
        self.accounts.get_mut(&account).unwrap().open_lots.insert((expires, id));
        self.line(account, at, 1, (0, 1), amount, Some(id), None);
        self.repay(account, at);
        Ok(Reply::Minted)
    }

    fn reverse(&mut self, account: i64, at: Moment, id: u128) -> Result<Reply, Why> {
        let lot = self.lots.get(&id).filter(|lot| lot.account == account).cloned().ok_or(Why::NoLot)?;
        let owed = self.accounts[&account].owed;
        let unexpired = lot.minted - lot.expired;
        if lot.reversed == 0 && unexpired > 0 {
            let from_free = unexpired.min(self.available(account));
            let from_nothing = unexpired - from_free;
            if self.accounts[&account].minted + owed + from_nothing > MOST {
                return Err(Why::BadAmount);
            }
            let own = lot.remaining.min(from_free);
            self.take(id, own);
            self.consume(account, from_free - own);
            self.lots.get_mut(&id).unwrap().reversed = unexpired;
            self.accounts.get_mut(&account).unwrap().owed += from_nothing;
            self.line(account, at, 4, (1, 5), from_free, Some(id), None);
            self.line(account, at, 4, (6, 5), from_nothing, Some(id), None);
        }
        Ok(Reply::Reversed { taken: self.lots[&id].reversed, owed: self.accounts[&account].owed })
    }

    /// Due lots go, earliest first, but for what open holds need.
    fn expire(&mut self, account: i64, at: Moment) -> i128 {
        let mut needed = self.held(account);
        let lots = self.accounts[&account].open_lots.clone();
        let mut lost = 0;
        for (_, id) in lots.into_iter().take_while(|(expires, _)| *expires <= at.micros) {
            let remaining = self.lots[&id].remaining;
            let kept = needed.min(remaining);
            needed -= kept;
            self.take(id, remaining - kept);
            self.lots.get_mut(&id).unwrap().expired += remaining - kept;
            self.line(account, at, 3, (1, 4), remaining - kept, Some(id), None);
            lost += remaining - kept;
        }
        lost
    }

    fn repay(&mut self, account: i64, at: Moment) {
        let amount = self.accounts[&account].owed.min(self.available(account));
        self.consume(account, amount);
        self.accounts.get_mut(&account).unwrap().owed -= amount;
        self.line(account, at, 6, (1, 6), amount, None, None);
    }

    fn may_set_aside(&self, account: i64, at: Moment, amount: i128) -> Result<(), Why> {
        let payer = &self.accounts[&account];
        let available = self.available(account);
        if payer.frozen {
            return Err(Why::Frozen);
        }
        if payer.owed > 0 {
            return Err(Why::Owing { owed: payer.owed });
        }
        if available < amount {
            return Err(Why::NotEnough { available });
        }
        self.cap.admits(at.month, amount)?;
        payer.cap.admits(at.month, amount)
    }

    fn known(&self, account: i64, id: u128) -> Result<Hold, Why> {
        self.holds.get(&id).filter(|hold| hold.account == account).cloned().ok_or(Why::NoHold)
    }

    fn count(&mut self, account: i64, month: Month, change: impl Fn(&mut Counted)) {
        change(self.cap.of(month));
        change(self.accounts.get_mut(&account).unwrap().cap.of(month));
    }

    fn turn(&mut self, account: i64, month: Month) {
        self.cap.month = self.cap.month.max(month);
        let cap = &mut self.accounts.get_mut(&account).unwrap().cap;
        cap.month = cap.month.max(month);
    }

    fn consume(&mut self, account: i64, mut amount: i128) {
        while amount > 0 {
            let (_, id) =
                *self.accounts[&account].open_lots.first().expect("the model's lots cover its balance");
            let taken = amount.min(self.lots[&id].remaining);
            self.take(id, taken);
            amount -= taken;
        }
    }

    fn take(&mut self, id: u128, amount: i128) {
        let lot = self.lots.get_mut(&id).unwrap();
        lot.remaining -= amount;
        if lot.remaining == 0 {
            let (account, place) = (lot.account, (lot.expires, id));
            self.accounts.get_mut(&account).unwrap().open_lots.remove(&place);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a journal line has that many columns")]
    fn line(
        &mut self,
        account: i64,
        at: Moment,
        kind: i16,
        (debit, credit): (i16, i16),
        amount: i128,
        reference: Option<u128>,
        pool: Option<i16>,
    ) {
        if amount == 0 {
            return;
        }
        let payer = self.accounts.get_mut(&account).unwrap();
        match (debit, credit) {
            (0, _) => payer.minted += amount,
            (_, 3) => payer.spent += amount,
            (_, 4) => payer.expired += amount,
            (_, 5) => payer.reversed += amount,
            _ => {} // a repayment moves no balance
        }
        payer.lines += 1;
        let (account_seq, balance_after) = (payer.lines, payer.balance());
        let at = at.micros;
        self.journal.push(Line {
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
        });
    }
}
