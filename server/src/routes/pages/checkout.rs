//! `/checkout/{id}`: one order, for whoever shows that it is theirs: by the session of its wallet, or by a key of its
//! account. To everybody else an order that is there and one that is not look the same.

use std::sync::Arc;

use app::checkout::{Order, Payment, Proof, Stage};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use domain::order::{self, OrderId, OrderView, Payer, PaymentView, Status};
use identity::Scope;
use serde::Deserialize;
use time::OffsetDateTime;

use super::super::exchange::text;
use super::super::fault::Fault;
use super::super::orders::order_id;
use super::super::problem::Shape;
use super::super::shared::moment;
use super::super::{App, problem};
use super::holder::{self, Holder, Refused};
use super::{Reader, buy, form, own_path};

/// What the address says beside the order.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Way {
    /// Where to go when it is paid.
    #[serde(default, rename = "return")]
    back: String,
}

/// `GET /checkout/{id}`
pub(crate) async fn look(
    State(app): State<Arc<App>>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
    way: Result<Query<Way>, QueryRejection>,
) -> Response {
    let Some(id) = order_id(id) else { return nothing(&reader) };
    let Query(way) = way.unwrap_or_default();
    let owner = match owner(&app, &reader, id).await {
        Ok(owner) => owner,
        Err(fault) => return failed(&reader, fault),
    };
    match owner {
        Some(payer) => show(&app, &reader, (payer, Proof::Session), id, &way, None).await,
        None => locked(&reader, id, None),
    }
}

/// `POST /checkout/{id}`: chooses a coin, or shows the order to a key.
pub(crate) async fn choose(
    State(app): State<Arc<App>>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
    way: Result<Query<Way>, QueryRejection>,
    request: Request,
) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let Some(id) = order_id(id) else { return nothing(&reader) };
    let Query(way) = way.unwrap_or_default();
    let who = match holder::of(&app, &reader, &form, &[Scope::Usage]).await {
        Ok(Holder::Key(standing)) => Some((Payer { key: standing.account }, Proof::Key)),
        Ok(Holder::Wallet(_) | Holder::NotSignedUp | Holder::Nobody) => {
            match owner(&app, &reader, id).await {
                Ok(payer) => payer.map(|payer| (payer, Proof::Session)),
                Err(fault) => return failed(&reader, fault),
            }
        }
        Err(Refused::Told(status, words)) => return locked(&reader, id, Some((status, words))),
        Err(Refused::Fault(fault)) => return failed(&reader, fault),
    };
    let Some(who) = who else { return locked(&reader, id, None) };
    let coin = form.field("coin").trim();
    if coin.is_empty() {
        return show(&app, &reader, who, id, &way, None).await;
    }
    match order::choose(&app.ctx, who.0, id, coin).await {
        Ok(_) if who.1 == Proof::Session => {
            let mut response = StatusCode::SEE_OTHER.into_response();
            response.headers_mut().insert(LOCATION, text(&reader.visit().path));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Ok(_) => show(&app, &reader, who, id, &way, None).await,
        Err(error) => match buy::words(error) {
            Ok(refusal) => show(&app, &reader, who, id, &way, Some(refusal)).await,
            Err(error) => failed(&reader, Fault::Unexpected(error)),
        },
    }
}

/// An order to whoever has just made it with a key.
pub(super) async fn shown_to_key(app: &App, reader: &Reader, payer: Payer, id: OrderId) -> Response {
    show(app, reader, (payer, Proof::Key), id, &Way::default(), None).await
}

/// The account of the order, when the wallet that is signed in has it.
async fn owner(app: &App, reader: &Reader, id: OrderId) -> Result<Option<Payer>, Fault> {
    let Some(session) = reader.session() else { return Ok(None) };
    let payer = order::payer_of(&app.ctx, session.wallet, id).await;
    payer.map_err(|error| Fault::Unexpected(error.into()))
}

async fn show(
    app: &App,
    reader: &Reader,
    (payer, proof): (Payer, Proof),
    id: OrderId,
    way: &Way,
    refusal: Option<(StatusCode, String)>,
) -> Response {
    let view = match order::view(&app.ctx, payer, id).await {
        Ok(Some(view)) => view,
        // A key of another account: it learns as much as from an order that was never made.
        Ok(None) => {
            return locked(
                reader,
                id,
                Some((StatusCode::NOT_FOUND, "This account has no such order.".to_owned())),
            );
        }
        Err(error) => return failed(reader, Fault::Unexpected(error.into())),
    };
    let balance = match domain::reports::balance(&app.ctx, payer.key).await {
        Ok(balance) => balance.map(|balance| types::MicroUsd(balance.available)),
        Err(error) => return failed(reader, Fault::Unexpected(error)),
    };
    let back = match back(app, reader, payer, way).await {
        Ok(back) => back,
        Err(fault) => return failed(reader, fault),
    };
    let now = app.ctx.clock.now();
    let order =
        Order { balance, back, simulator: app.ctx.payments.simulator.clone(), ..shape(app, view, now) };
    let (status, words) = refusal.map_or((StatusCode::OK, None), |(status, words)| (status, Some(words)));
    reader.show_private_with(status, app::checkout::page(reader.visit(), &order, proof, words))
}

/// Where a buyer goes when all is done.
async fn back(app: &App, reader: &Reader, payer: Payer, way: &Way) -> Result<(String, String), Fault> {
    if let Some(path) = own_path::of(&way.back) {
        return Ok((path.to_owned(), "Back to where you were".to_owned()));
    }
    let is_developers = match holder::signed_in(app, reader).await? {
        Holder::Wallet(standing) => standing.account == payer.key,
        Holder::NotSignedUp => false,
        Holder::Key(_) | Holder::Nobody => true,
    };
    Ok(if is_developers {
        ("/developers/account".to_owned(), "Usage and keys".to_owned())
    } else {
        ("/account".to_owned(), "Your account".to_owned())
    })
}

fn shape(app: &App, view: OrderView, now: OffsetDateTime) -> Order {
    let name =
        app.ctx.catalog.packs.get(&view.pack).map_or_else(|| view.pack.clone(), |pack| pack.name.clone());
    Order {
        id: view.id.to_string(),
        pack: name,
        price: format!("${}", view.price_amount),
        credits: view.credits_micro,
        bonus: view.bonus_micro,
        stage: stage(&view),
        text: view.text,
        coins: view.coins.offered.into_iter().map(|coin| (coin.coin, coin.minimum_usd)).collect(),
        coins_complete: view.coins.is_complete,
        payment: view.payment.map(|payment| payment_of(payment, now)),
        simulator: None,
        balance: None,
        back: (String::new(), String::new()),
        read_at: moment(now),
    }
}

fn stage(view: &OrderView) -> Stage {
    match (view.status, &view.payment) {
        (Status::Waiting, Some(payment)) if payment.pay_address.is_some() => Stage::Pay,
        (Status::Waiting, Some(_) | None) => Stage::Choose,
        (Status::Confirming | Status::Confirmed | Status::Sending, _) => Stage::Moving,
        (Status::Expired, _) => Stage::Expired,
        (Status::Failed, _) => Stage::Failed,
        (Status::PartiallyPaid, _) => Stage::Underpaid,
        (Status::Finished, _) => Stage::Finished,
        (Status::Refunded, _) => Stage::Refunded,
    }
}

fn payment_of(payment: PaymentView, now: OffsetDateTime) -> Payment {
    Payment {
        missing: payment.missing(),
        id: payment.id,
        coin: payment.coin.unwrap_or_default(),
        network: payment.network,
        address: payment.pay_address,
        memo: payment.memo,
        amount: payment.pay_amount,
        came: payment.actually_paid,
        is_over: payment.expires_at.is_some_and(|until| until <= now),
        until: payment.expires_at.map(moment),
    }
}

fn locked(reader: &Reader, id: OrderId, refusal: Option<(StatusCode, String)>) -> Response {
    // A wallet that is signed in and has no such order is told so; a stranger is asked who they are.
    let refusal = refusal.or_else(|| {
        reader.session().map(|_| {
            let words =
                "The wallet that is signed in has no such order. If another one made it, sign in with that.";
            (StatusCode::NOT_FOUND, words.to_owned())
        })
    });
    let (status, words) =
        refusal.map_or((StatusCode::UNAUTHORIZED, None), |(status, words)| (status, Some(words)));
    reader.show_with(status, app::checkout::locked(reader.visit(), &id.to_string(), words))
}

fn nothing(reader: &Reader) -> Response {
    super::trouble(
        reader,
        Shape::not_found("There is no order of this number. Check that the address is whole."),
    )
}

fn failed(reader: &Reader, fault: Fault) -> Response {
    super::trouble(reader, problem::of(fault, reader.asked()))
}
