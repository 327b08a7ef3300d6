//! `/embed`: the frame that the widget's loader puts on somebody else's page.
//!
//! What always holds: a browser shows the panel inside the pages that the agent's community has allowed and in no other,
//! whatever the address claims; a refusal may be shown by the one page that the address names, and says nothing but why.
//! No cookie is looked at: whoever signs in here holds the session in the frame's memory.

use std::sync::Arc;

use app::embed::{Frame, Refused};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::agent::{self, Agent};
use domain::embed::{self, Origin, ThisMachine};
use domain::flags::Flag;
use serde::Deserialize;

use super::super::App;
use super::{Reader, agents};

/// What the loader says in the frame's address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    /// `{slug}:{token}`, or a token of the default collection.
    agent: String,
    /// The origin of the page around.
    host: String,
    /// `light` or `dark`.
    theme: String,
    /// `#rrggbb`.
    accent: String,
}

/// `GET /embed`
pub(crate) async fn frame(
    State(app): State<Arc<App>>,
    reader: Reader,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let wanted = wanted.map(|Query(wanted)| wanted).unwrap_or_default();
    let host = Origin::written(&wanted.host).ok();
    let theme = app::embed::theme(&wanted.theme);
    match found(&app, &wanted, host.as_ref()).await {
        Ok((agent, ancestors)) => {
            let frame = Frame {
                agent: agent.nft_id(),
                name: agent.name.clone(),
                about: agent.description.clone(),
                image: Some(agents::shown(&agent).likeness()),
                palette: agent.palette,
                accent: app::embed::accent(&wanted.accent),
                theme,
                host: wanted.host,
                nonce: reader.visit().nonce.clone(),
            };
            match app::embed::frame(frame) {
                Some(page) => reader.show_framed(StatusCode::OK, page, &ancestors),
                None => refuse(&reader, &Refused::NotBuilt, host.as_ref(), theme),
            }
        }
        Err(refused) => refuse(&reader, &refused, host.as_ref(), theme),
    }
}

/// The agent, and whose pages may hold the frame.
async fn found(
    app: &App,
    wanted: &Wanted,
    host: Option<&Origin>,
) -> Result<(Arc<Agent>, Vec<Origin>), Refused> {
    let host = host.ok_or(Refused::NoHost)?;
    if !app.ctx.flags.is_on(Flag::WebChat) {
        return Err(Refused::SwitchedOff);
    }
    let agent = match wanted.agent.split_once(':') {
        Some((slug, token)) => agent::find(&app.ctx, slug, token).await,
        None => agent::find_default(&app.ctx, &wanted.agent).await,
    };
    let agent = agent.map_err(|error| broken(&error))?.ok_or(Refused::NoAgent)?;
    let this_machine =
        if app.origins.is_local() { ThisMachine::Welcome } else { ThisMachine::OnlyWhenListed };
    let ancestors = embed::ancestors(&app.ctx, agent.community, host, this_machine).await;
    let ancestors = ancestors.map_err(|error| broken(&error))?.ok_or(Refused::HostNotAllowed)?;
    Ok((agent, ancestors))
}

fn broken(error: &sqlx::Error) -> Refused {
    tracing::error!(%error, "a frame's agent could not be read");
    Refused::Broken
}

fn refuse(
    reader: &Reader,
    refused: &Refused,
    host: Option<&Origin>,
    theme: Option<&'static str>,
) -> Response {
    let status = match refused {
        Refused::NoHost => StatusCode::BAD_REQUEST,
        Refused::NoAgent => StatusCode::NOT_FOUND,
        Refused::HostNotAllowed => StatusCode::FORBIDDEN,
        Refused::SwitchedOff | Refused::NotBuilt => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let named = host.map(ToString::to_string);
    let page = app::embed::refused(refused, named, theme, reader.visit().nonce.clone());
    reader.show_framed(status, page, host.map_or(&[], std::slice::from_ref))
}
