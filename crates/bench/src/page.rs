//! `docs/benchmarks.md`: every figure with its promise, the machine and its load.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Parser};

use crate::figure::{Figure, TABLE, word};
use crate::ledger_bench;
use crate::path::report::{Report, Run};
use crate::{machine, path, payments, web};

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds of one run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Runs of each case of the ledger; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The page.
    #[arg(long, default_value = "docs/benchmarks.md")]
    page: PathBuf,
}

/// The defaults of a benchmark's own options, as its command line would have them.
#[derive(Parser)]
pub(crate) struct Defaults<T: Args> {
    #[command(flatten)]
    pub(crate) options: T,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let seconds = options.seconds.to_string();
    // First: the others leave freed memory, in which an export could hide what it takes.
    let payments_options =
        Defaults::<payments::Options>::parse_from(["payments", "--seconds", &seconds]).options;
    let of_payments = payments::run(payments_options).await?;
    let path_options = Defaults::<path::Options>::parse_from(["path", "--seconds", &seconds]).options;
    let report = path::run(path_options).await?;
    let runs = options.runs.to_string();
    let arguments = ["ledger", "--seconds", &seconds, "--runs", &runs];
    let ledger_options = Defaults::<ledger_bench::Options>::parse_from(arguments).options;
    let figures = ledger_bench::run(ledger_options).await?;
    let web_options = Defaults::<web::Options>::parse_from(["web", "--seconds", &seconds]).options;
    let of_web = web::run(&web::Case::ALL, &web_options).await?;
    let text =
        page(&options, &figures, &report) + &payments_section(&options, &of_payments) + &web_section(&of_web);
    std::fs::write(&options.page, text)?;
    Ok(())
}

fn page(options: &Options, figures: &[ledger_bench::Figure], report: &Report) -> String {
    let mut text = String::from(INTRODUCTION);
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!(
        "Machine: {}. Everything (callers, Freeside, PostgreSQL, upstream) runs on it at once.\n",
        machine::name()
    ));
    line("## The ledger alone\n".to_owned());
    line(format!(
        "Durable (`fsync` on) hold + settle pairs a second, 512 callers, median of {} runs of {} s; after each run every\n\
         account is recomputed from the journal. Promised: settle p99 at most 40 ms.\n",
        options.runs, options.seconds
    ));
    line(
        "| case | pairs/s | promised | | hold p50 / p99, ms | settle p50 / p99, ms | load before |"
            .to_owned(),
    );
    line("|---|--:|--:|---|--:|--:|--:|".to_owned());
    for figure in figures {
        let is_kept = figure.pairs_per_second >= figure.target && figure.settle_p99_us <= 40_000;
        line(format!(
            "| {} | {:.0} | {:.0} | {} | {} / {} | {} / {} | {} |",
            figure.case,
            figure.pairs_per_second,
            figure.target,
            word(is_kept),
            milliseconds(figure.hold_p50_us),
            milliseconds(figure.hold_p99_us),
            milliseconds(figure.settle_p50_us),
            milliseconds(figure.settle_p99_us),
            figure.load_before
        ));
    }
    line("\n## The whole path\n".to_owned());
    line("API key, limits, durable hold, signed token, finn, 20 chunks from a local upstream, durable settle, last event.".to_owned());
    line("Processor time is of Freeside (gateway and finn in one process) and PostgreSQL; the callers' and the upstream's".to_owned());
    line("own stands apart. \"Still\" is how long the whole machine stood still in the run, seen by a real-time clock: its host's doing.\n".to_owned());
    line("| run | answers/s | p50 / p99, ms | added p50 / p99, ms | Freeside, µs | PostgreSQL, µs | sum, µs | bench, µs | busy | load before | still, ms |".to_owned());
    line("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|".to_owned());
    report.runs.iter().for_each(|run| line(run_line(run)));
    line("\n| promise | figure | limit | |".to_owned());
    line("|---|--:|--:|---|".to_owned());
    for promise in &report.promises {
        line(format!(
            "| {} | {:.1} | {:.0} | {} |",
            promise.what,
            promise.figure,
            promise.limit,
            word(promise.is_kept)
        ));
    }
    text
}

fn payments_section(options: &Options, report: &payments::Report) -> String {
    let mut text = format!(
        "\n## Payments and proof\n\n\
         Notices come on connections of their own to one `freeside serve` by an open-loop timetable, measured for {} s, and each\n\
         latency ends with the 2xx after the commit; then every account has exactly its packs and the books agree. All payers\n\
         are members of one community, whose book one payment at a time locks. Load before: {}.\n\n\
         {TABLE}",
        options.seconds, report.load_before
    );
    text.extend(report.figures.iter().map(Figure::row));
    text
}

fn web_section(report: &web::Report) -> String {
    let mut text = format!(
        "\n## The web\n\n\
         Sockets of `/ws/chat` that say nothing, opened from a thousand addresses, and then pings by an open-loop timetable, each of\n\
         another socket. Pages are read on kept connections, again and again. Lighthouse looks as on a slow phone. Load before: {}.\n\n\
         {TABLE}",
        report.load_before
    );
    text.extend(report.figures.iter().map(Figure::row));
    text
}

fn run_line(run: &Run) -> String {
    let mut added = String::new();
    if let Some((p50, p99)) = run.added_ms() {
        write!(added, "{p50:.1} / {p99:.1}").expect("writing to a String does not fail");
    }
    format!(
        "| {} | {:.0} | {} / {} | {added} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} % | {} | {} |",
        run.name,
        run.answers_per_second,
        milliseconds(run.p50_us),
        milliseconds(run.p99_us),
        run.spent.freeside_us,
        run.spent.postgres_us,
        run.spent.product_us(),
        run.spent.bench_us,
        run.spent.machine_busy_percent,
        run.load_before,
        run.machine_paused_ms.map_or_else(|| "?".to_owned(), |paused| format!("{paused:.0}"))
    )
}

fn milliseconds(micros: u32) -> String {
    format!("{:.1}", f64::from(micros) / 1e3)
}

const INTRODUCTION: &str = "\
# Benchmarks

Written by `make bench`; the tests assert none of it. A busy machine makes the figures worse, so the load average of the
minute before stands beside each. Freeside is built as it is shipped (`make release`): guided by counts of these journeys.

";
