//! `/admin/{community}/payments`: what hangs, and the repair of a payment, which is the API's own.

use std::sync::Arc;

use app::admin::{PaymentRow, Payments, Repair, Tab};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::order::{self, StuckPayment};
use domain::reports::community::BillingQuery;
use types::MicroUsd;

use super::super::super::App;
use super::super::super::admin::payments::{RECONCILE, cursor_of, read_cursor, repair as ask};
use super::super::super::admin::{ConfirmationAnswer, ROWS, Repaired, next_cursor, reason_of};
use super::super::super::caller::Claimant;
use super::super::super::fault::Fault;
use super::super::super::problem;
use super::super::super::shared::moment;
use super::super::Reader;
use super::{Looking, Name, pending, taken, words};

/// `GET /admin/{community}/payments`
pub(crate) async fn show(looking: Looking) -> Response {
    page(&looking, StatusCode::OK).await
}

async fn page(looking: &Looking, status: StatusCode) -> Response {
    match read(looking).await {
        Ok(payments) => {
            let page = app::admin::payments(looking.reader.visit(), &looking.look(), payments);
            looking.refuse(status, page)
        }
        Err(fault) => looking.failed(fault),
    }
}

async fn read(looking: &Looking) -> Result<Payments, Fault> {
    let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
    let (ctx, id) = (&looking.app.ctx, looking.id());
    let query = BillingQuery { account: None, lots_before: None, history_before: None, limit: 0 };
    let billing = domain::reports::community::billing(ctx, id, query).await.map_err(Fault::Unexpected)?;
    let after = looking.asking.cursor(read_cursor);
    let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
    let mut connection = ctx.db.acquire().await.map_err(unexpected)?;
    let stuck = order::stuck(&mut connection, &ctx.clock, Some(id), after, ROWS).await.map_err(unexpected)?;
    drop(connection);
    let pending = pending(looking, RECONCILE, |row| {
        let what = format!("reconcile payment {}", row.target);
        (what, vec![("payment", row.target.clone())])
    });
    let origins = billing.map(|billing| billing.origins).unwrap_or_default();
    let origin = |origin: &ledger::report::Origin| {
        let (credited, left) = (MicroUsd(origin.minted), MicroUsd(origin.remaining));
        (origin.source.as_str(), origin.lots, credited, left)
    };
    Ok(Payments {
        origins: origins.iter().map(origin).collect(),
        next_cursor: next_cursor(&stuck, ROWS, cursor_of),
        stuck: stuck.into_iter().map(row).collect(),
        pending: pending.await?,
    })
}

fn row(payment: StuckPayment) -> PaymentRow {
    let coin = payment.coin.unwrap_or_default();
    let coins = match (payment.actually_paid, payment.pay_amount) {
        (Some(came), Some(asked)) => format!("{came} of {asked} {coin}"),
        (Some(came), None) => format!("{came} {coin}"),
        (None, Some(asked)) => format!("{asked} {coin} asked for"),
        (None, None) => coin,
    };
    PaymentRow {
        payment: payment.payment_id,
        account: payment.account.to_string(),
        status: payment.status.as_str(),
        is_paid: payment.is_paid,
        coins,
        deposit_at: moment(payment.deposit_at),
        polled_at: payment.polled_at.map(moment),
    }
}

/// `POST /admin/{community}/payments`
pub(crate) async fn repair(
    State(app): State<Arc<App>>,
    reader: Reader,
    name: Name,
    request: Request,
) -> Response {
    let (mut looking, form) = match taken(app, reader, &name, request).await {
        Ok(taken) => taken,
        Err(response) => return *response,
    };
    let asked = looking.reader.asked().clone();
    let payment = form.field("payment").trim().to_owned();
    let repaired = match reason_of("reason", form.field("reason")) {
        Ok(reason) => {
            let claimant = Claimant::Wallet(Arc::clone(&looking.session));
            let token = form.field("confirmation").parse().ok();
            let done = ask(&looking.app, &asked, claimant, &payment, &reason, token).await;
            done.map(|done| (done, reason))
        }
        Err(fault) => Err(problem::of(fault, &asked)),
    };
    match repaired {
        Ok((Repaired::First(answer), reason)) => {
            let fields = vec![("payment", payment)];
            once_more(&looking, Tab::Payments, answer, reason, fields)
        }
        Ok((Repaired::Done(answer), _)) => {
            looking.back(Tab::Payments, if answer.is_held_up { "held-up" } else { "reconciled" })
        }
        Err(shape) => {
            let (status, told) = words(&shape);
            looking.told = Some(told);
            page(&looking, status).await
        }
    }
}

/// The page between the two requests of a repair.
pub(super) fn once_more(
    looking: &Looking,
    tab: Tab,
    answer: ConfirmationAnswer,
    reason: String,
    mut fields: Vec<(&'static str, String)>,
) -> Response {
    fields.push(("reason", reason.clone()));
    fields.push(("confirmation", answer.confirmation.to_string()));
    let ConfirmationAnswer { will, expires_at, by_another, .. } = answer;
    let repair = Repair { tab, will, reason, until: expires_at, fields, by_another };
    looking.show(app::admin::repair(looking.reader.visit(), &looking.look(), repair))
}
