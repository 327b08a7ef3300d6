//! The worst case of a request (SPEC §13): what is set aside before a single token is spoken.

use serde_json::value::RawValue;
use types::catalog::{Catalog, PoolSettings};
use types::s2s::{Message, Usage};
use types::{MicroUsd, Pool, PricePerMillion};

use crate::turn::Ask;

/// Tokens that a message costs beside its text, at most, in any provider's framing.
const TOKENS_PER_MESSAGE: u64 = 8;
/// Plain text has about four bytes a token: our own count where a provider gives none.
const BYTES_PER_TOKEN: u64 = 4;

/// A fault for a test to plant: reported figures have no ceiling.
pub const CEILING_OFF: &str = "turn.ceiling_off";

/// What a request may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// The dearest model that may answer.
    pub price: PricePerMillion,
    /// Prompt tokens at most: no tokenizer makes more tokens than bytes, and no model of the pools more of a picture than
    /// they say.
    pub prompt_tokens: u64,
    /// The prompt by our own count, for a caller who left before anybody said a figure.
    pub own_prompt_tokens: u64,
    /// Completion tokens that were asked for, or the pool's default.
    pub max_tokens: u32,
    /// Completion tokens that one hold covers; a longer answer extends it. All of `max_tokens` where a model that may
    /// answer thinks without saying so.
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
        let most = |tokens: fn(&PoolSettings) -> u32| {
            pools.iter().map(|pool| tokens(catalog.pool(*pool))).max().map_or(0, u64::from)
        };
        let Size { bytes, images } = size(ask);
        let image_tokens = most(|pool| pool.image_tokens).saturating_mul(images);
        let hides_reasoning = pools
            .iter()
            .flat_map(|pool| &catalog.pool(*pool).models)
            .any(|id| catalog.models.get(id).is_some_and(|model| model.hidden_reasoning));
        Self {
            price: catalog.dearest(pools),
            prompt_tokens: bytes + most(|pool| pool.system_tokens) + image_tokens,
            own_prompt_tokens: bytes.div_ceil(BYTES_PER_TOKEN) + image_tokens,
            max_tokens,
            slice: if hides_reasoning { max_tokens } else { max_tokens.min(settings.hold_slice_tokens) },
        }
    }

    /// What is believed of reported figures: never more than the request could use (SPEC §14, "Ceiling").
    #[must_use]
    pub fn clamp(&self, reported: Usage) -> Usage {
        if types::failpoint::is_planted(CEILING_OFF) {
            return reported;
        }
        Usage::new(
            reported.prompt_tokens.min(self.prompt_tokens),
            reported.completion_tokens.min(self.max_tokens.into()),
        )
    }

    /// The same request at another price.
    #[must_use]
    pub fn at(self, price: PricePerMillion) -> Self {
        Self { price, ..self }
    }

    /// Micro-USD to set aside for the prompt and `completion_tokens`: at least 1, where the model is free, too, because
    /// each answer has a hold.
    #[must_use]
    pub fn cost(&self, completion_tokens: u32) -> MicroUsd {
        self.price.charge(self.prompt_tokens, u64::from(completion_tokens)).max(MicroUsd(1))
    }

    /// Tokens to reserve against a key's day.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens + u64::from(self.slice)
    }

    /// The largest `max_tokens` that `available` micro-USD pay for; 0 when not even one.
    #[must_use]
    pub fn affordable(&self, available: MicroUsd) -> u32 {
        if available < MicroUsd(1) {
            return 0;
        }
        let left = i128::from(available.0) * 1_000_000
            - i128::from(self.prompt_tokens) * i128::from(self.price.input);
        let tokens = match self.price.output {
            0 => i128::from(self.max_tokens),
            output => left / i128::from(output),
        };
        u32::try_from(tokens.clamp(0, i128::from(self.max_tokens))).expect("clamped to a u32")
    }
}

/// What a prompt is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    /// UTF-8 bytes of every text sent, and a little for each message. JSON text is never shorter than what it encodes.
    bytes: u64,
    /// Pictures: what one counts has nothing to do with the bytes that name it.
    images: u64,
}

fn size(ask: &Ask) -> Size {
    let raw = |value: &Option<Box<RawValue>>| value.as_ref().map_or(0, |value| value.get().len());
    let mut bytes = raw(&ask.tools) + raw(&ask.tool_choice) + raw(&ask.response_format) + ask.options.bytes();
    let mut images = 0;
    for message in &ask.messages {
        let content = message.content_size();
        bytes += content.bytes + raw(&message.tool_calls) + message.name.as_ref().map_or(0, String::len);
        images += content.images;
    }
    if ask.messages.is_empty() {
        bytes += ask.prompt.len();
    }
    let count = |number: usize, most: u64| u64::try_from(number).unwrap_or(most);
    let framing = TOKENS_PER_MESSAGE * count(ask.messages.len().max(1), u64::MAX / 32);
    Size { bytes: count(bytes, u64::MAX / 2) + framing, images: count(images, u64::MAX) }
}

/// Pictures of a conversation.
pub(crate) fn images(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.content_size().images).sum()
}
