//! Which models can answer now, as the engine says: it alone knows whose provider is on and which was refused lately.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use types::Pool;
use types::catalog::Catalog;

use super::Engine;

/// The engine is asked at most so often, however many lists are read.
const KEPT: Duration = Duration::from_secs(2);
/// The names of some thousand models.
const LIST_AT_MOST: usize = 256 * 1024;

/// What the engine said last.
#[derive(Debug, Default)]
pub(super) struct Available(Mutex<Option<Said>>);

/// Catalog ids of models, as one answer of the engine had them.
type Models = Arc<BTreeSet<String>>;

/// The last time that the engine was asked, and what it has said by then.
#[derive(Debug)]
struct Said {
    at: Instant,
    models: Option<Models>,
}

#[derive(Deserialize)]
struct Ready {
    models_now: BTreeSet<String>,
}

impl Engine {
    /// Catalog ids of the models that can answer now; `None` while the engine has never said.
    pub async fn models_now(&self) -> Option<Models> {
        // Held while the engine is asked: whoever comes meanwhile takes the same answer.
        let mut known = self.0.available.0.lock().await;
        if let Some(said) = &*known
            && said.at.elapsed() < KEPT
        {
            return said.models.clone();
        }
        // An engine that is away for a moment has the models that it had.
        let before = known.take().and_then(|said| said.models);
        let models = self.ask_for_models().await.map(Arc::new).or(before);
        *known = Some(Said { at: Instant::now(), models: models.clone() });
        models
    }

    /// Those of the pool's models that can answer now; all that could while the engine has never said.
    pub(crate) async fn answering<'c>(&self, catalog: &'c Catalog, pool: Pool) -> Vec<&'c String> {
        let now = self.models_now().await;
        catalog.answering(pool, |id| now.as_ref().is_none_or(|now| now.contains(id)))
    }

    async fn ask_for_models(&self) -> Option<BTreeSet<String>> {
        // An engine that is not ready says why, and which models it has, all the same.
        let response = self.look("/readyz").await?;
        let body = Limited::new(response.into_body(), LIST_AT_MOST).collect();
        let body = tokio::time::timeout(super::HEALTH_TIMEOUT, body).await.ok()?.ok()?.to_bytes();
        serde_json::from_slice::<Ready>(&body).ok().map(|ready| ready.models_now)
    }
}
