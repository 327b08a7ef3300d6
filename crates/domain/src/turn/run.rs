//! The stream of a turn and its end: read, hand on, extend while it grows, settle, then say the last word.

use ledger::{Answer, Charge, Op, SubmitError};
use tokio::sync::mpsc;
use types::s2s::Usage;
use types::{MicroUsd, PricePerMillion, failpoint};

use super::{Answering, Piece, Turn};
use crate::engine::{Broken, End, Read};
use crate::turn::Finished;

/// Why reading stopped.
enum Stop {
    /// finn said its last word.
    End(End),
    /// The stream broke without one.
    Broken(&'static str),
    /// The client left.
    Left,
    /// The hold is used up and could not be extended.
    MoneyEnded,
}

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
        let price = self.price_of(&answering);
        let mut metered = Metered::default();
        let stop = self.relay(&mut answering, &events, &mut metered).await;
        match stop {
            Stop::End(_) => answering.finish(),
            Stop::Broken(_) | Stop::Left | Stop::MoneyEnded => answering.cut(),
        }
        failpoint::reach("turn.before_settle").await;
        let last = match stop {
            Stop::End(End::Done { usage, own_count, finish_reason }) => {
                let bill = Bill { usage, own: own_count.unwrap_or(usage) };
                let settled = self.settle(&answering, price, &bill).await;
                settled.map(|cost| Piece::Done(Finished { usage, cost, finish_reason, note: None }))
            }
            Stop::MoneyEnded => {
                let usage = metered.usage;
                let settled = self.settle(&answering, price, &Bill { usage, own: usage }).await;
                let note = Some("the balance ended: add credits for longer answers".to_owned());
                settled.map(|cost| {
                    Piece::Done(Finished { usage, cost, finish_reason: "length".to_owned(), note })
                })
            }
            Stop::End(End::Error { code, message, usage }) => {
                metered.usage = usage;
                self.break_off(&answering, price, &metered, code, message).await
            }
            Stop::Broken(code) => {
                let message =
                    "the answer broke off: what was delivered is charged, ask again for the rest".to_owned();
                self.break_off(&answering, price, &metered, code.to_owned(), message).await
            }
            Stop::Left => {
                let message = "the client left".to_owned();
                self.break_off(&answering, price, &metered, "client_left".to_owned(), message).await
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
        let _ = events.send(vec![last]).await;
        self.admission.correct(tokens);
    }

    /// Hands on what comes until it ends. Extends the hold beside the stream, and never waits for it at a chunk.
    async fn relay(
        &mut self,
        answering: &mut Answering,
        events: &mpsc::Sender<Vec<Piece>>,
        metered: &mut Metered,
    ) -> Stop {
        let mut extension = None;
        loop {
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
                        if let Some(stop) = self.take(read, events, metered).await {
                            return stop;
                        }
                    }
                    Err(Broken(code)) => return Stop::Broken(code),
                },
                extended = extending => {
                    extension = None;
                    match extended {
                        Ok((tokens, held)) => (self.covered, self.held) = (tokens, held),
                        // Refused: go on to the end of what is covered. Asked again with the next piece.
                        Err(()) => {}
                    }
                }
                () = events.closed() => return Stop::Left,
            }
            let used = u32::try_from(metered.usage.completion_tokens).unwrap_or(u32::MAX);
            if used >= self.covered && self.covered < self.worst.max_tokens && extension.is_none() {
                // The last slice is used up, and no extension is on its way: one more try decides.
                match self.extension().await {
                    Ok((tokens, held)) => (self.covered, self.held) = (tokens, held),
                    Err(()) => return Stop::MoneyEnded,
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
            if events.send(read.pieces).await.is_err() && read.end.is_none() {
                return Some(Stop::Left);
            }
        }
        read.end.map(Stop::End)
    }

    /// Asks for one more slice; owns what it needs, so that it can run beside the stream.
    fn extension(&self) -> impl Future<Output = Result<(u32, i64), ()>> + Send + use<> {
        let tokens = self.covered.saturating_add(self.worst.slice).min(self.worst.max_tokens);
        let to = self.worst.cost(tokens).0;
        let op = Op::Extend { key: self.account, id: self.passenger.reservation_id, to };
        let ledger = self.ctx.ledger.clone();
        async move {
            match ledger.submit(op).await {
                Ok(Answer::Extended { amount }) => Ok((tokens, amount)),
                Ok(_) | Err(_) => Err(()),
            }
        }
    }

    /// The end of an answer that has no proper one: charged if anything was delivered, released if nothing was.
    async fn break_off(
        &self,
        answering: &Answering,
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
        let cost = self.settle(answering, price, &Bill { usage, own: usage }).await?;
        Ok(Piece::Broken { code, message, usage, cost })
    }

    async fn settle(
        &self,
        answering: &Answering,
        price: PricePerMillion,
        bill: &Bill,
    ) -> Result<MicroUsd, &'static str> {
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let charge = Charge {
            amount: price.charge(bill.usage.prompt_tokens, bill.usage.completion_tokens).0,
            tokens_in: count(bill.usage.prompt_tokens),
            tokens_out: count(bill.usage.completion_tokens),
            own_in: count(bill.own.prompt_tokens),
            own_out: count(bill.own.completion_tokens),
            pool: Some(answering.pool.unwrap_or(self.pool).as_db()),
            model: answering.model.clone(),
            reason: answering.reason.clone(),
        };
        let op = Op::Settle { key: self.account, id: self.passenger.reservation_id, charge };
        match self.ctx.ledger.submit(op).await {
            Ok(Answer::Settled { charged, .. }) => Ok(MicroUsd(charged)),
            Ok(_) => Err("settlement_failed"),
            Err(error) => Err(self.unsettled(&error)),
        }
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
    fn price_of(&self, answering: &Answering) -> PricePerMillion {
        match self.ctx.catalog.models.get(&answering.model) {
            Some(model) => model.price(),
            None => {
                tracing::error!(model = %answering.model, "the engine answered with a model that is not in the catalog");
                self.worst.price
            }
        }
    }
}
