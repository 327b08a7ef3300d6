//! `/admin/{community}/caps`

use std::sync::Arc;

use app::admin::{AccountCap, Cap, CapForm, Caps, Tab};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use ledger::report::CappedAccount;
use time::Date;
use types::{AccountId, MicroUsd};

use super::super::super::App;
use super::super::super::admin::{ROWS, next_cursor, reason_of};
use super::super::super::fault::Fault;
use super::super::Reader;
use super::super::form::Form;
use super::{Looking, Name, taken};

/// `GET /admin/{community}/caps`
pub(crate) async fn show(looking: Looking) -> Response {
    let after = looking.asking.cursor(|text| text.parse().ok());
    page(&looking, after, CapForm::default(), StatusCode::OK).await
}

async fn page(looking: &Looking, after: Option<AccountId>, form: CapForm, status: StatusCode) -> Response {
    match read(looking, after, form).await {
        Ok(caps) => {
            let page = app::admin::caps(looking.reader.visit(), &looking.look(), caps);
            looking.refuse(status, page)
        }
        Err(error) => looking.failed(Fault::Unexpected(error)),
    }
}

async fn read(looking: &Looking, after: Option<AccountId>, form: CapForm) -> anyhow::Result<Caps> {
    let found = domain::reports::community::caps(&looking.app.ctx, looking.id(), after, ROWS).await?;
    let (budget, accounts) =
        found.ok_or_else(|| anyhow::anyhow!("a community that is administered has no book"))?;
    let month = looking.now().date().replace_day(1)?;
    let cap = |limit, counted, spent, held| of_month(month, counted, (limit, spent, held));
    let account = |account: &CappedAccount| AccountCap {
        account: account.account.to_string(),
        wallet: account.holder.clone(),
        cap: cap(Some(account.cap_limit), account.cap_month, account.cap_spent, account.cap_held),
    };
    Ok(Caps {
        month: month.to_string().chars().take("2026-01".len()).collect(),
        whole: cap(budget.cap_limit, budget.cap_month, budget.cap_spent, budget.cap_held),
        accounts: accounts.iter().map(account).collect(),
        next_cursor: next_cursor(&accounts, ROWS, |account| account.account.to_string()),
        form,
    })
}

/// Counters turn over with the month's first hold; until then they speak of an earlier month.
fn of_month(month: Date, counted: Date, (limit, spent, held): (Option<i64>, i64, i64)) -> Cap {
    let of = |amount: i64| MicroUsd(if counted == month { amount } else { 0 });
    Cap { limit: limit.map(MicroUsd), spent: of(spent), held: of(held) }
}

/// `POST /admin/{community}/caps`
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    reader: Reader,
    name: Name,
    request: Request,
) -> Response {
    let (looking, form) = match taken(app, reader, &name, request).await {
        Ok(taken) => taken,
        Err(response) => return *response,
    };
    let (limit, account, reason) = match parse(&form) {
        Ok(parsed) => parsed,
        Err(wrong) => return again(&looking, &form, wrong).await,
    };
    let who = looking.who.who();
    let cap = domain::caps::Cap { community: looking.id(), account, limit, who: &who, reason: &reason };
    match domain::caps::set(&looking.app.ctx.db, &looking.app.ctx.clock, cap).await {
        Ok(true) => looking.back(Tab::Caps, if limit.is_some() { "cap" } else { "lifted" }),
        Ok(false) => {
            let wrong =
                ("account", "This community has no such account. Numbers stand under By user.".to_owned());
            again(&looking, &form, wrong).await
        }
        Err(error) => looking.failed(Fault::Unexpected(error.into())),
    }
}

type Wrong = (&'static str, String);

fn parse(form: &Form) -> Result<(Option<MicroUsd>, Option<AccountId>, String), Wrong> {
    let (limit, account) = (form.field("limit").trim(), form.field("account").trim());
    let limit = match limit.strip_prefix('$').unwrap_or(limit) {
        "" => None,
        text => {
            let text = text.replace(',', "");
            let wrong =
                || ("limit", "This has to be dollars such as 50 or 12.50, or nothing for no cap.".to_owned());
            Some(domain::caps::dollars(&text).ok_or_else(wrong)?)
        }
    };
    let account = match account {
        "" => None,
        text => {
            let wrong = |_| ("account", "This has to be an account\u{2019}s number, or nothing.".to_owned());
            Some(text.parse().map_err(wrong)?)
        }
    };
    let reason = reason_of("reason", form.field("reason")).map_err(|fault| match fault {
        Fault::Field { message, .. } => ("reason", message),
        _ => ("reason", "Say why, for the record.".to_owned()),
    })?;
    Ok((limit, account, reason))
}

async fn again(looking: &Looking, form: &Form, wrong: Wrong) -> Response {
    let text = |name| form.field(name).to_owned();
    let form = CapForm {
        limit: text("limit"),
        account: text("account"),
        reason: text("reason"),
        wrong: Some(wrong),
    };
    page(looking, None, form, StatusCode::UNPROCESSABLE_ENTITY).await
}
