//! One socket from its welcome to its close: reads frames, watches answers, looks at its session again.
//!
//! One task reads and writes; each watched answer has a small one beside it that waits for its next frame and hands it over
//! a short queue. A reader that is slow fills that queue and no more: the answer itself is kept once, where it runs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ::limits::{By, Pot};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use domain::agent::Agent;
use domain::chat::{self, Frame, NotTaken, Numbered, Question, Speaker, Watching};
use domain::flags::Flag;
use domain::member;
use identity::{Redeemed, SessionId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use types::{Pool, WalletId};
use uuid::Uuid;

use super::frames::{self, Said};
use super::seats::Seat;
use super::{Stage, Timings};
use crate::routes::App;

/// Frames of answers that wait for the writer.
const FRAMES_AHEAD: usize = 4;
/// Answers that one connection watches at once: those that a person has running, and one more that is shown again.
const WATCHED_AT_MOST: usize = 4;
/// Frames from a client in a minute, pings and all: four in a second, for a minute long.
const FRAMES_IN_A_MINUTE: u32 = 240;
const MINUTE: Duration = Duration::from_mins(1);

/// Why a socket is closed, as the close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// Nothing was said for [`Timings::idle`] (SPEC §8).
    Idle,
    /// The session is over.
    SessionEnded,
    /// This wallet has sockets enough.
    TooMany,
    /// Frames came too quickly.
    Flood,
    /// A frame too large, or against the protocol.
    BadFrame,
    /// The server stops.
    Restart,
    /// There is nobody to tell.
    Gone,
}

impl Close {
    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Idle => (4000, "idle"),
            Self::SessionEnded => (4001, "the session is over: sign in again"),
            Self::TooMany => (4002, "this wallet has three sockets open: close one"),
            Self::Flood => (1008, "too many frames"),
            Self::BadFrame => (1009, "a frame has at most 4096 bytes"),
            Self::Restart => (1012, "the server is restarting: connect again"),
            Self::Gone => return None,
        };
        Some(CloseFrame { code, reason: reason.into() })
    }
}

/// A frame of an answer, or the failure to read one.
type Shown = (Uuid, Result<Numbered, sqlx::Error>);

/// A connection.
pub(super) struct Connection {
    line: Line,
    app: Arc<App>,
    agent: Arc<Agent>,
    seat: Seat,
    who: Option<Redeemed>,
    /// Answers that are watched.
    watched: HashSet<Uuid>,
    watchers: JoinSet<()>,
    /// Made with the first answer: an idle connection needs none.
    shown: Option<(mpsc::Sender<Shown>, mpsc::Receiver<Shown>)>,
    beat: Interval,
    heard_at: Instant,
    minute: (Instant, u32),
    is_draining: bool,
    _alive: watch::Receiver<()>,
}

/// The socket, with what bounds each write.
struct Line {
    socket: WebSocket,
    stage: watch::Receiver<Stage>,
    timings: Timings,
}

impl Line {
    /// Writes a frame. A reader who takes nothing for too long is gone, and so is everyone when the process ends.
    async fn send(&mut self, message: Message) -> Result<(), Close> {
        let Self { socket, stage, timings } = self;
        tokio::select! {
            sent = timeout(timings.patience, socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Close::Gone),
            },
            _ = stage.wait_for(|stage| *stage == Stage::Over) => Err(Close::Gone),
        }
    }

    async fn say(&mut self, text: String) -> Result<(), Close> {
        self.send(Message::Text(text.into())).await
    }
}

impl Connection {
    pub(super) fn new(socket: WebSocket, app: Arc<App>, agent: Arc<Agent>, seat: Seat) -> Self {
        let sockets = &app.sockets.0;
        let timings = sockets.timings;
        let now = Instant::now();
        let mut beat = interval_at(now + timings.heartbeat, timings.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            line: Line { socket, stage: sockets.stage.subscribe(), timings },
            _alive: sockets.alive.subscribe(),
            app,
            agent,
            seat,
            who: None,
            watched: HashSet::new(),
            watchers: JoinSet::new(),
            shown: None,
            beat,
            heard_at: now,
            minute: (now, 0),
            is_draining: false,
        }
    }

    /// Serves until it ends.
    pub(super) async fn run(mut self) {
        metrics::gauge!("freeside_sockets").increment(1.0);
        let close = match self.serve().await {
            Ok(never) => match never {},
            Err(close) => close,
        };
        if let Some(frame) = close.frame() {
            let _ = self.line.send(Message::Close(Some(frame))).await;
        }
        metrics::gauge!("freeside_sockets").decrement(1.0);
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Close> {
        let token_id = self.agent.nft_id();
        self.line.say(frames::welcome(false, &token_id, &self.line.timings)).await?;
        loop {
            self.drain().await?;
            let is_quiet = self.watched.is_empty();
            let Self { line, shown, beat, heard_at, .. } = self;
            let next_shown = async {
                match shown {
                    Some((_, receiver)) => receiver.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = line.socket.recv() => self.heard(message).await?,
                Some((id, frame)) = next_shown => self.show(id, frame).await?,
                _ = line.stage.changed() => {} // `drain` looks at it
                _ = beat.tick() => self.beat().await?,
                () = sleep_until(*heard_at + line.timings.idle), if is_quiet => return Err(Close::Idle),
            }
        }
    }

    /// Says that the server stops, and leaves once no answer is watched any more.
    async fn drain(&mut self) -> Result<(), Close> {
        let stage = *self.line.stage.borrow_and_update();
        match stage {
            Stage::Open => return Ok(()),
            Stage::Over => return Err(Close::Gone),
            Stage::Draining { within } if !self.is_draining => {
                self.is_draining = true;
                self.line.say(frames::server_drain(within)).await?;
            }
            Stage::Draining { .. } => {}
        }
        if self.watched.is_empty() { Err(Close::Restart) } else { Ok(()) }
    }

    async fn beat(&mut self) -> Result<(), Close> {
        if let Some(who) = &self.who
            && !self.app.sign_in.sessions.is_alive(who.session).await
        {
            return self.session_ended().await;
        }
        self.line.send(Message::Ping(Bytes::new())).await
    }

    async fn session_ended(&mut self) -> Result<(), Close> {
        let message = "The session is over. Sign in again; an answer that runs goes on, and can be resumed.";
        self.line.say(frames::error("session_ended", message, None)).await?;
        Err(Close::SessionEnded)
    }

    async fn heard(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Close> {
        let message = match message {
            None => return Err(Close::Gone),
            // Of what a peer that still listens can do wrong, this is the one that it has to be told.
            Some(Err(_)) => return Err(Close::BadFrame),
            Some(Ok(message)) => message,
        };
        let now = Instant::now();
        if now - self.minute.0 >= MINUTE {
            self.minute = (now, 0);
        }
        self.minute.1 += 1;
        if self.minute.1 > FRAMES_IN_A_MINUTE {
            return Err(Close::Flood);
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                return self.line.say(frames::error("bad_frame", "Frames are text.", None)).await;
            }
            // Whoever only answers our pings is a machine that nobody sits at: it is not heard.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(Close::Gone),
        };
        self.heard_at = now;
        match frames::read(text.as_str()) {
            Ok(said) => self.act(said).await,
            Err(why) => self.line.say(frames::error("bad_frame", why, None)).await,
        }
    }

    async fn act(&mut self, said: Said) -> Result<(), Close> {
        match said {
            Said::Ping => self.line.say(frames::pong()).await,
            Said::Auth { ticket } => self.authenticate(&ticket).await,
            Said::Chat { message, pool, request_id } => self.ask(message, pool, request_id).await,
            Said::Cancel { request_id } => self.cancel(request_id).await,
            Said::Resume { request_id, after } => self.resume(request_id, after).await,
        }
    }

    async fn authenticate(&mut self, ticket: &str) -> Result<(), Close> {
        let redeemed = match self.app.tickets.redeem(ticket).await {
            Ok(redeemed) => redeemed,
            Err(error) => return self.failed(&error, None).await,
        };
        let Some(redeemed) = redeemed else {
            let message =
                "The ticket is unknown, used or older than 30 s: POST /api/v1/ws/ticket makes a new one.";
            return self.line.say(frames::error("bad_ticket", message, None)).await;
        };
        if !self.app.sign_in.sessions.is_alive(redeemed.session).await {
            return self.session_ended().await;
        }
        if self.seat.belong_to(redeemed.wallet).is_err() {
            Pot::Sockets.refused(By::Client);
            let message = "Three sockets of this wallet are open. Close another tab, and connect again.";
            self.line.say(frames::error("too_many_connections", message, None)).await?;
            return Err(Close::TooMany);
        }
        self.who = Some(redeemed);
        let welcome = frames::welcome(true, &self.agent.nft_id(), &self.line.timings);
        self.line.say(welcome).await
    }

    /// Who it is, as of now. `None`: an `error` frame has said why not.
    async fn signed_in(&mut self, request_id: Option<Uuid>) -> Result<Option<Redeemed>, Close> {
        let Some(who) = self.who else {
            let message = "This connection reads only. Sign in, and send auth with a ticket first.";
            self.line.say(frames::error("unauthenticated", message, request_id)).await?;
            return Ok(None);
        };
        if !self.app.sign_in.sessions.is_alive(who.session).await {
            self.session_ended().await?;
        }
        Ok(Some(who))
    }

    async fn ask(&mut self, text: String, pool: Option<Pool>, id: Option<Uuid>) -> Result<(), Close> {
        let Some(who) = self.signed_in(id).await? else { return Ok(()) };
        let request_id = id.unwrap_or_else(|| self.app.ctx.clock.uuid_v7());
        if let Some((code, message)) = self.not_now(who.session) {
            return self.line.say(frames::error(code, &message, Some(request_id))).await;
        }
        if !self.may_watch(request_id).await? {
            return Ok(());
        }
        let speaker = match speaker(&self.app, &self.agent, who.wallet).await {
            Ok(speaker) => speaker,
            Err(error) => return self.failed(&*error, Some(request_id)).await,
        };
        let question = Question { request_id, text, pool };
        match chat::say(&self.app.ctx, speaker, &self.agent, question).await {
            Ok(watching) => {
                self.watch(watching);
                Ok(())
            }
            Err(NotTaken::Unexpected(error)) => self.failed(&*error, Some(request_id)).await,
            Err(refused) => {
                let message = refused.to_string();
                self.line.say(frames::error(code_of(&refused), &message, Some(request_id))).await
            }
        }
    }

    /// Why no question is taken now, whatever it is.
    fn not_now(&self, session: SessionId) -> Option<(&'static str, String)> {
        if !self.app.ctx.flags.is_on(Flag::WebChat) {
            let message = "The web chat is switched off for now. Answers that run go on; nothing is lost.";
            return Some(("web_chat_off", message.to_owned()));
        }
        let wait = self.app.sockets.0.seats.say(session, self.app.ctx.clock.now()).err()?;
        let message = format!("Twenty messages a minute. Try again in {} s.", wait.whole_seconds().max(1));
        Some(("rate_limited", message))
    }

    async fn cancel(&mut self, request_id: Uuid) -> Result<(), Close> {
        let Some(who) = self.signed_in(Some(request_id)).await? else { return Ok(()) };
        match chat::cancel(&self.app.ctx, who.wallet, request_id).await {
            Ok(true) => Ok(()), // the answer's own last frame says so
            Ok(false) => {
                let message = "No answer of that requestId is running.";
                self.line.say(frames::error("not_running", message, Some(request_id))).await
            }
            Err(error) => self.failed(&error, Some(request_id)).await,
        }
    }

    async fn resume(&mut self, request_id: Uuid, after: u32) -> Result<(), Close> {
        let Some(who) = self.signed_in(Some(request_id)).await? else { return Ok(()) };
        if !self.may_watch(request_id).await? {
            return Ok(());
        }
        match chat::resume(&self.app.ctx, who.wallet, request_id, after).await {
            Ok(Some(watching)) => {
                self.watch(watching);
                Ok(())
            }
            Ok(None) => {
                let message = "Nothing was asked under that requestId. Ask again.";
                self.line.say(frames::error("unknown_request", message, Some(request_id))).await
            }
            Err(error) => self.failed(&error, Some(request_id)).await,
        }
    }

    /// Whether there is room for one more answer; else an `error` frame has said why not.
    async fn may_watch(&mut self, request_id: Uuid) -> Result<bool, Close> {
        let (code, message) = if self.watched.contains(&request_id) {
            ("already_watching", "This connection shows that answer already.")
        } else if self.watched.len() >= WATCHED_AT_MOST {
            ("too_many_watched", "This connection shows four answers. Wait for one of them to end.")
        } else {
            return Ok(true);
        };
        self.line.say(frames::error(code, message, Some(request_id))).await?;
        Ok(false)
    }

    fn watch(&mut self, mut watching: Watching) {
        let id = watching.request_id();
        self.watched.insert(id);
        let (sender, _) = self.shown.get_or_insert_with(|| mpsc::channel(FRAMES_AHEAD));
        let sender = sender.clone();
        while self.watchers.try_join_next().is_some() {}
        self.watchers.spawn(async move {
            loop {
                let shown = match watching.next().await {
                    Ok(Some(numbered)) => Ok(numbered),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let is_last = !matches!(&shown, Ok(Numbered { frame: Frame::Start(_) | Frame::Text(_), .. }));
                if sender.send((id, shown)).await.is_err() || is_last {
                    return;
                }
            }
        });
    }

    async fn show(&mut self, id: Uuid, shown: Result<Numbered, sqlx::Error>) -> Result<(), Close> {
        let numbered = match shown {
            Ok(numbered) => numbered,
            Err(error) => {
                self.watched.remove(&id);
                return self.failed(&error, Some(id)).await;
            }
        };
        let is_last = matches!(numbered.frame, Frame::End(_));
        self.line.say(frames::of_answer(&self.agent.nft_id(), id, &numbered)).await?;
        if is_last {
            self.watched.remove(&id);
            self.heard_at = Instant::now(); // whoever reads a long answer has not been idle
            if self.watched.is_empty() {
                self.shown = None;
            }
        }
        Ok(())
    }

    /// Something of ours failed; the connection goes on.
    async fn failed(
        &mut self,
        error: &(dyn std::error::Error + Send + Sync + 'static),
        request_id: Option<Uuid>,
    ) -> Result<(), Close> {
        tracing::error!(error = %error, agent = %self.agent.nft_id(), "a chat could not go on for a reason that is ours");
        let message = "Something broke on our side. Nothing is lost: resume the answer, or ask again.";
        self.line.say(frames::error("unexpected", message, request_id)).await
    }
}

/// The wallet as this agent's community knows it: its account there pays.
async fn speaker(app: &App, agent: &Agent, wallet: WalletId) -> anyhow::Result<Speaker> {
    let (ctx, community) = (&app.ctx, agent.community);
    let account = member::account(ctx, community, wallet).await?;
    let tier = member::tier(ctx, community, wallet).await?;
    Ok(Speaker { wallet, account, tier })
}

/// A refusal's stable word.
fn code_of(refused: &NotTaken) -> &'static str {
    match refused {
        NotTaken::Empty => "empty_message",
        NotTaken::TooLong => "message_too_long",
        NotTaken::HolderOnly => "holder_only",
        NotTaken::Busy => "too_many_running",
        NotTaken::Reused => "request_id_reused",
        NotTaken::Draining => "draining",
        NotTaken::Unexpected(_) => "unexpected",
    }
}
