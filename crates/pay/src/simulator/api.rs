//! The original's API: what it takes, what it answers, and its one shape of errors.
//!
//! What always holds: the gate stands before everything, also before the key, as a load balancer would; a field that
//! is missing, of another type or unknown is refused in the original's words. Amounts are read exactly, as text.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::Simulator;
use super::coin::{self, Coin, FIAT, MICRO_DECIMALS};
use super::deliver::Callback;
use super::gate::{Fault, RETRY_AFTER_SECONDS, Verdict};
use super::payment::Asked;
use super::wire::Value;
use crate::json::{self, Json};

/// The largest body: a payment has a dozen short fields.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The longest text in a field.
const MAX_TEXT_CHARS: usize = 512;

/// The dearest payment, in micro-USD: $100,000.
const MAX_PRICE_MICRO: u128 = 100_000_000_000;

/// A stalled request is let go after this, should its caller never leave.
const LONGEST_STALL: Duration = Duration::from_mins(10);

/// A refusal in the original's shape.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST_PARAMS", message)
    }

    fn required(name: &str) -> Self {
        Self::parameter(format!("\"{name}\" is required"))
    }

    fn currency(code: &str) -> Self {
        let code: String = code.chars().take(32).collect();
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", format!("Currency {code} was not found"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Value::Object(vec![
            ("status", Value::Bool(false)),
            ("statusCode", Value::number(self.status.as_u16())),
            ("code", Value::text(self.code)),
            ("message", Value::text(self.message)),
        ]);
        answer(self.status, &body)
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body.print()).into_response()
}

/// The API's routes.
pub(super) fn router(simulator: &Simulator) -> Router {
    let api = Router::new()
        .route(
            "/status",
            get(async || answer(StatusCode::OK, &Value::Object(vec![("message", Value::text("OK"))]))),
        )
        .route("/currencies", get(currencies))
        .route("/min-amount", get(min_amount))
        .route("/estimate", get(estimate))
        .route("/payment", post(create))
        .route("/payment/{id}", get(payment))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "Endpoint not found"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(simulator.clone(), gate))
        .with_state(simulator.clone());
    Router::new().nest("/v1", api)
}

/// Fails what was told to fail, and what is above the rate.
async fn gate(State(simulator): State<Simulator>, request: Request, next: Next) -> Response {
    let now = simulator.settings().clock.now();
    let verdict = simulator.book().gate.ask(now);
    let fault = match verdict {
        Verdict::Pass => return next.run(request).await,
        Verdict::Limit => Fault::Busy,
        Verdict::Fail(fault) => fault,
    };
    match fault {
        Fault::Busy => {
            let refusal =
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", "Too many requests");
            ([(RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())], refusal).into_response()
        }
        Fault::Error => internal_error(),
        Fault::Stall => {
            let mut closing = simulator.0.closing.subscribe();
            let closed = closing.wait_for(|closing| *closing);
            let _ = tokio::time::timeout(LONGEST_STALL, closed).await;
            internal_error()
        }
        Fault::Cut => {
            // The head promises more than the body has; the error then cuts the connection.
            let pieces = [Ok(Bytes::from_static(b"{\"payment_id\":")), Err(std::io::Error::other("cut"))];
            let body = Body::from_stream(futures_util::stream::iter(pieces));
            ([(CONTENT_TYPE, "application/json"), (CONTENT_LENGTH, "512")], body).into_response()
        }
        Fault::BadJson => ([(CONTENT_TYPE, "application/json")], "{\"payment_id\":\"57").into_response(),
    }
}

fn internal_error() -> Response {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal server error").into_response()
}

/// The original tells a missing key (401) and a wrong one (403) apart.
fn check_key(simulator: &Simulator, headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get("x-api-key").map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
    if key.is_empty() {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "AUTH_REQUIRED", "x-api-key header is required"));
    }
    // Compared plainly: this key guards no money, and whoever can measure it sits on this machine.
    if key != simulator.settings().api_key.as_bytes() {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "INVALID_API_KEY", "Invalid api key"));
    }
    Ok(())
}

async fn currencies(State(simulator): State<Simulator>, headers: HeaderMap) -> Result<Response, Refusal> {
    check_key(&simulator, &headers)?;
    let codes = coin::COINS.iter().map(|coin| Value::text(coin.code)).collect();
    Ok(answer(StatusCode::OK, &Value::Object(vec![("currencies", Value::List(codes))])))
}

/// The parameters of an address.
struct Parameters(HashMap<String, String>);

impl Parameters {
    fn read(query: Result<Query<HashMap<String, String>>, QueryRejection>) -> Result<Self, Refusal> {
        let Query(parameters) = query.map_err(|_| Refusal::parameter("the query string is malformed"))?;
        Ok(Self(parameters))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::required(name))
    }
}

/// Either side of an exchange.
#[derive(Clone, Copy)]
enum Currency {
    Fiat,
    Coin(&'static Coin),
}

impl Currency {
    fn find(code: &str) -> Result<Self, Refusal> {
        if code.eq_ignore_ascii_case(FIAT) {
            return Ok(Self::Fiat);
        }
        coin::find(code).map(Self::Coin).ok_or_else(|| Refusal::currency(code))
    }

    fn code(self) -> &'static str {
        match self {
            Self::Fiat => FIAT,
            Self::Coin(coin) => coin.code,
        }
    }
}

type Queried = Result<Query<HashMap<String, String>>, QueryRejection>;

async fn min_amount(
    State(simulator): State<Simulator>,
    headers: HeaderMap,
    query: Queried,
) -> Result<Response, Refusal> {
    check_key(&simulator, &headers)?;
    let parameters = Parameters::read(query)?;
    let from = parameters.required("currency_from")?;
    let coin = coin::find(from).ok_or_else(|| Refusal::currency(from))?;
    let to = parameters.get("currency_to").map_or(Ok(Currency::Fiat), Currency::find)?;
    let mut fields = vec![
        ("currency_from", Value::text(coin.code)),
        ("currency_to", Value::text(to.code())),
        ("min_amount", Value::Number(coin.text(coin.minimum_units()))),
    ];
    if let Some(fiat) = parameters.get("fiat_equivalent") {
        if !fiat.eq_ignore_ascii_case(FIAT) {
            return Err(Refusal::currency(fiat));
        }
        let micro = coin.micro_of(coin.minimum_units());
        fields.push(("fiat_equivalent", Value::Number(coin::text(micro, MICRO_DECIMALS))));
    }
    Ok(answer(StatusCode::OK, &Value::Object(fields)))
}

async fn estimate(
    State(simulator): State<Simulator>,
    headers: HeaderMap,
    query: Queried,
) -> Result<Response, Refusal> {
    check_key(&simulator, &headers)?;
    let parameters = Parameters::read(query)?;
    let amount = parameters.required("amount")?;
    let from = Currency::find(parameters.required("currency_from")?)?;
    let to = Currency::find(parameters.required("currency_to")?)?;
    let malformed = || Refusal::parameter("\"amount\" must be a number");
    let (amount_from, micro) = match from {
        Currency::Fiat => {
            let micro = coin::read(amount, MICRO_DECIMALS).ok_or_else(malformed)?;
            (coin::text(micro, MICRO_DECIMALS), micro)
        }
        Currency::Coin(coin) => {
            let units = coin::read(amount, coin.decimals).ok_or_else(malformed)?;
            (coin.text(units), coin.micro_of(units))
        }
    };
    if micro > MAX_PRICE_MICRO {
        return Err(Refusal::parameter("\"amount\" is too large"));
    }
    let estimated = match to {
        Currency::Fiat => coin::text(micro, MICRO_DECIMALS),
        Currency::Coin(coin) => coin.text(coin.units_of(micro)),
    };
    let body = Value::Object(vec![
        ("currency_from", Value::text(from.code())),
        ("amount_from", Value::Number(amount_from)),
        ("currency_to", Value::text(to.code())),
        ("estimated_amount", Value::Number(estimated)),
    ]);
    Ok(answer(StatusCode::OK, &body))
}

async fn create(
    State(simulator): State<Simulator>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    check_key(&simulator, &headers)?;
    let body = body.map_err(|_| {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "request entity too large")
    })?;
    let asked = read_payment(&headers, &body)?;
    let now = simulator.settings().clock.now();
    let mut book = simulator.book();
    let id = book.create(asked, now);
    let created = book.payments.get(&id).map(super::payment::Payment::created);
    let created = created.expect("it was inserted under the same lock");
    Ok(answer(StatusCode::CREATED, &created))
}

/// What a new payment's body asks for.
fn read_payment(headers: &HeaderMap, body: &[u8]) -> Result<Asked, Refusal> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Like the original, another type is not read at all: every field is then missing.
    let json = if media.to_ascii_lowercase().starts_with("application/json") {
        json::parse(body).map_err(|_| Refusal::parameter("the body is not JSON"))?
    } else {
        Json::Object(Vec::new())
    };
    let price = json.get("price_amount").ok_or_else(|| Refusal::required("price_amount"))?;
    let currency = text(&json, "price_currency")?.ok_or_else(|| Refusal::required("price_currency"))?;
    let code = text(&json, "pay_currency")?.ok_or_else(|| Refusal::required("pay_currency"))?;
    let price = price.text().and_then(|amount| coin::read(amount, MICRO_DECIMALS));
    let price = price.ok_or_else(|| Refusal::parameter("\"price_amount\" must be a number"))?;
    if price == 0 || price > MAX_PRICE_MICRO {
        return Err(Refusal::parameter("\"price_amount\" must be positive and at most 100000"));
    }
    if !currency.eq_ignore_ascii_case(FIAT) {
        return Err(Refusal::currency(&currency));
    }
    let coin = coin::find(&code).ok_or_else(|| Refusal::currency(&code))?;
    let due = coin.units_of(price);
    if due < coin.minimum_units() {
        let message = format!("Crypto amount {} is less than minimal", coin.text(due));
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "AMOUNT_MINIMAL_ERROR", message));
    }
    let callback = text(&json, "ipn_callback_url")?.map(|address| {
        let message =
            "\"ipn_callback_url\" must be an http address of this machine: the simulator calls no other";
        Callback::read(&address).ok_or_else(|| Refusal::parameter(message))
    });
    Ok(Asked {
        price_micro: price,
        coin,
        order_id: text(&json, "order_id")?,
        description: text(&json, "order_description")?,
        callback: callback.transpose()?,
    })
}

/// A field that must be a string, if it is there and not `null`.
fn text(json: &Json, name: &str) -> Result<Option<String>, Refusal> {
    match json.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(value)) => {
            let value = value.as_str().filter(|value| !value.is_empty());
            let value =
                value.ok_or_else(|| Refusal::parameter(format!("\"{name}\" is not allowed to be empty")))?;
            if value.chars().count() > MAX_TEXT_CHARS {
                return Err(Refusal::parameter(format!("\"{name}\" is too long")));
            }
            Ok(Some(value.to_owned()))
        }
        Some(_) => Err(Refusal::parameter(format!("\"{name}\" must be a string"))),
    }
}

async fn payment(
    State(simulator): State<Simulator>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    check_key(&simulator, &headers)?;
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::parameter("\"payment_id\" must be a number"));
    }
    let current = simulator.book().find(&id).map(super::payment::Payment::current);
    let current =
        current.map_err(|_| Refusal::new(StatusCode::NOT_FOUND, "PAYMENT_NOT_FOUND", "Payment not found"))?;
    Ok(answer(StatusCode::OK, &current))
}
