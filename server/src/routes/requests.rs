//! The request log: what an account asked, each with the life of its reservation.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::accounts::Standing;
use identity::Scope;
use ledger::report::{Life, RequestLine, RequestQuery};
use serde::{Deserialize, Serialize};
use types::{MicroUsd, Pool, ReservationId};
use utoipa::{IntoParams, ToSchema};

use super::accounts::{self, Days};
use super::admin::{self, Paging};
use super::caller::{self, Access};
use super::exchange::Asked;
use super::fault::Fault;
use super::shared::moment;
use super::{App, limits, problem, shared};

/// Who may read: a key that may read the account's money, or the developer's wallet.
pub(crate) const ACCESS: Access = Access::SessionOrKey(Scope::Usage);

/// Which requests.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichRequests {
    /// First UTC day, `YYYY-MM-DD`; the first of this month when absent.
    pub(crate) from: Option<String>,
    /// Last UTC day, counted; today when absent.
    pub(crate) to: Option<String>,
    /// One pool only.
    pub(crate) pool: Option<String>,
    /// `held`, `settled`, `released` or `orphaned` only.
    pub(crate) state: Option<String>,
    /// One model only, by the name that was asked for or that answered.
    pub(crate) model: Option<String>,
}

/// Requests of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestList {
    /// Newest first.
    requests: Vec<RequestAnswer>,
    /// As `cursor`, asks for older ones; null on the last page.
    next_cursor: Option<String>,
    /// When this was read.
    data_as_of: String,
}

/// A request, and what became of its money.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestAnswer {
    /// The reservation that paid for it.
    reservation_id: String,
    /// The key that asked, by its public part; null for a wallet in the chat.
    key_id: Option<String>,
    /// `{slug}:{token}` of the agent that spoke.
    agent: Option<String>,
    /// The model's name as it was asked for.
    asked: String,
    /// The model that answered.
    model: Option<String>,
    /// The pool that answered.
    pool: Option<&'static str>,
    /// Why that pool and model, as a stable word.
    reason: Option<String>,
    /// `held`: the answer is on its way; `settled`: charged, once; `released`: nothing was charged; `orphaned`: the
    /// process that answered died, nothing was charged, and a late report of it still may be.
    state: &'static str,
    /// Micro-USD set aside at the most.
    #[schema(value_type = String)]
    held_micro: MicroUsd,
    /// Micro-USD charged; null until it is settled, and when nothing was.
    #[schema(value_type = Option<String>)]
    charged_micro: Option<MicroUsd>,
    /// Prompt tokens that were charged.
    prompt_tokens: Option<i64>,
    /// Completion tokens that were charged.
    completion_tokens: Option<i64>,
    /// When it was asked.
    created_at: String,
    /// When the money was settled or given back.
    closed_at: Option<String>,
}

impl RequestAnswer {
    fn new(line: RequestLine, keys: &HashMap<i64, KeyName>) -> Self {
        Self {
            reservation_id: line.id.to_string(),
            key_id: line.key_id.and_then(|id| keys.get(&id)).map(|key| key.public_id.clone()),
            agent: line.agent,
            asked: line.asked,
            model: line.model,
            pool: line.pool.map(Pool::as_str),
            reason: line.reason,
            state: line.life.as_str(),
            held_micro: MicroUsd(line.held),
            charged_micro: line.charged.map(MicroUsd),
            prompt_tokens: line.tokens_in,
            completion_tokens: line.tokens_out,
            created_at: moment(line.created_at),
            closed_at: line.closed_at.map(moment),
        }
    }
}

/// What a key is called.
#[derive(Clone, Debug)]
pub(crate) struct KeyName {
    /// Its public part.
    pub(crate) public_id: String,
    /// Its owner's name for it.
    pub(crate) name: String,
}

/// The account's requests, newest first: each with what was set aside for it and what became of that.
#[utoipa::path(
    get, path = "/api/v1/requests", tag = "developers", operation_id = "listRequests",
    params(WhichRequests, Paging),
    responses(
        (status = 200, description = "A page of requests", body = RequestList),
        (status = 400, description = "A filter cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `usage`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    which: Result<Query<WhichRequests>, QueryRejection>,
    paging: Result<Query<Paging>, QueryRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let read = async {
        let caller = caller::standing(&app, &asked, headers, ACCESS).await?;
        let (which, paging) = (admin::query(which)?, admin::query(paging)?);
        let before = paging.cursor(|text| text.parse().ok().map(ReservationId))?;
        let query = query(&app, &which, before, paging.limit()?)?;
        let lines = lines(&app, &caller, &query).await?;
        Ok((lines, key_names(&app, &caller).await?, query.limit))
    };
    match read.await {
        Ok((lines, keys, limit)) => {
            let next_cursor = admin::next_cursor(&lines, limit, |line| line.id.to_string());
            let requests = lines.into_iter().map(|line| RequestAnswer::new(line, &keys)).collect();
            let data_as_of = moment(app.ctx.clock.now());
            shared::json(HeaderMap::new(), &RequestList { requests, next_cursor, data_as_of })
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// The domain's query, when every filter can be right.
pub(crate) fn query(
    app: &App,
    which: &WhichRequests,
    before: Option<ReservationId>,
    limit: i64,
) -> Result<RequestQuery, Fault> {
    let days = Days {
        from: given(which.from.as_deref()).map(str::to_owned),
        to: given(which.to.as_deref()).map(str::to_owned),
    };
    let (from, to) = accounts::range(&days, app.ctx.clock.now().date())?;
    let pool = given(which.pool.as_deref()).map(|word| {
        let pools = Pool::ALL.into_iter().find(|pool| pool.as_str() == word);
        pools.ok_or_else(|| {
            Fault::field("pool", "This has to be cheap, standard, reasoning, architect or flagship.")
        })
    });
    let life = given(which.state.as_deref()).map(|word| {
        let message = "This has to be held, settled, released or orphaned.";
        Life::named(word).ok_or_else(|| Fault::field("state", message))
    });
    let model = given(which.model.as_deref()).map(|name| match name.len() {
        0..=limits::MODEL_NAME_BYTES => Ok(name.to_owned()),
        _ => Err(Fault::field("model", "No model has a name as long as this.")),
    });
    Ok(RequestQuery {
        from,
        to,
        pool: pool.transpose()?,
        life: life.transpose()?,
        model: model.transpose()?,
        before,
        limit,
    })
}

/// What a filter says; an empty field of a form says nothing.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// A page of the log.
pub(crate) async fn lines(
    app: &App,
    caller: &Standing,
    query: &RequestQuery,
) -> Result<Vec<RequestLine>, Fault> {
    domain::reports::requests(&app.ctx, caller.account, query).await.map_err(Fault::Unexpected)
}

/// The account's keys by their rows.
pub(crate) async fn key_names(app: &App, caller: &Standing) -> Result<HashMap<i64, KeyName>, Fault> {
    let rows = app.ctx.keys.list(caller.account.account).await;
    let rows = rows.map_err(|error| Fault::Unexpected(error.into()))?;
    let named = rows.into_iter().map(|row| (row.id.0, KeyName { public_id: row.public_id, name: row.name }));
    Ok(named.collect())
}
