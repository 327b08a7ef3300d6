//! OpenAI's dialect: `POST /v1/chat/completions`. The vendor's own SDKs work unchanged with our base URL.
//!
//! Fields that we do not know are ignored, as OpenAI does; fields that we know are judged strictly.
//! `x_freeside` (cost, pool, reservation) stands beside `usage` on the last object; the SDKs keep unknown fields.
//! Deliberately absent: `n` > 1, `logprobs`, stored completions, `/v1/responses`.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod error;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use identity::Scope;
use types::ReservationId;

use self::answer::{ChunkWriter, Head};
use super::caller::{self, Access, CountedKey};
use super::exchange::Asked;
use super::fault::Fault;
use super::{App, body, idempotent, limits, rate, shared, stream};

/// Who may call: a key that may chat.
pub(crate) const ACCESS: Access = Access::Key(Scope::Chat);

/// Answers a conversation, whole or as a stream, in OpenAI's shapes.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", operation_id = "createChatCompletion",
    request_body = ask::ChatBody<'static>,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your own: the call runs to its end even if you leave, and the same request again within 24 hours gets the stored answer, charged once"),
           ("X-Freeside-Clamp" = Option<String>, Header, description = "`affordable`: lower `max_tokens` to what the balance covers instead of refusing"),
           ("X-Freeside-Fallback" = Option<String>, Header, description = "For a model asked by its id. `none`: it or nobody; `any`: a dearer one may answer, too. Without the header, a model that costs no more in input and output may answer")),
    responses(
        (status = 200, description = "The completion; with `stream: true`, `text/event-stream` of chunks that ends with `[DONE]`", body = answer::ChatCompletion<'static>),
        (status = 400, description = "A field cannot be right", body = error::OpenAiError),
        (status = 401, description = "No key, or not a valid one", body = error::OpenAiError),
        (status = 402, description = "`insufficient_quota`: what was asked, what is affordable, what to change", body = error::OpenAiError),
        (status = 403, description = "The key lacks the scope, or the account is frozen", body = error::OpenAiError),
        (status = 404, description = "`model_not_found`", body = error::OpenAiError),
        (status = 409, description = "`request_in_flight`: the first request with this `Idempotency-Key` is being answered; `answer_not_kept`: it was charged, and its answer was larger than 1 MiB", body = error::OpenAiError),
        (status = 413, description = "The body is too large", body = error::OpenAiError),
        (status = 415, description = "The body is not JSON", body = error::OpenAiError),
        (status = 422, description = "The `Idempotency-Key` came with another request", body = error::OpenAiError),
        (status = 429, description = "`rate_limit_exceeded`, with `retry-after` and `x-ratelimit-*`", body = error::OpenAiError),
        (status = 502, description = "The model failed", body = error::OpenAiError),
        (status = 503, description = "Temporarily unavailable, with `retry-after`", body = error::OpenAiError),
        (status = 504, description = "No first token in time", body = error::OpenAiError),
    ),
    security(("api_key" = []), ("x_api_key" = []))
)]
pub(crate) async fn chat_completions(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    match chat(&app, &asked, request).await {
        Ok(response) => response,
        Err(fault) => error::answer(fault, &asked),
    }
}

async fn chat(app: &Arc<App>, asked: &Asked, request: Request) -> Result<Response, Fault> {
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
    let Some(keyed) = keyed else { return answer(app, &counted, wish, None).await };
    let (runner, asked, id) = (Arc::clone(app), asked.clone(), keyed.reservation_id);
    let work = async move { answer(&runner, &counted, wish, Some(id)).await };
    idempotent::answer(app, keyed, work, move |fault| error::answer(fault, &asked)).await
}

async fn answer(
    app: &App,
    counted: &CountedKey,
    wish: ask::Wish,
    id: Option<ReservationId>,
) -> Result<Response, Fault> {
    let started = idempotent::start(app, counted, wish.ask, id).await?;
    let head = Head {
        id: started.reservation_id,
        created: app.ctx.clock.now().unix_timestamp(),
        model: started.model.clone(),
        pool: started.pool,
    };
    let mut headers = shared::answer_headers(&started);
    if let Some(rate) = &started.rate {
        rate::write_openai(&mut headers, rate);
    }
    if wish.stream {
        let writer = ChunkWriter::new(&head, wish.include_usage);
        let key = Arc::clone(&counted.key);
        return Ok(shared::event_stream(headers, stream::body(started.events, key, writer)));
    }
    let gathered = stream::gather(started.events, &counted.key).await?;
    Ok(shared::json(headers, &answer::completion(&head, &gathered)))
}
