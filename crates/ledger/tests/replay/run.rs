//! The run: sixteen streams through two ledgers and the transaction entrance, and somebody who looks at the books all
//! the while. What happened is then handed to the judge.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use ledger::{
    Answer, Ledger, Observation, Op, PostError, Refusal, Sabotage, Settings, SubmitError, open_account, post,
    set_account_cap, set_community_cap,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use time::{Duration, OffsetDateTime};
use tokio::sync::{mpsc, watch};
use types::{Clock, CommunityId};

use crate::common::key;
use crate::judge;
use crate::world::{COMMUNITIES, World, accounts};

/// Before the first month turns there is time for everything; the clock is moved by the streams.
pub(crate) const START: OffsetDateTime = time::macros::datetime!(2026-01-28 10:00 UTC);
const STREAMS: u64 = 16;
/// The looker may be this far ahead of the streams.
const SNAPSHOTS_AHEAD: u64 = 20;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) operations: u64,
    pub(crate) snapshots: u64,
    pub(crate) sabotage: Sabotage,
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) operations: u64,
    pub(crate) posted: u64,
    pub(crate) snapshots: u64,
    pub(crate) batches: usize,
    pub(crate) journal: usize,
    pub(crate) refused: BTreeMap<String, u64>,
}

/// By which check the run failed, and how.
#[derive(Clone, Debug)]
pub(crate) struct Caught {
    pub(crate) by: &'static str,
    pub(crate) what: String,
}

pub(crate) fn caught<T>(by: &'static str, what: impl Into<String>) -> Result<T, Caught> {
    Err(Caught { by, what: what.into() })
}

/// Something that happened in a community, with its place in the order of its book.
pub(crate) struct Event {
    pub(crate) community: i64,
    pub(crate) version: i64,
    pub(crate) wrote: bool,
    pub(crate) what: What,
}

pub(crate) enum What {
    Done { now: OffsetDateTime, done: Vec<(Op, Result<Answer, Refusal>)> },
    CommunityCap(Option<i64>),
    AccountCap(i64, Option<i64>),
    Frozen(i64, bool),
}

impl From<Observation> for Event {
    fn from(seen: Observation) -> Self {
        let what = What::Done { now: seen.now, done: seen.done };
        Self { community: seen.community.0, version: seen.version, wrote: seen.wrote, what }
    }
}

/// How often which operation got which answer.
#[derive(Default)]
pub(crate) struct Tally(HashMap<u64, i64>);

impl Tally {
    pub(crate) fn count(&mut self, op: &Op, verdict: &Result<Answer, Refusal>, by: i64) {
        let mut hasher = DefaultHasher::new();
        let amount = match op {
            Op::Hold(hold) => hold.amount ^ i64::from(hold.input_hash[0]),
            Op::Extend { to, .. } => *to,
            Op::Settle { charge, .. } => charge.amount,
            Op::Mint { amount, source, .. } => *amount ^ i64::from(*source as i16),
            Op::Release { .. } | Op::Orphan { .. } | Op::Expire { .. } | Op::Reverse { .. } => 0,
        };
        std::mem::discriminant(op).hash(&mut hasher);
        (op.key(), op.hold_id(), op.lot_id(), amount, format!("{verdict:?}")).hash(&mut hasher);
        *self.0.entry(hasher.finish()).or_default() += by;
    }

    fn add(&mut self, other: Self) {
        for (hash, count) in other.0 {
            *self.0.entry(hash).or_default() += count;
        }
    }

    /// Answers that somebody got and nobody gave, and answers that were given and nobody got.
    pub(crate) fn difference(&self) -> (i64, i64) {
        let sum = |wanted: fn(i64) -> bool| {
            self.0.values().filter(|count| wanted(**count)).map(|count| count.abs()).sum()
        };
        (sum(|count| count < 0), sum(|count| count > 0))
    }
}

struct Stage {
    pool: PgPool,
    clock: Clock,
    world: World,
    plan: Plan,
    done: watch::Sender<u64>,
    posted: AtomicU64,
    overloaded: AtomicU64,
    snapshots: watch::Receiver<u64>,
    stop: watch::Sender<Option<Caught>>,
    events: mpsc::UnboundedSender<Event>,
}

pub(crate) async fn run(plan: Plan) -> Result<Report, Caught> {
    let database = TestDatabase::new().await;
    let clock = Clock::fixed(START);
    prepare(&database.pool, &clock).await;
    let (observer, mut observed) = mpsc::unbounded_channel();
    let (events, mut told) = mpsc::unbounded_channel();
    let (snapshots, snapshots_seen) = watch::channel(0);
    let stage = Arc::new(Stage {
        pool: database.pool.clone(),
        clock: clock.clone(),
        world: World::default(),
        plan,
        done: watch::Sender::new(0),
        posted: AtomicU64::new(0),
        overloaded: AtomicU64::new(0),
        snapshots: snapshots_seen,
        stop: watch::Sender::new(None),
        events,
    });
    let mut settings = Settings::new(&database.url(), clock).unwrap();
    settings.sabotage = plan.sabotage;
    settings.observer = Some(observer);
    let (processes, writers): (Vec<_>, Vec<_>) = (0..2).map(|_| Ledger::start(&settings)).unzip();
    drop(settings);

    cap_a_whale(&stage).await;

    let looking = tokio::spawn(look(Arc::clone(&stage), snapshots));
    let streams: Vec<_> = (0..STREAMS)
        .map(|number| {
            let ledger = processes[usize::try_from(number % 2).unwrap()].clone();
            tokio::spawn(stream(Arc::clone(&stage), ledger, number))
        })
        .collect();
    drop(processes);
    let mut tally = Tally::default();
    for stream in streams {
        tally.add(stream.await.unwrap());
    }
    for writers in writers {
        writers.finished().await;
    }
    looking.abort();
    let _ = looking.await;
    if let Some(caught) = stage.stop.borrow().clone() {
        return Err(caught);
    }

    let mut events = Vec::new();
    observed.close();
    while let Some(seen) = observed.recv().await {
        events.push(Event::from(seen));
    }
    told.close();
    while let Some(event) = told.recv().await {
        events.push(event);
    }
    let overloaded = stage.overloaded.load(Ordering::Relaxed);
    let verdict = judge::judge(&database.pool, events, tally, overloaded).await?;
    Ok(Report {
        operations: *stage.done.borrow(),
        posted: stage.posted.load(Ordering::Relaxed),
        snapshots: *stage.snapshots.borrow(),
        batches: verdict.batches,
        journal: verdict.journal,
        refused: verdict.refused,
    })
}

async fn prepare(pool: &PgPool, clock: &Clock) {
    let mut connection = pool.acquire().await.unwrap();
    for community in COMMUNITIES {
        for account in accounts(community) {
            let holder = (account % 3 == 0).then(|| format!("0x{account:040x} \"\u{e9}\\\u{1}\n"));
            open_account(&mut connection, clock, key(community, account), holder.as_deref()).await.unwrap();
        }
    }
}

async fn stream(stage: Arc<Stage>, ledger: Ledger, number: u64) -> Tally {
    let mut rng = StdRng::seed_from_u64(stage.plan.seed * 1_000 + number);
    let mut tally = Tally::default();
    let mut snapshots = stage.snapshots.clone();
    while stage.stop.borrow().is_none() {
        let burst = rng.random_range(1..=40);
        let mut before = 0;
        let may_go = stage.done.send_if_modified(|done| {
            before = *done;
            *done += if before < stage.plan.operations { burst } else { 0 };
            *done > before
        });
        if !may_go {
            break;
        }
        // The looker keeps pace, or the streams wait for it: the snapshots are spread over the whole run.
        let due = before * stage.plan.snapshots / stage.plan.operations;
        let _ = snapshots.wait_for(|seen| *seen >= due).await;
        stage.clock.advance(Duration::seconds(rng.random_range(0..5_400)));
        let result = if number == 0 && rng.random_bool(0.05) {
            administer(&stage, &mut rng).await
        } else if rng.random_bool(0.1) {
            post_burst(&stage, &mut rng, burst, &mut tally).await
        } else {
            submit_burst(&stage, &ledger, &mut rng, burst, &mut tally).await
        };
        if let Err(caught) = result {
            stage.stop.send_replace(Some(caught));
        }
    }
    tally
}

async fn submit_burst(
    stage: &Stage,
    ledger: &Ledger,
    rng: &mut StdRng,
    burst: u64,
    tally: &mut Tally,
) -> Result<(), Caught> {
    let ops: Vec<Op> = (0..burst).map(|_| stage.world.next(rng, &stage.clock, None)).collect();
    let answers = join_all(ops.iter().map(|op| ledger.submit(op.clone()))).await;
    for (op, answer) in ops.iter().zip(answers) {
        let verdict = match answer {
            Ok(answer) => Ok(answer),
            Err(SubmitError::Refused(refusal)) => Err(refusal),
            Err(SubmitError::Overloaded) => {
                stage.overloaded.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Err(error) => return caught("an operation failed", format!("{op:?}: {error:?}")),
        };
        stage.world.learn(op, &verdict);
        tally.count(op, &verdict, -1);
    }
    Ok(())
}

/// A transaction of a caller's own with several operations of one community; one in ten is rolled back.
async fn post_burst(stage: &Stage, rng: &mut StdRng, burst: u64, tally: &mut Tally) -> Result<(), Caught> {
    let community = COMMUNITIES[[0, 0, 0, 1, 1, 2, 2, 3][rng.random_range(0..8)]];
    let mut transaction = stage.pool.begin().await.unwrap();
    let mut version = lock_book(&mut transaction, community).await;
    // Under the lock, so that this community's time does not run backwards.
    let now = stage.clock.now();
    let clock = Clock::fixed(now);
    let mut done = Vec::new();
    for _ in 0..burst {
        let op = stage.world.next(rng, &clock, Some(community));
        let verdict = match post(&mut transaction, &clock, &op).await {
            Ok(answer) => Ok(answer),
            Err(PostError::Refused(refusal)) => Err(refusal),
            Err(PostError::Database(error)) => {
                return caught("an operation failed", format!("{op:?}: {error}"));
            }
        };
        let after = lock_book(&mut transaction, community).await;
        done.push((op, verdict, after, after > version));
        version = after;
    }
    if rng.random_bool(0.1) {
        transaction.rollback().await.unwrap();
        return Ok(());
    }
    transaction.commit().await.unwrap();
    for (op, verdict, version, wrote) in done {
        stage.world.learn(&op, &verdict);
        stage.posted.fetch_add(1, Ordering::Relaxed);
        tally.count(&op, &verdict, -1);
        let what = What::Done { now, done: vec![(op, verdict)] };
        let _ = stage.events.send(Event { community, version, wrote, what });
    }
    Ok(())
}

async fn lock_book(connection: &mut sqlx::PgConnection, community: i64) -> i64 {
    sqlx::query_scalar("select version from book where community_id = $1 for update")
        .bind(community)
        .fetch_one(connection)
        .await
        .unwrap()
}

/// A cap is set or lifted, an account is frozen or thawed, in the order of the book.
async fn administer(stage: &Stage, rng: &mut StdRng) -> Result<(), Caught> {
    let community = COMMUNITIES[rng.random_range(0..3)];
    let account = rng.random_range(accounts(community));
    let whose = key(community, account);
    let mut transaction = stage.pool.begin().await.unwrap();
    let before = lock_book(&mut transaction, community).await;
    let limit = rng.random_bool(0.5).then(|| rng.random_range(0..800_000));
    let what = match rng.random_range(0..4) {
        0 => {
            set_community_cap(&mut transaction, CommunityId(community), limit).await.unwrap();
            What::CommunityCap(limit)
        }
        1 => {
            let limit = limit.map(|limit| limit / 10);
            set_account_cap(&mut transaction, CommunityId(community), whose.account, limit).await.unwrap();
            What::AccountCap(account, limit)
        }
        2 => {
            let account = account.max(2); // not the hot one: half of the run would be a refusal
            let freeze = "update account set frozen_at = $3, version = version + 1 where community_id = $1 and id = $2";
            let query = sqlx::query(freeze).bind(community).bind(account).bind(stage.clock.now());
            query.execute(&mut *transaction).await.unwrap();
            What::Frozen(account, true)
        }
        _ => {
            let thaw = "update account set frozen_at = null, version = version + 1
                where community_id = $1 and id = $2 and frozen_at is not null";
            sqlx::query(thaw).bind(community).bind(account).execute(&mut *transaction).await.unwrap();
            What::Frozen(account, false)
        }
    };
    take_place(stage, transaction, (community, before), what).await;
    Ok(())
}

/// A cap that nobody lifts, so that every run meets one, in whatever order its streams go.
async fn cap_a_whale(stage: &Stage) {
    let (community, whale, limit) = (14, 2, Some(800_000));
    let mut transaction = stage.pool.begin().await.unwrap();
    let before = lock_book(&mut transaction, community).await;
    let whose = key(community, whale);
    assert!(set_account_cap(&mut transaction, whose.community, whose.account, limit).await.unwrap());
    take_place(stage, transaction, (community, before), What::AccountCap(whale, limit)).await;
}

/// Commits with the next place in the order of the book: only the community's cap raises its version by itself.
async fn take_place(
    stage: &Stage,
    mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
    (community, before): (i64, i64),
    what: What,
) {
    let version: i64 =
        sqlx::query_scalar("update book set version = $2 where community_id = $1 returning version")
            .bind(community)
            .bind(before + 1)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
    transaction.commit().await.unwrap();
    let _ = stage.events.send(Event { community, version, wrote: true, what });
}

/// Looks at one community after another until it is told to stop.
async fn look(stage: Arc<Stage>, seen: watch::Sender<u64>) {
    let mut connection = stage.pool.acquire().await.unwrap();
    let mut progress = stage.done.subscribe();
    for community in COMMUNITIES.into_iter().cycle() {
        let found = ledger::check_community(&mut connection, CommunityId(community)).await.unwrap();
        let caught = match found.first() {
            Some(difference) => caught("the checker, in a snapshot", format!("{difference:?}")),
            None => judge::identities(&mut connection, community).await,
        };
        if let Err(caught) = caught {
            stage.stop.send_if_modified(|stop| {
                let is_first = stop.is_none();
                stop.get_or_insert(caught);
                is_first
            });
            seen.send_replace(u64::MAX); // nobody waits for another look
            return;
        }
        seen.send_modify(|seen| *seen += 1);
        // Not more than asked for, or the looking would be all that the machine does.
        let enough = |seen: u64| (seen - SNAPSHOTS_AHEAD) * stage.plan.operations / stage.plan.snapshots;
        let seen = *seen.borrow();
        if seen > SNAPSHOTS_AHEAD {
            let _ = progress.wait_for(|done| *done >= enough(seen)).await;
        }
    }
}
