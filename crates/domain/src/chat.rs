//! Chat turns: a person asks an agent, and the answer is theirs whether they watch it or not (SPEC §8, §13).
//!
//! The domain owns a turn from question to last frame; a socket only watches. What always holds:
//! * A question is written down before money is set aside, under the id that its hold will have.
//! * Each frame of an answer has a number from 1, without a gap. [`resume`] shows the frames after any of them, in this
//!   process or in another one.
//! * The text is stored as it grows, and all of it before the last frame is shown; that frame comes after the settle.
//! * Only [`cancel`] stops an answer. A watcher that leaves, or reads nothing, changes nothing and costs nothing.
//!
//! Deliberately absent: sockets, sessions, and who may connect.

mod history;
mod log;
mod recover;
mod room;
mod run;
mod store;
mod watching;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};
use types::{ReservationId, WalletId};
use uuid::Uuid;

use crate::Ctx;
use crate::agent::Agent;
use crate::turn::CANCELLED;

pub use history::{Feedback, PAGE_AT_MOST, Said, Sharing, Whose, conversations, page, rate, share, sharing};
pub use recover::recover;
pub use room::{Look, Purse, Room, room};
pub use watching::Watching;
pub use words::{End, Frame, How, NotTaken, Numbered, Question, Speaker, Started};

use log::Log;
use run::Run;

/// A message in bytes: a frame of a socket has at most as many, so this is met only by other doors.
pub const MESSAGE_BYTES_AT_MOST: usize = 4_096;
/// Answers of one wallet that run at once in one process: a person reads one, and may have asked two more agents.
pub const RUNNING_AT_ONCE: usize = 3;
/// Sent to a turn that outlasts the process (SPEC §8).
const DRAINED: &str = "drained";

/// Chat turns that run in this process.
#[derive(Debug)]
pub struct Running {
    turns: Arc<Mutex<Turns>>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Turns {
    by_id: HashMap<Uuid, Here>,
    by_request: HashMap<(WalletId, Uuid), Uuid>,
    of_wallet: HashMap<WalletId, usize>,
    is_draining: bool,
}

#[derive(Debug)]
struct Here {
    key: (WalletId, Uuid),
    log: Arc<Log>,
}

impl Default for Running {
    fn default() -> Self {
        Self { turns: Arc::default(), count: watch::Sender::new(0) }
    }
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many run here.
    pub fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Takes no more questions: this process stops. What runs goes on.
    pub fn drain(&self) {
        self.lock().is_draining = true;
    }

    /// Resolves when none runs here.
    pub async fn idle(&self) {
        let mut count = self.count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await; // the sender is ours
    }

    /// Stops what still runs: it is charged as delivered, and ends with the word `drained`.
    pub fn cut(&self) {
        for here in self.lock().by_id.values() {
            here.log.stop(DRAINED);
        }
    }

    fn find(&self, wallet: WalletId, request_id: Uuid) -> Option<Arc<Log>> {
        let turns = self.lock();
        let id = turns.by_request.get(&(wallet, request_id))?;
        turns.by_id.get(id).map(|here| Arc::clone(&here.log))
    }

    fn take(&self, id: ReservationId, key: (WalletId, Uuid), log: &Arc<Log>) -> Result<Place, NotTaken> {
        let mut turns = self.lock();
        if turns.is_draining {
            return Err(NotTaken::Draining);
        }
        let running = turns.of_wallet.entry(key.0).or_default();
        if *running >= RUNNING_AT_ONCE {
            return Err(NotTaken::Busy);
        }
        *running += 1;
        turns.by_id.insert(id.0, Here { key, log: Arc::clone(log) });
        turns.by_request.entry(key).or_insert(id.0);
        self.count.send_replace(turns.by_id.len());
        drop(turns);
        Ok(Place { turns: Arc::clone(&self.turns), count: self.count.clone(), id: id.0 })
    }
}

/// A turn's place in [`Running`], given up on drop.
struct Place {
    turns: Arc<Mutex<Turns>>,
    count: watch::Sender<usize>,
    id: Uuid,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(here) = turns.by_id.remove(&self.id) else { return };
        // A question that was asked twice at once has two places for a moment, and the second one stays out of the way.
        if turns.by_request.get(&here.key) == Some(&self.id) {
            turns.by_request.remove(&here.key);
        }
        if let Some(running) = turns.of_wallet.get_mut(&here.key.0) {
            *running -= 1;
            if *running == 0 {
                turns.of_wallet.remove(&here.key.0);
            }
        }
        self.count.send_replace(turns.by_id.len());
    }
}

/// Asks, and watches the answer. The same request again watches the same answer.
pub async fn say(
    ctx: &Arc<Ctx>,
    speaker: Speaker,
    agent: &Arc<Agent>,
    question: Question,
) -> Result<Watching, NotTaken> {
    if question.text.trim().is_empty() {
        return Err(NotTaken::Empty);
    }
    if question.text.len() > MESSAGE_BYTES_AT_MOST {
        return Err(NotTaken::TooLong);
    }
    // Who holds a token is known when the chain is read; until then such an agent talks to nobody here.
    if agent.holder_only {
        return Err(NotTaken::HolderOnly);
    }
    let wallet = speaker.wallet;
    // A client that lost its connection asks again what it has asked.
    if let Some(row) = store::find(&ctx.db, wallet, question.request_id).await? {
        return known(ctx, agent, &question, row, wallet);
    }
    let id = ReservationId(ctx.clock.uuid_v7());
    let (stopper, stop) = oneshot::channel();
    let log = Arc::new(Log::new(stopper));
    let place = ctx.chat.take(id, (wallet, question.request_id), &log)?;
    let now = ctx.clock.now();
    if !store::ask(&ctx.db, id, &speaker, agent.id, &question, ctx.owner, now).await? {
        drop(place);
        let row = store::find(&ctx.db, wallet, question.request_id).await?;
        let row = row.ok_or_else(|| anyhow::anyhow!("a chat turn that was there is gone"))?;
        return known(ctx, agent, &question, row, wallet);
    }
    let watching = Watching::here(Arc::clone(&log), question.request_id, 0);
    let run = Run { ctx: Arc::clone(ctx), id, speaker, agent: Arc::clone(agent), question, log, stop, place };
    tokio::spawn(run.run());
    Ok(watching)
}

/// Watches a question that was asked before, from its first frame.
fn known(
    ctx: &Arc<Ctx>,
    agent: &Agent,
    question: &Question,
    row: store::Row,
    wallet: WalletId,
) -> Result<Watching, NotTaken> {
    if !row.is(agent.id, question) {
        return Err(NotTaken::Reused);
    }
    Ok(watch_known(ctx, row, wallet, question.request_id, 0))
}

fn watch_known(ctx: &Arc<Ctx>, row: store::Row, wallet: WalletId, request_id: Uuid, after: u32) -> Watching {
    match ctx.chat.find(wallet, request_id) {
        Some(log) => Watching::here(log, request_id, after),
        None => Watching::stored(Arc::clone(ctx), row, request_id, after),
    }
}

/// Watches an answer from the frame after `after` on. `None`: this wallet asked nothing under that id.
pub async fn resume(
    ctx: &Arc<Ctx>,
    wallet: WalletId,
    request_id: Uuid,
    after: u32,
) -> Result<Option<Watching>, sqlx::Error> {
    if let Some(log) = ctx.chat.find(wallet, request_id) {
        return Ok(Some(Watching::here(log, request_id, after)));
    }
    let row = store::find(&ctx.db, wallet, request_id).await?;
    Ok(row.map(|row| watch_known(ctx, row, wallet, request_id, after)))
}

/// Stops an answer, wherever it runs: what was delivered is charged. `false`: there is none of that id that runs.
pub async fn cancel(ctx: &Ctx, wallet: WalletId, request_id: Uuid) -> Result<bool, sqlx::Error> {
    if let Some(log) = ctx.chat.find(wallet, request_id) {
        log.stop(CANCELLED);
        return Ok(true);
    }
    Ok(store::want_stopped(&ctx.db, wallet, request_id, ctx.clock.now()).await?.is_some())
}

/// Stops the turns of this process whose askers said so at another one. A job's step.
pub async fn follow_cancels(ctx: &Ctx) -> Result<(), sqlx::Error> {
    if ctx.chat.count() == 0 {
        return Ok(());
    }
    for id in store::to_be_stopped(&ctx.db, ctx.owner).await? {
        if let Some(here) = ctx.chat.lock().by_id.get(&id) {
            here.log.stop(CANCELLED);
        }
    }
    Ok(())
}
