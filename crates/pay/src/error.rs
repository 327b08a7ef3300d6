//! Why the vendor gave no answer that can be used.

use std::time::Duration;

/// What a caller can do differs: wait, back off, or stop asking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, a broken one, or no answer in time. A payment that was to be made may have been made.
    #[error("the payment processor cannot be reached")]
    Unreachable,
    /// Too many questions (429).
    #[error("the payment processor asks to wait {} s", retry_after.as_secs())]
    Busy {
        /// What it asked to wait, or half a minute when it did not say; at most an hour.
        retry_after: Duration,
    },
    /// Any other answer than success, also a failure of its own (5xx).
    #[error("the payment processor refused: {status} {code} {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its stable word, such as `INVALID_API_KEY`; may be empty.
        code: String,
        /// Its sentence, cut to a line; may be empty.
        message: String,
    },
    /// A success whose body is too long, no JSON, without what was asked for, or about something else.
    #[error("the payment processor's answer cannot be read")]
    Unreadable,
}

impl Error {
    /// Whether the same question may be answered later. The others need another question, key or coin.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable | Self::Busy { .. } | Self::Unreadable => true,
            Self::Refused { status, .. } => *status >= 500,
        }
    }
}
