//! What the database refuses to whom: the journal only grows, and finn reads no money.

use sqlx::{AssertSqlSafe, PgPool};
use testing::postgres::TestDatabase;
use types::Clock;

use crate::common::{audit, key, open};

const MONEY: [&str; 11] = [
    "book",
    "account",
    "lot",
    "hold",
    "journal",
    "owner",
    "violation",
    "price_version",
    "proof",
    "proof_book",
    "guard",
];

async fn is_refused(pool: &PgPool, sql: &str) {
    let error = match sqlx::query(AssertSqlSafe(sql.to_owned())).execute(pool).await {
        Ok(done) => panic!("{sql}: allowed, {done:?}"),
        Err(error) => error,
    };
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    // insufficient_privilege, or a role whose transactions only read
    assert!(matches!(code.as_deref(), Some("42501" | "25006")), "{sql}: {error}");
}

#[tokio::test]
async fn neither_the_application_nor_the_owner_can_change_the_journal() {
    let database = TestDatabase::new().await;
    open(&database.pool, &Clock::system(), key(1, 1), 1_000).await;
    let owner = database.owner_pool();
    for sql in [
        "update journal set amount = amount + 1",
        "delete from journal",
        "truncate journal",
        "truncate journal cascade",
    ] {
        is_refused(&database.pool, sql).await;
        is_refused(&owner, sql).await;
    }
    audit(&database.pool).await;
}

#[tokio::test]
async fn the_application_can_do_what_the_ledger_does_and_nothing_else() {
    let database = TestDatabase::new().await;
    open(&database.pool, &Clock::system(), key(1, 1), 1_000).await;
    for sql in [
        "alter table journal disable trigger journal_is_append_only",
        "alter table journal disable trigger all",
        "alter table journal disable trigger user",
        "alter table journal enable replica trigger journal_is_append_only",
        "alter table journal owner to freeside_app",
        "alter function refuse_change() rename to refuse_nothing",
        "drop function refuse_change() cascade",
        "create trigger allow before update on journal for each row execute function refuse_change()",
        "create rule nothing as on update to journal do instead nothing",
        "set role freeside_owner",
        "set session authorization freeside_owner",
        "insert into guard (id) values (2)",
        "delete from guard",
        "drop trigger journal_is_never_emptied on journal",
        "drop table journal",
        "alter table account drop constraint conservation",
        "create or replace function refuse_change() returns trigger language plpgsql as $$ begin return new; end $$",
        "set session_replication_role = replica",
        "delete from account",
        "delete from lot",
        "delete from hold",
        "delete from book",
        "delete from violation",
        "update price_version set prices = '{}'",
        "truncate hold",
    ] {
        is_refused(&database.pool, sql).await;
    }
}

#[tokio::test]
async fn finns_role_neither_writes_nor_reads_money() {
    let database = TestDatabase::new().await;
    open(&database.pool, &Clock::system(), key(1, 1), 1_000).await;
    let finn = database.pool_for("loa_finn_ro");
    for table in MONEY {
        is_refused(&finn, &format!("select from {table}")).await;
        is_refused(&finn, &format!("delete from {table}")).await;
        is_refused(&finn, &format!("truncate {table}")).await;
        is_refused(&finn, &format!("insert into {table} default values")).await;
    }
    is_refused(&finn, "update account set available = 1").await;
    is_refused(&finn, "create table loot (id int)").await;
}

#[tokio::test]
async fn the_database_itself_refuses_an_overdraft_and_money_from_nowhere() {
    let database = TestDatabase::new().await;
    open(&database.pool, &Clock::system(), key(1, 1), 1_000).await;
    for (sql, constraint) in [
        ("update account set available = available + 1", "conservation"),
        ("update account set available = -1, held = 1001", "no_overdraft"),
        ("update account set minted = minted - 5, owed = 5", "no_overdraft"),
        ("update lot set remaining = minted + 1", "lot_bounds"),
        ("update lot set remaining = 0", "lot_open_says"),
    ] {
        let error = sqlx::query(sql).execute(&database.pool).await.unwrap_err();
        let name = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(name, Some(constraint), "{sql}: {error}");
    }
    let twice = "insert into journal select community_id, 2, account_id, account_seq, kind, debit, credit, amount, balance_after,
                 ref, pool, at, hash from journal";
    let error = sqlx::query(twice).execute(&database.pool).await.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|error| error.constraint()), Some("journal_gapless"));
}
