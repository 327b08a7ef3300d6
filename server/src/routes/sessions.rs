//! The sessions of the wallet that is signed in: where, since when, and ending them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use identity::{Session, SessionId, SessionRow};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::{self, Access};
use super::cookies::Cookie;
use super::exchange::Asked;
use super::problem::{self, Shape};
use super::shared::moment;
use super::siwe::unexpected;
use super::{App, sentences, shared};

/// Who may call: a wallet, about its own.
pub(crate) const ACCESS: Access = Access::Session;

/// A device on which the wallet is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedSession {
    /// By which it is ended.
    id: String,
    /// The origin from which it works.
    origin: String,
    /// Browser and system.
    label: String,
    /// When the wallet signed.
    created_at: String,
    /// When it ends by itself.
    expires_at: String,
    /// Whether it is the one that asks.
    is_current: bool,
}

/// The wallet's sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionList {
    /// Newest first, living ones only.
    sessions: Vec<ListedSession>,
}

impl ListedSession {
    fn new(row: SessionRow, current: &Session) -> Self {
        Self {
            is_current: row.id == current.id,
            id: row.id.to_string(),
            origin: row.origin,
            label: row.label,
            created_at: moment(row.created_at),
            expires_at: moment(row.expires_at),
        }
    }
}

/// Where the wallet is signed in.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sign-in", operation_id = "listSessions",
    responses(
        (status = 200, description = "The sessions", body = SessionList),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let current = match caller::session(&app, request.headers()).await {
        Ok(session) => session,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match app.sign_in.sessions.list(current.wallet).await {
        Ok(rows) => {
            let sessions = rows.into_iter().map(|row| ListedSession::new(row, &current)).collect();
            shared::json(HeaderMap::new(), &SessionList { sessions })
        }
        Err(error) => problem::answer(unexpected(error), &asked),
    }
}

/// Ends one session of the wallet, on whatever device.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", tag = "sign-in", operation_id = "endSession",
    params(("id" = String, Path, description = "The session, as the list names it")),
    responses(
        (status = 204, description = "Ended, now or before; everywhere within a second"),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "The wallet has no such session", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []))
)]
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let current = match caller::session(&app, request.headers()).await {
        Ok(session) => session,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let id = id.ok().and_then(|Path(id)| id.parse().ok()).map(SessionId);
    let ended = match id {
        Some(id) => app.sign_in.sessions.revoke(current.wallet, id).await,
        None => Ok(false),
    };
    match ended {
        Ok(true) if id == Some(current.id) => signed_out(&app),
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem::respond(Shape::not_found(sentences::NO_SUCH_SESSION), &asked),
        Err(error) => problem::answer(unexpected(error), &asked),
    }
}

/// Ends every session of the wallet, this one too.
#[utoipa::path(
    delete, path = "/api/v1/sessions", tag = "sign-in", operation_id = "endAllSessions",
    responses(
        (status = 204, description = "The wallet is signed in nowhere"),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []))
)]
pub(crate) async fn end_all(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let current = match caller::session(&app, request.headers()).await {
        Ok(session) => session,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match app.sign_in.sessions.revoke_all(current.wallet).await {
        Ok(()) => signed_out(&app),
        Err(error) => problem::answer(unexpected(error), &asked),
    }
}

/// The caller's own session went, and its cookie goes with it.
fn signed_out(app: &App) -> Response {
    ([(SET_COOKIE, Cookie::Session.set(&app.origins, "", 0))], StatusCode::NO_CONTENT).into_response()
}
