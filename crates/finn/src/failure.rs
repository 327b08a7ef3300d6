//! What can go wrong with a model, as one list: whether the next model may try, what a breaker counts, and what freeside
//! is told. [`Failure::of_status`] is the one place that reads a provider's status, whether it came as the status of
//! the answer or as a code inside a stream.
//!
//! Retries are deliberately absent: freeside retries the engine, before the first token and by the codes that it
//! knows. A provider's own text is shown only when it speaks about the request itself, cut short and freed of control
//! characters.

/// A provider's message is cut after this many bytes: enough for a sentence, too short for a page.
const MAX_MESSAGE_BYTES: usize = 300;

/// Why a model gave no (whole) answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Unreachable,
    /// The time was up, or nothing came for too long.
    Timeout,
    /// 429: the provider is at its limit for our account.
    RateLimited {
        /// Seconds, when the provider said.
        retry_after_s: Option<u32>,
    },
    /// 529, or `overloaded_error`: the provider has too much to do for everybody.
    Overloaded {
        /// Seconds, when the provider said.
        retry_after_s: Option<u32>,
    },
    /// 5xx.
    Status(u16),
    /// 400, 413, 422 and others: the request itself does not please the provider.
    Rejected(String),
    /// 401, 402, 403, 404, 410 and others: our key, our bill or our model name is wrong there.
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
    BreakerOpen {
        /// Until a try makes sense.
        retry_after_s: u32,
    },
    /// The token names an agent that is not there.
    UnknownAgent,
    /// The agents cannot be read, so nobody knows who speaks.
    AgentsUnreadable,
    /// No pool that the token allows.
    NoPool,
    /// No model of the pool is on.
    NoModel,
    /// The model asked for is off, and no other one may answer for it.
    ModelUnavailable,
}

/// The word of providers for "too much to do for everybody", as the type of an error.
pub const OVERLOADED: &str = "overloaded_error";

impl Failure {
    /// What a provider's HTTP status says; `sentence` is what it wrote about the request, made [`presentable`].
    #[must_use]
    pub fn of_status(status: u16, sentence: Option<String>, retry_after_s: Option<u32>) -> Self {
        match status {
            429 => Self::RateLimited { retry_after_s },
            529 => Self::Overloaded { retry_after_s },
            // The request's own fault: what it holds, how large it is, or what it may not speak about.
            400 | 409 | 411 | 413..=417 | 422 | 431 | 451 => Self::Rejected(
                sentence.unwrap_or_else(|| "The model's provider refused the request.".to_owned()),
            ),
            408 | 425 | 500..=599 => Self::Status(status),
            other => Self::Misconfigured(other),
        }
    }

    /// The next model of the chain may try. Only what says nothing about the request itself.
    #[must_use]
    pub fn next_model_may_try(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::Status(_)
            | Self::Misconfigured(_)
            | Self::Unsupported(_)
            | Self::Reported
            | Self::Malformed
            | Self::Cut
            | Self::BreakerOpen { .. } => true,
            Self::Rejected(_)
            | Self::UnknownAgent
            | Self::AgentsUnreadable
            | Self::NoPool
            | Self::NoModel
            | Self::ModelUnavailable => false,
        }
    }

    /// What the provider's breaker learns.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::Overloaded { .. }
            | Self::Status(_)
            | Self::Reported
            | Self::Malformed
            | Self::Cut => Verdict::Unwell,
            Self::Rejected(_) => Verdict::Well,
            // A limit, a refusal of our account, and what the provider never heard of say nothing about its health.
            Self::RateLimited { .. }
            | Self::Misconfigured(_)
            | Self::Unsupported(_)
            | Self::BreakerOpen { .. }
            | Self::UnknownAgent
            | Self::AgentsUnreadable
            | Self::NoPool
            | Self::NoModel
            | Self::ModelUnavailable => Verdict::Unknown,
        }
    }

    /// Whether a caller learns more from what another model of the chain failed of: this one was not even asked, or it
    /// needs its operator.
    #[must_use]
    pub fn says_little(&self) -> bool {
        match self {
            Self::BreakerOpen { .. } | Self::Misconfigured(_) | Self::NoModel => true,
            Self::Unreachable
            | Self::Timeout
            | Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::Status(_)
            | Self::Rejected(_)
            | Self::Unsupported(_)
            | Self::Reported
            | Self::Malformed
            | Self::Cut
            | Self::UnknownAgent
            | Self::AgentsUnreadable
            | Self::NoPool
            | Self::ModelUnavailable => false,
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
            // freeside passes both on, with words that say whose limit it is.
            Self::RateLimited { .. } => 429,
            Self::Overloaded { .. } => 529,
            Self::BreakerOpen { .. } | Self::AgentsUnreadable | Self::NoModel | Self::ModelUnavailable => 503,
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
            Self::Overloaded { .. } => "provider_overloaded",
            Self::Status(_) | Self::Reported => "provider_error",
            Self::Rejected(_) => "provider_rejected",
            Self::Misconfigured(_) => "provider_misconfigured",
            Self::Unsupported(_) => "unsupported",
            Self::Malformed => "provider_malformed",
            Self::Cut => "provider_cut",
            Self::BreakerOpen { .. } => "provider_unavailable",
            Self::UnknownAgent => "agent_unknown",
            Self::AgentsUnreadable => "agents_unreadable",
            Self::NoPool => "no_pool_allowed",
            Self::NoModel => "no_model_on",
            Self::ModelUnavailable => "model_unavailable",
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
            Self::Overloaded { .. } => {
                "The model's provider is overloaded. Try again shortly, or ask another model."
            }
            Self::Misconfigured(_) => {
                "The model's provider refused this service's account or model name, which its operator has to mend. Ask another model."
            }
            Self::Malformed => "The model's provider sent an answer that cannot be read.",
            Self::Cut => "The model's provider broke off its answer.",
            Self::BreakerOpen { .. } => {
                "The model's provider failed several times and is being left alone for a moment. Try again shortly, or ask another model."
            }
            Self::UnknownAgent => "There is no such agent.",
            Self::AgentsUnreadable => "The agents cannot be read now. Try again shortly.",
            Self::NoPool => "The token allows no pool of models.",
            Self::NoModel => {
                "No model of this pool is switched on. Ask another pool; GET /v1/models lists those that answer."
            }
            Self::ModelUnavailable => {
                "The model asked for cannot answer now, and no model that costs no more can. Ask another model or a pool, or send the header \"X-Freeside-Fallback: any\" to be answered by a dearer one."
            }
        }
    }

    /// Seconds to wait, for `Retry-After`.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_s } | Self::Overloaded { retry_after_s } => {
                Some(retry_after_s.unwrap_or(1))
            }
            Self::BreakerOpen { retry_after_s } => Some(*retry_after_s),
            _ => None,
        }
    }
}

/// What a failed request says about its provider's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is unwell.
    Unwell,
    /// It answered as it should.
    Well,
    /// Nothing was learned.
    Unknown,
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
    use super::Verdict::{Unknown, Unwell, Well};
    use super::*;

    #[test]
    fn a_status_is_read_in_one_way() {
        let told = |status| {
            let failure = Failure::of_status(status, None, Some(7));
            (failure.code(), failure.http_status(), failure.verdict(), failure.next_model_may_try())
        };
        for status in [400, 409, 413, 415, 422, 431, 451] {
            assert_eq!(told(status), ("provider_rejected", 400, Well, false), "{status}");
        }
        for status in [401, 402, 403, 404, 405, 410] {
            assert_eq!(told(status), ("provider_misconfigured", 502, Unknown, true), "{status}");
        }
        for status in [408, 425, 500, 502, 503, 504, 520] {
            assert_eq!(told(status), ("provider_error", 502, Unwell, true), "{status}");
        }
        assert_eq!(told(429), ("provider_rate_limited", 429, Unknown, true));
        assert_eq!(told(529), ("provider_overloaded", 529, Unwell, true));
        assert_eq!(Failure::of_status(429, None, Some(7)).retry_after_s(), Some(7));
    }

    #[test]
    fn a_provider_s_sentence_is_short_and_holds_no_key() {
        let shown = presentable("Incorrect API key:\r\n sk-proj-abc123. See the\u{7} docs");
        assert_eq!(shown, "Incorrect API key: [hidden] See the docs");
        assert!(presentable(&"word ".repeat(1000)).len() <= MAX_MESSAGE_BYTES + 3);
        assert_eq!(presentable(&"x".repeat(200)), "[hidden]");
    }
}
