//! Our own inference doors: `POST /api/v1/inference` (a stream unless asked otherwise) and
//! `POST /api/agents/invoke` (one object unless asked otherwise). Errors are problems (RFC 9457).

pub(crate) mod answer;
pub(crate) mod ask;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::Response;
use domain::turn::Ask;
use identity::Scope;
use types::ReservationId;

use self::answer::{EventWriter, Head};
use self::ask::Wish;
use super::caller::{self, Access, CountedKey};
use super::exchange::Asked;
use super::fault::Fault;
use super::{App, body, idempotent, limits, problem, rate, shared, stream};

/// Who may call: a key that may chat.
pub(crate) const ACCESS: Access = Access::Key(Scope::Chat);

/// Answers as a stream of `token`, `tool_call`, and one `done` or `error`.
#[utoipa::path(
    post, path = "/api/v1/inference", tag = "native", operation_id = "infer",
    request_body = ask::InferenceBody<'static>,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your own: the call runs to its end even if you leave, and the same request again within 24 hours gets the stored answer, charged once"),
           ("X-Freeside-Clamp" = Option<String>, Header, description = "`affordable`: lower `max_tokens` to what the balance covers instead of refusing"),
           ("X-Freeside-Fallback" = Option<String>, Header, description = "For a model asked by its id. `none`: it or nobody; `any`: a dearer one may answer, too. Without the header, a model that costs no more in input and output may answer")),
    responses(
        (status = 200, description = "`text/event-stream`; with `stream: false`, one object", body = answer::Answer<'static>),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 402, description = "What was asked, what is affordable, what to change", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope, or the account is frozen", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such model", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The first request with this `Idempotency-Key` is being answered, or was charged and its answer not kept", body = problem::Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The `Idempotency-Key` came with another request", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Over a rate limit, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 502, description = "The model failed", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Temporarily unavailable, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 504, description = "No first token in time", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []))
)]
pub(crate) async fn inference(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let read = |body: &body::Whole, asked: &Asked, clamp| ask::inference(&body.parse()?, asked, clamp);
    match door(&app, &asked, request, Form::Stream, read).await {
        Ok(response) => response,
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// Answers an agent's caller with one object, or as a stream when asked.
#[utoipa::path(
    post, path = "/api/agents/invoke", tag = "native", operation_id = "invokeAgent",
    request_body = ask::InvokeBody<'static>,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your own: the call runs to its end even if you leave, and the same request again within 24 hours gets the stored answer, charged once"),
           ("Accept" = Option<String>, Header, description = "`text/event-stream`: answer as a stream"),
           ("X-Freeside-Clamp" = Option<String>, Header, description = "`affordable`: lower `max_tokens` to what the balance covers instead of refusing"),
           ("X-Freeside-Fallback" = Option<String>, Header, description = "For a model asked by its id. `none`: it or nobody; `any`: a dearer one may answer, too. Without the header, a model that costs no more in input and output may answer")),
    responses(
        (status = 200, description = "One object; `text/event-stream` when asked", body = answer::Answer<'static>),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 402, description = "What was asked, what is affordable, what to change", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope, or the account is frozen", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such model or agent", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The first request with this `Idempotency-Key` is being answered, or was charged and its answer not kept", body = problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The `Idempotency-Key` came with another request", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Over a rate limit, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 502, description = "The model failed", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Temporarily unavailable, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []))
)]
pub(crate) async fn invoke(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let form = if accepts_events(request.headers()) { Form::Stream } else { Form::Whole };
    let read = |body: &body::Whole, asked: &Asked, clamp| ask::invoke(&body.parse()?, asked, clamp);
    match door(&app, &asked, request, form, read).await {
        Ok(response) => response,
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As one object.
    Whole,
    /// As events.
    Stream,
}

impl Form {
    fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Stream => "stream",
        }
    }
}

async fn door(
    app: &Arc<App>,
    asked: &Asked,
    request: Request,
    form: Form,
    read: impl FnOnce(&body::Whole, &Asked, bool) -> Result<Wish, Fault>,
) -> Result<Response, Fault> {
    let (parts, incoming) = request.into_parts();
    let (counted, incoming) = caller::counted_before(app, asked, &parts.headers, incoming, ACCESS).await?;
    let (wish, keyed) = {
        let whole = body::read(
            &app.budgets.prompts,
            counted.client(),
            &parts,
            incoming,
            limits::INFERENCE_BODY_BYTES,
        )
        .await?;
        let keyed = idempotent::keyed(app, asked, &counted.key, &parts, &whole, form.as_str())?;
        let mut wish = read(&whole, asked, shared::clamp(&parts.headers)?)?;
        wish.ask.fallback = shared::fallback(&parts.headers)?;
        (wish, keyed)
    };
    let Some(keyed) = keyed else { return answer(app, asked, &counted, wish, form, None).await };
    let (runner, runners, id) = (Arc::clone(app), asked.clone(), keyed.reservation_id);
    let work = async move { answer(&runner, &runners, &counted, wish, form, Some(id)).await };
    let asked = asked.clone();
    idempotent::answer(app, keyed, work, move |fault| problem::answer(fault, &asked)).await
}

async fn answer(
    app: &App,
    asked: &Asked,
    counted: &CountedKey,
    wish: Wish,
    form: Form,
    id: Option<ReservationId>,
) -> Result<Response, Fault> {
    let form = wish.form.unwrap_or(form);
    let ask = Ask { whole: form == Form::Whole, ..wish.ask };
    let started = idempotent::start(app, counted, ask, id).await?;
    let mut headers = shared::answer_headers(&started);
    if let Some(rate) = &started.rate {
        rate::write_native(&mut headers, rate);
    }
    let head = Head {
        request_id: asked.id.clone(),
        reservation_id: started.reservation_id,
        pool: started.pool,
        model: started.model,
        personality_id: started.personality_id,
    };
    match form {
        Form::Stream => {
            let body = stream::body(started.events, counted.key.clone(), EventWriter::new(head));
            Ok(shared::event_stream(headers, body))
        }
        Form::Whole => {
            let gathered = stream::gather(started.events, &counted.key).await?;
            Ok(shared::json(headers, &answer::whole(&head, &gathered)))
        }
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
    })
}
