//! What the simulator remembers: payments by id, the gate, and the manner in which new payments tell of themselves.
//!
//! In memory only and bounded: with [`MAX_PAYMENTS`] the oldest payment is forgotten. Nothing here waits or sends.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::macros::datetime;

use super::ScriptError;
use super::gate::Gate;
use super::payment::{Asked, Notice, Payment};
use super::script::{Manner, Paid, Script, Status, shuffle};
use super::wire::epoch_ms;

/// Payments that are remembered. With their notices at most about 100 MB, and more than any test makes.
const MAX_PAYMENTS: usize = 5_000;

/// Ids are counted in milliseconds from here, so that those of a restarted simulator are new again.
const FIRST_DAY: OffsetDateTime = datetime!(2024-01-01 00:00 UTC);

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) payments: BTreeMap<u64, Payment>,
    pub(super) gate: Gate,
    /// The manner of payments that are made from now on.
    pub(super) manner: Manner,
    last_id: u64,
    shuffles: u64,
}

/// What one step asks to be sent, in this order.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Notices to send.
    pub(super) send: Vec<Notice>,
    /// A notice that nobody gets.
    pub(super) untold: Option<Notice>,
}

impl Book {
    /// A new payment's id.
    pub(super) fn create(&mut self, asked: Asked, now: OffsetDateTime) -> u64 {
        let id = self.next_id(now);
        self.insert(Payment::new(id, asked, now, self.manner));
        id
    }

    fn insert(&mut self, payment: Payment) {
        if self.payments.len() >= MAX_PAYMENTS {
            self.payments.pop_first();
        }
        self.payments.insert(payment.id, payment);
    }

    fn next_id(&mut self, now: OffsetDateTime) -> u64 {
        let elapsed = epoch_ms(now) - epoch_ms(FIRST_DAY);
        self.last_id = u64::try_from(elapsed).unwrap_or(0).max(self.last_id + 1);
        self.last_id
    }

    pub(super) fn find(&self, id: &str) -> Result<&Payment, ScriptError> {
        id.parse().ok().and_then(|id: u64| self.payments.get(&id)).ok_or(ScriptError::Unknown)
    }

    pub(super) fn find_mut(&mut self, id: &str) -> Result<&mut Payment, ScriptError> {
        id.parse().ok().and_then(|id: u64| self.payments.get_mut(&id)).ok_or(ScriptError::Unknown)
    }

    /// Plans a script, in the place of what was still planned, and says for which payment: the child, if it makes one.
    pub(super) fn begin(
        &mut self,
        id: &str,
        script: Script,
        now: OffsetDateTime,
    ) -> Result<String, ScriptError> {
        let parent = self.find(id)?;
        let refusal = ScriptError::NotNow { script: script.name(), status: parent.status.word() };
        let changes = script.changes(parent.status).filter(|_| parent.allows(script)).ok_or(refusal)?;
        if !script.makes_child() {
            let payment = self.find_mut(id)?;
            payment.plan = changes.into();
            return Ok(payment.id.to_string());
        }
        let child = self.next_id(now);
        let mut child = self.find(id)?.child(child, script, now);
        child.plan = changes.into();
        let id = child.id.to_string();
        self.insert(child);
        Ok(id)
    }

    /// Takes the next planned step of a payment; `None` when nothing is planned.
    pub(super) fn advance(&mut self, id: &str, now: OffsetDateTime) -> Result<Option<Step>, ScriptError> {
        self.shuffles += 1;
        let seed = self.shuffles;
        let payment = self.find_mut(id)?;
        let Some(notice) = payment.advance(now) else { return Ok(None) };
        let copies = std::iter::repeat_n(notice.clone(), payment.manner.copies());
        let mut step = Step::default();
        if payment.manner == Manner::Silent || payment.asked.callback.is_none() {
            payment.remember(notice.clone());
            step.untold = Some(notice);
        } else if payment.manner.is_shuffled() {
            payment.held.extend(copies);
        } else {
            step.send.extend(copies);
        }
        if payment.plan.is_empty() {
            let mut held = std::mem::take(&mut payment.held);
            shuffle(&mut held, seed);
            step.send.extend(held);
        }
        Ok(Some(step))
    }

    /// The notice that a forger would write: all is paid and finished. The payment stays as it is.
    pub(super) fn forgery(&mut self, id: &str, now: OffsetDateTime) -> Result<Notice, ScriptError> {
        let payment = self.find_mut(id)?;
        let truth = (payment.status, payment.paid, payment.updated, std::mem::take(&mut payment.plan));
        payment.plan.push_back(super::script::Change { status: Status::Finished, paid: Paid::Full });
        let notice = payment.advance(now).expect("one change was planned on the line before");
        (payment.status, payment.paid, payment.updated, payment.plan) = truth;
        Ok(notice)
    }
}
