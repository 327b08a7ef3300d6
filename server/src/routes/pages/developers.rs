//! `/developers`: the form and what comes of it, and the account of whoever shows a key. Signing up is
//! `domain::accounts::register` and the figures are `domain::reports::usage`, as for the API.

use std::sync::Arc;

use app::developers::{Account, Day, Form, KeyRow, MadeKey};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::Response;
use domain::accounts::{NAME_CHARACTERS_AT_MOST, RegisterError, SIGNUPS_PER_HOUR, Standing};
use domain::flags::Flag;
use identity::{ApiKey, ApiKeyRow, KeyRefusal, Scope};
use time::OffsetDateTime;
use time::macros::format_description;
use types::MicroUsd;

use super::super::fault::Fault;
use super::super::{App, accounts, body, problem, sentences};
use super::{Reader, form};

const OFF: &str = "Sign-up is switched off here for now. Keys that were made before work as ever; ask the operator for one.";

/// `GET /developers`
pub(crate) async fn sign_up_form(State(app): State<Arc<App>>, reader: Reader) -> Response {
    let refusal = (!app.ctx.flags.is_on(Flag::ApiKeys)).then(|| OFF.to_owned());
    reader.show(app::developers::page(reader.visit(), &allowance(&app), Form { refusal, ..Form::default() }))
}

/// `POST /developers`: signs up and shows the key once.
pub(crate) async fn sign_up(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let wallet = match accounts::developers_wallet(&app, request.headers()).await {
        Ok(wallet) => wallet,
        Err(fault) => {
            body::discard(request.into_body()).await;
            return super::trouble(&reader, problem::of(fault, reader.asked()));
        }
    };
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let name = form.field("name").trim();
    let again = |status, form| {
        reader.show_with(status, app::developers::page(reader.visit(), &allowance(&app), form))
    };
    match domain::accounts::register(&app.ctx, name, reader.asked().ip, wallet).await {
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
        Err(RegisterError::SignedUp) => {
            let refusal = "This wallet has signed up before. Its keys are under GET /api/v1/keys.".to_owned();
            let form = Form { name: name.to_owned(), name_error: None, refusal: Some(refusal) };
            again(StatusCode::CONFLICT, form)
        }
        Err(RegisterError::Unexpected(error)) => {
            super::trouble(&reader, problem::of(Fault::Unexpected(error), reader.asked()))
        }
    }
}

/// `GET /developers/account`
pub(crate) async fn account_form(reader: Reader) -> Response {
    reader.show(app::developers::account(reader.visit(), None))
}

/// `POST /developers/account`: the account of the key in the form. Nothing of the key is kept or shown.
pub(crate) async fn account(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let refused = |status, text: String| {
        reader.show_with(status, app::developers::account(reader.visit(), Some(Err(text))))
    };
    let key = match app.ctx.keys.authenticate(form.field("key").trim(), reader.asked().ip).await {
        Ok(key) => key,
        Err(KeyRefusal::Malformed | KeyRefusal::Refused) => {
            let text = "This is no valid key. Check that you copied all of it, and that it was not revoked.";
            return refused(StatusCode::UNAUTHORIZED, text.to_owned());
        }
        Err(KeyRefusal::TooManyFailures { retry_after_s }) => {
            let text = sentences::too_many_failures(retry_after_s.into());
            return refused(StatusCode::TOO_MANY_REQUESTS, text);
        }
        Err(KeyRefusal::Unexpected(error)) => return unexpected(&reader, error),
    };
    if let Some(scope) = [Scope::Usage, Scope::Keys].into_iter().find(|scope| !key.scopes.contains(*scope)) {
        return refused(StatusCode::FORBIDDEN, sentences::no_scope(scope.as_str()));
    }
    match read_account(&app, &key).await {
        Ok(account) => reader.show_private(app::developers::account(reader.visit(), Some(Ok(account)))),
        Err(error) => unexpected(&reader, error),
    }
}

fn unexpected(reader: &Reader, error: anyhow::Error) -> Response {
    super::trouble(reader, problem::of(Fault::Unexpected(error), reader.asked()))
}

async fn read_account(app: &App, key: &ApiKey) -> anyhow::Result<Account> {
    let now = app.ctx.clock.now();
    let today = now.date();
    let first = today.replace_day(1).expect("every month has a first day");
    let report = domain::reports::usage(&app.ctx, Standing::from(key).account, first, today).await?;
    let keys = app.ctx.keys.list(key.account).await?;
    let days = (1..=today.day()).map(|number| {
        let date = first.replace_day(number).expect("a day up to today's of the same month");
        let mut day = Day { day: date.to_string(), requests: 0, tokens: 0, cost: MicroUsd::ZERO };
        for line in report.lines.iter().filter(|line| line.day == date) {
            day.requests = day.requests.saturating_add(line.requests);
            day.tokens = day.tokens.saturating_add(line.prompt_tokens).saturating_add(line.completion_tokens);
            day.cost = MicroUsd(day.cost.0.saturating_add(line.cost));
        }
        day
    });
    Ok(Account {
        available: MicroUsd(report.balance.available),
        held: MicroUsd(report.balance.held),
        owed: MicroUsd(report.balance.owed),
        read_at: moment(now),
        days: days.collect(),
        keys: keys.into_iter().map(|row| listed(row, now)).collect(),
    })
}

fn listed(row: ApiKeyRow, now: OffsetDateTime) -> KeyRow {
    let state = match (row.revoked_at, row.expires_at) {
        (Some(at), _) => format!("revoked {}", moment(at)),
        (None, Some(at)) if at <= now => format!("expired {}", moment(at)),
        (None, Some(at)) => format!("until {}", moment(at)),
        (None, None) => "active".to_owned(),
    };
    let last_used = row.last_used_at.map_or_else(|| "never".to_owned(), moment);
    KeyRow { name: row.name, id: row.public_id, kind: row.kind.as_str(), state, last_used }
}

/// A moment for people, in UTC: `2026-01-31 14:05`.
fn moment(at: OffsetDateTime) -> String {
    at.format(format_description!("[year]-[month]-[day] [hour]:[minute]")).unwrap_or_default()
}

/// What a sandbox key is worth each day, in words.
fn allowance(app: &App) -> String {
    let tokens = app.ctx.catalog.sandbox.tokens_per_day.to_string();
    let mut grouped = String::new();
    for (place, digit) in tokens.chars().enumerate() {
        if place > 0 && (tokens.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} tokens of the cheap pool")
}
