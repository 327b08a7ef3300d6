//! A circuit breaker that one caller cannot open for the others (SPEC §14). finn has one for each provider, the gateway
//! one for the engine.
//!
//! What always holds:
//! * a request counts once, whatever its retries: the caller names it, and a name that has counted counts no more;
//! * failed requests of one account open the breaker for that account alone;
//! * it opens for all after failed requests in a row (no success of anybody between them) of two or more accounts;
//! * after the pause one request at a time may try. A failed probe closes the way for the account that probed; only the
//!   failed probes of two accounts leave everybody outside for another pause. So one account whose requests always fail
//!   cannot keep a breaker open for others either;
//! * memory is bounded: accounts and requests are kept as 64-bit hashes, and at most [`MAX_ACCOUNTS`] of them.
//!
//! What is deliberately absent: what counts as a failure (the caller knows), metrics and logs (the caller writes them from
//! the [`Change`] that it gets).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

use crate::Clock;

/// Accounts with recent failures that a breaker remembers. Beyond it the one whose last failure is the longest ago is
/// forgotten, which at worst lets one more of its requests through.
pub const MAX_ACCOUNTS: usize = 1024;
/// Whoever waits for another request's probe waits at least this long.
const SHORTEST_WAIT: Duration = Duration::SECOND;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Failed requests of one account that open it for that account.
    pub of_one: usize,
    /// Failed requests in a row that open it for all.
    pub of_all: usize,
    /// Accounts that must be among them.
    pub accounts: usize,
    /// How long it stays open before one request may try.
    pub pause: Duration,
}

impl Rule {
    /// For what fails: SPEC §14's three, and §4's 30 seconds.
    pub const FAILURES: Self = Self { of_one: 3, of_all: 3, accounts: 2, pause: Duration::seconds(30) };
    /// For what refuses our account or model name: it will refuse the next request, too, unless it was the request's
    /// fault. So one refusal is enough for the account, and a second account's confirms it for all.
    pub const REFUSALS: Self = Self { of_one: 1, of_all: 2, accounts: 2, pause: Duration::seconds(60) };
}

/// The breaker of one thing that many accounts share.
#[derive(Debug)]
pub struct Breaker {
    rule: Rule,
    clock: Clock,
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last failed requests since the last success; while open, the failed probes since it opened.
    run: Vec<Failed>,
    open: Option<Opening>,
    accounts: HashMap<u64, Account>,
}

/// A request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed {
    account: u64,
    request: u64,
}

/// Since when the breaker is open, and whether a request is trying.
#[derive(Clone, Copy, Debug)]
struct Opening {
    since: OffsetDateTime,
    probing: bool,
}

#[derive(Debug)]
struct Account {
    /// Its failed requests since its last success.
    requests: Vec<u64>,
    open: Option<Opening>,
    last: OffsetDateTime,
}

/// For whom a breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The account that asked.
    Account,
    /// Everybody.
    All,
}

/// No request may pass now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Until a try makes sense.
    pub wait: Duration,
    /// For whom.
    pub scope: Scope,
}

impl Closed {
    /// The wait in whole seconds, rounded up.
    #[must_use]
    pub fn wait_s(&self) -> u32 {
        let seconds = self.wait.whole_seconds() + i64::from(self.wait.subsec_nanoseconds() > 0);
        u32::try_from(seconds).unwrap_or(0).max(1)
    }
}

/// What the end of a request changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Requests are turned away from now on.
    Opened(Scope),
    /// Requests pass again.
    Recovered(Scope),
}

/// Leave for one attempt. Tell it how the attempt went; dropped untold (the client left), nothing is learned.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    who: Failed,
    own_probe: bool,
    probe: bool,
}

impl Breaker {
    /// A breaker through which everybody passes.
    #[must_use]
    pub fn new(rule: Rule, clock: Clock) -> Arc<Self> {
        Arc::new(Self { rule, clock, hasher: RandomState::new(), state: Mutex::default() })
    }

    /// Leave for an attempt of the request `request` of `account`; an error while it is open for the account or for all.
    pub fn permit(
        self: &Arc<Self>,
        account: &(impl Hash + ?Sized),
        request: &(impl Hash + ?Sized),
    ) -> Result<Permit, Closed> {
        let who = Failed { account: self.hasher.hash_one(account), request: self.hasher.hash_one(request) };
        let now = self.clock.now();
        let mut state = self.state();
        let state = &mut *state;
        let own = state.accounts.get_mut(&who.account).and_then(|account| account.open.as_mut());
        let all = state.open.as_mut();
        // Both are asked before either is taken: a refused request takes nobody's place as a probe.
        for (opening, scope) in [(&own, Scope::Account), (&all, Scope::All)] {
            if let Some(wait) = opening.as_ref().and_then(|opening| opening.wait(self.rule, now)) {
                return Err(Closed { wait, scope });
            }
        }
        let take = |opening: Option<&mut Opening>| opening.map(|opening| opening.probing = true).is_some();
        let (own_probe, probe) = (take(own), take(all));
        Ok(Permit { breaker: Arc::clone(self), who, own_probe, probe })
    }

    /// Requests of everybody are being turned away.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    /// How long a request has to wait; `None` when it may try.
    fn wait(self, rule: Rule, now: OffsetDateTime) -> Option<Duration> {
        let rested = now - self.since;
        if rested < rule.pause { Some(rule.pause - rested) } else { self.probing.then_some(SHORTEST_WAIT) }
    }
}

impl Permit {
    /// The other side answered.
    pub fn succeeded(self) -> Option<Change> {
        let mut state = self.breaker.state();
        let mut change = None;
        // An answer that began before the breaker opened proves nothing about now.
        let own_is_open = state.accounts.get(&self.who.account).is_some_and(|account| account.open.is_some());
        if self.own_probe || !own_is_open {
            state.accounts.remove(&self.who.account);
            change = own_is_open.then_some(Change::Recovered(Scope::Account));
        }
        if self.probe || state.open.is_none() {
            state.run.clear();
            if state.open.take().is_some() {
                change = Some(Change::Recovered(Scope::All));
            }
        }
        change
    }

    /// The other side is unwell.
    pub fn failed(self) -> Option<Change> {
        let rule = self.breaker.rule;
        let now = self.breaker.clock.now();
        let mut state = self.breaker.state();
        let state = &mut *state;
        let own = state.fail_of(self.who, now, rule, self.own_probe || self.probe);
        // What began before the breaker opened says nothing more than what opened it.
        if state.open.is_some() && !self.probe {
            return own;
        }
        if !state.run.iter().any(|failed| failed.request == self.who.request) {
            state.run.push(self.who);
        }
        if state.run.len() > rule.of_all {
            state.run.remove(0);
        }
        let mut accounts: Vec<u64> = state.run.iter().map(|failed| failed.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let is_confirmed = accounts.len() >= rule.accounts;
        match &mut state.open {
            Some(opening) => {
                if is_confirmed {
                    opening.since = now;
                    state.run.clear();
                }
                own
            }
            None if is_confirmed && state.run.len() >= rule.of_all => {
                state.open = Some(Opening { since: now, probing: false });
                state.run.clear();
                Some(Change::Opened(Scope::All))
            }
            None => own,
        }
    }
}

impl State {
    /// Counts a failed request of one account; a failed probe opens it for the account at once.
    fn fail_of(&mut self, who: Failed, now: OffsetDateTime, rule: Rule, probed: bool) -> Option<Change> {
        if self.accounts.len() >= MAX_ACCOUNTS && !self.accounts.contains_key(&who.account) {
            let oldest = self.accounts.iter().min_by_key(|(_, account)| account.last).map(|(key, _)| *key);
            oldest.map(|oldest| self.accounts.remove(&oldest));
        }
        let fresh = || Account { requests: Vec::new(), open: None, last: now };
        let account = self.accounts.entry(who.account).or_insert_with(fresh);
        account.last = now;
        if !account.requests.contains(&who.request) {
            account.requests.push(who.request);
        }
        let was_open = account.open.is_some();
        if account.requests.len() > rule.of_one {
            account.requests.remove(0);
        }
        if probed || (!was_open && account.requests.len() >= rule.of_one) {
            account.open = Some(Opening { since: now, probing: false });
        }
        (!was_open && account.open.is_some()).then_some(Change::Opened(Scope::Account))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.own_probe && !self.probe {
            return;
        }
        let mut state = self.breaker.state();
        if self.own_probe
            && let Some(opening) = state.accounts.get_mut(&self.who.account).and_then(|own| own.open.as_mut())
        {
            opening.probing = false;
        }
        if self.probe
            && let Some(opening) = &mut state.open
        {
            opening.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    struct Bench {
        clock: Clock,
        breaker: Arc<Breaker>,
        next: u32,
    }

    impl Bench {
        fn new(rule: Rule) -> Self {
            let clock = Clock::fixed(datetime!(2026-01-01 0:00 UTC));
            Self { breaker: Breaker::new(rule, clock.clone()), clock, next: 0 }
        }

        fn request(&mut self) -> u32 {
            self.next += 1;
            self.next
        }

        /// A request of its own that fails.
        fn fail(&mut self, account: &str) -> Option<Change> {
            let request = self.request();
            self.permit(account, request).expect("it passes").failed()
        }

        fn succeed(&mut self, account: &str) -> Option<Change> {
            let request = self.request();
            self.permit(account, request).expect("it passes").succeeded()
        }

        fn permit(&self, account: &str, request: u32) -> Result<Permit, Closed> {
            self.breaker.permit(account, &request)
        }

        fn passes(&mut self, account: &str) -> bool {
            let request = self.request();
            self.permit(account, request).is_ok()
        }

        fn wait(&self, seconds: i64) {
            self.clock.advance(Duration::seconds(seconds));
        }
    }

    const OPENED: Option<Change> = Some(Change::Opened(Scope::Account));
    const OPENED_FOR_ALL: Option<Change> = Some(Change::Opened(Scope::All));

    #[test]
    fn one_account_closes_it_for_itself_alone_however_often_it_fails() {
        let mut bench = Bench::new(Rule::FAILURES);
        for _ in 0..5 {
            assert_eq!(bench.fail("a"), None);
            assert_eq!(bench.fail("a"), None);
            assert_eq!(bench.fail("a"), OPENED);
            assert!(!bench.passes("a") && bench.passes("b"));
            bench.wait(29);
            assert!(!bench.passes("a"));
            bench.wait(1);
            assert_eq!(bench.fail("a"), None, "the probe fails, and it stays open");
            assert!(!bench.passes("a") && bench.passes("b") && !bench.breaker.is_open());
            bench.wait(30);
            assert_eq!(bench.succeed("a"), Some(Change::Recovered(Scope::Account)));
            assert!(bench.passes("a"));
        }
    }

    #[test]
    fn a_success_between_failures_starts_both_counts_anew() {
        let mut bench = Bench::new(Rule::FAILURES);
        for _ in 0..10 {
            assert_eq!((bench.fail("a"), bench.fail("a")), (None, None));
            assert_eq!(bench.succeed("a"), None);
            assert_eq!((bench.fail("a"), bench.fail("b")), (None, None));
            assert_eq!(bench.succeed("a"), None, "anybody's answer shows that it is well");
            assert_eq!(bench.succeed("b"), None);
        }
    }

    #[test]
    fn three_in_a_row_of_two_accounts_open_it_for_all() {
        let mut bench = Bench::new(Rule::FAILURES);
        assert_eq!((bench.fail("a"), bench.fail("a")), (None, None));
        assert_eq!(bench.fail("b"), OPENED_FOR_ALL);
        let closed = bench.permit("c", 99).expect_err("for everybody");
        assert_eq!((closed.scope, closed.wait_s()), (Scope::All, 30));
        bench.wait(30);
        let probe = bench.permit("c", 100).expect("half open");
        assert!(!bench.passes("d"), "one at a time");
        drop(probe);
        assert_eq!(bench.succeed("d"), Some(Change::Recovered(Scope::All)), "who left freed the place");
        assert!(bench.passes("a") && bench.passes("c"));
    }

    #[test]
    fn a_request_counts_once_whatever_its_retries() {
        let mut bench = Bench::new(Rule::FAILURES);
        let first = bench.request();
        for _ in 0..9 {
            assert_eq!(bench.permit("a", first).expect("it passes").failed(), None);
        }
        let second = bench.request();
        for _ in 0..9 {
            assert_eq!(bench.permit("b", second).expect("it passes").failed(), None, "two requests so far");
        }
        assert_eq!(bench.fail("c"), OPENED_FOR_ALL);
        let mut bench = Bench::new(Rule::FAILURES);
        let (first, second) = (bench.request(), bench.request());
        for _ in 0..9 {
            for request in [first, second] {
                assert_eq!(bench.permit("a", request).expect("it passes").failed(), None);
            }
        }
        assert_eq!(bench.fail("a"), OPENED);
    }

    #[test]
    fn one_account_s_failed_probes_never_keep_the_others_out() {
        let mut bench = Bench::new(Rule::FAILURES);
        bench.fail("a");
        bench.fail("a");
        assert_eq!(bench.fail("b"), OPENED_FOR_ALL);
        for _ in 0..5 {
            bench.wait(30);
            assert_ne!(bench.fail("a"), OPENED_FOR_ALL);
            assert!(!bench.passes("a"));
            assert!(bench.permit("c", 1).is_ok(), "another may try at once");
        }
        let first = bench.fail("c");
        assert_ne!(first, OPENED_FOR_ALL, "it was open already");
        let closed = bench.permit("d", 1).expect_err("two accounts' probes failed");
        assert_eq!(closed.scope, Scope::All);
        bench.wait(30);
        assert_eq!(bench.succeed("d"), Some(Change::Recovered(Scope::All)));
    }

    #[test]
    fn an_answer_that_began_before_it_opened_proves_nothing() {
        let mut bench = Bench::new(Rule::FAILURES);
        let (old, older) = (bench.permit("a", 1000).expect("it passes"), bench.permit("d", 1001));
        for account in ["a", "b", "c"] {
            bench.fail(account);
        }
        assert_eq!(old.succeeded(), None);
        assert_eq!(older.expect("it passed").failed(), None);
        assert!(bench.breaker.is_open() && !bench.passes("d"));
    }

    #[test]
    fn a_refusal_rests_for_its_account_and_a_second_account_confirms_it() {
        let mut bench = Bench::new(Rule::REFUSALS);
        assert_eq!(bench.fail("a"), OPENED);
        assert!(!bench.passes("a") && bench.passes("b"));
        assert_eq!(bench.fail("b"), OPENED_FOR_ALL);
        assert!(!bench.passes("c"));
        bench.wait(60);
        assert!(bench.passes("c"));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_failure_is_forgotten_first() {
        let mut bench = Bench::new(Rule { accounts: usize::MAX, ..Rule::FAILURES });
        for _ in 0..3 {
            bench.fail("first");
        }
        for number in 0..3 * MAX_ACCOUNTS {
            bench.wait(1);
            let request = bench.request();
            bench.breaker.permit(&number, &request).map(Permit::failed).expect("it passes");
        }
        assert_eq!(bench.breaker.state().accounts.len(), MAX_ACCOUNTS);
        assert!(bench.passes("first"));
    }
}
