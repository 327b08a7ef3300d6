//! A local NOWPayments to practise on: it speaks the original's wire, moves no money, and fails on command.
//!
//! It serves the API at `/v1`, a control API at `/simulator`, and a page at `/` on which a person can press "pay",
//! "underpay", "expire", "refund" and the rarer things that happen to payments. Each press moves a payment through
//! its statuses, and each move sends a notice that is signed for real. [`Simulator`] is the same for tests.
//!
//! What always holds: it is as strict as the original with keys, coins, amounts and fields; notices go to loopback
//! addresses only; one payment's notices leave one after the other; the pay address is one that no wallet takes;
//! memory is bounded. Deliberately absent: invoices, payouts, the dashboard, other currencies than dollars, any chain.

mod api;
mod book;
mod coin;
mod control;
mod deliver;
mod gate;
mod page;
mod payment;
mod script;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::Clock;

use crate::json;
use crate::notice::{IpnSecret, sign};
use book::Book;

pub use deliver::Answer;
pub use gate::{Counts, Fault};
pub use payment::Notice;
pub use script::{Manner, Script};

/// How often a notice is tried. The original lets its merchants choose; three are enough to see one return.
const TRIES: usize = 3;

/// How long the original waits for a notice's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What a simulator needs to know.
#[derive(Clone)]
pub struct Settings {
    /// What callers must send as `x-api-key`.
    pub api_key: String,
    /// What notices are signed with.
    pub ipn_secret: IpnSecret,
    /// Whose simulator this is, for the page: plain text.
    pub label: String,
    /// Where times come from, the rate limit's too.
    pub clock: Clock,
    /// The pause between two steps of a script, so that a person can watch. None for tests.
    pub pace: Duration,
    /// The pause before a notice that was not accepted is tried again. None for tests.
    pub retry_pause: Duration,
    /// How long a notice may take to be answered.
    pub answer_within: Duration,
}

impl Settings {
    /// Settings without pauses, for tests and for changing.
    #[must_use]
    pub fn new(api_key: &str, ipn_secret: IpnSecret, clock: Clock) -> Self {
        Self {
            api_key: api_key.to_owned(),
            ipn_secret,
            label: String::new(),
            clock,
            pace: Duration::ZERO,
            retry_pause: Duration::ZERO,
            answer_within: ANSWER_WITHIN,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Settings").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Why a script was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// No such payment, or it is forgotten.
    #[error("no such payment")]
    Unknown,
    /// The original would not do this in that status.
    #[error("a payment that is {status} cannot {script}")]
    NotNow {
        /// The script's name.
        script: &'static str,
        /// The status's word.
        status: &'static str,
    },
}

/// A simulator. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Simulator(Arc<Shared>);

struct Shared {
    settings: Settings,
    book: Mutex<Book>,
    /// True once the server is asked to end: stalled requests are then let go.
    closing: watch::Sender<bool>,
}

/// Serves a simulator until `shutdown` resolves and the requests under way have been answered.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    Simulator::new(settings).serve(listener, shutdown).await
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Simulator").field(&self.0.settings).finish()
    }
}

impl Simulator {
    /// A simulator that nobody can reach yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared { settings, book: Mutex::default(), closing: watch::Sender::new(false) }))
    }

    /// Serves on a free port of this machine until the answer is dropped.
    pub async fn start(settings: Settings) -> std::io::Result<Running> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let simulator = Self::new(settings);
        let server = simulator.clone();
        let task = tokio::spawn(async move {
            // It ends only by being aborted.
            let _ = server.serve(listener, std::future::pending()).await;
        });
        Ok(Running { simulator, address, task })
    }

    /// Serves until `shutdown` resolves and the requests under way have been answered.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let listener = listener.tap_io(|stream| {
            // Without it a small answer can wait for the acknowledgement of the one before; it may fail harmlessly.
            let _ = stream.set_nodelay(true);
        });
        let router = api::router(self).merge(control::router(self)).merge(page::router(self));
        let shared = Arc::clone(&self.0);
        let shutdown = async move {
            shutdown.await;
            shared.closing.send_replace(true);
        };
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// All of it arrives.
    pub async fn pay(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        self.run(id, Script::Pay).await
    }

    /// Half of it arrives.
    pub async fn underpay(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        self.run(id, Script::Underpay).await
    }

    /// Nothing arrives in time.
    pub async fn expire(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        self.run(id, Script::Expire).await
    }

    /// It expires, and arrives afterwards.
    pub async fn pay_late(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        self.run(id, Script::PayLate).await
    }

    /// The money goes back.
    pub async fn refund(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        self.run(id, Script::Refund).await
    }

    /// Another coin arrives: the notices are those of a child payment.
    pub async fn wrong_asset(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        self.run(id, Script::WrongAsset).await
    }

    /// A second deposit arrives: the notices are those of a child payment.
    pub async fn repeat(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        self.run(id, Script::Repeat).await
    }

    /// Runs a script to its end, in the place of one that is under way.
    ///
    /// Gives every notice with the answers it got, in the order of sending; also those that nobody was told.
    pub async fn run(&self, id: &str, script: Script) -> Result<Vec<Notice>, ScriptError> {
        let id = self.begin(id, script)?;
        self.finish(&id).await
    }

    /// Takes all planned steps.
    async fn finish(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        let mut notices = Vec::new();
        while let Some(step) = self.step(id).await? {
            notices.extend(step);
            if !self.settings().pace.is_zero() && !self.book().find(id)?.plan.is_empty() {
                tokio::time::sleep(self.settings().pace).await;
            }
        }
        Ok(notices)
    }

    /// Plans a script without taking a step, and says whose steps they are: the payment's, or its new child's.
    pub fn begin(&self, id: &str, script: Script) -> Result<String, ScriptError> {
        let now = self.settings().clock.now();
        self.book().begin(id, script, now)
    }

    /// Takes one step of what is planned: the payment changes, and what is to be sent is sent and answered.
    ///
    /// `None` when nothing is planned. The notices are none while they are kept for a shuffle.
    pub async fn step(&self, id: &str) -> Result<Option<Vec<Notice>>, ScriptError> {
        let turn = Arc::clone(&self.book().find(id)?.turn);
        let _turn = turn.lock().await;
        let now = self.settings().clock.now();
        let Some(step) = self.book().advance(id, now)? else { return Ok(None) };
        let mut notices: Vec<Notice> = step.untold.into_iter().collect();
        for notice in step.send {
            notices.push(self.deliver(id, notice).await?);
        }
        Ok(Some(notices))
    }

    /// Sends every notice of a payment again, byte for byte, in the same order.
    pub async fn send_again(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        let turn = Arc::clone(&self.book().find(id)?.turn);
        let _turn = turn.lock().await;
        let mut old: Vec<Notice> = Vec::new();
        for notice in &self.book().find(id)?.notices {
            if !old.iter().any(|known| known.body == notice.body) {
                old.push(Notice { answers: Vec::new(), ..notice.clone() });
            }
        }
        let mut notices = Vec::new();
        for notice in old {
            notices.push(self.deliver(id, notice).await?);
        }
        Ok(notices)
    }

    /// Sends a notice that says `finished` with a signature that does not fit. Nothing else changes.
    pub async fn forge(&self, id: &str) -> Result<Notice, ScriptError> {
        let turn = Arc::clone(&self.book().find(id)?.turn);
        let _turn = turn.lock().await;
        let now = self.settings().clock.now();
        let mut notice = self.book().forgery(id, now)?;
        notice.is_forged = true;
        self.deliver(id, notice).await
    }

    /// Sends a notice until it is accepted or the tries are used up, and remembers what became of it.
    async fn deliver(&self, id: &str, mut notice: Notice) -> Result<Notice, ScriptError> {
        let callback = self.book().find(id)?.asked.callback.clone();
        if let Some(callback) = callback {
            let signature = self.signature(&notice);
            while notice.answers.len() < TRIES && !notice.is_accepted() {
                if !notice.answers.is_empty() && !self.settings().retry_pause.is_zero() {
                    tokio::time::sleep(self.settings().retry_pause).await;
                }
                let body = notice.body.clone();
                let answer = deliver::post(&callback, &signature, body, self.settings().answer_within).await;
                tracing::debug!(payment = id, status = notice.status, %answer, "a simulated notice was sent");
                notice.answers.push(answer);
            }
        }
        self.book().find_mut(id)?.remember(notice.clone());
        Ok(notice)
    }

    fn signature(&self, notice: &Notice) -> String {
        let json = json::parse(notice.body.as_bytes()).expect("the simulator writes JSON with each key once");
        let signature = sign(&self.settings().ipn_secret, &json);
        if !notice.is_forged {
            return signature;
        }
        let other = if signature.starts_with('0') { "1" } else { "0" };
        format!("{other}{}", &signature[1..])
    }

    /// How a payment's notices are delivered from now on.
    pub fn deliver_as(&self, id: &str, manner: Manner) -> Result<(), ScriptError> {
        self.book().find_mut(id)?.manner = manner;
        Ok(())
    }

    /// How the notices of payments are delivered that are made from now on.
    pub fn deliver_all_as(&self, manner: Manner) {
        self.book().manner = manner;
    }

    /// Lets the next `count` requests to `/v1` fail, after those that were told before.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        self.book().gate.fail_next(count, fault);
    }

    /// Takes back what was told to fail.
    pub fn mend(&self) {
        self.book().gate.mend();
    }

    /// Answers at most so many requests to `/v1` in any second of the clock, and 429 beyond; `None` for no limit.
    pub fn limit_rate(&self, per_second: Option<usize>) {
        self.book().gate.limit(per_second);
    }

    /// What was let through so far and what was not.
    pub fn counts(&self) -> Counts {
        self.book().gate.counts
    }

    /// The ids of all payments, the newest first.
    pub fn payments(&self) -> Vec<String> {
        self.book().payments.keys().rev().map(u64::to_string).collect()
    }

    /// Where a payment is, in the original's word.
    pub fn status(&self, id: &str) -> Result<&'static str, ScriptError> {
        Ok(self.book().find(id)?.status.word())
    }

    /// A payment's notices with their answers, the oldest first; no more than the last two dozen.
    pub fn notices(&self, id: &str) -> Result<Vec<Notice>, ScriptError> {
        Ok(self.book().find(id)?.notices.iter().cloned().collect())
    }
}

/// A simulator that serves on a port of its own. Dropping it ends the server.
#[derive(Debug)]
pub struct Running {
    simulator: Simulator,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Where it is: `http://127.0.0.1:…`, without `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl std::ops::Deref for Running {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.simulator
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.simulator.0.closing.send_replace(true);
        self.task.abort();
    }
}
