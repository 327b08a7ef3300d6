//! The proof: exporting a long trail, verifying a file, and one pass of the guard over books that nobody touches.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use cluster::{Cluster, roles};
use futures_util::TryStreamExt as _;
use ledger::audit::{Filter, Format, Request, Signer};
use ledger::{AccountKey, Checker, verify};
use sqlx::PgPool;
use types::{AccountId, Clock, CommunityId};

use crate::figure::Figure;
use crate::ledger_bench::{fill, migrate};
use crate::path::cpu::{ratio, resident_kib};
use crate::summary::median;

/// Lines of the export whose memory is measured, and how much more it may take, in MB.
const EXPORTED: i64 = 1_000_000;
const GROWTH_AT_MOST_MB: f64 = 64.0;
/// Pieces of an export between two looks at the memory: some 8 MB.
const LOOK_EVERY: u64 = 32;
/// Accounts of the books that are proven, and lines of the file: each account was granted credits once.
const ACCOUNTS: i64 = 100_000;
/// Passes of the guard and readings of the file; the median counts.
const TRIES: usize = 3;
const COMMUNITY: CommunityId = CommunityId(1);

pub(super) async fn measure(folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let folder = std::path::absolute(folder)?.join(format!("proof-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let cluster = Cluster::start(cluster::Settings::new(&folder)).await?;
    let result = tokio::select! {
        result = measure_in(&cluster, &folder) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("broken off")),
    };
    cluster.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    result
}

async fn measure_in(cluster: &Cluster, folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![memory_of_an_export(&database(cluster, "trail").await?).await?];
    let db = database(cluster, "books").await?;
    fill(&cluster.superuser_url("books"), 1, ACCOUNTS, 0).await?;
    figures.extend(verifying(&db, &folder.join("audit.jsonl")).await?);
    figures.push(quiet_pass(&db).await?);
    Ok(figures)
}

async fn database(cluster: &Cluster, name: &str) -> anyhow::Result<PgPool> {
    cluster.prepare_database(name).await?;
    migrate(&cluster.url(roles::OWNER, name)).await?;
    Ok(PgPool::connect(&cluster.url(roles::APP, name)).await?)
}

/// Rows made by hand, which fit one another and are no chain: an export does not look, and the ledger would take minutes.
async fn memory_of_an_export(db: &PgPool) -> anyhow::Result<Figure> {
    let mut tx = db.begin().await?;
    let key = AccountKey { community: COMMUNITY, account: AccountId(1) };
    ledger::open_account(&mut tx, &Clock::system(), key, None).await?;
    sqlx::query(
        "insert into journal (community_id, seq, account_id, account_seq, kind, debit, credit, amount, balance_after, at, hash)
         select 1, n, 1, n, 1, 0, 1, 1, n, '2026-01-01'::timestamptz + n * interval '1 millisecond', decode(repeat('11', 32), 'hex')
         from generate_series(1, $1) n",
    )
    .bind(EXPORTED)
    .execute(&mut *tx)
    .await?;
    sqlx::query("update book set seq = $1").bind(EXPORTED).execute(&mut *tx).await?;
    tx.commit().await?;
    let resident = || resident_kib(std::process::id()).map(|(now_kib, _)| now_kib);
    let before_kib = resident()?;
    let (mut most_kib, mut pieces, mut is_whole) = (before_kib, 0_u64, false);
    let closing = format!("{{\"count\":{EXPORTED},");
    export(db, |piece| {
        pieces += 1;
        is_whole |= piece.starts_with(closing.as_bytes());
        if pieces.is_multiple_of(LOOK_EVERY) {
            most_kib = most_kib.max(resident()?);
        }
        Ok(())
    })
    .await?;
    ensure!(is_whole, "the export does not end after {EXPORTED} lines");
    let grown_mb = ratio((most_kib.max(resident()?) - before_kib) * 1_024, 1_000_000);
    Ok(Figure::at_most("export of 1,000,000 audit lines, more memory, MB", grown_mb, GROWTH_AT_MOST_MB))
}

async fn export(db: &PgPool, mut take: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let filter = Filter::default();
    let request = Request { community: COMMUNITY, from: None, to: None, filter, format: Format::Jsonl };
    // One signature is no part of any figure, and the verifier is given no key.
    let signer = Signer { kid: "bench".to_owned(), sign: Arc::new(|_| vec![0; 64]) };
    let stream = ledger::audit::export(db, &Clock::system(), request, signer).await?;
    let mut stream = std::pin::pin!(stream.context("the community is not there")?);
    while let Some(piece) = stream.try_next().await? {
        take(&piece)?;
    }
    Ok(())
}

/// A real chain, exported to a file and read from it.
async fn verifying(db: &PgPool, file: &Path) -> anyhow::Result<[Figure; 2]> {
    let mut out = BufWriter::new(File::create(file)?);
    export(db, |piece| Ok(out.write_all(piece)?)).await?;
    out.into_inner()?.sync_all()?;
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let began = Instant::now();
        let verified = verify::verify(BufReader::new(File::open(file)?), &verify::Options::default())?;
        tries.push(began.elapsed().as_secs_f64());
        ensure!(
            verified.chained && i64::try_from(verified.lines)? == ACCOUNTS,
            "{} lines were verified",
            verified.lines
        );
    }
    let seconds = median(&mut tries);
    let per_second = ratio(ACCOUNTS.unsigned_abs(), 1) / seconds;
    Ok([
        Figure::plain("verifying a file of 100,000 audit lines, s", seconds),
        Figure::plain("verified audit lines a second", per_second),
    ])
}

async fn quiet_pass(db: &PgPool) -> anyhow::Result<Figure> {
    let (mut checker, clock) = (Checker::default(), Clock::system());
    // The first reads the journal, which is what makes the following ones quiet.
    checker.pass(db, &clock).await?;
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let began = Instant::now();
        let pass = checker.pass(db, &clock).await?;
        tries.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(pass.is_clean() && pass.accounts == ACCOUNTS, "a pass found {pass:?}");
    }
    Ok(Figure::plain("a quiet pass of the guard over 100,000 accounts, ms", median(&mut tries)))
}
