//! The doors of our pages: each finds out who looks, calls `app`, and sends what it rendered.
//!
//! What always holds: a page works without JavaScript; each answer has a policy with a nonce of its own; a form is
//! taken only from our own pages. Where a browser asks for something that is not there it gets a page, and any other
//! caller the problem document that it can read. Deliberately absent: HTML (that is `app`), rules.

mod account;
pub(crate) mod admin;
mod agents;
mod assets;
mod buy;
mod chat;
mod checkout;
mod crawlers;
mod developer_account;
mod developers;
mod embed;
mod form;
mod holder;
mod keys;
mod log;
mod own_path;
mod reader;
mod signin;
mod theme;
mod widget;

use std::sync::{Arc, LazyLock};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

pub(crate) use self::account::{end_sessions, page as own_account};
pub(crate) use self::agents::{Pictures, file as agent_file, gallery};
pub(crate) use self::assets::file;
pub(crate) use self::buy::{choose_pack, order as order_pack};
pub(crate) use self::chat::{
    of_default as chat_of_default, page as chat, rate as rate_answer, share as share_chat,
};
pub(crate) use self::checkout::{choose as choose_coin, look as checkout};
pub(crate) use self::crawlers::{favicon, robots, sitemap};
pub(crate) use self::developer_account::{show_key as account_of_key, show_wallet as account_of_wallet};
pub(crate) use self::developers::{playground, sign_up, sign_up_form};
pub(crate) use self::embed::frame;
pub(crate) use self::keys::{
    create as create_key, look as key, revoke as revoke_key, rotate as rotate_key, upgrade as go_live,
};
pub(crate) use self::log::{look as request_log, look_with_key as request_log_of_key};
pub(crate) use self::reader::Reader;
pub(crate) use self::signin::{sign_in, sign_out};
pub(crate) use self::theme::choose as choose_theme;
pub(crate) use self::widget::{current as loader, pinned as pinned_loader};
use super::problem::Shape;
use super::{App, openapi, problem};

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

/// `/`
pub(crate) async fn home(State(app): State<Arc<App>>, reader: Reader) -> Response {
    let agents = agents::some(&app).await;
    reader.show(app::home::page(reader.visit(), &agents))
}

/// `/docs`
pub(crate) async fn docs(reader: Reader) -> Response {
    reader.show(app::docs::page(reader.visit()))
}

/// `/docs/administer`
pub(crate) async fn administer_guide(reader: Reader) -> Response {
    reader.show(app::docs::administer(reader.visit()))
}

/// `/docs/widget`
pub(crate) async fn widget_guide(reader: Reader) -> Response {
    reader.show(app::docs::widget(reader.visit()))
}

/// `/docs/api`
pub(crate) async fn api(reader: Reader) -> Response {
    reader.show(app::docs::api(reader.visit(), &DOCUMENT))
}

/// `/docs/api/{group}`
pub(crate) async fn api_group(reader: Reader, group: Result<Path<String>, PathRejection>) -> Response {
    let page = group.ok().and_then(|Path(group)| app::docs::group(reader.visit(), &DOCUMENT, &group));
    match page {
        Some(page) => reader.show(page),
        None => nothing(&reader, "The API has no part of that name. GET /docs/api lists those that it has."),
    }
}

/// `/problems`
pub(crate) async fn problems(reader: Reader) -> Response {
    reader.show(app::problems::list(reader.visit(), &problem::kinds().collect::<Vec<_>>()))
}

/// `/problems/{slug}`: the page behind a problem's `type`.
pub(crate) async fn problem(reader: Reader, slug: Result<Path<String>, PathRejection>) -> Response {
    let slug = slug.map_or_else(|_| String::new(), |Path(slug)| slug);
    match problem::kinds().find(|kind| kind.slug == slug) {
        Some(kind) => reader.show(app::problems::page(reader.visit(), kind)),
        None => nothing(&reader, "There is no problem of that name. GET /problems lists all."),
    }
}

fn nothing(reader: &Reader, message: &str) -> Response {
    trouble(reader, Shape::not_found(message))
}

/// A refusal, as a page for those who read pages and as a problem document for others.
pub(crate) fn trouble(reader: &Reader, shape: Shape) -> Response {
    if !reader.wants_pages() {
        return problem::respond(shape, reader.asked());
    }
    let (status, headers) = shape.head();
    let (title, detail) = shape.words();
    let told = app::trouble::Trouble {
        status: status.as_u16(),
        title: title.to_owned(),
        detail: detail.to_owned(),
        request_id: reader.asked().id.to_string(),
    };
    let mut response = reader.show_with(status, app::trouble::page(reader.visit(), told));
    response.headers_mut().extend(headers);
    response
}
