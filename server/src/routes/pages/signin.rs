//! Signing out, by a form in the head of each page.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use axum::response::{IntoResponse, Response};

use super::super::cookies::Cookie;
use super::super::exchange::text;
use super::super::fault::Fault;
use super::super::{App, problem};
use super::{Reader, form, own_path};

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
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, text(own_path::of(form.field("back")).unwrap_or("/")));
    headers.insert(SET_COOKIE, Cookie::Session.set(&app.origins, "", 0));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
