//! `/developers`: the form and what comes of it. Signing up is `domain::accounts::register`, as for the API.

use std::sync::Arc;

use app::developers::{Form, MadeKey};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::Response;
use domain::accounts::{NAME_CHARACTERS_AT_MOST, RegisterError, SIGNUPS_PER_HOUR};
use domain::flags::Flag;

use super::super::fault::Fault;
use super::super::{App, problem};
use super::{Reader, form};

const OFF: &str = "Sign-up is switched off here for now. Keys that were made before work as ever; ask the operator for one.";

/// `GET /developers`
pub(crate) async fn sign_up_form(State(app): State<Arc<App>>, reader: Reader) -> Response {
    let refusal = (!app.ctx.flags.is_on(Flag::ApiKeys)).then(|| OFF.to_owned());
    reader.show(app::developers::page(reader.visit(), &allowance(&app), Form { refusal, ..Form::default() }))
}

/// `POST /developers`: signs up and shows the key once.
pub(crate) async fn sign_up(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let name = form.field("name").trim();
    let again = |status, form| {
        reader.show_with(status, app::developers::page(reader.visit(), &allowance(&app), form))
    };
    match domain::accounts::register(&app.ctx, name, reader.asked().ip).await {
        Ok(registered) => {
            let key = registered.key.secret.reveal().to_owned();
            let made = MadeKey { key, allowance: allowance(&app), name: name.to_owned() };
            reader.show_once(app::developers::made(reader.visit(), &made))
        }
        Err(RegisterError::BadName) => {
            let error = format!(
                "A name has 1 to {NAME_CHARACTERS_AT_MOST} characters, none of them a control character."
            );
            let form = Form { name: name.to_owned(), name_error: Some(error), refusal: None };
            again(StatusCode::UNPROCESSABLE_ENTITY, form)
        }
        Err(RegisterError::TooMany { retry_after_s }) => {
            let minutes = retry_after_s.div_ceil(60);
            let refusal = format!(
                "Only {SIGNUPS_PER_HOUR} sign-ups an hour are taken from one address. Try again in {minutes} min, or use the key you have."
            );
            let form = Form { name: name.to_owned(), name_error: None, refusal: Some(refusal) };
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, form);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
            response
        }
        Err(RegisterError::Off) => {
            let form = Form { name: name.to_owned(), name_error: None, refusal: Some(OFF.to_owned()) };
            again(StatusCode::SERVICE_UNAVAILABLE, form)
        }
        Err(RegisterError::Unexpected(error)) => {
            super::trouble(&reader, problem::of(Fault::Unexpected(error), reader.asked()))
        }
    }
}

/// What a sandbox key is worth each day, in words.
fn allowance(app: &App) -> String {
    let tokens = app.ctx.catalog.sandbox.tokens_per_day.to_string();
    let mut grouped = String::new();
    for (place, digit) in tokens.chars().enumerate() {
        if place > 0 && (tokens.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} tokens of the cheap pool")
}
