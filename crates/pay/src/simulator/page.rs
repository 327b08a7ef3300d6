//! The page: payments, the newest first, what happened to them, and buttons for what could.
//!
//! Plain HTML; forms do everything. While a script runs, the page loads itself anew each second. What always holds:
//! everything that came from outside is escaped. Deliberately absent: scripts of any kind, and the policy says so.

mod card;

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::Simulator;
use super::book::Book;
use super::coin::{COINS, Coin};
use super::gate::{FAULTS, Fault, MAX_FAULTS, MAX_RATE};
use super::script::{MANNERS, Manner};

/// Payments on one page.
const PAYMENTS_PER_PAGE: usize = 20;

/// No script, no picture, nothing from elsewhere; forms go to ourselves; nobody frames the buttons.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE_PATH: &str = "/style/simulator.css";

const STYLE: &str = include_str!("../../../../style/simulator.css");

/// The page's routes.
pub(super) fn router(simulator: &Simulator) -> Router {
    let style = async || ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "no-cache")], STYLE);
    let lost = async || (StatusCode::NOT_FOUND, message("There is nothing here."));
    Router::new()
        .route("/", get(payments))
        .route(STYLE_PATH, get(style))
        .fallback(lost)
        .with_state(simulator.clone())
}

async fn payments(
    State(simulator): State<Simulator>,
    Query(place): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    // Only payments that are older than this one.
    let before = place.get("before").and_then(|id| id.parse().ok()).unwrap_or(u64::MAX);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let book = simulator.book();
    let mut shown: Vec<_> = book.payments.range(..before).rev().take(PAYMENTS_PER_PAGE + 1).collect();
    let has_older = shown.len() > PAYMENTS_PER_PAGE;
    shown.truncate(PAYMENTS_PER_PAGE);
    let is_moving = shown.iter().any(|(_, payment)| !payment.plan.is_empty());
    let list = if book.payments.is_empty() {
        empty(host)
    } else {
        let cards: String = shown.iter().map(|(_, payment)| card::card(payment)).collect();
        let older = shown.last().filter(|_| has_older).map_or_else(String::new, |(id, _)| {
            format!("<p class=\"older\"><a href=\"/?before={id}\">Older payments</a></p>")
        });
        format!("{cards}{older}")
    };
    let label = escape(&simulator.settings().label);
    let whose = if label.is_empty() { String::new() } else { format!("<p class=\"whose\">{label}</p>") };
    let body = format!(
        "<header>{whose}<h1>Payment simulator</h1>\
         <p>A stand-in for NOWPayments. Press what the payer, the chain or the vendor should do: the payment moves \
         as it would there, and each move sends a notice that is signed for real.</p>\
         <p><a class=\"button\" href=\"/\">Look again</a></p></header>\
         <main><h2>{} <span class=\"count\">{}</span></h2>{list}{}</main>",
        if before == u64::MAX { "Payments" } else { "Older payments" },
        book.payments.len(),
        trouble(&book, host),
    );
    page("Payments", &body, is_moving)
}

/// What to do when there is nothing to see.
fn empty(host: &str) -> String {
    let option = |coin: &Coin| format!("<option value=\"{}\">{}</option>", coin.code, coin.name);
    let coins: String = COINS.iter().map(option).collect();
    let host = escape(host);
    format!(
        "<section class=\"card empty\"><h3>No payment yet</h3><ol>\
         <li>Freeside comes here when it has no NOWPayments key of its own.</li>\
         <li>Buy a credit pack there and choose a coin: that makes a payment.</li>\
         <li>It appears here, waiting. Press <b>Pay</b>, and watch the credits arrive.</li></ol>\
         <p class=\"quiet\">Or speak to the API yourself, as to the original: <code>http://{host}/v1</code></p>\
         <form method=\"post\" action=\"/simulator/payments\" class=\"row\">\
         <label for=\"coin\">Only looking around?</label><select id=\"coin\" name=\"coin\">{coins}</select>\
         <button class=\"primary\">Make a sample payment</button></form></section>"
    )
}

/// The choices of delivery, one of them chosen.
fn manners(chosen: Manner) -> String {
    let option = |manner: &Manner| {
        let mark = if *manner == chosen { " selected" } else { "" };
        format!("<option value=\"{}\"{mark}>{}</option>", manner.name(), manner.label())
    };
    MANNERS.iter().map(option).collect()
}

/// What befalls the API as a whole.
fn trouble(book: &Book, host: &str) -> String {
    let button = |fault: &Fault| {
        format!("<button formaction=\"/simulator/faults/{}\">{}</button>", fault.name(), fault.label())
    };
    let buttons: String = FAULTS.iter().map(button).collect();
    let coming = book.gate.coming();
    let coming = if coming.is_empty() {
        "<p class=\"quiet\">No request is told to fail.</p>".to_owned()
    } else {
        let runs: Vec<String> =
            coming.iter().map(|(fault, count)| format!("{count} × {}", fault.label())).collect();
        format!(
            "<form method=\"post\" action=\"/simulator/faults/none\" class=\"row\" aria-label=\"Coming failures\">\
             <p><b>Coming:</b> {}</p><button>Take back</button></form>",
            runs.join(", then ")
        )
    };
    let rate = book.gate.rate().map_or_else(String::new, |rate| rate.to_string());
    let counts = book.gate.counts;
    format!(
        "<section id=\"trouble\" class=\"card\"><h2>Trouble</h2>\
         <p>What befalls the API as a whole, at <code>http://{host}/v1</code>. So far it served {served} requests, \
         failed {failed} on command and limited {limited}.</p>\
         <form method=\"post\" action=\"/simulator/faults/busy\"><div class=\"row\">\
         <label for=\"count\">Let the next</label>\
         <input id=\"count\" name=\"count\" type=\"number\" min=\"1\" max=\"{MAX_FAULTS}\" value=\"1\" required>\
         <span>requests fail with</span></div><div class=\"row\">{buttons}</div></form>{coming}\
         <form method=\"post\" action=\"/simulator/rate\" class=\"row\">\
         <label for=\"rate\">Requests per second, 429 beyond</label>\
         <input id=\"rate\" name=\"per_second\" type=\"number\" min=\"0\" max=\"{MAX_RATE}\" value=\"{rate}\" \
         placeholder=\"any\"><button>Limit</button></form>\
         <form method=\"post\" action=\"/simulator/delivery\" class=\"row\">\
         <label for=\"manner\">Notices of new payments</label>\
         <select id=\"manner\" name=\"manner\">{}</select><button>Set</button></form></section>",
        manners(book.manner),
        host = escape(host),
        served = counts.served,
        failed = counts.failed,
        limited = counts.limited,
    )
}

/// A whole page. `body` is HTML; what it quotes has been escaped.
fn page(title: &str, body: &str, is_moving: bool) -> Response {
    let refresh = if is_moving { "<meta http-equiv=\"refresh\" content=\"1\">" } else { "" };
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{refresh}\
         <title>{title} · payment simulator, no real money</title>\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\"></head><body>\
         <p class=\"ribbon\" role=\"note\">Payment simulator — no real money</p>{body}</body></html>"
    );
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: a browser would then send `Origin: null` with our own forms.
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(html)).into_response()
}

/// A page that says one thing.
pub(super) fn message(text: &str) -> Response {
    let text = escape(text);
    let body = format!(
        "<main class=\"message\"><h1>That did not work</h1><p>{text}</p>\
         <p><a class=\"button\" href=\"/\">Back to the payments</a></p></main>"
    );
    page("That did not work", &body, false)
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
