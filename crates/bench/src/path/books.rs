//! The money side of a run: developers who can pay for anything, and the check that every answer was charged once.
//!
//! All of it goes through the crates that own the tables.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use identity::{KeyKind, KeyLimits, KeyRequest, KeyRing, Peppers, Scopes, Secret};
use ledger::{AccountKey, NEVER, Op, Source};
use sqlx::PgPool;
use time::{Date, Duration as Days};
use types::{AccountId, Clock, CommunityId, LotId};

/// A million dollars: no run spends it.
const BALANCE_MICRO_USD: i64 = 1_000_000_000_000;
/// More than any run asks for; the limits are looked at all the same.
const LIMITS: KeyLimits =
    KeyLimits { requests_per_minute: 1_000_000_000, tokens_per_day: 1_000_000_000_000_000 };
/// The last settles are committed before the last answers end; what is late is given this long.
const QUIET_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A developer with a community of their own, as sign-up makes them, and a live key.
pub(crate) struct Developer {
    account: AccountKey,
    /// The key's text.
    pub(crate) key: String,
}

/// Opens accounts, fills them, and makes a live key for each.
pub(crate) async fn open(db: &PgPool, pepper: &str, count: usize) -> anyhow::Result<Vec<Developer>> {
    let clock = Clock::system();
    let peppers = Peppers::new(BTreeMap::from([(1, Secret::new(pepper))]))?;
    let keys = KeyRing::new(db.clone(), peppers, clock.clone());
    let mut developers = Vec::with_capacity(count);
    for number in 0..count {
        let account =
            AccountKey { community: CommunityId(clock.big_id()), account: AccountId(clock.big_id()) };
        let mut tx = db.begin().await?;
        ledger::open_account(&mut tx, &clock, account, None).await?;
        let grant = Op::Mint {
            key: account,
            id: LotId(clock.uuid_v7()),
            source: Source::Grant,
            amount: BALANCE_MICRO_USD,
            expires_at: NEVER,
        };
        ledger::post(&mut tx, &clock, &grant).await?;
        let request = KeyRequest {
            community: account.community,
            account: account.account,
            name: format!("bench {number}"),
            kind: KeyKind::Live,
            scopes: Scopes::developer(),
            limits: LIMITS,
        };
        let key = keys.create_in(&mut tx, request).await?;
        tx.commit().await?;
        developers.push(Developer { account, key: key.secret.reveal().to_owned() });
    }
    Ok(developers)
}

/// What the books say of all developers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    /// Settled holds.
    settled: u64,
    /// What settled holds were charged.
    charged: i64,
    /// What the accounts have spent.
    spent: i64,
    /// What open holds set aside.
    held: i64,
}

/// Reads the books.
pub(crate) async fn read(db: &PgPool, developers: &[Developer]) -> anyhow::Result<Books> {
    let today = Clock::system().now().date();
    let (from, to) = (day(today, -1), day(today, 1));
    let mut connection = db.acquire().await?;
    let mut books = Books { settled: 0, charged: 0, spent: 0, held: 0 };
    for developer in developers {
        for line in ledger::report::usage(&mut connection, developer.account, from, to).await? {
            books.settled += u64::try_from(line.requests)?;
            books.charged += line.cost;
        }
        let balance = ledger::report::balance(&mut connection, developer.account).await?;
        let balance = balance.context("an account has gone")?;
        ensure!(!balance.frozen, "the account {:?} was frozen", developer.account);
        books.spent += balance.spent;
        books.held += balance.held;
    }
    Ok(books)
}

/// Waits until no hold is open and checks that since `before` exactly `answers` were charged, each once, and that every
/// account agrees with its journal.
pub(crate) async fn check(
    db: &PgPool,
    developers: &[Developer],
    before: Books,
    answers: u64,
) -> anyhow::Result<Books> {
    let deadline = tokio::time::Instant::now() + QUIET_LIMIT;
    let mut now = read(db, developers).await?;
    while now.held != 0 {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{} micro-USD are still held after {QUIET_LIMIT:?}",
            now.held
        );
        tokio::time::sleep(LOOK).await;
        now = read(db, developers).await?;
    }
    let settled = now.settled - before.settled;
    ensure!(settled == answers, "{answers} good answers, but {settled} settled holds");
    ensure!(now.charged == now.spent, "holds were charged {}, but accounts spent {}", now.charged, now.spent);
    // Every sum from the journal: spent, held by open holds, lots, and the audit line's balance.
    let differences = ledger::check_everything(db).await?;
    ensure!(differences.is_empty(), "the books do not agree: {differences:?}");
    Ok(now)
}

fn day(today: Date, by: i64) -> Date {
    today.checked_add(Days::days(by)).unwrap_or(today)
}

#[cfg(test)]
mod tests {
    use ledger::{Charge, NewHold};
    use testing::postgres::TestDatabase;
    use types::{OwnerId, ReservationId};

    use super::*;

    const PEPPER: &str = "0123456789abcdef0123456789abcdef";

    async fn post(db: &PgPool, op: Op) {
        let mut tx = db.begin().await.expect("connected");
        ledger::post(&mut tx, &Clock::system(), &op).await.expect("granted");
        tx.commit().await.expect("committed");
    }

    async fn pay(db: &PgPool, developer: &Developer) {
        let (key, id) = (developer.account, ReservationId(Clock::system().uuid_v7()));
        let hold = NewHold {
            id,
            key,
            amount: 900,
            input_hash: [7; 32],
            owner: OwnerId(1),
            api_key: None,
            price_version: 1,
            agent: None,
            asked: "cheap".to_owned(),
        };
        post(db, Op::Hold(hold)).await;
        let charge = Charge {
            amount: 27,
            tokens_in: 100,
            tokens_out: 20,
            own_in: 90,
            own_out: 20,
            pool: Some(0),
            model: "bench".to_owned(),
            reason: "requested_pool".to_owned(),
        };
        post(db, Op::Settle { key, id, charge }).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_answer_must_be_paid_exactly_once() {
        let database = TestDatabase::new().await;
        let developers = open(&database.pool, PEPPER, 2).await.expect("opened");
        assert!(developers.iter().all(|developer| developer.key.starts_with("lf_live_")));
        let before = read(&database.pool, &developers).await.expect("read");
        for developer in [&developers[0], &developers[1], &developers[0]] {
            pay(&database.pool, developer).await;
        }
        let after =
            check(&database.pool, &developers, before, 3).await.expect("three answers, three charges");
        assert_eq!((after.settled, after.spent, after.held), (3, 81, 0));
        for answers in [2, 4] {
            assert!(check(&database.pool, &developers, before, answers).await.is_err(), "{answers}");
        }
    }
}
