//! Requests and their ends: limits of time and size, retries, and what a status means.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use time::format_description::well_known::Rfc2822;
use types::Clock;

use super::answer;
use crate::Error;

/// The largest answer is the list of coins, some 10 KiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Pauses before the second and the third attempt; up to a quarter more at random.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// Asked to wait without a number: the start of the poller's back-off (SPEC §3).
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Nobody may send us away for longer.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// The poller sends at most 10 requests a second, so few connections are ever open.
const IDLE_CONNECTIONS: usize = 16;
/// Less than common servers' idle limits, so that a connection is not used while the vendor closes it.
const IDLE_LIFE: Duration = Duration::from_secs(15);

const API_KEY: &str = "x-api-key";

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// From the request to the last byte of the answer.
    pub answer: Duration,
}

impl Default for Timeouts {
    /// A buyer waits for these answers, and the vendor needs one to three seconds to make an address.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(15) }
    }
}

/// The settings cannot be used for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// The base is no http(s) URL of a host and a path.
    #[error("not an http(s) URL of a host and a path")]
    Url,
    /// The key is empty or cannot stand in a header.
    #[error("the API key is empty or has characters that no header takes")]
    Key,
}

/// A base address, a key, and the connections.
pub(super) struct Wire {
    /// Without a slash at its end.
    base: String,
    key: HeaderValue,
    clock: Clock,
    timeouts: Timeouts,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Wire {
    pub(super) fn new(base: &str, key: &str, clock: Clock, timeouts: Timeouts) -> Result<Self, BadAddress> {
        let base = base_address(base)?;
        let mut key = HeaderValue::from_str(key.trim()).map_err(|_| BadAddress::Key)?;
        if key.is_empty() {
            return Err(BadAddress::Key);
        }
        key.set_sensitive(true);
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeouts.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("ring speaks the protocol versions that rustls calls safe")
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIFE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Ok(Self { base, key, clock, timeouts, client })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks up to three times: a question that changes nothing may be repeated.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        let mut pauses = RETRY_PAUSES.iter();
        loop {
            let failure = match self.attempt(Method::GET, path, Bytes::new()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(pause) = pauses.next().filter(|_| failure.may_be_repeated()) else {
                return Err(failure.into());
            };
            let jitter = rand::random_range(0..=pause.as_millis() / 4);
            tokio::time::sleep(*pause + Duration::from_millis(u64::try_from(jitter).unwrap_or(0))).await;
        }
    }

    /// Sends once.
    pub(super) async fn post(&self, path: &str, body: String) -> Result<Bytes, Error> {
        self.attempt(Method::POST, path, body.into()).await.map_err(Error::from)
    }

    async fn attempt(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let request = self.request(method, path, body)?;
        tokio::time::timeout(self.timeouts.answer, self.exchange(request)).await.unwrap_or_else(|_| {
            tracing::warn!("the payment processor did not answer in time");
            Err(Failure::TimedOut)
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        let response = self.client.request(request).await.map_err(|error| {
            tracing::warn!(error = %with_causes(&error), "the payment processor could not be reached");
            Failure::Broken
        })?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Answered(Error::Busy { retry_after: self.retry_after(&head.headers) }));
        }
        let body =
            Limited::new(body, MAX_ANSWER_BYTES).collect().await.map(http_body_util::Collected::to_bytes);
        if !head.status.is_success() {
            // A failure's body only explains: a broken one explains nothing.
            return Err(Failure::Answered(self.refused(head.status, &body.unwrap_or_default())));
        }
        body.map_err(|error| {
            let is_too_long = error.is::<http_body_util::LengthLimitError>();
            tracing::warn!(is_too_long, "an answer of the payment processor could not be read to its end");
            if is_too_long { Failure::Answered(Error::Unreadable) } else { Failure::Broken }
        })
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let uri: Uri =
            format!("{}{path}", self.base).parse().map_err(|_| Failure::Answered(Error::Unreadable))?;
        let has_body = !body.is_empty();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(API_KEY, self.key.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("freeside/", env!("CARGO_PKG_VERSION"))));
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request)
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let (code, message) = answer::refusal(body);
        // An answer that repeats the question's headers must not carry the key into our logs.
        let key = self.key.to_str().unwrap_or_default();
        let without_key = |text: String| if text.contains(key) { String::new() } else { text };
        Error::Refused { status: status.as_u16(), code: without_key(code), message: without_key(message) }
    }

    /// Seconds or a date (RFC 9110 §10.2.3).
    fn retry_after(&self, headers: &HeaderMap) -> Duration {
        let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        let until = |at: time::OffsetDateTime| Duration::try_from(at - self.clock.now()).unwrap_or_default();
        let date = || time::OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok().map(until);
        let asked = text.parse().ok().map(Duration::from_secs).or_else(date);
        asked.unwrap_or(DEFAULT_RETRY_AFTER).min(MAX_RETRY_AFTER)
    }
}

/// What went wrong in one attempt.
enum Failure {
    /// No connection, or one that broke.
    Broken,
    /// The time is used up: another attempt would double the wait.
    TimedOut,
    /// Something was said.
    Answered(Error),
}

impl Failure {
    fn may_be_repeated(&self) -> bool {
        match self {
            Self::Broken => true,
            Self::Answered(Error::Refused { status, .. }) => *status >= 500,
            Self::TimedOut | Self::Answered(Error::Unreachable | Error::Busy { .. } | Error::Unreadable) => {
                false
            }
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Broken | Failure::TimedOut => Self::Unreachable,
            Failure::Answered(error) => error,
        }
    }
}

fn base_address(text: &str) -> Result<String, BadAddress> {
    let base = text.trim().trim_end_matches('/');
    let uri: Uri = base.parse().map_err(|_| BadAddress::Url)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    // Nobody's password belongs in an address, and a query would swallow the path behind it.
    let has_more = base.contains(['@', '?', '#']);
    if !is_http || uri.host().is_none_or(str::is_empty) || has_more {
        return Err(BadAddress::Url);
    }
    Ok(if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") })
}

/// An error with its causes: hyper's own text hides them.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
