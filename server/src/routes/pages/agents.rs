//! `/agents`, the page for an agent that is not there, and the files of an agent's page: its colours, its mark, its picture.
//!
//! What always holds: a file whose address says what it shows may be kept for ever; a picture is drawn once, off the
//! threads that serve, one at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use app::chat::Agent;
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::agent;
use domain::turn::Refusal;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::super::App;
use super::super::exchange::{Asked, text};
use super::super::fault::Fault;
use super::super::problem::{self, Shape};
use super::Reader;

/// Agents of one page of the gallery.
const PAGE: i64 = 24;
/// Pictures that are kept, some 40 KB each; past that all are forgotten and drawn anew as they are asked for.
const PICTURES_AT_MOST: usize = 200;
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Which page of the gallery.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    after: Option<i64>,
}

/// `GET /agents`
pub(crate) async fn gallery(
    State(app): State<Arc<App>>,
    reader: Reader,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Query(Wanted { after }) = wanted.unwrap_or_default();
    match agent::of_default(&app.ctx, agent::Page { after, limit: PAGE }).await {
        Ok(found) => {
            let is_full = i64::try_from(found.len()) == Ok(PAGE);
            let next = found.last().filter(|_| is_full).map(|last| last.id.to_string());
            let agents: Vec<Agent> = found.iter().map(|agent| shown(agent)).collect();
            reader.show(app::agents::page(reader.visit(), &agents, next.as_deref()))
        }
        Err(error) => super::trouble(&reader, problem::of(unread(error), reader.asked())),
    }
}

/// The first agents, for pages that introduce some. Without them a page reads all the same.
pub(super) async fn some(app: &App) -> Vec<Agent> {
    match agent::shown(&app.ctx).await {
        Ok(found) => found.iter().map(|agent| shown(agent)).collect(),
        Err(error) => {
            tracing::warn!(%error, "the first page's agents cannot be read");
            Vec::new()
        }
    }
}

/// There is no such agent: a page that leads to those that are there, and the problem document for programs.
pub(super) async fn nobody(app: &App, reader: &Reader) -> Response {
    if !reader.wants_pages() {
        let message =
            "There is no agent of that collection and token. GET /agents shows those that are there.";
        return problem::respond(Shape::not_found(message), reader.asked());
    }
    let page = app::agents::nobody(reader.visit(), &some(app).await, &reader.asked().id);
    reader.show_with(StatusCode::NOT_FOUND, page)
}

/// An agent as pages show it. Images lie on our origin or are drawn: nothing is loaded from a stranger.
pub(super) fn shown(agent: &agent::Agent) -> Agent {
    let is_ours = |image: &&String| image.starts_with('/') && !image.starts_with("//") && image.len() <= 512;
    Agent {
        slug: agent.slug.clone(),
        token_id: agent.token_id.clone(),
        name: agent.name.clone(),
        collection: agent.collection.clone(),
        nature: agent.nature().map(str::to_owned),
        about: agent.description.clone(),
        image: agent.image.as_ref().filter(is_ours).cloned(),
        traits: agent.traits.clone(),
        palette: agent.palette,
        holder_only: agent.holder_only,
        public_history: agent.public_history,
    }
}

/// Which edition of a file.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Edition {
    v: Option<String>,
}

/// `GET /chat/{collection}/{token}/{file}`: `colours.css`, `mark.svg`, `og.png`.
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    names: Result<Path<(String, String, String)>, PathRejection>,
    edition: Result<Query<Edition>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let nothing = || {
        let message = "There is no file of that name, or no agent of that collection and token.";
        problem::answer(Fault::NotFound { message: message.to_owned() }, &asked)
    };
    let Ok(Path((slug, token, file))) = names else { return nothing() };
    let Some(kind) = kind(&file) else { return nothing() };
    let agent = match agent::find(&app.ctx, &slug, &token).await {
        Ok(Some(found)) => shown(&found),
        Ok(None) => return nothing(),
        Err(error) => return problem::answer(unread(error), &asked),
    };
    let version = agent.version();
    let tag = format!("\"{version}\"");
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match file.as_str() {
            "colours.css" => agent.colours().into_response(),
            "mark.svg" => app::chat::svg(&agent).into_response(),
            _ => match app.pictures.of(agent, &version).await {
                Ok(picture) => picture.into_response(),
                Err(error) => return problem::answer(Fault::Unexpected(error), &asked),
            },
        }
    };
    // An address of another edition shows the newest, and is asked about again soon.
    let Query(edition) = edition.unwrap_or_default();
    let keep = match edition.v {
        Some(v) if v == version => "public, max-age=31536000, immutable",
        Some(_) | None => "public, max-age=300",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::ETAG, text(&tag));
    // A picture is made to be shown elsewhere; the rest belongs to our pages.
    let whose = if file == "og.png" { "cross-origin" } else { "same-origin" };
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static(whose));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox; frame-ancestors 'none'"),
    );
    response
}

fn kind(file: &str) -> Option<&'static str> {
    match file {
        "colours.css" => Some("text/css; charset=utf-8"),
        "mark.svg" => Some("image/svg+xml"),
        "og.png" => Some("image/png"),
        _ => None,
    }
}

/// The pictures of agents, by the version of what they show.
#[derive(Debug)]
pub(crate) struct Pictures {
    drawn: Mutex<HashMap<String, Bytes>>,
    /// Whoever draws: a machine with two cores has another for answers.
    desk: Semaphore,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { drawn: Mutex::default(), desk: Semaphore::new(1) }
    }
}

impl Pictures {
    fn known(&self, version: &str) -> Option<Bytes> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    async fn of(&self, agent: Agent, version: &str) -> anyhow::Result<Bytes> {
        if let Some(picture) = self.known(version) {
            return Ok(picture);
        }
        let _desk = self.desk.acquire().await?;
        // Somebody may have drawn it while we waited.
        if let Some(picture) = self.known(version) {
            return Ok(picture);
        }
        let picture: Bytes =
            tokio::task::spawn_blocking(move || app::chat::picture::png(&agent)).await??.into();
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.len() >= PICTURES_AT_MOST {
            drawn.clear();
        }
        drawn.insert(version.to_owned(), picture.clone());
        Ok(picture)
    }
}

fn unread(error: sqlx::Error) -> Fault {
    Fault::Turn(Refusal::unread(error.into()))
}
