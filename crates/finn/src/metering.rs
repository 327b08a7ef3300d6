//! Counting tokens, and telling about it when nobody listens any more.
//!
//! Two counts run side by side: our own (bytes of text divided by four, rounded up, once over the whole) and the
//! provider's. The provider's completion figure counts only once it stands for the whole answer; its prompt figure
//! counts as soon as it is known. The running figure never passes the completion limit of the request, because the
//! provider's own tokens cannot either: a cut answer is never dearer than the whole one could have been.

use serde::Serialize;
use types::s2s::Usage;

/// Four bytes of text pass for one token where a provider does not say (SPEC §13).
const BYTES_PER_TOKEN: u64 = 4;

/// Our own count of so many bytes of text.
#[must_use]
pub fn tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// The counts of one answer.
#[derive(Clone, Debug)]
pub struct Meter {
    prompt_own: u64,
    prompt_told: Option<u64>,
    completion_bytes: u64,
    completion_limit: u64,
    told: Option<Usage>,
}

impl Meter {
    /// Starts with our own count of the prompt, and the most completion tokens that were asked for.
    #[must_use]
    pub fn new(prompt_tokens: u64, completion_limit: u32) -> Self {
        Self {
            prompt_own: prompt_tokens,
            prompt_told: None,
            completion_bytes: 0,
            completion_limit: completion_limit.into(),
            told: None,
        }
    }

    /// Text, tool calls or reasoning came.
    pub fn add(&mut self, bytes: usize) {
        self.completion_bytes = self.completion_bytes.saturating_add(bytes as u64);
    }

    /// The provider said how many tokens the prompt has, cached ones included.
    pub fn told_prompt(&mut self, tokens: u64) {
        self.prompt_told = Some(tokens);
    }

    /// The provider gave figures that may turn out to be the final ones.
    pub fn told(&mut self, usage: Usage) {
        self.prompt_told = Some(usage.prompt_tokens);
        self.told = Some(usage);
    }

    /// Metered so far: what a cut answer is settled by.
    #[must_use]
    pub fn running(&self) -> Usage {
        let own = tokens(self.completion_bytes);
        Usage::new(self.prompt_told.unwrap_or(self.prompt_own), own.min(self.completion_limit))
    }

    /// The figures of a complete answer: the provider's when it gave them, else ours.
    #[must_use]
    pub fn whole(&self) -> Usage {
        self.told.unwrap_or_else(|| self.running())
    }

    /// Our own count, uncapped, when the provider's is the one that counts.
    #[must_use]
    pub fn own_beside(&self) -> Option<Usage> {
        self.told.map(|_| Usage::new(self.prompt_own, tokens(self.completion_bytes)))
    }
}

/// What one attempt used: the body of `inference.usage.finalized` (SPEC §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageRecord {
    /// `{reservation}:{jti}`: an S2S retry keeps the reservation and has a `jti` of its own. Not part of the body.
    #[serde(skip)]
    pub message_id: String,
    /// The hold that pays.
    pub budget_reservation_id: String,
    /// Prompt and completion.
    pub tokens_used: u64,
    /// Tokens of the question.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// The catalog id of the model that answered.
    pub model: String,
    /// The pool that answered.
    pub pool_used: String,
    /// Whose personality spoke, or `none`.
    pub personality_id: String,
    /// From the request to the last event or the stop.
    pub latency_ms: u64,
}

/// Where usage records go. Called from a stream's end and from its drop, so it must not block.
pub trait UsageSink: Send + Sync {
    /// Hands a record over; delivery is the sink's concern.
    fn publish(&self, record: UsageRecord);
}

/// Lets records go, with a line in the log: without a message bus the response path alone settles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl UsageSink for Discard {
    fn publish(&self, record: UsageRecord) {
        tracing::debug!(
            message_id = record.message_id,
            tokens_used = record.tokens_used,
            model = record.model,
            "usage of an attempt"
        );
    }
}

/// A bounded queue inside the process: for a publisher task, and for tests.
#[derive(Clone, Debug)]
pub struct Queue(tokio::sync::mpsc::Sender<UsageRecord>);

impl Queue {
    /// A queue of `capacity` records and its reading end.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, tokio::sync::mpsc::Receiver<UsageRecord>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        (Self(sender), receiver)
    }
}

impl UsageSink for Queue {
    fn publish(&self, record: UsageRecord) {
        if let Err(error) = self.0.try_send(record) {
            // The response path carries the same figures; the loss of this copy is counted, not waited for.
            metrics::counter!("finn_usage_records_lost_total").increment(1);
            tracing::warn!(%error, "a usage record was not queued");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rounding_over_the_whole_and_never_past_the_limit() {
        let mut meter = Meter::new(tokens(9), 3);
        assert_eq!(meter.running(), Usage::new(3, 0));
        for _ in 0..5 {
            meter.add(1);
        }
        assert_eq!(meter.running(), Usage::new(3, 2));
        meter.add(1000);
        assert_eq!(meter.running(), Usage::new(3, 3));
    }

    #[test]
    fn the_provider_s_prompt_counts_at_once_and_its_completion_at_the_end() {
        let mut meter = Meter::new(tokens(400), 100);
        meter.told_prompt(7);
        meter.add(40);
        assert_eq!(meter.running(), Usage::new(7, 10));
        assert_eq!(meter.own_beside(), None);
        meter.told(Usage::new(7, 12));
        assert_eq!(meter.running(), Usage::new(7, 10));
        assert_eq!(meter.whole(), Usage::new(7, 12));
        assert_eq!(meter.own_beside(), Some(Usage::new(100, 10)));
    }
}
