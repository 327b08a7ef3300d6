//! finn's role: its settings from ours, and the replay set that several processes share when there is Redis.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use finn::{AgentSource, Discard, MemoryReplay, ReplayGuard, WithFallback};
use metrics_exporter_prometheus::PrometheusHandle;
use types::Clock;

use super::replay::RedisReplay;
use crate::config::{ScriptedText, Settings};
use crate::routes::OperatorToken;

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
    let operator = settings.operator_token.as_ref().map(|token| OperatorToken::new(token.reveal()));
    // As at the gateway: behind a proxy, who is on this machine says nothing.
    let is_behind_proxy = !settings.trusted_proxies.0.is_empty();
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
        render_metrics: Some(Arc::new(move |caller| {
            let has_token = operator.as_ref().zip(caller.bearer).is_some_and(|(token, text)| token.is(text));
            let may_read = has_token || (caller.is_local && !is_behind_proxy);
            may_read.then(|| own_metrics(&render.render()))
        })),
    };
    Ok(finn::Engine::with_agents(engine_settings, replay, Arc::new(Discard), agents)?)
}

/// The engine's own metrics: in one process with the gateway, the gateway's are for the gateway's address.
fn own_metrics(all: &str) -> String {
    let of_finn = all.split_inclusive('\n').filter(|line| {
        let name = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
        name.starts_with("finn_")
    });
    of_finn.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finn_shows_its_own_metrics_alone() {
        let all = "# HELP finn_up Up.\n# TYPE finn_up gauge\nfinn_up{a=\"b\"} 1\n\n# TYPE ledger_x counter\nledger_x 2\n";
        assert_eq!(own_metrics(all), "# HELP finn_up Up.\n# TYPE finn_up gauge\nfinn_up{a=\"b\"} 1\n");
    }
}
