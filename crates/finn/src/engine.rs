//! The engine: the configured providers, and the search for a model that speaks.
//!
//! One deadline covers all attempts up to the first token. The chain is walked only while nothing was said; the engine
//! never asks one provider twice for one request.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use types::catalog::{Catalog, ProviderKind};
use types::s2s::InferenceRequest;
use types::{Clock, Pool};

use crate::agents::{AgentSource, Agents, NoAgents};
use crate::failure::Failure;
use crate::guards::{Health, Leave, ModelGuard, ProviderGuard};
use crate::jwks::JwksCache;
use crate::metering::{self, Meter, UsageSink};
use crate::personality::Personality;
use crate::prompt;
use crate::providers::anthropic::Anthropic;
use crate::providers::openai::Openai;
use crate::providers::scripted::{Commands, Scripted};
use crate::providers::{Call, Provider, Source};
use crate::route::{self, Reason, Wish};
use crate::secret::Secret;
use crate::transcript::{End, Transcript};
use crate::verifier::replay::ReplayGuard;
use crate::verifier::{Caller, Verifier};
use client::Client;

/// Answers in flight at once; more are told to come back. Each holds a request and two connections.
const MAX_IN_FLIGHT: usize = 8192;
/// While other models wait their turn, one attempt takes at most this part of the time that is left.
const SHARE_OF_TIME_LEFT: u32 = 2;
/// Contract versions that were warned about are remembered up to this many.
const MAX_VERSIONS_SEEN: usize = 16;

/// Prints the metrics for `GET /metrics`, or refuses the caller.
pub type RenderMetrics = Arc<dyn Fn(MetricsCaller<'_>) -> Option<String> + Send + Sync>;

/// Who asks for the metrics.
#[derive(Clone, Copy, Debug)]
pub struct MetricsCaller<'a> {
    /// The peer is this machine and speaks for nobody else.
    pub is_local: bool,
    /// The token of `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
}

/// Everything the engine is told. It reads no environment.
#[derive(Clone)]
pub struct Settings {
    /// Providers, models and pools.
    pub catalog: Arc<Catalog>,
    /// Where freeside publishes its keys.
    pub jwks_url: String,
    /// Keys by provider name; an empty one counts as absent.
    pub keys: BTreeMap<String, Secret>,
    /// Base URLs by provider name that replace the catalog's.
    pub base_urls: BTreeMap<String, String>,
    /// Between two chunks of a scripted answer (20 ms looks alive).
    pub scripted_pace: Duration,
    /// Whether scripted models answer.
    pub scripted: ScriptedModels,
    /// The time.
    pub clock: Clock,
    /// For `/metrics`; without it the route does not exist.
    pub render_metrics: Option<RenderMetrics>,
}

/// Whether scripted models answer. Where they do, a chain still never mixes them with real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptedModels {
    /// They are off, as a provider without a key.
    Off,
    /// They answer, and take no commands from a prompt.
    On,
    /// They answer, and obey the commands of a prompt (development).
    Commanded,
}

/// Everything that is wrong with the settings, all at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsFaults(pub Vec<String>);

/// One provider and its guard.
struct Slot {
    provider: Provider,
    guard: Option<Arc<ProviderGuard>>,
}

struct Reachable {
    upstream_model: String,
    context_tokens: u32,
    slot: Arc<Slot>,
    guard: Arc<ModelGuard>,
}

impl Reachable {
    /// Leave to ask it, or why not now; `None` for a scripted model, which needs none.
    fn leave(&self, caller: &Caller) -> Result<Option<Leave>, Failure> {
        let provider = self.slot.guard.as_ref();
        provider.map(|provider| Leave::take(provider, &self.guard, caller)).transpose()
    }
}

/// The engine. One per process, behind an `Arc`.
pub struct Engine {
    pub(crate) verifier: Verifier,
    pub(crate) jwks: Arc<JwksCache>,
    pub(crate) usage: Arc<dyn UsageSink>,
    pub(crate) clock: Clock,
    pub(crate) render_metrics: Option<RenderMetrics>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) agents: Agents,
    catalog: Arc<Catalog>,
    /// Models whose provider is on, by catalog id.
    models: HashMap<String, Reachable>,
    versions_seen: Mutex<Vec<String>>,
}

/// A model has begun to speak.
pub(crate) struct Started {
    pub(crate) pool: Pool,
    pub(crate) model: String,
    pub(crate) reason: Reason,
    pub(crate) source: Source,
    pub(crate) transcript: Transcript,
    pub(crate) health: Option<Health>,
}

impl Engine {
    /// Builds an engine without agents; every fault of the settings is named.
    pub fn new(
        settings: Settings,
        replay: Arc<dyn ReplayGuard>,
        usage: Arc<dyn UsageSink>,
    ) -> Result<Arc<Self>, SettingsFaults> {
        Self::with_agents(settings, replay, usage, Arc::new(NoAgents))
    }

    /// Builds the engine; every fault of the settings is named.
    pub fn with_agents(
        settings: Settings,
        replay: Arc<dyn ReplayGuard>,
        usage: Arc<dyn UsageSink>,
        agents: Arc<dyn AgentSource>,
    ) -> Result<Arc<Self>, SettingsFaults> {
        let client = Client::new();
        let mut faults = Vec::new();
        let jwks = JwksCache::new(&settings.jwks_url, client.clone(), settings.clock.clone())
            .map_err(|error| faults.push(error.to_string()));
        let slots = slots(&settings, &client, &mut faults);
        let mut models = HashMap::new();
        for (id, model) in &settings.catalog.models {
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
                faults.push(format!("models.{id:?}: an id is visible ASCII, because headers carry it"));
            }
            if let Some(slot) = slots.get(&model.provider) {
                let upstream_model = model.upstream_model.clone();
                let context_tokens = model.context_tokens;
                let (slot, guard) = (Arc::clone(slot), ModelGuard::new(settings.clock.clone()));
                models.insert(id.clone(), Reachable { upstream_model, context_tokens, slot, guard });
            }
        }
        let (Ok(jwks), true) = (jwks, faults.is_empty()) else { return Err(SettingsFaults(faults)) };
        let jwks = Arc::new(jwks);
        Ok(Arc::new(Self {
            verifier: Verifier::new(Arc::clone(&jwks), replay, settings.clock.clone()),
            jwks,
            usage,
            agents: Agents::new(agents, settings.clock.clone()),
            clock: settings.clock,
            render_metrics: settings.render_metrics,
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            catalog: settings.catalog,
            models,
            versions_seen: Mutex::default(),
        }))
    }

    /// The key cache, for whoever wants to wait for or watch it.
    #[must_use]
    pub fn jwks(&self) -> &Arc<JwksCache> {
        &self.jwks
    }

    /// Why this engine should get no traffic now; empty when it should.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match self.jwks.age_seconds() {
            None => problems.push("the key set was never fetched".to_owned()),
            Some(age) if !self.jwks.is_fresh() => problems.push(format!("the key set is {age} s old")),
            Some(_) => {}
        }
        let silent = self.pools_without_a_model();
        // A pool without a model is refused to whoever asks it; the others are served.
        if silent.len() == Pool::ALL.len() {
            problems.push("no model of any pool is on".to_owned());
        }
        problems
    }

    /// Pools that nobody answers: their providers are off.
    #[must_use]
    pub fn pools_without_a_model(&self) -> Vec<Pool> {
        let is_silent =
            |pool: &Pool| !self.catalog.pool(*pool).models.iter().any(|id| self.models.contains_key(id));
        Pool::ALL.into_iter().filter(is_silent).collect()
    }

    /// Catalog ids of the models whose provider is on, sorted.
    #[must_use]
    pub fn models_on(&self) -> Vec<&str> {
        self.models_where(|_| true)
    }

    /// Catalog ids of the models that can answer now: on, and not refused by their provider lately. Sorted.
    #[must_use]
    pub fn models_now(&self) -> Vec<&str> {
        self.models_where(|model| {
            let is_refused = model.slot.guard.as_ref().is_some_and(|provider| provider.refuses());
            !is_refused && !model.guard.is_refused(&self.clock)
        })
    }

    fn models_where(&self, is_meant: impl Fn(&Reachable) -> bool) -> Vec<&str> {
        let meant = self.models.iter().filter(|(_, model)| is_meant(model));
        let mut ids: Vec<&str> = meant.map(|(id, _)| id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    /// Warns once about each foreign contract version; never blocks.
    pub(crate) fn note_contract_version(&self, version: &str) {
        if version == types::s2s::CONTRACT_VERSION {
            return;
        }
        metrics::counter!("finn_contract_mismatch_total").increment(1);
        let mut seen = self.versions_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MAX_VERSIONS_SEEN && !seen.iter().any(|other| other == version) {
            seen.push(version.to_owned());
            tracing::warn!(
                theirs = version,
                ours = types::s2s::CONTRACT_VERSION,
                "the contract versions differ"
            );
        }
    }

    /// Finds a model that speaks. Dropping the future ends whatever attempt is under way.
    pub(crate) async fn start(
        &self,
        caller: &Caller,
        request: &InferenceRequest,
        speaker: Option<&Personality>,
        began: Instant,
    ) -> Result<Started, Failure> {
        let wish = Wish {
            allowed: &caller.allowed_pools,
            tier: caller.tier,
            pool: request.requested_pool,
            model: request.requested_model.as_deref(),
            may_answer: request.allowed_models.as_deref(),
            affinities: speaker.map(|speaker| speaker.affinities),
        };
        let route = route::choose(&self.catalog, |id| self.models.contains_key(id), wish)?;
        let pool = self.catalog.pool(route.pool);
        let deadline = began + Duration::from_secs(pool.first_token_seconds.into());
        let prompt_tokens = metering::tokens(prompt::quarters(request))
            + prompt::images(request).saturating_mul(pool.image_tokens.into());
        let mut told = None;
        for (position, id) in route.chain.iter().copied().enumerate() {
            let model = self.models.get(id).expect("a chain names models that are on");
            let leave = match model.leave(caller) {
                Ok(leave) => leave,
                Err(resting) => {
                    tell(&mut told, resting);
                    continue;
                }
            };
            let max_tokens = request.max_tokens.unwrap_or(pool.default_max_tokens).min(model.context_tokens);
            let call = Call { upstream_model: &model.upstream_model, request, max_tokens };
            let transcript = Transcript::new(id, Meter::new(prompt_tokens, max_tokens));
            let transcript = if speaker.is_some() { transcript.filtered() } else { transcript };
            let is_last = position + 1 == route.chain.len();
            let until = if is_last { deadline } else { share(deadline) };
            let attempt = tokio::time::timeout_at(until, first_token(&model.slot.provider, call, transcript));
            match attempt.await.unwrap_or(Err(Failure::Timeout)) {
                Ok((source, transcript)) => {
                    let first_choice =
                        matches!(route.reason, Reason::Requested | Reason::Default | Reason::Affinity);
                    let reason = if position > 0 && first_choice { Reason::Fallback } else { route.reason };
                    metrics::histogram!("finn_first_token_seconds", "pool" => route.pool.as_str())
                        .record(began.elapsed().as_secs_f64());
                    return Ok(Started {
                        pool: route.pool,
                        model: id.to_owned(),
                        reason,
                        source,
                        transcript,
                        health: leave.map(Leave::begun),
                    });
                }
                Err(failure) => {
                    tracing::warn!(
                        model = id,
                        code = failure.code(),
                        "a model failed before its first token"
                    );
                    if let Some(leave) = leave {
                        leave.failed(&failure);
                    }
                    let next_may_try = failure.next_model_may_try();
                    tell(&mut told, failure);
                    if !next_may_try || Instant::now() >= deadline {
                        break;
                    }
                    if !is_last {
                        metrics::counter!("finn_fallbacks_total", "pool" => route.pool.as_str()).increment(1);
                    }
                }
            }
        }
        Err(told.unwrap_or(Failure::NoModel))
    }
}

/// What the caller is told of a chain that failed: the last failure, unless an earlier one says more.
fn tell(told: &mut Option<Failure>, failure: Failure) {
    if told.is_none() || !failure.says_little() {
        *told = Some(failure);
    }
}

fn share(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / SHARE_OF_TIME_LEFT
}

async fn first_token(
    provider: &Provider,
    call: Call<'_>,
    mut transcript: Transcript,
) -> Result<(Source, Transcript), Failure> {
    let mut source = provider.open(call).await?;
    loop {
        poll_fn(|context| source.poll_read(context, &mut transcript)).await;
        match transcript.end() {
            // Thoughts that were not handed over are no reason to keep a model that failed.
            Some(End::Failed(failure)) if !transcript.delivered() => return Err(failure.clone()),
            Some(End::Failed(_) | End::Done) => return Ok((source, transcript)),
            None if transcript.has_begun() => return Ok((source, transcript)),
            None => {}
        }
    }
}

/// The providers that are on: scripted ones, and those that have an address and the key they name.
fn slots(settings: &Settings, client: &Client, faults: &mut Vec<String>) -> BTreeMap<String, Arc<Slot>> {
    let mut slots = BTreeMap::new();
    for (name, provider) in &settings.catalog.providers {
        let key = settings.keys.get(name).filter(|key| !key.is_empty());
        let base_url = settings.base_urls.get(name).or(provider.base_url.as_ref());
        let needs_key = provider.api_key_env.is_some();
        let built = match (provider.kind, base_url) {
            (ProviderKind::Scripted, _) => match settings.scripted {
                ScriptedModels::Off => continue,
                ScriptedModels::On => Ok(scripted(settings, Commands::Ignored)),
                ScriptedModels::Commanded => Ok(scripted(settings, Commands::Obeyed)),
            },
            (_, None) => continue,
            _ if needs_key && key.is_none() => continue,
            (ProviderKind::Openai, Some(url)) => {
                Openai::new(client.clone(), url, key, provider.image_urls).map(Provider::Openai)
            }
            (ProviderKind::Anthropic, Some(url)) => {
                Anthropic::new(client.clone(), url, key, provider.image_urls).map(Provider::Anthropic)
            }
        };
        match built {
            Ok(built) => {
                let guard = (provider.kind != ProviderKind::Scripted)
                    .then(|| ProviderGuard::new(name, settings.clock.clone()));
                slots.insert(name.clone(), Arc::new(Slot { provider: built, guard }));
            }
            Err(error) => faults.push(format!("providers.{name}: {error}")),
        }
    }
    slots
}

fn scripted(settings: &Settings, commands: Commands) -> Provider {
    Provider::Scripted(Scripted { pace: settings.scripted_pace, commands })
}
