//! Carrying a session into a frame on somebody else's page, where our cookie does not reach (SPEC §6, §13).
//!
//! The sign-in page, which has the cookie, asks for a code or lays the session ready under a frame's own; the frame
//! exchanges the code for a token that lives in its memory. See `identity::handoff` for what each way is worth.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use identity::HandoffFault;
use identity::handoff::{Client, LIFE};
use serde::{Deserialize, Serialize};
use types::Wallet;
use utoipa::ToSchema;

use super::{Refused, label, unexpected};
use crate::routes::accounts::required;
use crate::routes::caller::{self, Access};
use crate::routes::exchange::Asked;
use crate::routes::fault::Fault;
use crate::routes::fields::{self, Field};
use crate::routes::problem::{self, Shape};
use crate::routes::shared::{self, moment};
use crate::routes::{App, body, limits};

/// Who may hand a session on: whoever has one.
pub(crate) const OFFER: Access = Access::Session;

impl From<HandoffFault> for Refused {
    fn from(fault: HandoffFault) -> Self {
        Shape::of_handoff(fault).map_or_else(|error| Fault::Unexpected(error).into(), Self::from)
    }
}

/// What the frame that waits has said of its own code.
#[derive(Deserialize, ToSchema)]
pub(crate) struct OfferBody<'a> {
    /// SHA-256 of the frame's code, in base64url without padding. Left out: the server makes a code.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 43, max_length = 43)]
    challenge: Field<'a>,
}

/// How the frame gets the session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferAnswer {
    /// The code, for `postMessage` to an opener of this very origin. Absent where the frame has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Seconds for which it works, once.
    expires_in_s: i64,
}

/// Makes a one-time code for the frame that opened the sign-in page.
#[utoipa::path(
    post, path = "/api/v1/siwe/handoff", tag = "sign-in", operation_id = "siweHandoff",
    request_body(content = inline(Option<OfferBody<'static>>), description = "May be left out"),
    responses(
        (status = 201, description = "The code, or that the session lies ready", body = OfferAnswer),
        (status = 400, description = "The challenge cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is signed in", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []))
)]
pub(crate) async fn offer(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let made = async {
        let session = match caller::session(&app, &parts.headers).await {
            Ok(session) => session,
            Err(fault) => {
                body::discard(incoming).await;
                return Err(fault.into());
            }
        };
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: OfferBody<'_> = whole.parse_or_empty()?;
        let challenge = body.challenge.map(|raw| fields::text("challenge", raw)).transpose()?;
        let handoffs = &app.sign_in.handoffs;
        let Some(challenge) = challenge else {
            return Ok(Some(handoffs.offer(&session, &session.origin).await?));
        };
        let client = client_of(&asked, &parts.headers);
        handoffs.lay_ready(&session, &session.origin, &challenge, &client).await?;
        Ok::<_, Refused>(None)
    };
    match made.await {
        Ok(code) => {
            let code = code.map(|code| code.reveal().to_owned());
            let answer = OfferAnswer { code, expires_in_s: LIFE.whole_seconds() };
            shared::json_with(StatusCode::CREATED, HeaderMap::new(), &answer)
        }
        Err(refused) => refused.answer(&asked),
    }
}

/// A code.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ExchangeBody<'a> {
    /// The code that the sign-in page posted, or the frame's own.
    #[serde(borrow)]
    #[schema(value_type = String)]
    code: Field<'a>,
}

/// A session for a frame's memory.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExchangeAnswer {
    /// For `Authorization: Bearer`, from this origin alone. Not for any storage.
    token: String,
    /// The wallet, with its checksum.
    #[schema(value_type = String)]
    address: Wallet,
    /// Of a wallet that is a contract: its chain (EIP-155).
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
    /// The session, as the list names it.
    session_id: String,
    /// When it ends: with the session that was handed on.
    expires_at: String,
}

/// Exchanges a hand-off code for a session of the frame's own.
#[utoipa::path(
    post, path = "/api/v1/siwe/exchange", tag = "sign-in", operation_id = "siweExchange",
    request_body = ExchangeBody<'static>,
    responses(
        (status = 200, description = "The session's token, shown this once", body = ExchangeAnswer),
        (status = 400, description = "The body cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The code is another page's or browser's", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such code: not yet, or not any more", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many tries from this address", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn exchange(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let opened = async {
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: ExchangeBody<'_> = whole.parse()?;
        let code = required("code", body.code)?;
        let origin = app.origins.named(&parts.headers).ok_or_else(Shape::not_our_page)?;
        let client = client_of(&asked, &parts.headers);
        let first = app.sign_in.handoffs.take(&code, origin, &client, asked.ip).await?;
        let label = format!("{}, in a page", label::of(parts.headers.get(USER_AGENT)));
        let opened = app.sign_in.sessions.open_beside(&first, origin, &label).await.map_err(unexpected)?;
        Ok::<_, Refused>(opened.ok_or(HandoffFault::Unknown)?)
    };
    match opened.await {
        Ok(opened) => {
            let answer = ExchangeAnswer {
                token: opened.token.reveal().to_owned(),
                address: opened.session.wallet.address,
                chain_id: opened.session.wallet.chain_id(),
                session_id: opened.session.id.to_string(),
                expires_at: moment(opened.session.expires_at),
            };
            shared::json(HeaderMap::new(), &answer)
        }
        Err(refused) => refused.answer(&asked),
    }
}

fn client_of(asked: &Asked, headers: &HeaderMap) -> Client {
    let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    Client::new(asked.ip, user_agent.unwrap_or_default())
}
