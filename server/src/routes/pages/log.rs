//! `/developers/requests`: the request log, as a page and as CSV. What it lists is `domain::reports::requests`, as for the
//! API; its filters stand in the address.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use app::developers::{Filters, Log, RequestRow};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use domain::accounts::Standing;
use identity::Scope;
use ledger::report::RequestLine;
use serde::Deserialize;
use time::macros::format_description;
use time::{Date, Duration};
use types::{MicroUsd, Pool, ReservationId};

use super::super::App;
use super::super::fault::Fault;
use super::super::requests::{self, KeyName, WhichRequests};
use super::super::shared::moment;
use super::developers::failed;
use super::holder::{self, Holder, Refused};
use super::{Reader, form};

/// Rows of a page: a screen or three.
const ROWS: i64 = 50;
/// Rows of a download: two megabytes of text. Whoever has more in a span takes a shorter one.
const CSV_ROWS: i64 = 10_000;

/// What the address says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Address {
    from: String,
    to: String,
    pool: String,
    state: String,
    model: String,
    before: String,
    format: String,
}

impl Address {
    fn which(&self) -> WhichRequests {
        WhichRequests {
            from: Some(self.from.clone()),
            to: Some(self.to.clone()),
            pool: Some(self.pool.clone()),
            state: Some(self.state.clone()),
            model: Some(self.model.clone()),
        }
    }

    fn filters(&self) -> Filters {
        // A field for a day takes nothing else, and would complain.
        let day = |text: &str| {
            let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
            day.map_or_else(|_| String::new(), |day| day.to_string())
        };
        Filters {
            from: day(&self.from),
            to: day(&self.to),
            pool: self.pool.clone(),
            state: self.state.clone(),
            model: self.model.clone(),
        }
    }
}

/// `GET /developers/requests`
pub(crate) async fn look(
    State(app): State<Arc<App>>,
    reader: Reader,
    address: Result<Query<Address>, QueryRejection>,
) -> Response {
    let Query(address) = address.unwrap_or_default();
    match holder::signed_in(&app, &reader).await {
        Ok(Holder::Wallet(standing) | Holder::Key(standing)) => {
            show(&app, &reader, &standing, &address, ByKey::No).await
        }
        Ok(Holder::NotSignedUp) => {
            let text = "The wallet that is signed in has not signed up as a developer, so there is no log of it yet.";
            nobody(&app, &reader, &address, StatusCode::OK, Some(text.to_owned()))
        }
        Ok(Holder::Nobody) => nobody(&app, &reader, &address, StatusCode::OK, None),
        Err(fault) => failed(&reader, fault),
    }
}

/// `POST /developers/requests`: the log of the key in the form, with the address's filters.
pub(crate) async fn look_with_key(
    State(app): State<Arc<App>>,
    reader: Reader,
    address: Result<Query<Address>, QueryRejection>,
    request: Request,
) -> Response {
    let Query(address) = address.unwrap_or_default();
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    match holder::of(&app, &reader, &form, &[Scope::Usage]).await {
        Ok(Holder::Key(standing)) => show(&app, &reader, &standing, &address, ByKey::Yes).await,
        Ok(Holder::Wallet(standing)) => show(&app, &reader, &standing, &address, ByKey::No).await,
        Ok(Holder::NotSignedUp | Holder::Nobody) => {
            let text = "Copy the whole key into the field.";
            nobody(&app, &reader, &address, StatusCode::UNAUTHORIZED, Some(text.to_owned()))
        }
        Err(Refused::Told(status, text)) => nobody(&app, &reader, &address, status, Some(text)),
        Err(Refused::Fault(fault)) => failed(&reader, fault),
    }
}

/// Whether a key was shown, which has to be shown again for the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByKey {
    Yes,
    No,
}

fn nobody(
    app: &App,
    reader: &Reader,
    address: &Address,
    status: StatusCode,
    refusal: Option<String>,
) -> Response {
    let log = Log { refusal, ..empty(app, address, ByKey::No) };
    reader.show_with(status, app::developers::requests(reader.visit(), log))
}

fn empty(app: &App, address: &Address, by_key: ByKey) -> Log {
    Log {
        filters: address.filters(),
        rows: None,
        older: None,
        is_later: !address.before.is_empty(),
        refusal: None,
        read_at: moment(app.ctx.clock.now()),
        by_key: by_key == ByKey::Yes,
    }
}

async fn show(app: &App, reader: &Reader, standing: &Standing, address: &Address, by_key: ByKey) -> Response {
    let is_csv = address.format == "csv";
    let read = async {
        let before =
            (!address.before.is_empty()).then(|| address.before.parse().map(ReservationId)).transpose();
        let before =
            before.map_err(|_| Fault::field("before", "This has to come from a link of the log."))?;
        let limit = if is_csv { CSV_ROWS } else { ROWS };
        let query = requests::query(app, &address.which(), before, limit)?;
        let lines = requests::lines(app, standing, &query).await?;
        Ok((lines, requests::key_names(app, standing).await?))
    };
    match read.await {
        Ok((lines, keys)) if is_csv => csv(&lines, &keys),
        Ok((lines, keys)) => {
            let is_full = i64::try_from(lines.len()).is_ok_and(|count| count >= ROWS);
            let older = lines.last().filter(|_| is_full).map(|line| line.id.to_string());
            let rows = Some(lines.into_iter().map(|line| row(line, &keys)).collect());
            let log = Log { rows, older, ..empty(app, address, by_key) };
            reader.show_private(app::developers::requests(reader.visit(), log))
        }
        Err(Fault::Field { param, message }) => {
            let refusal = Some(format!("{param}: {message}"));
            let log = Log { rows: Some(Vec::new()), refusal, ..empty(app, address, by_key) };
            reader.show_private_with(StatusCode::BAD_REQUEST, app::developers::requests(reader.visit(), log))
        }
        Err(fault) => failed(reader, fault),
    }
}

/// A line for people.
pub(super) fn row(line: RequestLine, keys: &HashMap<i64, KeyName>) -> RequestRow {
    let took = line.closed_at.map(|closed| took(closed - line.created_at));
    RequestRow {
        id: line.id.to_string(),
        at: moment(line.created_at),
        state: line.life.as_str(),
        asked: line.agent.map_or(line.asked, |agent| format!("agent:{agent}")),
        model: line.model,
        pool: line.pool.map(Pool::as_str),
        reason: line.reason,
        key: line.key_id.and_then(|id| keys.get(&id)).map(|key| key.name.clone()),
        tokens: line.tokens_in.zip(line.tokens_out),
        held: MicroUsd(line.held),
        charged: line.charged.map(MicroUsd),
        took,
    }
}

fn took(time: Duration) -> String {
    match time.whole_milliseconds().max(0) {
        milliseconds @ 0..1_000 => format!("after {milliseconds} ms"),
        milliseconds @ 1_000..60_000 => {
            format!("after {}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100)
        }
        milliseconds => format!("after {} min", milliseconds / 60_000),
    }
}

/// The same rows for a spreadsheet. Amounts are whole micro-USD, as in the API.
fn csv(lines: &[RequestLine], keys: &HashMap<i64, KeyName>) -> Response {
    let mut text = String::from(
        "created_at,closed_at,state,asked,agent,model,pool,reason,key_id,prompt_tokens,completion_tokens,held_micro,charged_micro,reservation_id\r\n",
    );
    for line in lines {
        let number = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
        let key = line.key_id.and_then(|id| keys.get(&id)).map_or("", |key| key.public_id.as_str());
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{},{key},{},{},{},{},{}\r\n",
            moment(line.created_at),
            line.closed_at.map_or_else(String::new, moment),
            line.life.as_str(),
            cell(&line.asked),
            cell(line.agent.as_deref().unwrap_or_default()),
            cell(line.model.as_deref().unwrap_or_default()),
            line.pool.map_or("", Pool::as_str),
            cell(line.reason.as_deref().unwrap_or_default()),
            number(line.tokens_in),
            number(line.tokens_out),
            line.held,
            number(line.charged),
            line.id,
        );
    }
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"freeside-requests.csv\""),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// A text as a cell: quoted, and never a formula, since the names in it come from callers.
fn cell(text: &str) -> String {
    let quoted = text.replace('"', "\"\"");
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{quoted}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_ends_where_it_should() {
        assert_eq!(cell("a\"b,c"), "\"a\"\"b,c\"");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
    }

    #[test]
    fn a_time_is_told_as_people_would() {
        let told = [0, 999, 1_250, 59_999, 60_000, 600_000].map(|ms| took(Duration::milliseconds(ms)));
        assert_eq!(
            told,
            ["after 0 ms", "after 999 ms", "after 1.2 s", "after 59.9 s", "after 1 min", "after 10 min"]
        );
    }
}
