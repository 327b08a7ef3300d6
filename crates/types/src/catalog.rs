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
    /// Packs of credits by slug; without the section, those of SPEC §2.
    #[serde(default = "default_packs")]
    pub packs: BTreeMap<String, Pack>,
    /// How packs are paid for.
    #[serde(default)]
    pub payments: Payments,
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
    /// Which addresses of pictures it may be given. Left out: `https` where the address is the vendor's own, else `data`,
    /// because a server on our own network would fetch from inside it.
    #[serde(default)]
    pub image_urls: Option<ImageUrls>,
}

/// Which addresses of pictures a provider may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageUrls {
    /// `data:` only: the provider fetches nothing.
    Data,
    /// Those, and `https:` of public hosts, which the provider fetches.
    Https,
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
    /// The model thinks without saying so: its tokens show only in the last figures. Its whole `max_tokens` is set aside
    /// before it is asked, because nothing it sends says how far it has come.
    #[serde(default)]
    pub hidden_reasoning: bool,
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
    /// Prompt tokens that one picture may count at most with any of the models; part of the worst case. 0: the pool takes
    /// no pictures.
    #[serde(default)]
    pub image_tokens: u32,
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

/// A pack of credits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// What buyers read.
    pub name: String,
    /// The price in USD as decimal text, with at most six decimals: `"10"`, `"4.99"`.
    pub price_usd: String,
    /// Micro-USD of credit that are bought.
    pub credits_micro: i64,
    /// What comes on top, in basis points of the credits (500 = 5 %); rounded down.
    #[serde(default)]
    pub bonus_bps: u32,
    /// Days until the credits expire, counted from the payment; left out: never.
    #[serde(default)]
    pub expires_days: Option<u16>,
}

impl Pack {
    /// Micro-USD of credit that come on top.
    #[must_use]
    pub fn bonus_micro(&self) -> i64 {
        let product = i128::from(self.credits_micro) * i128::from(self.bonus_bps) / 10_000;
        i64::try_from(product).unwrap_or(i64::MAX)
    }
}

fn default_packs() -> BTreeMap<String, Pack> {
    let pack = |name: &str, dollars: i64, bonus_bps| Pack {
        name: name.to_owned(),
        price_usd: dollars.to_string(),
        credits_micro: dollars * 1_000_000,
        bonus_bps,
        expires_days: Some(90),
    };
    BTreeMap::from([
        ("starter".to_owned(), pack("Starter", 5, 0)),
        ("standard".to_owned(), pack("Standard", 10, 500)),
        ("premium".to_owned(), pack("Premium", 25, 1_000)),
    ])
}

/// Coins on offer. The minimum of each is asked of the vendor, so the list is short and chosen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    /// The vendor's names of coins, in the order in which they are offered.
    pub coins: Vec<String>,
    /// The coin in which the merchant is paid out: a minimum belongs to a pair.
    pub payout_coin: String,
}

/// A page shows them all, and each costs a question to the vendor every few minutes.
pub const COINS_AT_MOST: usize = 20;

impl Default for Payments {
    fn default() -> Self {
        let coins = ["btc", "eth", "usdttrc20", "ltc"];
        Self { coins: coins.map(str::to_owned).to_vec(), payout_coin: "usdttrc20".to_owned() }
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
        faults.extend(self.pack_faults());
        faults
    }

    fn pack_faults(&self) -> Vec<String> {
        let is_word = |text: &str| {
            let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=40).contains(&text.len()) && text.bytes().all(is_fine)
        };
        let mut faults = Vec::new();
        for (slug, pack) in &self.packs {
            if !is_word(slug) {
                faults.push(format!("packs.{slug}: a slug has lower-case letters, digits and dashes"));
            }
            if !is_price(&pack.price_usd) {
                faults.push(format!(
                    "packs.{slug}: price_usd is a decimal number above 0 with at most six decimals, in quotes"
                ));
            }
            // A tenth of the range: whatever is added to a balance then stays far from its end.
            if pack.credits_micro <= 0 || pack.credits_micro > i64::MAX / 10 || pack.bonus_bps > 10_000 {
                faults.push(format!("packs.{slug}: credits_micro starts at 1, bonus_bps ends at 10000"));
            }
            if pack.expires_days == Some(0) {
                faults.push(format!("packs.{slug}: expires_days starts at 1; leave it out for never"));
            }
        }
        let Payments { coins, payout_coin } = &self.payments;
        if coins.len() > COINS_AT_MOST || !coins.iter().chain([payout_coin]).all(|coin| is_word(coin)) {
            faults.push(format!("payments: at most {COINS_AT_MOST} coins, by the vendor's lower-case names"));
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
        self.dearest_of(pools.iter().flat_map(|pool| &self.pool(*pool).models).map(String::as_str))
    }

    /// The dearest price, part by part, among `models`.
    pub fn dearest_of<'m>(&self, models: impl IntoIterator<Item = &'m str>) -> PricePerMillion {
        let prices = models.into_iter().filter_map(|id| self.models.get(id)).map(Model::price);
        prices.fold(PricePerMillion { input: 0, output: 0 }, |dearest, price| PricePerMillion {
            input: dearest.input.max(price.input),
            output: dearest.output.max(price.output),
        })
    }

    /// Those of the pool's models that `can_answer`, in their order; scripted text only where no model can.
    pub fn answering(&self, pool: Pool, can_answer: impl Fn(&str) -> bool) -> Vec<&str> {
        let models = self.pool(pool).models.iter().map(String::as_str).filter(|id| can_answer(id));
        let (real, scripted): (Vec<_>, Vec<_>) = models.partition(|id| !self.is_scripted(id));
        if real.is_empty() { scripted } else { real }
    }

    /// Whether a script makes the model's text.
    #[must_use]
    pub fn is_scripted(&self, model: &str) -> bool {
        let provider = self.models.get(model).and_then(|model| self.providers.get(&model.provider));
        provider.is_some_and(|provider| provider.kind == ProviderKind::Scripted)
    }

    /// The cheapest pool that lists the model.
    #[must_use]
    pub fn pool_of(&self, model: &str) -> Option<Pool> {
        Pool::ALL.into_iter().find(|pool| self.pool(*pool).models.iter().any(|id| id == model))
    }
}

/// Digits, and perhaps a point and up to six more; not all of them zero.
fn is_price(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    is_number(whole)
        && is_number(decimals)
        && whole.len() <= 9
        && decimals.len() <= 6
        && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
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
    fn the_default_packs_are_those_of_the_contract() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("the default is checked here");
        let total = |slug: &str| catalog.packs[slug].credits_micro + catalog.packs[slug].bonus_micro();
        assert_eq!(
            [total("starter"), total("standard"), total("premium")],
            [5_000_000, 10_500_000, 27_500_000]
        );
        assert_eq!(catalog.packs, default_packs());
        assert_eq!(catalog.payments, Payments::default());
    }

    #[test]
    fn a_pack_that_cannot_be_sold_is_a_fault() {
        let wrong = [
            ("price_usd = \"10\"", "price_usd = \"ten\""),
            ("price_usd = \"10\"", "price_usd = \"0.00\""),
            ("price_usd = \"10\"", "price_usd = \"1.0000001\""),
            ("credits_micro = 10000000", "credits_micro = 0"),
            ("bonus_bps = 500", "bonus_bps = 10001"),
            ("payout_coin = \"usdttrc20\"", "payout_coin = \"USDT\""),
        ];
        for (right, wrong) in wrong {
            let text = DEFAULT_TOML.replace(right, wrong);
            assert_ne!(text, DEFAULT_TOML, "{right}");
            assert_eq!(Catalog::parse(&text).expect_err(wrong).0.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_bonus_rounds_down() {
        let pack = |credits_micro| Pack { credits_micro, ..default_packs()["standard"].clone() };
        assert_eq!([19, 20, 39].map(|credits| pack(credits).bonus_micro()), [0, 1, 1]);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let text = DEFAULT_TOML.replace("provider = \"scripted\"", "provider = \"nobody\"");
        let faults = Catalog::parse(&text).expect_err("no such provider").0;
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(Catalog::parse("pools = 3").is_err());
    }
}
