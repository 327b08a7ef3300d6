//! Keys by forms: one more, rotate, revoke, go live. Each is the API's own function; a form shows the session's wallet or a
//! key with the scope `keys`.

use std::sync::Arc;

use ::limits::{By, Pot};
use app::developers::{KeyPage, Occasion, Viewer};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use domain::accounts::{CreateKeyError, Standing, UpgradeError};
use identity::{KeyError, Scope, Scopes};
use time::Duration;

use super::super::accounts::upgrade_forbidden;
use super::super::exchange::text;
use super::super::fault::Fault;
use super::super::problem::Shape;
use super::super::shared::moment;
use super::super::{App, keys};
use super::developer_account::{self as account, Said};
use super::developers::{MadeName, failed, made};
use super::form::Form;
use super::holder::{self, Holder, Refused};
use super::{Reader, form};

/// What a key has to be allowed.
const SCOPES: [Scope; 1] = [Scope::Keys];
/// And to show the account, when something is refused.
const SCOPES_TO_LOOK: [Scope; 2] = [Scope::Keys, Scope::Usage];
const OFF: &str = "New keys are switched off here for now. The keys that you have work as ever.";

/// Who acts, and how they show it.
struct Actor {
    standing: Standing,
    viewer: Viewer,
}

/// The form of a request and who sent it.
async fn acted(
    app: &App,
    reader: &Reader,
    request: Request,
    scopes: &[Scope],
) -> Result<(Form, Result<Actor, (StatusCode, String)>), Response> {
    let form = form::read(app, reader.asked(), request).await;
    let form = form.map_err(|shape| super::trouble(reader, shape))?;
    let actor = match holder::of(app, reader, &form, scopes).await {
        Ok(Holder::Key(standing)) => Ok(Actor { standing, viewer: Viewer::Key }),
        Ok(Holder::Wallet(standing)) => Ok(Actor { standing, viewer: Viewer::Wallet }),
        Ok(Holder::NotSignedUp) => {
            let text = "The wallet that is signed in has not signed up as a developer.";
            Err((StatusCode::NOT_FOUND, text.to_owned()))
        }
        Ok(Holder::Nobody) => {
            let text = "Nobody is signed in any more. Sign in, or show a key of the account.";
            Err((StatusCode::UNAUTHORIZED, text.to_owned()))
        }
        Err(Refused::Told(status, text)) => Err((status, text)),
        Err(Refused::Fault(fault)) => return Err(failed(reader, fault)),
    };
    Ok((form, actor))
}

/// `POST /developers/keys`
pub(crate) async fn create(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let (form, actor) = match acted(&app, &reader, request, &SCOPES_TO_LOOK).await {
        Ok((form, Ok(actor))) => (form, actor),
        Ok((_, Err((status, text)))) => return account::told(&reader, status, text),
        Err(response) => return response,
    };
    let again = async |status, text| {
        let said = Said { refusal: Some((status, text)), ..Said::default() };
        account::show(&app, &reader, &actor.standing, actor.viewer, said).await
    };
    let scopes = Scopes::parse(form.each("scope")).ok();
    let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty()) else {
        let text = "Tick at least one thing that the key may do.";
        return again(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned()).await;
    };
    let name = form.field("name").trim().to_owned();
    let request = keys::usual(&actor.standing, name.clone(), scopes);
    match domain::accounts::create_key(&app.ctx, &actor.standing, request).await {
        Ok(key) => made(&app, &reader, &key, MadeName(&name), Occasion::Created).await,
        Err(CreateKeyError::Forbidden(forbidden)) => {
            let text = format!("You don\u{2019}t have permission to make this key: {forbidden}.");
            again(StatusCode::FORBIDDEN, text).await
        }
        Err(CreateKeyError::Off) => again(StatusCode::SERVICE_UNAVAILABLE, OFF.to_owned()).await,
        Err(CreateKeyError::Key(error)) => match words(error) {
            Ok((status, text)) => again(status, text).await,
            Err(fault) => failed(&reader, fault),
        },
    }
}

/// `POST /developers/upgrade`
pub(crate) async fn upgrade(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let actor = match acted(&app, &reader, request, &SCOPES_TO_LOOK).await {
        Ok((_, Ok(actor))) => actor,
        Ok((_, Err((status, text)))) => return account::told(&reader, status, text),
        Err(response) => return response,
    };
    let again = async |status, text| {
        let said = Said { refusal: Some((status, text)), ..Said::default() };
        account::show(&app, &reader, &actor.standing, actor.viewer, said).await
    };
    match domain::accounts::upgrade(&app.ctx, &actor.standing).await {
        Ok(key) => made(&app, &reader, &key, MadeName("live"), Occasion::Upgraded).await,
        Err(UpgradeError::NeedsCredit) => {
            let text = "A live key needs credits that were bought or granted. Buy a pack first; it takes a few minutes.";
            again(StatusCode::PAYMENT_REQUIRED, text.to_owned()).await
        }
        Err(UpgradeError::Forbidden(forbidden)) => {
            again(StatusCode::FORBIDDEN, upgrade_forbidden(forbidden)).await
        }
        Err(UpgradeError::Off) => again(StatusCode::SERVICE_UNAVAILABLE, OFF.to_owned()).await,
        Err(UpgradeError::Key(error)) => match words(error) {
            Ok((status, text)) => again(status, text).await,
            Err(fault) => failed(&reader, fault),
        },
        Err(UpgradeError::Unexpected(error)) => failed(&reader, Fault::Unexpected(error)),
    }
}

/// `GET /developers/keys/{id}`
pub(crate) async fn look(
    State(app): State<Arc<App>>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let standing = match holder::signed_in(&app, &reader).await {
        Ok(Holder::Wallet(standing) | Holder::Key(standing)) => Some(standing),
        Ok(Holder::NotSignedUp | Holder::Nobody) => None,
        Err(fault) => return failed(&reader, fault),
    };
    show(&app, &reader, standing.as_ref(), &id_of(id), None).await
}

/// `POST /developers/keys/{id}/rotate`
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let id = id_of(id);
    let (form, actor) = match acted(&app, &reader, request, &SCOPES).await {
        Ok((form, Ok(actor))) => (form, actor),
        Ok((_, Err(refusal))) => return show(&app, &reader, None, &id, Some(refusal)).await,
        Err(response) => return response,
    };
    let seconds = form.field("overlap").parse::<u32>().ok();
    // Seven days at the most, which the ring of keys checks.
    let overlap =
        seconds.map_or(identity::keys::DEFAULT_OVERLAP, |seconds| Duration::seconds(seconds.into()));
    match domain::accounts::rotate_key(&app.ctx, &actor.standing, &id, overlap).await {
        Ok(key) => {
            let until = (overlap > Duration::ZERO).then(|| moment(app.ctx.clock.now() + overlap));
            let name = key.key.name.clone();
            made(&app, &reader, &key, MadeName(&name), Occasion::Rotated { old: id, until }).await
        }
        Err(error) => again(&app, &reader, &actor, &id, error).await,
    }
}

/// `POST /developers/keys/{id}/revoke`
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let id = id_of(id);
    let (form, actor) = match acted(&app, &reader, request, &[]).await {
        Ok((form, Ok(actor))) => (form, actor),
        Ok((_, Err(refusal))) => return show(&app, &reader, None, &id, Some(refusal)).await,
        Err(response) => return response,
    };
    if form.field("sure") != "yes" {
        let text = "Tick that you are sure: a key that is revoked never works again.";
        let refusal = (StatusCode::UNPROCESSABLE_ENTITY, text.to_owned());
        return show(&app, &reader, Some(&actor.standing), &id, Some(refusal)).await;
    }
    match domain::accounts::revoke_key(&app.ctx, &actor.standing, &id).await {
        Ok(()) => {
            let location = format!("/developers/account?revoked={}", app::parts::encoded(&id));
            let mut response = StatusCode::SEE_OTHER.into_response();
            response.headers_mut().insert(LOCATION, text(&location));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => again(&app, &reader, &actor, &id, error).await,
    }
}

async fn again(app: &App, reader: &Reader, actor: &Actor, id: &str, error: KeyError) -> Response {
    match words(error) {
        Ok(refusal) => {
            let standing = (actor.viewer == Viewer::Wallet).then_some(&actor.standing);
            show(app, reader, standing, id, Some(refusal)).await
        }
        Err(fault) => failed(reader, fault),
    }
}

/// A key's page: with its name for its owner, and with no more than the address says for anybody else.
async fn show(
    app: &App,
    reader: &Reader,
    standing: Option<&Standing>,
    id: &str,
    refusal: Option<(StatusCode, String)>,
) -> Response {
    let mut key = KeyPage {
        id: id.to_owned(),
        name: None,
        is_active: true,
        refusal: None,
        asks_key: standing.is_none(),
    };
    if let Some(standing) = standing {
        let rows = match app.ctx.keys.list(standing.account.account).await {
            Ok(rows) => rows,
            Err(error) => return failed(reader, Fault::Unexpected(error.into())),
        };
        let Some(row) = rows.into_iter().find(|row| row.public_id == id) else {
            let text = "Your account has no such key. Its keys are listed under Usage and keys.";
            return super::trouble(reader, Shape::not_found(text));
        };
        key.is_active = row.is_active(app.ctx.clock.now());
        key.name = Some(row.name);
    }
    let (status, words) = refusal.map_or((StatusCode::OK, None), |(status, words)| (status, Some(words)));
    key.refusal = words;
    reader.show_private_with(status, app::developers::key(reader.visit(), key))
}

/// What a refusal of the ring of keys is for a person.
fn words(error: KeyError) -> Result<(StatusCode, String), Fault> {
    let text = format!("{error}.");
    let mut letters = text.chars();
    let text = letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect());
    match error {
        KeyError::TooMany | KeyError::AlreadyReplaced => Ok((StatusCode::CONFLICT, text)),
        KeyError::TooManyToday { .. } => {
            Pot::Keys.refused(By::Client);
            Ok((StatusCode::TOO_MANY_REQUESTS, text))
        }
        KeyError::Beyond => Ok((StatusCode::FORBIDDEN, text)),
        KeyError::NotFound => {
            Ok((StatusCode::NOT_FOUND, "The account has no such key that still works.".to_owned()))
        }
        KeyError::BadName | KeyError::BadLimits | KeyError::BadOverlap => {
            Ok((StatusCode::UNPROCESSABLE_ENTITY, text))
        }
        KeyError::Unexpected(error) => Err(Fault::Unexpected(error)),
    }
}

/// An id that is not even text names no key.
fn id_of(id: Result<Path<String>, PathRejection>) -> String {
    id.map_or_else(|_| String::new(), |Path(id)| id)
}
