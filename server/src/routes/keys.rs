//! API keys over the API: make, list, rotate, revoke.
//!
//! A key hands on only what it has: its kind, a part of its scopes, at most its limits. The developer's wallet hands on
//! what the best key of the account could.

use std::sync::Arc;

use ::limits::{By, Pot};
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::accounts::{CreateKeyError, Standing};
use identity::{ApiKeyRow, KeyError, KeyKind, KeyLimits, KeyRequest, NewKey, Scope, Scopes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::accounts::required;
use super::caller::{self, Access};
use super::exchange::Asked;
use super::fault::Fault;
use super::fields::{self, Field};
use super::problem::{self, Shape};
use super::{App, body, limits, shared};

/// Who may call: a key that may manage keys, or the developer's wallet.
pub(crate) const ACCESS: Access = Access::SessionOrKey(Scope::Keys);

/// A key to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct KeyBody<'a> {
    /// What to call it: 1 to 80 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "my laptop")]
    name: Field<'a>,
    /// A part of the caller's scopes; all of them when absent.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<String>>, example = json!(["chat", "models"]))]
    scopes: Field<'a>,
    /// `sandbox` or `live`; the caller's kind when absent.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    kind: Field<'a>,
    /// At most the caller's own limit.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    requests_per_minute: Field<'a>,
    /// At most the caller's own limit.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    tokens_per_day: Field<'a>,
}

/// A rotation.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RotateBody<'a> {
    /// Seconds for which the old key still works: 0 to 604,800; an hour when absent.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 604_800)]
    overlap_seconds: Field<'a>,
}

/// A key as a list shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedKey {
    /// The key's public part, by which routes name it.
    id: String,
    /// Its name.
    name: String,
    /// `sandbox` or `live`.
    kind: &'static str,
    /// What it may do.
    scopes: Vec<&'static str>,
    /// Requests in any minute.
    requests_per_minute: u32,
    /// Tokens in a UTC day.
    tokens_per_day: u64,
    /// When it was made.
    created_at: String,
    /// When it was last used, at most a minute behind.
    last_used_at: Option<String>,
    /// When a rotation's overlap ends.
    expires_at: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
    /// The key that took its place.
    replaced_by: Option<String>,
}

impl From<ApiKeyRow> for ListedKey {
    fn from(row: ApiKeyRow) -> Self {
        let moment = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        Self {
            id: row.public_id,
            name: row.name,
            kind: row.kind.as_str(),
            scopes: row.scopes.names(),
            requests_per_minute: row.requests_per_minute,
            tokens_per_day: row.tokens_per_day,
            created_at: moment(row.created_at),
            last_used_at: row.last_used_at.map(moment),
            expires_at: row.expires_at.map(moment),
            revoked_at: row.revoked_at.map(moment),
            replaced_by: row.replaced_by,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeKey {
    /// The key; shown this once.
    key: String,
    #[serde(flatten)]
    listed: ListedKey,
}

impl From<NewKey> for MadeKey {
    fn from(made: NewKey) -> Self {
        Self { key: made.secret.reveal().to_owned(), listed: made.key.into() }
    }
}

/// The account's keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// Newest first, with those that ended in the last 30 days.
    keys: Vec<ListedKey>,
}

/// Makes a key of the caller's account.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "keys", operation_id = "createKey",
    request_body = KeyBody<'static>,
    responses(
        (status = 201, description = "The key, shown this once", body = MadeKey),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `keys`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Twenty keys were made in the last 24 hours, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "Ten keys are active", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "New keys are switched off", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let wish = async {
        let caller = caller::standing(&app, &asked, &parts.headers, ACCESS).await?;
        let whole =
            body::read(&app.budgets.bodies, caller.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        wish(&whole.parse()?, &caller)
    };
    let wish = match wish.await {
        Ok(wish) => wish,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match domain::accounts::create_key(&app.ctx, wish).await {
        Ok(made) => shared::json_with(StatusCode::CREATED, HeaderMap::new(), &MadeKey::from(made)),
        Err(CreateKeyError::Off) => problem::respond(Shape::new_keys_off(), &asked),
        Err(CreateKeyError::Key(error)) => refused(error, &asked),
    }
}

/// Lists the account's keys; never their secrets.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", operation_id = "listKeys",
    responses(
        (status = 200, description = "The keys", body = KeyList),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `keys`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let caller = match caller::standing(&app, &asked, request.headers(), ACCESS).await {
        Ok(caller) => caller,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match app.ctx.keys.list(caller.account.account).await {
        Ok(rows) => {
            let keys = rows.into_iter().map(ListedKey::from).collect();
            shared::json(HeaderMap::new(), &KeyList { keys })
        }
        Err(error) => refused(error, &asked),
    }
}

/// Revokes a key: its open streams end within a second.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "revokeKey",
    params(("id" = String, Path, description = "The key's public part")),
    responses(
        (status = 204, description = "Revoked, now or before"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `keys`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "The account has no such key", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let caller = match caller::standing(&app, &asked, request.headers(), ACCESS).await {
        Ok(caller) => caller,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match app.ctx.keys.revoke(caller.account.account, &id_of(id)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(error, &asked),
    }
}

/// Makes a key that takes another's place; the old one works until the overlap ends.
#[utoipa::path(
    post, path = "/api/v1/keys/{id}/rotate", tag = "keys", operation_id = "rotateKey",
    params(("id" = String, Path, description = "The key's public part")),
    request_body(content = inline(Option<RotateBody<'static>>), description = "May be left out"),
    responses(
        (status = 201, description = "The new key, shown this once", body = MadeKey),
        (status = 400, description = "The overlap cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `keys`, or the other one may do more than it", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "The account has no such key", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Twenty keys were made in the last 24 hours, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was rotated before, or ten keys are active", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let read = async {
        let caller = caller::standing(&app, &asked, &parts.headers, ACCESS).await?;
        let whole =
            body::read(&app.budgets.bodies, caller.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: RotateBody<'_> = whole.parse_or_empty()?;
        Ok((caller, overlap(&body)?))
    };
    let (caller, overlap) = match read.await {
        Ok(read) => read,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match app.ctx.keys.rotate(caller.account.account, &id_of(id), caller.reach(), overlap).await {
        Ok(made) => shared::json_with(StatusCode::CREATED, HeaderMap::new(), &MadeKey::from(made)),
        Err(error) => refused(error, &asked),
    }
}

/// What a key error is in our dialect.
pub(crate) fn refused(error: KeyError, asked: &Asked) -> Response {
    let detail = format!("{error}.");
    match error {
        KeyError::TooMany | KeyError::AlreadyReplaced => problem::respond(Shape::conflict(detail), asked),
        KeyError::TooManyToday { retry_after_s, .. } => {
            Pot::Keys.refused(By::Client);
            problem::respond(Shape::rate_limited(detail, retry_after_s.into()), asked)
        }
        KeyError::NotFound => {
            let detail = "The account has no such key. GET /api/v1/keys lists the ids of those it has.";
            problem::respond(Shape::not_found(detail), asked)
        }
        KeyError::Beyond => problem::respond(Shape::forbidden(detail), asked),
        KeyError::BadName => problem::respond(Shape::invalid("name", &detail), asked),
        KeyError::BadLimits => problem::respond(Shape::invalid("requests_per_minute", &detail), asked),
        KeyError::BadOverlap => problem::respond(Shape::invalid("overlap_seconds", &detail), asked),
        KeyError::Unexpected(error) => problem::answer(Fault::Unexpected(error), asked),
    }
}

/// An id that is not even text names no key.
fn id_of(id: Result<Path<String>, PathRejection>) -> String {
    id.map_or_else(|_| String::new(), |Path(id)| id)
}

fn overlap(body: &RotateBody<'_>) -> Result<time::Duration, Fault> {
    let longest = u32::try_from(identity::keys::MAX_OVERLAP.whole_seconds()).expect("seven days of seconds");
    let seconds = fields::whole("overlap_seconds", body.overlap_seconds, 0..=longest)?;
    Ok(seconds.map_or(identity::keys::DEFAULT_OVERLAP, |seconds| time::Duration::seconds(seconds.into())))
}

fn wish(body: &KeyBody<'_>, caller: &Standing) -> Result<KeyRequest, Fault> {
    let kind = match body.kind.map(RawValue::get) {
        None => caller.kind,
        Some("\"sandbox\"") => KeyKind::Sandbox,
        Some("\"live\"") if caller.kind == KeyKind::Live => KeyKind::Live,
        Some("\"live\"") => {
            let message = "A sandbox key makes no live key: POST /api/v1/developers/upgrade does.";
            return Err(Fault::field("kind", message));
        }
        Some(_) => return Err(Fault::field("kind", "This has to be sandbox or live.")),
    };
    let scopes = body.scopes.map(scopes).transpose()?.unwrap_or(caller.scopes);
    if scopes.is_empty() || !caller.scopes.covers(scopes) {
        let message =
            format!("This has to be a part of the caller's own: {}.", caller.scopes.names().join(", "));
        return Err(Fault::field("scopes", message));
    }
    let usual = KeyLimits::default_for(kind);
    let most_requests = caller.limits.requests_per_minute;
    let most_tokens = u32::try_from(caller.limits.tokens_per_day).unwrap_or(u32::MAX);
    let requests = fields::whole("requests_per_minute", body.requests_per_minute, 1..=most_requests)?;
    let tokens = fields::whole("tokens_per_day", body.tokens_per_day, 1..=most_tokens)?;
    Ok(KeyRequest {
        community: caller.account.community,
        account: caller.account.account,
        name: required("name", body.name)?,
        kind,
        scopes,
        limits: KeyLimits {
            requests_per_minute: requests.unwrap_or(usual.requests_per_minute.min(most_requests)),
            tokens_per_day: tokens.map_or(usual.tokens_per_day.min(caller.limits.tokens_per_day), u64::from),
        },
    })
}

/// A key with the usual limits, as far as the caller's own reach.
pub(crate) fn usual(caller: &Standing, name: String, scopes: Scopes) -> KeyRequest {
    let usual = KeyLimits::default_for(caller.kind);
    KeyRequest {
        community: caller.account.community,
        account: caller.account.account,
        name,
        kind: caller.kind,
        scopes,
        limits: KeyLimits {
            requests_per_minute: usual.requests_per_minute.min(caller.limits.requests_per_minute),
            tokens_per_day: usual.tokens_per_day.min(caller.limits.tokens_per_day),
        },
    }
}

fn scopes(raw: &RawValue) -> Result<Scopes, Fault> {
    let names = fields::list::<{ Scope::ALL.len() }>("scopes", raw)?;
    let names = names.into_iter().map(|name| fields::text("scopes", name)).collect::<Result<Vec<_>, _>>()?;
    Scopes::parse(names.iter().map(String::as_str))
        .map_err(|_| Fault::field("scopes", "This has to be some of chat, models, usage, keys, admin."))
}

#[cfg(test)]
mod tests {
    use ledger::AccountKey;
    use types::{AccountId, CommunityId};

    use super::*;
    use crate::routes::body::parse;

    fn caller(kind: KeyKind) -> Standing {
        Standing {
            account: AccountKey { community: CommunityId(2), account: AccountId(3) },
            kind,
            scopes: Scopes::developer(),
            limits: KeyLimits { requests_per_minute: 20, tokens_per_day: 5_000 },
        }
    }

    fn read(text: &str, kind: KeyKind) -> Result<KeyRequest, String> {
        let read = parse(text.as_bytes()).and_then(|body| wish(&body, &caller(kind)));
        read.map_err(|fault| match fault {
            Fault::Field { param, .. } => param,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_key_hands_on_only_what_it_has() {
        let made = read(r#"{"name":"x"}"#, KeyKind::Live).expect("sound");
        assert_eq!((made.kind, made.account), (KeyKind::Live, AccountId(3)));
        assert_eq!(made.limits, KeyLimits { requests_per_minute: 20, tokens_per_day: 5_000 });
        let narrow = r#"{"name":"x","scopes":["chat"],"kind":"sandbox","requests_per_minute":5}"#;
        let made = read(narrow, KeyKind::Live).expect("sound");
        assert_eq!((made.kind, made.scopes.names()), (KeyKind::Sandbox, vec!["chat"]));
        assert_eq!(made.limits, KeyLimits { requests_per_minute: 5, tokens_per_day: 5_000 });
        for (text, param) in [
            (r#"{"name":"x","kind":"live"}"#, "kind"),
            (r#"{"name":"x","scopes":["admin"]}"#, "scopes"),
            (r#"{"name":"x","scopes":[]}"#, "scopes"),
            (r#"{"name":"x","scopes":["root"]}"#, "scopes"),
            (r#"{"name":"x","requests_per_minute":21}"#, "requests_per_minute"),
            (r#"{"name":"x","tokens_per_day":0}"#, "tokens_per_day"),
            ("{}", "name"),
        ] {
            assert_eq!(read(text, KeyKind::Sandbox).expect_err(text), param);
        }
    }

    #[test]
    fn an_overlap_is_an_hour_unless_said_otherwise() {
        let read = |text: &str| parse(text.as_bytes()).and_then(|body| overlap(&body));
        assert_eq!(read("{}").expect("fine"), time::Duration::hours(1));
        assert_eq!(read(r#"{"overlap_seconds":0}"#).expect("fine"), time::Duration::ZERO);
        assert!(read(r#"{"overlap_seconds":604801}"#).is_err());
    }
}
