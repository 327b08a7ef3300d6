//! A breaker per provider: after three consecutive failures it is left alone for 30 s, then one request may try.
//!
//! Scripted models have none: they fail only because somebody asked them to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use types::Clock;

/// Consecutive failures that open it (SPEC §4).
const FAILURES_TO_OPEN: u32 = 3;
/// It stays open this long, then lets one request through.
pub const OPEN_SECONDS: u32 = 30;

/// The breaker of one provider.
#[derive(Debug)]
pub struct Breaker {
    provider: String,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_since: Option<OffsetDateTime>,
    probing: bool,
}

/// Leave for one request. Tell it how the request went; dropped untold (the client left), nothing is learned.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    is_probe: bool,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(provider: &str, clock: Clock) -> Arc<Self> {
        Arc::new(Self { provider: provider.to_owned(), clock, state: Mutex::default() })
    }

    /// Leave for one request, or `None` while the provider is left alone.
    #[must_use]
    pub fn permit(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state();
        let is_probe = match state.open_since {
            None => false,
            Some(since) => {
                let rested = (self.clock.now() - since).whole_seconds() >= i64::from(OPEN_SECONDS);
                if !rested || state.probing {
                    return None;
                }
                state.probing = true;
                true
            }
        };
        Some(Permit { breaker: Arc::clone(self), is_probe })
    }

    /// Requests are being turned away.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state().open_since.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, open: bool) {
        let value = if open { 1.0 } else { 0.0 };
        metrics::gauge!("finn_breaker_open", "provider" => self.provider.clone()).set(value);
        tracing::warn!(provider = self.provider, open, "the provider's breaker changed");
    }
}

impl Permit {
    /// The provider answered.
    pub fn succeeded(self) {
        let mut state = self.breaker.state();
        // An answer that began before the breaker opened proves nothing about now.
        if state.open_since.is_some() && !self.is_probe {
            return;
        }
        state.failures = 0;
        let closes = state.open_since.take().is_some();
        drop(state);
        if closes {
            self.breaker.show(false);
        }
    }

    /// The provider is unwell.
    pub fn failed(self) {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        let was_open = state.open_since.is_some();
        if self.is_probe || (!was_open && state.failures >= FAILURES_TO_OPEN) {
            state.open_since = Some(self.breaker.clock.now());
        }
        let opens = !was_open && state.open_since.is_some();
        drop(state);
        if opens {
            self.breaker.show(true);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.state().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn fail(breaker: &Arc<Breaker>) {
        breaker.permit().expect("closed").failed();
    }

    #[test]
    fn three_failures_open_it_and_one_probe_decides() {
        let clock = Clock::fixed(datetime!(2026-01-01 0:00 UTC));
        let breaker = Breaker::new("p", clock.clone());
        fail(&breaker);
        fail(&breaker);
        breaker.permit().expect("closed").succeeded();
        fail(&breaker);
        fail(&breaker);
        assert!(!breaker.is_open(), "consecutive ones count");
        fail(&breaker);
        assert!(breaker.permit().is_none());
        clock.advance(time::Duration::seconds(29));
        assert!(breaker.permit().is_none());
        clock.advance(time::Duration::seconds(1));
        let probe = breaker.permit().expect("half open");
        assert!(breaker.permit().is_none(), "one at a time");
        drop(probe);
        breaker.permit().expect("a probe whose client left frees the place").failed();
        assert!(breaker.permit().is_none(), "open again");
        clock.advance(time::Duration::seconds(30));
        breaker.permit().expect("half open").succeeded();
        assert!(!breaker.is_open());
    }
}
