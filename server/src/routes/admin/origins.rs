//! The pages that may hold a community's chat in a frame: exact origins, read and written as one list.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::community::Deputy;
use domain::embed::{self, Allowed, ListFault, ORIGINS_AT_MOST, Origin};
use serde::{Deserialize, Serialize};
use types::CommunityId;
use utoipa::ToSchema;

use super::super::exchange::Asked;
use super::super::fault::Fault;
use super::super::fields::{self, Field};
use super::super::shared::moment;
use super::super::{App, body, limits, problem, shared};

/// The list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OriginsAnswer {
    /// Whose.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// In the order of the alphabet.
    origins: Vec<OriginAnswer>,
    /// How many a community may have.
    at_most: usize,
    /// When this was read.
    data_as_of: String,
}

/// An origin whose pages may hold the chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OriginAnswer {
    /// Scheme, host and port as a browser writes them.
    #[schema(example = "https://shop.example")]
    origin: String,
    /// `operator`, `command line`, `key:` and a key's public id, or a wallet.
    added_by: String,
    /// Since when.
    at: String,
}

impl From<Allowed> for OriginAnswer {
    fn from(allowed: Allowed) -> Self {
        Self { origin: allowed.origin.to_string(), added_by: allowed.added_by, at: moment(allowed.at) }
    }
}

/// Whose pages may embed the widget with an agent of this community.
#[utoipa::path(
    get, path = "/api/v1/admin/community/{id}/origins", tag = "admin", operation_id = "readOrigins",
    params(("id" = String, Path, description = "The community's id")),
    responses(
        (status = 200, description = "The list", body = OriginsAnswer),
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
    request: Request,
) -> Response {
    let headers = request.headers();
    let known = async {
        let (_, community) = super::of_community(&app, &asked, headers, id).await?;
        let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
        let found = domain::community::by_id(&app.ctx, community).await.map_err(unexpected)?;
        found.ok_or_else(super::no_community)?;
        let list = embed::origins(&app.ctx, community).await.map_err(unexpected)?;
        Ok(answer(&app, community, list))
    };
    match known.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

/// A list to be put in the place of the one that is.
#[derive(Deserialize, ToSchema)]
pub(crate) struct OriginsBody<'a> {
    /// All origins that may hold the widget, at most 20; an empty list: nobody.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>, required = true, max_items = 20, example = json!(["https://shop.example"]))]
    origins: Field<'a>,
    /// Why, for the record: 1 to 500 characters.
    #[serde(borrow)]
    #[schema(value_type = String, required = true)]
    reason: Field<'a>,
}

/// Says whose pages may embed the widget with an agent of this community. The list is replaced as a whole.
#[utoipa::path(
    put, path = "/api/v1/admin/community/{id}/origins", tag = "admin", operation_id = "setOrigins",
    params(("id" = String, Path, description = "The community's id")),
    request_body = OriginsBody<'static>,
    responses(
        (status = 200, description = "The list as it is now", body = OriginsAnswer),
        (status = 400, description = "A field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `admin`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such community that you administer", body = problem::Problem, content_type = "application/problem+json"),
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
        let body: OriginsBody<'_> = whole.parse()?;
        let wanted = origins(body.origins)?;
        let reason = super::reason("reason", body.reason)?;
        let by = Deputy { who: &who.who(), reason: &reason };
        match embed::replace(&app.ctx, community, &wanted, by).await {
            Ok(list) => Ok(answer(&app, community, list)),
            Err(ListFault::NoCommunity) => Err(super::no_community()),
            Err(full @ ListFault::Full) => Err(Fault::field("origins", full.to_string())),
            Err(ListFault::Unexpected(error)) => Err(Fault::Unexpected(error.into())),
        }
    };
    match done.await {
        Ok(answer) => shared::json(HeaderMap::new(), &answer),
        Err(fault) => problem::answer(fault, &asked),
    }
}

fn answer(app: &App, community: CommunityId, list: Vec<Allowed>) -> OriginsAnswer {
    OriginsAnswer {
        community_id: community,
        origins: list.into_iter().map(OriginAnswer::from).collect(),
        at_most: ORIGINS_AT_MOST,
        data_as_of: moment(app.ctx.clock.now()),
    }
}

/// The list of a body; a refusal names the entry and says what would be right.
fn origins(raw: Field<'_>) -> Result<Vec<Origin>, Fault> {
    let raw = raw.ok_or_else(|| {
        Fault::field(
            "origins",
            "This has to be an array of origins such as \"https://shop.example\"; [] allows nobody.",
        )
    })?;
    let entries = fields::list::<ORIGINS_AT_MOST>("origins", raw)?;
    let mut all = Vec::with_capacity(entries.len());
    for (place, entry) in entries.into_iter().enumerate() {
        let name = format!("origins[{place}]");
        let text = fields::text(&name, entry)?;
        let origin =
            Origin::parse(&text).map_err(|fault| Fault::field(&name, sentence(&fault.to_string())))?;
        if !all.contains(&origin) {
            all.push(origin);
        }
    }
    Ok(all)
}

/// A domain's words as a sentence of an answer.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn read(text: &str) -> Result<Vec<String>, (String, String)> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        match origins(Some(&raw)) {
            Ok(list) => Ok(list.iter().map(ToString::to_string).collect()),
            Err(Fault::Field { param, message, .. }) => Err((param, message)),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_is_read_whole_or_its_bad_entry_is_named() {
        let list = read(r#"["https://b.example", "https://a.example:8443", "https://b.example"]"#);
        assert_eq!(list, Ok(vec!["https://b.example".to_owned(), "https://a.example:8443".to_owned()]));
        assert_eq!(read("[]"), Ok(Vec::new()));
        let (param, message) = read(r#"["https://a.example", "https://*.example"]"#).expect_err("a wildcard");
        assert_eq!(param, "origins[1]");
        assert!(message.starts_with("A wildcard is no origin") && message.ends_with('.'), "{message}");
        for bad in ["{}", "\"https://a.example\"", "[1]", "[null]", "[[\"https://a.example\"]]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(origins(None).is_err());
        let many: Vec<String> = (0..=ORIGINS_AT_MOST).map(|n| format!("\"https://s{n}.example\"")).collect();
        assert!(read(&format!("[{}]", many.join(","))).is_err());
    }
}
