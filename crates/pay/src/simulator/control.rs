//! The control API: what a person or a test presses. Forms get a page back, programs get JSON.
//!
//! What always holds: a browser may press only from our own page on this machine. The notices are genuine, so a
//! foreign page must not be able to cause one; a program sends no `Origin` and is let through.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::coin;
use super::deliver::loopback;
use super::gate::{FAULTS, Fault, MAX_FAULTS};
use super::page;
use super::payment::{Asked, Notice, Payment};
use super::script::{MANNERS, Manner, SCRIPTS, Script};
use super::wire::{Value, iso};
use super::{ScriptError, Simulator};

/// The largest form: two short fields.
const MAX_FORM_BYTES: usize = 1_024;

/// The most payments in one list.
const MAX_LISTED: usize = 100;

/// What the sample payment costs: $10.
const SAMPLE_MICRO: u128 = 10_000_000;

/// Why something that was pressed did nothing.
enum Refused {
    NoSuchAction,
    BadValue(&'static str),
    Script(ScriptError),
}

impl From<ScriptError> for Refused {
    fn from(error: ScriptError) -> Self {
        Self::Script(error)
    }
}

/// The control routes.
pub(super) fn router(simulator: &Simulator) -> Router {
    Router::new()
        .route("/simulator/payments", get(list).post(sample))
        .route("/simulator/payments/{id}/{action}", post(act))
        .route("/simulator/faults/{fault}", post(fail))
        .route("/simulator/rate", post(rate))
        .route("/simulator/delivery", post(delivery))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(from_fn(guard))
        .with_state(simulator.clone())
}

/// Lets nobody press from a foreign page, nor under a name that only claims to be this machine.
async fn guard(request: Request, next: Next) -> Response {
    if is_ours(request.headers()) {
        return next.run(request).await;
    }
    let text = "The simulator's buttons work only from its own page, opened as http://127.0.0.1 or http://localhost.";
    refuse(request.headers(), StatusCode::FORBIDDEN, text)
}

fn is_ours(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let with_port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = with_port.map_or(host, |(name, _)| name);
    loopback(name).is_some() && origin.as_bytes() == format!("http://{host}").as_bytes()
}

/// Runs a script or something else on a payment.
async fn act(
    State(simulator): State<Simulator>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    form: String,
) -> Response {
    let done = match find(SCRIPTS, Script::name, &action) {
        // A person watches the steps on the page; a program waits for the last answer.
        Some(script) if wants_page(&headers) => begin(&simulator, &id, script),
        Some(script) => simulator.run(&id, script).await.map_err(Refused::from),
        None => other(&simulator, &id, &action, &form).await,
    };
    let notices = match done {
        Ok(notices) => notices,
        Err(fault) => return explain(&headers, &fault),
    };
    if wants_page(&headers) {
        return Redirect::to(&format!("/#payment-{id}")).into_response();
    }
    let status = simulator.status(&id).unwrap_or("forgotten");
    json(&Value::Object(vec![
        ("payment_id", Value::text(id)),
        ("payment_status", Value::text(status)),
        ("notices", Value::List(notices.iter().map(notice).collect())),
    ]))
}

/// Plans a script and lets it run while the page is shown.
fn begin(simulator: &Simulator, id: &str, script: Script) -> Result<Vec<Notice>, Refused> {
    let target = simulator.begin(id, script)?;
    let simulator = simulator.clone();
    tokio::spawn(async move {
        // The payment may be forgotten meanwhile; then there is nothing left to do.
        let _ = simulator.finish(&target).await;
    });
    Ok(Vec::new())
}

async fn other(simulator: &Simulator, id: &str, action: &str, form: &str) -> Result<Vec<Notice>, Refused> {
    match action {
        "again" => Ok(simulator.send_again(id).await?),
        "forge" => Ok(vec![simulator.forge(id).await?]),
        "delivery" => {
            simulator.deliver_as(id, manner(form)?)?;
            Ok(Vec::new())
        }
        _ => {
            let manner = find(MANNERS, Manner::name, action).ok_or(Refused::NoSuchAction)?;
            simulator.deliver_as(id, manner)?;
            Ok(Vec::new())
        }
    }
}

/// The newest payments.
async fn list(State(simulator): State<Simulator>) -> Response {
    let book = simulator.book();
    let payments = book.payments.values().rev().take(MAX_LISTED);
    json(&Value::Object(vec![("payments", Value::List(payments.map(Payment::current).collect()))]))
}

/// Makes a payment that belongs to nobody, to look around.
async fn sample(State(simulator): State<Simulator>, headers: HeaderMap, form: String) -> Response {
    let Some(coin) = coin::find(field(&form, "coin").unwrap_or("btc")) else {
        return explain(&headers, &Refused::BadValue("There is no such coin."));
    };
    let asked = Asked {
        price_micro: SAMPLE_MICRO.max(coin.minimum_micro),
        coin,
        order_id: None,
        description: Some("A sample, for looking around".to_owned()),
        callback: None,
    };
    let now = simulator.settings().clock.now();
    let id = simulator.book().create(asked, now);
    done(&headers, &format!("/#payment-{id}"))
}

/// Lets the next requests fail, or takes that back.
async fn fail(
    State(simulator): State<Simulator>,
    Path(name): Path<String>,
    headers: HeaderMap,
    form: String,
) -> Response {
    if name == "none" {
        simulator.mend();
        return done(&headers, "/#trouble");
    }
    let Some(fault) = find(FAULTS, Fault::name, &name) else {
        return explain(&headers, &Refused::NoSuchAction);
    };
    let count = field(&form, "count").map_or(Ok(1), str::parse);
    match count {
        Ok(count @ 1..=MAX_FAULTS) => {
            simulator.fail_next(count, fault);
            done(&headers, "/#trouble")
        }
        _ => explain(&headers, &Refused::BadValue("The number of requests is 1 to 1000.")),
    }
}

/// Sets the rate limit; nothing takes it away.
async fn rate(State(simulator): State<Simulator>, headers: HeaderMap, form: String) -> Response {
    match field(&form, "per_second").filter(|text| !text.is_empty()).map(str::parse).transpose() {
        Ok(rate) => {
            simulator.limit_rate(rate);
            done(&headers, "/#trouble")
        }
        Err(_) => {
            explain(&headers, &Refused::BadValue("The rate is a whole number, or nothing for no limit."))
        }
    }
}

/// How payments tell of themselves that are made from now on.
async fn delivery(State(simulator): State<Simulator>, headers: HeaderMap, form: String) -> Response {
    match manner(&form) {
        Ok(manner) => {
            simulator.deliver_all_as(manner);
            done(&headers, "/#trouble")
        }
        Err(fault) => explain(&headers, &fault),
    }
}

fn manner(form: &str) -> Result<Manner, Refused> {
    let name = field(form, "manner").unwrap_or_default();
    find(MANNERS, Manner::name, name).ok_or(Refused::BadValue("There is no such way to deliver."))
}

fn find<T: Copy>(all: &[T], name: fn(T) -> &'static str, wanted: &str) -> Option<T> {
    all.iter().copied().find(|item| name(*item) == wanted)
}

/// A field of a form whose values are words and numbers, so that nothing is escaped.
fn field<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn done(headers: &HeaderMap, place: &str) -> Response {
    if wants_page(headers) {
        return Redirect::to(place).into_response();
    }
    json(&Value::Object(vec![("ok", Value::Bool(true))]))
}

fn json(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=utf-8")], value.print()).into_response()
}

fn explain(headers: &HeaderMap, fault: &Refused) -> Response {
    match fault {
        Refused::NoSuchAction => refuse(headers, StatusCode::NOT_FOUND, "There is no such action."),
        Refused::BadValue(text) => refuse(headers, StatusCode::BAD_REQUEST, text),
        Refused::Script(ScriptError::Unknown) => {
            refuse(headers, StatusCode::NOT_FOUND, "There is no such payment, or it is forgotten.")
        }
        Refused::Script(error @ ScriptError::NotNow { .. }) => {
            refuse(headers, StatusCode::CONFLICT, &format!("Not now: {error}."))
        }
    }
}

fn refuse(headers: &HeaderMap, status: StatusCode, text: &str) -> Response {
    if wants_page(headers) {
        return (status, page::message(text)).into_response();
    }
    let body = Value::Object(vec![("status", Value::Bool(false)), ("message", Value::text(text))]);
    (status, json(&body)).into_response()
}

fn notice(notice: &Notice) -> Value {
    Value::Object(vec![
        ("payment_id", Value::text(notice.payment_id.as_str())),
        ("payment_status", Value::text(notice.status)),
        ("at", Value::text(iso(notice.at))),
        ("accepted", Value::Bool(notice.is_accepted())),
        (
            "answers",
            Value::List(notice.answers.iter().map(|answer| Value::text(answer.to_string())).collect()),
        ),
    ])
}
