//! Monthly caps of a community and of its accounts.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::caps::Cap;
use ledger::report::{Budget, CappedAccount};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::Date;
use types::{AccountId, CommunityId, MicroUsd};
use utoipa::ToSchema;

use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::fields::{self, Field};
use super::super::problem::{self, Shape};
use super::super::shared::moment;
use super::super::{App, body, limits, shared};
use super::Paging;
use super::grants::micro;

/// What may be spent in a UTC month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CapsAnswer {
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// First day of the month.
    month: String,
    /// The community's cap in micro-USD; null: none.
    #[schema(value_type = Option<String>)]
    limit_micro: Option<MicroUsd>,
    /// Spent this month, over all accounts.
    #[schema(value_type = String)]
    spent_micro: MicroUsd,
    /// Set aside by this month's answers in progress.
    #[schema(value_type = String)]
    held_micro: MicroUsd,
    /// Whether four fifths of the cap are used.
    is_warning: bool,
    /// Accounts with a cap of their own.
    accounts: Vec<AccountCap>,
    /// Ask for more of those accounts with it; null on the last page.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// One account's cap.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountCap {
    /// The account.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// Its wallet's address, if it has one.
    holder: Option<String>,
    /// Micro-USD a month.
    #[schema(value_type = String)]
    limit_micro: MicroUsd,
    /// Spent this month.
    #[schema(value_type = String)]
    spent_micro: MicroUsd,
    /// Set aside by this month's answers in progress.
    #[schema(value_type = String)]
    held_micro: MicroUsd,
}

impl CapsAnswer {
    fn new(community_id: CommunityId, budget: &Budget, accounts: &[CappedAccount], today: Date) -> Self {
        let month = today.replace_day(1).expect("every month has a first day");
        // Counters turn over with the month's first hold; until then they speak of an earlier month.
        let of_month = |counted: Date, amount: i64| MicroUsd(if counted == month { amount } else { 0 });
        let (spent, held) =
            (of_month(budget.cap_month, budget.cap_spent), of_month(budget.cap_month, budget.cap_held));
        let account = |account: &CappedAccount| AccountCap {
            account_id: AccountId(account.account),
            holder: account.holder.clone(),
            limit_micro: MicroUsd(account.cap_limit),
            spent_micro: of_month(account.cap_month, account.cap_spent),
            held_micro: of_month(account.cap_month, account.cap_held),
        };
        Self {
            community_id,
            month: month.to_string(),
            limit_micro: budget.cap_limit.map(MicroUsd),
            spent_micro: spent,
            held_micro: held,
            is_warning: budget.cap_limit.is_some_and(|limit| is_warning(limit, spent.0, held.0)),
            accounts: accounts.iter().map(account).collect(),
            next_cursor: None,
            data_as_of: String::new(),
        }
    }
}

/// SPEC §2: a warning at 80 %.
fn is_warning(limit: i64, spent: i64, held: i64) -> bool {
    (i128::from(spent) + i128::from(held)) * 5 >= i128::from(limit) * 4
}

/// The monthly caps of a community.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/caps", tag = "admin", operation_id = "readCaps",
    params(("id" = String, Path, description = "The community's id"), Paging),
    responses(
        (status = 200, description = "The caps", body = CapsAnswer),
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
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let known = async {
        let (_, community) = super::of_community(&app, &asked, headers, id).await?;
        let paging = super::query(paging)?;
        let (limit, after) = (paging.limit()?, paging.cursor(|text| text.parse().ok())?);
        answer(&app, community, after, limit).await
    };
    match known.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

async fn answer(
    app: &App,
    community: CommunityId,
    after: Option<AccountId>,
    limit: i64,
) -> Result<CapsAnswer, Fault> {
    let found = domain::reports::community::caps(&app.ctx, community, after, limit).await;
    let (budget, accounts) = found.map_err(Fault::Unexpected)?.ok_or_else(super::no_community)?;
    let now = app.ctx.clock.now();
    Ok(CapsAnswer {
        next_cursor: super::next_cursor(&accounts, limit, |account| account.account.to_string()),
        data_as_of: moment(now),
        ..CapsAnswer::new(community, &budget, &accounts, now.date())
    })
}

/// A cap to be set or lifted.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CapBody<'a> {
    /// Micro-USD a month as a decimal string, or `none`.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "50000000")]
    limit_micro: Field<'a>,
    /// One account of the community; the whole of it when absent.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    account_id: Field<'a>,
    /// Why, for the record: 1 to 500 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true)]
    reason: Field<'a>,
}

/// Sets or lifts the monthly cap of a community, or of one account of it.
#[utoipa::path(
    put, path = "/api/v1/admin/community/{id}/caps", tag = "admin", operation_id = "setCap",
    params(("id" = String, Path, description = "The community's id")),
    request_body = CapBody<'static>,
    responses(
        (status = 200, description = "The caps as they are now", body = CapsAnswer),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such community that you administer, or no such account in it", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []), ("session_token" = []), ("api_key" = []), ("x_api_key" = []), ("operator" = []))
)]
pub(crate) async fn write(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let done = async {
        let (who, community) = super::of_community(&app, &asked, &parts.headers, id).await?;
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: CapBody<'_> = whole.parse()?;
        let limit = limit(body.limit_micro)?;
        let account = body.account_id.map(account).transpose()?;
        let reason = super::reason("reason", body.reason)?;
        let name = who.who();
        let cap = Cap { community, account, limit, who: &name, reason: &reason };
        let is_there = domain::caps::set(&app.ctx.db, &app.ctx.clock, cap).await;
        if !is_there.map_err(|error| Fault::Unexpected(error.into()))? {
            return Ok(None);
        }
        answer(&app, community, None, super::ROWS).await.map(Some)
    };
    match done.await {
        Ok(Some(answer)) => shared::json(HeaderMap::new(), &answer),
        Ok(None) => problem::respond(Shape::not_found("The community has no such account."), &asked),
        Err(fault) => problem::answer(fault, &asked),
    }
}

fn limit(raw: Field<'_>) -> Result<Option<MicroUsd>, Fault> {
    if raw.map(RawValue::get) == Some("\"none\"") {
        return Ok(None);
    }
    micro("limit_micro", raw).map(Some).map_err(|_| {
        Fault::field("limit_micro", "This has to be a decimal string of micro-USD, or \"none\" for no cap.")
    })
}

fn account(raw: &RawValue) -> Result<AccountId, Fault> {
    let wrong = || Fault::field("account_id", "This has to be an account's number.");
    fields::text("account_id", raw)?.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_warns_at_four_fifths() {
        assert!(!is_warning(100, 79, 0));
        assert!(is_warning(100, 50, 30) && is_warning(100, 100, 0) && is_warning(0, 0, 0));
        assert!(!is_warning(i64::MAX, i64::MAX / 2, 0));
    }

    #[test]
    fn no_cap_has_to_be_said() {
        let read = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).expect("JSON");
            limit(Some(&raw))
        };
        assert_eq!(read("\"none\"").expect("sound"), None);
        assert_eq!(read("\"7\"").expect("sound"), Some(MicroUsd(7)));
        assert!(limit(None).is_err());
        for bad in ["7", "\"-7\"", "\"\"", "\"+7\"", "\"9223372036854775808\"", "true"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
