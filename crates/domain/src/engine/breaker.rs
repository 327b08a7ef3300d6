//! The breaker (SPEC §4): three failures in a row open it, after 30 s one request may try, and its end decides.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// How long it stays open.
const PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Lets a request through, or says how long to wait.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match state.open_until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                // Half open: this one tries, the others wait for what becomes of it.
                state.open_until = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn succeeded(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failures > 0 {
            *state = State::default();
            metrics::gauge!("engine_breaker_open").set(0.0);
        }
    }

    pub(super) fn failed(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.open_until = Some(Instant::now() + PAUSE);
            metrics::gauge!("engine_breaker_open").set(1.0);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.open_until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let breaker = Breaker::default();
        breaker.failed();
        breaker.failed();
        breaker.succeeded();
        breaker.failed();
        breaker.failed();
        assert!(breaker.admit().is_ok());
        breaker.failed();
        assert!(breaker.admit().is_err_and(|wait| wait <= PAUSE));
    }

    #[test]
    fn after_the_pause_one_request_tries_and_its_success_closes_it() {
        let breaker = Breaker::default();
        (0..3).for_each(|_| breaker.failed());
        breaker.0.lock().expect("no test panics in here").open_until = Some(Instant::now());
        assert!(breaker.admit().is_ok());
        assert!(breaker.admit().is_err(), "only one tries");
        breaker.succeeded();
        assert!(breaker.admit().is_ok());
    }
}
