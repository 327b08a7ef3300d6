//! The words of a chat: who speaks, what a watcher reads, why a question is not taken.

use ledger::AccountKey;
use types::s2s::Usage;
use types::{MicroUsd, Pool, Tier, WalletId};
use uuid::Uuid;

use crate::turn;

/// A signed-in person in front of one agent.
#[derive(Clone, Copy, Debug)]
pub struct Speaker {
    /// Who.
    pub wallet: WalletId,
    /// Their account in the agent's community: it pays.
    pub account: AccountKey,
    /// Acts as.
    pub tier: Tier,
}

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Chosen by the client: the same id again is the same question, and its answer is watched, not asked anew.
    pub request_id: Uuid,
    /// What they say.
    pub text: String,
    /// The pool they ask for; one above their tier falls to the tier's default.
    pub pool: Option<Pool>,
}

/// Why a question was not taken. Nothing was stored and nothing is charged.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Nothing but white space.
    #[error("a message needs at least one character")]
    Empty,
    /// Longer than [`super::MESSAGE_BYTES_AT_MOST`].
    #[error("a message has at most {} bytes", super::MESSAGE_BYTES_AT_MOST)]
    TooLong,
    /// Only the agent's holder may talk to it.
    #[error("only its holder may talk to this agent")]
    HolderOnly,
    /// [`super::RUNNING_AT_ONCE`] answers of this wallet are on their way.
    #[error("{} answers are on their way: wait for one, or stop it", super::RUNNING_AT_ONCE)]
    Busy,
    /// The id was used for another question.
    #[error("this requestId was used for another message: choose a new one")]
    Reused,
    /// This process stops: another one takes the question.
    #[error("this server is restarting: connect again")]
    Draining,
    /// A surprise.
    #[error("unexpected")]
    Unexpected(#[from] anyhow::Error),
}

impl From<sqlx::Error> for NotTaken {
    fn from(error: sqlx::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

/// A frame of an answer, with its number: 1 is [`Frame::Start`], and there is no gap.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// From 1.
    pub seq: u32,
    /// The frame.
    pub frame: Frame,
}

/// What a watcher reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A provider has answered.
    Start(Started),
    /// Text to append.
    Text(String),
    /// The last frame: it is stored and paid when it is read.
    End(End),
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// The pool that answers.
    pub pool: Option<Pool>,
    /// The catalog id of the model.
    pub model: String,
    /// Whose personality speaks.
    pub personality_id: String,
    /// Why this pool and model.
    pub reason: String,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// In which way.
    pub how: How,
    /// Charged tokens.
    pub usage: Usage,
    /// The charge.
    pub cost: MicroUsd,
}

/// The ways an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// Complete, or as far as limits and money went.
    Done {
        /// OpenAI's word.
        finish_reason: String,
        /// Why it ended early, where that is ours to say.
        note: Option<String>,
    },
    /// Its asker stopped it.
    Stopped,
    /// Broken off; what was delivered is charged.
    Broken {
        /// A stable word.
        code: String,
        /// For a person.
        message: String,
    },
    /// It never began; nothing is charged.
    Refused {
        /// A stable word.
        code: String,
        /// For a person: what happened, and what to do next.
        message: String,
    },
}

/// A refusal of a turn as a chat says it: a stable word, and a sentence with the next step.
pub(super) fn refused(refusal: &turn::Refusal) -> How {
    use turn::Refusal;
    let (code, message) = match refusal {
        Refusal::UnknownModel { .. } | Refusal::ModelOutOfReach { .. } => {
            ("model_not_found", "This agent has no model to answer with. Tell its community.".to_owned())
        }
        Refusal::BadRequest { message, .. } => ("invalid_request", message.clone()),
        Refusal::NotEnough { asked, affordable, .. } => (
            "insufficient_credits",
            format!(
                "An answer may cost up to ${}, and ${} are left. Buy credits and ask again.",
                asked.to_usd(),
                affordable.to_usd()
            ),
        ),
        Refusal::OverCap { limit, used, .. } => (
            "over_monthly_cap",
            format!(
                "The monthly budget of ${} is used up (${} spent or set aside). Ask the community's admin for more, or \
                 wait for the next month.",
                limit.to_usd(),
                used.to_usd()
            ),
        ),
        Refusal::Owing { owed } => (
            "debt_to_settle",
            format!("${} are owed from an earlier answer. Buy credits to settle them, then ask again.", owed.to_usd()),
        ),
        Refusal::Frozen => (
            "account_frozen",
            "The account is frozen while its books are checked. Nothing is lost; write to the community's admin."
                .to_owned(),
        ),
        Refusal::Limited(limited) => (
            "rate_limited",
            format!("Too many requests. Try again in {} s.", limited.retry_after.as_secs().max(1)),
        ),
        Refusal::TooManyAtOnce { most } => (
            "too_many_at_once",
            format!("Too many answers at once for this account: {most} are in flight. Try again when one has ended."),
        ),
        Refusal::EngineUnavailable { retry_after_s } => (
            "engine_unavailable",
            format!("Inference temporarily unavailable. Try again in {retry_after_s} s; nothing was charged."),
        ),
        Refusal::ModelUnavailable { retry_after_s: Some(seconds), .. }
        | Refusal::ProviderLimited { retry_after_s: seconds }
        | Refusal::ProviderOverloaded { retry_after_s: seconds } => (
            "model_unavailable",
            format!("The model has too much to do. Try again in {seconds} s; nothing was charged."),
        ),
        Refusal::ModelUnavailable { retry_after_s: None, .. } => (
            "model_unavailable",
            "No model can answer here now; nothing was charged. Tell the community's admin.".to_owned(),
        ),
        Refusal::EngineFailed { .. } => {
            ("engine_failed", "The model failed. Try again; nothing was charged.".to_owned())
        }
        Refusal::EngineTimeout => {
            ("engine_timeout", "The model did not answer in time. Try again; nothing was charged.".to_owned())
        }
        Refusal::Overloaded => {
            ("overloaded", "Too busy. Try again in a few seconds; nothing was charged.".to_owned())
        }
        Refusal::Unexpected(_) => {
            ("unexpected", "Something broke on our side. Try again; nothing was charged.".to_owned())
        }
    };
    How::Refused { code: code.to_owned(), message }
}
