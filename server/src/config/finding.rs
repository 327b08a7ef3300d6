//! What is wrong with a configuration, or worth a look: which variable, what, and what to do about it.

use serde::Serialize;

/// One finding. The text never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The variable, as the operator wrote it.
    pub variable: String,
    /// What is wrong, as the rest of a sentence that begins with the variable.
    pub problem: String,
    /// What to do, as a sentence.
    pub fix: String,
}

impl Finding {
    /// A finding about `variable`.
    pub fn new(variable: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: problem.into(), fix: fix.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}. {}", self.variable, self.problem, self.fix)
    }
}

/// Everything that is wrong, at once: an operator repairs a configuration in one round.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Finding>);
