//! `/developers`: the form and what comes of it, and the playground. Signing up is `domain::accounts::register`, as for the
//! API. The account, its keys and its requests are each in a module of their own.

use std::sync::Arc;

use app::developers::{Form, MadeKey, Occasion, Who};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::Response;
use domain::accounts::{NAME_CHARACTERS_AT_MOST, RegisterError, SIGNUPS_PER_HOUR};
use domain::flags::Flag;
use identity::{KeyKind, NewKey};
use types::Pool;

use super::super::fault::Fault;
use super::super::{App, SignUp, accounts, body, problem};
use super::holder::{self, Holder};
use super::{Reader, form};

const OFF: &str = "Sign-up is switched off here for now. Keys that were made before work as ever; ask the operator for one.";

/// `GET /developers`
pub(crate) async fn sign_up_form(State(app): State<Arc<App>>, reader: Reader) -> Response {
    let refusal = (!app.ctx.flags.is_on(Flag::ApiKeys)).then(|| OFF.to_owned());
    match who(&app, &reader).await {
        Ok(who) => show(&app, &reader, StatusCode::OK, Form { refusal, who, ..Form::default() }),
        Err(fault) => failed(&reader, fault),
    }
}

/// `POST /developers`: signs up and shows the key once.
pub(crate) async fn sign_up(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let wallet = match accounts::developers_wallet(&app, request.headers()).await {
        Ok(wallet) => wallet,
        Err(fault) => {
            body::discard(request.into_body()).await;
            return failed(&reader, fault);
        }
    };
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let name = form.field("name").trim();
    match domain::accounts::register(&app.ctx, name, reader.asked().ip, wallet).await {
        Ok(registered) => made(&app, &reader, &registered.key, MadeName(name), Occasion::SignedUp).await,
        Err(error) => refused(&app, &reader, name, error),
    }
}

fn refused(app: &App, reader: &Reader, name: &str, error: RegisterError) -> Response {
    let again = |status, form| show(app, reader, status, Form { name: name.to_owned(), ..form });
    let refusal = |text: String| Form { refusal: Some(text), ..Form::default() };
    match error {
        RegisterError::BadName => {
            let error = format!(
                "A name has 1 to {NAME_CHARACTERS_AT_MOST} characters, none of them a control character."
            );
            again(StatusCode::UNPROCESSABLE_ENTITY, Form { name_error: Some(error), ..Form::default() })
        }
        RegisterError::TooMany { retry_after_s } => {
            let minutes = retry_after_s.div_ceil(60);
            let text = format!(
                "Only {SIGNUPS_PER_HOUR} sign-ups an hour are taken from one address. Try again in {minutes} min, or use the key you have."
            );
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, refusal(text));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
            response
        }
        RegisterError::Off => again(StatusCode::SERVICE_UNAVAILABLE, refusal(OFF.to_owned())),
        RegisterError::SignedUp => {
            again(StatusCode::CONFLICT, Form { who: Who::SignedUp, ..Form::default() })
        }
        RegisterError::Unexpected(error) => failed(reader, Fault::Unexpected(error)),
    }
}

/// `GET /developers/playground`
pub(crate) async fn playground(State(app): State<Arc<App>>, reader: Reader) -> Response {
    match models(&app).await {
        Ok(models) => reader.show(app::developers::playground(reader.visit(), &models)),
        Err(fault) => failed(&reader, fault),
    }
}

/// Who may sign up, as the reader stands.
async fn who(app: &App, reader: &Reader) -> Result<Who, Fault> {
    Ok(match holder::signed_in(app, reader).await? {
        Holder::Key(_) | Holder::Wallet(_) => Who::SignedUp,
        Holder::Nobody if app.sign_up == SignUp::WalletsOnly => Who::SignedInOnly,
        Holder::NotSignedUp | Holder::Nobody => Who::Reader,
    })
}

fn show(app: &App, reader: &Reader, status: StatusCode, form: Form) -> Response {
    reader.show_with(status, app::developers::page(reader.visit(), &allowance(app), form))
}

pub(super) fn failed(reader: &Reader, fault: Fault) -> Response {
    super::trouble(reader, problem::of(fault, reader.asked()))
}

/// What a new key is called on its page: not its own name for the first one, but its owner's.
pub(super) struct MadeName<'a>(pub(super) &'a str);

/// The page of a key that was just made.
pub(super) async fn made(
    app: &App,
    reader: &Reader,
    made: &NewKey,
    name: MadeName<'_>,
    occasion: Occasion,
) -> Response {
    let models = match models(app).await {
        Ok(models) => models,
        // The key is made and has to be shown: a list of models is not worth losing it.
        Err(fault) => {
            fault.report(&reader.asked().id);
            vec!["native".to_owned()]
        }
    };
    let worth = match made.key.kind {
        KeyKind::Sandbox => format!("A sandbox key, worth {} each UTC day.", allowance(app)),
        KeyKind::Live => format!(
            "A live key: {} requests a minute, {} tokens a day, paid from your credits.",
            made.key.requests_per_minute,
            grouped(made.key.tokens_per_day)
        ),
    };
    let key = made.secret.reveal().to_owned();
    let shown = MadeKey { key, name: name.0.to_owned(), worth, occasion, models };
    reader.show_once(app::developers::made(reader.visit(), &shown))
}

/// What the playground offers: the tier's usual pool, all pools, and agents of this deployment.
async fn models(app: &App) -> Result<Vec<String>, Fault> {
    let pools = Pool::ALL.into_iter().map(|pool| pool.as_str().to_owned());
    let mut models: Vec<String> = std::iter::once("native".to_owned()).chain(pools).collect();
    let agents = domain::wallet::to_meet(&app.ctx).await;
    let agents = agents.map_err(|error| Fault::Unexpected(error.into()))?;
    models.extend(agents.iter().map(|agent| format!("agent:{}:{}", agent.slug, agent.token_id)));
    Ok(models)
}

/// What a sandbox key is worth each day, in words.
pub(super) fn allowance(app: &App) -> String {
    format!("{} tokens of the cheap pool", grouped(app.ctx.catalog.sandbox.tokens_per_day.into()))
}

/// A number with a comma at each thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!(
            [7, 999, 1_000, 100_000, 12_345_678].map(grouped).join(" "),
            "7 999 1,000 100,000 12,345,678"
        );
    }
}
