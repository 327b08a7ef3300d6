//! The end of a turn: who pays for what, written to the ledger before the last event is handed out (SPEC §14).
//!
//! | what ended it | charged |
//! |---|---|
//! | the provider, with its last event | the reported figures, up to the request's ceiling |
//! | the money | what was metered |
//! | the caller, who left or stopped it | the prompt and what was metered |
//! | the provider or we, after the caller had something usable | what was metered |
//! | the provider or we, before that; a whole answer that breaks off | nothing: released, and a loss is recorded |
//!
//! Settling asks for the whole price: what the hold and the balance do not cover becomes a receivable.

use std::time::Duration;

use ledger::{Answer, Charge, Loss, Mismatch, Op, SubmitError};
use tokio::sync::mpsc;
use types::s2s::Usage;
use types::{MicroUsd, PricePerMillion, failpoint};

use super::run::{READER_PATIENCE, hand_on};
use super::{Answering, CANCELLED, Finished, Piece, Turn};
use crate::engine::{Answerer, Broken, End, EngineError};

/// A provider that has said why it stops gives its figures within this time; a caller who leaves then is charged by them,
/// as one who stayed.
const FIGURES_AFTER_LEAVING: Duration = Duration::from_secs(2);
/// The first figures of an answer that began after its caller had left come with its head, or soon after it.
const FIRST_FIGURES: Duration = Duration::from_secs(1);

/// Why reading stopped.
pub(super) enum Stop {
    /// finn said its last word.
    End(End),
    /// The stream broke without one.
    Broken(&'static str),
    /// The caller left.
    Left,
    /// Stopped with this code: [`CANCELLED`] by the caller, any other by us.
    Pulled(&'static str),
    /// The hold is used up and could not be extended.
    MoneyEnded(&'static str),
}

impl Stop {
    /// The caller ended the turn.
    pub(super) fn is_the_callers(&self) -> bool {
        match self {
            Self::Left => true,
            Self::Pulled(code) => *code == CANCELLED,
            Self::End(_) | Self::Broken(_) | Self::MoneyEnded(_) => false,
        }
    }
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Metered {
    /// As reported; what is charged is clamped.
    pub(super) reported: Usage,
    /// Text or a tool call was handed on.
    pub(super) delivered: bool,
    /// The provider has said why it stops; only its figures are missing.
    pub(super) finishing: bool,
}

/// What is charged, and the last event that says so.
enum Verdict {
    /// These figures are charged.
    Charge { reported: Usage, own: Usage, last: Last },
    /// Nothing is charged: the failure is the provider's or ours.
    Free { cause: String, message: String },
}

/// The last event, without its figures.
enum Last {
    Done { finish_reason: String, stop_sequence: Option<String>, note: Option<String> },
    Broken { code: String, message: String },
}

impl Turn {
    /// Settles or releases, and hands the last event on.
    pub(super) async fn conclude(
        mut self,
        by: &Answerer,
        price: PricePerMillion,
        stop: Stop,
        metered: Metered,
        events: &mpsc::Sender<Vec<Piece>>,
    ) {
        failpoint::reach("turn.before_settle").await;
        let reported = metered.reported;
        let verdict = self.verdict(stop, &metered);
        // The day counts them before the books have them: a reading of the books in between would count them twice.
        if let Some(admission) = self.admission.take() {
            admission.correct(match &verdict {
                Verdict::Charge { reported, .. } => self.worst.clamp(*reported).total_tokens,
                Verdict::Free { .. } => 0,
            });
        }
        let last = match verdict {
            Verdict::Charge { reported, own, last } => {
                let charged = self.worst.clamp(reported);
                self.note_mismatch(by, reported, charged).await;
                self.settle(by, price, charged, own).await.map(|cost| last.with(charged, cost))
            }
            Verdict::Free { cause, message } => {
                self.note_loss(by, price, &cause, reported).await;
                let released = self.give_back().await;
                released.map(|()| Piece::Broken {
                    code: cause,
                    message,
                    usage: Usage::default(),
                    cost: MicroUsd::ZERO,
                })
            }
        };
        failpoint::reach("turn.after_settle").await;
        let last = last.unwrap_or_else(|code| Piece::Broken {
            code: code.to_owned(),
            message: "the charge could not be written; nothing is lost, and the books will follow".to_owned(),
            usage: self.worst.clamp(reported),
            cost: MicroUsd::ZERO,
        });
        let _ = hand_on(events, vec![last], READER_PATIENCE).await;
    }

    /// The end of a turn whose caller left before its first token.
    pub(super) async fn left(
        mut self,
        stop: Stop,
        by: Answerer,
        answering: Option<Answering>,
        events: mpsc::Sender<Vec<Piece>>,
    ) {
        let price = self.price_of(&by);
        self.worst.price = price;
        let mut metered =
            Metered { reported: Usage::new(self.worst.own_prompt_tokens, 0), ..Metered::default() };
        if let Some(mut answering) = answering {
            if let Ok(Ok(read)) = tokio::time::timeout(FIRST_FIGURES, answering.next()).await {
                metered.reported = read.usage.unwrap_or(metered.reported);
            }
            answering.cut();
        }
        self.conclude(&by, price, stop, metered, &events).await;
    }

    /// The end of a turn that finn refused: nothing was delivered.
    pub(super) async fn give_back_unanswered(&self, error: &EngineError) {
        // A provider that worked on the prompt and gave nothing may still send its bill; one that refused does not.
        let cause = match error {
            EngineError::Timeout => Some("timeout"),
            EngineError::Refused { code, .. } if is_a_loss(code) => Some(code.as_str()),
            EngineError::Refused { .. } | EngineError::Unavailable { .. } => None,
        };
        if let Some(cause) = cause {
            let loss = self.loss(&Answerer::default(), cause, 0, 0);
            self.write_loss(loss).await;
        }
        self.release().await;
    }

    /// Reads on for the final figures of a caller who left when only they were missing.
    pub(super) async fn last_figures(answering: &mut Answering, stop: Stop) -> Stop {
        let figures = tokio::time::timeout(FIGURES_AFTER_LEAVING, async {
            loop {
                match answering.next().await {
                    Ok(read) if read.end.is_some() => return read.end,
                    Ok(_) => {}
                    Err(Broken(_)) => return None,
                }
            }
        });
        match figures.await {
            Ok(Some(end @ End::Done { .. })) => Stop::End(end),
            Ok(_) | Err(_) => stop,
        }
    }

    fn verdict(&self, stop: Stop, metered: &Metered) -> Verdict {
        let charge = |last| Verdict::Charge { reported: metered.reported, own: metered.reported, last };
        let broken =
            |code: &str, message: &str| Last::Broken { code: code.to_owned(), message: message.to_owned() };
        let is_usable = metered.delivered && (!self.whole || failpoint::is_planted(CHARGE_BROKEN_WHOLE));
        let failed = |code: String, message: String| {
            if is_usable {
                charge(Last::Broken { code, message })
            } else {
                Verdict::Free { cause: code, message }
            }
        };
        match stop {
            Stop::End(End::Done { usage, own_count, finish_reason, stop_sequence }) => Verdict::Charge {
                reported: usage,
                own: own_count.unwrap_or(usage),
                last: Last::Done { finish_reason, stop_sequence, note: None },
            },
            Stop::MoneyEnded(why) => {
                let finish_reason = "length".to_owned();
                charge(Last::Done { finish_reason, stop_sequence: None, note: Some(why.to_owned()) })
            }
            Stop::Left => charge(broken("client_left", "the client left")),
            Stop::Pulled(CANCELLED) => {
                charge(broken(CANCELLED, "the answer was stopped: what was delivered is charged"))
            }
            Stop::Pulled(code) => {
                failed(code.to_owned(), "the answer was stopped: what was delivered is charged".to_owned())
            }
            Stop::End(End::Error { code, message, .. }) => failed(code, message),
            Stop::Broken(code) => {
                let message = "the answer broke off: what was delivered is charged, ask again for the rest";
                failed(code.to_owned(), message.to_owned())
            }
        }
    }

    async fn settle(
        &self,
        by: &Answerer,
        price: PricePerMillion,
        charged: Usage,
        own: Usage,
    ) -> Result<MicroUsd, &'static str> {
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let amount = price.charge(charged.prompt_tokens, charged.completion_tokens).0;
        let charge = Charge {
            amount,
            tokens_in: count(charged.prompt_tokens),
            tokens_out: count(charged.completion_tokens),
            own_in: count(own.prompt_tokens),
            own_out: count(own.completion_tokens),
            pool: Some(by.pool.unwrap_or(self.pool).as_db()),
            model: by.model.clone(),
            reason: by.reason.clone(),
        };
        let op = Op::Settle { key: self.account, id: self.passenger.reservation_id, charge };
        match self.ctx.ledger.submit(op).await {
            Ok(Answer::Settled { charged, owed }) => {
                self.note_uncovered(amount, owed);
                Ok(MicroUsd(charged))
            }
            Ok(_) => Err("settlement_failed"),
            Err(error) => Err(self.unsettled(&error)),
        }
    }

    pub(super) async fn give_back(&self) -> Result<(), &'static str> {
        let op = Op::Release { key: self.account, id: self.passenger.reservation_id };
        self.ctx.ledger.submit(op).await.map(|_| ()).map_err(|error| self.unsettled(&error))
    }

    /// An alert: this answer cost more than was set aside for it and more than the balance had.
    fn note_uncovered(&self, amount: i64, owed: i64) {
        let uncovered = owed.min(amount - self.held);
        if uncovered > 0 {
            let id = self.passenger.reservation_id;
            metrics::counter!("turn_uncovered_micro_total").increment(uncovered.unsigned_abs());
            tracing::warn!(reservation = %id, amount, held = self.held, owed, "an answer cost more than its hold and the balance: the rest is owed");
        }
    }

    /// An alert, and a row: the provider reported more than this request could use.
    async fn note_mismatch(&self, by: &Answerer, reported: Usage, charged: Usage) {
        if reported == charged {
            return;
        }
        let hold = self.passenger.reservation_id;
        metrics::counter!("turn_usage_mismatch_total").increment(1);
        tracing::warn!(reservation = %hold, model = by.model, ?reported, ?charged, "a provider reported more than its request could use");
        let mismatch = Mismatch { hold, model: by.model.clone(), reported, charged };
        let written = async {
            let mut connection = self.ctx.db.acquire().await?;
            ledger::record_mismatch(&mut connection, self.account, &mismatch, self.ctx.clock.now()).await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, ?mismatch, "a mismatch of usage could not be written");
        }
    }

    async fn note_loss(&self, by: &Answerer, price: PricePerMillion, cause: &str, reported: Usage) {
        let usage = self.worst.clamp(reported);
        let cost = price.charge(usage.prompt_tokens, usage.completion_tokens).0;
        self.write_loss(self.loss(by, cause, usage.total_tokens, cost)).await;
    }

    fn loss(&self, by: &Answerer, cause: &str, tokens: u64, cost_micro: i64) -> Loss {
        let provider = self.ctx.catalog.models.get(&by.model).map(|model| model.provider.clone());
        Loss {
            hold: self.passenger.reservation_id,
            cause: cause.to_owned(),
            provider: provider.unwrap_or_default(),
            model: by.model.clone(),
            tokens,
            cost_micro,
        }
    }

    async fn write_loss(&self, loss: Loss) {
        metrics::counter!("turn_losses_total").increment(1);
        metrics::counter!("turn_loss_micro_total").increment(loss.cost_micro.unsigned_abs());
        let written = async {
            let mut connection = self.ctx.db.acquire().await?;
            ledger::record_loss(&mut connection, self.account, &loss, self.ctx.clock.now()).await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, ?loss, "a loss could not be written");
        }
    }

    fn unsettled(&self, error: &SubmitError) -> &'static str {
        metrics::counter!("turn_unsettled_total").increment(1);
        tracing::error!(%error, reservation = %self.passenger.reservation_id, "a turn's end could not be written");
        "settlement_failed"
    }

    /// The price of the model that answers; one that is not in the catalog is charged as the dearest, and is logged.
    pub(super) fn price_of(&self, by: &Answerer) -> PricePerMillion {
        if let Some(model) = self.ctx.catalog.models.get(&by.model) {
            model.price()
        } else {
            tracing::error!(model = %by.model, "the engine answered with a model that is not in the catalog");
            self.worst.price
        }
    }
}

impl Last {
    fn with(self, usage: Usage, cost: MicroUsd) -> Piece {
        match self {
            Self::Done { finish_reason, stop_sequence, note } => {
                Piece::Done(Finished { usage, cost, finish_reason, stop_sequence, note })
            }
            Self::Broken { code, message } => Piece::Broken { code, message, usage, cost },
        }
    }
}

/// finn's code says that a provider took the request and gave nothing for it.
fn is_a_loss(code: &str) -> bool {
    matches!(code, "provider_timeout" | "provider_error" | "provider_malformed" | "provider_cut")
}

/// A fault for a test to plant: a whole answer that broke off is charged.
pub const CHARGE_BROKEN_WHOLE: &str = "turn.charge_broken_whole";
