//! Credits that the operator gives to an account.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::grants::{Grant, GrantError};
use ledger::{AccountKey, NEVER};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::{AccountId, CommunityId, MicroUsd};
use utoipa::ToSchema;

use super::super::accounts::required;
use super::super::caller::Administrator;
use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::fields::{self, Field};
use super::super::problem::{self, Shape};
use super::super::shared::moment;
use super::super::{App, body, idempotent, limits, shared};

/// A grant.
#[derive(Deserialize, ToSchema)]
pub(crate) struct GrantBody<'a> {
    /// The account that gets it.
    #[serde(borrow)]
    #[schema(value_type = String, required = true)]
    account_id: Field<'a>,
    /// Micro-USD, as a decimal string.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "5000000")]
    amount_micro: Field<'a>,
    /// Why, for the record: 1 to 500 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true)]
    reason: Field<'a>,
    /// Until when it can be spent (RFC 3339); for ever when absent.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Field<'a>,
}

/// What was given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantAnswer {
    /// The lot.
    lot_id: String,
    /// The community.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// The account.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// Micro-USD.
    #[schema(value_type = String)]
    amount_micro: MicroUsd,
    /// Until when it can be spent; null: for ever.
    expires_at: Option<String>,
}

/// Gives credits to an account of the community. The same key gives once, whenever it comes again.
#[utoipa::path(
    post, path = "/api/v1/admin/community/{id}/grants", tag = "admin", operation_id = "grantCredits",
    params(
        ("id" = String, Path, description = "The community's id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 printable characters of your own"),
    ),
    request_body = GrantBody<'static>,
    responses(
        (status = 201, description = "Given, now or before", body = GrantAnswer),
        (status = 400, description = "The key or a field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "Only the operator grants credits, or the account is frozen", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "The community has no such account", body = problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key was used for another grant", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Minting is stopped while the books are checked", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let (who, community) = match super::of_community(&app, &asked, &parts.headers, id).await {
        Ok(known) => known,
        Err(fault) => return problem::answer(fault, &asked),
    };
    if !matches!(who, Administrator::Operator) {
        let detail = "Only the operator gives credits that nobody paid for. Ask for a grant, or buy a pack.";
        return problem::respond(Shape::forbidden(detail), &asked);
    }
    let read = async {
        let key = idempotent::required_key_of(&parts.headers)?;
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: GrantBody<'_> = whole.parse()?;
        let amount = micro("amount_micro", body.amount_micro)?;
        if amount <= MicroUsd::ZERO {
            return Err(Fault::field("amount_micro", "This has to be more than nothing."));
        }
        let account = required("account_id", body.account_id)?.parse::<AccountId>();
        let account =
            account.map_err(|_| Fault::field("account_id", "This has to be an account's number."))?;
        let expires_at = body.expires_at.map(|raw| moment_of("expires_at", raw, app.ctx.clock.now()));
        let reason = super::reason("reason", body.reason)?;
        Ok((key, account, amount, expires_at.transpose()?, reason))
    };
    let (key, account, amount, expires_at, reason) = match read.await {
        Ok(read) => read,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let name = who.who();
    let grant = Grant {
        key: AccountKey { community, account },
        amount,
        expires_at: expires_at.unwrap_or(NEVER),
        idempotency_key: &key,
        who: &name,
        reason: &reason,
    };
    match domain::grants::give(&app.ctx.db, &app.ctx.clock, grant).await {
        Ok(lot) => {
            let answer = GrantAnswer {
                lot_id: lot.to_string(),
                community_id: community,
                account_id: account,
                amount_micro: amount,
                expires_at: expires_at.map(moment),
            };
            shared::json_with(StatusCode::CREATED, HeaderMap::new(), &answer)
        }
        Err(error) => refused(error, &asked),
    }
}

fn refused(error: GrantError, asked: &Asked) -> Response {
    let shape = match error {
        GrantError::NoAccount => Shape::not_found("The community has no such account."),
        GrantError::Frozen => Shape::frozen(),
        GrantError::MintingStopped => Shape::minting_stopped(),
        GrantError::KeyReused => Shape::key_reused(),
        GrantError::BadAmount => Shape::invalid("amount_micro", "This does not fit the account."),
        GrantError::Unexpected(error) => return problem::answer(Fault::Unexpected(error), asked),
    };
    problem::respond(shape, asked)
}

/// Micro-USD, as a decimal string.
pub(super) fn micro(param: &str, raw: Field<'_>) -> Result<MicroUsd, Fault> {
    let wrong = || Fault::field(param, "This has to be a decimal string of micro-USD, such as \"5000000\".");
    let text = required(param, raw)?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).map(MicroUsd).ok_or_else(wrong)
}

fn moment_of(
    param: &str,
    raw: &serde_json::value::RawValue,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, Fault> {
    let wrong = || Fault::field(param, "This has to be a moment to come, such as 2027-01-31T00:00:00Z.");
    let at = OffsetDateTime::parse(&fields::text(param, raw)?, &Rfc3339).map_err(|_| wrong())?;
    // A lot's id stands for its end too: what PostgreSQL would cut is cut here.
    let at = at.replace_nanosecond(at.nanosecond() / 1_000 * 1_000).map_err(|_| wrong())?;
    if at > now && at <= NEVER { Ok(at) } else { Err(wrong()) }
}
