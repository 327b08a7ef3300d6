//! Who answers: a provider that is on, and for each pool a model of one; scripted text in development, and in production
//! only where the operator has said so.
//!
//! What always holds: a production engine that could sell scripted text, or has a pool that nobody answers, does not
//! start. A process without the engine's role knows nothing of it: the keys of the providers are the engine's.

use types::Pool;
use types::catalog::{Catalog, ProviderKind};

use super::finding::Finding;
use super::role::Role;
use super::settings::{Environment, ScriptedText, Settings};

const ALLOW: &str = "FREESIDE_ALLOW_SCRIPTED";

impl ScriptedText {
    /// What becomes of scripted models here.
    pub(super) fn of(environment: Environment, is_allowed: bool) -> Self {
        match (environment, is_allowed) {
            (Environment::Development, _) => Self::Commanded,
            (Environment::Production, true) => Self::Allowed,
            (Environment::Production, false) => Self::Off,
        }
    }
}

/// What keeps an engine of production from starting.
pub(super) fn faults(settings: &Settings) -> Vec<Finding> {
    if settings.environment == Environment::Development || !settings.roles.has(Role::Finn) {
        return Vec::new();
    }
    if !settings.has_real_provider() && settings.scripted == ScriptedText::Off {
        let keys = keys_of(&settings.catalog, |_| true);
        return vec![Finding::new(
            keys.last().copied().unwrap_or("FREESIDE_CONFIG"),
            "and the keys of all other providers are missing, so nobody would answer",
            format!(
                "Set {}, or write {ALLOW}=true to serve scripted text, labelled as such.",
                one_of(&keys, "the address of a provider in the catalog")
            ),
        )];
    }
    without_a_model(settings).collect()
}

/// What is worth a word.
pub(super) fn warnings(settings: &Settings) -> Vec<Finding> {
    if !settings.roles.has(Role::Finn) {
        return Vec::new();
    }
    match settings.environment {
        Environment::Development => without_a_model(settings).collect(),
        Environment::Production if settings.scripted == ScriptedText::Allowed => vec![Finding::new(
            ALLOW,
            "is true: pools without a real model answer with scripted text",
            "Take it away once every pool has a model of a provider.",
        )],
        Environment::Production => Vec::new(),
    }
}

/// Pools that nobody would answer, each with what would change that.
fn without_a_model(settings: &Settings) -> impl Iterator<Item = Finding> + '_ {
    let catalog = &settings.catalog;
    settings.pools_without_a_model().into_iter().map(move |pool| {
        let models = &catalog.pool(pool).models;
        let keys = keys_of(catalog, |model| models.iter().any(|id| id == model));
        Finding::new(
            "FREESIDE_CONFIG",
            format!("pools.{pool}: no model of it is on ({})", models.join(", ")),
            format!(
                "Set {}, or name a model of a provider that is on in pools.{pool} of the catalog.",
                one_of(&keys, "the address of their provider")
            ),
        )
    })
}

/// The variables that hold the keys of the providers of these models.
fn keys_of(catalog: &Catalog, is_meant: impl Fn(&str) -> bool) -> Vec<&str> {
    let models = catalog.models.iter().filter(|(id, _)| is_meant(id));
    let providers = models.filter_map(|(_, model)| catalog.providers.get(&model.provider));
    let real = providers.filter(|provider| provider.kind != ProviderKind::Scripted);
    let mut names: Vec<&str> = real
        .filter_map(|provider| provider.api_key_env.as_deref().or(provider.base_url_env.as_deref()))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn one_of(names: &[&str], otherwise: &str) -> String {
    if names.is_empty() { otherwise.to_owned() } else { names.join(" or ") }
}

impl Settings {
    /// Pools of which no model's provider is on.
    pub fn pools_without_a_model(&self) -> Vec<Pool> {
        let is_on = |id: &String| {
            let model = self.catalog.models.get(id);
            let access = model.and_then(|model| self.providers.get(&model.provider));
            access.is_some_and(|access| access.is_on)
        };
        Pool::ALL.into_iter().filter(|pool| !self.catalog.pool(*pool).models.iter().any(is_on)).collect()
    }
}
