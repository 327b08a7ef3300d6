//! The task that owns a chat turn from question to last frame. It runs to its end whoever watches.
//!
//! Order of an end: the ledger has settled → the text and the end are stored → the last frame is shown. So whoever reads a
//! last frame can read it again, anywhere, and it is paid.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};
use types::MicroUsd;
use types::ReservationId;
use types::s2s::Usage;

use super::log::Log;
use super::store::{self, Growth};
use super::words::{End, Frame, How, Question, Speaker, Started, refused};
use super::{DRAINED, Place, history};
use crate::Ctx;
use crate::agent::Agent;
use crate::turn::{self, Ask, Asker, CANCELLED, Events, Noted, Piece};

/// Text is stored at the latest so long after it came: what a crash can cut off from an answer that was shown.
const STORE_WITHIN: Duration = Duration::from_millis(200);
/// Or as soon as this much waits: a row of a comfortable size.
const STORE_BYTES: usize = 2 * 1024;
/// A frame's text at most: with JSON's escapes it stays below what a socket holds back at once.
const FRAME_BYTES: usize = 4 * 1024;
/// An answer at most. The largest `max_tokens` of any catalog of ours is below a quarter of it; past it, it is stopped.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// How often the end of an answer is written again when the database is away, and the pause between: half a minute, as
/// long as the ledger itself would wait for it.
const END_TRIES: u32 = 30;
const END_PAUSE: Duration = Duration::from_secs(1);

/// A turn on its way.
pub(super) struct Run {
    pub(super) ctx: Arc<Ctx>,
    pub(super) id: ReservationId,
    pub(super) speaker: Speaker,
    pub(super) agent: Arc<Agent>,
    pub(super) question: Question,
    pub(super) log: Arc<Log>,
    pub(super) stop: oneshot::Receiver<&'static str>,
    /// Given up when the task ends, however it does.
    pub(super) place: Place,
}

impl Run {
    pub(super) async fn run(self) {
        let Self { ctx, id, speaker, agent, question, log, stop, place } = self;
        // The word that stops the turn is wanted twice: by the turn, and by whoever shapes its end.
        let (rope, pulled) = oneshot::channel();
        let mut stop = Stop { asked: Some(stop), rope: Some(rope), word: None };
        let mut growth = Growth::of(id.0);
        let asked = async {
            let earlier = history::context(&ctx.db, agent.id, speaker.wallet, &question.text).await;
            let messages = earlier.map_err(|error| turn::Refusal::unread(error.into()))?;
            let model = format!("agent:{}", agent.nft_id());
            let ask = Ask {
                pool: question.pool,
                prompt: question.text.clone(),
                messages,
                clamp: true,
                ..Ask::new(question.request_id.to_string(), model)
            };
            let asker = Asker { account: speaker.account, tier: speaker.tier, key: None };
            turn::start_noted(&ctx, asker, ask, Noted { id, stop: pulled }).await
        };
        let end = match stop.beside(asked).await {
            Ok(started) => {
                let by = Started {
                    pool: Some(started.pool),
                    model: started.model,
                    personality_id: started.personality_id,
                    reason: started.reason,
                };
                log.push(Frame::Start(by.clone()));
                growth.begin(by);
                relay(&ctx, &log, &mut growth, started.events, &mut stop).await
            }
            Err(refusal) => {
                if let (turn::Refusal::Unexpected(error), None) = (&refusal, stop.word) {
                    tracing::error!(error = format!("{error:#}"), turn = %id, "a chat turn failed for a reason that is ours");
                }
                let how = match stop.word {
                    Some(CANCELLED) => How::Stopped,
                    Some(word) => stopped_by_us(word),
                    None => refused(&refusal),
                };
                End { how, usage: Usage::default(), cost: MicroUsd::ZERO }
            }
        };
        let end = write_end(&ctx, &mut growth, end).await;
        log.push(Frame::End(end));
        drop(place);
    }
}

/// Reads the answer to its last word; what comes is shown at once and stored soon.
async fn relay(ctx: &Ctx, log: &Log, growth: &mut Growth, mut events: Events, stop: &mut Stop) -> End {
    let mut store_at: Option<Instant> = Some(Instant::now()); // who answers is stored at once
    let mut bytes = 0;
    loop {
        let due = async {
            match store_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let batch = tokio::select! {
            biased;
            () = due => {
                store_at = None;
                if let Err(error) = growth.store(&ctx.db).await {
                    tracing::warn!(%error, turn = %growth.id, "text of a chat waits for the database");
                    store_at = Some(Instant::now() + END_PAUSE);
                }
                continue;
            }
            batch = stop.beside(events.next()) => batch,
        };
        let Some(pieces) = batch else {
            let message = "the answer was interrupted: ask again for the rest".to_owned();
            return broken("interrupted", message, Usage::default(), MicroUsd::ZERO);
        };
        let mut text = String::new();
        let mut end = None;
        for piece in pieces {
            match piece {
                Piece::Text(more) => text.push_str(&more),
                Piece::ToolCall { .. } => {} // a chat offers no tools
                Piece::Done(finished) => {
                    let how = How::Done { finish_reason: finished.finish_reason, note: finished.note };
                    end = Some(End { how, usage: finished.usage, cost: finished.cost });
                }
                Piece::Broken { code, message, usage, cost } => {
                    let how = match code.as_str() {
                        CANCELLED => How::Stopped,
                        DRAINED => stopped_by_us(DRAINED),
                        _ => How::Broken { code, message },
                    };
                    end = Some(End { how, usage, cost });
                }
            }
        }
        bytes += text.len();
        for piece in cut(text) {
            growth.pending.bytes += piece.len();
            growth.pending.pieces.push(piece.clone());
            log.push(Frame::Text(piece));
        }
        if let Some(end) = end {
            return end;
        }
        if bytes > ANSWER_BYTES {
            stop.pull(TOO_LONG);
        }
        if growth.pending.bytes >= STORE_BYTES {
            store_at = Some(Instant::now());
        } else if growth.pending.bytes > 0 && store_at.is_none() {
            store_at = Some(Instant::now() + STORE_WITHIN);
        }
    }
}

/// The word of an answer that ran past [`ANSWER_BYTES`].
const TOO_LONG: &str = "answer_too_long";

fn broken(code: &str, message: String, usage: Usage, cost: MicroUsd) -> End {
    End { how: How::Broken { code: code.to_owned(), message }, usage, cost }
}

fn stopped_by_us(word: &str) -> How {
    let message = if word == DRAINED {
        "the server is restarting: what was delivered is charged, ask again for the rest"
    } else {
        "the answer was stopped: what was delivered is charged"
    };
    How::Broken { code: word.to_owned(), message: message.to_owned() }
}

/// A frame's worth of text each, never through a character.
fn cut(mut text: String) -> Vec<String> {
    let mut pieces = Vec::new();
    while text.len() > FRAME_BYTES {
        let rest = text.split_off(text.floor_char_boundary(FRAME_BYTES));
        pieces.push(std::mem::replace(&mut text, rest));
    }
    if !text.is_empty() {
        pieces.push(text);
    }
    pieces
}

/// Stores the rest and the end; tried for as long as the database may be away for a restart.
async fn write_end(ctx: &Ctx, growth: &mut Growth, end: End) -> End {
    for left in (0..END_TRIES).rev() {
        let written = async {
            if growth.waits() {
                growth.store(&ctx.db).await?;
            }
            store::finish(&ctx.db, growth.id, growth.stored + 1, &end, ctx.clock.now()).await
        };
        match written.await {
            Ok(_) => return end,
            Err(error) if left > 0 => {
                tracing::warn!(%error, turn = %growth.id, "the end of a chat turn waits for the database");
                sleep(END_PAUSE).await;
            }
            Err(error) => {
                metrics::counter!("chat_unstored_total").increment(1);
                tracing::error!(%error, turn = %growth.id, "the end of a chat turn could not be stored; the recovery will");
            }
        }
    }
    let message =
        "the end of this answer could not be stored; nothing is lost, and the books will follow".to_owned();
    broken("not_stored", message, end.usage, end.cost)
}

/// The way in which a turn is stopped while something else is waited for.
struct Stop {
    asked: Option<oneshot::Receiver<&'static str>>,
    rope: Option<oneshot::Sender<&'static str>>,
    word: Option<&'static str>,
}

impl Stop {
    /// Waits for `work`; a word that comes in the meantime is handed to the turn, which then ends by itself.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        while let Some(asked) = &mut self.asked {
            let word = tokio::select! {
                biased;
                word = asked => word.ok(),
                done = &mut work => return done,
            };
            self.asked = None;
            if let Some(word) = word {
                self.pull(word);
            }
        }
        work.await
    }

    fn pull(&mut self, word: &'static str) {
        if let Some(rope) = self.rope.take() {
            self.word = Some(word);
            let _ = rope.send(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_loses_none() {
        let text = "aé€𝄞".repeat(2_000);
        let pieces = cut(text.clone());
        assert!(pieces.len() > 4 && pieces.iter().all(|piece| piece.len() <= FRAME_BYTES));
        assert_eq!(pieces.concat(), text);
        assert!(cut(String::new()).is_empty());
    }
}
