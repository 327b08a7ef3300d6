//! The widget's loader, for other people's pages: at an address that stays and is asked about again, and at one that
//! never changes what it holds, for those who pin it by its hash.
//!
//! What always holds: any page may load it, with or without `crossorigin`, also one that is isolated from others.

use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::exchange::{Asked, text};
use super::super::fault::Fault;
use super::super::problem;
use super::assets;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A new loader is everywhere within five minutes, and a visitor who looks at ten pages asks once.
const CURRENT: HeaderValue = HeaderValue::from_static("public, max-age=300, must-revalidate");

/// `/widget/v1/widget.js`: whatever this server has.
pub(crate) async fn current(Extension(asked): Extension<Asked>, headers: HeaderMap) -> Response {
    let Some(asset) = app::assets::loader() else { return missing(&asked) };
    let mut response = assets::sent(asset, &headers);
    // Another compression is another representation, and has its own tag.
    let coding = if response.headers().contains_key(header::CONTENT_ENCODING) { "-br" } else { "" };
    let tag = format!("\"{}{coding}\"", asset.hash());
    if is_known(&tag, &headers) {
        *response.body_mut() = Body::empty();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [header::CONTENT_ENCODING, header::CONTENT_TYPE, header::CONTENT_LENGTH] {
            response.headers_mut().remove(name);
        }
    }
    response.headers_mut().insert(header::ETAG, text(&tag));
    response.headers_mut().insert(header::CACHE_CONTROL, CURRENT);
    for_everyone(response)
}

/// `/widget/{version}/widget.js`: exactly these bytes, for ever.
pub(crate) async fn pinned(
    Extension(asked): Extension<Asked>,
    version: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let version = version.map(|Path(version)| version).unwrap_or_default();
    match app::assets::loader().filter(|asset| asset.hash() == version) {
        Some(asset) => for_everyone(assets::sent(asset, &headers)),
        None => missing(&asked),
    }
}

fn missing(asked: &Asked) -> Response {
    let message = match app::assets::loader() {
        Some(asset) => format!(
            "There is no such version of the widget here. This server has /widget/{}/widget.js, with integrity {}, and \
             /widget/v1/widget.js is always its newest.",
            asset.hash(),
            asset.integrity
        ),
        None => {
            "This server was built without what browsers run. Build it with `cargo xtask assets`.".to_owned()
        }
    };
    for_everyone(problem::answer(Fault::NotFound { message }, asked))
}

fn for_everyone(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

/// Whether the browser has what the tag names. A weak tag is good enough for that (RFC 9110, 13.1.2).
fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_has_it_is_told_so() {
        let known = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            is_known("\"abc-br\"", &headers)
        };
        assert!(known("\"abc-br\"") && known("W/\"abc-br\"") && known("\"x\", \"abc-br\"") && known("*"));
        assert!(!known("\"abc\"") && !known("abc-br") && !known("") && !is_known("\"a\"", &HeaderMap::new()));
    }
}
