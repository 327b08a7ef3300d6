//! Where a community's credits came from, what is left of each lot, and what happened to them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::reports::community::BillingQuery;
use ledger::report::{Movement, Origin};
use ledger::{Lot, NEVER};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use types::{AccountId, CommunityId, LotId, MicroUsd};
use utoipa::{IntoParams, ToSchema};

use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::shared::moment;
use super::super::{App, problem, shared};
use super::Paging;

/// Which pages of the billing.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BillingPages {
    /// One account only.
    account: Option<String>,
    /// `next_history_cursor` of the page before.
    history_cursor: Option<String>,
}

/// Credits of a community.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BillingAnswer {
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// By origin, over all accounts.
    by_source: Vec<SourceAnswer>,
    /// A page of lots, newest first.
    lots: Vec<LotAnswer>,
    /// As `cursor`, asks for older lots; null on the last page.
    next_cursor: Option<String>,
    /// A page of mints, expiries, refunds and settled debts, newest first.
    history: Vec<MovementAnswer>,
    /// As `history_cursor`, asks for older history; null on the last page.
    next_history_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// All lots of one origin.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceAnswer {
    /// `purchase`, `bonus`, `grant`, `sandbox`, `x402` or `overpay`.
    source: &'static str,
    /// How many.
    lots: i64,
    /// Ever credited.
    #[schema(value_type = String)]
    minted_micro: MicroUsd,
    /// Left.
    #[schema(value_type = String)]
    remaining_micro: MicroUsd,
    /// Taken back.
    #[schema(value_type = String)]
    reversed_micro: MicroUsd,
    /// Lost to expiry.
    #[schema(value_type = String)]
    expired_micro: MicroUsd,
}

/// Credits of one origin and one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LotAnswer {
    /// The lot.
    lot_id: String,
    /// Whose.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// Its origin.
    source: &'static str,
    /// At first.
    #[schema(value_type = String)]
    minted_micro: MicroUsd,
    /// Left.
    #[schema(value_type = String)]
    remaining_micro: MicroUsd,
    /// Taken back.
    #[schema(value_type = String)]
    reversed_micro: MicroUsd,
    /// Lost to expiry.
    #[schema(value_type = String)]
    expired_micro: MicroUsd,
    /// When it was credited.
    created_at: String,
    /// Until when it can be spent; null: for ever.
    expires_at: Option<String>,
}

/// A movement that is no charge.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovementAnswer {
    /// Its number in the community's journal.
    seq: String,
    /// When.
    at: String,
    /// Whose.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// `mint`, `expire`, `reverse` or `repay`.
    operation: &'static str,
    /// Micro-USD.
    #[schema(value_type = String)]
    amount_micro: MicroUsd,
    /// The account's balance afterwards.
    #[schema(value_type = String)]
    balance_micro: MicroUsd,
    /// The lot it is about.
    lot_id: Option<String>,
}

impl From<&Origin> for SourceAnswer {
    fn from(origin: &Origin) -> Self {
        Self {
            source: origin.source.as_str(),
            lots: origin.lots,
            minted_micro: MicroUsd(origin.minted),
            remaining_micro: MicroUsd(origin.remaining),
            reversed_micro: MicroUsd(origin.reversed),
            expired_micro: MicroUsd(origin.expired),
        }
    }
}

impl From<&Lot> for LotAnswer {
    fn from(lot: &Lot) -> Self {
        Self {
            lot_id: lot.id.to_string(),
            account_id: lot.key.account,
            source: lot.source.as_str(),
            minted_micro: MicroUsd(lot.minted),
            remaining_micro: MicroUsd(lot.remaining),
            reversed_micro: MicroUsd(lot.reversed),
            expired_micro: MicroUsd(lot.expired),
            created_at: moment(lot.created_at),
            expires_at: (lot.expires_at < NEVER).then(|| moment(lot.expires_at)),
        }
    }
}

impl From<&Movement> for MovementAnswer {
    fn from(movement: &Movement) -> Self {
        Self {
            seq: movement.seq.to_string(),
            at: moment(movement.at),
            account_id: movement.account,
            operation: movement.kind.as_str(),
            amount_micro: MicroUsd(movement.amount),
            balance_micro: MicroUsd(movement.balance_after),
            lot_id: movement.lot.map(|lot| lot.to_string()),
        }
    }
}

/// Lots and history of a community's credits.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/billing", tag = "admin", operation_id = "readCommunityBilling",
    params(("id" = String, Path, description = "The community's id"), BillingPages, Paging),
    responses(
        (status = 200, description = "The billing", body = BillingAnswer),
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
    pages: Result<Query<BillingPages>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let (_, community) = super::of_community(&app, &asked, headers, id).await?;
        let (pages, paging) = (super::query(pages)?, super::query(paging)?);
        let limit = paging.limit()?;
        let query = BillingQuery {
            account: account_of(pages.account.as_deref())?,
            lots_before: paging.cursor(read_cursor)?,
            history_before: history_cursor(pages.history_cursor.as_deref())?,
            limit,
        };
        let found = domain::reports::community::billing(&app.ctx, community, query).await;
        let found = found.map_err(Fault::Unexpected)?.ok_or_else(super::no_community)?;
        let next_history = super::next_cursor(&found.history, limit, |movement| movement.seq.to_string());
        Ok(BillingAnswer {
            community_id: community,
            by_source: found.origins.iter().map(SourceAnswer::from).collect(),
            lots: found.lots.iter().map(LotAnswer::from).collect(),
            next_cursor: super::next_cursor(&found.lots, limit, cursor_of),
            history: found.history.iter().map(MovementAnswer::from).collect(),
            next_history_cursor: next_history,
            data_as_of: moment(app.ctx.clock.now()),
        })
    };
    match read.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// The account that a query names.
pub(super) fn account_of(text: Option<&str>) -> Result<Option<AccountId>, Fault> {
    let wrong = || Fault::field("account", "This has to be an account's number.");
    text.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

fn history_cursor(text: Option<&str>) -> Result<Option<i64>, Fault> {
    let wrong =
        || Fault::field("history_cursor", "This has to be the next_history_cursor of an earlier page.");
    text.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

fn cursor_of(lot: &Lot) -> String {
    format!("{}.{}", lot.created_at.unix_timestamp_nanos() / 1_000, lot.id)
}

fn read_cursor(text: &str) -> Option<(OffsetDateTime, LotId)> {
    let (micros, id) = text.split_once('.')?;
    let nanos = micros.parse::<i64>().ok().map(i128::from)? * 1_000;
    Some((OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?, id.parse().ok()?))
}
