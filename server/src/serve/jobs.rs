//! What runs beside the requests: following changes, sweeping orphans and expired lots, checking the books, asking about
//! payments, reviving PostgreSQL.
//!
//! Every job may run in any number of processes at once: what it does is idempotent, or claimed row by row.
//! Deliberately absent: whoever sends what stands in `outbox`. That is a message to a buyer on Discord or Telegram, and
//! comes with those doors; until then it waits there, and an order says the same.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::Ctx;
use domain::order::{Creditor, Poller};
use ledger::{AccountKey, Checker, Ledger};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use types::{Clock, OwnerId, ReservationId};

use super::database::Books;
use super::gateway::Core;
use crate::config::{Role, Roles, Settings};

/// SPEC §13: a change reaches every process within 500 ms, so a revocation reaches a stream within 1 s.
const FOLLOW: Duration = Duration::from_millis(500);
/// A switch is in force within 60 s (SPEC §12); looking at its small table each second costs nothing worth saving.
const FLAGS: Duration = Duration::from_secs(1);
/// `last_used_at` is at most 60 s old.
const LAST_USED: Duration = Duration::from_secs(30);
/// Nonces and hand-off codes that are over: their tables stay as small as a minute's sign-ins.
const SIGN_IN_LEFTOVERS: Duration = Duration::from_mins(1);
/// A look for owners whose lease has run out; more often where leases are shorter than twice this.
const SWEEP: Duration = Duration::from_secs(5);
/// A look at what this process holds and no longer works on. Often, so that each has little to read: at 1,500 answers/s a
/// look of 13 s kept one of PostgreSQL's processes busy for 26 ms, and the requests felt it.
const OWN_HOLDS: Duration = Duration::from_secs(3);
/// SPEC §13 wants the books looked at every 15 s, and a violation seen within them: the look itself takes its time too.
const CHECK: Duration = Duration::from_secs(10);
/// What the journal has new is read before the look at the books wants it, a little at a time, for the same reason.
const READ_AHEAD: Duration = Duration::from_secs(1);
/// Lots that are due, of accounts that nobody uses: what a balance shows is at most this much too high.
const EXPIRE: Duration = Duration::from_mins(1);
/// Answers whose day is over: their table is at most this much too large.
const KEPT_ANSWERS: Duration = Duration::from_mins(1);
/// SPEC §13: the books in full, from the first journal row on. A process that starts more often looks more often.
const CHECK_ALL: Duration = Duration::from_hours(24);
/// Rows of losses and mismatches are kept for more than a year; a day more or less does not matter.
const PRUNE_LOSSES: Duration = Duration::from_hours(24);
/// The poller says itself when it wants its next step; this is how often it is asked.
const POLL: Duration = Duration::from_millis(500);
/// A look for payments that are paid and were not credited because minting was stopped.
const CREDIT: Duration = Duration::from_secs(15);
/// A dead embedded PostgreSQL is back within about a second.
const REVIVE: Duration = Duration::from_secs(1);
/// A hold younger than this may be one whose turn has not taken its place yet.
const SETTLING: time::Duration = time::Duration::minutes(1);

/// Starts the jobs of `roles`; they end when `tasks` is shut down.
pub(crate) fn start(tasks: &mut JoinSet<()>, settings: &Settings, roles: &Roles, core: &Core, books: &Books) {
    let ctx = &core.ctx;
    let watching = watching(&ctx.db);
    every(tasks, FLAGS, ctx, |ctx| async move { Ok(ctx.flags.follow(&ctx.db).await?) });
    if roles.has(Role::Gateway) {
        every(tasks, FOLLOW, ctx, |ctx| async move { Ok(ctx.keys.poll_changes().await?) });
        every(tasks, FOLLOW, ctx, |ctx| async move { Ok(domain::chat::follow_cancels(&ctx).await?) });
        every(tasks, SWEEP.min(settings.lease / 2), ctx, |ctx| async move {
            domain::chat::recover(&ctx).await?;
            domain::idempotency::answers::recover(&ctx).await?;
            Ok(())
        });
        let sessions = core.sign_in.sessions.clone();
        every(tasks, FOLLOW, ctx, move |_| {
            let sessions = sessions.clone();
            async move { Ok(sessions.poll_changes().await?) }
        });
        let sign_in = core.sign_in.clone();
        every(tasks, SIGN_IN_LEFTOVERS, ctx, move |_| {
            let (nonces, handoffs) = (sign_in.nonces.clone(), sign_in.handoffs.clone());
            async move {
                nonces.prune().await?;
                Ok(handoffs.prune().await?)
            }
        });
        every(tasks, LAST_USED, ctx, |ctx| async move { Ok(ctx.keys.flush_last_used().await?) });
        let leaks = Arc::new(tokio::sync::Mutex::new(Leaks::default()));
        let db = watching.clone();
        every(tasks, OWN_HOLDS, ctx, move |ctx| {
            let (leaks, db) = (Arc::clone(&leaks), db.clone());
            async move {
                let is_live = |id| ctx.live.contains(id);
                let mut leaks = leaks.lock().await;
                leaks.release(&db, &ctx.ledger, &ctx.clock, ctx.owner, is_live).await?;
                Ok(())
            }
        });
    }
    if roles.has(Role::Worker) {
        every(tasks, SWEEP.min(settings.lease / 2), ctx, |ctx| async move {
            ledger::sweep_dead_owners(&ctx.db, &ctx.ledger).await?;
            Ok(())
        });
        every(tasks, EXPIRE, ctx, |ctx| async move {
            ledger::expire_due_lots(&ctx.db, &ctx.ledger, &ctx.clock).await?;
            Ok(())
        });
        every(
            tasks,
            KEPT_ANSWERS,
            ctx,
            |ctx| async move { Ok(domain::idempotency::answers::prune(&ctx).await?) },
        );
        every(tasks, CHECK_ALL, ctx, |ctx| async move { check_all(&ctx.db, &ctx.clock).await });
        every(tasks, PRUNE_LOSSES, ctx, |ctx| async move {
            let mut connection = ctx.db.acquire().await?;
            Ok(ledger::prune_losses(&mut connection, ctx.clock.now()).await?)
        });
        if ctx.payments.vendor.is_some() {
            tasks.spawn(poll(Arc::clone(ctx)));
        }
        // Without a vendor too: what is paid is known.
        let creditor = Arc::new(tokio::sync::Mutex::new(Creditor::default()));
        every(tasks, CREDIT, ctx, move |ctx| {
            let creditor = Arc::clone(&creditor);
            async move {
                creditor.lock().await.step(&ctx.db, &ctx.clock).await?;
                Ok(())
            }
        });
        let checker = Arc::new(tokio::sync::Mutex::new(Checker::default()));
        let (ahead, db) = (Arc::clone(&checker), watching.clone());
        every(tasks, READ_AHEAD, ctx, move |_| {
            let (ahead, db) = (Arc::clone(&ahead), db.clone());
            async move { Ok(ahead.lock().await.read_ahead(&db).await?) }
        });
        every(tasks, CHECK, ctx, move |ctx| {
            let (checker, db) = (Arc::clone(&checker), watching.clone());
            async move {
                checker.lock().await.pass(&db, &ctx.clock).await?;
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

/// Connections for what looks at the books all the time. A pool hands out all its connections by turns; among few, a statement
/// of every second is planned once, and its server process knows its tables.
fn watching(db: &PgPool) -> PgPool {
    /// A pass that finds something reads on beside it.
    const AT_MOST: u32 = 4;
    PgPoolOptions::new().max_connections(AT_MOST).connect_lazy_with((*db.connect_options()).clone())
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

/// Asks the payment processor about payments, step by step, when the poller wants to.
async fn poll(ctx: Arc<Ctx>) {
    /// After a failure of the books: they are busy or away.
    const AFTER_FAILURE: time::Duration = time::Duration::seconds(15);
    let Some(vendor) = &ctx.payments.vendor else { return };
    let mut poller = Poller::default();
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next_at = ctx.clock.now();
    loop {
        ticks.tick().await;
        if ctx.clock.now() < next_at {
            continue;
        }
        next_at = match poller.step(&ctx.db, &ctx.clock, vendor).await {
            Ok(step) => step.next_at,
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::warn!(
                    error = format!("{error:#}"),
                    "payments could not be asked about; it is tried again"
                );
                ctx.clock.now() + AFTER_FAILURE
            }
        };
    }
}

/// Reads the whole of the books, and acts on what it finds as the guard does: an account that is wrong is frozen, a broken
/// chain stops minting.
async fn check_all(db: &PgPool, clock: &Clock) -> anyhow::Result<()> {
    let pass = Checker::default().examine(db, clock).await?;
    let found = pass.differences.len() + pass.global.len();
    metrics::gauge!("ledger_full_check_differences").set(f64::from(u32::try_from(found).unwrap_or(u32::MAX)));
    metrics::counter!("ledger_full_checks_total").increment(1);
    Ok(())
}

/// Looks for holds of this process that no turn of it works on: none should ever be found.
#[derive(Debug, Default)]
struct Leaks {
    /// Holds made before this were read; none yet: the first look.
    read_until: Option<OffsetDateTime>,
    /// Those of them that were open. Each is read once, however long its turn takes.
    open: Vec<(AccountKey, ReservationId)>,
}

impl Leaks {
    /// Releases what leaked and says how many.
    async fn release(
        &mut self,
        db: &PgPool,
        ledger: &Ledger,
        clock: &Clock,
        owner: OwnerId,
        is_live: impl Fn(ReservationId) -> bool + Send,
    ) -> anyhow::Result<usize> {
        let until = clock.now() - SETTLING;
        // An owner is a process, and its first look comes as it starts: nothing of it is older.
        let since = self.read_until.unwrap_or(until);
        self.open.extend(ledger::open_holds_made(db, owner, since..until).await?);
        self.read_until = Some(until);
        // Whether a turn works on it is asked first: one that ends in the meantime has closed its hold before.
        let idle: HashSet<_> = self.open.iter().copied().filter(|(_, id)| !is_live(*id)).collect();
        let mut leaked = 0;
        for (key, id) in ledger::still_open(db, &idle).await? {
            tracing::error!(reservation = %id, "a hold was leaked; it is released");
            metrics::counter!("ledger_leaked_holds_total").increment(1);
            ledger.submit(ledger::Op::Orphan { key, id }).await?;
            leaked += 1;
        }
        self.open.retain(|hold| !idle.contains(hold));
        Ok(leaked)
    }
}

#[cfg(test)]
mod tests {
    use ledger::{NEVER, NewHold, Op, PostError, Refusal, Source};
    use sqlx::{Connection as _, PgConnection};
    use testing::postgres::TestDatabase;
    use time::macros::datetime;
    use types::{AccountId, CommunityId, LotId};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broken_chain_stops_minting() {
        let (database, clock) = (TestDatabase::new().await, Clock::system());
        let key = AccountKey { community: CommunityId(1), account: AccountId(2) };
        let mint = || {
            let id = LotId(clock.uuid_v7());
            Op::Mint { key, id, source: Source::Purchase, amount: 1_000, expires_at: NEVER }
        };
        let mut connection = database.pool.acquire().await.expect("one");
        ledger::open_account(&mut connection, &clock, key, None).await.expect("opened");
        ledger::post(&mut connection, &clock, &mint()).await.expect("minted");
        check_all(&database.pool, &clock).await.expect("read");
        ledger::post(&mut connection, &clock, &mint()).await.expect("sound books stop nothing");

        // Past the triggers, and moving no money: only the hashes tell.
        let mut intruder = PgConnection::connect(&database.url_for("postgres")).await.expect("connected");
        sqlx::raw_sql(
            "set session_replication_role = replica; update journal set at = at - interval '1 day' where seq = 1",
        )
        .execute(&mut intruder)
        .await
        .expect("changed");
        check_all(&database.pool, &clock).await.expect("read");
        let refused = ledger::post(&mut connection, &clock, &mint()).await;
        assert!(matches!(refused, Err(PostError::Refused(Refusal::MintingStopped))), "{refused:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hold_that_no_turn_works_on_is_released_and_an_old_one_that_lives_stays_in_sight() {
        let (database, clock) = (TestDatabase::new().await, Clock::fixed(datetime!(2026-03-01 12:00 UTC)));
        let key = AccountKey { community: CommunityId(1), account: AccountId(2) };
        let mut connection = database.pool.acquire().await.expect("one");
        ledger::open_account(&mut connection, &clock, key, None).await.expect("opened");
        let id = LotId(clock.uuid_v7());
        let mint = Op::Mint { key, id, source: Source::Purchase, amount: 1_000, expires_at: NEVER };
        ledger::post(&mut connection, &clock, &mint).await.expect("minted");
        let settings = ledger::Settings::new(&database.url(), clock.clone()).expect("a good address");
        let (ledger, _writers) = Ledger::start(&settings);
        let owner = OwnerId(1);
        let hold = async || {
            let id = ReservationId(clock.uuid_v7());
            let asked = "cheap".to_owned();
            let (api_key, agent, input_hash, amount, price_version) = (None, None, [0; 32], 10, 1);
            let hold = NewHold { id, key, amount, input_hash, owner, api_key, price_version, agent, asked };
            ledger.submit(Op::Hold(hold)).await.expect("held");
            id
        };
        let mut leaks = Leaks::default();
        let mut look = async |live: &[ReservationId]| {
            let is_live = |id| live.contains(&id);
            leaks.release(&database.pool, &ledger, &clock, owner, is_live).await.expect("looked")
        };
        let (slow, lost, ended) = (hold().await, hold().await, hold().await);
        assert_eq!(
            look(&[slow, ended]).await,
            0,
            "a young hold may be one whose turn has not taken its place yet"
        );
        clock.advance(SETTLING + time::Duration::milliseconds(1));
        assert_eq!(look(&[slow, ended]).await, 1, "{lost}");
        ledger.submit(Op::Release { key, id: ended }).await.expect("it is open");
        assert_eq!(look(&[slow]).await, 0, "whose turn has ended and closed it is no leak");
        // Hours later the turn that still ran is gone too, and has left its hold behind.
        for _ in 0..3 {
            clock.advance(time::Duration::hours(1));
            assert_eq!(look(&[slow]).await, 0);
        }
        assert_eq!(look(&[]).await, 1);
        assert_eq!(look(&[]).await, 0);
    }
}
