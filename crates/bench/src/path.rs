//! The whole path under load: API key, limits, durable hold, signed token, finn, stream from a local upstream, durable
//! settle, last event; with callers, freeside, PostgreSQL and upstream on the same cores.
//!
//! A run counts only good answers, checked to the last word, and after each the books are recomputed: every good answer
//! is one settled hold, nothing stays held. A fault there ends the program with an error; a slow figure never does.
//! Deliberately absent: TLS (the proxy's work) and several machines.

pub(crate) mod answer;
mod books;
pub(crate) mod cpu;
mod load;
pub(crate) mod report;
pub(crate) mod service;
pub(crate) mod upstream;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cluster::{Cluster, roles};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::Instant;

use crate::pauses::Watch;
use crate::summary::percentile;
use crate::{machine, wal};
use books::Developer;
use cpu::Ticks;
use load::{Load, Pace, Running, Tally};
use report::{Direct, Kind, Report, Run, Start};
use service::{Service, Started};
use upstream::Upstream;

/// Accounts, each with a key, in communities of their own, as sign-up makes them.
const DEVELOPERS: usize = 64;
/// The database that `freeside serve` makes in its own cluster.
pub(crate) const DATABASE: &str = "freeside";
/// After the start, before the idle memory is read: the first pass of every job is over.
const IDLE: Duration = Duration::from_secs(3);
/// Before an open loop is measured it runs this long at least: what the books' jobs still have to do for the run before,
/// each ten to twenty seconds, is not this load's.
const STEADY: Duration = Duration::from_secs(20);
/// Callers of an open loop: many more than are in flight, so that nobody is late for their own timetable.
const OPEN_CALLERS: u32 = 256;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds that are measured in one run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds of the same load before them.
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// A short look with little load: does it work at all? The figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Answers a second at half load.
    #[arg(long, default_value_t = 1_500)]
    half_rate: u32,
    /// Answers a second with one chunk each 5 ms.
    #[arg(long, default_value_t = 1_500)]
    paced_rate: u32,
    /// Only runs whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// The program under load; otherwise the `freeside` beside this program.
    #[arg(long)]
    freeside: Option<PathBuf>,
    /// Where the data lie while it runs; a real disk.
    #[arg(long, default_value = "target/bench-path")]
    folder: PathBuf,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One way to load the path.
struct Plan {
    name: String,
    kind: Kind,
    callers: u32,
    pace: Pace,
    /// Its load runs this long before it is measured, or as long as asked for.
    steady: Duration,
}

impl Options {
    fn plans(&self) -> Vec<Plan> {
        let peak = |callers| Plan {
            name: format!("peak, {callers} callers"),
            kind: Kind::Peak,
            callers,
            pace: Pace::Closed,
            steady: Duration::ZERO,
        };
        let open = |name, kind, per_second| Plan {
            name: format!("{name} at {per_second}/s"),
            kind,
            callers: OPEN_CALLERS,
            pace: Pace::Open { per_second },
            steady: if self.quick { Duration::ZERO } else { STEADY },
        };
        let mut plans = if self.quick {
            vec![peak(64), open("half load", Kind::Half, 100), open("paced", Kind::Paced, 50)]
        } else {
            let half = open("half load", Kind::Half, self.half_rate);
            vec![peak(64), peak(128), peak(256), half, open("paced", Kind::Paced, self.paced_rate)]
        };
        plans.retain(|plan| self.only.as_ref().is_none_or(|only| plan.name.contains(only.as_str())));
        plans
    }

    /// A stall of this disk (20–40 ms, about once in 10 s) reaches more than every hundredth answer of a run that meets
    /// one, so the tails of the open loops are medians of three.
    fn tries_of(&self, plan: &Plan) -> usize {
        if self.quick || plan.pace == Pace::Closed { 1 } else { 3 }
    }

    /// Warm-up and measured time.
    fn times(&self) -> (Duration, Duration) {
        if self.quick {
            return (Duration::from_secs(1), Duration::from_secs(2));
        }
        (Duration::from_secs(self.warm_up), Duration::from_secs(self.seconds.max(1)))
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Report> {
    say(&format!("{}, load {}", machine::name(), machine::load_average()))?;
    let upstream = Upstream::start()?;
    let program = service::program(options.freeside.as_deref())?;
    let service = Service::new(program, &options.folder, upstream.address)?;
    let result = tokio::select! {
        result = measure(&options, &service, &upstream) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("broken off")),
    };
    let result = result.map_err(|error| anyhow::anyhow!("{error:#}\n{}", service.last_words()));
    let cleared = service.clear().await;
    let report = result?;
    cleared?;
    if !options.quick {
        say(&format!("\n{}", report::promise_lines(&report.promises)))?;
    }
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if !report.runs.iter().all(Run::is_sound) {
        bail!("an answer failed or the books do not agree: see above");
    }
    Ok(report)
}

async fn measure(options: &Options, service: &Service, upstream: &Upstream) -> anyhow::Result<Report> {
    let load_before = machine::load_average();
    let first = service.start().await?;
    let first_ms = first.ready_after.as_secs_f64() * 1e3;
    service.stop().await?;
    let process = service.start().await?;
    let again_ms = process.ready_after.as_secs_f64() * 1e3;
    tokio::time::sleep(IDLE).await;
    let (idle_memory_kib, _) = cpu::resident_kib(process.pid)?;
    let start = Start { first_ms, again_ms, idle_memory_kib };
    say(&format!(
        "ready after {first_ms:.0} ms with a cluster to make, {again_ms:.0} ms with an existing one; idle memory {:.1} MiB\n\n{}",
        cpu::ratio(idle_memory_kib, 1_024),
        report::HEAD
    ))?;

    let bench = Bench::open(service, process).await?;
    let (warm_up, measured) = options.times();
    let mut runs = Vec::new();
    for plan in options.plans() {
        match plan.kind {
            Kind::Peak | Kind::Half => upstream.answer_at_once(),
            Kind::Paced => upstream.answer_paced(),
        }
        let mut tries = Vec::new();
        for _ in 0..options.tries_of(&plan) {
            let run = bench.run(&plan, upstream.address, warm_up, measured).await?;
            say(&report::line(&run))?;
            service.check_running().await?;
            tries.push(run);
        }
        runs.push(report::median(tries));
    }
    let (_, peak_memory_kib) = cpu::resident_kib(process.pid)?;
    say(&format!("most memory of the process: {:.1} MiB", cpu::ratio(peak_memory_kib, 1_024)))?;
    bench.close().await?;
    service.stop().await?;
    let promises = if options.quick { Vec::new() } else { report::promises(start, &runs) };
    Ok(Report {
        machine: machine::name(),
        load_before,
        seconds: measured.as_secs(),
        start,
        runs,
        peak_memory_kib,
        promises,
    })
}

/// What every run needs.
struct Bench {
    /// Attached, not owned: freeside started it.
    cluster: Cluster,
    db: PgPool,
    developers: Vec<Developer>,
    requests: Arc<[Vec<u8>]>,
    service: SocketAddr,
    freeside: u32,
    postmaster: u32,
}

impl Bench {
    async fn open(service: &Service, process: Started) -> anyhow::Result<Self> {
        let cluster = Cluster::start(cluster::Settings::new(service.data())).await?;
        let postmaster = u32::try_from(cluster.pid().await)?;
        let db = PgPoolOptions::new().max_connections(2).connect(&cluster.url(roles::APP, DATABASE)).await?;
        check_durable(&db).await?;
        let developers = books::open(&db, &service.pepper, DEVELOPERS).await?;
        let requests = developers.iter().map(|developer| request(service.listen, &developer.key)).collect();
        Ok(Self {
            cluster,
            db,
            developers,
            requests,
            service: service.listen,
            freeside: process.pid,
            postmaster,
        })
    }

    /// Leaves the cluster, so that freeside can stop it.
    async fn close(self) -> anyhow::Result<()> {
        self.db.close().await;
        Ok(self.cluster.stop().await?)
    }

    async fn run(
        &self,
        plan: &Plan,
        upstream: SocketAddr,
        warm_up: Duration,
        measured: Duration,
    ) -> anyhow::Result<Run> {
        let load_before = machine::load_average();
        let direct = match plan.pace {
            Pace::Closed => None,
            Pace::Open { .. } => {
                let mut tally = self.load(plan, upstream, warm_up, measured).await?.tally;
                if let Some(failure) = tally.first_failure {
                    bail!("the upstream itself failed: {failure}");
                }
                Some(Direct {
                    p50_us: percentile(&mut tally.latencies_us, 50.0),
                    p99_us: percentile(&mut tally.latencies_us, 99.0),
                })
            }
        };
        wal::age(&self.cluster.superuser_url(DATABASE)).await?;
        let warm_up = warm_up.max(plan.steady);
        let before = books::read(&self.db, &self.developers).await?;
        let Loaded { mut tally, took, from, to, paused } =
            self.load(plan, self.service, warm_up, measured).await?;
        let books = books::check(&self.db, &self.developers, before, tally.answers).await;
        let answers = u64::try_from(tally.latencies_us.len())?;
        Ok(Run {
            name: plan.name.clone(),
            kind: plan.kind,
            answers_per_second: cpu::ratio(answers, 1) / took.as_secs_f64(),
            p50_us: percentile(&mut tally.latencies_us, 50.0),
            p99_us: percentile(&mut tally.latencies_us, 99.0),
            direct,
            spent: to.since(from, answers),
            failures: tally.failures,
            first_failure: tally.first_failure,
            books_fault: books.err().map(|fault| format!("{fault:#}")),
            load_before,
            machine_paused_ms: paused.map(|paused| paused.as_secs_f64() * 1e3),
        })
    }

    async fn load(
        &self,
        plan: &Plan,
        address: SocketAddr,
        warm_up: Duration,
        measured: Duration,
    ) -> anyhow::Result<Loaded> {
        let load =
            Load { address, requests: Arc::clone(&self.requests), callers: plan.callers, pace: plan.pace };
        let running = Running::start(load)?;
        tokio::time::sleep(warm_up).await;
        let watch = Watch::start();
        let from = Ticks::now(self.freeside, self.postmaster)?;
        let since = Instant::now();
        running.measure();
        tokio::time::sleep(measured).await;
        let took = since.elapsed();
        let to = Ticks::now(self.freeside, self.postmaster)?;
        let paused = watch.map(Watch::stop).transpose()?;
        Ok(Loaded { tally: running.stop().await?, took, from, to, paused })
    }
}

/// A figure without durable commits would be another product's.
pub(crate) async fn check_durable(db: &PgPool) -> anyhow::Result<()> {
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(db).await?;
        ensure!(value == "on", "PostgreSQL runs with {setting} = {value}");
    }
    Ok(())
}

/// What a load did in its measured time.
struct Loaded {
    tally: Tally,
    took: Duration,
    from: Ticks,
    to: Ticks,
    /// How long the machine stood still, where that can be known.
    paused: Option<Duration>,
}

/// A whole request, as an SDK sends it.
fn request(host: SocketAddr, key: &str) -> Vec<u8> {
    let question = "Explain in a few sentences what a ledger is, why every movement has two sides, \
                    and how one finds a mistake in it months later.";
    let body = serde_json::json!({
        "model": "cheap",
        "messages": [
            {"role": "system", "content": "You are a patient teacher who answers briefly."},
            {"role": "user", "content": question},
        ],
        "max_tokens": 256,
        "temperature": 0.7,
        "stream": true,
        "stream_options": {"include_usage": true},
    })
    .to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\naccept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}
