//! The stream of a turn and its end: read, hand on, extend while it grows, settle, then say the last word.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use ledger::{Answer, Charge, Op, Refusal, SubmitError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use types::s2s::Usage;
use types::{MicroUsd, PricePerMillion, failpoint};

use super::{Answering, Piece, Turn, pulled};
use crate::engine::{Answerer, Broken, End, Read};
use crate::turn::Finished;

/// Why reading stopped.
enum Stop {
    /// finn said its last word.
    End(End),
    /// The stream broke without one.
    Broken(&'static str),
    /// The client left.
    Left,
    /// Whoever owns the turn stopped it, with this word.
    Pulled(&'static str),
    /// The hold is used up and could not be extended.
    MoneyEnded(&'static str),
}

/// What one extension brought: tokens covered and micro-USD held, or the reason that the caller reads.
type Extended = Result<(u32, i64), &'static str>;

/// A reader who takes nothing for this long has left without a word: their answer must not keep money and a provider
/// waiting for ever. Longer than a phone takes from one cell to the next.
const READER_PATIENCE: Duration = Duration::from_mins(1);
/// Pieces that are handed on before other tasks get their turn: a provider that never pauses would else keep a thread
/// for as long as every buffer has room. Some hundred microseconds of work; most answers are shorter.
const PIECES_IN_ONE_GO: usize = 256;
const BALANCE_ENDED: &str = "the balance ended: add credits for longer answers";
const CAP_REACHED: &str = "a monthly cap was reached: ask for a higher one, or wait for the next month";
const NO_MORE_MONEY: &str = "no more money could be set aside: ask again for the rest";

/// What was read so far.
#[derive(Default)]
struct Metered {
    usage: Usage,
    delivered: bool,
}

/// A finished answer on its way to the books.
struct Bill {
    usage: Usage,
    own: Usage,
}

impl Turn {
    pub(super) async fn stream(mut self, mut answering: Answering, events: mpsc::Sender<Vec<Piece>>) {
        let price = self.price_of(&answering.by);
        // Who answers is known now, and at its own price the hold covers more, and each slice costs less.
        self.worst.price = price;
        self.covered = self.covered.max(self.worst.affordable(MicroUsd(self.held)));
        let mut metered = Metered::default();
        let stop = self.relay(&mut answering, &events, &mut metered).await;
        match stop {
            Stop::End(_) => answering.finish(),
            Stop::Broken(_) | Stop::Left | Stop::Pulled(_) | Stop::MoneyEnded(_) => answering.cut(),
        }
        failpoint::reach("turn.before_settle").await;
        let last = match stop {
            Stop::End(End::Done { usage, own_count, finish_reason, stop_sequence }) => {
                let bill = Bill { usage, own: own_count.unwrap_or(usage) };
                let settled = self.settle(&answering.by, price, &bill).await;
                settled.map(|cost| {
                    Piece::Done(Finished { usage, cost, finish_reason, stop_sequence, note: None })
                })
            }
            Stop::MoneyEnded(why) => {
                let usage = metered.usage;
                let settled = self.settle(&answering.by, price, &Bill { usage, own: usage }).await;
                let note = Some(why.to_owned());
                settled.map(|cost| {
                    let finish_reason = "length".to_owned();
                    Piece::Done(Finished { usage, cost, finish_reason, stop_sequence: None, note })
                })
            }
            Stop::End(End::Error { code, message, usage }) => {
                metered.usage = usage;
                self.break_off(&answering.by, price, &metered, code, message).await
            }
            Stop::Broken(code) => {
                let message =
                    "the answer broke off: what was delivered is charged, ask again for the rest".to_owned();
                self.break_off(&answering.by, price, &metered, code.to_owned(), message).await
            }
            Stop::Left => {
                let message = "the client left".to_owned();
                self.break_off(&answering.by, price, &metered, "client_left".to_owned(), message).await
            }
            Stop::Pulled(code) => {
                let message = "the answer was stopped: what was delivered is charged".to_owned();
                self.break_off(&answering.by, price, &metered, code.to_owned(), message).await
            }
        };
        failpoint::reach("turn.after_settle").await;
        let last = last.unwrap_or_else(|code| Piece::Broken {
            code: code.to_owned(),
            message: "the charge could not be written; nothing is lost, and the books will follow".to_owned(),
            usage: metered.usage,
            cost: MicroUsd::ZERO,
        });
        let tokens = match &last {
            Piece::Done(Finished { usage, .. }) | Piece::Broken { usage, .. } => usage.total_tokens,
            Piece::Text(_) | Piece::ToolCall { .. } => 0,
        };
        let _ = hand_on(&events, vec![last], READER_PATIENCE).await;
        if let Some(admission) = self.admission {
            admission.correct(tokens);
        }
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
            let used = u32::try_from(metered.usage.completion_tokens).unwrap_or(u32::MAX);
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
        metered.usage = read.usage.unwrap_or(metered.usage);
        if !read.pieces.is_empty() {
            metered.delivered = true;
            if hand_on(events, read.pieces, READER_PATIENCE).await.is_err() && read.end.is_none() {
                return Some(Stop::Left);
            }
        }
        read.end.map(Stop::End)
    }

    /// Asks for one more slice, or for what the balance still pays for; owns what it needs, so that it can run beside
    /// the stream.
    fn extension(&self) -> impl Future<Output = Extended> + Send + use<> {
        let (worst, covered, held) = (self.worst, self.covered, self.held);
        let (key, id) = (self.account, self.passenger.reservation_id);
        let ledger = self.ctx.ledger.clone();
        async move {
            let extend = async |tokens: u32| {
                let answer = ledger.submit(Op::Extend { key, id, to: worst.cost(tokens).0 }).await?;
                let Answer::Extended { amount } = answer else { return Err(SubmitError::Unexpected) };
                Ok((tokens, amount))
            };
            match extend(covered.saturating_add(worst.slice).min(worst.max_tokens)).await {
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

    /// The end of an answer that has no proper one: charged if anything was delivered, released if nothing was.
    async fn break_off(
        &self,
        by: &Answerer,
        price: PricePerMillion,
        metered: &Metered,
        code: String,
        message: String,
    ) -> Result<Piece, &'static str> {
        let usage = metered.usage;
        if !metered.delivered {
            self.give_back().await?;
            return Ok(Piece::Broken { code, message, usage: Usage::default(), cost: MicroUsd::ZERO });
        }
        let cost = self.settle(by, price, &Bill { usage, own: usage }).await?;
        Ok(Piece::Broken { code, message, usage, cost })
    }

    async fn settle(
        &self,
        by: &Answerer,
        price: PricePerMillion,
        bill: &Bill,
    ) -> Result<MicroUsd, &'static str> {
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let price = price.charge(bill.usage.prompt_tokens, bill.usage.completion_tokens);
        let charge = Charge {
            amount: self.covered_part(price).await,
            tokens_in: count(bill.usage.prompt_tokens),
            tokens_out: count(bill.usage.completion_tokens),
            own_in: count(bill.own.prompt_tokens),
            own_out: count(bill.own.completion_tokens),
            pool: Some(by.pool.unwrap_or(self.pool).as_db()),
            model: by.model.clone(),
            reason: by.reason.clone(),
        };
        let op = Op::Settle { key: self.account, id: self.passenger.reservation_id, charge };
        match self.ctx.ledger.submit(op).await {
            Ok(Answer::Settled { charged, .. }) => Ok(MicroUsd(charged)),
            Ok(_) => Err("settlement_failed"),
            Err(error) => Err(self.unsettled(&error)),
        }
    }

    /// A charge as far as the balance goes. The provider's last figures may lie past the hold; an answer never leaves its
    /// asker in debt for that.
    async fn covered_part(&self, price: MicroUsd) -> i64 {
        if price.0 <= self.held {
            return price.0;
        }
        let (key, id) = (self.account, self.passenger.reservation_id);
        let extend = async |to: i64| self.ctx.ledger.submit(Op::Extend { key, id, to }).await;
        let extended = match extend(price.0).await {
            Err(SubmitError::Refused(Refusal::NotEnough { available })) => {
                extend(self.held.saturating_add(available)).await
            }
            answer => answer,
        };
        let covered = match extended {
            Ok(Answer::Extended { amount }) => amount,
            Err(SubmitError::Refused(_)) => self.held,
            Ok(_) | Err(_) => return price.0, // too busy to ask: the settle takes what is there
        };
        if covered < price.0 {
            metrics::counter!("turn_uncovered_micro_total").increment((price.0 - covered).unsigned_abs());
            tracing::warn!(reservation = %id, price = price.0, covered, "an answer ran past its hold, and its asker's balance had ended");
        }
        price.0.min(covered)
    }

    async fn give_back(&self) -> Result<(), &'static str> {
        let op = Op::Release { key: self.account, id: self.passenger.reservation_id };
        self.ctx.ledger.submit(op).await.map(|_| ()).map_err(|error| self.unsettled(&error))
    }

    fn unsettled(&self, error: &SubmitError) -> &'static str {
        metrics::counter!("turn_unsettled_total").increment(1);
        tracing::error!(%error, reservation = %self.passenger.reservation_id, "a turn's end could not be written");
        "settlement_failed"
    }

    /// The price of the model that answers; one that is not in the catalog is charged as the dearest, and is logged.
    fn price_of(&self, by: &Answerer) -> PricePerMillion {
        if let Some(model) = self.ctx.catalog.models.get(&by.model) {
            model.price()
        } else {
            tracing::error!(model = %by.model, "the engine answered with a model that is not in the catalog");
            self.worst.price
        }
    }
}

/// The reader left, or takes nothing any more.
#[derive(Debug, PartialEq, Eq)]
struct Gone;

/// Hands pieces to the reader, who may be slow. The timer is made only when they are.
async fn hand_on(
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
