//! `/assets/{file}`: stylesheet, font, icon, wasm. An address never changes what it holds.

use app::assets::Asset;
use axum::Extension;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};

use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::problem;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The file of this address, compressed for those who take brotli: every browser does.
pub(crate) async fn file(Extension(asked): Extension<Asked>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(asset) = app::assets::at(uri.path()) else {
        let message =
            "There is no file of that name: its page was probably loaded before an update. Load it again.";
        return problem::answer(Fault::NotFound { message: message.to_owned() }, &asked);
    };
    sent(asset, &headers)
}

/// A file, with what may be kept for ever said of it.
pub(crate) fn sent(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let compressed = asset.brotli.filter(|_| takes_brotli(headers));
    let mut response = compressed.unwrap_or(asset.plain).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    if asset.brotli.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if compressed.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    response
}

fn takes_brotli(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')));
        name.trim().eq_ignore_ascii_case("br") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brotli_goes_to_those_who_take_it() {
        let takes = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            takes_brotli(&headers)
        };
        assert!(takes("gzip, deflate, br, zstd") && takes("BR;q=0.5"));
        assert!(!takes("gzip") && !takes("br;q=0") && !takes("br;q=0.0") && !takes("brotli"));
    }
}
