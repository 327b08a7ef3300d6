//! `/admin/{community}/settings`: administrators, origins of the widget, and the record of deeds.

use std::sync::Arc;

use app::admin::{AdminRow, DeedRow, OriginRow, Settings, Tab};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::admin::{Deed, Recorded};
use domain::community::{ADD_ADMIN, Admin, Deputy, REMOVE_ADMIN, RightFault};
use domain::embed::{self, Allowed, ListFault, Origin};
use types::WalletId;

use super::super::super::App;
use super::super::super::admin::{
    Asking, ConfirmationAnswer, ROWS, ask_twice, next_cursor, not_confirmed, reason_of,
};
use super::super::super::fault::Fault;
use super::super::super::problem::{self, Shape};
use super::super::super::shared::moment;
use super::super::Reader;
use super::super::form::Form;
use super::payments::once_more;
use super::{Looking, Name, pending, taken, words};

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
        Err(fault) => looking.failed(fault),
    }
}

async fn read(looking: &Looking, wrong: Option<Wrong>) -> Result<Settings, Fault> {
    let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
    let (ctx, id) = (&looking.app.ctx, looking.id());
    let before = looking.asking.cursor(|text| text.parse().ok());
    let admins = domain::community::admins(ctx, id).await.map_err(unexpected)?;
    let origins = embed::origins(ctx, id).await.map_err(unexpected)?;
    let mut connection = ctx.db.acquire().await.map_err(unexpected)?;
    let deeds = domain::admin::deeds(&mut connection, Some(id), before, ROWS).await.map_err(unexpected)?;
    drop(connection);
    let pending = pending(looking, "admin.", |row| {
        let (what, deed) = match &*row.what {
            ADD_ADMIN => ("add the administrator", "add-admin"),
            _ => ("remove the administrator", "remove-admin"),
        };
        (format!("{what} {}", row.target), vec![("do", deed.to_owned()), ("wallet", row.target.clone())])
    });
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
        pending: pending.await?,
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
    let (mut looking, form) = match taken(app, reader, &name, request).await {
        Ok(taken) => taken,
        Err(response) => return *response,
    };
    match apply(&looking, &form).await {
        Ok(Applied::Done(word)) => looking.back(Tab::Settings, word),
        Ok(Applied::Asked { answer, reason, fields }) => {
            once_more(&looking, Tab::Settings, answer, reason, fields)
        }
        Err(Refused::Wrong(wrong)) => page(&looking, Some(wrong), StatusCode::UNPROCESSABLE_ENTITY).await,
        Err(Refused::Told(shape)) => {
            let (status, told) = words(&shape);
            looking.told = Some(told);
            page(&looking, None, status).await
        }
        Err(Refused::Fault(fault)) => looking.failed(fault),
    }
}

/// What a form came to.
enum Applied {
    /// It is done; the word for it in the address of the page.
    Done(&'static str),
    /// It is a matter of rights, and was asked for the first time.
    Asked { answer: ConfirmationAnswer, reason: String, fields: Vec<(&'static str, String)> },
}

/// Why a form was not taken.
enum Refused {
    /// A field cannot be right.
    Wrong(Wrong),
    /// The page says why.
    Told(Box<Shape>),
    /// Anything else.
    Fault(Fault),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(Fault::Unexpected(error.into()))
    }
}

/// Does what a form asks for.
async fn apply(looking: &Looking, form: &Form) -> Result<Applied, Refused> {
    let (who, deed) = (looking.who.who(), form.field("do"));
    let (ctx, id) = (&looking.app.ctx, looking.id());
    let given = ["reason", "admin-reason", "origin-reason"].map(|name| form.field(name));
    let reason = given.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let reason = reason_of("reason", reason).map_err(Refused::Fault)?;
    let by = Deputy { who: &who, reason: &reason };
    match deed {
        "add-admin" | "remove-admin" => entitle(looking, form, &reason).await,
        "allow-origin" => {
            let origin = origin(form)?;
            let allowed = embed::allow(ctx, id, &origin, by).await;
            allowed.map(|allowed| Applied::of(allowed, "allowed")).map_err(|fault| not_listed(form, fault))
        }
        "forget-origin" => {
            let origin = origin(form)?;
            let forgotten = embed::forget(ctx, id, &origin, by).await;
            forgotten
                .map(|forgotten| Applied::of(forgotten, "forgotten"))
                .map_err(|fault| not_listed(form, fault))
        }
        _ => Err(Refused::Fault(Fault::field("do", "This page has no such form. Reload it and try again."))),
    }
}

impl Applied {
    fn of(is_changed: bool, word: &'static str) -> Self {
        Self::Done(if is_changed { word } else { "unchanged" })
    }
}

/// Gives or takes the right to administer. Who could change the list alone could approve a repair of money alone, by
/// taking the other away or adding a wallet of their own: so it is asked for as a repair is.
async fn entitle(looking: &Looking, form: &Form, reason: &str) -> Result<Applied, Refused> {
    let (ctx, id, name) = (&looking.app.ctx, looking.id(), looking.who.who());
    let (wallet, is_given) = (wallet(form)?, form.field("do") == "add-admin");
    let (what, will) = if is_given {
        (ADD_ADMIN, format!("let {wallet} administer this community"))
    } else {
        (REMOVE_ADMIN, format!("let {wallet} administer this community no longer"))
    };
    let target = wallet.to_string();
    let deed = Deed { who: &name, what, target: &target, reason, community: Some(id) };
    let token = form.field("confirmation").parse().ok();
    let who = match ask_twice(&looking.app, &looking.who, token, deed, will).await {
        Ok(Asking::Confirmed(who)) => who,
        Ok(Asking::First(answer)) => {
            let fields = vec![("do", form.field("do").to_owned()), ("wallet", target)];
            return Ok(Applied::Asked { answer, reason: reason.to_owned(), fields });
        }
        Ok(Asking::Wrong) => return Err(Refused::Told(Box::new(Shape::not_confirmed(not_confirmed())))),
        Err(fault) => return Err(Refused::Told(Box::new(problem::of(fault, looking.reader.asked())))),
    };
    let by = Deputy { who: &who, reason };
    let done = if is_given {
        domain::community::give(ctx, id, wallet, by).await.map(|given| Applied::of(given, "admin"))
    } else {
        domain::community::take(ctx, id, wallet, by).await.map(|taken| Applied::of(taken, "removed"))
    };
    done.map_err(|fault| not_given(form, fault))
}

fn wrong(form: &Form, field: &'static str, message: String) -> Refused {
    Refused::Wrong((field, form.field(field).to_owned(), message))
}

fn wallet(form: &Form) -> Result<WalletId, Refused> {
    let parsed = form.field("wallet").trim().parse();
    parsed.map_err(|_| {
        wrong(
            form,
            "wallet",
            "Enter a wallet\u{2019}s address: 0x and 40 digits, copied whole. For a wallet that is a contract, put its chain first, such as eip155:8453:0x\u{2026}".to_owned(),
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
