//! The guard's pass against what a hand in the database can do: on quiet accounts too, seen in one pass, and nobody else suffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ledger::{Answer, Checker, Ledger, Refusal, ResolveError, SubmitError, Violation, Which, Writers};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testing::postgres::TestDatabase;
use types::{Clock, CommunityId};

use crate::common::{hold, key, mint, open, settle, start};

/// Account 2 is quiet: a settled and an open hold, and nothing since. 1 and 3 are its neighbours, 4 lives elsewhere.
struct House {
    database: TestDatabase,
    clock: Clock,
    ledger: Ledger,
    _writers: Writers,
    checker: Checker,
}

impl House {
    async fn new() -> Self {
        let (database, clock) = (TestDatabase::new().await, Clock::system());
        for (community, account) in [(1, 1), (1, 2), (1, 3), (2, 4)] {
            open(&database.pool, &clock, key(community, account), 1_000).await;
        }
        let (ledger, writers) = start(&database.url(), &clock);
        let (first, second) = (clock.uuid_v7(), clock.uuid_v7());
        ledger.submit(hold(key(1, 2), first, 200)).await.unwrap();
        ledger.submit(settle(key(1, 2), first, 150)).await.unwrap();
        ledger.submit(hold(key(1, 2), second, 100)).await.unwrap();
        let mut house = Self { database, clock, ledger, _writers: writers, checker: Checker::default() };
        let pass = house.pass().await;
        assert!(pass.is_clean() && pass.accounts == 4, "{pass:?}");
        house
    }

    async fn pass(&mut self) -> ledger::Pass {
        self.checker.pass(&self.database.pool, &self.clock).await.unwrap()
    }

    /// What an intruder with every right does: triggers and foreign keys are off.
    async fn tamper(&self, sql: &str) {
        let mut intruder = PgConnection::connect(&self.database.url_for("postgres")).await.unwrap();
        for statement in ["set session_replication_role = replica", sql, "select pg_stat_force_next_flush()"]
        {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut intruder).await.unwrap();
        }
        intruder.close().await.unwrap();
    }

    async fn open_violations(&self) -> Vec<Violation> {
        let mut connection = self.database.pool.acquire().await.unwrap();
        let which = Which { only_open: true, ..Which::default() };
        ledger::violations(&mut connection, which, 100).await.unwrap()
    }

    async fn resolve(&self, id: i64) -> Result<ledger::Resolved, ResolveError> {
        let mut connection = self.database.pool.acquire().await.unwrap();
        ledger::resolve_violation(&mut connection, &self.clock, id, "operator", "put back").await
    }

    async fn try_hold(&self, community: i64, account: i64) -> Result<Answer, SubmitError> {
        self.ledger.submit(hold(key(community, account), self.clock.uuid_v7(), 1)).await
    }

    async fn others_go_on(&self) {
        for (community, account) in [(1, 1), (1, 3), (2, 4)] {
            let id = self.clock.uuid_v7();
            self.ledger.submit(hold(key(community, account), id, 5)).await.unwrap();
            self.ledger.submit(settle(key(community, account), id, 3)).await.unwrap();
        }
    }
}

/// What was done, how it is undone, and which sum must be named. All of it on account 2.
const OF_AN_ACCOUNT: [(&str, &str, &str); 13] = [
    (
        "update account set minted = minted + 1, available = available + 1 where id = 2",
        "update account set minted = minted - 1, available = available - 1 where id = 2",
        "available",
    ),
    (
        "update account set held = held - 1, available = available + 1 where id = 2",
        "update account set held = held + 1, available = available - 1 where id = 2",
        "held",
    ),
    (
        "update account set spent = spent - 1, available = available + 1 where id = 2",
        "update account set spent = spent + 1, available = available - 1 where id = 2",
        "spent",
    ),
    (
        "update account set available = 0, owed = 5, spent = spent + 755 where id = 2",
        "update account set available = 750, owed = 0, spent = spent - 755 where id = 2",
        "owed",
    ),
    (
        "update account set expired = expired + 1, available = available - 1 where id = 2",
        "update account set expired = expired - 1, available = available + 1 where id = 2",
        "expired",
    ),
    (
        "update account set reversed = reversed + 1, available = available - 1 where id = 2",
        "update account set reversed = reversed - 1, available = available + 1 where id = 2",
        "reversed",
    ),
    (
        "update account set seq = seq + 1 where id = 2",
        "update account set seq = seq - 1 where id = 2",
        "journal rows",
    ),
    (
        "update lot set remaining = remaining - 1 where account_id = 2",
        "update lot set remaining = remaining + 1 where account_id = 2",
        "open lots",
    ),
    (
        "update lot set remaining = 0, is_open = false where account_id = 2",
        "update lot set remaining = 850, is_open = true where account_id = 2",
        "open lots",
    ),
    (
        "update hold set amount = amount + 1 where account_id = 2 and state = 0",
        "update hold set amount = amount - 1 where account_id = 2 and state = 0",
        "held",
    ),
    (
        "update hold set state = 2, closed_at = created_at where account_id = 2 and state = 0",
        "update hold set state = 0, closed_at = null where account_id = 2 and state = 2",
        "held",
    ),
    (
        "insert into hold select community_id, gen_random_uuid(), account_id, owner_id, key_id, cap_month, 7, input_hash, 0, null,
         price_version, agent, asked, null, null, null, null, null, null, null, now(), null from hold where account_id = 2 and state = 0",
        "delete from hold where amount = 7",
        "held",
    ),
    (
        "insert into lot select community_id, account_id, gen_random_uuid(), source, 9, 9, 0, expires_at, true, created_at from lot where account_id = 2",
        "delete from lot where minted = 9",
        "open lots",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_changed_on_a_quiet_account_is_seen_in_one_pass_and_freezes_it_alone() {
    for (change, undo, sum) in OF_AN_ACCOUNT {
        let mut house = House::new().await;
        house.tamper(change).await;
        let pass = house.pass().await;
        assert!(pass.differences.iter().any(|difference| difference.sum == sum), "{change}: {pass:?}");
        assert!(pass.differences.iter().all(|difference| difference.key == key(1, 2)), "{change}: {pass:?}");
        assert_eq!(pass.global, [""; 0], "{change}: what an account explains stops nothing else");
        let refused = house.try_hold(1, 2).await;
        assert!(matches!(refused, Err(SubmitError::Refused(Refusal::Frozen))), "{change}: {refused:?}");
        house.others_go_on().await;

        // Once recorded, however often it is seen.
        let again = house.pass().await;
        assert_eq!(again.differences, pass.differences, "{change}");
        let open = house.open_violations().await;
        assert_eq!(open.len(), 1, "{change}: {open:?}");

        // Not before it is mended, and then at once.
        let refused = house.resolve(open[0].id).await;
        assert!(matches!(refused, Err(ResolveError::StillBroken(_))), "{change}: {refused:?}");
        assert!(house.try_hold(1, 2).await.is_err());
        house.tamper(undo).await;
        let resolved = house.resolve(open[0].id).await.unwrap();
        assert_eq!((resolved.violations, resolved.thawed), (1, Some(key(1, 2))), "{change}");
        house.try_hold(1, 2).await.unwrap();
        let pass = house.pass().await;
        assert!(pass.is_clean(), "{change}: {pass:?}");
        assert!(matches!(house.resolve(open[0].id).await, Err(ResolveError::Resolved(_))));
    }
}

/// What no account explains.
const OF_ALL: [(&str, &str, &str); 4] = [
    (
        "update book set head = decode(repeat('07', 32), 'hex') where community_id = 1",
        "update book set head = (select hash from journal j where j.community_id = 1 and j.seq = book.seq) where community_id = 1",
        "the book's head",
    ),
    (
        "update book set seq = seq + 1 where community_id = 1",
        "update book set seq = seq - 1 where community_id = 1",
        "the book ends at",
    ),
    (
        "create table kept as select * from account where id = 4; delete from account where id = 4",
        "insert into account select * from kept; drop table kept",
        "is not there",
    ),
    (
        "update guard set minted = minted + 1",
        "update guard set minted = minted - 1",
        "the sum of all accounts: minted 1 less",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_account_explains_stops_minting_and_nothing_else() {
    for (change, undo, words) in OF_ALL {
        let mut house = House::new().await;
        house.tamper(change).await;
        let pass = house.pass().await;
        assert!(pass.global.iter().any(|what| what.contains(words)), "{change}: {pass:?}");

        let minted = house.ledger.submit(mint(&house.clock, key(1, 1), 10)).await;
        assert!(matches!(minted, Err(SubmitError::Refused(Refusal::MintingStopped))), "{change}: {minted:?}");
        let mut tx = house.database.pool.begin().await.unwrap();
        let posted = ledger::post(&mut tx, &house.clock, &mint(&house.clock, key(1, 1), 10)).await;
        assert!(
            matches!(posted, Err(ledger::PostError::Refused(Refusal::MintingStopped))),
            "{change}: {posted:?}"
        );
        tx.commit().await.unwrap();
        let held = house.try_hold(1, 3).await;
        assert!(matches!(held, Ok(Answer::Held { .. })), "{change}: {held:?}");

        let open = house.open_violations().await;
        assert!(open.iter().all(|violation| violation.account.is_none()), "{open:?}");
        if !change.contains("guard") {
            // The guard's own sums are made anew by a resolution; anything else has to be mended first.
            let refused = house.resolve(open[0].id).await;
            assert!(matches!(refused, Err(ResolveError::StillBroken(_))), "{change}: {refused:?}");
            house.tamper(undo).await;
        }
        let resolved = house.resolve(open[0].id).await.unwrap();
        assert!(resolved.minting_goes_on && resolved.violations >= 1, "{change}: {resolved:?}");
        // What the writer knew from before the mend is not written over it.
        let id = house.clock.uuid_v7();
        house.ledger.submit(hold(key(1, 1), id, 3)).await.unwrap();
        house.ledger.submit(settle(key(1, 1), id, 3)).await.unwrap();
        let mut connection = house.database.pool.acquire().await.unwrap();
        let fault = ledger::audit::check_chain(&mut connection, CommunityId(1)).await.unwrap();
        assert!(fault.is_none(), "{change}: {}", fault.map_or_else(String::new, |fault| fault.to_string()));
        house.ledger.submit(mint(&house.clock, key(1, 1), 10)).await.unwrap();
        let pass = house.pass().await;
        assert!(pass.is_clean(), "{change}: {pass:?}");
    }
}

/// The journal refuses each of these by its triggers; an intruder has switched them off.
const OF_THE_JOURNAL: [(&str, &str, bool); 3] = [
    (
        "update journal set amount = amount + 1 where account_id = 2 and account_seq = 1",
        "update journal set amount = amount - 1 where account_id = 2 and account_seq = 1",
        true,
    ),
    (
        "update journal set pool = 4 where account_id = 2 and credit = 3",
        "update journal set pool = 0 where account_id = 2 and credit = 3",
        false,
    ),
    (
        "create table kept as select * from journal where account_id = 2 and account_seq = 1; delete from journal where account_id = 2 and account_seq = 1",
        "insert into journal select * from kept",
        true,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_row_that_was_changed_past_its_triggers_is_seen_and_named() {
    for (change, undo, moves_money) in OF_THE_JOURNAL {
        let mut house = House::new().await;
        house.tamper(change).await;
        let pass = house.pass().await;
        assert!(
            pass.global.iter().any(|what| what.contains("changed or deleted by hand")),
            "{change}: {pass:?}"
        );
        assert!(
            pass.global.iter().any(|what| what.contains("community 1, journal row")),
            "{change}: {pass:?}"
        );
        assert_eq!(!pass.differences.is_empty(), moves_money, "{change}: {pass:?}");
        assert!(pass.differences.iter().all(|difference| difference.key == key(1, 2)), "{change}: {pass:?}");
        house.others_go_on().await;

        house.tamper(undo).await;
        house.pass().await; // mending is a change too, and is recorded
        let open = house.open_violations().await;
        let global = open.iter().find(|violation| violation.account.is_none()).unwrap();
        assert!(house.resolve(global.id).await.unwrap().minting_goes_on);
        if let Some(frozen) = open.iter().find(|violation| violation.account.is_some()) {
            assert_eq!(house.resolve(frozen.id).await.unwrap().thawed, Some(key(1, 2)));
        }
        let pass = house.pass().await;
        assert!(pass.is_clean(), "{change}: {pass:?}");
        assert_eq!(house.open_violations().await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_row_of_the_applications_own_hand_is_seen() {
    let mut house = House::new().await;
    sqlx::query(
        "insert into journal select community_id, (select seq + 1 from book where community_id = 1), account_id, 99, 1, 0, 1, 500,
         balance_after + 500, null, null, at, hash from journal where account_id = 2 and account_seq = 1",
    )
    .execute(&house.database.pool)
    .await
    .unwrap();
    let pass = house.pass().await;
    assert!(pass.global.iter().any(|what| what.contains("the journal at")), "{pass:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guard_keeps_is_mended_and_freezes_nobody() {
    let mut house = House::new().await;
    house.tamper("update proof set minted = minted + 5 where account_id = 2; delete from proof where account_id = 3").await;
    let pass = house.pass().await;
    assert!(pass.is_clean(), "{pass:?}");
    let (minted, count): (i64, i64) = sqlx::query_as(
        "select (select minted from proof where account_id = 2), (select count(*) from proof)",
    )
    .fetch_one(&house.database.pool)
    .await
    .unwrap();
    assert_eq!((minted, count), (1_000, 4));
    // An open hold that it did not see: its row came late, or another machine's clock is behind.
    house.tamper("update guard set open_since = now() + interval '1 hour'").await;
    for _ in 0..2 {
        let pass = house.pass().await;
        assert!(pass.is_clean(), "{pass:?}");
    }
    // All of it at once, too.
    house.tamper("delete from proof").await;
    let pass = house.pass().await;
    assert!(pass.is_clean(), "{pass:?}");
    assert_eq!(house.open_violations().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_ahead_beside_passes_makes_none_of_them_miss_anything() {
    let mut house = House::new().await;
    let is_over = Arc::new(AtomicBool::new(false));
    // As another process does it, with something new each time.
    let ahead = {
        let (pool, clock, ledger) = (house.database.pool.clone(), house.clock.clone(), house.ledger.clone());
        let is_over = Arc::clone(&is_over);
        tokio::spawn(async move {
            let (mut other, mut reads) = (Checker::default(), 0);
            while !is_over.load(Relaxed) {
                let id = clock.uuid_v7();
                ledger.submit(hold(key(1, 1), id, 1)).await.unwrap();
                other.read_ahead(&pool).await.unwrap();
                ledger.submit(settle(key(1, 1), id, 1)).await.unwrap();
                reads += 1;
            }
            reads
        })
    };
    for _ in 0..100 {
        let pass = house.pass().await;
        assert!(pass.is_clean() && pass.accounts == 4, "left out, or led astray: {pass:?}");
    }
    is_over.store(true, Relaxed);
    assert!(ahead.await.unwrap() > 0);
    // What was read ahead is judged all the same.
    house.others_go_on().await;
    house.checker.read_ahead(&house.database.pool).await.unwrap();
    house.tamper("update account set spent = spent - 1, available = available + 1 where id = 3").await;
    let pass = house.pass().await;
    assert!(!pass.is_clean() && pass.differences.iter().all(|one| one.key == key(1, 3)), "{pass:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolution_needs_a_note_and_a_violation() {
    let mut house = House::new().await;
    house.tamper(OF_AN_ACCOUNT[0].0).await;
    house.pass().await;
    let id = house.open_violations().await[0].id;
    let mut connection = house.database.pool.acquire().await.unwrap();
    for note in ["", "  \n", &"x".repeat(ledger::NOTE_AT_MOST + 1)] {
        let refused = ledger::resolve_violation(&mut connection, &house.clock, id, "operator", note).await;
        assert!(matches!(refused, Err(ResolveError::BadNote)), "{refused:?}");
    }
    let unknown = ledger::resolve_violation(&mut connection, &house.clock, id + 99, "operator", "why").await;
    assert!(matches!(unknown, Err(ResolveError::Unknown(_))), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_violation_shows_in_the_conservation_view_of_its_community_alone() {
    let mut house = House::new().await;
    let view = async |house: &House, community: i64| {
        let mut connection = house.database.pool.acquire().await.unwrap();
        let community = types::CommunityId(community);
        ledger::report::conservation(&mut connection, community).await.unwrap().unwrap()
    };
    let clean = view(&house, 1).await;
    assert_eq!((clean.created, clean.consumed, clean.held, clean.available), (3_000, 150, 100, 2_750));
    assert_eq!((clean.accounts, clean.difference, clean.open_violations, clean.frozen), (3, 0, 0, 0));
    assert!(clean.checked_at.is_some() && clean.minting_stopped_at.is_none());
    house.others_go_on().await; // the view counts rows that no pass has read yet
    assert_eq!(view(&house, 1).await.difference, 0);

    house.tamper(OF_AN_ACCOUNT[0].0).await;
    house.pass().await;
    let broken = view(&house, 1).await;
    assert_eq!((broken.difference, broken.open_violations, broken.frozen), (1, 1, 1));
    let other = view(&house, 2).await;
    assert_eq!((other.difference, other.open_violations, other.frozen), (0, 0, 0));
    let mut connection = house.database.pool.acquire().await.unwrap();
    let nobody = ledger::report::conservation(&mut connection, types::CommunityId(77)).await.unwrap();
    assert_eq!(nobody, None);
}

/// Accounts with one credit each, as the ledger would have written them, a hundred to a community.
async fn fill(database: &TestDatabase, accounts: i64) {
    let mut connection = PgConnection::connect(&database.url_for("postgres")).await.unwrap();
    for sql in [
        "set session_replication_role = replica".to_owned(),
        format!(
            "insert into book (community_id, cap_month, seq, head) select n, '2026-01-01', 100, decode(repeat('22', 32), 'hex')
             from generate_series(1, {accounts} / 100) n"
        ),
        format!(
            "insert into account (community_id, id, cap_month, seq, minted, available)
             select 1 + n / 100, n, '2026-01-01', 1, 9, 9 from generate_series(0, {accounts} - 1) n"
        ),
        format!(
            "insert into lot (community_id, account_id, id, source, minted, remaining, expires_at, is_open, created_at)
             select 1 + n / 100, n, gen_random_uuid(), 1, 9, 9, '9999-12-31', true, now() from generate_series(0, {accounts} - 1) n"
        ),
        format!(
            "insert into journal select 1 + n / 100, 1 + n % 100, n, 1, 1, 0, 1, 9, 9, null, null, now(), decode(repeat('22', 32), 'hex')
             from generate_series(0, {accounts} - 1) n"
        ),
        format!(
            "insert into hold (community_id, id, account_id, owner_id, cap_month, amount, input_hash, state, charged,
               price_version, asked, created_at, closed_at)
             select 1 + n / 100, gen_random_uuid(), n, 1, '2026-01-01', 9, decode(repeat('00', 32), 'hex'), 2, null, 1,
               'cheap', now() - interval '1 day', now() from generate_series(0, {accounts} - 1) n"
        ),
        "set session_replication_role = default".to_owned(),
        "vacuum analyze".to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_quiet_accounts_is_found_and_a_quiet_pass_reads_no_journal() {
    let accounts = if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 1_000_000 } else { 50_000 };
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    fill(&database, accounts).await;
    let mut checker = Checker::default();
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = std::time::Instant::now();
        let pass = checker.pass(&database.pool, &clock).await.unwrap();
        took.push(began.elapsed());
        assert!(pass.is_clean() && pass.accounts == accounts, "{pass:?}");
    }
    println!("{accounts} accounts: the first pass took {:?}, later ones {:?}", took[0], &took[1..]);
    for whose in [0, accounts / 2, accounts - 1] {
        sqlx::query("update lot set remaining = 8 where account_id = $1 and community_id = 1 + $1 / 100")
            .bind(whose)
            .execute(&database.pool)
            .await
            .unwrap();
        let began = std::time::Instant::now();
        let pass = checker.pass(&database.pool, &clock).await.unwrap();
        println!("with one more suspect: {:?}", began.elapsed());
        let found = |difference: &ledger::Difference| {
            difference.key.account.0 == whose && difference.sum == "open lots" && difference.by == -1
        };
        assert!(pass.differences.iter().any(found), "{pass:?}");
        assert!(pass.global.is_empty(), "{pass:?}");
    }
}
