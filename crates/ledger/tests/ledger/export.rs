//! Exports as a reader gets them: whole, filtered, cut by time, as CSV, and in memory that does not grow.

use futures_util::{Stream, TryStreamExt as _};
use ledger::audit::{self, Filter, Format, Request};
use ledger::verify::{Head, Options, Seal, Verified, VerifyError, verify};
use ledger::{Ledger, Op, Source};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use time::{Duration, OffsetDateTime};
use types::{Clock, CommunityId, LotId, Pool};

use crate::common::{audit as audit_books, hold, key, open, settle, start};
use crate::seal::{key_set, signer};

fn request(filter: Filter) -> Request {
    Request { community: CommunityId(1), from: None, to: None, filter, format: Format::Jsonl }
}

async fn text(pool: &PgPool, clock: &Clock, request: Request) -> String {
    let stream =
        audit::export(pool, clock, request, signer()).await.unwrap().expect("the community is there");
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

fn prove(text: &str) -> Result<Verified, VerifyError> {
    verify(text.as_bytes(), &Options { keys: Some(key_set()), since: None })
}

/// Two accounts of community 1 and one elsewhere; every kind of movement but a late settle.
async fn busy(pool: &PgPool, url: &str, clock: &Clock) -> (Ledger, ledger::Writers) {
    for (community, account) in [(1, 1), (1, 2), (2, 3)] {
        let mut tx = pool.begin().await.unwrap();
        let holder = (account == 1).then_some("0xAbC0000000000000000000000000000000000001");
        ledger::open_account(&mut tx, clock, key(community, account), holder).await.unwrap();
        tx.commit().await.unwrap();
        open(pool, clock, key(community, account), 100_000).await;
    }
    let (ledger, writers) = start(url, clock);
    for number in 0..40 {
        for (community, account) in [(1, 1), (1, 2), (2, 3)] {
            let id = clock.uuid_v7();
            ledger.submit(hold(key(community, account), id, 50)).await.unwrap();
            ledger.submit(settle(key(community, account), id, 30 + number)).await.unwrap();
        }
        clock.advance(Duration::seconds(10));
    }
    // A short lot expires; a refund leaves a receivable, which the next credit pays.
    let (short, taken) = (LotId(clock.uuid_v7()), LotId(clock.uuid_v7()));
    let mint = |id, amount, expires_at| Op::Mint {
        key: key(1, 2),
        id,
        source: Source::Purchase,
        amount,
        expires_at,
    };
    ledger.submit(mint(short, 500, clock.now() + Duration::seconds(5))).await.unwrap();
    clock.advance(Duration::seconds(10));
    ledger.submit(Op::Expire { key: key(1, 2) }).await.unwrap();
    ledger.submit(mint(taken, 700, ledger::NEVER)).await.unwrap();
    let id = clock.uuid_v7();
    ledger.submit(hold(key(1, 2), id, 90_000)).await.unwrap();
    ledger.submit(settle(key(1, 2), id, 98_900)).await.unwrap();
    ledger.submit(Op::Reverse { key: key(1, 2), lot: taken }).await.unwrap();
    ledger.submit(mint(LotId(clock.uuid_v7()), 9_000, ledger::NEVER)).await.unwrap();
    (ledger, writers)
}

fn fixed() -> Clock {
    Clock::fixed(time::macros::datetime!(2026-03-30 12:00 UTC))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_export_proves_itself_and_is_what_the_journal_says() {
    let (database, clock) = (TestDatabase::new().await, fixed());
    let (_ledger, _writers) = busy(&database.pool, &database.url(), &clock).await;
    let text = text(&database.pool, &clock, request(Filter::default())).await;
    let verified = prove(&text).unwrap();
    let (count, last): (i64, i64) =
        sqlx::query_as("select count(*), max(seq) from journal where community_id = 1")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert_eq!((i64::try_from(verified.lines).unwrap(), verified.to_seq), (count, last));
    assert!(verified.chained && verified.from_seq == 1 && verified.filter.is_none());
    assert_eq!(verified.seal, Seal::Checked);
    assert_eq!(verified.community_id, "1");
    let kinds: std::collections::BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_once("\"operation_type\":\"")?.1.split('"').next())
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["expire", "mint", "repay", "reverse", "settle"]);
    assert!(text.contains("\"user_wallet\":\"0xAbC0000000000000000000000000000000000001\""));
    audit_books(&database.pool).await;
    assert_eq!(audit::check_chains(&database.pool, None).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_time_is_chained_and_continues_what_was_saved() {
    let (database, clock) = (TestDatabase::new().await, fixed());
    let began = clock.now();
    let (_ledger, _writers) = busy(&database.pool, &database.url(), &clock).await;
    let at = |seconds| Some(began + Duration::seconds(seconds));
    let part = |from: Option<OffsetDateTime>, to: Option<OffsetDateTime>| Request {
        from,
        to,
        ..request(Filter::default())
    };
    let whole = prove(&text(&database.pool, &clock, request(Filter::default())).await).unwrap();
    let mut lines = 0;
    let mut since: Option<Head> = None;
    for (from, to) in [(None, at(100)), (at(100), at(250)), (at(250), at(250)), (at(250), None)] {
        let text = text(&database.pool, &clock, part(from, to)).await;
        let options = Options { keys: Some(key_set()), since };
        let verified = verify(text.as_bytes(), &options).unwrap();
        assert!(verified.chained);
        lines += verified.lines;
        since = Some(Head::parse(&text).unwrap());
    }
    assert_eq!(lines, whole.lines);
    assert_eq!(since.unwrap().head_hash, whole.head_hash);

    // Every line lies in its range.
    let text = text(&database.pool, &clock, part(at(100), at(250))).await;
    let times: Vec<&str> =
        text.lines().filter_map(|line| Some(&line.split_once("\"timestamp\":\"")?.1[..27])).collect();
    assert_eq!(times.first(), Some(&"2026-03-30T12:01:40.000000Z"));
    assert_eq!(times.last(), Some(&"2026-03-30T12:04:00.000000Z"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_export_says_that_it_is_unchained_and_is_sealed_all_the_same() {
    let (database, clock) = (TestDatabase::new().await, fixed());
    let (_ledger, _writers) = busy(&database.pool, &database.url(), &clock).await;
    let pool = Filter { pool: Some(Pool::Cheap), ..Filter::default() };
    let user = Filter { account: Some(types::AccountId(2)), ..Filter::default() };
    let mut counts = Vec::new();
    for (filter, words) in [(pool, "pool cheap"), (user, "account 2")] {
        let text = text(&database.pool, &clock, request(filter)).await;
        let verified = prove(&text).unwrap();
        assert!(!verified.chained);
        assert_eq!(verified.filter.as_deref(), Some(words));
        counts.push(verified.lines);

        let mut lines: Vec<&str> = text.lines().collect();
        lines.remove(3);
        assert!(prove(&lines.join("\n")).is_err(), "a dropped line");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(3, 4);
        assert!(prove(&lines.join("\n")).is_err(), "two lines in another order");
    }
    let expected: (i64, i64) = sqlx::query_as(
        "select count(*) filter (where pool = 0), count(*) filter (where account_id = 2) from journal where community_id = 1",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(counts, [u64::try_from(expected.0).unwrap(), u64::try_from(expected.1).unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_has_the_same_fields_and_pages_the_same_lines() {
    let (database, clock) = (TestDatabase::new().await, fixed());
    let (_ledger, _writers) = busy(&database.pool, &database.url(), &clock).await;
    let jsonl = text(&database.pool, &clock, request(Filter::default())).await;
    let csv =
        text(&database.pool, &clock, Request { format: Format::Csv, ..request(Filter::default()) }).await;
    let rows: Vec<Vec<&str>> = csv.split_terminator("\r\n").map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), jsonl.lines().count() - 1, "a heading instead of an opening, and no closing line");
    assert!(rows.iter().all(|row| row.len() == 12));
    for (row, line) in rows[1..].iter().zip(jsonl.lines().skip(1)) {
        for (name, value) in [
            ("seq", format!(":{}", row[0])),
            ("amount_micro", format!(":\"{}\"", row[3])),
            ("hash", format!(":\"{}\"", row[11])),
        ] {
            assert!(line.contains(&format!("\"{name}\"{value}")), "{name}: {line}");
        }
    }

    let mut connection = database.pool.acquire().await.unwrap();
    let (mut before, mut lines) = (None, Vec::new());
    loop {
        let page = audit::Page { before, limit: 7, ..audit::Page::default() };
        let page = audit::page(&mut connection, CommunityId(1), &page).await.unwrap().unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.entry.seq);
        lines.extend(page.iter().map(ledger::audit::AuditRow::line));
    }
    lines.reverse();
    let exported: Vec<&str> = jsonl.lines().collect();
    assert_eq!(lines, exported[1..exported.len() - 1]);
    let nobody = audit::page(&mut connection, CommunityId(9), &audit::Page::default()).await.unwrap();
    assert_eq!(nobody, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_range_and_a_new_community_are_sound_files() {
    let (database, clock) = (TestDatabase::new().await, fixed());
    open(&database.pool, &clock, key(1, 1), 0).await;
    let empty = text(&database.pool, &clock, request(Filter::default())).await;
    let verified = prove(&empty).unwrap();
    assert_eq!((verified.lines, verified.from_seq, verified.to_seq), (0, 1, 0));
    assert_eq!(verified.head_hash, "0".repeat(64));
    let nobody = Request { community: CommunityId(9), ..request(Filter::default()) };
    assert!(audit::export(&database.pool, &clock, nobody, signer()).await.unwrap().is_none());
}

/// Journal rows that fit one another, made by hand: the ledger would take minutes for as many.
async fn fill(pool: &PgPool, lines: i64) {
    let mut tx = pool.begin().await.unwrap();
    ledger::open_account(&mut tx, &fixed(), key(1, 1), None).await.unwrap();
    sqlx::query(
        "insert into journal (community_id, seq, account_id, account_seq, kind, debit, credit, amount, balance_after, at, hash)
         select 1, n, 1, n, 1, 0, 1, 1, n, '2026-01-01'::timestamptz + n * interval '1 millisecond', decode(repeat('11', 32), 'hex')
         from generate_series(1, $1) n",
    )
    .bind(lines)
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query("update book set seq = $1").bind(lines).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Memory of this process that is its own, in KiB.
fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn drain(stream: impl Stream<Item = Result<bytes::Bytes, sqlx::Error>>) -> (u64, usize) {
    let (mut total, mut largest) = (0, 0);
    let mut stream = std::pin::pin!(stream);
    while let Some(piece) = stream.try_next().await.unwrap() {
        total += u64::try_from(piece.len()).unwrap();
        largest = largest.max(piece.len());
    }
    (total, largest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_many_lines_takes_the_memory_of_a_few() {
    let lines = if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 1_000_000 } else { 50_000 };
    let database = TestDatabase::new().await;
    fill(&database.pool, lines).await;
    let clock = Clock::system();
    let export = || audit::export(&database.pool, &clock, request(Filter::default()), signer());
    let before = resident_kib();
    let (total, largest) = drain(export().await.unwrap().unwrap()).await;
    let grown = resident_kib() - before;
    println!("{lines} lines, {total} bytes, pieces of at most {largest} bytes, {grown} KiB more memory");
    assert!(total > u64::try_from(lines).unwrap() * 300);
    assert!(largest < 512 * 1024, "{largest}");
    assert!(grown <= 64 * 1024, "{grown} KiB");
}
