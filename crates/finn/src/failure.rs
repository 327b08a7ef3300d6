//! What can go wrong with a model, as one list: whether the next model may try, and what freeside is told.
//!
//! Retries are deliberately absent: freeside retries the engine, on 5xx and before the first token. A provider's own
//! text is shown only when it speaks about the request itself, cut short and freed of control characters.

/// A provider's message is cut after this many bytes: enough for a sentence, too short for a page.
const MAX_MESSAGE_BYTES: usize = 300;

/// Why a model gave no (whole) answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Unreachable,
    /// The time was up, or nothing came for too long.
    Timeout,
    /// 429.
    RateLimited {
        /// Seconds, when the provider said.
        retry_after_s: Option<u32>,
    },
    /// 5xx.
    Status(u16),
    /// 400, 413 or 422: the request itself does not please the provider.
    Rejected(String),
    /// 401, 402, 403, 404 and the rest: our key, our bill or our model name is wrong there.
    Misconfigured(u16),
    /// The request holds what this dialect cannot say; another model may.
    Unsupported(String),
    /// The provider reported an error in its stream.
    Reported,
    /// The provider sent what is not its protocol.
    Malformed,
    /// The stream ended without an end.
    Cut,
    /// The provider is being left alone after several failures.
    BreakerOpen,
    /// The token names an agent that is not there.
    UnknownAgent,
    /// The agents cannot be read, so nobody knows who speaks.
    AgentsUnreadable,
    /// No pool that the token allows.
    NoPool,
    /// No model of the pool is on.
    NoModel,
}

impl Failure {
    /// The next model of the chain may try. Only what says nothing about the request itself.
    #[must_use]
    pub fn next_model_may_try(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::RateLimited { .. }
            | Self::Status(_)
            | Self::Unsupported(_)
            | Self::Reported
            | Self::Malformed
            | Self::Cut
            | Self::BreakerOpen => true,
            Self::Rejected(_)
            | Self::Misconfigured(_)
            | Self::UnknownAgent
            | Self::AgentsUnreadable
            | Self::NoPool
            | Self::NoModel => false,
        }
    }

    /// The provider itself is unwell: what its breaker counts.
    #[must_use]
    pub fn counts_against_provider(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::RateLimited { .. }
            | Self::Status(_)
            | Self::Reported
            | Self::Malformed
            | Self::Cut => true,
            Self::Rejected(_)
            | Self::Misconfigured(_)
            | Self::Unsupported(_)
            | Self::BreakerOpen
            | Self::UnknownAgent
            | Self::AgentsUnreadable
            | Self::NoPool
            | Self::NoModel => false,
        }
    }

    /// The HTTP status of an answer that failed before its first token.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Rejected(_) | Self::Unsupported(_) => 400,
            Self::NoPool => 403,
            Self::UnknownAgent => 404,
            Self::Unreachable
            | Self::Status(_)
            | Self::Misconfigured(_)
            | Self::Reported
            | Self::Malformed
            | Self::Cut => 502,
            // A 429 of ours would say that the caller is too quick; it is the provider that is full.
            Self::RateLimited { .. } | Self::BreakerOpen | Self::AgentsUnreadable | Self::NoModel => 503,
            Self::Timeout => 504,
        }
    }

    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable => "provider_unreachable",
            Self::Timeout => "provider_timeout",
            Self::RateLimited { .. } => "provider_rate_limited",
            Self::Status(_) | Self::Reported => "provider_error",
            Self::Rejected(_) => "provider_rejected",
            Self::Misconfigured(_) => "provider_misconfigured",
            Self::Unsupported(_) => "unsupported",
            Self::Malformed => "provider_malformed",
            Self::Cut => "provider_cut",
            Self::BreakerOpen => "provider_unavailable",
            Self::UnknownAgent => "agent_unknown",
            Self::AgentsUnreadable => "agents_unreadable",
            Self::NoPool => "no_pool_allowed",
            Self::NoModel => "no_model_on",
        }
    }

    /// A sentence for a person.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Unreachable => "The model's provider cannot be reached.",
            Self::Timeout => "The model did not answer in time.",
            Self::RateLimited { .. } => "The model's provider is at its limit. Try again shortly.",
            Self::Status(_) | Self::Reported => "The model's provider reported an error.",
            Self::Rejected(message) | Self::Unsupported(message) => message,
            Self::Misconfigured(_) => "The model's provider refused this service's account or model name.",
            Self::Malformed => "The model's provider sent an answer that cannot be read.",
            Self::Cut => "The model's provider broke off its answer.",
            Self::BreakerOpen => "The model's provider failed several times and is being left alone.",
            Self::UnknownAgent => "There is no such agent.",
            Self::AgentsUnreadable => "The agents cannot be read now. Try again shortly.",
            Self::NoPool => "The token allows no pool of models.",
            Self::NoModel => "No model of this pool is switched on.",
        }
    }

    /// Seconds to wait, for `Retry-After`.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_s } => Some(retry_after_s.unwrap_or(1)),
            Self::BreakerOpen => Some(crate::breaker::OPEN_SECONDS),
            _ => None,
        }
    }
}

/// A provider's sentence made fit for showing: one line, short, without anything that looks like a key.
#[must_use]
pub fn presentable(message: &str) -> String {
    let mut shown = String::with_capacity(message.len().min(MAX_MESSAGE_BYTES));
    for word in message.split(|character: char| character.is_whitespace() || character.is_control()) {
        if word.is_empty() {
            continue;
        }
        if shown.len() + word.len() + 1 > MAX_MESSAGE_BYTES {
            shown.push('…');
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(if looks_like_a_key(word) { "[hidden]" } else { word });
    }
    shown
}

fn looks_like_a_key(word: &str) -> bool {
    let core = word.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    core.contains("sk-") || core.contains("Bearer") || core.len() > 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_s_sentence_is_short_and_holds_no_key() {
        let shown = presentable("Incorrect API key:\r\n sk-proj-abc123. See the\u{7} docs");
        assert_eq!(shown, "Incorrect API key: [hidden] See the docs");
        assert!(presentable(&"word ".repeat(1000)).len() <= MAX_MESSAGE_BYTES + 3);
        assert_eq!(presentable(&"x".repeat(200)), "[hidden]");
    }
}
