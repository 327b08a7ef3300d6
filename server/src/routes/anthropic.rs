//! Anthropic's dialect: `POST /v1/messages`. The vendor's own SDKs work unchanged with our base URL.
//!
//! Requests are translated into OpenAI's shapes, which is what the engine takes. What has no counterpart there and
//! changes nothing about the answer (`metadata`, `cache_control`, `top_k`, past `thinking`) is left out; what would
//! change it (documents, the vendor's server tools) is refused. Deliberately absent: counting tokens, batches, files.

pub(crate) mod answer;
pub(crate) mod ask;
mod content;
pub(crate) mod error;
mod order;
mod tools;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use identity::Scope;
use types::ReservationId;

use self::answer::{EventWriter, Head};
use super::caller::{self, Access, CountedKey};
use super::exchange::Asked;
use super::fault::Fault;
use super::{App, body, idempotent, limits, rate, shared, stream};

/// Who may call: a key that may chat.
pub(crate) const ACCESS: Access = Access::Key(Scope::Chat);

/// Whether the caller speaks this dialect where an address serves two. Any version is accepted.
pub(crate) fn is_meant(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// Answers a conversation, whole or as a stream, in Anthropic's shapes.
#[utoipa::path(
    post, path = "/v1/messages", tag = "anthropic", operation_id = "createMessage",
    request_body = ask::MessagesBody<'static>,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your own: the call runs to its end even if you leave, and the same request again within 24 hours gets the stored answer, charged once"),
           ("X-Freeside-Clamp" = Option<String>, Header, description = "`affordable`: lower `max_tokens` to what the balance covers instead of refusing"),
           ("X-Freeside-Fallback" = Option<String>, Header, description = "For a model asked by its id. `none`: it or nobody; `any`: a dearer one may answer, too. Without the header, a model that costs no more in input and output may answer")),
    responses(
        (status = 200, description = "The message; with `stream: true`, `text/event-stream` of Anthropic's events", body = answer::Message<'static>),
        (status = 400, description = "`invalid_request_error`", body = error::AnthropicError<'static>),
        (status = 401, description = "`authentication_error`", body = error::AnthropicError<'static>),
        (status = 402, description = "`billing_error`: what was asked, what is affordable, what to change", body = error::AnthropicError<'static>),
        (status = 403, description = "`permission_error`", body = error::AnthropicError<'static>),
        (status = 404, description = "`not_found_error`: there is no such model", body = error::AnthropicError<'static>),
        (status = 409, description = "The first request with this `Idempotency-Key` is being answered, or was charged and its answer not kept", body = error::AnthropicError<'static>),
        (status = 413, description = "`request_too_large`", body = error::AnthropicError<'static>),
        (status = 415, description = "The body is not JSON", body = error::AnthropicError<'static>),
        (status = 422, description = "The `Idempotency-Key` came with another request", body = error::AnthropicError<'static>),
        (status = 429, description = "`rate_limit_error`, with `retry-after` and `anthropic-ratelimit-*`", body = error::AnthropicError<'static>),
        (status = 502, description = "`api_error`: the model failed", body = error::AnthropicError<'static>),
        (status = 503, description = "`overloaded_error`: the engine cannot be reached, with `retry-after`", body = error::AnthropicError<'static>),
        (status = 504, description = "`timeout_error`: no first token in time", body = error::AnthropicError<'static>),
        (status = 529, description = "`overloaded_error`: too many requests are in progress", body = error::AnthropicError<'static>),
    ),
    security(("api_key" = []), ("x_api_key" = []))
)]
pub(crate) async fn messages(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    match message(&app, &asked, request).await {
        Ok(response) => response,
        Err(fault) => error::answer_at(fault, &asked, app.ctx.clock.now()),
    }
}

async fn message(app: &Arc<App>, asked: &Asked, request: Request) -> Result<Response, Fault> {
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
        let keyed = idempotent::keyed(app, asked, &counted.key, &parts, &whole, "")?;
        let mut wish = ask::wish(&whole.parse()?, asked, shared::clamp(&parts.headers)?)?;
        wish.ask.fallback = shared::fallback(&parts.headers)?;
        (wish, keyed)
    };
    let Some(keyed) = keyed else { return answer(app, asked, &counted, wish, None).await };
    let (runner, runners, id) = (Arc::clone(app), asked.clone(), keyed.reservation_id);
    let work = async move { answer(&runner, &runners, &counted, wish, Some(id)).await };
    let (clock, asked) = (app.ctx.clock.clone(), asked.clone());
    idempotent::answer(app, keyed, work, move |fault| error::answer_at(fault, &asked, clock.now())).await
}

async fn answer(
    app: &App,
    asked: &Asked,
    counted: &CountedKey,
    wish: ask::Wish,
    id: Option<ReservationId>,
) -> Result<Response, Fault> {
    let started = idempotent::start(app, counted, wish.ask, id).await?;
    let head = Head { id: started.reservation_id, model: started.model.clone(), pool: started.pool };
    let mut headers = shared::answer_headers(&started);
    if let Some(rate) = &started.rate {
        rate::write_anthropic(&mut headers, rate, app.ctx.clock.now());
    }
    if wish.stream {
        let writer = EventWriter::new(head, &asked.id);
        let key = Arc::clone(&counted.key);
        return Ok(shared::event_stream(headers, stream::body(started.events, key, writer)));
    }
    let gathered = stream::gather(started.events, &counted.key).await?;
    Ok(shared::json(headers, &answer::message(&head, &gathered)))
}

/// Not offered: says so in Anthropic's shape, so that an SDK's caller reads why.
#[utoipa::path(
    post, path = "/v1/messages/count_tokens", tag = "anthropic", operation_id = "countMessageTokens",
    responses((status = 404, description = "Always: counting tokens is not offered", body = error::AnthropicError<'static>))
)]
pub(crate) async fn count_tokens(Extension(asked): Extension<Asked>) -> Response {
    let message = "Counting tokens is not offered here: the models' tokenizers differ. The answer of POST /v1/messages \
                   says what was counted and charged.";
    error::answer(Fault::NotFound { message: message.to_owned() }, &asked)
}
