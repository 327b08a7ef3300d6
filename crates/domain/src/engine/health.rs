//! What a failed request says about the engine, and whether another try may help. Both are lists of what is known: a new
//! code of the engine neither opens the breaker nor is asked again until somebody has decided so here.

use super::EngineError;

/// What the breaker learns of an attempt that brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The engine is unwell.
    Unwell,
    /// It answered as it should, whatever it had to say.
    Well,
    /// Nothing was learned.
    Unknown,
}

/// Codes of a 5xx that say that the engine itself is unwell. The empty one stands for an answer without a problem document
/// of the engine's: a proxy before it, or a crash.
const UNWELL: [&str; 1] = [""];
/// Codes of an engine that is well and has no room, or not in time: nothing is learned about its health.
const BUSY: [&str; 2] = ["overloaded", "body_timeout"];
/// Codes that another try within the same deadline may mend. Not among them: what a provider asks to wait for (429, 529),
/// what needs its operator, and what was said about the request itself.
const PASSING: [&str; 7] = [
    "",
    "overloaded",
    "agents_unreadable",
    "provider_unreachable",
    "provider_error",
    "provider_malformed",
    "provider_cut",
];

impl EngineError {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Unavailable { .. } | Self::Timeout => Verdict::Unwell,
            Self::Refused { status, code, .. } => {
                if *status >= 500 && UNWELL.contains(&code.as_str()) {
                    Verdict::Unwell
                } else if BUSY.contains(&code.as_str()) {
                    Verdict::Unknown
                } else {
                    Verdict::Well
                }
            }
        }
    }

    pub(super) fn may_be_retried(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Timeout => false, // one deadline over all attempts
            Self::Refused { status, code, .. } => *status >= 500 && PASSING.contains(&code.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Unknown, Unwell, Well};
    use super::*;

    #[test]
    fn only_an_engine_that_is_unwell_counts_and_only_what_may_pass_is_asked_again() {
        let refused = |status, code: &str| EngineError::Refused {
            status,
            code: code.to_owned(),
            message: String::new(),
            retry_after_s: None,
        };
        for (error, verdict, again) in [
            (EngineError::Unavailable { retry_after_s: 5 }, Unwell, true),
            (EngineError::Timeout, Unwell, false),
            (refused(502, ""), Unwell, true),
            (refused(503, ""), Unwell, true),
            (refused(404, ""), Well, false),
            (refused(503, "no_model_on"), Well, false),
            (refused(503, "model_unavailable"), Well, false),
            (refused(503, "agents_unreadable"), Well, true),
            (refused(503, "overloaded"), Unknown, true),
            (refused(503, "provider_unavailable"), Well, false),
            (refused(429, "provider_rate_limited"), Well, false),
            (refused(529, "provider_overloaded"), Well, false),
            (refused(502, "provider_misconfigured"), Well, false),
            (refused(502, "provider_error"), Well, true),
            (refused(502, "provider_cut"), Well, true),
            (refused(504, "provider_timeout"), Well, false),
            (refused(400, "provider_rejected"), Well, false),
            (refused(401, "unauthorized"), Well, false),
            (refused(503, "a word of a later version"), Well, false),
        ] {
            assert_eq!((error.verdict(), error.may_be_retried()), (verdict, again), "{error:?}");
        }
    }
}
