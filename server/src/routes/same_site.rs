//! Refuses changes that another site's page makes in a user's name.
//!
//! A browser attaches our cookies by itself; `SameSite=Strict` keeps most foreign requests from carrying them, and this
//! layer does not rely on it. Whatever changes something and carries one of our cookies has to come from a page of ours,
//! as the browser says in `Origin` or `Sec-Fetch-Site`. Every browser says one of the two on such requests; a request
//! with cookies and without either is not a browser's, and brings a key instead.
//!
//! Deliberately absent: tokens in forms. They prove the same with more that can go wrong.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::cookies::Cookie;
use super::exchange::Asked;
use super::origins::Site;
use super::problem::{self, Shape};
use super::{App, body};

/// The layer around every route.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let headers = request.headers();
    let has_cookie =
        [Cookie::Session, Cookie::Browser].into_iter().any(|cookie| cookie.is_in(&app.origins, headers));
    if reads || !has_cookie || app.origins.site(headers) == Site::Own {
        return next.run(request).await;
    }
    metrics::counter!("freeside_cross_site_refusals_total").increment(1);
    body::discard(request.into_body()).await;
    problem::respond(Shape::cross_site(), &asked)
}
