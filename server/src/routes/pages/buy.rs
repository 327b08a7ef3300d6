//! `/buy`: the choice of a pack and of the account that gets it; what comes of it is an order. Ordering is
//! `domain::order::start`, as for the API.
//!
//! Each page has a number of its own, so that a form that is sent twice is one order.

use std::sync::Arc;

use app::buy::{Offer, Pack, Purse};
use app::checkout::Proof;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use domain::flags::Flag;
use domain::order::{self, OrderError, Payer};
use domain::purse::{self, Kind};
use identity::Scope;
use serde::Deserialize;
use types::MicroUsd;

use super::super::exchange::text;
use super::super::fault::Fault;
use super::super::{App, problem};
use super::holder::{self, Holder, Refused};
use super::{Reader, checkout, form, own_path};

/// What is marked when the address does not say.
const USUAL_PACK: &str = "standard";

/// What the address of the page says.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wish {
    /// A pack.
    #[serde(default)]
    pack: String,
    /// A community.
    #[serde(default, rename = "for")]
    purse: String,
    /// Where to go when it is paid.
    #[serde(default, rename = "return")]
    back: String,
}

/// `GET /buy`
pub(crate) async fn choose_pack(
    State(app): State<Arc<App>>,
    reader: Reader,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Response {
    let Query(wish) = wish.unwrap_or_default();
    show(&app, &reader, &wish, StatusCode::OK, None).await
}

/// `POST /buy`: makes the order and leads to its checkout.
pub(crate) async fn order(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let field = |name: &str| form.field(name).trim().to_owned();
    let wish = Wish { pack: field("pack"), purse: field("for"), back: field("back") };
    let buyer = match buyer(&app, &reader, &form, &wish.purse).await {
        Ok(buyer) => buyer,
        Err(Refused::Told(status, words)) => return show(&app, &reader, &wish, status, Some(words)).await,
        Err(Refused::Fault(fault)) => return super::trouble(&reader, problem::of(fault, reader.asked())),
    };
    // Another pack from the same page is another order; the same one is the same.
    let once = format!("{}.{}", form.field("once"), wish.pack);
    let view = match order::start(&app.ctx, buyer.payer, &wish.pack, Some(&once)).await {
        Ok(view) => view,
        Err(error) => match words(error) {
            Ok((status, words)) => return show(&app, &reader, &wish, status, Some(words)).await,
            Err(error) => {
                return super::trouble(&reader, problem::of(Fault::Unexpected(error), reader.asked()));
            }
        },
    };
    match buyer.proof {
        Proof::Session => {
            let back = own_path::of(&wish.back).filter(|path| *path != "/");
            let back = back.map(|path| format!("?return={}", app::parts::encoded(path)));
            let location = format!("/checkout/{}{}", view.id, back.unwrap_or_default());
            let mut response = StatusCode::SEE_OTHER.into_response();
            response.headers_mut().insert(LOCATION, text(&location));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        // A key is not remembered, so there is nothing that the checkout could know its buyer by.
        Proof::Key => checkout::shown_to_key(&app, &reader, buyer.payer, view.id).await,
    }
}

/// Who buys, and how they say so.
struct Buyer {
    payer: Payer,
    proof: Proof,
}

async fn buyer(app: &App, reader: &Reader, form: &form::Form, slug: &str) -> Result<Buyer, Refused> {
    if let Holder::Key(standing) = holder::of(app, reader, form, &[Scope::Usage]).await? {
        return Ok(Buyer { payer: Payer { key: standing.account }, proof: Proof::Key });
    }
    let Some(session) = reader.session() else {
        let words = "Nobody is signed in any more. Sign in, or show a key of the account that buys.";
        return Err(Refused::Told(StatusCode::UNAUTHORIZED, words.to_owned()));
    };
    let payer = purse::payer(&app.ctx, session.wallet, slug).await.map_err(Fault::Unexpected)?;
    if let Some(payer) = payer {
        return Ok(Buyer { payer, proof: Proof::Session });
    }
    let words = "Choose which of your accounts gets the credits.";
    Err(Refused::Told(StatusCode::UNPROCESSABLE_ENTITY, words.to_owned()))
}

async fn show(
    app: &App,
    reader: &Reader,
    wish: &Wish,
    status: StatusCode,
    refusal: Option<String>,
) -> Response {
    let wanted = (!wish.purse.is_empty()).then_some(wish.purse.as_str());
    let purses = match reader.session() {
        Some(session) => purse::of_wallet(&app.ctx, session.wallet, wanted).await,
        None => Ok(Vec::new()),
    };
    let purses = match purses {
        Ok(purses) => purses,
        Err(error) => return super::trouble(reader, problem::of(Fault::Unexpected(error), reader.asked())),
    };
    let has_purses = !purses.is_empty();
    let packs = packs(app);
    let is_known = packs.iter().any(|pack| pack.slug == wish.pack);
    let offer = Offer {
        pack: if is_known { wish.pack.clone() } else { USUAL_PACK.to_owned() },
        packs,
        purses: purses.into_iter().map(shown).collect(),
        purse: wish.purse.clone(),
        once: app.ctx.clock.uuid_v7().to_string(),
        back: own_path::of(&wish.back).map(str::to_owned),
        refusal,
        is_open: app.ctx.flags.is_on(Flag::CryptoPayments) && app.ctx.payments.vendor.is_some(),
    };
    let page = app::buy::page(reader.visit(), offer);
    if has_purses { reader.show_private_with(status, page) } else { reader.show_with(status, page) }
}

fn packs(app: &App) -> Vec<Pack> {
    let mut packs: Vec<Pack> = app
        .ctx
        .catalog
        .packs
        .iter()
        .map(|(slug, pack)| Pack {
            slug: slug.clone(),
            name: pack.name.clone(),
            price: format!("${}", pack.price_usd),
            credits: MicroUsd(pack.credits_micro),
            bonus: MicroUsd(pack.bonus_micro()),
            expires_days: pack.expires_days,
        })
        .collect();
    packs.sort_by_key(|pack| pack.credits);
    packs
}

fn shown(purse: purse::Purse) -> Purse {
    let kind = match purse.kind {
        Kind::Developer => "your developer account",
        Kind::Member => "your account in this community",
    };
    Purse { slug: purse.slug, name: purse.name, kind, available: purse.available }
}

/// What a refused order is for a person; a surprise is none of them.
pub(super) fn words(error: OrderError) -> Result<(StatusCode, String), anyhow::Error> {
    let (status, words) = match error {
        OrderError::Off | OrderError::NotConfigured => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Buying credits is switched off here for now. Payments of earlier orders are still credited."
                .to_owned(),
        ),
        OrderError::UnknownPack(_) => {
            (StatusCode::NOT_FOUND, "There is no such pack any more. Choose one of these.".to_owned())
        }
        OrderError::UnknownCoin(_) => {
            (StatusCode::BAD_REQUEST, "This coin is not on offer. Choose one of these.".to_owned())
        }
        OrderError::BelowMinimum { minimum_usd, .. } => (
            StatusCode::CONFLICT,
            format!("This coin carries no less than ${minimum_usd}. Choose another one, or a larger pack."),
        ),
        OrderError::NoOrder => (StatusCode::NOT_FOUND, "You have no such order.".to_owned()),
        OrderError::Done(_) => (
            StatusCode::CONFLICT,
            "This order takes no further payment. To buy more, make a new one.".to_owned(),
        ),
        OrderError::TooManyOrders { retry_after_s } => {
            let minutes = retry_after_s.div_ceil(60);
            let words = format!("You have made many orders within an hour. Try again in {minutes} min.");
            (StatusCode::TOO_MANY_REQUESTS, words)
        }
        OrderError::TooManyPayments => (
            StatusCode::CONFLICT,
            "This order has as many payments as an order may have. Make a new one.".to_owned(),
        ),
        OrderError::InFlight => (
            StatusCode::CONFLICT,
            "The same request is being answered right now. Look again in a moment.".to_owned(),
        ),
        OrderError::KeyReused | OrderError::BadKey => {
            (StatusCode::CONFLICT, "This form was used before. Here is a fresh one: choose again.".to_owned())
        }
        OrderError::VendorUnavailable { retry_after_s } => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "The payment processor cannot be asked now. Nothing was bought; try again in {retry_after_s} s."
            ),
        ),
        OrderError::Unexpected(error) => return Err(error),
    };
    Ok((status, words))
}
