//! Reads a form that one of our pages sent, within bounds.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};

use super::super::exchange::Asked;
use super::super::problem::{self, Shape};
use super::super::{App, body, limits};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The fields of a form.
#[derive(Debug)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The first value of a field; empty when it did not come.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.each(name).next().unwrap_or_default()
    }

    /// Every value of a field, as of boxes that were ticked.
    pub(crate) fn each(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the form of a request that came from one of our own pages.
///
/// # Errors
/// A form that a page elsewhere sent, or a body that is too long or does not arrive.
pub(crate) async fn read(app: &App, asked: &Asked, request: Request) -> Result<Form, Shape> {
    let (parts, incoming) = request.into_parts();
    if !is_ours(&app.public_url, &parts.headers) {
        body::discard(incoming).await;
        return Err(Shape::foreign_form());
    }
    let whole = body::read_any(&app.budgets.bodies, asked.client(), incoming, limits::FORM_BYTES).await;
    let whole = whole.map_err(|fault| problem::of(fault, asked))?;
    let fields = form_urlencoded::parse(whole.bytes()).take(limits::FORM_FIELDS);
    Ok(Form(fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
}

/// Whether the request came from a page of ours, or from something that is no browser.
///
/// Browsers of the last years say it outright; older ones name the origin, which is either the address that we are
/// known by or the one that was asked.
fn is_ours(public_url: &str, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let asked = |scheme: &str| origin.strip_prefix(scheme).is_some_and(|origin| Some(origin) == host);
    origin == public_url || asked("https://") || (public_url.starts_with("http://") && asked("http://"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ours(public_url: &str, headers: &[(HeaderName, &'static str)]) -> bool {
        let pairs = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        is_ours(public_url, &pairs.collect())
    }

    #[test]
    fn a_form_of_a_page_elsewhere_is_known_by_either_header() {
        let site = |value| ours("https://a.example", &[(SEC_FETCH_SITE, value)]);
        assert!(site("same-origin") && site("none"));
        assert!(!site("cross-site") && !site("same-site") && !site(""));
        let origin = |value| ours("https://a.example", &[(ORIGIN, value), (HOST, "b.example")]);
        assert!(origin("https://a.example") && origin("https://b.example"));
        for other in ["http://b.example", "https://c.example", "https://a.example.evil", "null", ""] {
            assert!(!origin(other), "{other}");
        }
        let local = [(ORIGIN, "http://localhost:3000"), (HOST, "localhost:3000")];
        assert!(ours("http://127.0.0.1:3000", &local));
        assert!(ours("https://a.example", &[]), "curl sends neither, and has no cookies to lose");
    }
}
