//! The socket of the web chat, `/ws/chat?tokenId=…` (SPEC §8).
//!
//! A connection is anonymous and reads only, until its first `auth` frame brings a ticket. It watches answers and owns
//! none: whatever happens to it, the domain's turns go on. What always holds: only our own pages open one ([`super::origins`]);
//! each has a seat ([`Seats`]); what it may send and what it may have waiting are bounded, so ten thousand idle ones are
//! cheap and one that never reads costs no more than one that does.
//!
//! Deliberately absent: cookies (a frame on somebody's page has none), and any credential in the address.

mod connection;
mod frames;
mod seats;

use std::sync::Arc;
use std::time::Duration;

use ::limits::{By, Full, Pot};
use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::agent::{self, Agent};
use domain::flags::Flag;
use domain::turn::Refusal;
use serde::Deserialize;
use tokio::sync::watch;

use self::connection::Connection;
use self::frames::FRAME_BYTES_IN;
use self::seats::Seats;
use super::App;
use super::exchange::Asked;
use super::fault::Fault;
use super::problem::{self, Shape};

/// Bytes that are read at once; tungstenite's own 128 KiB for each connection would cost gigabytes.
const READ_BUFFER: usize = 4 * 1024;
/// Of what is written, so much may wait at most: the largest frame of ours, with JSON's escapes, several times.
const WRITE_AT_MOST: usize = 128 * 1024;
/// The last frames of a drain get so long to be read, after the answers have been cut.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The times of a socket. Tests choose shorter ones.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// The session is looked at again, and a ping keeps the way open.
    pub heartbeat: Duration,
    /// A connection that says nothing and watches nothing is closed.
    pub idle: Duration,
    /// A reader who takes nothing for this long has left without a word.
    pub patience: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            idle: Duration::from_mins(5),
            patience: Duration::from_mins(1),
        }
    }
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Draining { within: Duration },
    Over,
}

/// All sockets of a process: their seats, and the word that they should end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    timings: Timings,
    seats: Seats,
    stage: watch::Sender<Stage>,
    /// Each connection listens to it, so that the last one's end is seen.
    alive: watch::Sender<()>,
}

impl Sockets {
    /// None yet.
    #[must_use]
    pub fn new(timings: Timings) -> Self {
        Self(Arc::new(Inner {
            timings,
            seats: Seats::default(),
            stage: watch::Sender::new(Stage::Open),
            alive: watch::Sender::new(()),
        }))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.seats.count()
    }

    /// Lets running answers end, and with them the sockets that watch them; at most for `within`. What still runs then is
    /// charged as delivered and ends with the word `drained`.
    pub async fn drain(&self, ctx: &domain::Ctx, within: Duration) {
        ctx.chat.drain();
        self.0.stage.send_replace(Stage::Draining { within });
        let quietly = async {
            ctx.chat.idle().await;
            self.0.alive.closed().await;
        };
        if tokio::time::timeout(within.saturating_sub(LAST_WORDS), quietly).await.is_err() {
            tracing::warn!(turns = ctx.chat.count(), "answers outlast the drain and are cut");
            ctx.chat.cut();
            let last = async {
                ctx.chat.idle().await;
                self.0.alive.closed().await;
            };
            let _ = tokio::time::timeout(LAST_WORDS, last).await;
        }
        self.0.stage.send_replace(Stage::Over);
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    #[serde(rename = "tokenId")]
    token_id: Option<String>,
}

/// Opens a socket for one agent.
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let wanted = wanted.ok().and_then(|Query(wanted)| wanted.token_id);
    match admit(&app, &asked, wanted.as_deref(), &headers).await {
        Ok((agent, seat)) => {
            let Ok(upgrade) = upgrade else {
                drop(seat);
                return problem::respond(
                    Shape::invalid("Upgrade", "This address speaks WebSocket only."),
                    &asked,
                );
            };
            upgrade
                .read_buffer_size(READ_BUFFER)
                .write_buffer_size(0)
                .max_write_buffer_size(WRITE_AT_MOST)
                .max_message_size(FRAME_BYTES_IN)
                .max_frame_size(FRAME_BYTES_IN)
                .on_upgrade(move |socket| Connection::new(socket, app, agent, seat).run())
        }
        Err(refused) => *refused,
    }
}

async fn admit(
    app: &Arc<App>,
    asked: &Asked,
    wanted: Option<&str>,
    headers: &HeaderMap,
) -> Result<(Arc<Agent>, seats::Seat), Box<Response>> {
    let refuse = |shape| Box::new(problem::respond(shape, asked));
    if app.origins.named(headers).is_none() {
        return Err(refuse(Shape::foreign_origin()));
    }
    if !app.ctx.flags.is_on(Flag::WebChat) {
        return Err(refuse(Shape::web_chat_off()));
    }
    if *app.sockets.0.stage.borrow() != Stage::Open {
        return Err(refuse(Shape::restarting()));
    }
    let found = match wanted {
        Some(name) => find(&app.ctx, name).await,
        None => Ok(None),
    };
    let agent = found
        .map_err(|error| Box::new(problem::answer(Fault::Turn(Refusal::unread(error.into())), asked)))?
        .ok_or_else(|| {
            let detail =
                "tokenId names no agent here: {collection}:{token}, or a token of the default collection.";
            refuse(Shape::not_found(detail))
        })?;
    let seat = app.sockets.0.seats.sit(asked.ip).map_err(|full| {
        let (by, detail) = match full {
            Full::Yours => {
                (By::Client, "Ten sockets are open from your address. Close one, or try again in a minute.")
            }
            Full::Everything => (By::All, "Too many sockets are open here. Try again in a minute."),
        };
        Pot::Sockets.refused(by);
        refuse(Shape::rate_limited(detail, 60))
    })?;
    Ok((agent, seat))
}

/// `{slug}:{token}`, or a token of the deployment's default collection.
async fn find(ctx: &domain::Ctx, name: &str) -> Result<Option<Arc<Agent>>, sqlx::Error> {
    match name.split_once(':') {
        Some((slug, token)) => agent::find(ctx, slug, token).await,
        None => agent::find_default(ctx, name).await,
    }
}
