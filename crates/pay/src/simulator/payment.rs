//! One payment: what was asked for, where it is, whom it tells, and the three texts that the original has for it.
//!
//! The texts differ as the original's do: the id is a string where a payment is made and a number elsewhere,
//! `burning_percent` is `null` or `"null"`, and a notice's `updated_at` is absent, ISO or milliseconds, by the id.

use std::collections::VecDeque;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::coin::{Coin, FIAT, MICRO_DECIMALS, text};
use super::deliver::{Answer, Callback};
use super::script::{Change, Manner, Paid, Script, Status};
use super::wire::{Value, epoch_ms, iso};

/// How long the quoted amount is good.
const QUOTE_LIFE: Duration = Duration::minutes(20);

/// How long a payment waits before the original lets it expire.
const LIFE: Duration = Duration::days(7);

/// The notices that one payment remembers; the oldest go first.
const MAX_NOTICES: usize = 24;

/// What a payment is made of.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) price_micro: u128,
    pub(super) coin: &'static Coin,
    pub(super) order_id: Option<String>,
    pub(super) description: Option<String>,
    pub(super) callback: Option<Callback>,
}

/// A notice and what became of it.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The payment that it tells of: for a second deposit or a wrong coin, the child.
    pub payment_id: String,
    /// The status that it tells.
    pub status: &'static str,
    /// When it was written.
    pub at: OffsetDateTime,
    /// The body, as sent.
    pub body: String,
    /// Whether its signature was spoilt on purpose.
    pub is_forged: bool,
    /// The answer to each try, the last one last. Empty when nothing was sent: a silent payment, or nobody to tell.
    pub answers: Vec<Answer>,
}

impl Notice {
    /// Whether somebody answered it with 2xx.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.answers.last().is_some_and(Answer::is_accepted)
    }
}

/// A payment.
#[derive(Debug)]
pub(super) struct Payment {
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
    pub(super) asked: Asked,
    pub(super) status: Status,
    pub(super) due: u128,
    pub(super) paid: u128,
    pub(super) created: OffsetDateTime,
    pub(super) updated: OffsetDateTime,
    pub(super) manner: Manner,
    /// What is still to happen.
    pub(super) plan: VecDeque<Change>,
    /// Notices that wait for the end of the script.
    pub(super) held: Vec<Notice>,
    pub(super) notices: VecDeque<Notice>,
    /// One deliverer at a time, so that notices leave in the order of the changes.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Payment {
    pub(super) fn new(id: u64, asked: Asked, now: OffsetDateTime, manner: Manner) -> Self {
        Self {
            id,
            parent: None,
            status: Status::Waiting,
            due: asked.coin.units_of(asked.price_micro),
            paid: 0,
            created: now,
            updated: now,
            manner,
            plan: VecDeque::new(),
            held: Vec::new(),
            notices: VecDeque::new(),
            turn: Arc::default(),
            asked,
        }
    }

    /// The payment that a second deposit or a wrong coin makes.
    pub(super) fn child(&self, id: u64, script: Script, now: OffsetDateTime) -> Self {
        let is_other_coin = script == Script::WrongAsset;
        let asked = Asked {
            price_micro: self.asked.price_micro,
            coin: if is_other_coin { self.asked.coin.mistaken_for() } else { self.asked.coin },
            order_id: self.asked.order_id.clone().filter(|_| !is_other_coin),
            description: self.asked.description.clone(),
            callback: self.asked.callback.clone(),
        };
        Self { parent: Some(self.id), ..Self::new(id, asked, now, self.manner) }
    }

    /// Whether a script can be run now.
    pub(super) fn allows(&self, script: Script) -> bool {
        (self.parent.is_none() || !script.makes_child()) && script.changes(self.status).is_some()
    }

    /// Takes the next step of the plan, if there is one, and writes its notice.
    pub(super) fn advance(&mut self, now: OffsetDateTime) -> Option<Notice> {
        let change = self.plan.pop_front()?;
        self.status = change.status;
        match change.paid {
            Paid::Same => {}
            Paid::Half => self.paid = self.due / 2,
            Paid::Full => self.paid = self.due,
        }
        self.updated = now;
        let body = self.notice().print();
        let (payment_id, status) = (self.id.to_string(), change.status.word());
        Some(Notice { payment_id, status, at: now, body, is_forged: false, answers: Vec::new() })
    }

    pub(super) fn remember(&mut self, notice: Notice) {
        if self.notices.len() >= MAX_NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    /// The address to pay to. No wallet on any chain takes it for one, so nobody can send real money to it.
    pub(super) fn address(&self) -> String {
        let id = self.parent.unwrap_or(self.id);
        format!("SIMULATED-{}-{id}", self.asked.coin.network.to_uppercase())
    }

    /// The memo, where the coin needs one.
    pub(super) fn memo(&self) -> Option<String> {
        let id = self.parent.unwrap_or(self.id);
        self.asked.coin.has_memo.then(|| (id % 1_000_000_000).to_string())
    }

    fn purchase(&self) -> String {
        (self.parent.unwrap_or(self.id) + 1_000_000).to_string()
    }

    fn price(&self) -> Value {
        Value::Number(text(self.asked.price_micro, MICRO_DECIMALS))
    }

    fn amount(&self, units: u128) -> Value {
        Value::Number(self.asked.coin.text(units))
    }

    /// The answer to `POST /v1/payment`.
    pub(super) fn created(&self) -> Value {
        let asked = &self.asked;
        Value::Object(vec![
            ("payment_id", Value::text(self.id.to_string())),
            ("payment_status", Value::text(self.status.word())),
            ("pay_address", Value::text(self.address())),
            ("price_amount", self.price()),
            ("price_currency", Value::text(FIAT)),
            ("pay_amount", self.amount(self.due)),
            ("amount_received", Value::Null),
            ("pay_currency", Value::text(asked.coin.code)),
            ("order_id", Value::optional(asked.order_id.as_deref())),
            ("order_description", Value::optional(asked.description.as_deref())),
            ("payin_extra_id", Value::optional(self.memo().as_deref())),
            ("ipn_callback_url", Value::optional(asked.callback.as_ref().map(Callback::as_str))),
            ("created_at", Value::text(iso(self.created))),
            ("updated_at", Value::text(iso(self.updated))),
            ("purchase_id", Value::text(self.purchase())),
            ("smart_contract", Value::Null),
            ("network", Value::text(asked.coin.network)),
            ("network_precision", Value::number(asked.coin.decimals)),
            ("time_limit", Value::Null),
            ("burning_percent", Value::Null),
            ("expiration_estimate_date", Value::text(iso(self.created + QUOTE_LIFE))),
            ("is_fixed_rate", Value::Bool(false)),
            ("is_fee_paid_by_user", Value::Bool(false)),
            ("valid_until", Value::text(iso(self.created + LIFE))),
            ("type", Value::text("crypto2crypto")),
        ])
    }

    /// The answer to `GET /v1/payment/:id`.
    pub(super) fn current(&self) -> Value {
        let mut fields = self.common();
        fields.extend([
            ("payout_hash", Value::Null),
            ("payin_hash", Value::Null),
            ("created_at", Value::text(iso(self.created))),
            ("updated_at", Value::text(iso(self.updated))),
            ("burning_percent", Value::text("null")),
            ("type", Value::text("crypto2crypto")),
        ]);
        Value::Object(fields)
    }

    /// The body of a notice.
    fn notice(&self) -> Value {
        let mut fields = self.common();
        let fee = [
            ("currency", Value::text(self.asked.coin.code)),
            ("depositFee", Value::Number(text(self.paid * 55 / 100, self.asked.coin.decimals + 2))),
            ("withdrawalFee", Value::number(0)),
            ("serviceFee", Value::number(0)),
        ];
        fields.extend([("actually_paid_at_fiat", Value::number(0)), ("fee", Value::Object(fee.into()))]);
        match self.id % 3 {
            0 => {}
            1 => fields.push(("updated_at", Value::number(epoch_ms(self.updated)))),
            _ => fields.push(("updated_at", Value::text(iso(self.updated)))),
        }
        Value::Object(fields)
    }

    fn common(&self) -> Vec<(&'static str, Value)> {
        let asked = &self.asked;
        let mut fields = vec![("payment_id", Value::number(self.id))];
        // Only a child names a parent; the key is absent elsewhere.
        if let Some(parent) = self.parent {
            fields.push(("parent_payment_id", Value::number(parent)));
        }
        // What is paid out: Tether less one per cent.
        let outcome = asked.coin.micro_of(self.paid) * 99 / 100;
        fields.extend([
            ("invoice_id", Value::Null),
            ("payment_status", Value::text(self.status.word())),
            ("pay_address", Value::text(self.address())),
            ("payin_extra_id", Value::optional(self.memo().as_deref())),
            ("price_amount", self.price()),
            ("price_currency", Value::text(FIAT)),
            ("pay_amount", self.amount(self.due)),
            ("actually_paid", self.amount(self.paid)),
            ("pay_currency", Value::text(asked.coin.code)),
            ("order_id", Value::optional(asked.order_id.as_deref())),
            ("order_description", Value::optional(asked.description.as_deref())),
            ("purchase_id", Value::text(self.purchase())),
            ("outcome_amount", Value::Number(text(outcome, MICRO_DECIMALS))),
            ("outcome_currency", Value::text("usdttrc20")),
            ("payment_extra_ids", Value::Null),
        ]);
        fields
    }
}
