//! A conversation over a socket that may break at any moment: what is sent, what is believed, what is waited for.
//!
//! It is a pure function of what happened and when: events go in, [`Effect`]s come out, and the browser (or a test)
//! carries them out. What always holds: an answer's frames are applied in the order of their `seq`, each once, whatever
//! is sent twice or lost; a question keeps its id until it has ended, so that asking again after a broken connection is
//! the same question; everything that is waited for has an end; what is charged is shown, also what still came after a stop.
//! Deliberately absent: the page, the socket, JSON, clocks.

use alloc::string::String;
use alloc::vec::Vec;

mod backoff;
mod frame;
mod link;
mod turn;

use alloc::collections::VecDeque;

pub use frame::{FromServer, ToServer, Usage};
pub use link::Status;
pub use turn::{Ending, Failure};

use backoff::Backoff;
use link::Link;
use turn::{Phase, Turn, Verdict};

/// How long a connection may take until the server has said who we are, in ms.
const GREETING_MS: u64 = 12_000;
/// Without a word from the server for this long after a ping, the connection is dead, in ms.
const PONG_MS: u64 = 10_000;
/// The same when the page has just come back to the front: a phone drops sockets silently, in ms.
const PONG_AFTER_SLEEP_MS: u64 = 3_000;
/// How often we ask whether the server is there unless it says otherwise, in ms.
const HEARTBEAT_MS: u64 = 30_000;
/// The server gives up a first token after 60 s; a question without any answer for longer is lost, in ms.
const ANSWER_MS: u64 = 90_000;
/// The server's word that an answer is stopped; without it we stop by ourselves, in ms.
const STOP_MS: u64 = 5_000;
/// So many times in a row an answer may be taken up again without getting anywhere.
const MAX_RESUMES: u32 = 6;
/// The server closed because nobody said anything (SPEC §8).
const CLOSED_IDLE: u16 = 4000;
/// The server closed because the session is over.
const CLOSED_SESSION: u16 = 4001;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The person wants to talk soon: connect.
    Wake,
    /// A ticket for the socket came, or why none.
    Ticket(Result<String, NoTicket>),
    /// The socket is open.
    Opened,
    /// The socket is closed, or could not be opened.
    Closed(u16),
    /// A frame came.
    Frame(FromServer),
    /// The time is worth a look: an earlier [`Effect::LookAgain`] is due.
    Tick,
    /// The page came to the front, or the network came back.
    Returned,
    /// The network went away.
    Offline,
    /// The person signed in.
    SignedIn,
}

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTicket {
    /// The session is over: sign in again.
    SignedOut,
    /// The server says not now: after this many ms.
    Later(u64),
    /// Anything else.
    Failed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Get a ticket; answer with [`Event::Ticket`].
    FetchTicket,
    /// Open a socket; an earlier one is of no interest any more.
    Connect,
    /// Send a frame.
    Send(ToServer),
    /// Close the socket; no [`Event::Closed`] is expected for it.
    Disconnect,
    /// Come back with [`Event::Tick`] after this many ms. A later one replaces an earlier one.
    LookAgain(u64),
    /// Tell the person how the connection is.
    Show(Status),
    /// The answer begins: who gives it.
    Started {
        /// The pool that answers, if it was said.
        pool: Option<String>,
        /// Why that one, in words.
        reason: Option<String>,
    },
    /// More of the answer.
    Text(String),
    /// The answer is over.
    Ended(Ending),
}

/// One agent's conversation.
#[derive(Debug)]
pub struct Chat {
    link: Link,
    status: Status,
    backoff: Backoff,
    turn: Option<Turn>,
    /// The ticket for the connection that is being opened.
    ticket: Option<String>,
    heartbeat_ms: u64,
    /// The server goes away: the answer may finish here, the next question goes to another.
    is_draining: bool,
    effects: VecDeque<Effect>,
}

impl Chat {
    /// A conversation that is not connected. `seed` spreads the times of reconnecting: any number.
    pub fn new(seed: u64) -> Self {
        Self {
            link: Link::Off,
            status: Status::Asleep,
            backoff: Backoff::new(seed),
            turn: None,
            ticket: None,
            heartbeat_ms: HEARTBEAT_MS,
            is_draining: false,
            effects: VecDeque::new(),
        }
    }

    /// Whether an answer is on its way.
    pub fn is_busy(&self) -> bool {
        self.turn.is_some()
    }

    /// The id of the question on its way, and how far its answer is known.
    pub fn on_its_way(&self) -> Option<(&str, u64)> {
        self.turn.as_ref().map(|turn| (turn.id.as_str(), turn.seq))
    }

    /// Asks. Ignored while an answer is on its way.
    pub fn say(&mut self, id: &str, message: &str, pool: Option<&str>, now_ms: u64) -> Vec<Effect> {
        if self.turn.is_none() {
            self.turn = Some(Turn::new(id, message, pool, now_ms));
            if matches!(self.link, Link::Ready { .. }) && !self.is_draining {
                self.ask(now_ms);
            } else {
                self.connect_soon(now_ms);
            }
        }
        self.done(now_ms)
    }

    /// Takes up an answer that began before this page was loaded.
    pub fn take_up(&mut self, id: &str, message: &str, now_ms: u64) -> Vec<Effect> {
        if self.turn.is_none() {
            let mut turn = Turn::new(id, message, None, now_ms);
            turn.phase = Phase::Asked;
            self.turn = Some(turn);
            if matches!(self.link, Link::Ready { .. }) {
                self.ask(now_ms);
            } else {
                self.connect_soon(now_ms);
            }
        }
        self.done(now_ms)
    }

    /// Stops the answer: what was delivered stays and is charged.
    pub fn stop(&mut self, now_ms: u64) -> Vec<Effect> {
        if let Some(turn) = &mut self.turn {
            if turn.phase == Phase::Unsent {
                self.end(Ending::stopped());
            } else if !matches!(turn.phase, Phase::Stopping { .. }) {
                turn.phase = Phase::Stopping { until: now_ms + STOP_MS };
                let id = turn.id.clone();
                if matches!(self.link, Link::Ready { .. }) {
                    self.effects.push_back(Effect::Send(ToServer::Cancel { id }));
                }
            }
        }
        self.done(now_ms)
    }

    /// Something happened.
    pub fn on(&mut self, event: Event, now_ms: u64) -> Vec<Effect> {
        match event {
            Event::Wake | Event::SignedIn => self.connect_soon(now_ms),
            Event::Ticket(ticket) => self.on_ticket(ticket, now_ms),
            Event::Opened => self.on_opened(now_ms),
            Event::Closed(code) => self.on_closed(code, now_ms),
            Event::Frame(frame) => self.on_frame(frame, now_ms),
            Event::Tick => {}
            Event::Returned => self.on_returned(now_ms),
            Event::Offline => {
                if self.link.is_waiting() {
                    self.show(Status::Offline);
                }
            }
        }
        self.done(now_ms)
    }

    /// Looks at every time limit, and hands out what is to do.
    fn done(&mut self, now_ms: u64) -> Vec<Effect> {
        self.watch_link(now_ms);
        self.watch_turn(now_ms);
        let turn_due = self.turn.as_ref().map(Turn::due);
        if let Some(due) = self.link.due(self.heartbeat_ms).into_iter().chain(turn_due).min() {
            self.effects.push_back(Effect::LookAgain(due.saturating_sub(now_ms).max(1)));
        }
        core::mem::take(&mut self.effects).into()
    }

    fn show(&mut self, status: Status) {
        if self.status != status {
            self.status = status.clone();
            self.effects.push_back(Effect::Show(status));
        }
    }

    fn on_ticket(&mut self, ticket: Result<String, NoTicket>, now_ms: u64) {
        if !matches!(self.link, Link::Ticketing { .. }) {
            return;
        }
        match ticket {
            Ok(ticket) => {
                self.ticket = Some(ticket);
                self.link = Link::Connecting { until: now_ms + GREETING_MS };
                self.effects.push_back(Effect::Connect);
            }
            Err(NoTicket::SignedOut) => self.sign_out(),
            Err(NoTicket::Later(after_ms)) => self.wait(after_ms, now_ms),
            Err(NoTicket::Failed) => self.lost(now_ms),
        }
    }

    fn on_opened(&mut self, now_ms: u64) {
        if let (Link::Connecting { .. }, Some(ticket)) = (&self.link, self.ticket.take()) {
            self.link = Link::Greeting { until: now_ms + GREETING_MS };
            self.effects.push_back(Effect::Send(ToServer::Auth { ticket }));
        }
    }

    fn on_closed(&mut self, code: u16, now_ms: u64) {
        match self.link {
            Link::Off | Link::Waiting { .. } | Link::Ticketing { .. } => {}
            // Nothing was said for long: the next word connects again.
            Link::Ready { .. } if code == CLOSED_IDLE && self.turn.is_none() => {
                self.link = Link::Off;
                self.show(Status::Asleep);
            }
            Link::Ready { .. } if code == CLOSED_SESSION => self.sign_out(),
            Link::Connecting { .. } | Link::Greeting { .. } | Link::Ready { .. } => self.lost(now_ms),
        }
    }

    fn on_returned(&mut self, now_ms: u64) {
        match &mut self.link {
            Link::Waiting { .. } => {
                self.backoff.reset();
                self.connect_soon(now_ms);
            }
            Link::Ready { ping_until, .. } => {
                let until = now_ms + PONG_AFTER_SLEEP_MS;
                *ping_until = Some(ping_until.map_or(until, |before| before.min(until)));
                self.effects.push_back(Effect::Send(ToServer::Ping));
            }
            Link::Off | Link::Ticketing { .. } | Link::Connecting { .. } | Link::Greeting { .. } => {}
        }
    }

    fn on_frame(&mut self, frame: FromServer, now_ms: u64) {
        if let Link::Ready { heard, ping_until, .. } = &mut self.link {
            *heard = now_ms;
            *ping_until = None;
        }
        match frame {
            FromServer::Welcome { is_authenticated, is_read_only, heartbeat_ms } => {
                self.heartbeat_ms =
                    heartbeat_ms.filter(|ms| (1_000..=300_000).contains(ms)).unwrap_or(HEARTBEAT_MS);
                // The first welcome may come before our ticket was looked at.
                if is_authenticated && matches!(self.link, Link::Greeting { .. }) {
                    self.link = Link::Ready { heard: now_ms, ping_until: None };
                    self.is_draining = false;
                    self.show(if is_read_only { Status::ReadOnly } else { Status::Ready });
                    self.greet_turn(now_ms);
                }
            }
            FromServer::Pong | FromServer::Unknown => {}
            FromServer::Drain => {
                self.is_draining = true;
                if self.turn.is_none() {
                    self.move_over(now_ms);
                }
            }
            FromServer::Start { id, seq, pool, reason } => {
                if self.applies(&id, seq, now_ms) {
                    self.backoff.reset();
                    self.effects.push_back(Effect::Started { pool, reason });
                }
            }
            FromServer::Token { id, seq, content } => {
                if self.applies(&id, seq, now_ms) {
                    self.effects.push_back(Effect::Text(content));
                }
            }
            FromServer::End { id, seq, usage, cost_micro, finish_reason, note } => {
                if self.applies(&id, seq, now_ms) {
                    let was_stopped = self.is_stopping() || finish_reason.as_deref() == Some("cancelled");
                    self.end(Ending { usage, cost_micro, was_stopped, finish_reason, note, failure: None });
                    self.after_turn(now_ms);
                }
            }
            FromServer::Error { id, seq, code, message, cost_micro } => {
                self.on_error(id.as_deref(), seq, Failure::new(code, message), cost_micro, now_ms);
            }
        }
    }

    fn on_error(
        &mut self,
        id: Option<&str>,
        seq: Option<u64>,
        failure: Failure,
        cost: Option<String>,
        now_ms: u64,
    ) {
        if failure.is_signed_out() {
            self.effects.push_back(Effect::Disconnect);
            self.sign_out();
            return;
        }
        if failure.code == "too_many_connections" {
            // Trying again by itself would take another tab's place in turn.
            self.effects.push_back(Effect::Disconnect);
            self.link = Link::Off;
            self.end(Ending { failure: Some(failure), ..Ending::default() });
            self.show(Status::TooManyTabs);
            return;
        }
        if matches!(self.link, Link::Greeting { .. }) {
            // A ticket that was not taken: a new one may be.
            self.effects.push_back(Effect::Disconnect);
            self.lost(now_ms);
            return;
        }
        let Some(turn) = &mut self.turn else { return };
        let is_ours = id.is_none_or(|id| id == turn.id) && turn.phase != Phase::Unsent;
        let is_next = seq.is_none_or(|seq| seq > turn.seq);
        if !is_ours || !is_next {
            return;
        }
        if failure.code == "draining" {
            // Not taken, and nothing is stored: another server takes the same question.
            turn.phase = Phase::Unsent;
            self.move_over(now_ms);
            return;
        }
        let was_stopped = self.is_stopping() && failure.is_stop();
        let failure = (!was_stopped).then_some(failure);
        self.end(Ending { cost_micro: cost, was_stopped, failure, ..Ending::default() });
        self.after_turn(now_ms);
    }

    /// Whether a frame of an answer is the next one of ours; asks for what is missing when it is a later one.
    fn applies(&mut self, id: &str, seq: u64, now_ms: u64) -> bool {
        let Some(turn) = &mut self.turn else { return false };
        match turn.judge(id, seq, now_ms) {
            Verdict::Next => true,
            Verdict::Again | Verdict::Foreign => false,
            Verdict::Gap => {
                let (id, after) = (turn.id.clone(), turn.seq);
                if turn.resumed_at != Some(after) {
                    turn.resumed_at = Some(after);
                    self.effects.push_back(Effect::Send(ToServer::Resume { id, after }));
                }
                false
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| matches!(turn.phase, Phase::Stopping { .. }))
    }

    fn end(&mut self, ending: Ending) {
        if self.turn.take().is_some() {
            self.effects.push_back(Effect::Ended(ending));
        }
    }

    fn after_turn(&mut self, now_ms: u64) {
        if self.is_draining {
            self.move_over(now_ms);
        }
    }

    /// Leaves a server that goes away for one that stays.
    fn move_over(&mut self, now_ms: u64) {
        self.is_draining = false;
        self.effects.push_back(Effect::Disconnect);
        let wait = self.backoff.next_ms();
        self.show(Status::Reconnecting);
        self.link = Link::Waiting { until: now_ms + wait };
    }

    /// Sends the question, or takes its answer up where we know it.
    fn greet_turn(&mut self, now_ms: u64) {
        let Some(turn) = &mut self.turn else { return };
        if let Phase::Stopping { .. } = turn.phase {
            let id = turn.id.clone();
            turn.phase = Phase::Stopping { until: now_ms + STOP_MS };
            self.effects.push_back(Effect::Send(ToServer::Cancel { id }));
        }
        turn.resumes += 1;
        if turn.resumes > MAX_RESUMES {
            self.end(Ending::failed("lost", "The connection keeps breaking. Try again in a moment."));
            return;
        }
        self.ask(now_ms);
    }

    fn ask(&mut self, now_ms: u64) {
        let Some(turn) = &mut self.turn else { return };
        turn.heard = now_ms;
        turn.resumed_at = (turn.seq > 0).then_some(turn.seq);
        // The same id is the same question: a server that has it goes on with its answer, one that never got it answers.
        let frame = if turn.seq == 0 {
            if turn.phase == Phase::Unsent {
                turn.phase = Phase::Asked;
            }
            ToServer::Chat { id: turn.id.clone(), message: turn.message.clone(), pool: turn.pool.clone() }
        } else {
            ToServer::Resume { id: turn.id.clone(), after: turn.seq }
        };
        self.effects.push_back(Effect::Send(frame));
    }

    fn connect_soon(&mut self, now_ms: u64) {
        if self.is_draining {
            self.move_over(now_ms);
        }
        if matches!(self.link, Link::Off | Link::Waiting { .. }) {
            self.link = Link::Ticketing { until: now_ms + GREETING_MS };
            if matches!(self.status, Status::Asleep | Status::SignedOut | Status::TooManyTabs) {
                self.show(Status::Connecting);
            }
            self.effects.push_back(Effect::FetchTicket);
        }
    }

    /// The connection is gone: again, after a while.
    fn lost(&mut self, now_ms: u64) {
        let wait = self.backoff.next_ms();
        self.wait(wait, now_ms);
    }

    fn wait(&mut self, wait_ms: u64, now_ms: u64) {
        self.ticket = None;
        self.is_draining = false;
        self.link = Link::Waiting { until: now_ms + wait_ms };
        self.show(if self.backoff.is_long() { Status::Away } else { Status::Reconnecting });
    }

    fn sign_out(&mut self) {
        self.link = Link::Off;
        self.ticket = None;
        self.end(Ending::failed("signed_out", "Your session is over. Sign in again to go on."));
        self.show(Status::SignedOut);
    }

    fn watch_link(&mut self, now_ms: u64) {
        match &mut self.link {
            Link::Waiting { until } if now_ms >= *until => self.connect_soon(now_ms),
            Link::Ticketing { until } | Link::Connecting { until } | Link::Greeting { until }
                if now_ms >= *until =>
            {
                self.effects.push_back(Effect::Disconnect);
                self.lost(now_ms);
            }
            Link::Ready { ping_until: Some(until), .. } if now_ms >= *until => {
                self.effects.push_back(Effect::Disconnect);
                self.lost(now_ms);
            }
            Link::Ready { heard, ping_until: ping_until @ None } if now_ms >= *heard + self.heartbeat_ms => {
                *ping_until = Some(now_ms + PONG_MS);
                self.effects.push_back(Effect::Send(ToServer::Ping));
            }
            Link::Off
            | Link::Waiting { .. }
            | Link::Ticketing { .. }
            | Link::Connecting { .. }
            | Link::Greeting { .. }
            | Link::Ready { .. } => {}
        }
    }

    fn watch_turn(&mut self, now_ms: u64) {
        let Some(turn) = &self.turn else { return };
        match turn.phase {
            Phase::Stopping { until } if now_ms >= until => self.end(Ending::stopped()),
            Phase::Unsent | Phase::Asked | Phase::Streaming if now_ms >= turn.due() => {
                let message = match turn.phase {
                    Phase::Unsent => "The server could not be reached. Try again in a moment.",
                    Phase::Asked | Phase::Streaming | Phase::Stopping { .. } => {
                        "No answer came. Try again in a moment."
                    }
                };
                self.end(Ending::failed("no_answer", message));
            }
            Phase::Unsent | Phase::Asked | Phase::Streaming | Phase::Stopping { .. } => {}
        }
    }
}
