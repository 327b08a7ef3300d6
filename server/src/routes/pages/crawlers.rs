//! What search engines and browsers ask for by a fixed name: `/robots.txt`, `/sitemap.xml`, `/favicon.ico`.
//!
//! The map has the pages that are the same for everybody. Deliberately absent: agents' pages (their number has no bound,
//! and a community decides who finds them), and what `noindex` on a page says already.

use std::fmt::Write as _;
use std::sync::Arc;

use app::assets;
use axum::extract::State;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};

use super::super::{App, problem};
use super::DOCUMENT;

/// Pages that are there once and for everybody; those of the reference and of problems follow.
const PAGES: [&str; 8] =
    ["/", "/agents", "/docs", "/docs/widget", "/docs/administer", "/docs/api", "/problems", "/developers"];
/// Asked for again after a day: what is in them changes with a version.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// `/robots.txt`: pages may be read; what programs call is no page.
pub(crate) async fn robots(State(app): State<Arc<App>>) -> Response {
    let text = format!(
        "User-agent: *\nDisallow: /api/\nDisallow: /v1/\nDisallow: /admin/\n\nSitemap: {}/sitemap.xml\n",
        app.public_url
    );
    sent("text/plain; charset=utf-8", text.into_bytes())
}

/// `/sitemap.xml`
pub(crate) async fn sitemap(State(app): State<Arc<App>>) -> Response {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    let once = PAGES.into_iter().map(str::to_owned);
    let groups = app::docs::group_names(&DOCUMENT).into_iter().map(|name| format!("/docs/api/{name}"));
    let problems = problem::kinds().map(|kind| format!("/problems/{}", kind.slug));
    for path in once.chain(groups).chain(problems) {
        writeln!(text, "<url><loc>{}{path}</loc></url>", escaped(&app.public_url))
            .expect("writing to a String does not fail");
    }
    text.push_str("</urlset>\n");
    sent("application/xml; charset=utf-8", text.into_bytes())
}

/// `/favicon.ico`: the icon of the pages, for what is opened in a browser and is no page.
pub(crate) async fn favicon() -> Response {
    let icon = assets::icon();
    sent(icon.kind, icon.plain.to_vec())
}

fn sent(kind: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, KEPT);
    response
}

/// The one letter that an address may have and XML may not.
fn escaped(url: &str) -> String {
    url.replace('&', "&amp;")
}
