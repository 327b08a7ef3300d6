//! `/developers/account`: balance, usage, the latest requests and the keys of an account, for its wallet and for whoever
//! shows one of its keys. The figures are `domain::reports`, as for the API.

use std::sync::Arc;

use app::developers::{Account, Day, Found, KeyRow, Viewer};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::accounts::Standing;
use identity::{ApiKeyRow, Scope};
use serde::Deserialize;
use time::OffsetDateTime;
use types::MicroUsd;

use super::super::App;
use super::super::fault::Fault;
use super::super::requests::{self, WhichRequests};
use super::super::shared::moment;
use super::developers::failed;
use super::holder::{self, Holder, Refused};
use super::{Reader, form, log};

/// What a key has to be allowed to show the account.
const SCOPES: [Scope; 2] = [Scope::Usage, Scope::Keys];
/// Requests on the account's page; the log has them all.
const LATEST: i64 = 5;

/// What was just done, as the address says it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Done {
    /// A key that was revoked, by its public part.
    #[serde(default)]
    revoked: String,
}

/// `GET /developers/account`
pub(crate) async fn show_wallet(
    State(app): State<Arc<App>>,
    reader: Reader,
    done: Result<Query<Done>, QueryRejection>,
) -> Response {
    let Query(done) = done.unwrap_or_default();
    match holder::signed_in(&app, &reader).await {
        Ok(Holder::Wallet(standing) | Holder::Key(standing)) => {
            let said = Said { revoked: done.revoked, ..Said::default() };
            show(&app, &reader, &standing, Viewer::Wallet, said).await
        }
        Ok(Holder::NotSignedUp) => {
            reader.show_private(app::developers::account(reader.visit(), Found::NotSignedUp))
        }
        Ok(Holder::Nobody) => reader.show(app::developers::account(reader.visit(), Found::Nobody(None))),
        Err(fault) => failed(&reader, fault),
    }
}

/// `POST /developers/account`: the account of the key in the form. Nothing of the key is kept or shown.
pub(crate) async fn show_key(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    match holder::of(&app, &reader, &form, &SCOPES).await {
        Ok(Holder::Key(standing)) => show(&app, &reader, &standing, Viewer::Key, Said::default()).await,
        Ok(Holder::Wallet(standing)) => show(&app, &reader, &standing, Viewer::Wallet, Said::default()).await,
        Ok(Holder::NotSignedUp | Holder::Nobody) => {
            let text = "Copy the whole key into the field.";
            told(&reader, StatusCode::UNAUTHORIZED, text.to_owned())
        }
        Err(Refused::Told(status, text)) => told(&reader, status, text),
        Err(Refused::Fault(fault)) => failed(&reader, fault),
    }
}

/// Asks whose account, with a sentence about the last try.
pub(super) fn told(reader: &Reader, status: StatusCode, text: String) -> Response {
    reader.show_with(status, app::developers::account(reader.visit(), Found::Nobody(Some(text))))
}

/// What the page says about the last press.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// A key that was revoked; believed only when it is.
    pub(super) revoked: String,
    /// What was refused.
    pub(super) refusal: Option<(StatusCode, String)>,
}

/// The page of an account.
pub(super) async fn show(
    app: &App,
    reader: &Reader,
    standing: &Standing,
    viewer: Viewer,
    said: Said,
) -> Response {
    let status = said.refusal.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
    match read(app, standing, viewer, said).await {
        Ok(account) => {
            let page = app::developers::account(reader.visit(), Found::Account(Box::new(account)));
            reader.show_private_with(status, page)
        }
        Err(fault) => failed(reader, fault),
    }
}

async fn read(app: &App, standing: &Standing, viewer: Viewer, said: Said) -> Result<Account, Fault> {
    let now = app.ctx.clock.now();
    let today = now.date();
    let first = today.replace_day(1).expect("every month has a first day");
    let report = domain::reports::usage(&app.ctx, standing.account, first, today).await;
    let report = report.map_err(Fault::Unexpected)?;
    let may_go_live =
        domain::accounts::has_paid(&app.ctx, standing.account).await.map_err(Fault::Unexpected)?;
    let names = requests::key_names(app, standing).await?;
    let query = requests::query(app, &WhichRequests::default(), None, LATEST)?;
    let lines = requests::lines(app, standing, &query).await?;
    let keys = app.ctx.keys.list(standing.account.account).await;
    let keys = keys.map_err(|error| Fault::Unexpected(error.into()))?;
    let is_revoked = |row: &&ApiKeyRow| row.public_id == said.revoked && row.revoked_at.is_some();
    let done =
        keys.iter().find(is_revoked).map(|row| format!("The key {} is revoked and works no more.", row.name));
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
        viewer,
        available: MicroUsd(report.balance.available),
        held: MicroUsd(report.balance.held),
        owed: MicroUsd(report.balance.owed),
        read_at: moment(now),
        days: days.collect(),
        requests: lines.into_iter().map(|line| log::row(line, &names)).collect(),
        keys: keys.into_iter().map(|row| listed(row, now)).collect(),
        may_go_live,
        scopes: standing.scopes.names(),
        done,
        refusal: said.refusal.map(|(_, text)| text),
    })
}

fn listed(row: ApiKeyRow, now: OffsetDateTime) -> KeyRow {
    let is_active = row.is_active(now);
    let (state, state_at) = match (row.revoked_at, row.expires_at) {
        (Some(at), _) => ("revoked", Some(at)),
        (None, Some(at)) if at <= now => ("expired", Some(at)),
        (None, Some(at)) => ("until", Some(at)),
        (None, None) => ("active", None),
    };
    KeyRow {
        name: row.name,
        id: row.public_id,
        kind: row.kind.as_str(),
        state,
        state_at: state_at.map(moment),
        last_used: row.last_used_at.map(moment),
        is_active,
    }
}
