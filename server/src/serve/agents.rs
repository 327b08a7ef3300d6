//! The engine's port to the agents: the view `finn_agents`, read as a role that can read nothing else.
//!
//! Deliberately absent: a cache (the engine keeps what it derived) and every other table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use finn::agents::{AgentRow, AgentSource, Answer, NoAgents, Unreadable};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use sqlx::types::Json;

use super::database::Books;
use crate::config::Settings;

/// An engine reads an agent again after seconds only; a few connections serve thousands of agents.
const CONNECTIONS: u32 = 4;
/// An answer waits no longer for a place at the database; the engine's own patience is a little longer.
const WAIT: Duration = Duration::from_millis(1_500);

/// The view, through connections of the engine's own.
#[derive(Clone, Debug)]
pub struct AgentView(PgPool);

impl AgentView {
    /// Reads through these connections.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    async fn row(&self, slug: &str, token: &str) -> Result<Option<AgentRow>, sqlx::Error> {
        type Row = (i32, String, Json<Vec<(String, String)>>, Json<BTreeMap<String, Value>>);
        let row: Option<Row> = sqlx::query_as(
            "select version, name, traits, overrides from finn_agents where slug = $1 and token_id = $2",
        )
        .bind(slug)
        .bind(token)
        .fetch_optional(&self.0)
        .await?;
        let agent = |(version, name, Json(traits), Json(overrides)): Row| AgentRow {
            slug: slug.to_owned(),
            token_id: token.to_owned(),
            version,
            name,
            traits,
            // What is no text says nothing that a personality knows.
            overrides: overrides
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                .collect(),
        };
        Ok(row.map(agent))
    }
}

impl AgentSource for AgentView {
    fn read<'a>(&'a self, slug: &'a str, token: &'a str) -> Answer<'a> {
        Box::pin(async move {
            self.row(slug, token).await.map_err(|error| {
                tracing::warn!(%error, slug, token, "an agent could not be read");
                Unreadable
            })
        })
    }
}

/// Where this process's engine reads agents. It connects with the first of them, so the engine starts without a database.
pub(crate) fn source(settings: &Settings, books: Option<&Books>) -> anyhow::Result<Arc<dyn AgentSource>> {
    let embedded = || books.and_then(Books::engine_url);
    let own = || settings.database.url.as_ref().map(|url| url.reveal().to_owned());
    let given = settings.database.finn_url.as_ref().map(|url| url.reveal().to_owned());
    let Some(url) = given.or_else(embedded).or_else(own) else {
        tracing::warn!("no agents: the engine has no database; FINN_DATABASE_URL names one");
        return Ok(Arc::new(NoAgents));
    };
    let options = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(WAIT);
    let pool = options.connect_lazy(&url).context("FINN_DATABASE_URL is no address of PostgreSQL")?;
    Ok(Arc::new(AgentView::new(pool)))
}
