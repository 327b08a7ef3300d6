//! Buying credits: the packs, an order, the choice of a coin, and how an order stands.
//!
//! An order is its buyer's alone: whoever asks with another account's key, or as another wallet, is told that there is
//! none. Deliberately absent: the checkout page (`app`), and notices of payments (`webhook`).

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::flags::Flag;
use domain::order::{self, OrderError, OrderId, OrderView, Payer, PaymentView};
use domain::reports::account_of;
use identity::{Scope, Session};
use serde::{Deserialize, Serialize};
use types::MicroUsd;
use utoipa::ToSchema;

use super::accounts::required;
use super::caller::{self, Access, Caller};
use super::exchange::Asked;
use super::fault::Fault;
use super::fields::{self, Field};
use super::problem::{self, Shape};
use super::shared::{self, moment};
use super::{App, body, idempotent, limits};

/// Who may order and look: a key that may read the account's money, or a wallet that is signed in.
pub(crate) const ACCESS: Access = Access::SessionOrKey(Scope::Usage);

/// What can be bought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PackList {
    /// Whether orders are taken now.
    is_open: bool,
    /// The packs, cheapest first.
    packs: Vec<PackAnswer>,
}

/// A pack of credits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PackAnswer {
    /// What an order names.
    pack: String,
    /// What buyers read.
    name: String,
    /// The price in USD, as decimal text.
    price_usd: String,
    /// Micro-USD of credit that are bought.
    #[schema(value_type = String)]
    credits_micro: MicroUsd,
    /// Micro-USD of credit that come on top.
    #[schema(value_type = String)]
    bonus_micro: MicroUsd,
    /// Days after which the credits expire; null: never.
    expires_days: Option<u16>,
}

/// The packs that can be bought.
#[utoipa::path(
    get, path = "/api/v1/packs", tag = "payments", operation_id = "listPacks",
    responses((status = 200, description = "The packs", body = PackList))
)]
pub(crate) async fn packs(State(app): State<Arc<App>>) -> Response {
    let mut packs: Vec<PackAnswer> = app
        .ctx
        .catalog
        .packs
        .iter()
        .map(|(slug, pack)| PackAnswer {
            pack: slug.clone(),
            name: pack.name.clone(),
            price_usd: pack.price_usd.clone(),
            credits_micro: MicroUsd(pack.credits_micro),
            bonus_micro: MicroUsd(pack.bonus_micro()),
            expires_days: pack.expires_days,
        })
        .collect();
    packs.sort_by_key(|pack| pack.credits_micro);
    let is_open = app.ctx.flags.is_on(Flag::CryptoPayments) && app.ctx.payments.vendor.is_some();
    shared::json(HeaderMap::new(), &PackList { is_open, packs })
}

/// An order to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct OrderBody<'a> {
    /// A pack of `GET /api/v1/packs`.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "standard")]
    pack: Field<'a>,
    /// For a wallet: the community, by its slug, in which its account gets the credits; its developer's account when
    /// absent. A key buys for its own account.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    community: Field<'a>,
}

/// The choice of a coin.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChoiceBody<'a> {
    /// A coin that the order offers.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "btc")]
    currency: Field<'a>,
}

/// An order as its buyer sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderAnswer {
    /// The order.
    id: String,
    /// The pack.
    pack: String,
    /// `waiting`, `confirming`, `confirmed`, `sending`, `expired`, `failed`, `partially_paid`, `finished` or `refunded`.
    status: &'static str,
    /// The same in a sentence.
    text: String,
    /// Whether the credits are in the account.
    is_credited: bool,
    /// The price, as decimal text.
    price_amount: String,
    /// The price's currency.
    price_currency: String,
    /// Micro-USD of credit that are bought.
    #[schema(value_type = String)]
    credits_micro: MicroUsd,
    /// Micro-USD of credit that come on top.
    #[schema(value_type = String)]
    bonus_micro: MicroUsd,
    /// When it was made.
    created_at: String,
    /// How to pay; null until a coin is chosen.
    payment: Option<PaymentAnswer>,
    /// Coins on offer, when a payment is still wanted.
    coins: Vec<CoinAnswer>,
    /// Whether the processor answered for every coin; false: there may be more in a minute.
    coins_complete: bool,
}

/// How to pay, and what came.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentAnswer {
    /// The processor's id of it.
    id: String,
    /// As of the order.
    status: &'static str,
    /// The coin.
    currency: Option<String>,
    /// The chain that the coins travel on.
    network: Option<String>,
    /// Where to pay.
    pay_address: Option<String>,
    /// The memo or destination tag: without it the deposit is lost. Null for coins that have none.
    memo: Option<String>,
    /// How many coins, as decimal text.
    pay_amount: Option<String>,
    /// How many came, as decimal text.
    actually_paid: Option<String>,
    /// Until when the amount holds.
    expires_at: Option<String>,
}

/// A coin on offer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CoinAnswer {
    /// What a choice names.
    currency: String,
    /// The least that it can carry, in USD, as decimal text.
    minimum_usd: String,
}

impl From<OrderView> for OrderAnswer {
    fn from(view: OrderView) -> Self {
        let coin = |coin: order::Coin| CoinAnswer { currency: coin.coin, minimum_usd: coin.minimum_usd };
        Self {
            id: view.id.to_string(),
            pack: view.pack,
            status: view.status.as_str(),
            text: view.text,
            is_credited: view.is_credited,
            price_amount: view.price_amount,
            price_currency: view.price_currency,
            credits_micro: view.credits_micro,
            bonus_micro: view.bonus_micro,
            created_at: moment(view.created_at),
            payment: view.payment.map(PaymentAnswer::from),
            coins: view.coins.offered.into_iter().map(coin).collect(),
            coins_complete: view.coins.is_complete,
        }
    }
}

impl From<PaymentView> for PaymentAnswer {
    fn from(view: PaymentView) -> Self {
        Self {
            id: view.id,
            status: view.status.as_str(),
            currency: view.coin,
            network: view.network,
            pay_address: view.pay_address,
            memo: view.memo,
            pay_amount: view.pay_amount,
            actually_paid: view.actually_paid,
            expires_at: view.expires_at.map(moment),
        }
    }
}

/// Orders a pack. No payment is made yet: that is the choice of a coin.
#[utoipa::path(
    post, path = "/api/v1/orders", tag = "payments", operation_id = "createOrder",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable characters of your own; the same key gets the same answer for 24 hours")),
    request_body = OrderBody<'static>,
    responses(
        (status = 201, description = "The order", body = OrderAnswer),
        (status = 400, description = "The key or a field cannot be right", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `usage`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such pack, or no account of the wallet to buy for", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The same request is being answered right now", body = problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key was used for another order", body = problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many orders in an hour, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Buying credits is switched off; old orders still credit", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let read = async {
        let (caller, incoming) = caller_before(&app, &asked, &parts.headers, incoming).await?;
        let idempotency_key = idempotent::required_key_of(&parts.headers)?;
        let whole = body::read(
            &app.budgets.bodies,
            caller.client(&asked),
            &parts,
            incoming,
            limits::SMALL_BODY_BYTES,
        )
        .await?;
        let body: OrderBody<'_> = whole.parse()?;
        let pack = required("pack", body.pack)?;
        let community = body.community.map(|raw| fields::text("community", raw)).transpose()?;
        Ok((buyer(&app, &caller, community.as_deref()).await?, idempotency_key, pack))
    };
    let (payer, idempotency_key, pack) = match read.await {
        Ok(read) => read,
        Err(fault) => return problem::answer(fault, &asked),
    };
    match order::start(&app.ctx, payer, &pack, Some(&idempotency_key)).await {
        Ok(view) => shared::json_with(StatusCode::CREATED, HeaderMap::new(), &OrderAnswer::from(view)),
        Err(error) => refused(error, &asked),
    }
}

/// How an order stands, and what it can be paid in.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "payments", operation_id = "readOrder",
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "The order", body = OrderAnswer),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `usage`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "The account has no such order", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let caller = match caller::session_or_key(&app, &asked, request.headers(), ACCESS).await {
        Ok(caller) => caller,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let Some(id) = order_id(id) else { return refused(OrderError::NoOrder, &asked) };
    let payer = match owner(&app, &caller, id).await {
        Ok(Some(payer)) => payer,
        Ok(None) => return refused(OrderError::NoOrder, &asked),
        Err(fault) => return problem::answer(fault, &asked),
    };
    match order::view(&app.ctx, payer, id).await {
        Ok(Some(view)) => shared::json(HeaderMap::new(), &OrderAnswer::from(view)),
        Ok(None) => refused(OrderError::NoOrder, &asked),
        Err(error) => problem::answer(Fault::Unexpected(error.into()), &asked),
    }
}

/// Chooses the coin to pay an order in. The same coin again is the same payment; another one another payment.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/payment", tag = "payments", operation_id = "choosePayment",
    params(("id" = String, Path, description = "The order")),
    request_body = ChoiceBody<'static>,
    responses(
        (status = 200, description = "The order, with where and how much to pay", body = OrderAnswer),
        (status = 400, description = "The coin is not on offer", body = problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key and nobody signed in, or not a valid one", body = problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `usage`", body = problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "The account has no such order", body = problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The pack is below the coin's minimum, the order takes no further payment, or one is being made right now", body = problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Buying is switched off, or the processor cannot be asked now, with `retry-after`", body = problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("x_api_key" = []), ("session" = []), ("session_token" = []))
)]
pub(crate) async fn choose(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let read = async {
        let (caller, incoming) = caller_before(&app, &asked, &parts.headers, incoming).await?;
        let whole = body::read(
            &app.budgets.bodies,
            caller.client(&asked),
            &parts,
            incoming,
            limits::SMALL_BODY_BYTES,
        )
        .await?;
        let body: ChoiceBody<'_> = whole.parse()?;
        Ok((caller, required("currency", body.currency)?))
    };
    let (caller, currency) = match read.await {
        Ok(read) => read,
        Err(fault) => return problem::answer(fault, &asked),
    };
    let Some(id) = order_id(id) else { return refused(OrderError::NoOrder, &asked) };
    let payer = match owner(&app, &caller, id).await {
        Ok(Some(payer)) => payer,
        Ok(None) => return refused(OrderError::NoOrder, &asked),
        Err(fault) => return problem::answer(fault, &asked),
    };
    match order::choose(&app.ctx, payer, id, &currency).await {
        Ok(view) => shared::json(HeaderMap::new(), &OrderAnswer::from(view)),
        Err(error) => refused(error, &asked),
    }
}

/// Who asks, before the body is read.
async fn caller_before(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Caller, Body), Fault> {
    match caller::session_or_key(app, asked, headers, ACCESS).await {
        Ok(caller) => Ok((caller, body)),
        Err(fault) => {
            body::discard(body).await;
            Err(fault)
        }
    }
}

/// The account that a new order is for.
async fn buyer(app: &App, caller: &Caller, community: Option<&str>) -> Result<Payer, Fault> {
    match (caller, community) {
        (Caller::Key(key), None) => Ok(Payer { key: account_of(key) }),
        (Caller::Key(_), Some(_)) => {
            Err(Fault::field("community", "A key buys for its own account: leave this out."))
        }
        (Caller::Wallet(session), Some(slug)) => {
            let payer = domain::purse::payer(&app.ctx, session.wallet, slug).await;
            payer.map_err(Fault::Unexpected)?.ok_or_else(|| {
                let message = "There is no community of that name that this wallet can buy for.";
                Fault::NotFound { message: message.to_owned() }
            })
        }
        (Caller::Wallet(session), None) => developer(app, session).await,
    }
}

async fn developer(app: &App, session: &Session) -> Result<Payer, Fault> {
    let standing =
        domain::accounts::standing_of(&app.ctx, session.wallet).await.map_err(Fault::Unexpected)?;
    standing.map(|standing| Payer { key: standing.account }).ok_or_else(|| {
        let message =
            "This wallet has not signed up as a developer. Name a community to buy for in \"community\".";
        Fault::NotFound { message: message.to_owned() }
    })
}

/// The account of an order, when it is the caller's to look at.
async fn owner(app: &App, caller: &Caller, id: OrderId) -> Result<Option<Payer>, Fault> {
    match caller {
        Caller::Key(key) => Ok(Some(Payer { key: account_of(key) })),
        Caller::Wallet(session) => {
            let payer = order::payer_of(&app.ctx, session.wallet, id).await;
            payer.map_err(|error| Fault::Unexpected(error.into()))
        }
    }
}

/// An id that is not even one names no order.
pub(crate) fn order_id(id: Result<Path<String>, PathRejection>) -> Option<OrderId> {
    id.ok().and_then(|Path(id)| id.parse().ok())
}

fn refused(error: OrderError, asked: &Asked) -> Response {
    problem::respond(refusal(error, asked), asked)
}

/// What a refused order is in our dialect.
pub(crate) fn refusal(error: OrderError, asked: &Asked) -> Shape {
    match error {
        OrderError::Off => Shape::payments_off(
            "Buying credits is switched off here for now. Payments of orders that were made before still credit, and \
             credits still spend.",
        ),
        OrderError::NotConfigured => Shape::payments_off(
            "This server has no payment processor. Its operator turns buying on with NOWPAYMENTS_API_KEY and \
             NOWPAYMENTS_IPN_SECRET.",
        ),
        OrderError::UnknownPack(_) => {
            Shape::unknown_pack("There is no pack of that name. GET /api/v1/packs lists those there are.")
        }
        OrderError::UnknownCoin(_) => Shape::unknown_coin(
            "currency: This coin is not on offer. GET /api/v1/orders/{id} lists those that are.",
        ),
        OrderError::BelowMinimum { minimum_usd, .. } => Shape::below_minimum(format!(
            "This coin carries no less than ${minimum_usd}, and the pack costs less. Choose another coin or a larger pack.",
        )),
        OrderError::NoOrder => Shape::not_found("The account has no such order."),
        OrderError::Done(status) => Shape::order_done(format!(
            "The order is {status} and takes no further payment. Make a new order to buy more.",
        )),
        OrderError::TooManyOrders { retry_after_s } => {
            let detail =
                format!("Too many orders were made in the last hour. Try again in {retry_after_s} s.");
            Shape::rate_limited(detail, retry_after_s.into())
        }
        OrderError::TooManyPayments => {
            Shape::order_done("The order has as many payments as an order may have. Make a new order.")
        }
        OrderError::InFlight => Shape::in_flight(),
        OrderError::KeyReused => Shape::key_reused(),
        OrderError::BadKey => problem::of(idempotent::bad_key(), asked),
        OrderError::VendorUnavailable { retry_after_s } => Shape::payments_unavailable(
            format!(
                "The payment processor cannot be asked now. Nothing was bought; try again in {retry_after_s} s."
            ),
            retry_after_s.into(),
        ),
        OrderError::Unexpected(error) => problem::of(Fault::Unexpected(error), asked),
    }
}
