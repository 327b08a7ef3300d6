//! Money: accounts, lots, holds, journal and audit chain. The only writer of the money tables.
//!
//! Two entrances, one rule, one lock order (book of the community → account → lots and holds):
//! [`Ledger::submit`] batches what is waiting into one transaction and answers after its commit; [`post()`] does one
//! operation inside the caller's transaction. The rule is a pure function ([`rule::apply`]).
//!
//! What always holds is written at the top of `migrations/0001_ledger.sql` and refused there by the database too.
//! Deliberately absent: HTTP, models, prices, users. Whoever calls knows why money moves; the ledger knows that it
//! moves once.

mod accounts;
pub mod audit;
mod audit_line;
mod check;
mod column;
mod connection;
mod grant;
mod guard;
mod known;
mod lanes;
mod lease;
mod loss;
mod model;
mod observe;
mod post;
pub mod report;
pub mod rule;
mod sabotage;
pub mod state;
mod statements;
mod sweep;
pub mod verify;
mod violation;
mod writer;
mod writes;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use types::Clock;

pub use accounts::{open_account, open_book, set_account_cap, set_community_cap};
pub use check::{Difference, check_community, check_everything};
pub use grant::{grant, grant_lot};
pub use guard::{Checker, Pass};
pub use lease::{Lease, dead_among, open_holds_made, still_open, sweep_dead_owners};
pub use loss::{Loss, Mismatch, prune_losses, record_loss, record_mismatch};
pub use model::*;
#[doc(hidden)]
pub use observe::{Observation, Observer};
pub use post::{PostError, post};
pub use sabotage::Sabotage;
#[doc(hidden)]
pub use statements::{ALL as STATEMENTS, joined_writes};
pub use sweep::{Swept, expire_due_lots};
pub use violation::{
    NOTE_AT_MOST, ResolveError, Resolved, Violation, Which, minting_stopped, resolve_violation, violations,
};
pub use writer::SubmitError;

use writer::{HOLD_DEADLINE, Job, QUEUE_AT_MOST, Writer};

/// How a ledger is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Straight to PostgreSQL, not through a pooler: the writers keep their connections for ever.
    pub database: tokio_postgres::Config,
    /// Writers, each with the queue of some communities. One serves them all while it keeps up.
    pub writers: usize,
    /// Where time comes from.
    pub clock: Clock,
    /// A planted bug, for tests.
    #[doc(hidden)]
    pub sabotage: Sabotage,
    /// Who is told what each committed batch did, for tests that replay the books.
    #[doc(hidden)]
    pub observer: Option<Observer>,
}

impl Settings {
    /// Two writers on `url`.
    pub fn new(url: &str, clock: Clock) -> Result<Self, tokio_postgres::Error> {
        Ok(Self { database: url.parse()?, writers: 2, clock, sabotage: Sabotage::None, observer: None })
    }
}

impl Settings {
    /// The same role and database at the address of `direct_url`, past a pooler.
    ///
    /// Only the address is taken from there: that URL may name the tables' owner, for migrations, and whoever owns the
    /// journal could switch off what makes it append-only.
    pub fn at_address_of(mut self, direct_url: &str) -> Result<Self, tokio_postgres::Error> {
        let mut direct: tokio_postgres::Config = direct_url.parse()?;
        direct.user(self.database.get_user().unwrap_or_default());
        if let Some(password) = self.database.get_password() {
            direct.password(password);
        }
        if let Some(name) = self.database.get_dbname() {
            direct.dbname(name);
        }
        self.database = direct;
        Ok(self)
    }
}

/// The batched entrance. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    shards: Arc<[mpsc::Sender<Job>]>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ledger").field("writers", &self.shards.len()).finish()
    }
}

/// The writers' tasks. They end when the last [`Ledger`] is dropped and all is answered.
#[derive(Debug)]
pub struct Writers(Vec<JoinHandle<()>>);

impl Writers {
    /// Waits until every operation that was submitted is answered. Drop all ledgers first.
    pub async fn finished(self) {
        for writer in self.0 {
            let _ = writer.await;
        }
    }
}

impl Ledger {
    /// Starts the writers. They connect with the first operation and reconnect by themselves.
    #[must_use]
    pub fn start(settings: &Settings) -> (Self, Writers) {
        let (shards, queues): (Vec<_>, Vec<_>) =
            (0..settings.writers.max(1)).map(|_| mpsc::channel(QUEUE_AT_MOST)).unzip();
        let (first, helpers) = lanes::open(queues);
        let (slow, slow_lane) = Writer::start_slow_lane(settings);
        let mut tasks = vec![slow_lane, tokio::spawn(Writer::new(settings, &slow).run(first))];
        tasks
            .extend(helpers.into_iter().map(|helper| tokio::spawn(Writer::new(settings, &slow).run(helper))));
        (Self { shards: shards.into() }, Writers(tasks))
    }

    /// Does one operation and answers after its commit.
    ///
    /// A hold is refused at once when the queue is full, and after 5 s whatever the reason; whatever ends a hold waits
    /// for its place and its answer instead. Dropping the future does not undo the operation, but a hold that nobody
    /// waits for any more is released.
    pub async fn submit(&self, op: Op) -> Result<Answer, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let shard = &self.shards[self.shard_of(&op)];
        let is_new = matches!(op, Op::Hold(_) | Op::Extend { .. });
        let mut pending = Pending { answer: Some(answer), shard, undo: writer::undo(&op) };
        let job = Job::new(op, Some(reply));
        if is_new {
            shard.try_send(job).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
            })?;
        } else {
            shard.send(job).await.map_err(|_| SubmitError::Stopped)?;
        }
        let answer = pending.answer.as_mut().expect("taken only below");
        let waited =
            if is_new { tokio::time::timeout(HOLD_DEADLINE, answer).await } else { Ok(answer.await) };
        let Ok(result) = waited else {
            return Err(SubmitError::Overloaded); // `pending` sees to it that nothing stays set aside
        };
        pending.answer = None;
        result.map_err(|_| SubmitError::Stopped)?
    }

    /// Operations that wait, over all writers.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shards.iter().map(|shard| shard.max_capacity() - shard.capacity()).sum()
    }

    fn shard_of(&self, op: &Op) -> usize {
        // Fibonacci hashing: ids are times with random low bits, and neighbours should part.
        let mixed = op.key().community.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(mixed).unwrap_or(0) % self.shards.len()
    }
}

/// An answer that is on its way. When its caller leaves with a hold in the channel, the hold is given back: the
/// writer saw it delivered and would not.
struct Pending<'a> {
    answer: Option<oneshot::Receiver<Result<Answer, SubmitError>>>,
    shard: &'a mpsc::Sender<Job>,
    undo: Option<Op>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        answer.close(); // from here on the writer's own delivery fails, and it gives the hold back itself
        if let (Ok(Ok(Answer::Held { .. })), Some(op)) = (answer.try_recv(), self.undo.take())
            && let Err(mpsc::error::TrySendError::Full(job)) = self.shard.try_send(Job::new(op, None))
        {
            let shard = self.shard.clone();
            tokio::spawn(async move { shard.send(job).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_address_lends_its_address_and_not_its_role() {
        let settings = Settings::new("postgres://freeside_app:app@pooler:6432/freeside", Clock::system());
        let settings = settings
            .and_then(|settings| settings.at_address_of("postgres://freeside_owner:owner@db:5433/freeside"));
        let config = settings.expect("both are addresses").database;
        assert_eq!(config.get_user(), Some("freeside_app"));
        assert_eq!(config.get_password(), Some(b"app".as_slice()));
        assert_eq!(config.get_ports(), [5433]);
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Tcp("db".to_owned())]);
    }
}
