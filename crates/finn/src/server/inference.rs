//! `POST /api/v1/inference`: token, body, who speaks, model, stream — in this order.
//!
//! The body is read only after the token was found good, so a stranger's megabytes are never held.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;
use types::s2s::{CONTRACT_VERSION, InferenceRequest, headers};

use super::reply::{self, Reply};
use super::routes::request_id;
use crate::answer::{Answer, NO_PERSONALITY, Ticket, Trailer};
use crate::engine::{Engine, Started};
use crate::failure::Failure;
use crate::verifier::Caller;

/// A conversation with pictures fits; freeside's own limit lies below it.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// freeside sends its body in one go.
const BODY_READ: Duration = Duration::from_secs(30);
/// Longer conversations are no conversations.
const MAX_MESSAGES: usize = 4096;
/// Which reason led to this pool and model; an addition to the contract's headers.
const ROUTE_REASON: HeaderName = HeaderName::from_static("x-route-reason");

pub(super) async fn handle(engine: &Arc<Engine>, request: Request<Incoming>) -> Response<Reply> {
    let began = Instant::now();
    let request_id = request_id(engine, &request);
    let (head, body) = request.into_parts();
    let tokens = head.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let caller = match engine.verifier.check_header(tokens).await {
        Ok(caller) => caller,
        Err(refusal) => {
            metrics::counter!("finn_auth_failures_total", "reason" => refusal.reason()).increment(1);
            tracing::info!(request_id, reason = refusal.reason(), "a token was refused");
            return reply::unauthorized(&request_id);
        }
    };
    if let Some(version) = head.headers.get(headers::CONTRACT_VERSION) {
        engine.note_contract_version(version.to_str().unwrap_or("unreadable"));
    }
    let Ok(in_flight) = Arc::clone(&engine.in_flight).try_acquire_owned() else {
        let detail = "The engine has as many answers in flight as it can hold. Try again shortly.";
        return reply::problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail, &request_id);
    };
    let mut question = match read(body).await {
        Ok(question) => question,
        Err(bad) => return reply::problem(bad.status, bad.code, &bad.detail, &request_id),
    };
    let started = async {
        let speaker = engine.agents.speaker(&caller.nft_id).await?;
        if let Some(speaker) = &speaker {
            speaker.dress(&mut question);
        }
        let started = engine.start(&caller, &question, speaker.as_deref(), began).await?;
        let personality_id = speaker.map_or_else(|| NO_PERSONALITY.to_owned(), |speaker| speaker.id.clone());
        Ok::<_, Failure>((started, personality_id))
    };
    match started.await {
        Err(failure) => {
            metrics::counter!("finn_errors_total", "code" => failure.code()).increment(1);
            tracing::warn!(
                request_id,
                reservation = caller.budget_reservation_id,
                code = failure.code(),
                "no model answered"
            );
            reply::failed(&failure, &request_id)
        }
        Ok((started, personality_id)) => {
            drop(question);
            let trailer = if takes_trailers(&head.headers) { Trailer::Wanted } else { Trailer::Unwanted };
            let mut response = Response::new(());
            *response.headers_mut() = answer_head(&started, &caller, &request_id, &personality_id, trailer);
            let ticket = Ticket {
                sink: Arc::clone(&engine.usage),
                reservation: caller.budget_reservation_id,
                jti: caller.jti,
                pool: started.pool.as_str(),
                model: started.model.clone(),
                personality_id,
                began,
            };
            response.map(|()| Reply::Answer(Box::new(Answer::new(started, ticket, trailer, in_flight))))
        }
    }
}

/// A body that is refused.
struct Bad {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Bad {
    fn request(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_request", detail: detail.into() }
    }

    fn too_large() -> Self {
        let detail = format!("A body has at most {MAX_BODY_BYTES} bytes.");
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, code: "body_too_large", detail }
    }
}

async fn read(body: Incoming) -> Result<InferenceRequest, Bad> {
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(Bad::too_large());
    }
    let collected = tokio::time::timeout(BODY_READ, Limited::new(body, MAX_BODY_BYTES).collect());
    let bytes: Bytes = match collected.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Bad::too_large()),
        Ok(Err(_)) => return Err(Bad::request("The body broke off.")),
        Err(_) => {
            let detail = "The body took too long.".to_owned();
            return Err(Bad { status: StatusCode::REQUEST_TIMEOUT, code: "body_timeout", detail });
        }
    };
    let question: InferenceRequest = serde_json::from_slice(&bytes).map_err(|error| {
        // Where, but not what: the text belongs to somebody.
        let (line, column) = (error.line(), error.column());
        Bad::request(format!("The body is not the contract's JSON (line {line}, column {column})."))
    })?;
    check(&question)?;
    Ok(question)
}

fn check(question: &InferenceRequest) -> Result<(), Bad> {
    if question.max_tokens == Some(0) {
        return Err(Bad::request("`max_tokens` starts at 1."));
    }
    let Some(messages) = &question.messages else {
        if question.prompt.is_empty() {
            return Err(Bad::request("`prompt` or `messages` is needed."));
        }
        return Ok(());
    };
    if messages.is_empty() || messages.len() > MAX_MESSAGES {
        return Err(Bad::request(format!("`messages` has 1 to {MAX_MESSAGES} entries.")));
    }
    let known = ["system", "developer", "user", "assistant", "tool"];
    if !messages.iter().all(|message| known.contains(&message.role.as_str())) {
        return Err(Bad::request("A message's `role` is system, developer, user, assistant or tool."));
    }
    Ok(())
}

fn takes_trailers(request: &HeaderMap) -> bool {
    let words = request.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    words.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("trailers"))
}

fn answer_head(
    started: &Started,
    caller: &Caller,
    request_id: &str,
    personality_id: &str,
    trailer: Trailer,
) -> HeaderMap {
    /// Ids were checked to be visible ASCII when they came in.
    fn text(value: &str) -> HeaderValue {
        HeaderValue::from_str(value).expect("visible ASCII stands in a header")
    }
    let mut head = HeaderMap::with_capacity(16);
    head.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut add = |name: &'static str, value| head.insert(HeaderName::from_static(name), value);
    add(headers::POOL_USED, HeaderValue::from_static(started.pool.as_str()));
    add(headers::MODEL_USED, text(&started.model));
    add(headers::PERSONALITY_ID, text(personality_id));
    add(headers::REQUEST_ID, text(request_id));
    add(headers::BUDGET_RESERVATION_ID, text(&caller.budget_reservation_id));
    add(headers::CONTRACT_VERSION, HeaderValue::from_static(CONTRACT_VERSION));
    head.insert(ROUTE_REASON, HeaderValue::from_static(started.reason.as_str()));
    if trailer == Trailer::Wanted {
        head.insert(TRAILER, HeaderValue::from_static(headers::TOKEN_COUNT));
    }
    head
}
