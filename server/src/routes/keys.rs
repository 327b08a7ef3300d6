//! API keys over the API: make, list, rotate, revoke.
//!
//! What a caller may do to which key is `domain::key_rights`' to say; this door reads the request and shapes the answer.

use std::sync::Arc;

use ::limits::{By, Pot};
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::accounts::{CreateKeyError, Standing, usual_scopes};
use domain::key_rights::Forbidden;
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
/// Who may revoke: in addition, each key itself.
pub(crate) const REVOKE: Access = Access::SessionOrAnyKey;

/// A key to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct KeyBody<'a> {
    /// What to call it: 1 to 80 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "my laptop")]
    name: Field<'a>,
    /// A part of the caller's scopes. When absent: all of them, but a wallet's sandbox key gets no `keys`.
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
    let read = async {
        let caller = caller::standing(&app, &asked, &parts.headers, ACCESS).await?;
        let whole =
            body::read(&app.budgets.bodies, caller.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let request = key_request(&whole.parse()?, &caller)?;
        Ok((caller, request))
    };
    let (caller, request) = match read.await {
        Ok(read) => read,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match domain::accounts::create_key(&app.ctx, &caller, request).await {
        Ok(made) => shared::json_with(StatusCode::CREATED, HeaderMap::new(), &MadeKey::from(made)),
        Err(CreateKeyError::Forbidden(forbidden)) => problem::answer(beyond(forbidden, &caller), &asked),
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

/// Revokes a key: its open streams end within a second. A key may always revoke itself.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "revokeKey",
    params(("id" = String, Path, description = "The key's public part")),
    responses(
        (status = 204, description = "Revoked, now or before"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The other key is out of the caller's reach: it is live, of the admin API, or may do more", body = problem::Problem, content_type = "application/problem+json"),
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
    let caller = match caller::standing(&app, &asked, request.headers(), REVOKE).await {
        Ok(caller) => caller,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match domain::accounts::revoke_key(&app.ctx, &caller, &id_of(id)).await {
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
    match domain::accounts::rotate_key(&app.ctx, &caller, &id_of(id), overlap).await {
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

/// The request as it was sent, filled up with what is usual where it says nothing.
fn key_request(body: &KeyBody<'_>, caller: &Standing) -> Result<KeyRequest, Fault> {
    let kind = match body.kind.map(RawValue::get) {
        None => caller.kind,
        Some("\"sandbox\"") => KeyKind::Sandbox,
        Some("\"live\"") => KeyKind::Live,
        Some(_) => return Err(Fault::field("kind", "This has to be sandbox or live.")),
    };
    let scopes = body.scopes.map(scopes).transpose()?.unwrap_or(usual_scopes(caller, kind));
    if scopes.is_empty() {
        return Err(beyond(Forbidden::Scopes, caller));
    }
    let usual = KeyLimits::default_for(kind).at_most(caller.limits);
    let requests = fields::whole("requests_per_minute", body.requests_per_minute, 1..=u32::MAX)?;
    let tokens = fields::whole("tokens_per_day", body.tokens_per_day, 1..=u32::MAX)?;
    Ok(KeyRequest {
        community: caller.account.community,
        account: caller.account.account,
        name: required("name", body.name)?,
        kind,
        scopes,
        limits: KeyLimits {
            requests_per_minute: requests.unwrap_or(usual.requests_per_minute),
            tokens_per_day: tokens.map_or(usual.tokens_per_day, u64::from),
        },
    })
}

/// Which field of a new key lies beyond the caller, and how far the caller reaches.
fn beyond(forbidden: Forbidden, caller: &Standing) -> Fault {
    match forbidden {
        Forbidden::NoScope => Fault::NoScope { scope: Scope::Keys.as_str() },
        Forbidden::Kind => {
            let message = "A sandbox key makes no live key: POST /api/v1/developers/upgrade does.";
            Fault::field("kind", message)
        }
        Forbidden::Admin | Forbidden::Scopes => {
            let own = caller.scopes.names().join(", ");
            Fault::field("scopes", format!("This has to be a part of the caller's own: {own}."))
        }
        Forbidden::RequestsPerMinute => {
            let most = caller.limits.requests_per_minute;
            Fault::field("requests_per_minute", format!("This has to be a whole number from 1 to {most}."))
        }
        Forbidden::TokensPerDay => {
            let most = caller.limits.tokens_per_day;
            Fault::field("tokens_per_day", format!("This has to be a whole number from 1 to {most}."))
        }
    }
}

/// A key of the caller's kind with the usual limits, as far as the caller's own reach.
pub(crate) fn usual(caller: &Standing, name: String, scopes: Scopes) -> KeyRequest {
    KeyRequest {
        community: caller.account.community,
        account: caller.account.account,
        name,
        kind: caller.kind,
        scopes,
        limits: KeyLimits::default_for(caller.kind).at_most(caller.limits),
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
    use domain::accounts::By;
    use ledger::AccountKey;
    use types::{AccountId, CommunityId};

    use super::*;
    use crate::routes::body::parse;

    fn caller(kind: KeyKind, by: By) -> Standing {
        Standing {
            account: AccountKey { community: CommunityId(2), account: AccountId(3) },
            kind,
            scopes: Scopes::developer(),
            limits: KeyLimits { requests_per_minute: 20, tokens_per_day: 5_000 },
            by,
        }
    }

    fn key() -> By {
        By::Key { public_id: "aaaaaaaaaaaa".to_owned() }
    }

    fn read(text: &str, caller: &Standing) -> Result<KeyRequest, String> {
        let read = parse(text.as_bytes()).and_then(|body| key_request(&body, caller));
        read.map_err(|fault| match fault {
            Fault::Field { param, .. } => param,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_a_request_leaves_out_is_as_its_callers() {
        let live = caller(KeyKind::Live, key());
        let made = read(r#"{"name":"x"}"#, &live).expect("sound");
        assert_eq!((made.kind, made.account), (KeyKind::Live, AccountId(3)));
        assert_eq!(made.limits, KeyLimits { requests_per_minute: 20, tokens_per_day: 5_000 });
        let narrow = r#"{"name":"x","scopes":["chat"],"kind":"sandbox","requests_per_minute":5}"#;
        let made = read(narrow, &live).expect("sound");
        assert_eq!((made.kind, made.scopes.names()), (KeyKind::Sandbox, vec!["chat"]));
        assert_eq!(made.limits, KeyLimits { requests_per_minute: 5, tokens_per_day: 5_000 });
        for (text, param) in [
            (r#"{"name":"x","kind":"dead"}"#, "kind"),
            (r#"{"name":"x","scopes":[]}"#, "scopes"),
            (r#"{"name":"x","scopes":["root"]}"#, "scopes"),
            (r#"{"name":"x","requests_per_minute":0}"#, "requests_per_minute"),
            (r#"{"name":"x","tokens_per_day":0}"#, "tokens_per_day"),
            ("{}", "name"),
        ] {
            assert_eq!(read(text, &live).expect_err(text), param);
        }
    }

    #[test]
    fn a_wallets_sandbox_key_makes_no_keys_unless_that_is_asked_for() {
        let wallet = caller(KeyKind::Live, By::Wallet { is_admin: true });
        let scopes = |text: &str| read(text, &wallet).expect("sound").scopes.names();
        assert_eq!(scopes(r#"{"name":"x","kind":"sandbox"}"#), ["chat", "models", "usage"]);
        assert_eq!(scopes(r#"{"name":"x"}"#), ["chat", "models", "usage", "keys"]);
        assert_eq!(scopes(r#"{"name":"x","kind":"sandbox","scopes":["keys"]}"#), ["keys"]);
        let sandbox = read(r#"{"name":"x"}"#, &caller(KeyKind::Sandbox, key())).expect("sound");
        assert_eq!(sandbox.scopes, Scopes::developer(), "a key hands on what it has");
    }

    #[test]
    fn an_overlap_is_an_hour_unless_said_otherwise() {
        let read = |text: &str| parse(text.as_bytes()).and_then(|body| overlap(&body));
        assert_eq!(read("{}").expect("fine"), time::Duration::hours(1));
        assert_eq!(read(r#"{"overlap_seconds":0}"#).expect("fine"), time::Duration::ZERO);
        assert!(read(r#"{"overlap_seconds":604801}"#).is_err());
    }
}
