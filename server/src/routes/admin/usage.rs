//! What a community used: sums by pool, by day and by user that agree to the micro-USD, and how long its credits last.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::reports::community::{CommunityUsage, UsageQuery, UserPlace};
use ledger::report::{Charged, Span};
use serde::{Deserialize, Serialize};
use types::{AccountId, CommunityId, MicroUsd, Pool};
use utoipa::{IntoParams, ToSchema};

use super::super::accounts::{Days, range};
use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::shared::moment;
use super::super::{App, problem, shared};
use super::Paging;

/// Which usage.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfPool {
    /// `cheap`, `standard`, `reasoning`, `architect` or `flagship`; all when absent.
    pub(super) pool: Option<String>,
}

/// What a community used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommunityUsageAnswer {
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// First day.
    from: String,
    /// Last day.
    to: String,
    /// Over all of it.
    total: ChargedAnswer,
    /// How many accounts were charged.
    users: i64,
    /// By the pool that answered.
    by_pool: BTreeMap<&'static str, ChargedAnswer>,
    /// By UTC day.
    by_day: BTreeMap<String, ChargedAnswer>,
    /// A page of accounts, dearest first.
    by_user: Vec<UserAnswer>,
    /// Ask for further accounts with it; null on the last page. The sums stay those of the first page.
    next_cursor: Option<String>,
    /// Micro-USD that can be used.
    #[schema(value_type = String)]
    balance_micro: MicroUsd,
    /// How fast credits go, by the last 7 and 28 whole days.
    burn: Burn,
    /// When they end.
    projected_depletion: Depletion,
    /// When this was read.
    data_as_of: String,
}

/// Charges that belong together.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct ChargedAnswer {
    /// Charged requests.
    requests: i64,
    /// Micro-USD.
    #[schema(value_type = String)]
    cost_micro: MicroUsd,
}

impl From<Charged> for ChargedAnswer {
    fn from(charged: Charged) -> Self {
        Self { requests: charged.requests, cost_micro: MicroUsd(charged.cost) }
    }
}

/// What one account was charged.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserAnswer {
    /// The account.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// Its wallet's address, if it has one.
    holder: Option<String>,
    #[serde(flatten)]
    charged: ChargedAnswer,
}

/// How fast credits go.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Burn {
    /// Whole days that were measured, at most 28; 0: nothing was charged before today, and there is no pace yet.
    measured_days: i64,
    /// The slowest measured pace, a day.
    #[schema(value_type = String)]
    slow_per_day_micro: MicroUsd,
    /// The fastest.
    #[schema(value_type = String)]
    fast_per_day_micro: MicroUsd,
}

/// When credits end, as a range; null: not within ten years.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Depletion {
    /// At the fastest pace.
    earliest: Option<String>,
    /// At the slowest.
    latest: Option<String>,
}

/// What a community used over some UTC days.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/usage", tag = "admin", operation_id = "readCommunityUsage",
    params(("id" = String, Path, description = "The community's id"), Days, OfPool, Paging),
    responses(
        (status = 200, description = "The usage", body = CommunityUsageAnswer),
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
    days: Result<Query<Days>, QueryRejection>,
    pool: Result<Query<OfPool>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let (_, community) = super::of_community(&app, &asked, headers, id).await?;
        let paging = super::query(paging)?;
        let now = app.ctx.clock.now();
        let (from, to) = range(&super::query(days)?, now.date())?;
        let (pool, limit) = (pool_of(&super::query(pool)?)?, paging.limit()?);
        let query = UsageQuery { from, to, pool, after: paging.cursor(read_cursor)?, limit };
        let found = domain::reports::community::usage(&app.ctx, community, query).await;
        let found = found.map_err(Fault::Unexpected)?.ok_or_else(super::no_community)?;
        Ok(CommunityUsageAnswer {
            community_id: community,
            from: from.to_string(),
            to: to.to_string(),
            data_as_of: moment(now),
            ..CommunityUsageAnswer::new(&found, limit)
        })
    };
    match read.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

impl CommunityUsageAnswer {
    fn new(found: &CommunityUsage, limit: i64) -> Self {
        let CommunityUsage { span, usage, users, projection } = found;
        let place = |user: &ledger::report::UserUsage| cursor_after(*span, user);
        let user = |user: &ledger::report::UserUsage| UserAnswer {
            account_id: user.account,
            holder: user.holder.clone(),
            charged: user.charged.into(),
        };
        let pool = |pool: Option<Pool>| pool.map_or("unknown", Pool::as_str);
        Self {
            community_id: CommunityId(0),
            from: String::new(),
            to: String::new(),
            total: usage.total.into(),
            users: usage.users,
            by_pool: usage.by_pool.iter().map(|(of, charged)| (pool(*of), (*charged).into())).collect(),
            by_day: usage.by_day.iter().map(|(day, charged)| (day.to_string(), (*charged).into())).collect(),
            by_user: users.iter().map(user).collect(),
            next_cursor: super::next_cursor(users, limit, place),
            balance_micro: MicroUsd(projection.balance),
            burn: Burn {
                measured_days: projection.measured_days,
                slow_per_day_micro: MicroUsd(projection.slow_per_day),
                fast_per_day_micro: MicroUsd(projection.fast_per_day),
            },
            projected_depletion: Depletion {
                earliest: projection.earliest.map(|day| day.to_string()),
                latest: projection.latest.map(|day| day.to_string()),
            },
            data_as_of: String::new(),
        }
    }
}

/// The pool that a query names.
pub(super) fn pool_of(of: &OfPool) -> Result<Option<Pool>, Fault> {
    let wrong = || Fault::field("pool", "This has to be cheap, standard, reasoning, architect or flagship.");
    of.pool.as_deref().map(|text| text.parse().map_err(|_| wrong())).transpose()
}

fn cursor_of(place: UserPlace) -> String {
    let UserPlace { span, cost, account } = place;
    format!("{}.{}.{cost}.{account}", span.from_seq, span.to_seq)
}

/// The cursor of the page after this user's.
pub(crate) fn cursor_after(span: Span, user: &ledger::report::UserUsage) -> String {
    cursor_of(UserPlace { span, cost: user.charged.cost, account: user.account })
}

pub(crate) fn read_cursor(text: &str) -> Option<UserPlace> {
    let mut numbers = text.split('.').map(|part| part.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let place = UserPlace {
        span: Span { from_seq: next()?, to_seq: next()? },
        cost: next()?,
        account: AccountId(next()?),
    };
    numbers.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let span = Span { from_seq: 3, to_seq: 99 };
        let place = UserPlace { span, cost: 12, account: AccountId(7) };
        assert_eq!(read_cursor(&cursor_of(place)), Some(place));
        for bad in ["", "1.2.3", "1.2.3.4.5", "1.2.3.x"] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }
}
