//! The way to finn: one signed request, answered by a stream (SPEC §4).
//!
//! Retries, the breaker and every time limit of the contract live here. What always holds: a retry happens only
//! before the first token, each attempt carries a token of its own, and dropping an [`Answering`] closes the
//! connection, which is how finn learns that nobody listens. Deliberately absent: money.

mod answering;
mod available;
mod health;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::Client;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, TE};
use hyper::{Method, Request, StatusCode, Uri};
use identity::ServiceKeys;
use serde::Deserialize;
use tokio::time::Instant;
use types::breaker::{Breaker, Change, Permit, Rule, Scope};
use types::s2s::{self, Claims, headers};
use types::{Clock, Pool, ReservationId, Tier};

use available::Available;
use health::Verdict;

pub use answering::{Answerer, Answering, Broken, End, Read};

/// A health check that takes longer is none.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// SPEC §4: pauses before the second and the third attempt; up to a quarter more at random.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// After the time to the first token the engine says so itself; it gets so long for it. Only who then still says nothing
/// is unwell.
const LAST_WORD: Duration = Duration::from_secs(2);
/// A problem document of finn is a few hundred bytes.
const PROBLEM_AT_MOST: usize = 64 * 1024;

/// Who a request is signed for.
#[derive(Clone, Debug)]
pub struct Passenger {
    /// The hold that pays.
    pub reservation_id: ReservationId,
    /// Whose budget.
    pub community: types::CommunityId,
    /// Who pays, as the claims say it: what finn shares among payers is counted by it.
    pub payer: String,
    /// `{slug}:{token}`, or empty.
    pub nft_id: String,
    /// Acts as.
    pub tier: Tier,
    /// May be answered by.
    pub allowed_pools: Vec<Pool>,
    /// In both services' logs.
    pub request_id: String,
}

/// Why no answer began.
#[derive(Debug)]
pub enum EngineError {
    /// finn cannot be reached, or has failed lately and is left alone.
    Unavailable {
        /// Seconds until a try makes sense.
        retry_after_s: u32,
    },
    /// No first token within the pool's time.
    Timeout,
    /// finn answered, and it was no stream.
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its stable word.
        code: String,
        /// Its sentence.
        message: String,
        /// Seconds until a try makes sense, when it says so.
        retry_after_s: Option<u32>,
    },
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    uri: Uri,
    client: Client,
    keys: Arc<ServiceKeys>,
    clock: Clock,
    breaker: Arc<Breaker>,
    available: Available,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("uri", &self.0.uri).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

impl Engine {
    /// Speaks through `client` to the finn at `base_url`, and signs with `keys`.
    pub fn new(
        base_url: &str,
        client: Client,
        keys: Arc<ServiceKeys>,
        clock: Clock,
    ) -> Result<Self, hyper::http::uri::InvalidUri> {
        let uri = format!("{}{}", base_url.trim_end_matches('/'), s2s::INFERENCE_PATH).parse()?;
        let breaker = Breaker::new(Rule::FAILURES, clock.clone());
        Ok(Self(Arc::new(Inner { uri, client, keys, clock, breaker, available: Available::default() })))
    }

    /// Asks, again where that may help, until a provider has answered or `first_token` has passed.
    pub async fn open(
        &self,
        passenger: &Passenger,
        body: Bytes,
        first_token: Duration,
    ) -> Result<Answering, EngineError> {
        let deadline = Instant::now() + first_token;
        let mut pauses = RETRY_PAUSES.iter();
        loop {
            let permit = self.permit(passenger)?;
            let began = Instant::now();
            let attempt =
                tokio::time::timeout_at(deadline + LAST_WORD, self.attempt(passenger, body.clone()));
            let error = match attempt.await {
                Ok(Ok(answering)) => {
                    changed(permit.succeeded());
                    return Ok(answering);
                }
                Ok(Err(error)) => error,
                Err(_) => EngineError::Timeout,
            };
            let verdict = match error {
                // A later attempt had less than the whole time: the engine may be waiting for a provider.
                EngineError::Timeout if began.elapsed() < first_token => Verdict::Unknown,
                _ => error.verdict(),
            };
            match verdict {
                Verdict::Unwell => changed(permit.failed()),
                Verdict::Well => changed(permit.succeeded()),
                Verdict::Unknown => drop(permit),
            }
            let Some(pause) = pauses.next().filter(|_| error.may_be_retried()) else { return Err(error) };
            let jitter = rand::random_range(0..=pause.as_millis() / 4);
            let pause = *pause + Duration::from_millis(u64::try_from(jitter).unwrap_or(0));
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            metrics::counter!("engine_retries_total").increment(1);
            tokio::time::sleep(pause).await;
        }
    }

    /// Leave for an attempt. All attempts of a request count as one, by its reservation.
    fn permit(&self, passenger: &Passenger) -> Result<Permit, EngineError> {
        let account = (passenger.community, &passenger.payer);
        let permit = self.0.breaker.permit(&account, &passenger.reservation_id);
        permit.map_err(|closed| EngineError::Unavailable { retry_after_s: closed.wait_s() })
    }

    async fn attempt(&self, passenger: &Passenger, body: Bytes) -> Result<Answering, EngineError> {
        let request = self.request(passenger, body);
        let response = self.0.client.send(request).await.map_err(|error| {
            tracing::warn!(error = %DisplayChain(&error), request = %passenger.request_id, "the engine could not be reached");
            EngineError::Unavailable { retry_after_s: 5 }
        })?;
        warn_of_another_contract(response.headers());
        if response.status() == StatusCode::OK {
            return Ok(Answering::new(response));
        }
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after_s = wait.and_then(|text| text.parse().ok());
        let body = Limited::new(response.into_body(), PROBLEM_AT_MOST).collect().await;
        let problem = body.ok().and_then(|body| serde_json::from_slice::<Problem>(&body.to_bytes()).ok());
        let problem = problem.unwrap_or(Problem { code: String::new(), detail: String::new() });
        tracing::warn!(status, code = %problem.code, request = %passenger.request_id, "the engine refused");
        Err(EngineError::Refused { status, code: problem.code, message: problem.detail, retry_after_s })
    }

    fn request(&self, passenger: &Passenger, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.0.uri.clone();
        let token = self.0.keys.sign(&self.claims(passenger));
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("base64url and dots");
        bearer.set_sensitive(true);
        let map = request.headers_mut();
        map.insert(AUTHORIZATION, bearer);
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        map.insert(TE, HeaderValue::from_static("trailers"));
        map.insert(headers::CONTRACT_VERSION, HeaderValue::from_static(s2s::CONTRACT_VERSION));
        if let Ok(id) = HeaderValue::from_str(&passenger.request_id) {
            map.insert(headers::REQUEST_ID, id);
        }
        request
    }

    /// Each attempt has an id of its own: finn refuses a token that it has seen.
    fn claims(&self, passenger: &Passenger) -> Claims {
        let iat = self.0.clock.now().unix_timestamp();
        Claims {
            iss: s2s::ISSUER.to_owned(),
            aud: s2s::AUDIENCE.to_owned(),
            iat,
            exp: iat + s2s::TOKEN_LIFE_SECONDS,
            jti: self.0.clock.uuid_v7().simple().to_string(),
            nft_id: passenger.nft_id.clone(),
            tier: passenger.tier.number().to_string(),
            budget_reservation_id: passenger.reservation_id.to_string(),
            community_id: passenger.community.to_string(),
            allowed_pools: passenger.allowed_pools.clone(),
            payer: passenger.payer.clone(),
        }
    }

    /// Whether finn answers its health check, for `/readyz`.
    pub async fn is_healthy(&self) -> bool {
        self.look("/health").await.is_some_and(|response| response.status() == StatusCode::OK)
    }

    /// Asks one of finn's open paths.
    async fn look(&self, path: &'static str) -> Option<hyper::Response<client::Answer>> {
        let mut parts = self.0.uri.clone().into_parts();
        parts.path_and_query = Some(hyper::http::uri::PathAndQuery::from_static(path));
        let mut request = Request::new(Full::default());
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        tokio::time::timeout(HEALTH_TIMEOUT, self.0.client.send(request)).await.ok()?.ok()
    }

    /// Whether the breaker turns everybody's requests away.
    #[must_use]
    pub fn breaker_is_open(&self) -> bool {
        self.0.breaker.is_open()
    }
}

/// Shows what a request's end changed.
fn changed(change: Option<Change>) {
    let (open, scope) = match change {
        None => return,
        Some(Change::Opened(scope)) => (true, scope),
        Some(Change::Recovered(scope)) => (false, scope),
    };
    match scope {
        Scope::Account => tracing::info!(open, "the engine's breaker changed for one account"),
        Scope::All => {
            metrics::gauge!("engine_breaker_open").set(if open { 1.0 } else { 0.0 });
            tracing::warn!(open, "the engine's breaker changed");
        }
    }
}

/// A contract of another version warns and does not block.
fn warn_of_another_contract(map: &HeaderMap) {
    static WARNED: std::sync::Once = std::sync::Once::new();
    let version = map.get(headers::CONTRACT_VERSION);
    if version.is_none_or(|version| version != s2s::CONTRACT_VERSION) {
        metrics::counter!("engine_contract_mismatch_total").increment(1);
        WARNED.call_once(|| {
            tracing::warn!(
                ?version,
                ours = s2s::CONTRACT_VERSION,
                "the engine speaks another contract version"
            );
        });
    }
}

/// An error with its causes: hyper's own text hides them.
struct DisplayChain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for DisplayChain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
