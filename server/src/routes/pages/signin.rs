//! `/signin` and `/signout`: what the sign-in page is opened for, and the way out by a form.
//!
//! What always holds: the page leads on to paths of ours alone; a session is handed on only to a chat of ours that opened
//! this very window, as the browser says in `Referer`, which no page elsewhere can write. A link that somebody was lured
//! to has another one, and gets a page that says so.

use std::sync::Arc;

use app::signin::{self, Asker, Burner as OnPage, Hurdle, Purpose};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::super::cookies::Cookie;
use super::super::exchange::text;
use super::super::fault::Fault;
use super::super::{App, Burner, burner, problem};
use super::{Reader, form, own_path};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Where a chat's frame is served.
const FRAME_PATH: &str = "/embed";
/// Where people go on who came for nothing else.
const ACCOUNT: &str = "/account";
/// SHA-256 in base64url without padding.
const CHALLENGE_CHARACTERS: usize = 43;
/// A host has at most 253 characters, and a port five.
const SITE_CHARACTERS: usize = 260;

/// `GET /signin`
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    reader: Reader,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let query = Query::of(&uri);
    let is_window = query.mode == "popup";
    if query.mode == "declined" {
        return reader.show(signin::declined(reader.visit()));
    }
    let purpose =
        if is_window { window_for(&app, &query, &headers) } else { Purpose::GoOn(query.back().to_owned()) };
    let burner = match app.burner {
        Burner::Offered => OnPage::Offered(burner::SCRIPT_PATH),
        Burner::Absent => OnPage::Absent,
    };
    let page = signin::page(reader.visit(), &purpose, hurdle(&app, &reader, &headers), burner);
    let mut response = reader.show_private(page);
    if is_window {
        // The chat that opened this window waits for its word, and the policy of all other pages would cut them apart
        // where the chat stands on somebody else's page. What this window says goes to our own origin alone.
        response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("unsafe-none"));
    }
    response
}

/// What the address asks for.
#[derive(Debug, Default)]
struct Query {
    mode: String,
    back: String,
    challenge: String,
}

impl Query {
    fn of(uri: &Uri) -> Self {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*name {
                "mode" => query.mode = value.into_owned(),
                "return" => query.back = value.into_owned(),
                "challenge" => query.challenge = value.into_owned(),
                _ => {}
            }
        }
        query
    }

    /// Where to go on. Never around in a circle, and never to a window that hands a session on.
    fn back(&self) -> &str {
        let path = own_path::of(&self.back).unwrap_or(ACCOUNT);
        let is_here = ["/signin", "/signout"].iter().any(|here| {
            path.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '/']))
        });
        if is_here { ACCOUNT } else { path }
    }
}

/// Who opened this window.
fn window_for(app: &App, query: &Query, headers: &HeaderMap) -> Purpose {
    let is_foreign = headers.get(SEC_FETCH_SITE).is_some_and(|site| site != "same-origin");
    let referer = headers.get(header::REFERER).and_then(|referer| referer.to_str().ok());
    let opener = referer.filter(|_| !is_foreign).and_then(|referer| opener_of(app, referer));
    let is_challenge = query.challenge.len() == CHALLENGE_CHARACTERS
        && query.challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    match opener {
        Some(asker) => {
            Purpose::Chat(Asker { challenge: is_challenge.then(|| query.challenge.clone()), ..asker })
        }
        // Without a code of the opener's own, whatever this window says is heard by a window of our origin or by nobody.
        None if query.challenge.is_empty() => Purpose::Chat(Asker::default()),
        None => Purpose::Stranger,
    }
}

/// The chat that this address is of: on a page of ours, or in a frame on a site that is named.
fn opener_of(app: &App, referer: &str) -> Option<Asker> {
    let place = referer.find("://").map_or(0, |at| at + 3);
    let path_at = referer[place..].find('/').map_or(referer.len(), |at| place + at);
    let (origin, path) = referer.split_at(path_at);
    app.origins.find(origin)?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == "/chat" || path.starts_with("/chat/") {
        return Some(Asker::default());
    }
    if path != FRAME_PATH {
        return None;
    }
    let host = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "host")?.1;
    let (_, site) = host.split_once("://")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    let is_site = !site.is_empty() && site.len() <= SITE_CHARACTERS && site.bytes().all(is_plain);
    is_site.then(|| Asker { site: Some(site.to_owned()), challenge: None })
}

/// What keeps a wallet from signing on this page.
fn hurdle(app: &App, reader: &Reader, headers: &HeaderMap) -> Option<Hurdle> {
    if !app.origins.may_sign_in() {
        return Some(Hurdle::PlainHttp);
    }
    let is_ours = app.origins.are_asked(headers);
    (!is_ours).then(|| Hurdle::OtherName(format!("{}{}", app.public_url, reader.visit().path)))
}

/// `POST /signout`: ends the session, takes its cookie away, and leads back. Without a session there is nothing to end.
pub(crate) async fn sign_out(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    if let Some(session) = reader.session()
        && let Err(error) = app.sign_in.sessions.revoke(session.wallet, session.id).await
    {
        // The cookie stays: whoever reads "signed out" has to be.
        return super::trouble(&reader, problem::of(Fault::Unexpected(error.into()), reader.asked()));
    }
    signed_out(&app, own_path::of(form.field("back")).unwrap_or("/"))
}

/// Leads to a path of ours without the session's cookie.
pub(super) fn signed_out(app: &App, path: &str) -> Response {
    let mut response = see(path);
    response.headers_mut().insert(SET_COOKIE, Cookie::Session.set(&app.origins, "", 0));
    response
}

/// Leads to a path of ours after a form.
pub(super) fn see(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, text(path));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
