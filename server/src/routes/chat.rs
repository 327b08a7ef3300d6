//! The web chat's plain doors: a ticket for the socket, what was said, who may read it, what its asker thinks of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::agent::{self, Agent};
use domain::chat::{self, Feedback, Said, Sharing, Whose};
use domain::turn::Refusal;
use identity::TicketError;
use serde::{Deserialize, Serialize};
use types::{MicroUsd, Pool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::{self, Access};
use super::exchange::Asked;
use super::fault::Fault;
use super::fields::{self, Field};
use super::problem::{self, Shape};
use super::shared::moment;
use super::{App, body, limits, shared};

/// Who may call: a wallet that is signed in.
pub(crate) const ACCESS: Access = Access::Session;

/// A ticket for one socket.
#[derive(Serialize, ToSchema)]
pub(crate) struct TicketAnswer {
    /// For the socket's first frame, `{"type":"auth","payload":{"ticket": …}}`. Works once.
    ticket: String,
    /// Seconds for which it works.
    expires_in_s: i64,
}

/// A page of a conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryAnswer {
    /// Newest first.
    turns: Vec<TurnAnswer>,
    /// `before` of the next page; null: this was the last one.
    next: Option<Uuid>,
}

/// A question and its answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TurnAnswer {
    /// Its place in the history.
    #[schema(value_type = String, format = Uuid)]
    id: Uuid,
    /// The socket's `requestId`; null in what others read.
    #[schema(value_type = Option<String>, format = Uuid)]
    request_id: Option<Uuid>,
    /// What was asked.
    question: String,
    /// What was answered, as far as it came.
    answer: String,
    /// `asked`, `streaming`, `done`, `stopped`, `broken`, `refused`.
    state: &'static str,
    /// What is left to say of an answer that did not end well.
    message: Option<String>,
    /// The pool that answered.
    #[schema(value_type = Option<String>)]
    pool: Option<Pool>,
    /// The model that answered.
    model: Option<String>,
    /// What it cost, in micro-USD; null in what others read.
    #[schema(value_type = Option<String>)]
    cost_micro: Option<MicroUsd>,
    /// `good` or `bad`, by its asker; null in what others read.
    feedback: Option<&'static str>,
    /// When it was asked.
    asked_at: String,
}

impl TurnAnswer {
    fn new(said: Said, whose: Whose) -> Self {
        let is_own = matches!(whose, Whose::Of(_));
        Self {
            id: said.id,
            request_id: is_own.then_some(said.request_id),
            question: said.question,
            answer: said.answer,
            state: said.state,
            message: said.message.filter(|_| is_own),
            pool: said.pool,
            model: said.model,
            cost_micro: is_own.then_some(said.cost),
            feedback: said.feedback.filter(|_| is_own).map(|feedback| match feedback {
                Feedback::Good => "good",
                Feedback::Bad => "bad",
            }),
            asked_at: moment(said.asked_at),
        }
    }
}

/// Who may read one's conversations with an agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharingAnswer {
    /// Everybody may, where the agent's own public history is on.
    public: bool,
}

/// Who may read one's conversations with an agent.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SharingBody<'a> {
    /// Everybody may, from the first one on; false takes that back.
    #[serde(borrow)]
    #[schema(value_type = bool, required = true)]
    public: Field<'a>,
}

/// What one thinks of an answer.
#[derive(Deserialize, ToSchema)]
pub(crate) struct FeedbackBody<'a> {
    /// `good` or `bad`.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "good")]
    quality: Field<'a>,
}

/// A ticket that opens the socket `/ws/chat` for the signed-in wallet: once, within 30 s.
#[utoipa::path(
    post, path = "/api/v1/ws/ticket", tag = "chat", operation_id = "createSocketTicket",
    responses(
        (status = 201, description = "The ticket", body = TicketAnswer),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many unused tickets, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []))
)]
pub(crate) async fn ticket(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    headers: HeaderMap,
) -> Response {
    let session = match caller::session(&app, &headers).await {
        Ok(session) => session,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match app.tickets.issue(&session).await {
        Ok(ticket) => {
            let life = identity::tickets::LIFE.whole_seconds();
            let answer = TicketAnswer { ticket: ticket.reveal().to_owned(), expires_in_s: life };
            shared::json_with(StatusCode::CREATED, HeaderMap::new(), &answer)
        }
        Err(TicketError::TooMany) => {
            let detail = "Twenty tickets of this session wait to be used. Use one, or wait half a minute.";
            problem::respond(Shape::rate_limited(detail, 30), &asked)
        }
        Err(TicketError::Unexpected(error)) => problem::answer(unread(error), &asked),
    }
}

/// Which page of whose conversations.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    whose: Option<String>,
    before: Option<Uuid>,
    limit: Option<u16>,
}

/// What was said with an agent, newest first: one's own, or what its people share with everybody.
#[utoipa::path(
    get, path = "/api/v1/agents/{slug}/{token}/history", tag = "chat", operation_id = "readHistory",
    params(("slug" = String, Path, description = "The collection's slug"),
           ("token" = String, Path, description = "The token's number, decimal"),
           ("whose" = Option<String>, Query, description = "`own` needs a session; `public`, the default, does not"),
           ("before" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u16>, Query, description = "1 to 100; 20 when absent")),
    responses(
        (status = 200, description = "A page", body = HistoryAnswer),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "`whose=own`, and nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such agent", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    names: Result<Path<(String, String)>, PathRejection>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    /// A screen and a half.
    const USUAL: u16 = 20;
    let read = async {
        let Ok(Query(wanted)) = wanted else {
            return Err(Fault::field(
                "before",
                "The parameters are whose, before (a UUID) and limit (1 to 100).",
            ));
        };
        let limit = wanted.limit.unwrap_or(USUAL);
        if !(1..=chat::PAGE_AT_MOST).contains(&limit) {
            return Err(Fault::field("limit", "This has to be a number from 1 to 100."));
        }
        let whose = match wanted.whose.as_deref() {
            None | Some("public") => Whose::Public,
            Some("own") => Whose::Of(caller::session(&app, &headers).await?.wallet),
            Some(_) => return Err(Fault::field("whose", "This has to be own or public.")),
        };
        let agent = named(&app, names).await?;
        let turns = chat::page(&app.ctx, &agent, whose, wanted.before, limit).await.map_err(unread)?;
        let next = turns.last().filter(|_| turns.len() == usize::from(limit)).map(|last| last.id);
        Ok(HistoryAnswer {
            turns: turns.into_iter().map(|said| TurnAnswer::new(said, whose)).collect(),
            next,
        })
    };
    match read.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// Whether one's conversations with an agent may be read by everybody.
#[utoipa::path(
    get, path = "/api/v1/agents/{slug}/{token}/sharing", tag = "chat", operation_id = "readSharing",
    params(("slug" = String, Path, description = "The collection's slug"),
           ("token" = String, Path, description = "The token's number, decimal")),
    responses(
        (status = 200, description = "How it stands", body = SharingAnswer),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such agent", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []))
)]
pub(crate) async fn sharing(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    names: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let read = async {
        let session = caller::session(&app, &headers).await?;
        let agent = named(&app, names).await?;
        chat::sharing(&app.ctx, &agent, session.wallet).await.map_err(unread)
    };
    match read.await {
        Ok(sharing) => shared::json(HeaderMap::new(), &SharingAnswer { public: sharing == Sharing::Public }),
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// Lets one's conversations with an agent be read by everybody, or by nobody else again.
#[utoipa::path(
    put, path = "/api/v1/agents/{slug}/{token}/sharing", tag = "chat", operation_id = "writeSharing",
    params(("slug" = String, Path, description = "The collection's slug"),
           ("token" = String, Path, description = "The token's number, decimal")),
    request_body = SharingBody<'static>,
    responses(
        (status = 200, description = "How it stands now", body = SharingAnswer),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such agent", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []))
)]
pub(crate) async fn share(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    names: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let write = async {
        let session = caller::session(&app, &parts.headers).await?;
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: SharingBody<'_> = whole.parse()?;
        let is_public = fields::flag("public", body.public)?;
        let agent = named(&app, names).await?;
        let sharing = if is_public { Sharing::Public } else { Sharing::Private };
        chat::share(&app.ctx, &agent, session.wallet, sharing).await.map_err(unread)?;
        Ok(SharingAnswer { public: is_public })
    };
    match write.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// Says what one thinks of an answer of one's own. Again says it anew.
#[utoipa::path(
    post, path = "/api/v1/chat/{request_id}/feedback", tag = "chat", operation_id = "rateAnswer",
    params(("request_id" = String, Path, description = "The answer's `requestId`")),
    request_body = FeedbackBody<'static>,
    responses(
        (status = 204, description = "Noted"),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "This wallet has no such answer that has ended", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []))
)]
pub(crate) async fn feedback(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<Uuid>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let write = async {
        let session = caller::session(&app, &parts.headers).await?;
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: FeedbackBody<'_> = whole.parse()?;
        let quality = body.quality.map(|raw| fields::text("quality", raw)).transpose()?;
        let feedback = match quality.as_deref() {
            Some("good") => Feedback::Good,
            Some("bad") => Feedback::Bad,
            Some(_) | None => return Err(Fault::field("quality", "This has to be good or bad.")),
        };
        let Ok(Path(id)) = id else { return Ok(false) };
        chat::rate(&app.ctx, session.wallet, id, feedback).await.map_err(unread)
    };
    match write.await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => {
            let message = "You have no answer of that requestId that has ended.".to_owned();
            problem::answer(Fault::NotFound { message }, &asked)
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

async fn named(app: &App, names: Result<Path<(String, String)>, PathRejection>) -> Result<Arc<Agent>, Fault> {
    let found = match names {
        Ok(Path((slug, token))) => agent::find(&app.ctx, &slug, &token).await.map_err(unread)?,
        Err(_) => None,
    };
    found.ok_or_else(|| Fault::NotFound {
        message:
            "There is no agent of that collection and token. The token is a number without leading zeros."
                .to_owned(),
    })
}

fn unread(error: sqlx::Error) -> Fault {
    Fault::Turn(Refusal::unread(error.into()))
}
