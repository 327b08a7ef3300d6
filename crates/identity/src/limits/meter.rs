//! One payer's counts, and those of its keys that are allowed less.

use std::time::Duration;

use time::Date;
use types::{KeyId, TokenDay};

use super::window::Window;
use super::{BUSY_RETRY, IDLE_MS, Now, Of, RateHeaders, SEEDED_FOR_MS, SEEDED_SPREAD_MS, Seeding};
use crate::ApiKey;
use crate::keys::KeyLimits;

/// One payer's counts.
pub(super) struct Meter {
    requests: Window,
    pub(super) tokens: Tokens,
    /// What all keys may do together: the usual limits of their kind, or those of a key to which an operator gave more.
    most: KeyLimits,
    /// Counts of keys that are allowed less than that. A payer has few keys: ten at once, twenty new ones a day.
    narrow: Vec<Narrow>,
    pub(super) seen_ms: i64,
}

/// The counts of a key that is allowed less than its account.
pub(super) struct Narrow {
    key: KeyId,
    requests: Window,
    pub(super) tokens: Tokens,
    seen_ms: i64,
}

/// Tokens of one day.
pub(super) struct Tokens {
    day: Date,
    used: u64,
    reserved: u64,
    /// The last reading, and when it was taken or last asked for.
    read: Option<(TokenDay, i64)>,
}

impl Meter {
    pub(super) fn new(usual: KeyLimits, now: Now) -> Self {
        Self {
            requests: Window::default(),
            tokens: Tokens::new(now),
            most: usual,
            narrow: Vec::new(),
            seen_ms: now.ms,
        }
    }

    /// Drops what is a minute or a day old.
    pub(super) fn pass_time(&mut self, now: Now) {
        self.seen_ms = now.ms;
        self.requests.forget(now.ms);
        self.tokens.pass_time(now);
        for narrow in &mut self.narrow {
            narrow.requests.forget(now.ms);
            narrow.tokens.pass_time(now);
        }
    }

    /// Takes note of a key's limits: they raise the account's, or get a count of their own.
    pub(super) fn know(&mut self, key: &ApiKey, now: Now) {
        self.most.requests_per_minute = self.most.requests_per_minute.max(key.requests_per_minute);
        self.most.tokens_per_day = self.most.tokens_per_day.max(key.tokens_per_day);
        let is_narrow = key.requests_per_minute < self.most.requests_per_minute
            || key.tokens_per_day < self.most.tokens_per_day;
        if !is_narrow {
            return;
        }
        if let Some(known) = self.narrow(key) {
            known.seen_ms = now.ms;
            return;
        }
        self.narrow.retain(|narrow| narrow.tokens.reserved > 0 || now.ms - narrow.seen_ms < IDLE_MS);
        self.narrow.push(Narrow {
            key: key.id,
            requests: Window::default(),
            tokens: Tokens::new(now),
            seen_ms: now.ms,
        });
    }

    /// The key's own counts, when it is allowed less than the account.
    pub(super) fn narrow(&mut self, key: &ApiKey) -> Option<&mut Narrow> {
        self.narrow.iter_mut().find(|narrow| narrow.key == key.id)
    }

    pub(super) fn tokens_of(&mut self, key: &ApiKey, of: Of) -> Option<&mut Tokens> {
        match of {
            Of::Account => Some(&mut self.tokens),
            Of::Key => self.narrow(key).map(|narrow| &mut narrow.tokens),
        }
    }

    /// Whether a request of it is in flight.
    pub(super) fn is_in_use(&self) -> bool {
        self.tokens.reserved > 0
    }

    /// Milliseconds until one more request fits both minutes; 0 when it does now.
    pub(super) fn wait_ms(&mut self, key: &ApiKey, now: Now) -> u64 {
        let account = self.requests.wait_ms(now.ms, self.most.requests_per_minute);
        let own = self.narrow(key).map(|narrow| narrow.requests.wait_ms(now.ms, key.requests_per_minute));
        account.max(own.unwrap_or(0))
    }

    /// Counts a request.
    pub(super) fn push(&mut self, key: &ApiKey, now: Now) {
        self.requests.push(now.ms, self.most.requests_per_minute);
        if let Some(narrow) = self.narrow(key) {
            narrow.requests.push(now.ms, key.requests_per_minute);
        }
    }

    /// Why the worst case does not fit: when to try again, and whether it never fits.
    pub(super) fn refusal(&mut self, key: &ApiKey, worst_case: u64, now: Now) -> Option<(Duration, bool)> {
        let midnight = Duration::from_secs(u64::from(now.day_left_s));
        if worst_case > key.tokens_per_day {
            return Some((midnight, true));
        }
        let most = self.most.tokens_per_day;
        let account = self.tokens.lacks(worst_case, most);
        let own = self.narrow(key).and_then(|narrow| narrow.tokens.lacks(worst_case, key.tokens_per_day));
        match (account, own) {
            (None, None) => None,
            (Some(Lack::Used), _) | (_, Some(Lack::Used)) => Some((midnight, false)),
            (Some(Lack::InFlight), _) | (_, Some(Lack::InFlight)) => Some((BUSY_RETRY.min(midnight), false)),
        }
    }

    /// Sets the worst case aside; the key, when its own count has it as well.
    pub(super) fn reserve(&mut self, key: &ApiKey, worst_case: u64) -> Option<KeyId> {
        self.tokens.reserved += worst_case;
        let narrow = self.narrow(key)?;
        narrow.tokens.reserved += worst_case;
        Some(narrow.key)
    }

    /// Sets more aside for an answer that grows, where the day of the account and of the key has it left.
    pub(super) fn extend(&mut self, narrow: Option<KeyId>, tokens_per_day: u64, more: u64) -> bool {
        let own = self.narrow.iter_mut().find(|own| Some(own.key) == narrow);
        if self.tokens.lacks(more, self.most.tokens_per_day).is_some()
            || own.as_ref().is_some_and(|own| own.tokens.lacks(more, tokens_per_day).is_some())
        {
            return false;
        }
        self.tokens.reserved += more;
        if let Some(own) = own {
            own.tokens.reserved += more;
        }
        true
    }

    /// Replaces a worst case by what was used.
    pub(super) fn correct(&mut self, narrow: Option<KeyId>, worst_case: u64, actual: u64, now: Now) {
        self.tokens.correct(worst_case, actual);
        let own = self.narrow.iter_mut().find(|own| Some(own.key) == narrow);
        if let Some(own) = own {
            own.seen_ms = now.ms;
            own.tokens.correct(worst_case, actual);
        }
    }

    /// Where the key stands: with what is left of its own limits, or of the account's when that is less.
    pub(super) fn headers(&mut self, key: &ApiKey, now: Now) -> RateHeaders {
        let most = self.most;
        let mut remaining_requests = most.requests_per_minute.saturating_sub(self.requests.total());
        let mut reset_requests_s = self.requests.reset_s(now.ms);
        let mut remaining_tokens = self.tokens.remaining(most.tokens_per_day);
        if let Some(narrow) = self.narrow(key) {
            let own = key.requests_per_minute.saturating_sub(narrow.requests.total());
            if own <= remaining_requests {
                (remaining_requests, reset_requests_s) = (own, narrow.requests.reset_s(now.ms));
            }
            remaining_tokens = remaining_tokens.min(narrow.tokens.remaining(key.tokens_per_day));
        }
        RateHeaders {
            limit_requests: key.requests_per_minute,
            remaining_requests,
            reset_requests_s,
            limit_tokens: key.tokens_per_day,
            remaining_tokens,
            reset_tokens_s: now.day_left_s,
        }
    }
}

/// Why tokens do not fit a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// They were used.
    Used,
    /// It would fit if the requests in flight used nothing: their corrections may make room at any moment.
    InFlight,
}

impl Tokens {
    fn new(now: Now) -> Self {
        Self { day: now.day, used: 0, reserved: 0, read: None }
    }

    fn pass_time(&mut self, now: Now) {
        if self.day < now.day {
            self.day = now.day;
            self.used = 0;
        }
    }

    fn lacks(&self, worst_case: u64, most: u64) -> Option<Lack> {
        let settled = self.used.saturating_add(worst_case);
        if settled > most {
            return Some(Lack::Used);
        }
        (settled.saturating_add(self.reserved) > most).then_some(Lack::InFlight)
    }

    fn correct(&mut self, worst_case: u64, actual: u64) {
        self.reserved = self.reserved.saturating_sub(worst_case);
        self.used = self.used.saturating_add(actual);
    }

    fn remaining(&self, most: u64) -> u64 {
        most.saturating_sub(self.used).saturating_sub(self.reserved)
    }

    pub(super) fn is_read(&self) -> bool {
        self.read.is_some()
    }

    pub(super) fn seeding(&mut self, id: i64, now: Now) -> Seeding {
        let spread_ms = id.rem_euclid(SEEDED_SPREAD_MS);
        match &mut self.read {
            None => Seeding::Unknown,
            Some((_, at)) if now.ms - *at < SEEDED_FOR_MS + spread_ms => Seeding::Known,
            Some((read, at)) => {
                *at = now.ms;
                Seeding::Stale(*read)
            }
        }
    }

    pub(super) fn seed(&mut self, read: TokenDay, now: Now) {
        if self.day == read.day {
            self.used = self.used.max(read.used);
        }
        self.read = Some((read, now.ms));
    }
}
