//! What keeps requests away from a provider or a model for a while: its breaker, a wait that it asked for, and refusals of
//! our account or model name.
//!
//! What always holds: an account whose requests fail or are refused keeps itself away first; a second account has to
//! confirm it before it holds for all (`types::breaker`). A wait that the provider asked for holds for all at once,
//! because its limit is one for all of us. Scripted models have no guard: they fail only because somebody asked them to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};
use types::Clock;
use types::breaker::{Breaker, Change, Permit, Rule, Scope};

use crate::failure::{Failure, Verdict};
use crate::verifier::Caller;

/// A refusal of our account or of a model name is told to the operator once in this time, for each status.
const ALERT_EVERY: Duration = Duration::minutes(1);

/// The guard of one provider.
pub(crate) struct ProviderGuard {
    name: String,
    clock: Clock,
    health: Arc<Breaker>,
    refusals: Refusals,
    rest: Mutex<Option<Rest>>,
    alerted: Mutex<HashMap<u16, OffsetDateTime>>,
}

/// The guard of one model.
pub(crate) struct ModelGuard(Refusals);

/// A wait that the provider asked for.
struct Rest {
    until: OffsetDateTime,
    /// 429 or 529.
    why: Failure,
}

/// Refusals of our account or model name.
struct Refusals {
    breaker: Arc<Breaker>,
    /// The last one, and its status; gone with the next answer.
    last: Mutex<Option<(OffsetDateTime, u16)>>,
}

/// Leave for one attempt at a model. Dropped untold (the client left), nothing is learned.
pub(crate) struct Leave {
    provider: Arc<ProviderGuard>,
    model: Arc<ModelGuard>,
    health: Permit,
    of_provider: Permit,
    of_model: Permit,
}

/// Leave for the rest of an answer that has begun.
pub(crate) struct Health {
    provider: Arc<ProviderGuard>,
    permit: Permit,
}

impl ProviderGuard {
    pub(crate) fn new(name: &str, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            health: Breaker::new(Rule::FAILURES, clock.clone()),
            refusals: Refusals::new(clock.clone()),
            rest: Mutex::default(),
            alerted: Mutex::default(),
            clock,
        })
    }

    /// Whether it has refused our account lately.
    pub(crate) fn refuses(&self) -> bool {
        self.refusals.happened_lately(self.clock.now())
    }

    fn resting(&self) -> Option<Failure> {
        let now = self.clock.now();
        let mut rest = lock(&self.rest);
        let Rest { until, why } = rest.as_ref()?;
        if *until <= now {
            *rest = None;
            return None;
        }
        let left = *until - now;
        let seconds = left.whole_seconds() + i64::from(left.subsec_nanoseconds() > 0);
        let retry_after_s = u32::try_from(seconds).ok();
        Some(match why {
            Failure::Overloaded { .. } => Failure::Overloaded { retry_after_s },
            _ => Failure::RateLimited { retry_after_s },
        })
    }

    /// Leaves the provider alone for as long as it asked for. One that said nothing is asked again at once.
    fn rest(&self, seconds: u32, why: &Failure) {
        let until = self.clock.now() + Duration::seconds(seconds.into());
        let mut rest = lock(&self.rest);
        if seconds > 0 && rest.as_ref().is_none_or(|rest| rest.until < until) {
            *rest = Some(Rest { until, why: why.clone() });
        }
    }

    /// Counts a refusal of our account or model name, and tells the operator once in a while.
    fn alert(&self, status: u16) {
        let labels = [("provider", self.name.clone()), ("status", status.to_string())];
        metrics::counter!("finn_provider_refused_total", &labels).increment(1);
        let now = self.clock.now();
        let mut alerted = lock(&self.alerted);
        if alerted.get(&status).is_some_and(|last| now - *last < ALERT_EVERY) {
            return;
        }
        alerted.insert(status, now);
        drop(alerted);
        let provider = &self.name;
        tracing::error!(
            provider,
            status,
            "a model's provider refused our account or model name: check its key, its bill, and the model's upstream_model"
        );
    }

    fn changed(&self, change: Option<Change>) {
        let (open, scope) = match change {
            None => return,
            Some(Change::Opened(scope)) => (true, scope),
            Some(Change::Recovered(scope)) => (false, scope),
        };
        let provider = &self.name;
        match scope {
            Scope::Account => {
                tracing::info!(provider, open, "the provider's breaker changed for one account");
            }
            Scope::All => {
                let value = if open { 1.0 } else { 0.0 };
                metrics::gauge!("finn_breaker_open", "provider" => provider.clone()).set(value);
                tracing::warn!(provider, open, "the provider's breaker changed");
            }
        }
    }
}

impl ModelGuard {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self(Refusals::new(clock)))
    }

    /// Whether its provider has lately said that there is no such model.
    pub(crate) fn is_refused(&self, clock: &Clock) -> bool {
        self.0.happened_lately(clock.now())
    }
}

impl Leave {
    /// Leave to ask `model` of `provider`, or why not now.
    pub(crate) fn take(
        provider: &Arc<ProviderGuard>,
        model: &Arc<ModelGuard>,
        caller: &Caller,
    ) -> Result<Self, Failure> {
        if let Some(resting) = provider.resting() {
            return Err(resting);
        }
        let account = (&caller.community_id, &caller.payer);
        let request = &caller.budget_reservation_id;
        let refused = |refusals: &Refusals| {
            let status = refusals.status();
            refusals.breaker.permit(&account, request).map_err(|_| Failure::Misconfigured(status))
        };
        let (of_provider, of_model) = (refused(&provider.refusals)?, refused(&model.0)?);
        let health = provider
            .health
            .permit(&account, request)
            .map_err(|closed| Failure::BreakerOpen { retry_after_s: closed.wait_s() })?;
        let (provider, model) = (Arc::clone(provider), Arc::clone(model));
        Ok(Self { provider, model, health, of_provider, of_model })
    }

    /// The model speaks: neither it nor our account is refused. How the answer ends is still open.
    pub(crate) fn begun(self) -> Health {
        self.provider.refusals.answered(self.of_provider);
        self.model.0.answered(self.of_model);
        Health { provider: self.provider, permit: self.health }
    }

    /// There was no first token.
    pub(crate) fn failed(self, failure: &Failure) {
        match failure {
            Failure::Misconfigured(status @ (404 | 410)) => {
                self.model.0.refused(*status, self.of_model, self.provider.clock.now());
            }
            Failure::Misconfigured(status) => {
                self.provider.refusals.refused(*status, self.of_provider, self.provider.clock.now());
            }
            Failure::RateLimited { retry_after_s: Some(seconds) }
            | Failure::Overloaded { retry_after_s: Some(seconds) } => self.provider.rest(*seconds, failure),
            _ => {}
        }
        Health { provider: self.provider, permit: self.health }.settle(Some(failure));
    }
}

impl Health {
    /// The answer's end.
    pub(crate) fn settle(self, failure: Option<&Failure>) {
        if let Some(Failure::Misconfigured(status)) = failure {
            self.provider.alert(*status);
        }
        let change = match failure.map_or(Verdict::Well, Failure::verdict) {
            Verdict::Unwell => self.permit.failed(),
            Verdict::Well => self.permit.succeeded(),
            Verdict::Unknown => None,
        };
        self.provider.changed(change);
    }
}

impl Refusals {
    fn new(clock: Clock) -> Self {
        Self { breaker: Breaker::new(Rule::REFUSALS, clock), last: Mutex::default() }
    }

    fn refused(&self, status: u16, permit: Permit, now: OffsetDateTime) {
        *lock(&self.last) = Some((now, status));
        permit.failed();
    }

    fn answered(&self, permit: Permit) {
        *lock(&self.last) = None;
        permit.succeeded();
    }

    fn happened_lately(&self, now: OffsetDateTime) -> bool {
        lock(&self.last).is_some_and(|(at, _)| now - at < Rule::REFUSALS.pause)
    }

    /// The status of the last one; 404 where an answer to another account has cleared it.
    fn status(&self) -> u16 {
        lock(&self.last).map_or(404, |(_, status)| status)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
