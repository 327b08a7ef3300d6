//! The stream of a turn: read, hand on, extend the hold while it grows.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use ledger::{Answer, Op, Refusal, SubmitError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use types::MicroUsd;

use super::end::{Metered, Stop};
use super::{Answering, Piece, Turn, pulled};
use crate::engine::{Broken, End, Read};

/// What one extension brought: tokens covered and micro-USD held, or the reason that the caller reads.
type Extended = Result<(u32, i64), &'static str>;

/// A reader who takes nothing for this long has left without a word: their answer must not keep money and a provider
/// waiting for ever. Longer than a phone takes from one cell to the next.
pub(super) const READER_PATIENCE: Duration = Duration::from_mins(1);
/// Pieces that are handed on before other tasks get their turn: a provider that never pauses would else keep a thread
/// for as long as every buffer has room. Some hundred microseconds of work; most answers are shorter.
const PIECES_IN_ONE_GO: usize = 256;
const BALANCE_ENDED: &str = "the balance ended: add credits for longer answers";
const CAP_REACHED: &str = "a monthly cap was reached: ask for a higher one, or wait for the next month";
const DAY_ENDED: &str = "the tokens of the day ended: ask for a higher limit, or wait for the next UTC day";
const NO_MORE_MONEY: &str = "no more money could be set aside: ask again for the rest";

impl Turn {
    pub(super) async fn stream(mut self, mut answering: Answering, events: mpsc::Sender<Vec<Piece>>) {
        let price = self.price_of(&answering.by);
        // Who answers is known now, and at its own price the hold covers more, and each slice costs less.
        self.worst.price = price;
        self.covered = self.covered.max(self.worst.affordable(MicroUsd(self.held)));
        let mut metered = Metered::default();
        let mut stop = self.relay(&mut answering, &events, &mut metered).await;
        if stop.is_the_callers() && metered.finishing {
            stop = Self::last_figures(&mut answering, stop).await;
        }
        match stop {
            Stop::End(_) => answering.finish(),
            Stop::Broken(_) | Stop::Left | Stop::Pulled(_) | Stop::MoneyEnded(_) => answering.cut(),
        }
        let by = answering.by.clone();
        self.conclude(&by, price, stop, metered, &events).await;
    }

    /// Hands on what comes until it ends. Extends the hold beside the stream, and never waits for it at a chunk.
    async fn relay(
        &mut self,
        answering: &mut Answering,
        events: &mpsc::Sender<Vec<Piece>>,
        metered: &mut Metered,
    ) -> Stop {
        let mut extension: Option<Pin<Box<dyn Future<Output = Extended> + Send>>> = None;
        let mut in_one_go = 0;
        let mut rope = self.stop.take();
        let mut over = std::pin::pin!(async {
            tokio::select! {
                biased;
                () = events.closed() => Stop::Left,
                code = pulled(&mut rope) => Stop::Pulled(code),
            }
        });
        loop {
            if in_one_go >= PIECES_IN_ONE_GO {
                in_one_go = 0;
                tokio::task::yield_now().await;
                // A provider that never pauses keeps the last arm below from its turn.
                if let Some(stop) = over.as_mut().now_or_never() {
                    return stop;
                }
            }
            let extending = async {
                match extension.as_mut() {
                    Some(pending) => pending.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = answering.next() => match read {
                    Ok(read) => {
                        in_one_go += read.pieces.len();
                        if let Some(stop) = self.take(read, events, metered).await {
                            return stop;
                        }
                    }
                    Err(Broken(code)) => return Stop::Broken(code),
                },
                extended = extending => {
                    extension = None;
                    // Refused: go on to the end of what is covered. Asked again with the next piece.
                    if let Ok(more) = extended {
                        (self.covered, self.held) = more;
                    }
                }
                stop = &mut over => return stop,
            }
            let used = u32::try_from(metered.reported.completion_tokens).unwrap_or(u32::MAX);
            while used >= self.covered && self.covered < self.worst.max_tokens {
                // The last slice is used up. A quick provider keeps the arm above from its turn, so nothing more is
                // read before money is set aside for it: what is on its way is waited for, then one more try decides.
                let pending = match extension.take() {
                    Some(pending) => pending.await.ok(),
                    None => None,
                };
                let extended = match pending {
                    Some(more) => Ok(more),
                    None => self.extension().await,
                };
                match extended {
                    Ok(more) => (self.covered, self.held) = more,
                    Err(why) => return Stop::MoneyEnded(why),
                }
            }
            let is_half_used = used >= self.covered - self.worst.slice / 2;
            if extension.is_none() && is_half_used && self.covered < self.worst.max_tokens {
                extension = Some(Box::pin(self.extension()));
            }
        }
    }

    async fn take(
        &self,
        read: Read,
        events: &mpsc::Sender<Vec<Piece>>,
        metered: &mut Metered,
    ) -> Option<Stop> {
        metered.reported = read.usage.unwrap_or(metered.reported);
        metered.finishing |= read.finishing;
        if !read.pieces.is_empty() {
            metered.delivered = true;
            if hand_on(events, read.pieces, READER_PATIENCE).await.is_err() && read.end.is_none() {
                return Some(Stop::Left);
            }
        }
        if let Some(End::Error { usage, .. }) = &read.end {
            metered.reported = *usage;
        }
        read.end.map(Stop::End)
    }

    /// Asks for one more slice, or for what the balance still pays for; owns what it needs, so that it can run beside
    /// the stream.
    fn extension(&mut self) -> impl Future<Output = Extended> + Send + use<> {
        let (worst, covered, held) = (self.worst, self.covered, self.held);
        let (key, id) = (self.account, self.passenger.reservation_id);
        let ledger = self.ctx.ledger.clone();
        let target = covered.saturating_add(worst.slice).min(worst.max_tokens);
        let day_has_room = self
            .admission
            .as_mut()
            .is_none_or(|admission| admission.extend(worst.prompt_tokens.saturating_add(target.into())));
        async move {
            if !day_has_room {
                return Err(DAY_ENDED);
            }
            let extend = async |tokens: u32| {
                let answer = ledger.submit(Op::Extend { key, id, to: worst.cost(tokens).0 }).await?;
                let Answer::Extended { amount } = answer else { return Err(SubmitError::Unexpected) };
                Ok((tokens, amount))
            };
            match extend(target).await {
                Ok(more) => Ok(more),
                Err(SubmitError::Refused(Refusal::NotEnough { available })) => {
                    let last = worst.affordable(MicroUsd(held.saturating_add(available)));
                    if last <= covered {
                        return Err(BALANCE_ENDED);
                    }
                    extend(last).await.map_err(|_| BALANCE_ENDED)
                }
                Err(SubmitError::Refused(Refusal::Owing { .. })) => Err(BALANCE_ENDED),
                Err(SubmitError::Refused(Refusal::OverCap { .. })) => Err(CAP_REACHED),
                Err(_) => Err(NO_MORE_MONEY),
            }
        }
    }
}

/// The reader left, or takes nothing any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Hands pieces to the reader, who may be slow. The timer is made only when they are.
pub(super) async fn hand_on(
    events: &mpsc::Sender<Vec<Piece>>,
    pieces: Vec<Piece>,
    patience: Duration,
) -> Result<(), Gone> {
    match events.try_send(pieces) {
        Ok(()) => Ok(()),
        Err(TrySendError::Closed(_)) => Err(Gone),
        Err(TrySendError::Full(pieces)) => match events.send_timeout(pieces, patience).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_) | SendTimeoutError::Timeout(_)) => Err(Gone),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_who_takes_nothing_counts_as_gone() {
        let (events, mut reader) = mpsc::channel(1);
        let short = Duration::from_millis(1);
        assert_eq!(hand_on(&events, Vec::new(), short).await, Ok(()));
        assert_eq!(hand_on(&events, Vec::new(), short).await, Err(Gone), "the place is taken");
        assert!(reader.recv().await.is_some());
        assert_eq!(hand_on(&events, Vec::new(), short).await, Ok(()));
        drop(reader);
        assert_eq!(hand_on(&events, Vec::new(), READER_PATIENCE).await, Err(Gone));
    }
}
