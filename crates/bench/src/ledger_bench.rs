//! The ledger alone: durable hold + settle pairs a second, with the books recomputed after each run.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::Cluster;
use ledger::{AccountKey, Answer, Charge, Ledger, NEVER, NewHold, Op, Sabotage, Source};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::io::AsyncReadExt;
use types::{AccountId, Clock, CommunityId, LotId, OwnerId, ReservationId};

use crate::summary::{median, percentile};
use crate::{machine, wal};

/// Accounts get so much that no run spends it.
const ENDLESS: i64 = 1_000_000_000_000_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of one run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Runs of each case; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Callers that wait for an answer at the same time.
    #[arg(long, default_value_t = 512)]
    callers: usize,
    /// Only cases whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Where the cluster's files lie while it runs; a real disk.
    #[arg(long, default_value = "target/bench-data")]
    folder: PathBuf,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct WorkerOptions {
    #[arg(long)]
    url: String,
    #[arg(long)]
    communities: i64,
    #[arg(long)]
    accounts: i64,
    #[arg(long)]
    callers: usize,
    #[arg(long)]
    seconds: u64,
}

/// One way to load the ledger.
struct Case {
    name: &'static str,
    communities: i64,
    /// In each community.
    accounts: i64,
    processes: usize,
    commit_ms: u32,
    /// Pairs a second that the product promises.
    target: f64,
}

const CASES: [Case; 6] = [
    Case {
        name: "1,000 accounts of one community",
        communities: 1,
        accounts: 1_000,
        processes: 1,
        commit_ms: 0,
        target: 15_000.0,
    },
    Case {
        name: "1,000 accounts over 16 communities",
        communities: 16,
        accounts: 63,
        processes: 1,
        commit_ms: 0,
        target: 25_000.0,
    },
    Case {
        name: "one hot account",
        communities: 1,
        accounts: 1,
        processes: 1,
        commit_ms: 0,
        target: 30_000.0,
    },
    Case {
        name: "1,000,000 accounts of 16 communities",
        communities: 16,
        accounts: 62_500,
        processes: 1,
        commit_ms: 0,
        target: 12_000.0,
    },
    Case {
        name: "two processes, 1,000 accounts over 16 communities",
        communities: 16,
        accounts: 63,
        processes: 2,
        commit_ms: 0,
        target: 12_000.0,
    },
    Case {
        name: "a commit of 4 ms, 1,000 accounts over 16 communities",
        communities: 16,
        accounts: 63,
        processes: 1,
        commit_ms: 4,
        target: 12_000.0,
    },
];

/// What one process did in one run.
#[derive(Serialize, Deserialize)]
struct Tally {
    pairs: u64,
    seconds: f64,
    holds_us: Vec<u32>,
    settles_us: Vec<u32>,
}

/// What one case did.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) case: &'static str,
    pub(crate) pairs_per_second: f64,
    pub(crate) target: f64,
    pub(crate) hold_p50_us: u32,
    pub(crate) hold_p99_us: u32,
    pub(crate) settle_p50_us: u32,
    pub(crate) settle_p99_us: u32,
    pub(crate) load_before: String,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Vec<Figure>> {
    let mut out = std::io::stdout();
    writeln!(out, "{}, load {}", machine::name(), machine::load_average())?;
    let mut figures = Vec::new();
    for case in &CASES {
        if options.only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
            continue;
        }
        let figure = measure(&options, case).await?;
        writeln!(
            out,
            "{:55} {:>8.0} pairs/s (target {:>6.0})  hold p50 {:.1} p99 {:.1} ms  settle p50 {:.1} p99 {:.1} ms  load {}",
            figure.case,
            figure.pairs_per_second,
            figure.target,
            f64::from(figure.hold_p50_us) / 1e3,
            f64::from(figure.hold_p99_us) / 1e3,
            f64::from(figure.settle_p50_us) / 1e3,
            f64::from(figure.settle_p99_us) / 1e3,
            figure.load_before,
        )?;
        figures.push(figure);
    }
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(figures)
}

async fn measure(options: &Options, case: &Case) -> anyhow::Result<Figure> {
    let load_before = machine::load_average();
    let folder = std::path::absolute(&options.folder)?;
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let cluster = Cluster::start(cluster::Settings::new(&folder)).await?;
    cluster.prepare_database("bench").await?;
    let url = cluster.url("freeside_app", "bench");
    migrate(&cluster.url("freeside_owner", "bench")).await?;
    fill(&cluster.superuser_url("bench"), case.communities, case.accounts, case.commit_ms).await?;

    let (mut rates, mut holds, mut settles) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs {
        wal::age(&cluster.superuser_url("bench")).await?;
        let callers = options.callers / case.processes;
        let tally = if case.processes == 1 {
            load(&url, case.communities, case.accounts, callers, options.seconds).await?
        } else {
            spawn_workers(&url, case, callers, options.seconds).await?
        };
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        rates.push(tally.pairs as f64 / tally.seconds);
        holds.extend(tally.holds_us);
        settles.extend(tally.settles_us);
        check(&url).await?;
    }
    cluster.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(Figure {
        case: case.name,
        pairs_per_second: median(&mut rates),
        target: case.target,
        hold_p50_us: percentile(&mut holds, 50.0),
        hold_p99_us: percentile(&mut holds, 99.0),
        settle_p50_us: percentile(&mut settles, 50.0),
        settle_p99_us: percentile(&mut settles, 99.0),
        load_before,
    })
}

pub(crate) async fn migrate(url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::migrate!("../../migrations").run(&mut connection).await?;
    Ok(())
}

/// Opens the accounts and gives each its credits, through the ledger; a million of them by SQL in the same shape.
pub(crate) async fn fill(
    superuser: &str,
    communities: i64,
    accounts: i64,
    commit_ms: u32,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(superuser).await?;
    if commit_ms > 0 {
        let delay = commit_ms * 1_000;
        for setting in [
            format!("alter system set commit_delay = {delay}"),
            "alter system set commit_siblings = 0".to_owned(),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(setting)).execute(&mut connection).await?;
        }
        sqlx::query("select pg_reload_conf()").execute(&mut connection).await?;
    }
    let clock = Clock::system();
    for community in 1..=communities {
        let key = AccountKey { community: CommunityId(community), account: AccountId(1) };
        ledger::open_account(&mut connection, &clock, key, None).await?;
        sqlx::query(
            "insert into account (community_id, id, cap_month) select $1, n, (date_trunc('month', now() at time zone 'utc'))::date from generate_series(2, $2::bigint) n",
        )
        .bind(community)
        .bind(accounts)
        .execute(&mut connection)
        .await?;
    }
    if accounts <= 2_000 {
        let mut tx = connection.begin().await?;
        for community in 1..=communities {
            for account in 1..=accounts {
                ledger::post(&mut tx, &clock, &grant(&clock, community, account)).await?;
            }
        }
        tx.commit().await?;
    } else {
        mint_all(superuser, communities, accounts, &clock).await?;
    }
    sqlx::query("vacuum analyze").execute(&mut connection).await?;
    Ok(())
}

async fn mint_all(url: &str, communities: i64, accounts: i64, clock: &Clock) -> anyhow::Result<()> {
    let (ledger, writers) = Ledger::start(&ledger::Settings::new(url, clock.clone())?);
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..512_i64 {
        let (ledger, clock) = (ledger.clone(), clock.clone());
        tasks.spawn(async move {
            let mut index = lane;
            while index < communities * accounts {
                let op = grant(&clock, index % communities + 1, index / communities + 1);
                ledger.submit(op).await?;
                index += 512;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    drop(ledger);
    writers.finished().await;
    Ok(())
}

fn grant(clock: &Clock, community: i64, account: i64) -> Op {
    let key = AccountKey { community: CommunityId(community), account: AccountId(account) };
    Op::Mint { key, id: LotId(clock.uuid_v7()), source: Source::Grant, amount: ENDLESS, expires_at: NEVER }
}

async fn check(url: &str) -> anyhow::Result<()> {
    let pool = PgPool::connect(url).await?;
    let differences = ledger::check_everything(&pool).await?;
    anyhow::ensure!(differences.is_empty(), "the books do not agree: {differences:?}");
    let open: i64 = sqlx::query_scalar("select count(*) from hold where state = 0").fetch_one(&pool).await?;
    anyhow::ensure!(open == 0, "{open} holds are open");
    Ok(())
}

async fn spawn_workers(url: &str, case: &Case, callers: usize, seconds: u64) -> anyhow::Result<Tally> {
    let mut children = Vec::new();
    for _ in 0..case.processes {
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.arg("ledger-worker").args(["--url", url]);
        command.args([
            "--communities",
            &case.communities.to_string(),
            "--accounts",
            &case.accounts.to_string(),
        ]);
        command.args(["--callers", &callers.to_string(), "--seconds", &seconds.to_string()]);
        children.push(command.stdout(Stdio::piped()).spawn()?);
    }
    let mut sum = Tally { pairs: 0, seconds: 0.0, holds_us: Vec::new(), settles_us: Vec::new() };
    for mut child in children {
        let mut text = Vec::new();
        child.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?.read_to_end(&mut text).await?;
        anyhow::ensure!(child.wait().await?.success(), "a worker failed");
        let tally: Tally = serde_json::from_slice(&text)?;
        sum.pairs += tally.pairs;
        sum.seconds = sum.seconds.max(tally.seconds);
        sum.holds_us.extend(tally.holds_us);
        sum.settles_us.extend(tally.settles_us);
    }
    Ok(sum)
}

/// The second process: same load, figures on standard output.
pub(crate) async fn work(options: WorkerOptions) -> anyhow::Result<()> {
    let tally =
        load(&options.url, options.communities, options.accounts, options.callers, options.seconds).await?;
    serde_json::to_writer(std::io::stdout().lock(), &tally)?;
    Ok(())
}

/// Callers that each hold, settle, and start again, until the time is up.
async fn load(
    url: &str,
    communities: i64,
    accounts: i64,
    callers: usize,
    seconds: u64,
) -> anyhow::Result<Tally> {
    let clock = Clock::system();
    let settings =
        ledger::Settings { sabotage: Sabotage::None, ..ledger::Settings::new(url, clock.clone())? };
    let (ledger, writers) = Ledger::start(&settings);
    let pairs = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (ledger, clock, pairs) = (ledger.clone(), clock.clone(), Arc::clone(&pairs));
        tasks.spawn(async move {
            let (mut holds, mut settles) = (Vec::new(), Vec::new());
            while Instant::now() < end {
                let (community, account) =
                    (rand::random_range(1..=communities), rand::random_range(1..=accounts));
                let key = AccountKey { community: CommunityId(community), account: AccountId(account) };
                let id = ReservationId(clock.uuid_v7());
                let start = Instant::now();
                let held = ledger.submit(hold(key, id)).await?;
                anyhow::ensure!(matches!(held, Answer::Held { .. }), "not held: {held:?}");
                let middle = Instant::now();
                ledger.submit(settle(key, id)).await?;
                holds.push(micros(middle - start));
                settles.push(micros(middle.elapsed()));
                pairs.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok((holds, settles))
        });
    }
    let mut tally = Tally { pairs: 0, seconds: 0.0, holds_us: Vec::new(), settles_us: Vec::new() };
    while let Some(done) = tasks.join_next().await {
        let (holds, settles) = done??;
        tally.holds_us.extend(holds);
        tally.settles_us.extend(settles);
    }
    tally.seconds = began.elapsed().as_secs_f64();
    tally.pairs = pairs.load(Ordering::Relaxed);
    drop(ledger);
    writers.finished().await;
    Ok(tally)
}

fn hold(key: AccountKey, id: ReservationId) -> Op {
    Op::Hold(NewHold {
        id,
        key,
        amount: 2_500,
        input_hash: [7; 32],
        owner: OwnerId(0),
        api_key: Some(1),
        price_version: 1,
        agent: None,
        asked: "cheap".to_owned(),
    })
}

fn settle(key: AccountKey, id: ReservationId) -> Op {
    let charge = Charge {
        amount: 137,
        tokens_in: 40,
        tokens_out: 20,
        own_in: 40,
        own_out: 20,
        pool: Some(0),
        model: "scripted-cheap".to_owned(),
        reason: "requested".to_owned(),
    };
    Op::Settle { key, id, charge }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
