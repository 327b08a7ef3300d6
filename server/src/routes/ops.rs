//! Doors for machines that look after machines: health, readiness, metrics, version, public keys.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, join_all};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::{self, Access};
use super::exchange::{Asked, text};
use super::fault::Fault;
use super::{App, limits, problem, shared};

/// Who may read metrics: the operator.
pub(crate) const METRICS: Access = Access::Operator;

/// One thing that has to work before this process should get requests.
#[derive(Clone)]
pub struct Check {
    /// A word, for example `database`.
    pub name: &'static str,
    /// Looks, and says what it saw: `Ok` for ready, `Err` for not. Texts are shown to the operator.
    pub run: Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Check {
    /// A check of that name.
    pub fn new<F>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self { name, run: Arc::new(move || Box::pin(run())) }
    }
}

/// The frozen answer of the service-to-service contract.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// This binary's version.
    version: &'static str,
}

/// The process runs. Independent of the database, the engine and the providers.
#[utoipa::path(
    get, path = "/health", tag = "operations", operation_id = "health",
    responses((status = 200, description = "It runs", body = Health))
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    shared::json(HeaderMap::new(), &Health { status: "ok", version: app.version })
}

/// The process runs, for probes that read only the status.
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "live",
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain"))
)]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// How readiness is told.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadyQuery {
    /// Any value: name every check, for callers on this machine and for the operator's token.
    verbose: Option<String>,
}

/// Whether this process should get requests.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "ready",
    params(ReadyQuery),
    responses(
        (status = 200, description = "Ready", body = String, content_type = "text/plain"),
        (status = 503, description = "Not ready; with `verbose`, the operator reads each check and what it saw", body = String, content_type = "text/plain"),
    )
)]
pub(crate) async fn readyz(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    Query(query): Query<ReadyQuery>,
    request: Request,
) -> Response {
    // What a check saw (schema, queue, payments) is nobody else's business. Whether all is well, a probe may ask.
    let is_verbose = query.verbose.is_some() && caller::is_operator(&app, &asked, request.headers());
    let results = join_all(app.checks.iter().map(|check| async {
        let outcome = tokio::time::timeout(limits::READINESS_CHECK, (check.run)()).await;
        let outcome = outcome.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        (check.name, outcome)
    }))
    .await;
    let ready = results.iter().all(|(_, outcome)| outcome.is_ok());
    let mut page = String::new();
    if is_verbose {
        for (name, outcome) in &results {
            let (mark, seen) = match outcome {
                Ok(seen) => ('+', seen),
                Err(seen) => ('-', seen),
            };
            writeln!(page, "[{mark}] {name}: {seen}").expect("a String takes everything");
        }
    }
    page.push_str(if ready { "ready\n" } else { "not ready\n" });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CACHE_CONTROL, "no-store")], page).into_response()
}

/// Prometheus metrics, for this machine and for the operator's token.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses(
        (status = 200, description = "Prometheus text format", body = String, content_type = "text/plain"),
        (status = 404, description = "The caller is not the operator", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security((), ("operator" = []))
)]
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    if !caller::is_operator(&app, &asked, request.headers()) {
        let message = "Metrics are shown to the operator's token and, where FREESIDE_TRUSTED_PROXIES is not set, to callers on this machine.".to_owned();
        return problem::answer(Fault::NotFound { message }, &asked);
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub(crate) struct Release {
    /// `freeside`.
    name: &'static str,
    /// This binary's version.
    version: &'static str,
    /// The version of the service-to-service contract.
    contract: &'static str,
}

/// This binary's version.
#[utoipa::path(
    get, path = "/version", tag = "operations", operation_id = "version",
    responses((status = 200, description = "The version", body = Release))
)]
pub(crate) async fn version(State(app): State<Arc<App>>) -> Response {
    let contract = types::s2s::CONTRACT_VERSION;
    shared::json(HeaderMap::new(), &Release { name: "freeside", version: app.version, contract })
}

/// The public keys that verify this service's tokens (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "operations", operation_id = "jwks",
    params(("If-None-Match" = Option<String>, Header, description = "The entity tag of the set that the caller has")),
    responses(
        (status = 200, description = "The set; `Cache-Control: max-age=300`, with an `ETag`", body = Object),
        (status = 304, description = "The caller's set is the current one"),
    )
)]
pub(crate) async fn jwks(State(app): State<Arc<App>>, request: Request) -> Response {
    let jwks = app.service_keys.jwks();
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, text(&jwks.etag));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    if matches_tag(request.headers(), &jwks.etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (headers, jwks.json).into_response()
}

/// Weak comparison, as `If-None-Match` asks for (RFC 9110, 13.1.2).
fn matches_tag(headers: &HeaderMap, etag: &str) -> bool {
    let listed = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    listed
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_matches_in_a_list_and_weakly() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(value));
            headers
        };
        for same in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(matches_tag(&headers(same), "\"a\""), "{same}");
        }
        assert!(!matches_tag(&headers("\"ab\""), "\"a\""));
        assert!(!matches_tag(&HeaderMap::new(), "\"a\""));
    }
}
