//! The audit trail: pages to read, and exports to keep and to verify offline (`freeside audit verify`).
//!
//! An export is sent as it is read, in constant memory. Should the books fail on the way, the answer breaks off without
//! its seal, and the verifier says so.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use ledger::audit::{self, AuditRow, Filter, Format, Page, Signer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use types::CommunityId;
use utoipa::{IntoParams, ToSchema};

use super::super::exchange::{Asked, text};
use super::super::fault::Fault;
use super::super::shared::moment;
use super::super::{App, problem, shared};
use super::Paging;
use super::billing::account_of;
use super::usage::{OfPool, pool_of};

/// Which part of the trail, and how it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// `json` (a page, also when absent), `jsonl` (a sealed export) or `csv`.
    format: Option<String>,
    /// Not before: a UTC day or a moment (RFC 3339).
    from: Option<String>,
    /// A UTC day, counted, or the first moment that is too late.
    to: Option<String>,
    /// One account only: such an export is unchained, and says so.
    account: Option<String>,
}

/// A page of the trail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// Lines as an export has them, newest first.
    #[schema(value_type = Vec<Object>)]
    lines: Vec<Box<RawValue>>,
    /// Ask for older lines with it; null on the last page.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// The audit trail of a community: a page, or an export to keep.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/audit", tag = "admin", operation_id = "readAudit",
    params(("id" = String, Path, description = "The community's id"), Part, OfPool, Paging),
    responses(
        (status = 200, description = "The page; with `format=jsonl` or `format=csv`, a file", content(
            (AuditPage = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
        )),
        (status = 400, description = "A parameter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such community that you administer", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    part: Result<Query<Part>, QueryRejection>,
    pool: Result<Query<OfPool>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let (_, community) = super::of_community(&app, &asked, headers, id).await?;
        let (part, paging) = (super::query(part)?, super::query(paging)?);
        let filter =
            Filter { pool: pool_of(&super::query(pool)?)?, account: account_of(part.account.as_deref())? };
        let from = part.from.as_deref().map(|text| edge("from", text, Edge::First)).transpose()?;
        let to = part.to.as_deref().map(|text| edge("to", text, Edge::Last)).transpose()?;
        let format = match part.format.as_deref() {
            None | Some("json") => {
                let (limit, before) = (paging.limit()?, paging.cursor(|text| text.parse().ok())?);
                let wanted = Page { before, from, to, filter, limit };
                return page(&app, community, &wanted).await;
            }
            Some("jsonl") => Format::Jsonl,
            Some("csv") => Format::Csv,
            Some(_) => return Err(Fault::field("format", "This has to be json, jsonl or csv.")),
        };
        export(&app, audit::Request { community, from, to, filter, format }).await
    };
    read.await.unwrap_or_else(|fault| problem::answer(fault, &asked))
}

async fn page(app: &App, community: CommunityId, wanted: &Page) -> Result<Response, Fault> {
    let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
    let mut connection = app.ctx.db.acquire().await.map_err(unexpected)?;
    let rows = audit::page(&mut connection, community, wanted).await.map_err(unexpected)?;
    let rows = rows.ok_or_else(super::no_community)?;
    let line =
        |row: &AuditRow| RawValue::from_string(row.line()).map_err(|error| Fault::Unexpected(error.into()));
    let answer = AuditPage {
        community_id: community,
        lines: rows.iter().map(line).collect::<Result<_, _>>()?,
        next_cursor: super::next_cursor(&rows, wanted.limit, |row| row.entry.seq.to_string()),
        data_as_of: moment(app.ctx.clock.now()),
    };
    Ok(shared::json(HeaderMap::new(), &answer))
}

async fn export(app: &App, request: audit::Request) -> Result<Response, Fault> {
    let keys = Arc::clone(&app.service_keys);
    let signer =
        Signer { kid: keys.active_kid().to_owned(), sign: Arc::new(move |bytes| keys.sign_bytes(bytes)) };
    let (kind, ending) = match request.format {
        Format::Jsonl => ("application/x-ndjson", "jsonl"),
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
    };
    let day = app.ctx.clock.now().date();
    let name = format!("attachment; filename=\"audit-{}-{day}.{ending}\"", request.community);
    let pieces = audit::export(&app.ctx.db, &app.ctx.clock, request, signer)
        .await
        .map_err(|error| Fault::Unexpected(error.into()))?
        .ok_or_else(super::no_community)?;
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_DISPOSITION, text(&name));
    Ok(response)
}

/// Which end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    First,
    Last,
}

/// A moment, or a UTC day that counts whole.
fn edge(param: &str, text: &str, edge: Edge) -> Result<OffsetDateTime, Fault> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(at);
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_| {
        Fault::field(
            param,
            "This has to be a UTC day such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z.",
        )
    })?;
    let day = match edge {
        Edge::First => day,
        Edge::Last => day.next_day().unwrap_or(Date::MAX),
    };
    Ok(day.midnight().assume_utc())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_day_counts_whole_at_both_ends() {
        assert_eq!(edge("from", "2026-01-31", Edge::First).expect("sound"), datetime!(2026-01-31 00:00 UTC));
        assert_eq!(edge("to", "2026-01-31", Edge::Last).expect("sound"), datetime!(2026-02-01 00:00 UTC));
        let moment = edge("to", "2026-01-31T12:00:00+01:00", Edge::Last).expect("sound");
        assert_eq!(moment, datetime!(2026-01-31 11:00 UTC));
        assert!(edge("to", "31.1.2026", Edge::Last).is_err());
    }
}
