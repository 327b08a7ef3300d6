//! An agent's public profile: who it is, its traits and its colours.
//!
//! What is derived for the model alone (voice, affinities, the words it is told) is deliberately absent.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::agent::{self, Agent};
use domain::turn::Refusal;
use serde::Serialize;
use types::palette::hex;
use types::{CommunityId, Palette};
use utoipa::ToSchema;

use super::exchange::Asked;
use super::fault::Fault;
use super::{App, problem, shared};

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentAnswer {
    /// What `model` takes to talk to it: `agent:{slug}:{token}`.
    model: String,
    /// The community that it belongs to.
    #[schema(value_type = String)]
    community_id: CommunityId,
    /// Its collection's slug.
    slug: String,
    /// Its collection's name.
    collection: String,
    /// Its token, decimal.
    token_id: String,
    /// What people call it.
    name: String,
    /// A few sentences; may be empty.
    description: String,
    /// A path of this server or a data image; null: none.
    image: Option<String>,
    /// In the metadata's order.
    traits: Vec<TraitAnswer>,
    /// Its colours.
    palette: PaletteAnswer,
    /// `X-Personality-Id` of its answers.
    personality_id: String,
    /// Only its holder may talk to it.
    holder_only: bool,
    /// Its conversations may be read without a login.
    public_history: bool,
}

/// A trait.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraitAnswer {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// Colours as CSS writes them, each with at least 4.5 : 1 against its theme's surfaces.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaletteAnswer {
    /// For a light page.
    accent: String,
    /// For text on `accent`.
    on_accent: String,
    /// For a dark page.
    accent_dark: String,
    /// For text on `accent_dark`.
    on_accent_dark: String,
}

impl From<Palette> for PaletteAnswer {
    fn from(palette: Palette) -> Self {
        Self {
            accent: hex(palette.accent),
            on_accent: hex(palette.on_accent),
            accent_dark: hex(palette.accent_dark),
            on_accent_dark: hex(palette.on_accent_dark),
        }
    }
}

impl AgentAnswer {
    fn new(agent: &Agent) -> Self {
        let of = |(name, value): &(String, String)| TraitAnswer { name: name.clone(), value: value.clone() };
        Self {
            model: format!("agent:{}", agent.nft_id()),
            community_id: agent.community,
            slug: agent.slug.clone(),
            collection: agent.collection.clone(),
            token_id: agent.token_id.clone(),
            name: agent.name.clone(),
            description: agent.description.clone(),
            image: agent.image.clone(),
            traits: agent.traits.iter().map(of).collect(),
            palette: agent.palette.into(),
            personality_id: format!("{}@{}", agent.nft_id(), agent.version),
            holder_only: agent.holder_only,
            public_history: agent.public_history,
        }
    }
}

/// Who an agent is. Anyone may look.
#[utoipa::path(
    get, path = "/api/v1/agents/{slug}/{token}", tag = "native", operation_id = "readAgent",
    params(("slug" = String, Path, description = "The collection's slug"),
           ("token" = String, Path, description = "The token's number, decimal")),
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = 404, description = "There is no such agent", body = problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let found = match names {
        Ok(Path((slug, token))) => agent::find(&app.ctx, &slug, &token).await,
        Err(_) => Ok(None),
    };
    match found {
        Ok(Some(agent)) => shared::json(HeaderMap::new(), &AgentAnswer::new(&agent)),
        Ok(None) => {
            let message = "There is no agent of that collection and token. The token is a number without leading zeros.";
            problem::answer(Fault::NotFound { message: message.to_owned() }, &asked)
        }
        Err(error) => problem::answer(Fault::Turn(Refusal::unread(error.into())), &asked),
    }
}
