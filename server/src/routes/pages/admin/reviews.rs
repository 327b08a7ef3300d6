//! `/admin/{community}/reviews`: the queue, and decisions, which are the API's own.

use std::sync::Arc;

use app::admin::{RequestRow, ReviewRow, Reviews, Tab};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::order::{self, ApprovalRequest, ApprovalState, ReviewItem, ReviewState, Which, WhichApprovals};
use time::OffsetDateTime;
use types::MicroUsd;

use super::super::super::App;
use super::super::super::admin::reviews::{Decision, Outcome, decide as ask, resolution_of};
use super::super::super::admin::{ROWS, next_cursor, reason_of};
use super::super::super::caller::Claimant;
use super::super::super::fault::Fault;
use super::super::super::problem;
use super::super::super::shared::moment;
use super::super::Reader;
use super::payments::once_more;
use super::{Looking, Name, pending, taken, words};

/// Requests for the operator that the page shows: those that wait and the last ones that were decided.
const REQUESTS: i64 = 20;

/// `GET /admin/{community}/reviews`
pub(crate) async fn show(looking: Looking) -> Response {
    page(&looking, StatusCode::OK).await
}

async fn page(looking: &Looking, status: StatusCode) -> Response {
    match read(looking).await {
        Ok(reviews) => {
            let page = app::admin::reviews(looking.reader.visit(), &looking.look(), reviews);
            looking.refuse(status, page)
        }
        Err(fault) => looking.failed(fault),
    }
}

async fn read(looking: &Looking) -> Result<Reviews, Fault> {
    let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
    let which = if looking.asking.value("state") == Some("all") { Which::All } else { Which::Open };
    let after = looking.asking.cursor(|text| text.parse().ok()).unwrap_or(0);
    let mut connection = looking.app.ctx.db.acquire().await.map_err(unexpected)?;
    let items = order::reviews(&mut connection, Some(looking.id()), which, after, ROWS).await;
    let items = items.map_err(unexpected)?;
    let requests =
        order::approvals(&mut connection, Some(looking.id()), WhichApprovals::All, None, REQUESTS).await;
    let requests = requests.map_err(unexpected)?;
    drop(connection);
    let pending = pending(looking, "review.", |row| {
        let word = row.what.trim_start_matches("review.");
        let fields = vec![("item", row.target.clone()), ("resolution", word.to_owned())];
        (format!("{word} review item {}", row.target), fields)
    });
    Ok(Reviews {
        shows_all: which == Which::All,
        next_cursor: next_cursor(&items, ROWS, |item| item.id.to_string()),
        items: items.into_iter().map(|item| row(item, &requests)).collect(),
        requests: requests.into_iter().map(request_row).collect(),
        pending: pending.await?,
    })
}

/// A moment's day, for a sentence.
fn day(at: OffsetDateTime) -> String {
    moment(at).chars().take("2026-01-31".len()).collect()
}

fn request_row(request: ApprovalRequest) -> RequestRow {
    let state = match request.state {
        ApprovalState::Waiting => "Waiting for the operator. Nothing happens until then.".to_owned(),
        ApprovalState::Overtaken => "Not needed any more: the item was closed meanwhile.".to_owned(),
        ApprovalState::Approved(by) => format!("Approved {} by {}: {}", day(by.at), by.who, by.note),
        ApprovalState::Declined(by) => format!("Declined {} by {}: {}", day(by.at), by.who, by.note),
    };
    RequestRow {
        item: request.item.to_string(),
        what: request.resolution.as_str(),
        who: request.who,
        note: request.note,
        asked_at: moment(request.asked_at),
        state,
    }
}

fn row(item: ReviewItem, requests: &[ApprovalRequest]) -> ReviewRow {
    let waits =
        |request: &&ApprovalRequest| request.item == item.id && request.state == ApprovalState::Waiting;
    let waiting = requests.iter().find(waits).map(|request| {
        format!("{} asked to {} it: waiting for the operator", request.who, request.resolution.as_str())
    });
    let closed = match item.state {
        ReviewState::Open => waiting,
        ReviewState::Overtaken { at } => Some(format!("answered by what came after, {}", day(at))),
        ReviewState::Credited(by) => Some(format!("credited {} by {}: {}", day(by.at), by.who, by.note)),
        ReviewState::Dismissed(by) => Some(format!("dismissed {} by {}: {}", day(by.at), by.who, by.note)),
    };
    ReviewRow {
        id: item.id.to_string(),
        kind: item.kind.as_str(),
        payment: item.payment_id,
        detail: item.detail,
        opened_at: moment(item.opened_at),
        closed,
    }
}

/// `POST /admin/{community}/reviews`
pub(crate) async fn decide(
    State(app): State<Arc<App>>,
    reader: Reader,
    name: Name,
    request: Request,
) -> Response {
    let (mut looking, form) = match taken(app, reader, &name, request).await {
        Ok(taken) => taken,
        Err(response) => return *response,
    };
    let asked = looking.reader.asked().clone();
    let (item, word) = (form.field("item").to_owned(), form.field("resolution").to_owned());
    let read = reason_of("reason", form.field("reason")).and_then(|note| Ok((resolution_of(&word)?, note)));
    let decided = match read {
        Ok((resolution, note)) => {
            let claimant = Claimant::Wallet(Arc::clone(&looking.session));
            let token = form.field("confirmation").parse().ok();
            let decision = Decision { resolution, note: note.clone(), token };
            let done = ask(&looking.app, &asked, claimant, &item, decision).await;
            done.map(|done| (done, note))
        }
        Err(fault) => Err(problem::of(fault, &asked)),
    };
    match decided {
        Ok((Outcome::First(answer), note)) => {
            let fields = vec![("item", item), ("resolution", word)];
            once_more(&looking, Tab::Reviews, answer, note, fields)
        }
        Ok((Outcome::Waiting(_), _)) => looking.back(Tab::Reviews, "asked"),
        Ok((Outcome::Done(answer), _)) => {
            let is_credited = answer.credited_micro > MicroUsd::ZERO;
            looking.back(Tab::Reviews, if is_credited { "credited" } else { "dismissed" })
        }
        Err(shape) => {
            let (status, told) = words(&shape);
            looking.told = Some(told);
            page(&looking, status).await
        }
    }
}
