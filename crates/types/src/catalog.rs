//! The catalog: one TOML file of providers, models, prices and pools (SPEC §5, §12).
//!
//! finn reads providers, models and pools; freeside reads prices and hold sizes. finn never looks at a price.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Pool, PricePerMillion};

/// The catalog that stands behind an empty configuration: scripted models, and real ones where a key is set.
pub const DEFAULT_TOML: &str = include_str!("default_catalog.toml");

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Providers by name; a model refers to one.
    pub providers: BTreeMap<String, Provider>,
    /// Models by id: the id that callers ask for and that `X-Model-Used` names.
    pub models: BTreeMap<String, Model>,
    /// Pools by name.
    pub pools: BTreeMap<Pool, PoolSettings>,
    /// What a sandbox key gets.
    #[serde(default)]
    pub sandbox: Sandbox,
}

/// How a provider is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The dialect.
    pub kind: ProviderKind,
    /// Its address up to, and with, the version folder (`https://api.openai.com/v1`); `scripted` has none.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The variable that overrides `base_url`.
    #[serde(default)]
    pub base_url_env: Option<String>,
    /// The variable that holds the key; a provider that names one and finds it empty is off.
    #[serde(default)]
    pub api_key_env: Option<String>,
}

/// A provider's dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenAI's chat completions: OpenAI, vLLM, llama.cpp, Ollama.
    Openai,
    /// Anthropic's messages.
    Anthropic,
    /// Deterministic text made here, labelled as such.
    Scripted,
}

/// A model and its price.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A name in `providers`.
    pub provider: String,
    /// The provider's own name of the model.
    pub upstream_model: String,
    /// Prompt and completion together, in tokens.
    pub context_tokens: u32,
    /// Micro-USD per million prompt tokens.
    pub input_micro_per_million: i64,
    /// Micro-USD per million completion tokens.
    pub output_micro_per_million: i64,
}

impl Model {
    /// The model's price.
    #[must_use]
    pub fn price(&self) -> PricePerMillion {
        PricePerMillion { input: self.input_micro_per_million, output: self.output_micro_per_million }
    }
}

/// A pool: its models in the order in which they are tried, and its limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSettings {
    /// Ids in `models`; the first whose provider is on answers, the others are the fall-back chain.
    pub models: Vec<String>,
    /// Tokens that the engine may add to a prompt (personality); part of the worst case.
    #[serde(default)]
    pub system_tokens: u32,
    /// `max_tokens` when the caller names none.
    pub default_max_tokens: u32,
    /// Completion tokens that one hold covers at most; longer answers extend it slice by slice.
    pub hold_slice_tokens: u32,
    /// Seconds to the first token over all attempts (SPEC §4).
    #[serde(default = "first_token_seconds")]
    pub first_token_seconds: u32,
}

fn first_token_seconds() -> u32 {
    60
}

/// The free allowance of a sandbox key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// Tokens of the cheap pool that a day's lot is worth.
    pub tokens_per_day: u32,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { tokens_per_day: 10_000 }
    }
}

/// Everything that is wrong with a catalog, all at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct CatalogFaults(pub Vec<String>);

impl Catalog {
    /// Reads and checks a catalog.
    pub fn parse(text: &str) -> Result<Self, CatalogFaults> {
        let catalog: Self = toml::from_str(text).map_err(|error| CatalogFaults(vec![error.to_string()]))?;
        let faults = catalog.faults();
        if faults.is_empty() { Ok(catalog) } else { Err(CatalogFaults(faults)) }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (id, model) in &self.models {
            if !self.providers.contains_key(&model.provider) {
                faults.push(format!("models.{id}: there is no provider \"{}\"", model.provider));
            }
            if model.input_micro_per_million < 0 || model.output_micro_per_million < 0 {
                faults.push(format!("models.{id}: a price may not be negative"));
            }
            if id.parse::<Pool>().is_ok() || id == "native" || id.starts_with("agent:") {
                faults.push(format!("models.{id}: this name is taken by a pool or an agent"));
            }
        }
        for pool in Pool::ALL {
            match self.pools.get(&pool) {
                None => faults.push(format!("pools.{pool} is missing")),
                Some(settings) => {
                    if settings.models.is_empty() {
                        faults.push(format!("pools.{pool}: it needs at least one model"));
                    }
                    for id in settings.models.iter().filter(|id| !self.models.contains_key(*id)) {
                        faults.push(format!("pools.{pool}: there is no model \"{id}\""));
                    }
                    if settings.hold_slice_tokens == 0 || settings.default_max_tokens == 0 {
                        faults.push(format!(
                            "pools.{pool}: default_max_tokens and hold_slice_tokens start at 1"
                        ));
                    }
                }
            }
        }
        for (name, provider) in &self.providers {
            if provider.kind != ProviderKind::Scripted
                && provider.base_url.is_none()
                && provider.base_url_env.is_none()
            {
                faults.push(format!("providers.{name}: base_url or base_url_env is needed"));
            }
        }
        faults
    }

    /// The settings of a pool; a checked catalog has all five.
    #[must_use]
    pub fn pool(&self, pool: Pool) -> &PoolSettings {
        self.pools.get(&pool).expect("a checked catalog has every pool")
    }

    /// The dearest price, part by part, among the models of `pools`: what a hold is sized by.
    #[must_use]
    pub fn dearest(&self, pools: &[Pool]) -> PricePerMillion {
        pools.iter().flat_map(|pool| &self.pool(*pool).models).filter_map(|id| self.models.get(id)).fold(
            PricePerMillion { input: 0, output: 0 },
            |dearest, model| PricePerMillion {
                input: dearest.input.max(model.input_micro_per_million),
                output: dearest.output.max(model.output_micro_per_million),
            },
        )
    }

    /// The cheapest pool that lists the model.
    #[must_use]
    pub fn pool_of(&self, model: &str) -> Option<Pool> {
        Pool::ALL.into_iter().find(|pool| self.pool(*pool).models.iter().any(|id| id == model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_catalog_is_sound() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("the default is checked here");
        assert!(catalog.dearest(&[Pool::Flagship]).output >= catalog.dearest(&[Pool::Cheap]).output);
        assert_eq!(catalog.pool_of("scripted-cheap"), Some(Pool::Cheap));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let text = DEFAULT_TOML.replace("provider = \"scripted\"", "provider = \"nobody\"");
        let faults = Catalog::parse(&text).expect_err("no such provider").0;
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(Catalog::parse("pools = 3").is_err());
    }
}
