//! What can go wrong at a door, before and behind the domain. Each dialect has one total `match` over it.
//!
//! A fault never carries a piece of the body or of a key: it can be shown as it is.

use domain::turn::Refusal;
use types::{MicroUsd, ReservationId};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The body is larger than the door takes.
    TooLarge {
        /// What the door takes.
        limit: usize,
    },
    /// The body is said to be something other than JSON.
    WrongType,
    /// The body is not JSON of the expected shape.
    Unreadable {
        /// What and where, without quoting the body.
        message: String,
    },
    /// The body did not arrive in time.
    TooSlow,
    /// The client broke off while sending.
    Hungup,
    /// Too many bodies are being read at once.
    Crowded,
    /// The client's own bodies that are being read take its whole share.
    OverShare,
    /// A field cannot be right.
    Field {
        /// Its path, for example `messages[2].role`.
        param: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// No key came.
    NoKey,
    /// Unknown, wrong, revoked or mistyped: one answer for all (SPEC §6).
    BadKey,
    /// Too many wrong keys from this address.
    TooManyFailures {
        /// Until the next try counts.
        retry_after_s: u64,
    },
    /// The key may not do this.
    NoScope {
        /// What it lacks.
        scope: &'static str,
    },
    /// Nobody is signed in.
    NoSession,
    /// The session was good once, or is somebody else's page's.
    SessionOver {
        /// Which, in words, with the next step.
        message: &'static str,
    },
    /// The path or the thing it names is not here.
    NotFound {
        /// In words, with the next step.
        message: String,
    },
    /// The path is here, the method is not.
    WrongMethod,
    /// The turn was refused.
    Turn(Refusal),
    /// The answer broke off before it was complete, and nobody was reading it yet.
    Broken {
        /// Stable word.
        code: String,
        /// For a person.
        message: String,
        /// What was charged for the part that was delivered.
        cost: MicroUsd,
    },
    /// The answer is too long to be gathered.
    AnswerTooLong,
    /// The first request with this idempotency key is being answered.
    InFlight {
        /// The first request.
        request_id: String,
    },
    /// The idempotency key came with another request.
    KeyReused,
    /// The first request with this idempotency key was charged, and its answer was not kept.
    AnswerNotKept {
        /// The first request.
        request_id: String,
        /// What paid for it.
        reservation_id: ReservationId,
    },
    /// A surprise; logged where it is met.
    Unexpected(anyhow::Error),
}

impl Fault {
    /// A field that cannot be right.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field { param: param.into(), message: message.into() }
    }

    /// Logs what is ours to mend, once, under the request's id.
    pub(crate) fn report(&self, request_id: &str) {
        if let Self::Unexpected(error) | Self::Turn(Refusal::Unexpected(error)) = self {
            tracing::error!(
                request_id,
                error = format!("{error:#}"),
                "a request failed for a reason that is ours"
            );
        } else if let Self::Turn(Refusal::EngineFailed { status, code, .. }) = self {
            tracing::warn!(request_id, status, code, "the engine failed before the first token");
        } else if let Self::Broken { code, .. } = self {
            tracing::warn!(request_id, code, "an answer broke off");
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Turn(refusal)
    }
}
