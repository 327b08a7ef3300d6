//! Every statement of a batch finds its rows by an index, with the generic plan that the writer asks for.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testing::postgres::TestDatabase;

#[tokio::test]
async fn every_statement_of_a_batch_finds_its_rows_by_an_index() {
    let rows: i64 = if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 1_000_000 } else { 100_000 };
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url_for("postgres")).await.unwrap();
    let began = std::time::Instant::now();
    for sql in [
        // No foreign keys, no triggers: only the shape of the tables counts here.
        "set session_replication_role = replica".to_owned(),
        format!("insert into book (community_id, cap_month) select n, '2026-01-01' from generate_series(1, {rows} / 100) n"),
        format!(
            "insert into account (community_id, id, cap_month) select 1 + n % ({rows} / 100), n, '2026-01-01'
             from generate_series(1, {rows}) n"
        ),
        format!(
            "insert into lot (community_id, account_id, id, source, minted, remaining, expires_at, is_open, created_at)
             select 1 + n % ({rows} / 100), n, gen_random_uuid(), 1, 9, 9 * (n % 4), '9999-12-31', n % 4 > 0, now()
             from generate_series(1, {rows}) n where n % 4 < 2"
        ),
        format!(
            "insert into hold (community_id, id, account_id, owner_id, cap_month, amount, input_hash, state, charged,
               price_version, asked, created_at, closed_at)
             select 1 + n % ({rows} / 100), gen_random_uuid(), n, 1, '2026-01-01', 9, decode(repeat('00', 32), 'hex'), 1, 5, 1,
               'cheap', now(), now() from generate_series(1, {rows}) n"
        ),
        format!(
            "insert into journal select 1 + n % ({rows} / 100), n, n, 1, 1, 0, 1, 9, 9, null, null, now(),
               decode(repeat('00', 32), 'hex') from generate_series(1, {rows}) n"
        ),
        "set session_replication_role = default".to_owned(),
        "analyze".to_owned(),
        "set plan_cache_mode = force_generic_plan".to_owned(),
        "set jit = off".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    println!("{rows} rows in {:?}", began.elapsed());
    // The guard is one row: there is nothing to find by an index.
    let of_one_row = |sql: &&&str| !sql.contains("from guard");
    let joined = ledger::joined_writes();
    let statements = ledger::STATEMENTS.iter().filter(of_one_row).copied().chain([joined.as_str()]);
    for (number, sql) in statements.enumerate() {
        let parameters = (1..=99).filter(|parameter| sql.contains(&format!("${parameter}"))).count();
        let nulls = vec!["null"; parameters].join(", ");
        for statement in [format!("prepare s{number} as {sql}")] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        let explain = format!("explain (costs off) execute s{number} ({nulls})");
        let plan: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let plan = plan.join("\n");
        for table in ["book", "account", "lot", "hold", "journal"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{sql}\n{plan}");
        }
        // Each array of a function in FROM is stored as a table before it is read: five times the price of a select list.
        assert!(!plan.contains("Function Scan"), "{sql}\n{plan}");
        let is_insert = plan.contains("Insert on");
        assert!(
            is_insert || plan.contains("Index Scan") || plan.contains("Index Only Scan"),
            "{sql}\n{plan}"
        );
    }
}
