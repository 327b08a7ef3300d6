//! Agents as the engine reads them: one view, through a port that `server` fills, and the personalities derived from it.
//!
//! What always holds: a token of freeside that names an agent is answered with that agent's personality or not at all;
//! what is remembered is bounded and at most [`FRESH_SECONDS`] old, unless the view cannot be read. Deliberately absent:
//! SQL, and everything else about an agent: who holds it and who may talk to it is freeside's.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use types::Clock;

use crate::failure::Failure;
use crate::personality::Personality;

/// A change of traits or overrides shows after so long.
pub const FRESH_SECONDS: i64 = 10;
/// While the view cannot be read, what was derived stands for so long: a restart of a database, not a day.
pub const STALE_SECONDS: i64 = 600;
/// Personalities remembered at most, a kilobyte or two each; past that all are forgotten and derived anew.
const REMEMBERED_AT_MOST: usize = 10_000;
/// The answer waits no longer for the view.
const PATIENCE: Duration = Duration::from_secs(2);
/// As long as a slug may be.
const SLUG_BYTES_AT_MOST: usize = 63;
/// 256 bits in decimal.
const TOKEN_DIGITS_AT_MOST: usize = 78;

/// What the view says of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentRow {
    /// The collection's slug.
    pub slug: String,
    /// Decimal.
    pub token_id: String,
    /// Grows when traits or overrides change.
    pub version: i32,
    /// What people call it.
    pub name: String,
    /// Names and values, in the metadata's order.
    pub traits: Vec<(String, String)>,
    /// What its community says instead of what would be derived.
    pub overrides: BTreeMap<String, String>,
}

/// The view cannot be read now; the source has logged why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agents cannot be read")]
pub struct Unreadable;

/// What a source answers; `None`: there is no such agent.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<AgentRow>, Unreadable>> + Send + 'a>>;

/// Where agents are read.
pub trait AgentSource: Send + Sync {
    /// The agent of a collection's token.
    fn read<'a>(&'a self, slug: &'a str, token: &'a str) -> Answer<'a>;
}

/// No agents: an engine without a view answers pools and models only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAgents;

impl AgentSource for NoAgents {
    fn read<'a>(&'a self, _slug: &'a str, _token: &'a str) -> Answer<'a> {
        Box::pin(async { Ok(None) })
    }
}

/// The personalities that this engine knows.
pub(crate) struct Agents {
    source: Arc<dyn AgentSource>,
    clock: Clock,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    read_at: i64,
    personality: Arc<Personality>,
}

impl Agents {
    pub(crate) fn new(source: Arc<dyn AgentSource>, clock: Clock) -> Self {
        Self { source, clock, known: Mutex::default() }
    }

    /// Who speaks, by the claim of a token; `None`: the claim names nobody, and nobody's personality speaks.
    pub(crate) async fn speaker(&self, nft_id: &str) -> Result<Option<Arc<Personality>>, Failure> {
        if nft_id.is_empty() {
            return Ok(None);
        }
        let (slug, token) = parts(nft_id).ok_or(Failure::UnknownAgent)?;
        let now = self.clock.now().unix_timestamp();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(nft_id).cloned();
        if let Some(known) = &known
            && now - known.read_at < FRESH_SECONDS
        {
            return Ok(Some(Arc::clone(&known.personality)));
        }
        let read = tokio::time::timeout(PATIENCE, self.source.read(slug, token)).await;
        match read.unwrap_or(Err(Unreadable)) {
            Ok(Some(row)) => {
                // The same version of the same agent is the same personality: it is kept, not copied.
                let personality = match known {
                    Some(known) if known.personality.is_of(&row) => known.personality,
                    _ => Arc::new(Personality::derive(&row)),
                };
                let known = Known { read_at: now, personality: Arc::clone(&personality) };
                let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                if all.len() >= REMEMBERED_AT_MOST {
                    all.clear();
                }
                all.insert(nft_id.to_owned(), known);
                Ok(Some(personality))
            }
            Ok(None) => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(nft_id);
                Err(Failure::UnknownAgent)
            }
            Err(Unreadable) => {
                metrics::counter!("finn_agents_unreadable_total").increment(1);
                let stale = known.filter(|known| now - known.read_at < STALE_SECONDS);
                stale.map(|known| Some(known.personality)).ok_or(Failure::AgentsUnreadable)
            }
        }
    }
}

/// Slug and token of a claim; only what can stand in a header passes.
fn parts(nft_id: &str) -> Option<(&str, &str)> {
    let (slug, token) = nft_id.split_once(':')?;
    let is_of_a_slug = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_slug = (1..=SLUG_BYTES_AT_MOST).contains(&slug.len()) && slug.bytes().all(is_of_a_slug);
    let is_token =
        (1..=TOKEN_DIGITS_AT_MOST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit());
    (is_slug && is_token).then_some((slug, token))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use time::macros::datetime;

    use super::*;

    /// Answers what it is told to, and counts how often it was asked.
    struct Fake {
        answer: Mutex<Result<Option<AgentRow>, Unreadable>>,
        asked: AtomicUsize,
    }

    impl AgentSource for Arc<Fake> {
        fn read<'a>(&'a self, _slug: &'a str, _token: &'a str) -> Answer<'a> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answer.lock().expect("nobody panics with it").clone();
            Box::pin(async { answer })
        }
    }

    fn row(version: i32) -> AgentRow {
        AgentRow { slug: "demo".to_owned(), token_id: "7".to_owned(), version, ..AgentRow::default() }
    }

    #[tokio::test]
    async fn a_personality_is_remembered_refreshed_and_outlives_a_short_silence() {
        let fake = Arc::new(Fake { answer: Mutex::new(Ok(Some(row(1)))), asked: AtomicUsize::new(0) });
        let clock = Clock::fixed(datetime!(2026-01-01 0:00 UTC));
        let agents = Agents::new(Arc::new(Arc::clone(&fake)), clock.clone());
        let says = |answer| *fake.answer.lock().expect("nobody panics with it") = answer;
        let id = async || agents.speaker("demo:7").await.map(|speaker| speaker.expect("named").id.clone());
        for _ in 0..3 {
            assert_eq!(id().await.as_deref(), Ok("demo:7@1"));
        }
        assert_eq!(fake.asked.load(Ordering::SeqCst), 1);
        says(Ok(Some(row(2))));
        clock.advance(time::Duration::seconds(FRESH_SECONDS));
        assert_eq!(id().await.as_deref(), Ok("demo:7@2"));
        says(Err(Unreadable));
        clock.advance(time::Duration::seconds(STALE_SECONDS - 1));
        assert_eq!(id().await.as_deref(), Ok("demo:7@2"));
        clock.advance(time::Duration::seconds(1));
        assert_eq!(id().await, Err(Failure::AgentsUnreadable));
        says(Ok(None));
        assert_eq!(id().await, Err(Failure::UnknownAgent));
    }

    #[tokio::test]
    async fn nobody_is_nobody_and_a_strange_name_is_never_looked_up() {
        let agents = Agents::new(Arc::new(NoAgents), Clock::system());
        assert_eq!(agents.speaker("").await, Ok(None));
        assert_eq!(agents.speaker("demo:7").await, Err(Failure::UnknownAgent));
        for name in ["demo", ":7", "demo:", "Demo:7", "demo:7\n", "demo:-7", "de mo:7", "demo:7:8"] {
            assert_eq!(parts(name), None, "{name}");
        }
        assert_eq!(parts("demo-2:700"), Some(("demo-2", "700")));
    }
}
