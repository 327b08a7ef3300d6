//! The batched writer: what is waiting goes at once, in one transaction, and then everybody is answered.
//!
//! At low load a batch has one operation and goes at once; small ones keep a distance, so that a steady trickle shares
//! transactions, whose price is mostly their own. A bad operation fails alone. A caller that left does not undo its
//! operation, but a hold that nobody waits for is released at once. An account that somebody else keeps locked goes to the
//! slow lane, and the others go on. When the outcome of a commit is unknown the same batch runs again: every operation is
//! idempotent on its id and finds its own first answer.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use types::Clock;

use crate::Settings;
use crate::connection::{Connection, Failure, LOCK_TIMEOUT_MS, SLOW_LOCK_TIMEOUT_MS};
use crate::lanes::Source;
use crate::model::{AccountKey, Answer, Op, Refusal};
use crate::observe::Observer;
use crate::rule::Verdict;
use crate::sabotage::Sabotage;

/// Operations in one transaction at most. Past this a batch's own time, not the commit, makes the wait.
pub(crate) const BATCH_AT_MOST: usize = 512;
/// A batch of fewer operations than this …
const FEW: usize = 16;
/// … begins no sooner after the one before than half as long again as that took. What a transaction costs is mostly its own
/// price, not that of its rows: a database that answers quickly makes nobody wait for long, and one that is slow because
/// the machine is busy gets fewer of them, and the machine some rest. A crowd fills a batch before.
const SPACING_PERCENT: u32 = 150;
/// The least and the most of it: below that sleeping is no saving, and a stall must not make the next ones wait as long.
const SPACING: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(6));
/// Operations that may wait for a writer. A second's work or less: waiting longer than that helps nobody.
pub(crate) const QUEUE_AT_MOST: usize = 8_192;
/// A hold that waited this long is refused: SPEC §12 gives a request 5 s for a place at the database.
pub(crate) const HOLD_DEADLINE: Duration = Duration::from_secs(5);
/// Holds that may wait in the slow lane; more are refused at once. What ends a hold is always let in: there are never
/// more of those than open holds.
const SLOW_AT_MOST: usize = 1_024;
/// The slow lane rests this long after it found an account locked, so that the others get at the book.
const SLOW_PAUSE: Duration = Duration::from_millis(200);
/// Pause before another try after the database was lost, at first and at most.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Why a submitted operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The rule refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too much is waiting, or a lock or the database was not to be had in time. Nothing was set aside.
    #[error("the ledger is too busy")]
    Overloaded,
    /// The database refused this operation alone; the log has the reason.
    #[error("the ledger could not do this operation")]
    Unexpected,
    /// The ledger is stopping.
    #[error("the ledger is stopping")]
    Stopped,
}

/// An operation on its way.
pub(crate) struct Job {
    pub(crate) op: Op,
    reply: Option<oneshot::Sender<Result<Answer, SubmitError>>>,
    since: Instant,
    /// The connection was lost with it on its way: it may have been done.
    may_be_done: bool,
}

impl Job {
    pub(crate) fn new(op: Op, reply: Option<oneshot::Sender<Result<Answer, SubmitError>>>) -> Self {
        Self { op, reply, since: Instant::now(), may_be_done: false }
    }

    fn answer(self, result: Result<Answer, SubmitError>) -> Option<Op> {
        let is_held = matches!(result, Ok(Answer::Held { .. }));
        let was_heard = self.reply.is_none_or(|reply| reply.send(result).is_ok());
        // A hold whose caller is gone would stay open until its process dies.
        if is_held && !was_heard { undo(&self.op) } else { None }
    }

    fn is_new(&self) -> bool {
        matches!(self.op, Op::Hold(_) | Op::Extend { .. })
    }

    fn is_late(&self) -> bool {
        self.is_new() && self.since.elapsed() > HOLD_DEADLINE
    }
}

/// What gives a hold back whose caller is gone; only a new hold is undone.
pub(crate) fn undo(op: &Op) -> Option<Op> {
    match op {
        Op::Hold(hold) => Some(Op::Release { key: hold.key, id: hold.id }),
        Op::Extend { .. }
        | Op::Settle { .. }
        | Op::Release { .. }
        | Op::Orphan { .. }
        | Op::Mint { .. }
        | Op::Expire { .. }
        | Op::Reverse { .. } => None,
    }
}

/// What all writers know of the slow lane.
#[derive(Default)]
struct Stuck {
    /// Accounts whose operations go one by one for now.
    accounts: Mutex<HashSet<AccountKey>>,
    /// Jobs in the slow lane.
    jobs: AtomicUsize,
}

impl Stuck {
    fn accounts(&self) -> MutexGuard<'_, HashSet<AccountKey>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writers' end of the slow lane, which is one for all of them.
pub(crate) struct SlowLane {
    jobs: mpsc::UnboundedSender<Job>,
    stuck: Arc<Stuck>,
}

/// One writer: a connection, and where its batches come from.
pub(crate) struct Writer {
    config: tokio_postgres::Config,
    clock: Clock,
    sabotage: Sabotage,
    observer: Option<Observer>,
    lock_timeout_ms: u32,
    connection: Option<Connection>,
    /// Before the next try, should this one be lost as well.
    pause: Duration,
    stuck: Arc<Stuck>,
    slow: Option<mpsc::UnboundedSender<Job>>,
    /// Releases that nobody waits for, to go with the next batch.
    owing: Vec<Op>,
}

impl Writer {
    fn apart(settings: &Settings) -> Self {
        Self {
            config: settings.database.clone(),
            clock: settings.clock.clone(),
            sabotage: settings.sabotage,
            observer: settings.observer.clone(),
            lock_timeout_ms: LOCK_TIMEOUT_MS,
            connection: None,
            pause: RECONNECT.0,
            stuck: Arc::default(),
            slow: None,
            owing: Vec::new(),
        }
    }

    pub(crate) fn new(settings: &Settings, slow: &SlowLane) -> Self {
        Self { stuck: Arc::clone(&slow.stuck), slow: Some(slow.jobs.clone()), ..Self::apart(settings) }
    }

    /// Starts the slow lane. It ends after the last writer, with everything answered.
    pub(crate) fn start_slow_lane(settings: &Settings) -> (SlowLane, tokio::task::JoinHandle<()>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let lane = Self { lock_timeout_ms: SLOW_LOCK_TIMEOUT_MS, ..Self::apart(settings) };
        let slow = SlowLane { jobs, stuck: Arc::clone(&lane.stuck) };
        (slow, tokio::spawn(lane.run_slow(queue)))
    }

    /// Serves until every sender is gone, then ends, with everything answered.
    pub(crate) async fn run(mut self, mut source: impl Source) {
        let mut waiting = Vec::with_capacity(BATCH_AT_MOST);
        let mut last = Instant::now();
        let mut took = Duration::ZERO;
        loop {
            if self.owing.is_empty() {
                if !source.wait(&mut waiting).await {
                    break;
                }
            } else {
                source.fill(&mut waiting);
            }
            let spacing = (took * SPACING_PERCENT / 100).clamp(SPACING.0, SPACING.1);
            let rest = spacing.saturating_sub(last.elapsed());
            if waiting.len() < FEW && !rest.is_zero() {
                tokio::time::sleep(rest).await;
                source.fill(&mut waiting);
            }
            last = Instant::now();
            waiting.extend(self.owing.drain(..).map(|op| Job::new(op, None)));
            let operations = waiting.len();
            metrics::histogram!("ledger_batch_operations")
                .record(f64::from(u32::try_from(operations).unwrap_or(u32::MAX)));
            if source.changed_hands()
                && let Some(connection) = &mut self.connection
            {
                connection.forget();
            }
            let batch = self.sort_out(&mut waiting);
            self.process(batch).await;
            took = last.elapsed();
            source.served(operations);
        }
    }

    /// One operation at a time, each tried until its deadline; the others of the lane go on between the tries.
    async fn run_slow(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let mut waiting: VecDeque<Job> = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match queue.recv().await {
                    Some(job) => waiting.push_back(job),
                    None => break,
                }
            }
            while let Ok(job) = queue.try_recv() {
                waiting.push_back(job);
            }
            let Some(mut job) = waiting.pop_front() else { continue };
            if job.is_late() {
                self.forget(job);
            } else {
                match self.attempt(&[&job.op]).await {
                    Err(Failure::LockTimeout) => {
                        waiting.push_back(job);
                        let (late, rest): (Vec<Job>, Vec<Job>) = waiting.into_iter().partition(Job::is_late);
                        for job in late {
                            self.forget(job);
                        }
                        waiting = rest.into();
                        tokio::time::sleep(SLOW_PAUSE).await;
                    }
                    Err(Failure::Again) => waiting.push_front(job),
                    Err(Failure::Lost) => {
                        job.may_be_done = true;
                        waiting.push_front(job);
                    }
                    result => self.conclude(vec![job], result).await,
                }
            }
            waiting.extend(std::mem::take(&mut self.owing).into_iter().map(|op| Job::new(op, None)));
            let mut stuck = self.stuck.accounts();
            while let Ok(job) = queue.try_recv() {
                waiting.push_back(job);
            }
            self.stuck.jobs.store(waiting.len(), Ordering::Relaxed);
            stuck.retain(|key| waiting.iter().any(|job| job.op.key() == *key));
        }
    }

    /// Answers who waited too long, hands the slow lane what is stuck, and keeps the rest.
    fn sort_out(&mut self, waiting: &mut Vec<Job>) -> Vec<Job> {
        let mut batch = Vec::with_capacity(waiting.len());
        for job in waiting.drain(..) {
            let is_stuck = {
                let stuck = self.stuck.accounts();
                !stuck.is_empty() && stuck.contains(&job.op.key())
            };
            let is_unheard = job.reply.as_ref().is_some_and(oneshot::Sender::is_closed);
            if job.is_late() || (matches!(job.op, Op::Hold(_)) && is_unheard) {
                let _ = job.answer(Err(SubmitError::Overloaded)); // never reached the database
            } else if is_stuck {
                self.hand_over(job);
            } else {
                batch.push(job);
            }
        }
        batch
    }

    /// Gives a job to the slow lane, or refuses it when that has enough.
    fn hand_over(&mut self, job: Job) {
        if job.is_new() && self.stuck.jobs.load(Ordering::Relaxed) >= SLOW_AT_MOST {
            self.forget(job);
            return;
        }
        self.stuck.jobs.fetch_add(1, Ordering::Relaxed);
        let slow = self.slow.as_ref().expect("only the main lane hands over, and it has one");
        let _ = slow.send(job);
    }

    /// Refuses an operation that waited too long; if it may have been done, what it set aside is given back.
    fn forget(&mut self, job: Job) {
        if job.may_be_done {
            self.owing.extend(undo(&job.op));
        }
        let _ = job.answer(Err(SubmitError::Overloaded));
    }

    async fn process(&mut self, mut batch: Vec<Job>) {
        while !batch.is_empty() {
            let ops: Vec<&Op> = batch.iter().map(|job| &job.op).collect();
            match self.attempt(&ops).await {
                Err(failure @ (Failure::Lost | Failure::Again)) => {
                    for job in &mut batch {
                        job.may_be_done |= matches!(failure, Failure::Lost);
                    }
                    let (late, rest) = batch.into_iter().partition(Job::is_late);
                    let late: Vec<Job> = late;
                    for job in late {
                        self.forget(job);
                    }
                    batch = rest;
                }
                Err(Failure::LockTimeout) => batch = self.set_stuck_aside(batch).await,
                result => {
                    self.conclude(batch, result).await;
                    return;
                }
            }
        }
    }

    /// Answers a batch that is decided; one that the database refused is halved until the culprit stands alone.
    async fn conclude(&mut self, mut batch: Vec<Job>, result: Result<Vec<Verdict>, Failure>) {
        match result {
            Ok(verdicts) => {
                for (job, verdict) in batch.into_iter().zip(verdicts) {
                    self.owing.extend(job.answer(verdict.map_err(SubmitError::Refused)));
                }
            }
            Err(failure) if batch.len() == 1 => {
                let job = batch.remove(0);
                self.accuse(&job.op, &failure).await;
                let _ = job.answer(Err(SubmitError::Unexpected));
            }
            Err(_) => {
                let second = batch.split_off(batch.len() / 2);
                Box::pin(self.process(batch)).await;
                Box::pin(self.process(second)).await;
            }
        }
    }

    async fn attempt(&mut self, ops: &[&Op]) -> Result<Vec<Verdict>, Failure> {
        let (clock, observer) = (self.clock.clone(), self.observer.clone());
        let connection = self.connect().await?;
        let began = Instant::now();
        let result = connection.apply(&clock, observer.as_ref(), ops).await;
        metrics::histogram!("ledger_transaction_seconds").record(began.elapsed().as_secs_f64());
        if result.is_ok() {
            self.pause = RECONNECT.0;
        }
        if let Err(failure) = &result {
            tracing::warn!(?failure, operations = ops.len(), "a batch of the ledger failed");
            metrics::counter!("ledger_batch_failures_total").increment(1);
        }
        if matches!(result, Err(Failure::Lost)) {
            // It may be open still, to a server that cannot write: the next one may be well.
            self.connection = None;
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(RECONNECT.1);
        }
        result
    }

    /// The open connection, or a new one. Fails as lost when none is to be had now, after a pause.
    async fn connect(&mut self) -> Result<&mut Connection, Failure> {
        if !self.connection.as_ref().is_some_and(Connection::is_open) {
            self.connection = None;
            let mut pause = RECONNECT.0;
            let deadline = Instant::now() + HOLD_DEADLINE;
            while self.connection.is_none() {
                match Connection::open(&self.config, self.sabotage, self.lock_timeout_ms).await {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => {
                        tracing::warn!(%error, "the ledger cannot reach its database");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(RECONNECT.1);
                        if Instant::now() > deadline {
                            return Err(Failure::Lost);
                        }
                    }
                }
            }
        }
        Ok(self.connection.as_mut().expect("made above"))
    }

    /// Finds who is locked out and hands them to the slow lane; the rest stay.
    async fn set_stuck_aside(&mut self, batch: Vec<Job>) -> Vec<Job> {
        let mut keys: Vec<AccountKey> = batch.iter().map(|job| job.op.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        let Some(connection) = &self.connection else { return batch };
        let Ok(stuck) = connection.stuck(&keys).await else { return batch };
        metrics::counter!("ledger_stuck_accounts_total").increment(u64::try_from(stuck.len()).unwrap_or(0));
        let (late, rest): (Vec<Job>, Vec<Job>) =
            batch.into_iter().partition(|job| stuck.contains(&job.op.key()));
        let all = Arc::clone(&self.stuck);
        // Both under the lock: the slow lane forgets a key when it has no more jobs of it.
        let mut accounts = all.accounts();
        accounts.extend(&stuck);
        for job in late {
            self.hand_over(job);
        }
        rest
    }

    /// Logs why one operation failed; a broken book freezes its account.
    async fn accuse(&mut self, op: &Op, failure: &Failure) {
        let mut key = op.key();
        tracing::error!(community = %key.community, account = %key.account, ?failure, "an operation failed alone");
        metrics::counter!("ledger_poison_total").increment(1);
        let what = match failure {
            Failure::Refused(error) => match error.as_db_error().and_then(|error| error.constraint()) {
                Some(name @ ("conservation" | "no_overdraft" | "lot_bounds" | "account_sums_nonneg")) => {
                    format!("a transaction would have broken the constraint {name}")
                }
                Some(_) | None => return,
            },
            Failure::Broken(broken) => {
                key = *broken;
                "the open lots do not cover the balance".to_owned()
            }
            Failure::Lost | Failure::LockTimeout | Failure::Again => return,
        };
        metrics::counter!("ledger_conservation_violations_total").increment(1);
        let now = self.clock.now();
        if let Ok(connection) = self.connect().await
            && let Err(failure) = connection.freeze(key, &what, now).await
        {
            tracing::error!(?failure, "the account could not be frozen");
        }
    }
}

#[cfg(test)]
mod tests {
    use types::{AccountId, CommunityId};

    use super::*;

    #[test]
    fn what_one_writer_found_stuck_every_writer_hands_to_the_slow_lane() {
        let settings = Settings::new("postgres:///nowhere", Clock::system()).expect("an address");
        let (jobs, mut slow_lane) = mpsc::unbounded_channel();
        let lane = SlowLane { jobs, stuck: Arc::default() };
        let [one, mut other] = [(); 2].map(|()| Writer::new(&settings, &lane));
        let key = |account| AccountKey { community: CommunityId(1), account: AccountId(account) };
        let jobs = || [7, 8].map(|account| Job::new(Op::Expire { key: key(account) }, None)).into();
        let keys = |jobs: &[Job]| jobs.iter().map(|job| job.op.key()).collect::<Vec<_>>();
        assert_eq!(keys(&other.sort_out(&mut jobs())), [key(7), key(8)]);
        one.stuck.accounts().insert(key(7));
        assert_eq!(keys(&other.sort_out(&mut jobs())), [key(8)]);
        assert_eq!(keys(&[slow_lane.try_recv().expect("it was handed over")]), [key(7)]);
        assert_eq!(one.stuck.jobs.load(Ordering::Relaxed), 1, "both count the same lane");
    }
}
