//! Sign-up, upgrade, usage and budget: what a developer does around the answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::limits::{By, Pot};
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::accounts::{RegisterError, UpgradeError};
use domain::key_rights::Forbidden;
use domain::reports::UsageReport;
use identity::Scope;
use ledger::report::{Budget, UsageLine};
use serde::{Deserialize, Serialize};
use time::Date;
use time::macros::format_description;
use types::{CommunityId, MicroUsd, Pool, WalletId};
use utoipa::{IntoParams, ToSchema};

use super::caller::{self, Access};
use super::exchange::Asked;
use super::fault::Fault;
use super::fields::{self, Field};
use super::keys::{self, MadeKey};
use super::problem::{self, Shape};
use super::{App, SignUp, body, limits, shared};

/// Who may sign up: anyone, three times an hour from one address. In production a wallet has to be signed in.
pub(crate) const REGISTER: Access = Access::Anyone;
/// Who may upgrade: a key that may make keys, or the developer's wallet.
pub(crate) const UPGRADE: Access = Access::SessionOrKey(Scope::Keys);
/// Who may read usage and budget.
pub(crate) const READ: Access = Access::SessionOrKey(Scope::Usage);

/// A sign-up.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RegisterBody<'a> {
    /// What to call you: 1 to 80 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "Ada")]
    name: Field<'a>,
}

/// A developer who just signed up.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegisteredAnswer {
    /// The API key; shown this once.
    key: String,
    /// The key's public part, by which routes name it.
    key_id: String,
    /// `sandbox`.
    kind: &'static str,
    /// The developer's id.
    developer_id: String,
    /// The developer's own community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// The account that pays.
    account_id: String,
    /// What to do next.
    next: &'static str,
}

/// Signs a developer up and shows the sandbox key once; a wallet that is signed in owns the account.
#[utoipa::path(
    post, path = "/api/v1/developers/register", tag = "developers", operation_id = "registerDeveloper",
    request_body = RegisterBody<'static>,
    responses(
        (status = 201, description = "The key, shown this once", body = RegisteredAnswer),
        (status = 400, description = "The name cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "In production: no wallet is signed in", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "This wallet has signed up before", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Three sign-ups an hour from one address, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Sign-up is switched off", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let name =
        match body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
            .await
        {
            Ok(whole) => whole.parse().and_then(|body: RegisterBody<'_>| required("name", body.name)),
            Err(fault) => Err(fault),
        };
    let name = match name {
        Ok(name) => name,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let wallet = match developers_wallet(&app, &parts.headers).await {
        Ok(wallet) => wallet,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let registered = match domain::accounts::register(&app.ctx, &name, asked.ip, wallet).await {
        Ok(registered) => registered,
        Err(error) => return register_refused(error, &asked),
    };
    let answer = RegisteredAnswer {
        key: registered.key.secret.reveal().to_owned(),
        key_id: registered.key.key.public_id,
        kind: registered.key.key.kind.as_str(),
        developer_id: registered.developer_id.to_string(),
        community_id: registered.community,
        account_id: registered.account.to_string(),
        next: "Keep the key: it is not shown again. POST /v1/chat/completions with model \"native\" answers at once.",
    };
    shared::json_with(StatusCode::CREATED, HeaderMap::new(), &answer)
}

/// The wallet that signs up. Without one a developer signs up where that is allowed, and keeps to keys.
pub(crate) async fn developers_wallet(app: &App, headers: &HeaderMap) -> Result<Option<WalletId>, Fault> {
    match caller::session(app, headers).await {
        Ok(session) => Ok(Some(session.wallet)),
        Err(Fault::NoSession) if app.sign_up == SignUp::Anyone => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn register_refused(error: RegisterError, asked: &Asked) -> Response {
    match error {
        RegisterError::BadName => {
            let shape = Shape::invalid(
                "name",
                "This has to have 1 to 80 characters, none of them a control character.",
            );
            problem::respond(shape, asked)
        }
        RegisterError::TooMany { retry_after_s } => {
            Pot::SignUps.refused(By::Client);
            let detail = format!(
                "Only {} sign-ups an hour are taken from one address. Try again in {retry_after_s} s, or use the key you have.",
                domain::accounts::SIGNUPS_PER_HOUR
            );
            problem::respond(Shape::rate_limited(detail, retry_after_s.into()), asked)
        }
        RegisterError::Off => problem::respond(Shape::sign_up_off(), asked),
        RegisterError::SignedUp => {
            let detail = "This wallet has signed up before. POST /api/v1/keys makes further keys.";
            problem::respond(Shape::conflict(detail), asked)
        }
        RegisterError::Unexpected(error) => problem::answer(Fault::Unexpected(error), asked),
    }
}

/// Makes a live key for an account that has bought, or been granted, credits.
#[utoipa::path(
    post, path = "/api/v1/developers/upgrade", tag = "developers", operation_id = "upgradeDeveloper",
    responses(
        (status = 201, description = "The live key, shown this once; the sandbox key keeps working", body = MadeKey),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 402, description = "No credits were bought or granted yet", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `keys`, or is a sandbox key of an account that a wallet owns, or a narrowed one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Twenty keys were made in the last 24 hours, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "Ten keys are active", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "New keys are switched off", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let caller = match caller::standing(&app, &asked, request.headers(), UPGRADE).await {
        Ok(caller) => caller,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match domain::accounts::upgrade(&app.ctx, &caller).await {
        Ok(made) => shared::json_with(StatusCode::CREATED, HeaderMap::new(), &MadeKey::from(made)),
        Err(UpgradeError::NeedsCredit) => {
            let detail = "A live key needs credits that were bought or granted; the sandbox's daily allowance does not \
                          count. Add credits, then ask again.";
            problem::respond(Shape::no_credit(detail), &asked)
        }
        Err(UpgradeError::Forbidden(forbidden)) => {
            problem::respond(Shape::forbidden(upgrade_forbidden(forbidden)), &asked)
        }
        Err(UpgradeError::Off) => problem::respond(Shape::new_keys_off(), &asked),
        Err(UpgradeError::Key(error)) => keys::refused(error, &asked),
        Err(UpgradeError::Unexpected(error)) => problem::answer(Fault::Unexpected(error), &asked),
    }
}

/// What is said of a key that may not open the live key.
pub(crate) fn upgrade_forbidden(forbidden: Forbidden) -> String {
    format!(
        "This key may not open the live key: {forbidden}. Sign in with the wallet that owns the account, or use the \
         account's first sandbox key."
    )
}

/// The days of a usage report.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Days {
    /// First UTC day, `YYYY-MM-DD`; the first of this month when absent.
    pub(crate) from: Option<String>,
    /// Last UTC day, counted; today when absent.
    pub(crate) to: Option<String>,
}

/// What an account used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// First day.
    from: String,
    /// Last day.
    to: String,
    /// Over all of it.
    total: Sums,
    /// By UTC day.
    by_day: BTreeMap<String, Sums>,
    /// By the model that answered.
    by_model: BTreeMap<String, Sums>,
    /// By the pool that answered.
    by_pool: BTreeMap<String, Sums>,
    /// Micro-USD that live keys can spend now.
    #[schema(value_type = String)]
    available_micro: MicroUsd,
    /// Micro-USD that sandbox keys can spend today; "0" before the day's first sandbox request.
    #[schema(value_type = String)]
    sandbox_available_micro: MicroUsd,
    /// Micro-USD set aside for answers in progress.
    #[schema(value_type = String)]
    held_micro: MicroUsd,
    /// Micro-USD owed.
    #[schema(value_type = String)]
    owed_micro: MicroUsd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
struct Sums {
    /// Charged requests.
    requests: i64,
    /// Charged prompt tokens.
    prompt_tokens: i64,
    /// Charged completion tokens.
    completion_tokens: i64,
    /// Micro-USD.
    #[schema(value_type = String)]
    cost_micro: MicroUsd,
}

impl Sums {
    /// Adds a line; sums beyond 64 bits stay at their end, which no account reaches.
    fn add(&mut self, line: &UsageLine) {
        self.requests = self.requests.saturating_add(line.requests);
        self.prompt_tokens = self.prompt_tokens.saturating_add(line.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(line.completion_tokens);
        self.cost_micro = MicroUsd(self.cost_micro.0.saturating_add(line.cost));
    }
}

impl From<UsageReport> for Usage {
    fn from(report: UsageReport) -> Self {
        let mut usage = Self {
            from: report.from.to_string(),
            to: report.to.to_string(),
            total: Sums::default(),
            by_day: BTreeMap::new(),
            by_model: BTreeMap::new(),
            by_pool: BTreeMap::new(),
            available_micro: MicroUsd(report.balance.available),
            sandbox_available_micro: MicroUsd(report.sandbox.available),
            held_micro: MicroUsd(report.balance.held),
            owed_micro: MicroUsd(report.balance.owed),
        };
        for line in &report.lines {
            let model = line.model.clone().unwrap_or_else(|| "unknown".to_owned());
            let pool = line.pool.and_then(Pool::from_db).map_or("unknown", Pool::as_str).to_owned();
            usage.total.add(line);
            usage.by_day.entry(line.day.to_string()).or_default().add(line);
            usage.by_model.entry(model).or_default().add(line);
            usage.by_pool.entry(pool).or_default().add(line);
        }
        usage
    }
}

/// The account's usage over some UTC days, and what it has now.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "developers", operation_id = "readUsage",
    params(Days),
    responses(
        (status = 200, description = "The usage", body = Usage),
        (status = 400, description = "A day cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `usage`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn usage(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    days: Result<Query<Days>, QueryRejection>,
    request: Request,
) -> Response {
    let caller = match caller::standing(&app, &asked, request.headers(), READ).await {
        Ok(caller) => caller,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let days = days.map_err(|_| Fault::field("from", "The query takes from and to, each once."));
    let (from, to) = match days.and_then(|Query(days)| range(&days, app.ctx.clock.now().date())) {
        Ok(range) => range,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match domain::reports::usage(&app.ctx, caller.account, from, to).await {
        Ok(report) => shared::json(HeaderMap::new(), &Usage::from(report)),
        Err(error) => problem::answer(Fault::Unexpected(error), &asked),
    }
}

pub(crate) fn range(days: &Days, today: Date) -> Result<(Date, Date), Fault> {
    let first = today.replace_day(1).expect("every month has a first day");
    let from = days.from.as_deref().map(|text| day("from", text)).transpose()?.unwrap_or(first);
    let to = days.to.as_deref().map(|text| day("to", text)).transpose()?.unwrap_or(today);
    let length = (to - from).whole_days();
    if length < 0 {
        return Err(Fault::field("to", "This has to be the same day as from, or a later one."));
    }
    if length >= limits::USAGE_DAYS {
        return Err(Fault::field("from", format!("A report covers at most {} days.", limits::USAGE_DAYS)));
    }
    Ok((from, to))
}

fn day(param: &str, text: &str) -> Result<Date, Fault> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map_err(|_| Fault::field(param, "This has to be a day such as 2026-01-31."))
}

/// What a community may spend in a month, and has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BudgetAnswer {
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// First day of the month that the caps count.
    month: String,
    /// Monthly cap in micro-USD; null when there is none.
    #[schema(value_type = Option<String>)]
    limit_micro: Option<MicroUsd>,
    /// Spent this month.
    #[schema(value_type = String)]
    spent_this_month_micro: MicroUsd,
    /// Set aside by this month's answers in progress.
    #[schema(value_type = String)]
    held_this_month_micro: MicroUsd,
    /// Left under the cap; null when there is none.
    #[schema(value_type = Option<String>)]
    remaining_micro: Option<MicroUsd>,
    /// Free, over all accounts.
    #[schema(value_type = String)]
    available_micro: MicroUsd,
    /// Set aside, over all accounts.
    #[schema(value_type = String)]
    held_micro: MicroUsd,
    /// Ever charged, over all accounts.
    #[schema(value_type = String)]
    spent_micro: MicroUsd,
}

impl BudgetAnswer {
    fn new(community_id: CommunityId, budget: &Budget, today: Date) -> Self {
        let first = today.replace_day(1).expect("every month has a first day");
        // The counters turn over with the month's first hold; until then they speak of an earlier month.
        let (spent, held) =
            if budget.cap_month == first { (budget.cap_spent, budget.cap_held) } else { (0, 0) };
        Self {
            community_id,
            month: first.to_string(),
            limit_micro: budget.cap_limit.map(MicroUsd),
            spent_this_month_micro: MicroUsd(spent),
            held_this_month_micro: MicroUsd(held),
            remaining_micro: budget.cap_limit.map(|limit| MicroUsd((limit - spent - held).max(0))),
            available_micro: MicroUsd(budget.available),
            held_micro: MicroUsd(budget.held),
            spent_micro: MicroUsd(budget.spent),
        }
    }
}

/// A community's budget, for its members.
#[utoipa::path(
    get, path = "/api/v1/communities/{id}/budget", tag = "developers", operation_id = "readBudget",
    params(("id" = String, Path, description = "The community's id")),
    responses(
        (status = 200, description = "The budget", body = BudgetAnswer),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `usage`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such community, or the caller is not a member", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn budget(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let caller = match caller::standing(&app, &asked, request.headers(), READ).await {
        Ok(caller) => caller,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let missing = || Shape::not_found("There is no community of that id that this key belongs to.");
    let community = id.ok().and_then(|Path(id)| id.parse::<CommunityId>().ok());
    let Some(community) = community else { return problem::respond(missing(), &asked) };
    match domain::reports::budget(&app.ctx, caller.account, community).await {
        Ok(Some(budget)) => {
            let answer = BudgetAnswer::new(community, &budget, app.ctx.clock.now().date());
            shared::json(HeaderMap::new(), &answer)
        }
        Ok(None) => problem::respond(missing(), &asked),
        Err(error) => problem::answer(Fault::Unexpected(error), &asked),
    }
}

/// A string that has to be there.
pub(crate) fn required(param: &str, raw: Field<'_>) -> Result<String, Fault> {
    fields::text(param, raw.ok_or_else(|| Fault::field(param, "This is required: a string."))?)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn a_report_covers_this_month_unless_said_otherwise() {
        let days = |from: Option<&str>, to: Option<&str>| Days {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let today = date!(2026 - 03 - 14);
        assert_eq!(range(&days(None, None), today).expect("fine"), (date!(2026 - 03 - 01), today));
        let year = days(Some("2025-03-14"), None);
        assert_eq!(range(&year, today).expect("fine"), (date!(2025 - 03 - 14), today));
        for (from, to) in
            [("2026-03-15", "2026-03-14"), ("2024-01-01", "2026-01-01"), ("14.3.2026", "2026-03-14")]
        {
            assert!(range(&days(Some(from), Some(to)), today).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn usage_sums_its_lines_three_ways() {
        let line = |day, pool, model: &str, cost| UsageLine {
            day,
            pool: Some(pool),
            model: Some(model.to_owned()),
            requests: 1,
            prompt_tokens: 10,
            completion_tokens: 5,
            cost,
        };
        let (first, second) = (date!(2026 - 03 - 01), date!(2026 - 03 - 02));
        let lines = vec![line(first, 0, "a", 3), line(first, 1, "b", 4), line(second, 0, "a", 5)];
        let balance = ledger::report::Balance {
            minted: 100,
            available: 88,
            held: 0,
            spent: 12,
            expired: 0,
            reversed: 0,
            owed: 0,
            cap_limit: None,
            frozen: false,
        };
        let usage = Usage::from(UsageReport {
            from: first,
            to: second,
            lines,
            balance,
            sandbox: ledger::report::Balance::default(),
        });
        assert_eq!((usage.total.requests, usage.total.cost_micro), (3, MicroUsd(12)));
        assert_eq!(usage.by_day["2026-03-01"].cost_micro, MicroUsd(7));
        assert_eq!(usage.by_model["a"].cost_micro, MicroUsd(8));
        assert_eq!(usage.by_pool["standard"].requests, 1);
    }

    #[test]
    fn a_cap_of_an_earlier_month_counts_nothing() {
        let budget = Budget {
            cap_month: date!(2026 - 02 - 01),
            cap_limit: Some(100),
            cap_held: 10,
            cap_spent: 80,
            available: 5,
            held: 10,
            spent: 80,
        };
        let answer = |today| BudgetAnswer::new(CommunityId(1), &budget, today).remaining_micro;
        assert_eq!(answer(date!(2026 - 02 - 28)), Some(MicroUsd(10)));
        assert_eq!(answer(date!(2026 - 03 - 01)), Some(MicroUsd(100)));
    }
}
