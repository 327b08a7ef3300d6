//! The administrators' doors: money of a community, payments that hang, reviews, caps, grants, and the record of deeds.
//!
//! What always holds: a key with the scope `admin` sees its own community, a signed-in wallet those that it administers,
//! and another one's is simply not there; the operator's token sees all; whatever changes something is recorded with who did it and why. Deliberately
//! absent: rules about money (`domain`, `ledger`), and any door that edits the books: a mistake is mended by a new move.

pub(crate) mod actions;
pub(crate) mod agents;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod billing;
pub(crate) mod caps;
pub(crate) mod conservation;
pub(crate) mod enforcement;
pub(crate) mod grants;
pub(crate) mod origins;
pub(crate) mod payments;
pub(crate) mod reviews;
pub(crate) mod usage;

use axum::extract::Path;
use axum::extract::Query;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::HeaderMap;
use domain::admin::{By, CONFIRM_WITHIN, Confirmation, Deed, REASON_CHARACTERS_AT_MOST};
use domain::administrator::{RequestError, Requested};
use serde::{Deserialize, Serialize};
use types::CommunityId;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::App;
use super::accounts::required;
use super::caller::{self, Access, Administrator, Claimant};
use super::exchange::Asked;
use super::fault::Fault;
use super::fields::{self, Field};
use super::sentences;
use super::shared::moment;

/// Who may call most of these doors.
pub(crate) const ACCESS: Access = Access::Admin;
/// Who may make money out of nothing.
pub(crate) const OPERATOR: Access = Access::OperatorToken;

/// Rows of a page when the caller names no number: a screen or two.
pub(crate) const ROWS: i64 = 50;
/// Rows of a page at most: an answer stays below a megabyte.
const ROWS_AT_MOST: i64 = 200;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// `next_cursor` of the page before; the first page when absent.
    pub(crate) cursor: Option<String>,
    /// Rows of a page, 1 to 200; 50 when absent.
    limit: Option<String>,
}

impl Paging {
    /// How many rows.
    pub(crate) fn limit(&self) -> Result<i64, Fault> {
        let Some(text) = &self.limit else { return Ok(ROWS) };
        let limit = text.parse().ok().filter(|limit| (1..=ROWS_AT_MOST).contains(limit));
        limit.ok_or_else(|| {
            Fault::field("limit", format!("This has to be a whole number from 1 to {ROWS_AT_MOST}."))
        })
    }

    /// Where the page begins, as `read` understands it.
    pub(crate) fn cursor<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Fault> {
        let wrong =
            || Fault::field("cursor", "This has to be the next_cursor of an earlier page of this list.");
        self.cursor.as_deref().map(|text| read(text).ok_or_else(wrong)).transpose()
    }
}

/// The next page's cursor: none when this page is not full.
pub(crate) fn next_cursor<T>(rows: &[T], limit: i64, of: impl Fn(&T) -> String) -> Option<String> {
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    rows.last().filter(|_| is_full).map(of)
}

/// A query of this list.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Fault> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(_) => {
            Err(Fault::field("query", "Each parameter may come once. /docs lists those of this address."))
        }
    }
}

/// Who administers the community of the path. Another's community is not there.
pub(crate) async fn of_community(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<(Administrator, CommunityId), Fault> {
    let claimant = caller::claimant(app, asked, headers).await?;
    let id = id.ok().and_then(|Path(id)| id.parse::<CommunityId>().ok()).ok_or_else(no_community)?;
    let who = claimant.of(app, id).await?.ok_or_else(no_community)?;
    Ok((who, id))
}

/// Whose things a list shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfWhom {
    /// One community only. A wallet that administers several has to name one.
    community: Option<String>,
}

/// Who asks for a list over communities, and of which one; `None`: of all, which is the operator's to ask.
pub(crate) async fn of_list(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    of: &OfWhom,
) -> Result<Option<CommunityId>, Fault> {
    let claimant = caller::claimant(app, asked, headers).await?;
    let wrong = || Fault::field("community", "This has to be a community's id.");
    let named = of.community.as_deref().map(|text| text.parse::<CommunityId>().map_err(|_| wrong()));
    let community = match (named.transpose()?, &claimant) {
        (Some(named), _) => named,
        (None, Claimant::Operator) => return Ok(None),
        (None, Claimant::Key(key)) => key.community,
        (None, Claimant::Wallet(session)) => {
            let theirs = domain::community::administered_by(&app.ctx, session.wallet).await;
            match theirs.map_err(|error| Fault::Unexpected(error.into()))?.as_slice() {
                [] => return Err(no_community()),
                [only] => only.id,
                [_, _, ..] => {
                    let message = "You administer several communities: name one, as ?community=ID.";
                    return Err(Fault::field("community", message));
                }
            }
        }
    };
    match claimant.of(app, community).await? {
        Some(_) => Ok(Some(community)),
        None => Err(no_community()),
    }
}

pub(crate) fn no_community() -> Fault {
    Fault::NotFound { message: "There is no community of that id that you administer.".to_owned() }
}

/// Why something is done: a text that the record keeps.
pub(crate) fn reason(param: &str, raw: Field<'_>) -> Result<String, Fault> {
    reason_of(param, &required(param, raw)?)
}

/// [`reason`], from a form.
pub(crate) fn reason_of(param: &str, text: &str) -> Result<String, Fault> {
    let text = text.trim();
    let fits = (1..=REASON_CHARACTERS_AT_MOST).contains(&text.chars().count());
    if !fits || text.chars().any(types::text::is_control) {
        let message = format!(
            "This has to say why, in 1 to {REASON_CHARACTERS_AT_MOST} characters without line ends: the record keeps it.",
        );
        return Err(Fault::field(param, message));
    }
    Ok(text.to_owned())
}

/// A first request, answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfirmationAnswer {
    /// Send the same request again with this as `confirmation`.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) confirmation: Uuid,
    /// Whether another administrator of the community has to send it. What a key asks for, a wallet confirms.
    pub(crate) by_another: bool,
    /// Until when it serves: five minutes, or a day for another administrator.
    pub(crate) expires_at: String,
    /// What will be done, in words.
    pub(crate) will: String,
}

/// Whether a repair of money may be done now.
pub(crate) enum Asking {
    /// It was asked for a second time, with the token: do it, in the name of these.
    Confirmed(String),
    /// It was asked for the first time: this is the answer.
    First(ConfirmationAnswer),
    /// It came with a token that does not serve.
    Wrong,
}

/// What a request for a repair came to.
pub(crate) enum Repaired<T> {
    /// It was the first: this is what to confirm.
    First(ConfirmationAnswer),
    /// It was the second, and this was done.
    Done(T),
}

/// The token of the second request, if it is one.
pub(crate) fn confirmation(raw: Field<'_>) -> Result<Option<Uuid>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let text = fields::text("confirmation", raw)?;
    let wrong = || Fault::field("confirmation", "This has to be the confirmation of the first answer.");
    text.parse().map(Some).map_err(|_| wrong())
}

/// Asks for a confirmation, or uses one up. A wallet has to have signed in within the last minutes.
pub(crate) async fn ask_twice(
    app: &App,
    who: &Administrator,
    token: Option<Uuid>,
    deed: Deed<'_>,
    will: String,
) -> Result<Asking, Fault> {
    match domain::administrator::request(&app.ctx, who, token, deed).await {
        Ok(Requested::First(confirmation, by)) => Ok(Asking::First(first_answer(confirmation, by, will))),
        Ok(Requested::Confirmed(names)) => Ok(Asking::Confirmed(names)),
        Ok(Requested::NotConfirmed) => Ok(Asking::Wrong),
        Err(RequestError::NotFresh) => Err(Fault::SessionOver { message: sentences::SESSION_NOT_FRESH }),
        Err(RequestError::Unexpected(error)) => Err(Fault::Unexpected(error.into())),
    }
}

/// What is answered to a first request.
pub(crate) fn first_answer(confirmation: Confirmation, by: By, will: String) -> ConfirmationAnswer {
    ConfirmationAnswer {
        confirmation: confirmation.token,
        by_another: by == By::Another,
        expires_at: moment(confirmation.expires_at),
        will,
    }
}

/// What is said of a token that does not serve.
pub(crate) fn not_confirmed() -> String {
    format!(
        "The confirmation does not serve: it was used, is older than {} minutes, was given for another request, or \
         another administrator has to send it. A key asks and never confirms: an administrator's wallet does. Ask \
         without a confirmation for a new one, and send the same reason with it.",
        CONFIRM_WITHIN.whole_minutes()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_size_within_bounds_and_a_next_one_when_it_is_full() {
        let paging = |limit: Option<&str>| Paging { cursor: None, limit: limit.map(str::to_owned) };
        assert_eq!(paging(None).limit().expect("the usual"), ROWS);
        assert_eq!(paging(Some("200")).limit().expect("the most"), 200);
        for bad in ["0", "201", "-1", "ten", ""] {
            assert!(paging(Some(bad)).limit().is_err(), "{bad}");
        }
        assert_eq!(next_cursor(&[1, 2], 2, ToString::to_string), Some("2".to_owned()));
        assert_eq!(next_cursor(&[1], 2, ToString::to_string), None);
        assert_eq!(next_cursor(&[] as &[i32], 2, ToString::to_string), None);
    }

    #[test]
    fn a_cursor_is_an_earlier_answers() {
        let paging = |cursor: &str| Paging { cursor: Some(cursor.to_owned()), limit: None };
        let read = |text: &str| text.parse::<i64>().ok();
        assert_eq!(paging("7").cursor(read).expect("sound"), Some(7));
        assert!(paging("seven").cursor(read).is_err());
    }
}
