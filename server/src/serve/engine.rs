//! finn's role: its settings from ours, and the replay set that several processes share when there is Redis.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use finn::{AgentSource, Discard, MemoryReplay, ReplayGuard, WithFallback};
use metrics_exporter_prometheus::PrometheusHandle;
use types::Clock;

use super::replay::RedisReplay;
use crate::config::{ScriptedText, Settings};

/// The engine of this process.
pub(crate) async fn build(
    settings: &Settings,
    clock: &Clock,
    gateway: SocketAddr,
    metrics: &PrometheusHandle,
    agents: Arc<dyn AgentSource>,
) -> anyhow::Result<Arc<finn::Engine>> {
    let (mut keys, mut base_urls) = (BTreeMap::new(), BTreeMap::new());
    for (name, access) in settings.providers.iter().filter(|(_, access)| access.is_on) {
        if let Some(key) = &access.api_key {
            keys.insert(name.clone(), finn::Secret::new(key.reveal()));
        }
        if let Some(url) = &access.base_url {
            base_urls.insert(name.clone(), url.as_str().to_owned());
        }
    }
    let replay: Arc<dyn ReplayGuard> = match &settings.redis_url {
        Some(url) => Arc::new(WithFallback::new(Arc::new(RedisReplay::connect(url.reveal()).await?))),
        None => Arc::new(MemoryReplay::new()),
    };
    let render = metrics.clone();
    let engine_settings = finn::Settings {
        catalog: Arc::clone(&settings.catalog),
        jwks_url: settings.jwks_url_at(gateway),
        keys,
        base_urls,
        scripted_pace: settings.scripted_pace,
        scripted: match settings.scripted {
            ScriptedText::Off => finn::ScriptedModels::Off,
            ScriptedText::Allowed => finn::ScriptedModels::On,
            ScriptedText::Commanded => finn::ScriptedModels::Commanded,
        },
        clock: clock.clone(),
        render_metrics: Some(Arc::new(move || render.render())),
    };
    Ok(finn::Engine::with_agents(engine_settings, replay, Arc::new(Discard), agents)?)
}
