//! `/admin/{community}/settings`: administrators, origins of the widget, and the record of deeds.

use std::sync::Arc;

use app::admin::{AdminRow, DeedRow, OriginRow, Settings, Tab};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::admin::Recorded;
use domain::community::{Admin, Deputy, RightFault};
use domain::embed::{self, Allowed, ListFault, Origin};
use types::Wallet;

use super::super::super::App;
use super::super::super::admin::{ROWS, next_cursor, reason_of};
use super::super::super::fault::Fault;
use super::super::super::shared::moment;
use super::super::Reader;
use super::super::form::Form;
use super::{Looking, Name, taken};

/// A field that was not taken: its name, what stood in it, and what is wrong.
type Wrong = (&'static str, String, String);

/// `GET /admin/{community}/settings`
pub(crate) async fn show(looking: Looking) -> Response {
    page(&looking, None, StatusCode::OK).await
}

async fn page(looking: &Looking, wrong: Option<Wrong>, status: StatusCode) -> Response {
    match read(looking, wrong).await {
        Ok(settings) => {
            let page = app::admin::settings(looking.reader.visit(), &looking.look(), settings);
            looking.refuse(status, page)
        }
        Err(error) => looking.failed(Fault::Unexpected(error.into())),
    }
}

async fn read(looking: &Looking, wrong: Option<Wrong>) -> Result<Settings, sqlx::Error> {
    let (ctx, id) = (&looking.app.ctx, looking.id());
    let before = looking.asking.cursor(|text| text.parse().ok());
    let admins = domain::community::admins(ctx, id).await?;
    let origins = embed::origins(ctx, id).await?;
    let mut connection = ctx.db.acquire().await?;
    let deeds = domain::admin::deeds(&mut connection, Some(id), before, ROWS).await?;
    let admin =
        |Admin { wallet, added_by, at }| AdminRow { wallet: wallet.to_string(), added_by, at: moment(at) };
    let origin =
        |Allowed { origin, added_by, at }| OriginRow { origin: origin.to_string(), added_by, at: moment(at) };
    let deed = |Recorded { at, who, what, target, reason, .. }| DeedRow {
        at: moment(at),
        who,
        what,
        target,
        reason,
    };
    Ok(Settings {
        admins: admins.into_iter().map(admin).collect(),
        origins: origins.into_iter().map(origin).collect(),
        next_cursor: next_cursor(&deeds, ROWS, |deed| deed.id.to_string()),
        deeds: deeds.into_iter().map(deed).collect(),
        wrong,
    })
}

/// `POST /admin/{community}/settings`
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    reader: Reader,
    name: Name,
    request: Request,
) -> Response {
    let (looking, form) = match taken(app, reader, &name, request).await {
        Ok(taken) => taken,
        Err(response) => return *response,
    };
    match apply(&looking, &form).await {
        Ok(word) => looking.back(Tab::Settings, word),
        Err(Refused::Wrong(wrong)) => page(&looking, Some(wrong), StatusCode::UNPROCESSABLE_ENTITY).await,
        Err(Refused::Fault(fault)) => looking.failed(fault),
    }
}

/// Why a form was not taken.
enum Refused {
    /// A field cannot be right.
    Wrong(Wrong),
    /// Anything else.
    Fault(Fault),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(Fault::Unexpected(error.into()))
    }
}

/// Does what a form asks for; the word for it in the address of the page.
async fn apply(looking: &Looking, form: &Form) -> Result<&'static str, Refused> {
    let (who, deed) = (looking.who.who(), form.field("do"));
    let (ctx, id) = (&looking.app.ctx, looking.id());
    let given = ["reason", "admin-reason", "origin-reason"].map(|name| form.field(name));
    let reason = given.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let reason = reason_of("reason", reason).map_err(Refused::Fault)?;
    let by = Deputy { who: &who, reason: &reason };
    let word = |changed: bool, word| if changed { word } else { "unchanged" };
    match deed {
        "add-admin" => {
            let wallet = wallet(form)?;
            let added = domain::community::give(ctx, id, wallet, by).await;
            added.map(|added| word(added, "admin")).map_err(|fault| not_given(form, fault))
        }
        "remove-admin" => {
            let wallet = wallet(form)?;
            let removed = domain::community::take(ctx, id, wallet, by).await;
            removed.map(|removed| word(removed, "removed")).map_err(|fault| not_given(form, fault))
        }
        "allow-origin" => {
            let origin = origin(form)?;
            let allowed = embed::allow(ctx, id, &origin, by).await;
            allowed.map(|allowed| word(allowed, "allowed")).map_err(|fault| not_listed(form, fault))
        }
        "forget-origin" => {
            let origin = origin(form)?;
            let forgotten = embed::forget(ctx, id, &origin, by).await;
            forgotten.map(|forgotten| word(forgotten, "forgotten")).map_err(|fault| not_listed(form, fault))
        }
        _ => Err(Refused::Fault(Fault::field("do", "This page has no such form. Reload it and try again."))),
    }
}

fn wrong(form: &Form, field: &'static str, message: String) -> Refused {
    Refused::Wrong((field, form.field(field).to_owned(), message))
}

fn wallet(form: &Form) -> Result<Wallet, Refused> {
    let parsed = form.field("wallet").trim().parse();
    parsed.map_err(|_| {
        wrong(
            form,
            "wallet",
            "This has to be a wallet\u{2019}s address, 0x and 40 digits, copied whole.".to_owned(),
        )
    })
}

fn origin(form: &Form) -> Result<Origin, Refused> {
    Origin::parse(form.field("origin").trim())
        .map_err(|fault| wrong(form, "origin", format!("{}.", capital(&fault.to_string()))))
}

fn not_given(form: &Form, fault: RightFault) -> Refused {
    match fault {
        RightFault::Last | RightFault::Full => {
            wrong(form, "wallet", format!("{}.", capital(&fault.to_string())))
        }
        RightFault::Unexpected(error) => error.into(),
    }
}

fn not_listed(form: &Form, fault: ListFault) -> Refused {
    match fault {
        ListFault::Full | ListFault::NoCommunity => {
            wrong(form, "origin", format!("{}.", capital(&fault.to_string())))
        }
        ListFault::Unexpected(error) => error.into(),
    }
}

/// A fault's words as the beginning of a sentence.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
