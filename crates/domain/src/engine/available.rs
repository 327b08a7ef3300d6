//! Which models can answer now, as the engine says: it alone knows whose provider is on and which was refused lately.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Engine;

/// The engine is asked at most so often, however many lists are read.
const KEPT: Duration = Duration::from_secs(2);
/// The names of some thousand models.
const LIST_AT_MOST: usize = 256 * 1024;

/// The engine's last answer.
#[derive(Debug, Default)]
pub(super) struct Available(Mutex<Option<Cached>>);

/// Catalog ids of models, as one answer of the engine had them.
type Models = Arc<BTreeSet<String>>;

/// When the engine was asked last, and the last list that it gave.
#[derive(Debug)]
struct Cached {
    asked_at: Instant,
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
        let mut cached = self.0.available.0.lock().await;
        if let Some(cached) = &*cached
            && cached.asked_at.elapsed() < KEPT
        {
            return cached.models.clone();
        }
        // An engine that is away for a moment has the models that it had. They stay known should the caller leave meanwhile.
        let before = cached.as_ref().and_then(|cached| cached.models.clone());
        let models = self.ask_for_models().await.map(Arc::new).or(before);
        *cached = Some(Cached { asked_at: Instant::now(), models: models.clone() });
        models
    }

    async fn ask_for_models(&self) -> Option<BTreeSet<String>> {
        // An engine that is not ready says why, and which models it has, all the same.
        let response = self.look("/readyz").await?;
        let body = Limited::new(response.into_body(), LIST_AT_MOST).collect();
        let body = tokio::time::timeout(super::HEALTH_TIMEOUT, body).await.ok()?.ok()?.to_bytes();
        serde_json::from_slice::<Ready>(&body).ok().map(|ready| ready.models_now)
    }
}
