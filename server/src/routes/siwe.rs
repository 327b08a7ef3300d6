//! Signing in with a wallet: a nonce, a signed message, a session in a cookie.
//!
//! It happens on a page of our own alone, so that the domain in the message is the one in the address bar: the page's
//! `Origin` has to be ours, the message's domain and URI have to be that same origin, and the nonce has to have been
//! issued to it and to this browser. The rules are `identity`'s; this door compares who asks and sets the cookies.

pub(crate) mod handoff;
mod label;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use identity::siwe::{self, Expected, Message, Moment, SignatureFault};
use identity::{Nonce, NonceFault, Session};
use serde::{Deserialize, Serialize};
use types::Wallet;
use utoipa::ToSchema;

use super::accounts::required;
use super::cookies::Cookie;
use super::exchange::Asked;
use super::fault::Fault;
use super::fields::Field;
use super::problem::{self, Shape};
use super::shared::{self, moment};
use super::{App, body, caller, limits};

/// What a person reads in the wallet.
const STATEMENT: &str = "Sign in to Freeside. This costs nothing and moves nothing.";
/// The browser's name is kept as long as a session: a nonce asked for before it ends still finds it.
const BROWSER_LIFE_S: i64 = 3_600;
/// The longest name of a browser that is taken back: ours are half of it.
const BROWSER_BYTES: usize = 64;

/// Why nobody was signed in: a fault of the door, or a problem of its own.
enum Refused {
    Fault(Fault),
    Problem(Box<Shape>),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Shape> for Refused {
    fn from(shape: Shape) -> Self {
        Self::Problem(Box::new(shape))
    }
}

impl From<NonceFault> for Refused {
    fn from(fault: NonceFault) -> Self {
        Shape::of_nonce(fault).map_or_else(|error| Fault::Unexpected(error).into(), Self::from)
    }
}

impl Refused {
    fn answer(self, asked: &Asked) -> Response {
        match self {
            Self::Fault(fault) => problem::answer(fault, asked),
            Self::Problem(shape) => problem::respond(*shape, asked),
        }
    }
}

/// What the message has to hold.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NonceAnswer {
    /// Works once, for five minutes, on this page and in this browser.
    nonce: String,
    /// Host and port of this page.
    domain: String,
    /// This page's origin.
    uri: String,
    /// Always `1`.
    version: &'static str,
    /// The chains that may be named; the first where the wallet is on none of them.
    chain_ids: Vec<u64>,
    /// What the person reads.
    statement: &'static str,
    /// Now.
    issued_at: String,
    /// When the nonce stops working.
    expiration_time: String,
    /// The whole message: `{address}` and `{chain_id}` are to be filled in, the address with its checksum (EIP-55).
    message: String,
}

/// What to sign: a fresh nonce, and everything else that the message has to hold.
#[utoipa::path(
    post, path = "/api/v1/siwe/nonce", tag = "sign-in", operation_id = "siweNonce",
    responses(
        (status = 200, description = "The nonce; a cookie ties it to this browser", body = NonceAnswer),
        (status = 403, description = "The page is not one of ours, or is on plain http", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many nonces for this address", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn nonce(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    issue(&app, &asked, request.headers()).await.unwrap_or_else(|refused| refused.answer(&asked))
}

/// The same for clients that can only read.
#[utoipa::path(
    get, path = "/api/v1/siwe/nonce", tag = "sign-in", operation_id = "siweReadNonce",
    responses(
        (status = 200, description = "The nonce; never kept by a cache", body = NonceAnswer),
        (status = 403, description = "The page is not one of ours, or is on plain http", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many nonces for this address", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read_nonce(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    issue(&app, &asked, request.headers()).await.unwrap_or_else(|refused| refused.answer(&asked))
}

async fn issue(app: &App, asked: &Asked, headers: &HeaderMap) -> Result<Response, Refused> {
    if !app.origins.may_sign_in() {
        return Err(Shape::sign_in_needs_https().into());
    }
    let origin = app.origins.addressed(headers).ok_or_else(Shape::not_our_page)?;
    let known = Cookie::Browser.read(&app.origins, headers).filter(|name| is_browser_name(name));
    let browser = match known {
        Some(known) => known,
        None => app.sign_in.nonces.browser().map_err(Fault::Unexpected)?.reveal().to_owned(),
    };
    let nonce = app.sign_in.nonces.issue(origin, &browser, asked.ip).await?;
    let mut answer = HeaderMap::new();
    answer.insert(SET_COOKIE, Cookie::Browser.set(&app.origins, &browser, BROWSER_LIFE_S));
    Ok(shared::json(answer, &to_sign(app, origin, nonce)))
}

fn is_browser_name(name: &str) -> bool {
    name.len() <= BROWSER_BYTES && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn to_sign(app: &App, origin: &str, nonce: Nonce) -> NonceAnswer {
    /// Stands in for the address until the wallet is known.
    const NOBODY: Wallet = Wallet([0; 20]);
    let domain = domain_of(origin).to_owned();
    let (issued_at, expires_at) = (Moment::new(nonce.issued_at), Moment::new(nonce.expires_at));
    let message = Message {
        domain: domain.clone(),
        wallet: NOBODY,
        statement: Some(STATEMENT.to_owned()),
        uri: origin.to_owned(),
        version: siwe::VERSION.to_owned(),
        chain_id: 0,
        nonce: nonce.text.clone(),
        issued_at: issued_at.clone(),
        expiration_time: Some(expires_at.clone()),
        not_before: None,
        request_id: None,
        resources: Vec::new(),
    };
    let text = message.to_string();
    NonceAnswer {
        domain,
        uri: origin.to_owned(),
        version: siwe::VERSION,
        chain_ids: app.sign_in.chains.clone(),
        statement: STATEMENT,
        issued_at: issued_at.to_string(),
        expiration_time: expires_at.to_string(),
        message: text
            .replace(&NOBODY.to_string(), "{address}")
            .replace("\nChain ID: 0\n", "\nChain ID: {chain_id}\n"),
        nonce: nonce.text,
    }
}

fn domain_of(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, domain)| domain)
}

/// A signed message.
#[derive(Deserialize, ToSchema)]
pub(crate) struct VerifyBody<'a> {
    /// The message, letter by letter as it was signed.
    #[serde(borrow)]
    #[schema(value_type = String, max_length = 4096)]
    message: Field<'a>,
    /// What `personal_sign` answered: `0x` and hexadecimal digits.
    #[serde(borrow)]
    #[schema(value_type = String)]
    signature: Field<'a>,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionAnswer {
    /// Whether anybody is.
    authenticated: bool,
    /// The wallet, with its checksum.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    address: Option<Wallet>,
    /// Of a wallet that is a contract: its chain (EIP-155). The same address by key, or on another chain, is another wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
    /// The session, as the list names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// The origin from which it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl SessionAnswer {
    const NOBODY: Self = Self {
        authenticated: false,
        address: None,
        chain_id: None,
        session_id: None,
        origin: None,
        expires_at: None,
    };

    fn of(session: &Session) -> Self {
        Self {
            authenticated: true,
            address: Some(session.wallet.address),
            chain_id: session.wallet.chain_id(),
            session_id: Some(session.id.to_string()),
            origin: Some(session.origin.clone()),
            expires_at: Some(moment(session.expires_at)),
        }
    }
}

/// Signs a wallet in: the message and its signature for a session in a cookie.
#[utoipa::path(
    post, path = "/api/v1/siwe/verify", tag = "sign-in", operation_id = "siweVerify",
    request_body = VerifyBody<'static>,
    responses(
        (status = 200, description = "Signed in; the cookie holds the session", body = SessionAnswer),
        (status = 400, description = "The message is not what was asked for; each cause has its own type", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another page or browser, or another wallet's signature", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The nonce was used before", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many tries from this address", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The wallet is a contract and its chain cannot be asked", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let read = async {
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: VerifyBody<'_> = whole.parse()?;
        Ok::<_, Fault>((required("message", body.message)?, required("signature", body.signature)?))
    };
    let signed = match read.await {
        Ok(signed) => signed,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match sign_in(&app, &asked, &parts.headers, &signed.0, &signed.1).await {
        Ok(response) => {
            metrics::counter!("freeside_sign_ins_total", "result" => "ok").increment(1);
            response
        }
        Err(refused) => {
            metrics::counter!("freeside_sign_ins_total", "result" => "refused").increment(1);
            refused.answer(&asked)
        }
    }
}

async fn sign_in(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    text: &str,
    signature: &str,
) -> Result<Response, Refused> {
    let origin = app.origins.named(headers);
    let browser = Cookie::Browser.read(&app.origins, headers).unwrap_or_default();
    // First of all, and whatever the rest is like: a try costs the nonce.
    let consumed = match siwe::claimed_nonce(text) {
        None => Ok(()),
        Some(nonce) => {
            app.sign_in.nonces.consume(nonce, origin.unwrap_or_default(), &browser, asked.ip).await
        }
    };
    let origin = origin.filter(|_| app.origins.may_sign_in()).ok_or_else(Shape::not_our_page)?;
    let message = Message::parse(text).map_err(|fault| Shape::of_message(&fault))?;
    consumed?;
    let expected = Expected {
        domain: domain_of(origin),
        uri: origin,
        chains: &app.sign_in.chains,
        now: app.ctx.clock.now(),
    };
    message.check(&expected).map_err(|fault| Shape::of_message(&fault))?;
    let signature = bytes_of(signature).ok_or_else(|| Shape::of_signature(&SignatureFault::Form))?;
    let contracts = app.sign_in.contracts.as_deref();
    let signer = domain::sign_in::signer(contracts, text, &message, &signature).await;
    let wallet = signer.map_err(|fault| {
        if let SignatureFault::Unasked(error) = &fault {
            tracing::warn!(
                request_id = asked.id.as_ref(),
                error = format!("{error:#}"),
                "a contract wallet was not asked"
            );
        }
        Shape::of_signature(&fault)
    })?;

    // Whoever was signed in here before is so no more: one cookie, one session.
    if let Ok(before) = caller::session(app, headers).await {
        app.sign_in.sessions.revoke(before.wallet, before.id).await.map_err(unexpected)?;
    }
    let label = label::of(headers.get(USER_AGENT));
    let opened = app.sign_in.sessions.open(wallet, origin, &label).await.map_err(unexpected)?;
    let mut answer = HeaderMap::new();
    let life_s = identity::sessions::LIFE.whole_seconds();
    answer.insert(SET_COOKIE, Cookie::Session.set(&app.origins, opened.token.reveal(), life_s));
    Ok(shared::json(answer, &SessionAnswer::of(&opened.session)))
}

/// `0x` and an even number of hexadecimal digits, bounded.
pub(super) fn bytes_of(signature: &str) -> Option<Vec<u8>> {
    let digits = signature.strip_prefix("0x")?.as_bytes();
    if digits.is_empty() || digits.len() % 2 == 1 || digits.len() > 2 * siwe::MAX_SIGNATURE_BYTES {
        return None;
    }
    let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?)).collect()
}

pub(crate) fn unexpected(error: sqlx::Error) -> Fault {
    Fault::Unexpected(error.into())
}

/// Who is signed in. Nobody is an answer, not an error.
#[utoipa::path(
    get, path = "/api/v1/siwe/session", tag = "sign-in", operation_id = "siweSession",
    responses((status = 200, description = "The wallet, or that there is none", body = SessionAnswer))
)]
pub(crate) async fn session(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let mut answer = HeaderMap::new();
    match caller::session(&app, headers).await {
        Ok(session) => shared::json(answer, &SessionAnswer::of(&session)),
        Err(Fault::NoSession | Fault::SessionOver { .. }) => {
            if Cookie::Session.is_in(&app.origins, headers) && app.origins.addressed(headers).is_some() {
                answer.insert(SET_COOKIE, Cookie::Session.set(&app.origins, "", 0));
            }
            shared::json(answer, &SessionAnswer::NOBODY)
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// Signs out: ends the session and takes the cookie away. Without a session there is nothing to do.
#[utoipa::path(
    post, path = "/api/v1/siwe/logout", tag = "sign-in", operation_id = "siweLogout",
    responses((status = 204, description = "Nobody is signed in any more"))
)]
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let ended = match caller::session(&app, request.headers()).await {
        Ok(session) => app.sign_in.sessions.revoke(session.wallet, session.id).await.map_err(unexpected),
        Err(Fault::NoSession | Fault::SessionOver { .. }) => Ok(false),
        Err(fault) => Err(fault),
    };
    match ended {
        Ok(_) => {
            ([(SET_COOKIE, Cookie::Session.set(&app.origins, "", 0))], StatusCode::NO_CONTENT).into_response()
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_read_within_bounds() {
        assert_eq!(bytes_of("0x00fFA1"), Some(vec![0, 255, 161]));
        let long = format!("0x{}", "00".repeat(siwe::MAX_SIGNATURE_BYTES + 1));
        for bad in ["", "0x", "00ff", "0x0", "0x0g", "0xé0", "0x+1", long.as_str()] {
            assert_eq!(bytes_of(bad), None, "{bad}");
        }
    }
}
