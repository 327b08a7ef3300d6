//! Which path leads where. Health answers without asking anybody; readiness asks.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, FORWARDED};
use hyper::{Method, Request, Response, StatusCode};
use types::s2s::{INFERENCE_PATH, headers};

use super::inference;
use super::reply::{self, Reply};
use crate::engine::{Engine, MetricsCaller};

/// Longer request ids are not echoed; a UUID takes 36.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// `is_loopback`: the connection comes from this machine.
pub(super) async fn handle(
    engine: &Arc<Engine>,
    request: Request<Incoming>,
    is_loopback: bool,
) -> Response<Reply> {
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    let is_post = request.method() == Method::POST;
    match request.uri().path() {
        INFERENCE_PATH if is_post => inference::handle(engine, request).await,
        "/health" if is_get => health(),
        "/livez" if is_get => reply::whole(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        "/readyz" if is_get => ready(engine),
        "/metrics" if is_get && engine.render_metrics.is_some() => metrics(engine, &request, is_loopback),
        INFERENCE_PATH => reply::method_not_allowed("POST", &request_id(engine, &request)),
        "/health" | "/livez" | "/readyz" => {
            reply::method_not_allowed("GET, HEAD", &request_id(engine, &request))
        }
        _ => nothing_here(engine, &request),
    }
}

fn nothing_here(engine: &Engine, request: &Request<Incoming>) -> Response<Reply> {
    let id = request_id(engine, request);
    reply::problem(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path.", &id)
}

/// The caller's id when it can stand in a header and a log, else one made here.
pub(super) fn request_id(engine: &Engine, request: &Request<Incoming>) -> String {
    let theirs = request.headers().get(headers::REQUEST_ID).and_then(|value| value.to_str().ok());
    theirs
        .filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES)
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(|| engine.clock.uuid_v7().to_string(), str::to_owned)
}

fn health() -> Response<Reply> {
    let body = concat!(r#"{"status":"ok","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    reply::whole(StatusCode::OK, "application/json", body)
}

fn ready(engine: &Engine) -> Response<Reply> {
    let problems = engine.problems();
    let (status, word) = if problems.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    let body = serde_json::json!({
        "status": word,
        "problems": problems,
        "jwks_age_seconds": engine.jwks.age_seconds(),
        "models_on": engine.models_on(),
        "models_now": engine.models_now(),
        "pools_without_a_model": engine.pools_without_a_model(),
    });
    reply::whole(status, "application/json", body.to_string())
}

fn metrics(engine: &Engine, request: &Request<Incoming>, is_loopback: bool) -> Response<Reply> {
    let headers = request.headers();
    let is_forwarded = headers.contains_key("x-forwarded-for") || headers.contains_key(FORWARDED);
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let caller = MetricsCaller { is_local: is_loopback && !is_forwarded, bearer };
    match engine.render_metrics.as_ref().and_then(|render| render(caller)) {
        Some(text) => reply::whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
        None => nothing_here(engine, request),
    }
}
