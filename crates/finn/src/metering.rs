//! Counting tokens, and telling about it when nobody listens any more.
//!
//! Two counts run side by side: our own (by the size of the text, rounded up once over the whole) and the provider's.
//! The provider's completion figure counts only once it stands for the whole answer, which is after it has named the
//! reason of the end; its prompt figure counts as soon as it is known. Our running figure never passes the completion
//! limit of the request, because the provider's own tokens cannot either: a cut answer is never dearer than the whole
//! one could have been. What the provider says at the end is passed on as it says it.

use serde::Serialize;
use types::s2s::Usage;

/// Four bytes of text pass for one token where a provider does not say (SPEC §13).
const BYTES_PER_TOKEN: u64 = 4;

/// The size of a text in quarters of a token: its bytes, and one more for each character of a dense script, of which
/// a character of three bytes is about a token. Without it an answer in Chinese would be cheaper cut than whole.
#[must_use]
pub fn quarters(text: &str) -> u64 {
    let dense = if text.is_ascii() { 0 } else { text.chars().filter(|one| is_dense(*one)).count() };
    (text.len() + dense) as u64
}

/// Scripts without small alphabets, and signs: Indic to Tibetan, Hangul, Khmer, dingbats, CJK and kana, full-width forms.
/// Characters of four bytes (emoji, rare CJK) are a token by their bytes.
fn is_dense(character: char) -> bool {
    matches!(character,
        '\u{0900}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}'
        | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}')
}

/// Our own count of a text of this size.
#[must_use]
pub fn tokens(quarters: u64) -> u64 {
    quarters.div_ceil(BYTES_PER_TOKEN)
}

/// The counts of one answer.
#[derive(Clone, Debug)]
pub struct Meter {
    prompt_own: u64,
    prompt_told: Option<u64>,
    completion_quarters: u64,
    completion_limit: u64,
    /// The provider's figures for the whole answer; either may be missing.
    whole_prompt: Option<u64>,
    whole_completion: Option<u64>,
}

impl Meter {
    /// Starts with our own count of the prompt, and the most completion tokens that were asked for.
    #[must_use]
    pub fn new(prompt_tokens: u64, completion_limit: u32) -> Self {
        Self {
            prompt_own: prompt_tokens,
            prompt_told: None,
            completion_quarters: 0,
            completion_limit: completion_limit.into(),
            whole_prompt: None,
            whole_completion: None,
        }
    }

    /// Text, tool calls or reasoning came. Figures that came before it were none for the whole answer.
    pub fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.completion_quarters = self.completion_quarters.saturating_add(quarters(text));
        self.whole_completion = None;
        if let Some(prompt) = self.whole_prompt.take() {
            self.told_prompt(prompt);
        }
    }

    /// The provider said how many tokens the prompt has, cached ones included. Zero is a placeholder.
    pub fn told_prompt(&mut self, tokens: u64) {
        if tokens > 0 {
            self.prompt_told = Some(tokens);
        }
    }

    /// The provider gave figures after the reason of the end: the final ones, as far as they go. Of several the last
    /// counts; a zero takes no other figure's place.
    pub fn told(&mut self, prompt: Option<u64>, completion: Option<u64>) {
        for (kept, new) in [(&mut self.whole_prompt, prompt), (&mut self.whole_completion, completion)] {
            if let Some(new) = new
                && (new > 0 || kept.is_none())
            {
                *kept = Some(new);
            }
        }
    }

    fn own(&self) -> u64 {
        tokens(self.completion_quarters)
    }

    /// Metered so far: what a cut answer is settled by.
    #[must_use]
    pub fn running(&self) -> Usage {
        let prompt = self.whole_prompt.or(self.prompt_told).unwrap_or(self.prompt_own);
        Usage::new(prompt, self.whole_completion.unwrap_or_else(|| self.own().min(self.completion_limit)))
    }

    /// Our own count, uncapped, when a figure of the provider's is the one that counts.
    #[must_use]
    pub fn own_beside(&self) -> Option<Usage> {
        let is_told = self.whole_prompt.is_some() || self.whole_completion.is_some();
        is_told.then(|| Usage::new(self.prompt_own, self.own()))
    }

    /// The provider says that an answer with text, or its prompt, took nothing. That stands, and is worth a look.
    #[must_use]
    pub fn told_of_nothing(&self) -> bool {
        self.whole_prompt == Some(0) || (self.whole_completion == Some(0) && self.completion_quarters > 0)
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
            meter.add("x");
        }
        assert_eq!(meter.running(), Usage::new(3, 2));
        meter.add(&"x".repeat(1000));
        assert_eq!(meter.running(), Usage::new(3, 3));
    }

    #[test]
    fn a_character_of_a_dense_script_is_a_token_and_plain_text_a_quarter_a_byte() {
        for (text, expected) in [
            ("four", 1),
            ("Grüße – „viel“ 5 €", 7), // 26 bytes
            ("Привет", 3),
            ("世界", 2),
            ("カタカナ", 4),
            ("한국어", 3),
            ("สวัสดี", 6),
            ("🦀🦀", 2),
            ("☀✅", 2),
            ("，。", 2),
        ] {
            assert_eq!(tokens(quarters(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_provider_s_prompt_counts_at_once_and_its_completion_at_the_end() {
        let mut meter = Meter::new(tokens(400), 100);
        meter.told_prompt(7);
        meter.told_prompt(0);
        meter.add(&"x".repeat(40));
        assert_eq!(meter.running(), Usage::new(7, 10));
        assert_eq!(meter.own_beside(), None);
        meter.told(Some(8), Some(12));
        assert_eq!(meter.running(), Usage::new(8, 12));
        assert_eq!(meter.own_beside(), Some(Usage::new(100, 10)));
        meter.add("more");
        assert_eq!(meter.running(), Usage::new(8, 11), "text after the figures: they were running ones");
    }

    #[test]
    fn half_of_the_figures_counts_for_its_half_and_zero_takes_no_other_s_place() {
        let mut meter = Meter::new(5, 100);
        meter.add("12345678");
        meter.told(Some(9), None);
        assert_eq!(meter.running(), Usage::new(9, 2));
        meter.told(None, Some(3));
        assert_eq!(meter.running(), Usage::new(9, 3));
        meter.told(Some(0), Some(0));
        assert_eq!(meter.running(), Usage::new(9, 3));
        assert!(!meter.told_of_nothing());
        let mut meter = Meter::new(5, 100);
        meter.add("12345678");
        meter.told(Some(0), Some(0));
        assert_eq!(meter.running(), Usage::new(0, 0), "an explicit zero stays");
        assert!(meter.told_of_nothing());
    }
}
