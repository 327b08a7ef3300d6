//! Benchmarks. Each prints its figures with the machine and its load, and `docs/benchmarks.md` keeps them.
//!
//! Nothing here is a test: a busy machine makes a figure worse and nothing red.

mod figure;
mod ledger_bench;
mod machine;
mod page;
mod path;
mod pauses;
mod payments;
mod summary;
mod train;
mod wal;
mod web;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "bench",
    about = "Measures the ledger alone, the whole path, payments and proof, and the web"
)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Everything, written to a page.
    All(page::Options),
    /// Durable hold+settle pairs a second, books checked after each run.
    Ledger(ledger_bench::Options),
    /// One worker of a benchmark that needs a second process; started by `ledger`.
    #[command(hide = true)]
    LedgerWorker(ledger_bench::WorkerOptions),
    /// Says when the machine stands still; started by `path`.
    #[command(hide = true)]
    Pauses,
    /// Whole answers: API key, limits, hold, signed token, engine, stream, settle.
    Path(path::Options),
    /// From notice to credits, and what it takes to prove the books.
    Payments(payments::Options),
    /// Ten thousand idle sockets of the chat: memory, and the wait of those that speak.
    Sockets(web::Options),
    /// Pages a second, their p99 and their size.
    Pages(web::Options),
    /// Lighthouse's scores of the main pages.
    Lighthouse(web::Options),
    /// Every journey for some seconds, for a `freeside` that counts what it does; `make release` starts it.
    Train(train::Options),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match Arguments::parse().what {
            What::All(options) => page::run(options).await,
            What::Ledger(options) => ledger_bench::run(options).await.map(drop),
            What::LedgerWorker(options) => ledger_bench::work(options).await,
            What::Pauses => pauses::watch(),
            What::Path(options) => path::run(options).await.map(drop),
            What::Payments(options) => payments::run(options).await.map(drop),
            What::Sockets(options) => web::run(&[web::Case::Sockets], &options).await.map(drop),
            What::Pages(options) => web::run(&[web::Case::Pages], &options).await.map(drop),
            What::Lighthouse(options) => web::run(&[web::Case::Lighthouse], &options).await.map(drop),
            What::Train(options) => train::run(options).await,
        }
    })
}
