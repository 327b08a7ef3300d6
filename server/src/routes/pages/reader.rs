//! Who looks at a page, and the headers that every page is sent with.

use std::sync::Arc;

use app::Visit;
use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::embed::Origin;
use identity::Session;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::super::cookies::Cookie;
use super::super::exchange::{Asked, text};
use super::super::fault::Fault;
use super::super::{App, caller};
use super::theme;

/// 128 bits: nobody guesses a nonce while its page is on the way.
const NONCE_BYTES: usize = 16;
/// A browser that came once by https comes by https for a year. Without subdomains: they are not ours to promise.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Somebody who looks at a page.
#[derive(Debug)]
pub(crate) struct Reader {
    visit: Visit,
    session: Option<Arc<Session>>,
    asked: Asked,
    wants_pages: bool,
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let asked = parts.extensions.get::<Asked>().expect("the frame around all routes puts it there");
        Ok(Self::new(app, asked, &parts.uri, &parts.headers).await)
    }
}

impl Reader {
    /// The reader behind a request.
    async fn new(app: &App, asked: &Asked, uri: &Uri, headers: &HeaderMap) -> Self {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let session = signed_in(app, asked, headers).await;
        let visit = Visit {
            path: path.to_owned(),
            theme: theme::chosen(headers),
            nonce: nonce(),
            public_url: app.public_url.clone(),
            version: app.version,
            wallet: session.as_ref().map(|session| session.wallet),
        };
        Self { visit, session, asked: asked.clone(), wants_pages: wants_pages(headers) }
    }

    /// What `app` has to know.
    pub(crate) fn visit(&self) -> &Visit {
        &self.visit
    }

    /// The session of the wallet that is signed in, if any.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// The request.
    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Whether the reader said that it reads HTML, and not rather JSON.
    pub(crate) fn wants_pages(&self) -> bool {
        self.wants_pages
    }

    /// Sends a page.
    pub(crate) fn show(&self, page: String) -> Response {
        self.show_with(StatusCode::OK, page)
    }

    /// Sends a page with its status. Nobody but the reader keeps it, and asks again before showing it again: it has
    /// the reader's colours and a nonce.
    pub(crate) fn show_with(&self, status: StatusCode, page: String) -> Response {
        self.sent(status, page, HeaderValue::from_static("private, no-cache"))
    }

    /// Sends a page that nothing may keep: there is a secret on it.
    pub(crate) fn show_once(&self, page: String) -> Response {
        self.sent(StatusCode::CREATED, page, HeaderValue::from_static("no-store"))
    }

    /// Sends a page with figures of one account, which nothing may keep either.
    pub(crate) fn show_private(&self, page: String) -> Response {
        self.show_private_with(StatusCode::OK, page)
    }

    /// The same with its status.
    pub(crate) fn show_private_with(&self, status: StatusCode, page: String) -> Response {
        self.sent(status, page, HeaderValue::from_static("no-store"))
    }

    /// Sends the document of a frame that pages of `ancestors` may hold. Nothing may keep it: whose pages those are can
    /// change from one answer to the next.
    pub(crate) fn show_framed(&self, status: StatusCode, page: String, ancestors: &[Origin]) -> Response {
        let mut response = self.sent(status, page, HeaderValue::from_static("no-store"));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, text(&policy(&self.visit.nonce, ancestors)));
        // For pages that are isolated from others: those hold only frames that say they are, too.
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        headers.insert(EMBEDDER_POLICY, HeaderValue::from_static("require-corp"));
        response
    }

    fn sent(&self, status: StatusCode, page: String, keep: HeaderValue) -> Response {
        let mut response = (status, page).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, keep);
        headers.insert(header::VARY, HeaderValue::from_static("accept, cookie"));
        headers.insert(header::CONTENT_SECURITY_POLICY, text(&policy(&self.visit.nonce, &[])));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        // A wallet's sign-in opens as a popup and has to reach the page that opened it.
        headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin-allow-popups"));
        let unused = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()";
        headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(unused));
        if self.visit.public_url.starts_with("https://") {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        response
    }
}

/// The session in the reader's cookie. One that is over, or that cannot be checked, is nobody's: a page reads all the
/// same, and what needs a wallet asks for it.
async fn signed_in(app: &App, asked: &Asked, headers: &HeaderMap) -> Option<Arc<Session>> {
    if !Cookie::Session.is_in(&app.origins, headers) {
        return None;
    }
    match caller::session(app, headers).await {
        Ok(session) => Some(session),
        Err(Fault::NoSession | Fault::SessionOver { .. }) => None,
        Err(fault) => {
            tracing::warn!(request_id = asked.id.as_ref(), ?fault, "a page's session was not checked");
            None
        }
    }
}

/// The content policy of a page that `ancestors` may frame; none: nobody may.
///
/// Scripts run by nonce alone, styles come from our own files alone, and wasm may be compiled. No string becomes code.
fn policy(nonce: &str, ancestors: &[Origin]) -> String {
    let ancestors: Vec<&str> = ancestors.iter().map(Origin::as_str).collect();
    let ancestors = if ancestors.is_empty() { "'none'".to_owned() } else { ancestors.join(" ") };
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
    )
}

fn nonce() -> String {
    let mut bytes = [0; NONCE_BYTES];
    // Without random bytes no script of ours runs, and the page still reads: an empty nonce matches nothing.
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => STANDARD.encode(bytes),
        Err(_) => String::new(),
    }
}

/// Whether `Accept` names HTML and likes it at least as well as JSON. `*/*` names nothing: that is what curl, SDKs and
/// scripts send.
fn wants_pages(headers: &HeaderMap) -> bool {
    let mut html = 0;
    let mut json = 0;
    for line in headers.get_all(header::ACCEPT) {
        for range in line.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, thousandths);
            match kind.as_str() {
                "text/html" | "application/xhtml+xml" => html = html.max(weight),
                "application/json" | "application/problem+json" => json = json.max(weight),
                _ => {}
            }
        }
    }
    html > 0 && html >= json
}

/// A weight of `Accept`, such as `0.8`, in thousandths; what is no weight counts as none.
fn thousandths(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, format!("{part:0<3}").parse::<u16>()) {
        ("0", Ok(part)) if digits => part,
        ("1", Ok(0)) => 1_000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_pages_and_a_program_gets_problems() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_pages(&headers)
        };
        assert!(wants("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wants("application/json;q=0.5, TEXT/HTML;q=0.50"));
        for accept in ["*/*", "", "application/json", "application/json, text/html;q=0.9", "text/html;q=0"] {
            assert!(!wants(accept), "{accept}");
        }
        assert!(!wants("text/html;q=2") && !wants("text/html;q=0.12345"));
        assert!(!wants_pages(&HeaderMap::new()));
    }

    #[test]
    fn a_nonce_is_new_each_time_and_long_enough() {
        let (one, other) = (nonce(), nonce());
        assert!(one != other && one.len() >= 22);
    }

    #[test]
    fn a_policy_names_its_ancestors_or_nobody() {
        assert!(policy("n", &[]).ends_with("frame-ancestors 'none'"));
        let two =
            ["https://a.example", "http://localhost:1"].map(|text| Origin::parse(text).expect("an origin"));
        assert!(policy("n", &two).ends_with("; frame-ancestors https://a.example http://localhost:1"));
        assert!(!policy("n", &[]).contains("unsafe-inline") && !policy("n", &[]).contains("'unsafe-eval'"));
    }
}
