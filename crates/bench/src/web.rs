//! The web: idle sockets of the chat, pages from the server, and what Lighthouse says of them.
//!
//! Each is measured on a `freeside serve` of its own with the demo's agents. An answer that is not the right one ends the
//! program with an error; a slow figure never does.

mod lighthouse;
mod pages;
mod sockets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::figure::{Figure, say};
use crate::machine;
use crate::path::service::{self, Service, Started};
use crate::path::upstream::Upstream;

/// After the start: the first pass of every job is over.
const IDLE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds in which each case is measured.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Idle sockets.
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// The program under load; otherwise the `freeside` beside this program.
    #[arg(long)]
    freeside: Option<PathBuf>,
    /// Where the data lie while it runs; a real disk.
    #[arg(long, default_value = "target/bench-web")]
    folder: PathBuf,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Memory and waits of idle sockets.
    Sockets,
    /// Pages a second, their p99 and their size.
    Pages,
    /// Lighthouse's scores.
    Lighthouse,
}

impl Case {
    /// All, in the order of the page.
    pub(crate) const ALL: [Self; 3] = [Self::Sockets, Self::Pages, Self::Lighthouse];
}

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) load_before: String,
    pub(crate) figures: Vec<Figure>,
}

pub(crate) async fn run(cases: &[Case], options: &Options) -> anyhow::Result<Report> {
    let load_before = machine::load_average();
    say(&format!("{}, load {load_before}", machine::name()))?;
    let mut figures = Vec::new();
    for case in cases {
        let measured = measure(*case, options).await?;
        measured.iter().try_for_each(|figure| say(&figure.line()))?;
        figures.extend(measured);
    }
    Ok(Report { load_before, figures })
}

/// One case on a service of its own.
async fn measure(case: Case, options: &Options) -> anyhow::Result<Vec<Figure>> {
    // Its catalog needs one; nothing here asks for an answer.
    let upstream = Upstream::start()?;
    let program = service::program(options.freeside.as_deref())?;
    let service = Service::new(program, &options.folder, upstream.address)?
        .with("FREESIDE_SIMULATOR_LISTEN", "127.0.0.1:0")
        .with("FREESIDE_TRUSTED_PROXIES", "127.0.0.1");
    let result = tokio::select! {
        result = load(case, options, &service) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("broken off")),
    };
    let result = result.map_err(|error| anyhow::anyhow!("{error:#}\n{}", service.last_words()));
    let cleared = service.clear().await;
    let figures = result?;
    cleared.map(|()| figures)
}

async fn load(case: Case, options: &Options, service: &Service) -> anyhow::Result<Vec<Figure>> {
    let process = service.start().await?;
    tokio::time::sleep(IDLE).await;
    let seconds = options.seconds.max(1);
    let figures = match case {
        Case::Sockets => sockets::measure(target(service, process), options.sockets, seconds).await,
        Case::Pages => pages::measure(service.listen, seconds).await,
        Case::Lighthouse => lighthouse::measure(service.listen).await,
    }?;
    service.check_running().await?;
    service.stop().await?;
    Ok(figures)
}

/// A process, and where it listens.
#[derive(Clone, Copy)]
struct Target {
    address: SocketAddr,
    pid: u32,
}

fn target(service: &Service, process: Started) -> Target {
    Target { address: service.listen, pid: process.pid }
}
