//! The words of a turn: what a door asks, what it gets back, and every answer that is not an answer.

use identity::{Limited, RateHeaders};
use serde_json::value::RawValue;
use types::catalog::Catalog;
use types::s2s::{Message, Options, Usage};
use types::{MicroUsd, Pool, ReservationId};

use crate::agent;

/// What a model name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `native`: the tier's default.
    Native,
    /// A pool by name.
    Pool(Pool),
    /// A model of the catalog by id.
    Model(String),
    /// `agent:{slug}:{token}`.
    Agent {
        /// The collection's slug.
        collection: String,
        /// The token id, decimal.
        token: String,
    },
}

impl Target {
    /// Reads a model name; `None` when it names nothing here (404 `model_not_found`).
    #[must_use]
    pub fn parse(catalog: &Catalog, name: &str) -> Option<Self> {
        if name == "native" {
            return Some(Self::Native);
        }
        if let Ok(pool) = name.parse() {
            return Some(Self::Pool(pool));
        }
        if let Some((collection, token)) = name.strip_prefix("agent:").and_then(|rest| rest.split_once(':')) {
            let sound = agent::is_slug(collection) && agent::is_token(token);
            return sound.then(|| Self::Agent { collection: collection.to_owned(), token: token.to_owned() });
        }
        catalog.models.contains_key(name).then(|| Self::Model(name.to_owned()))
    }
}

/// Between a model's name and the pool that was asked for beside it, in the record of what was asked.
const IN: &str = " in ";

/// What was asked for, as a hold records it.
pub(super) fn asked(ask: &Ask) -> String {
    match ask.pool {
        Some(pool) => format!("{}{IN}{pool}", ask.model),
        None => ask.model.clone(),
    }
}

/// The pool that a recorded request asked for, by name or by one of its models; `None`: it left the choice to us.
#[must_use]
pub fn requested_pool(catalog: &Catalog, asked: &str) -> Option<Pool> {
    let (name, beside) = match asked.rsplit_once(IN) {
        Some((name, pool)) => (name, pool.parse().ok()),
        None => (asked, None),
    };
    match Target::parse(catalog, name)? {
        Target::Pool(pool) => Some(pool),
        Target::Model(model) => catalog.pool_of(&model),
        Target::Agent { .. } => beside,
        Target::Native => None,
    }
}

/// What a caller asks for, in our own words.
#[derive(Debug)]
pub struct Ask {
    /// The request's id in every log line and answer.
    pub request_id: String,
    /// The model's name as the caller wrote it.
    pub model: String,
    /// The pool that is asked for where `model` names an agent; `None`: the agent's affinities choose.
    pub pool: Option<Pool>,
    /// The last user text.
    pub prompt: String,
    /// The conversation; empty means `prompt` alone.
    pub messages: Vec<Message>,
    /// Completion tokens at most; `None` takes the pool's default.
    pub max_tokens: Option<u32>,
    /// OpenAI's `tools`.
    pub tools: Option<Box<RawValue>>,
    /// OpenAI's `tool_choice`.
    pub tool_choice: Option<Box<RawValue>>,
    /// Sampling temperature.
    pub temperature: Option<Box<RawValue>>,
    /// Nucleus sampling.
    pub top_p: Option<Box<RawValue>>,
    /// Stop sequences.
    pub stop: Option<Box<RawValue>>,
    /// OpenAI's `response_format`.
    pub response_format: Option<Box<RawValue>>,
    /// The caller gets the answer as a whole, not as it comes.
    pub whole: bool,
    /// Parameters that only one dialect knows.
    pub options: Options,
    /// `X-Freeside-Clamp: affordable`: lower `max_tokens` instead of refusing.
    pub clamp: bool,
    /// `X-Freeside-Fallback`: who may answer for a model that was asked for by its id.
    pub fallback: super::Fallback,
}

impl Ask {
    /// A request that asks nothing yet and leaves everything to its pool.
    #[must_use]
    pub fn new(request_id: String, model: String) -> Self {
        Self {
            request_id,
            model,
            pool: None,
            prompt: String::new(),
            messages: Vec::new(),
            max_tokens: None,
            tools: None,
            tool_choice: None,
            temperature: None,
            top_p: None,
            stop: None,
            response_format: None,
            whole: false,
            options: Options::default(),
            clamp: false,
            fallback: super::Fallback::default(),
        }
    }
}

/// A provider has answered and the hold is committed: what the headers say is true.
#[derive(Debug)]
pub struct Started {
    /// The hold that pays.
    pub reservation_id: ReservationId,
    /// The pool that answers.
    pub pool: Pool,
    /// The catalog id of the model that answers.
    pub model: String,
    /// Whose personality speaks, or `none`.
    pub personality_id: String,
    /// Why this pool and model: `requested`, `default`, `forbidden_pool`, ….
    pub reason: String,
    /// The key's limits after this request; `None` when no key asked.
    pub rate: Option<RateHeaders>,
    /// The answer. Dropping it means that the client left.
    pub events: super::Events,
}

/// A part of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text to append.
    Text(String),
    /// A piece of a tool call.
    ToolCall {
        /// Which call of this answer.
        index: u32,
        /// On the first piece.
        id: Option<String>,
        /// On the first piece.
        name: Option<String>,
        /// JSON text to append.
        arguments: String,
    },
    /// Complete; the charge is committed.
    Done(Finished),
    /// Broken off; what was delivered is charged and committed.
    Broken {
        /// Stable word.
        code: String,
        /// For a person.
        message: String,
        /// Charged tokens.
        usage: Usage,
        /// The charge.
        cost: MicroUsd,
    },
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Charged tokens.
    pub usage: Usage,
    /// The charge.
    pub cost: MicroUsd,
    /// OpenAI's: `stop`, `length`, `tool_calls`, `content_filter`.
    pub finish_reason: String,
    /// Which of the caller's stop sequences ended it, where the provider says so.
    pub stop_sequence: Option<String>,
    /// Why it ended early when it is ours to say, for example that the balance ended.
    pub note: Option<String>,
}

/// An answer that is not an answer. Every door has one total match over this.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Names no pool, agent or configured model.
    #[error("there is no model \"{name}\"")]
    UnknownModel {
        /// As asked.
        name: String,
    },
    /// The model lies above the caller's tier, and nobody within it may answer for it.
    #[error("the model \"{name}\" is out of reach")]
    ModelOutOfReach {
        /// As asked.
        name: String,
        /// The pool that would have answered.
        pool: Pool,
    },
    /// The request cannot be right.
    #[error("{field}: {message}")]
    BadRequest {
        /// Which field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The balance does not cover the worst case.
    #[error("this request may cost up to {asked} micro-USD and {affordable} are available")]
    NotEnough {
        /// The worst case.
        asked: MicroUsd,
        /// Available now.
        affordable: MicroUsd,
        /// The largest `max_tokens` that would pass; 0 when none does.
        affordable_max_tokens: u32,
    },
    /// A monthly cap stands in the way.
    #[error("the monthly cap of {limit} micro-USD leaves no room for {asked}; {used} are used")]
    OverCap {
        /// The cap.
        limit: MicroUsd,
        /// Spent and held this month.
        used: MicroUsd,
        /// The worst case.
        asked: MicroUsd,
    },
    /// Money is owed from an earlier answer or refund.
    #[error("{owed} micro-USD are owed")]
    Owing {
        /// How much.
        owed: MicroUsd,
    },
    /// The account's books are being checked.
    #[error("the account is frozen")]
    Frozen,
    /// Over a rate limit.
    #[error("over the rate limit")]
    Limited(Limited),
    /// The account has as many answers in flight as one account may have.
    #[error("too many answers at once for this account")]
    TooManyAtOnce {
        /// How many it may have.
        most: usize,
    },
    /// The engine's breaker is open or it cannot be reached.
    #[error("Inference temporarily unavailable")]
    EngineUnavailable {
        /// Seconds until a try makes sense.
        retry_after_s: u32,
    },
    /// The models that may answer cannot now: off, or left alone for a while.
    #[error("no model can answer now: {message}")]
    ModelUnavailable {
        /// Stable word: `model_unavailable`, `no_model_on`, `provider_unavailable`, ….
        code: String,
        /// For a person, with the next step.
        message: String,
        /// Seconds until a try makes sense; `None` when waiting alone does not help.
        retry_after_s: Option<u32>,
    },
    /// The model's provider is at its limit for our account, not the caller for ours.
    #[error("the provider is at its limit")]
    ProviderLimited {
        /// Seconds until a try makes sense.
        retry_after_s: u32,
    },
    /// The model's provider has too much to do.
    #[error("the provider is overloaded")]
    ProviderOverloaded {
        /// Seconds until a try makes sense.
        retry_after_s: u32,
    },
    /// The provider or the engine failed before the first token.
    #[error("the model failed: {message}")]
    EngineFailed {
        /// The engine's HTTP status.
        status: u16,
        /// Stable word.
        code: String,
        /// For a person.
        message: String,
    },
    /// No first token in time; nothing is charged.
    #[error("no first token in time")]
    EngineTimeout,
    /// The ledger's queue is full.
    #[error("too busy")]
    Overloaded,
    /// A surprise.
    #[error("unexpected")]
    Unexpected(#[from] anyhow::Error),
}

impl Refusal {
    /// The books could not be read. A database that is away or full is a reason to come back (SPEC §12: 503, never a hang).
    pub fn unread(error: anyhow::Error) -> Self {
        let is_away = match error.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)) => true,
            // 57P: shutting down or starting up. 53: out of connections or memory.
            Some(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("53"))
            }
            _ => false,
        };
        if is_away {
            tracing::warn!(%error, "the books cannot be read now");
            Self::Overloaded
        } else {
            Self::Unexpected(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use types::catalog::DEFAULT_TOML;

    use super::*;

    #[test]
    fn what_was_asked_for_is_read_back_from_its_record() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("the default is sound");
        let model = catalog.pool(Pool::Reasoning).models.first().expect("a model");
        for (text, pool) in [
            ("native", None),
            ("architect", Some(Pool::Architect)),
            ("agent:demo:1", None),
            ("agent:demo:1 in flagship", Some(Pool::Flagship)),
            ("agent:demo:1 in nothing", None),
            ("gone-from-the-catalog", None),
            (model.as_str(), Some(Pool::Reasoning)),
        ] {
            assert_eq!(requested_pool(&catalog, text), pool, "{text}");
        }
    }
}
