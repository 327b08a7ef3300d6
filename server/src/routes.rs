//! The HTTP doors. A door parses, learns who asks, calls one domain function, and shapes the answer.
//!
//! `table` is the one list of routes: the router is built from it, the OpenAPI document is compared with it, and its
//! last column says who may call. Errors speak the door's dialect: OpenAI's and Anthropic's shapes under `/v1`,
//! RFC 9457 elsewhere, and a page for a browser. Deliberately absent: rules about money or models, SQL, HTML (`app`).

mod accounts;
mod admin;
mod agents;
mod anthropic;
mod body;
mod burner;
mod caller;
mod chat;
mod conversation;
mod cookies;
mod exchange;
mod fault;
mod fields;
mod flags;
mod gate;
mod idempotent;
mod keys;
mod limits;
mod models;
mod native;
mod openai;
pub mod openapi;
mod ops;
mod orders;
mod origins;
mod pages;
mod problem;
mod rate;
mod requests;
mod same_site;
mod sentences;
mod sessions;
mod shared;
mod siwe;
mod stream;
mod webhook;
mod ws;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Router, middleware};
use metrics_exporter_prometheus::PrometheusHandle;
use pay::notice::IpnSecret;

use self::caller::Access;
use self::exchange::Asked;
use self::fault::Fault;
use crate::config::Networks;

pub use self::body::Budgets;
pub use self::burner::Burner;
pub use self::caller::OperatorToken;
pub use self::ops::Check;
pub use self::ws::{Sockets, Timings};

/// What the doors need; the server fills it once.
///
/// The server also has to put `ConnectInfo<SocketAddr>` into each request's extensions: without it no peer counts as
/// local and all share one address.
#[derive(Clone, Debug)]
pub struct AppState {
    /// What the domain needs.
    pub ctx: Arc<domain::Ctx>,
    /// For the public key set.
    pub service_keys: Arc<identity::ServiceKeys>,
    /// For `/metrics`.
    pub metrics: PrometheusHandle,
    /// What payment notices are signed with; `None`: this server has no payment processor.
    pub ipn_secret: Option<IpnSecret>,
    /// Opens the operator's routes, and `/metrics` to callers elsewhere.
    pub operator_token: Option<OperatorToken>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// What `/readyz` looks at.
    pub checks: Vec<Check>,
    /// Where callers reach this server, without a slash at its end.
    pub public_url: String,
    /// This binary's version.
    pub version: &'static str,
    /// Wallets, and how they sign in.
    pub sign_in: SignIn,
    /// What opens a socket for one of them.
    pub tickets: identity::Tickets,
    /// The sockets of this process.
    pub sockets: Sockets,
    /// Who may sign up as a developer.
    pub sign_up: SignUp,
    /// Whether there are wallets for trying.
    pub burner: Burner,
    /// The memory for bodies that are being read.
    pub budgets: Budgets,
}

/// Who may sign up as a developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// Anyone.
    Anyone,
    /// A wallet that is signed in (SPEC §13: production).
    WalletsOnly,
}

/// Wallets, and how they sign in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Wallets that signed in.
    pub sessions: identity::Sessions,
    /// Numbers to sign.
    pub nonces: identity::Nonces,
    /// Codes that carry a session into a frame.
    pub handoffs: identity::Handoffs,
    /// Wallets that are contracts; `None`: no chain can be asked, and only keys sign.
    pub contracts: Option<Arc<chain::Contracts>>,
    /// The chains that a message may name; the first is for a wallet that is on none of them.
    pub chains: Vec<u64>,
}

/// [`AppState`] and what the doors keep for themselves.
#[derive(Debug)]
pub(crate) struct App {
    ctx: Arc<domain::Ctx>,
    service_keys: Arc<identity::ServiceKeys>,
    metrics: PrometheusHandle,
    operator_token: Option<OperatorToken>,
    trusted_proxies: Networks,
    checks: Vec<Check>,
    public_url: String,
    version: &'static str,
    ipn_secret: Option<IpnSecret>,
    tickets: identity::Tickets,
    sockets: Sockets,
    sign_in: SignIn,
    sign_up: SignUp,
    burner: Burner,
    origins: origins::Origins,
    budgets: Budgets,
    gate: gate::Gate,
    pictures: pages::Pictures,
}

/// Whether a route stands in the OpenAPI document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Documented {
    /// It is part of the API.
    Yes,
    /// It is a page.
    No,
}

/// A route and who may call it.
struct Row {
    method: Method,
    path: &'static str,
    documented: Documented,
    access: Access,
    door: MethodRouter<Arc<App>>,
}

/// Every route. The access column is what the door enforces; a test calls each without a key and compares.
#[rustfmt::skip]
fn table() -> Vec<Row> {
    use Access::Anyone;
    use Documented::{No, Yes};
    let row = |method, path, documented, access, door| Row { method, path, documented, access, door };
    vec![
        row(Method::POST,   "/v1/chat/completions",            Yes, openai::ACCESS,     post(openai::chat_completions)),
        row(Method::GET,    "/v1/models",                      Yes, models::ACCESS,     get(models::list)),
        row(Method::GET,    "/v1/models/{*id}",                Yes, models::ACCESS,     get(models::one)),
        row(Method::POST,   "/v1/messages",                    Yes, anthropic::ACCESS,  post(anthropic::messages)),
        row(Method::POST,   "/v1/messages/count_tokens",       Yes, Anyone,             post(anthropic::count_tokens)),
        row(Method::POST,   "/api/v1/inference",               Yes, native::ACCESS,     post(native::inference)),
        row(Method::POST,   "/api/agents/invoke",              Yes, native::ACCESS,     post(native::invoke)),
        row(Method::GET,    "/api/v1/agents/{slug}/{token}",   Yes, Anyone,             get(agents::read)),
        row(Method::GET,    "/api/v1/agents/{slug}/{token}/history",     Yes, Anyone,            get(chat::history)),
        row(Method::GET,    "/api/v1/agents/{slug}/{token}/sharing",     Yes, chat::ACCESS,      get(chat::sharing)),
        row(Method::PUT,    "/api/v1/agents/{slug}/{token}/sharing",     Yes, chat::ACCESS,      put(chat::share)),
        row(Method::POST,   "/api/v1/chat/{request_id}/feedback",        Yes, chat::ACCESS,      post(chat::feedback)),
        row(Method::POST,   "/api/v1/ws/ticket",               Yes, chat::ACCESS,       post(chat::ticket)),
        row(Method::GET,    "/ws/chat",                        No,  Anyone,             get(ws::connect)),
        row(Method::POST,   "/api/v1/developers/register",     Yes, accounts::REGISTER, post(accounts::register)),
        row(Method::POST,   "/api/v1/developers/upgrade",      Yes, accounts::UPGRADE,  post(accounts::upgrade)),
        row(Method::GET,    "/api/v1/usage",                   Yes, accounts::READ,     get(accounts::usage)),
        row(Method::GET,    "/api/v1/requests",                Yes, requests::ACCESS,   get(requests::list)),
        row(Method::GET,    "/api/v1/communities/{id}/budget", Yes, accounts::READ,     get(accounts::budget)),
        row(Method::POST,   "/api/v1/keys",                    Yes, keys::ACCESS,       post(keys::create)),
        row(Method::GET,    "/api/v1/keys",                    Yes, keys::ACCESS,       get(keys::list)),
        row(Method::DELETE, "/api/v1/keys/{id}",               Yes, keys::REVOKE,       delete(keys::revoke)),
        row(Method::POST,   "/api/v1/keys/{id}/rotate",        Yes, keys::ACCESS,       post(keys::rotate)),
        row(Method::GET,    "/api/v1/siwe/nonce",              Yes, Anyone,             get(siwe::read_nonce)),
        row(Method::POST,   "/api/v1/siwe/nonce",              Yes, Anyone,             post(siwe::nonce)),
        row(Method::POST,   "/api/v1/siwe/verify",             Yes, Anyone,             post(siwe::verify)),
        row(Method::GET,    "/api/v1/siwe/session",            Yes, Anyone,             get(siwe::session)),
        row(Method::POST,   "/api/v1/siwe/logout",             Yes, Anyone,             post(siwe::logout)),
        row(Method::POST,   "/api/v1/siwe/handoff",            Yes, siwe::handoff::OFFER, post(siwe::handoff::offer)),
        row(Method::POST,   "/api/v1/siwe/exchange",           Yes, Anyone,             post(siwe::handoff::exchange)),
        row(Method::GET,    "/api/v1/sessions",                Yes, sessions::ACCESS,   get(sessions::list)),
        row(Method::DELETE, "/api/v1/sessions",                Yes, sessions::ACCESS,   delete(sessions::end_all)),
        row(Method::DELETE, "/api/v1/sessions/{id}",           Yes, sessions::ACCESS,   delete(sessions::end)),
        row(Method::GET,    "/api/v1/flags",                   Yes, Anyone,             get(flags::list)),
        row(Method::GET,    "/api/v1/packs",                   Yes, Anyone,             get(orders::packs)),
        row(Method::POST,   "/api/v1/orders",                  Yes, orders::ACCESS,     post(orders::create)),
        row(Method::GET,    "/api/v1/orders/{id}",             Yes, orders::ACCESS,     get(orders::read)),
        row(Method::POST,   "/api/v1/orders/{id}/payment",     Yes, orders::ACCESS,     post(orders::choose)),
        row(Method::POST,   "/api/crypto/webhook",             Yes, webhook::ACCESS,    post(webhook::take)),
        row(Method::GET,    "/api/v1/admin/community/{id}/usage",        Yes, admin::ACCESS, get(admin::usage::read)),
        row(Method::GET,    "/api/v1/admin/community/{id}/billing",      Yes, admin::ACCESS, get(admin::billing::read)),
        row(Method::GET,    "/api/v1/admin/community/{id}/agents",       Yes, admin::ACCESS, get(admin::agents::list)),
        row(Method::GET,    "/api/v1/admin/community/{id}/audit",        Yes, admin::ACCESS, get(admin::audit::read)),
        row(Method::GET,    "/api/v1/admin/community/{id}/conservation", Yes, admin::ACCESS, get(admin::conservation::read)),
        row(Method::GET,    "/api/v1/admin/community/{id}/pool-enforcement", Yes, admin::ACCESS, get(admin::enforcement::read)),
        row(Method::GET,    "/api/v1/admin/community/{id}/actions",      Yes, admin::ACCESS, get(admin::actions::list)),
        row(Method::GET,    "/api/v1/admin/community/{id}/caps",         Yes, admin::ACCESS, get(admin::caps::read)),
        row(Method::PUT,    "/api/v1/admin/community/{id}/caps",         Yes, admin::ACCESS, put(admin::caps::write)),
        row(Method::GET,    "/api/v1/admin/community/{id}/origins",      Yes, admin::ACCESS, get(admin::origins::read)),
        row(Method::PUT,    "/api/v1/admin/community/{id}/origins",      Yes, admin::ACCESS, put(admin::origins::write)),
        row(Method::POST,   "/api/v1/admin/community/{id}/grants",       Yes, admin::OPERATOR, post(admin::grants::create)),
        row(Method::GET,    "/api/v1/admin/payments",                    Yes, admin::ACCESS, get(admin::payments::list)),
        row(Method::POST,   "/api/v1/admin/payments/{id}/reconcile",     Yes, admin::ACCESS, post(admin::payments::reconcile)),
        row(Method::GET,    "/api/v1/admin/reviews",                     Yes, admin::ACCESS, get(admin::reviews::list)),
        row(Method::POST,   "/api/v1/admin/reviews/{id}/resolve",        Yes, admin::ACCESS, post(admin::reviews::resolve)),
        row(Method::GET,    "/api/v1/admin/approvals",                   Yes, admin::ACCESS, get(admin::approvals::list)),
        row(Method::POST,   "/api/v1/admin/approvals/{id}/approve",      Yes, admin::OPERATOR, post(admin::approvals::approve)),
        row(Method::POST,   "/api/v1/admin/approvals/{id}/decline",      Yes, admin::OPERATOR, post(admin::approvals::decline)),
        row(Method::GET,    "/health",                         Yes, Anyone,             get(ops::health)),
        row(Method::GET,    "/livez",                          Yes, Anyone,             get(ops::livez)),
        row(Method::GET,    "/readyz",                         Yes, Anyone,             get(ops::readyz)),
        row(Method::GET,    "/metrics",                        Yes, ops::METRICS,       get(ops::metrics)),
        row(Method::GET,    "/version",                        Yes, Anyone,             get(ops::version)),
        row(Method::GET,    "/.well-known/jwks.json",          Yes, Anyone,             get(ops::jwks)),
        row(Method::GET,    "/openapi.json",                   Yes, Anyone,             get(openapi::json)),
        row(Method::GET,    "/",                               No,  Anyone,             get(pages::home)),
        row(Method::GET,    "/agents",                         No,  Anyone,             get(pages::gallery)),
        row(Method::GET,    "/chat/{slug}",                    No,  Anyone,             get(pages::chat_of_default)),
        row(Method::GET,    "/chat/{slug}/{token}",            No,  Anyone,             get(pages::chat)),
        row(Method::POST,   "/chat/{slug}/{token}/sharing",    No,  Anyone,             post(pages::share_chat)),
        row(Method::POST,   "/chat/{slug}/{token}/feedback",   No,  Anyone,             post(pages::rate_answer)),
        row(Method::GET,    "/chat/{slug}/{token}/{file}",     No,  Anyone,             get(pages::agent_file)),
        row(Method::GET,    "/docs",                           No,  Anyone,             get(pages::docs)),
        row(Method::GET,    "/docs/administer",                No,  Anyone,             get(pages::administer_guide)),
        row(Method::GET,    "/docs/widget",                    No,  Anyone,             get(pages::widget_guide)),
        row(Method::GET,    "/docs/api",                       No,  Anyone,             get(pages::api)),
        row(Method::GET,    "/docs/api/{group}",               No,  Anyone,             get(pages::api_group)),
        row(Method::GET,    "/problems",                       No,  Anyone,             get(pages::problems)),
        row(Method::GET,    "/problems/{slug}",                No,  Anyone,             get(pages::problem)),
        row(Method::GET,    "/developers",                     No,  Anyone,             get(pages::sign_up_form)),
        row(Method::POST,   "/developers",                     No,  Anyone,             post(pages::sign_up)),
        row(Method::GET,    "/developers/account",             No,  Anyone,             get(pages::account_of_wallet)),
        row(Method::POST,   "/developers/account",             No,  Anyone,             post(pages::account_of_key)),
        row(Method::GET,    "/developers/playground",          No,  Anyone,             get(pages::playground)),
        row(Method::GET,    "/developers/requests",            No,  Anyone,             get(pages::request_log)),
        row(Method::POST,   "/developers/requests",            No,  Anyone,             post(pages::request_log_of_key)),
        row(Method::POST,   "/developers/upgrade",             No,  Anyone,             post(pages::go_live)),
        row(Method::POST,   "/developers/keys",                No,  Anyone,             post(pages::create_key)),
        row(Method::GET,    "/developers/keys/{id}",           No,  Anyone,             get(pages::key)),
        row(Method::POST,   "/developers/keys/{id}/rotate",    No,  Anyone,             post(pages::rotate_key)),
        row(Method::POST,   "/developers/keys/{id}/revoke",    No,  Anyone,             post(pages::revoke_key)),
        row(Method::GET,    "/buy",                            No,  Anyone,             get(pages::choose_pack)),
        row(Method::POST,   "/buy",                            No,  Anyone,             post(pages::order_pack)),
        row(Method::GET,    "/checkout/{id}",                  No,  Anyone,             get(pages::checkout)),
        row(Method::POST,   "/checkout/{id}",                  No,  Anyone,             post(pages::choose_coin)),
        row(Method::GET,    "/signin",                         No,  Anyone,             get(pages::sign_in)),
        row(Method::POST,   "/signout",                        No,  Anyone,             post(pages::sign_out)),
        row(Method::GET,    "/admin",                          No,  Anyone,             get(pages::admin::list)),
        row(Method::GET,    "/admin/{community}",              No,  Anyone,             get(pages::admin::overview)),
        row(Method::GET,    "/admin/{community}/caps",         No,  Anyone,             get(pages::admin::caps)),
        row(Method::POST,   "/admin/{community}/caps",         No,  Anyone,             post(pages::admin::set_cap)),
        row(Method::GET,    "/admin/{community}/agents",       No,  Anyone,             get(pages::admin::agents)),
        row(Method::GET,    "/admin/{community}/routing",      No,  Anyone,             get(pages::admin::routing)),
        row(Method::GET,    "/admin/{community}/ledger",       No,  Anyone,             get(pages::admin::journal)),
        row(Method::GET,    "/admin/{community}/conservation", No,  Anyone,             get(pages::admin::conservation)),
        row(Method::GET,    "/admin/{community}/payments",     No,  Anyone,             get(pages::admin::payments)),
        row(Method::POST,   "/admin/{community}/payments",     No,  Anyone,             post(pages::admin::repair_payment)),
        row(Method::GET,    "/admin/{community}/reviews",      No,  Anyone,             get(pages::admin::reviews)),
        row(Method::POST,   "/admin/{community}/reviews",      No,  Anyone,             post(pages::admin::decide_review)),
        row(Method::GET,    "/admin/{community}/settings",     No,  Anyone,             get(pages::admin::settings)),
        row(Method::POST,   "/admin/{community}/settings",     No,  Anyone,             post(pages::admin::change_settings)),
        row(Method::GET,    "/account",                        No,  Anyone,             get(pages::own_account)),
        row(Method::POST,   "/account/sessions",               No,  Anyone,             post(pages::end_sessions)),
        row(Method::GET,    "/embed",                          No,  Anyone,             get(pages::frame)),
        row(Method::GET,    "/widget/v1/widget.js",            No,  Anyone,             get(pages::loader)),
        row(Method::GET,    "/widget/{version}/widget.js",     No,  Anyone,             get(pages::pinned_loader)),
        row(Method::POST,   "/theme",                          No,  Anyone,             post(pages::choose_theme)),
        row(Method::GET,    "/assets/{file}",                  No,  Anyone,             get(pages::file)),
        row(Method::GET,    "/robots.txt",                     No,  Anyone,             get(pages::robots)),
        row(Method::GET,    "/sitemap.xml",                    No,  Anyone,             get(pages::sitemap)),
        row(Method::GET,    "/favicon.ico",                    No,  Anyone,             get(pages::favicon)),
    ]
}

/// What a development server has besides: wallets for trying. No production server has these routes.
#[rustfmt::skip]
fn for_trying() -> Vec<Row> {
    use Access::Anyone;
    use Documented::No;
    let row = |method, path, door| Row { method, path, documented: No, access: Anyone, door };
    vec![
        row(Method::GET,  burner::SCRIPT_PATH,  get(burner::script)),
        row(Method::POST, "/dev/burner/sign",   post(burner::sign)),
    ]
}

/// What may be read and does not stand in the API's document: pages, and what belongs to them. For tests that look at all
/// of them.
pub fn undocumented() -> impl Iterator<Item = &'static str> {
    let rows = table().into_iter();
    rows.filter(|row| row.documented == Documented::No && row.method == Method::GET).map(|row| row.path)
}

/// Every route that changes something, by method and path. For tests that try all of them.
pub fn changing() -> impl Iterator<Item = (Method, &'static str)> {
    let rows = table().into_iter().filter(|row| row.method != Method::GET);
    rows.map(|row| (row.method, row.path))
}

/// The router of all doors.
pub fn router(state: AppState) -> Router {
    ::limits::Pot::describe_all();
    let app = Arc::new(App {
        ctx: state.ctx,
        service_keys: state.service_keys,
        metrics: state.metrics,
        operator_token: state.operator_token,
        trusted_proxies: state.trusted_proxies,
        checks: state.checks,
        origins: origins::Origins::of(&state.public_url),
        sign_in: state.sign_in,
        sign_up: state.sign_up,
        burner: state.burner,
        public_url: state.public_url,
        version: state.version,
        ipn_secret: state.ipn_secret,
        tickets: state.tickets,
        sockets: state.sockets,
        budgets: state.budgets,
        gate: gate::Gate::default(),
        pictures: pages::Pictures::default(),
    });
    let mut rows = table();
    if app.burner == Burner::Offered {
        rows.extend(for_trying());
    }
    rows.into_iter()
        .fold(Router::new(), |router, row| {
            let Row { method, path, documented, access, door } = row;
            tracing::debug!(%method, path, ?documented, ?access, "route");
            router.route(path, door)
        })
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), same_site::guard))
        .layer(middleware::from_fn_with_state(app.clone(), exchange::frame))
        .with_state(app)
}

async fn nothing_here(
    reader: pages::Reader,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let path = request.uri().path();
    let message = match path {
        "/v1/responses" => {
            "The Responses API is not offered here yet. POST /v1/chat/completions answers the same questions."
                .to_owned()
        }
        "/v1/completions" => {
            "Legacy completions are not offered here. Use POST /v1/chat/completions.".to_owned()
        }
        _ if path.starts_with("/v1/responses/") => {
            "The Responses API is not offered here yet. Use POST /v1/chat/completions.".to_owned()
        }
        _ => "There is nothing at this address. GET /docs lists what there is.".to_owned(),
    };
    if is_for_people(path) && reader.wants_pages() {
        let message = "There is no page at this address. It may have moved, or a letter got lost on the way.";
        return pages::trouble(&reader, problem::Shape::not_found(message));
    }
    in_dialect(Fault::NotFound { message }, path, request.headers(), &asked)
}

async fn wrong_method(
    reader: pages::Reader,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    if is_for_people(request.uri().path()) && reader.wants_pages() {
        return pages::trouble(&reader, problem::of(Fault::WrongMethod, &asked));
    }
    in_dialect(Fault::WrongMethod, request.uri().path(), request.headers(), &asked)
}

/// Whether a page may stand at this address. What programs call speaks to programs, whoever types it in.
fn is_for_people(path: &str) -> bool {
    !path.starts_with("/v1/") && !path.starts_with("/api/")
}

/// Answers a fault that no door has taken on, in the dialect of the address.
fn in_dialect(fault: Fault, path: &str, headers: &HeaderMap, asked: &Asked) -> Response {
    if !path.starts_with("/v1/") {
        problem::answer(fault, asked)
    } else if path.starts_with("/v1/messages") || anthropic::is_meant(headers) {
        anthropic::error::answer(fault, asked)
    } else {
        openai::error::answer(fault, asked)
    }
}
