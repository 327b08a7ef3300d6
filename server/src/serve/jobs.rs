//! What runs beside the requests: following changes, sweeping orphans, checking the books, reviving PostgreSQL.
//!
//! Every job may run in any number of processes at once: what it does is idempotent.

use std::sync::Arc;
use std::time::Duration;

use domain::Ctx;
use ledger::Checker;
use tokio::task::JoinSet;

use super::database::Books;
use crate::config::{Role, Roles, Settings};

/// SPEC §13: a change reaches every process within 500 ms, so a revocation reaches a stream within 1 s.
const FOLLOW: Duration = Duration::from_millis(500);
/// `last_used_at` is at most 60 s old.
const LAST_USED: Duration = Duration::from_secs(30);
/// A look for owners whose lease has run out; more often where leases are shorter than twice this.
const SWEEP: Duration = Duration::from_secs(5);
/// A look at what this process holds and no longer works on.
const OWN_HOLDS: Duration = Duration::from_mins(1);
/// SPEC §13: the incremental check of the books.
const CHECK: Duration = Duration::from_secs(15);
/// A dead embedded PostgreSQL is back within about a second.
const REVIVE: Duration = Duration::from_secs(1);
/// A hold younger than this may be one whose turn has not taken its place yet.
const SETTLING_MS: i64 = 60_000;
/// Holds are not open for longer than an answer takes; what is older was seen by an earlier look.
const LOOK_BACK_MS: i64 = 24 * 60 * 60 * 1_000;

/// Starts the jobs of `roles`; they end when `tasks` is shut down.
pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    settings: &Settings,
    roles: &Roles,
    ctx: &Arc<Ctx>,
    books: &Books,
) {
    if roles.has(Role::Gateway) {
        every(tasks, FOLLOW, ctx, |ctx| async move { Ok(ctx.keys.poll_changes().await?) });
        every(tasks, LAST_USED, ctx, |ctx| async move { Ok(ctx.keys.flush_last_used().await?) });
        every(tasks, OWN_HOLDS, ctx, |ctx| async move { release_leaks(&ctx).await });
    }
    if roles.has(Role::Worker) {
        every(tasks, SWEEP.min(settings.lease / 2), ctx, |ctx| async move {
            ledger::sweep_dead_owners(&ctx.db, &ctx.ledger).await?;
            Ok(())
        });
        let checker = Arc::new(tokio::sync::Mutex::new(Checker::default()));
        every(tasks, CHECK, ctx, move |ctx| {
            let checker = Arc::clone(&checker);
            async move {
                checker.lock().await.pass(&ctx.db, &ctx.clock).await?;
                Ok(())
            }
        });
    }
    if let Some(cluster) = books.cluster.clone() {
        every(tasks, REVIVE, ctx, move |_| {
            let cluster = Arc::clone(&cluster);
            async move {
                cluster.revive().await?;
                Ok(())
            }
        });
    }
}

/// Runs `job` again and again; a failure is logged and the next run is as if nothing had been.
fn every<F, Fut>(tasks: &mut JoinSet<()>, pause: Duration, ctx: &Arc<Ctx>, job: F)
where
    F: Fn(Arc<Ctx>) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    let ctx = Arc::clone(ctx);
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = job(Arc::clone(&ctx)).await {
                tracing::warn!(error = format!("{error:#}"), "a job failed and runs again");
            }
        }
    });
}

/// Releases holds of this process that no turn of it works on: none should ever be found.
async fn release_leaks(ctx: &Ctx) -> anyhow::Result<()> {
    let now = i64::try_from(ctx.clock.now().unix_timestamp_nanos() / 1_000_000)?;
    let young = ledger::first_id_at(now - SETTLING_MS);
    for (key, id) in ledger::open_holds(&ctx.db, ctx.owner, now - LOOK_BACK_MS).await? {
        if id.0 < young && !ctx.live.contains(id) {
            tracing::error!(reservation = %id, "a hold was leaked; it is released");
            metrics::counter!("ledger_leaked_holds_total").increment(1);
            ctx.ledger.submit(ledger::Op::Orphan { key, id }).await?;
        }
    }
    Ok(())
}
