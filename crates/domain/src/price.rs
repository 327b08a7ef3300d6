//! The worst case of a request (SPEC §13): what is set aside before a single token is spoken.

use serde_json::value::RawValue;
use types::catalog::Catalog;
use types::s2s::Message;
use types::{MicroUsd, Pool, PricePerMillion};

use crate::turn::Ask;

/// Tokens that a message costs beside its text, at most, in any provider's framing.
const TOKENS_PER_MESSAGE: u64 = 8;

/// What a request may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// The dearest model that may answer.
    pub price: PricePerMillion,
    /// Prompt tokens at most: no tokenizer makes more tokens than bytes.
    pub prompt_tokens: u64,
    /// Completion tokens that were asked for, or the pool's default.
    pub max_tokens: u32,
    /// Completion tokens that one hold covers; a longer answer extends it.
    pub slice: u32,
}

impl WorstCase {
    /// Sizes `ask` for the pool that may answer it.
    #[must_use]
    pub fn of(catalog: &Catalog, pool: Pool, ask: &Ask) -> Self {
        Self::among(catalog, pool, &[pool], ask)
    }

    /// Sizes `ask` for an agent, whose affinities choose among `pools`; `usual` says how long an answer is.
    #[must_use]
    pub fn among(catalog: &Catalog, usual: Pool, pools: &[Pool], ask: &Ask) -> Self {
        let settings = catalog.pool(usual);
        let max_tokens = ask.max_tokens.unwrap_or(settings.default_max_tokens);
        let system_tokens = pools.iter().map(|pool| catalog.pool(*pool).system_tokens).max().unwrap_or(0);
        Self {
            price: catalog.dearest(pools),
            prompt_tokens: prompt_bytes(ask) + u64::from(system_tokens),
            max_tokens,
            slice: max_tokens.min(settings.hold_slice_tokens),
        }
    }

    /// Micro-USD that cover the prompt and `completion_tokens`.
    #[must_use]
    pub fn cost(&self, completion_tokens: u32) -> MicroUsd {
        self.price.charge(self.prompt_tokens, u64::from(completion_tokens))
    }

    /// Tokens to reserve against a key's day.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens + u64::from(self.slice)
    }

    /// The largest `max_tokens` that `available` micro-USD pay for; 0 when not even one.
    #[must_use]
    pub fn affordable(&self, available: MicroUsd) -> u32 {
        let left = i128::from(available.0) * 1_000_000
            - i128::from(self.prompt_tokens) * i128::from(self.price.input);
        let tokens = match self.price.output {
            0 => i128::from(self.max_tokens),
            output => left / i128::from(output),
        };
        u32::try_from(tokens.clamp(0, i128::from(self.max_tokens))).expect("clamped to a u32")
    }
}

/// UTF-8 bytes of every text sent, and a little for each message. JSON text is never shorter than what it encodes.
fn prompt_bytes(ask: &Ask) -> u64 {
    let raw = |value: &Option<Box<RawValue>>| value.as_ref().map_or(0, |value| value.get().len());
    let messages: usize = ask.messages.iter().map(message_bytes).sum();
    let prompt = if ask.messages.is_empty() { ask.prompt.len() } else { 0 };
    let bytes = messages + prompt + raw(&ask.tools) + raw(&ask.tool_choice) + raw(&ask.response_format);
    let count = ask.messages.len().max(1);
    u64::try_from(bytes).unwrap_or(u64::MAX / 2)
        + TOKENS_PER_MESSAGE * u64::try_from(count).unwrap_or(u64::MAX / 32)
}

fn message_bytes(message: &Message) -> usize {
    let raw = |value: &Option<Box<RawValue>>| value.as_ref().map_or(0, |value| value.get().len());
    raw(&message.content) + raw(&message.tool_calls) + message.name.as_ref().map_or(0, String::len)
}
