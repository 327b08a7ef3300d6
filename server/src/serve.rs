//! The roles of the one binary, wired and given an address.
//!
//! Order of a start: database → schema → ledger → gateway's address → engine → jobs → the doors open. Nothing listens
//! to callers before everything it needs is there. A stop goes the other way: doors close, answers end (at most
//! `DRAIN`), the ledger answers what it has, and the embedded PostgreSQL stops last. Deliberately absent: rules.

mod agents;
mod commands;
mod database;
mod descriptors;
mod engine;
mod gateway;
mod http;
mod jobs;
mod payments;
mod proof;
mod replay;
mod welcome;

use std::time::{Duration, Instant};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use types::Clock;

use crate::config::{Role, Roles, Settings};
use crate::routes::{Sockets, Timings};

pub use agents::AgentView;
pub use commands::{
    Right, Word, admin_key, admins, approvals, decide_request, flags, grant, migrate, seed, set_admin,
    set_flag,
};
pub use database::MIGRATOR;
pub(crate) use database::role;
pub use proof::{check_books, export_audit, resolve_violation, violations};

/// Answers may end for so long after a stop was asked for: `stopTimeout` 120 s is Fargate's maximum (SPEC §13).
pub(crate) const DRAIN: Duration = Duration::from_secs(110);
/// Prometheus' own histograms grow until they are drained; this is how often.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Runs `roles` until a signal stops them.
pub async fn run(settings: Settings, roles: Roles) -> anyhow::Result<()> {
    let began = Instant::now();
    let clock = Clock::system();
    let metrics = install_metrics()?;
    let stop = stop_signal()?;
    if roles.has(Role::Bots)
        && !(roles.has(Role::Gateway) || roles.has(Role::Worker) || roles.has(Role::Finn))
    {
        anyhow::bail!("the role bots has nothing to run yet: Discord and Telegram come later");
    }

    let gateway_socket = bind(roles.has(Role::Gateway), settings.listen, "FREESIDE_LISTEN").await?;
    let finn_socket = bind(roles.has(Role::Finn), settings.finn_listen, "FINN_LISTEN").await?;
    let address = |socket: &Option<TcpListener>, configured| match socket {
        Some(socket) => socket.local_addr().context("a socket that listens has an address"),
        None => Ok(configured),
    };
    let mut addresses = welcome::Addresses {
        gateway: address(&gateway_socket, settings.listen)?,
        finn: address(&finn_socket, settings.finn_listen)?,
        simulator: None,
    };

    let books = if roles.keep_books() { Some(database::open(&settings).await?) } else { None };
    let mut simulator = None;
    // An engine in this process is spoken to without the network, in the same words and with the same tokens.
    let (client, pipes) = if roles.has(Role::Finn) && settings.finn_url.is_none() {
        let (client, pipes) = client::Client::piped();
        (client, Some(pipes))
    } else {
        (client::Client::new(), None)
    };
    let core = match &books {
        Some(books) => {
            let mut payments = payments::open(&settings, &clock, addresses.gateway).await?;
            simulator = payments.simulator.take();
            let reach = gateway::Reach { finn: addresses.finn, client, payments };
            Some(gateway::core(&settings, books, &clock, reach).await?)
        }
        None => None,
    };
    addresses.simulator = simulator.as_ref().map(|simulator| simulator.address);
    let mut tasks = tokio::task::JoinSet::new();
    if let Some(simulator) = simulator {
        tasks.spawn(simulator.serve(stopped(stop.clone())));
    }
    if let Some(listener) = finn_socket {
        let agents = agents::source(&settings, books.as_ref())?;
        let engine = engine::build(&settings, &clock, addresses.gateway, &metrics, agents).await?;
        tasks.spawn(finn::serve(finn::Doors { listener, pipes }, engine, stopped(stop.clone())));
    }
    let mut jobs = tokio::task::JoinSet::new();
    if let (Some(core), Some(books)) = (&core, &books) {
        jobs::start(&mut jobs, &settings, &roles, core, books);
    }
    if let (Some(listener), Some(core)) = (gateway_socket, &core) {
        let sockets = Sockets::new(Timings::default());
        let router = gateway::router(&settings, core, &metrics, addresses.gateway, sockets.clone());
        let ctx = std::sync::Arc::clone(&core.ctx);
        let drain = async move |within| {
            // Keyed requests outlive their connections, as chat turns do.
            let keyed = async {
                if tokio::time::timeout(within, ctx.keyed.idle()).await.is_err() {
                    tracing::warn!(
                        requests = ctx.keyed.count(),
                        "keyed requests outlast the drain and are cut"
                    );
                    ctx.keyed.cut();
                }
            };
            tokio::join!(sockets.drain(&ctx, within), keyed);
        };
        let places = http::Places::new(settings.environment, settings.trusted_proxies.clone());
        tasks.spawn(http::serve(listener, router, places, drain, stopped(stop.clone())));
    }
    let demo = match &core {
        Some(core) if roles.has(Role::Gateway) => welcome::demo(&settings, &core.ctx).await?,
        _ => None,
    };
    welcome::print(&settings, &roles, &addresses, books.as_ref(), demo.as_ref(), began.elapsed())?;

    // Until a signal, or until a part ends that should not.
    let mut ended = stop.clone();
    tokio::select! {
        _ = ended.wait_for(|stopped| *stopped) => {}
        Some(_) = tasks.join_next() => anyhow::ensure!(*stop.borrow(), "a server ended by itself; the log has the reason"),
    }
    tracing::info!("stopping: no new requests, answers may end");
    while tasks.join_next().await.is_some() {}
    jobs.shutdown().await;
    if let Some(core) = core {
        core.finish().await;
    }
    if let Some(books) = books {
        books.close().await?;
    }
    tracing::info!("stopped");
    Ok(())
}

async fn bind(
    wanted: bool,
    address: std::net::SocketAddr,
    variable: &str,
) -> anyhow::Result<Option<TcpListener>> {
    if !wanted {
        return Ok(None);
    }
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is another freeside running? {variable} names another address")
    })?;
    Ok(Some(listener))
}

/// Becomes true with SIGTERM or Ctrl-C.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = sender.send(true);
        // The second signal is impatience: end now. What is open is recovered by the next start and the sweep.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(receiver)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    /// From a tenth of a millisecond, a good commit, to a minute, the longest wait for a token.
    const SECONDS: [f64; 14] =
        [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0];
    const OPERATIONS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_operations".to_owned()), &OPERATIONS)?
        .install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(METRICS_UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
