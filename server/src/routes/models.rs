//! `GET /v1/models`: the pools and models that a key may reach and that can answer now, in OpenAI's shape or, when
//! `anthropic-version` is sent, in Anthropic's. Whose provider is on, and which model its provider has retired, the engine
//! knows; scripted models say what they are.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use identity::Scope;
use serde::Serialize;
use types::catalog::Catalog;
use types::{Pool, Tier};
use utoipa::ToSchema;

use super::caller::{self, Access};
use super::exchange::Asked;
use super::fault::Fault;
use super::{App, anthropic, openai, shared};

/// Who may call: a key that may list models.
pub(crate) const ACCESS: Access = Access::Key(Scope::Models);

/// The catalog keeps no dates; the vendors' shapes demand one. 2024-01-01, before any of its entries.
const CREATED: i64 = 1_704_067_200;
const CREATED_AT: &str = "2024-01-01T00:00:00Z";

/// A name that can stand in `model`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    id: String,
    display_name: String,
    details: Details,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
struct Details {
    /// `default`, `pool` or `model`; `scripted` for text that a script makes, which no model is.
    kind: &'static str,
    /// The pool's models that can answer now, in the order in which they are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<String>,
    /// Prompt and completion together.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_tokens: Option<u32>,
    /// Micro-USD per million prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_micro_per_million: Option<String>,
    /// Micro-USD per million completion tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_micro_per_million: Option<String>,
}

/// OpenAI's list of models.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// OpenAI's model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    /// What `model` takes.
    id: String,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
    /// What stands behind the name, and its price.
    x_freeside: Details,
}

#[derive(Debug, Serialize)]
struct AnthropicList {
    data: Vec<AnthropicModel>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct AnthropicModel {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    display_name: String,
    created_at: &'static str,
}

/// Lists the models, pools and the default that the key may use.
#[utoipa::path(
    get, path = "/v1/models", tag = "openai", operation_id = "listModels",
    params(("anthropic-version" = Option<String>, Header, description = "Any value: answer in Anthropic's shape")),
    responses(
        (status = 200, description = "The list, in OpenAI's or Anthropic's shape", body = ModelList),
        (status = 401, description = "No key, or not a valid one", body = openai::error::OpenAiError),
        (status = 403, description = "The key lacks the scope", body = openai::error::OpenAiError),
    ),
    security(("api_key" = []), ("x_api_key" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let vendor = Vendor::of(request.headers());
    match caller::key(&app, &asked, request.headers(), ACCESS).await {
        Ok(key) => vendor.list(listed(&app, key.tier()).await),
        Err(fault) => vendor.error(fault, &asked),
    }
}

/// One of them, by name.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "openai", operation_id = "retrieveModel",
    params(("id" = String, Path, description = "The name, for example `cheap`"),
           ("anthropic-version" = Option<String>, Header, description = "Any value: answer in Anthropic's shape")),
    responses(
        (status = 200, description = "The model, in OpenAI's or Anthropic's shape", body = Model),
        (status = 401, description = "No key, or not a valid one", body = openai::error::OpenAiError),
        (status = 404, description = "`model_not_found`", body = openai::error::OpenAiError),
    ),
    security(("api_key" = []), ("x_api_key" = []))
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let vendor = Vendor::of(request.headers());
    let key = match caller::key(&app, &asked, request.headers(), ACCESS).await {
        Ok(key) => key,
        Err(fault) => return vendor.error(fault, &asked),
    };
    // A name that is not even text names no model.
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    match listed(&app, key.tier()).await.into_iter().find(|listed| listed.id == id) {
        Some(listed) => vendor.one(listed),
        None => vendor.error(domain::turn::Refusal::UnknownModel { name: id }.into(), &asked),
    }
}

#[derive(Clone, Copy)]
enum Vendor {
    OpenAi,
    Anthropic,
}

impl Vendor {
    fn of(headers: &HeaderMap) -> Self {
        if anthropic::is_meant(headers) { Self::Anthropic } else { Self::OpenAi }
    }

    fn list(self, listed: Vec<Listed>) -> Response {
        match self {
            Self::OpenAi => {
                let data = listed.into_iter().map(openai_model).collect();
                shared::json(HeaderMap::new(), &ModelList { object: "list", data })
            }
            Self::Anthropic => {
                let data: Vec<AnthropicModel> = listed.into_iter().map(anthropic_model).collect();
                let id = |model: Option<&AnthropicModel>| model.map(|model| model.id.clone());
                let (first_id, last_id) = (id(data.first()), id(data.last()));
                shared::json(HeaderMap::new(), &AnthropicList { data, has_more: false, first_id, last_id })
            }
        }
    }

    fn one(self, listed: Listed) -> Response {
        match self {
            Self::OpenAi => shared::json(HeaderMap::new(), &openai_model(listed)),
            Self::Anthropic => shared::json(HeaderMap::new(), &anthropic_model(listed)),
        }
    }

    fn error(self, fault: Fault, asked: &Asked) -> Response {
        match self {
            Self::OpenAi => openai::error::answer(fault, asked),
            Self::Anthropic => anthropic::error::answer(fault, asked),
        }
    }
}

fn openai_model(listed: Listed) -> Model {
    Model {
        id: listed.id,
        object: "model",
        created: CREATED,
        owned_by: "freeside",
        x_freeside: listed.details,
    }
}

fn anthropic_model(listed: Listed) -> AnthropicModel {
    AnthropicModel { kind: "model", id: listed.id, display_name: listed.display_name, created_at: CREATED_AT }
}

async fn listed(app: &App, tier: Tier) -> Vec<Listed> {
    let now = app.ctx.engine.models_now().await;
    reachable(&app.ctx.catalog, tier, |id| now.as_ref().is_none_or(|now| now.contains(id)))
}

/// `native`, the tier's pools, and the models of those pools; of each only what can answer.
fn reachable(catalog: &Catalog, tier: Tier, can_answer: impl Fn(&str) -> bool) -> Vec<Listed> {
    let models_of =
        |pool| catalog.answering(pool, &can_answer).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let named = |id: String, display_name: String, kind, pool: Pool| {
        let models = models_of(pool);
        let details = Details { kind, models, ..Details::default() };
        Some(Listed { id, display_name, details }).filter(|listed| !listed.details.models.is_empty())
    };
    let pools = tier.allowed_pools();
    let default = tier.default_pool();
    let native = named("native".to_owned(), format!("Default ({default})"), "default", default);
    let pool = |pool: &Pool| named(pool.to_string(), format!("Pool {pool}"), "pool", *pool);
    let in_reach =
        |id: &str| pools.iter().any(|pool| catalog.pool(*pool).models.iter().any(|model| model == id));
    let models = catalog.models.iter().filter(|(id, _)| in_reach(id) && can_answer(id)).map(|(id, model)| {
        let (kind, display_name) = if catalog.is_scripted(id) {
            ("scripted", format!("{id} (scripted text, no AI)"))
        } else {
            ("model", id.clone())
        };
        Listed {
            id: id.clone(),
            display_name,
            details: Details {
                kind,
                models: Vec::new(),
                context_tokens: Some(model.context_tokens),
                input_micro_per_million: Some(model.input_micro_per_million.to_string()),
                output_micro_per_million: Some(model.output_micro_per_million.to_string()),
            },
        }
    });
    native.into_iter().chain(pools.iter().filter_map(pool)).chain(models).collect()
}

#[cfg(test)]
mod tests {
    use types::catalog::DEFAULT_TOML;

    use super::*;

    fn ids(tier: Tier, can_answer: impl Fn(&str) -> bool) -> Vec<String> {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("sound");
        reachable(&catalog, tier, can_answer).into_iter().map(|listed| listed.id).collect()
    }

    #[test]
    fn a_sandbox_key_sees_the_cheap_pool_and_its_models_only() {
        assert_eq!(ids(Tier::SANDBOX, |_| true), ["native", "cheap", "gpt-4o-mini", "scripted-cheap"]);
        let live = ids(Tier::LIVE, |_| true);
        assert!(live.contains(&"reasoning".to_owned()) && !live.contains(&"flagship".to_owned()));
        assert!(!live.contains(&"claude-opus".to_owned()));
    }

    #[test]
    fn what_cannot_answer_is_not_listed() {
        let openai = |id: &str| id.starts_with("gpt");
        assert_eq!(
            ids(Tier::LIVE, openai),
            ["native", "cheap", "standard", "reasoning", "gpt-4o", "gpt-4o-mini"]
        );
        let highest = Tier::new(9).expect("a tier");
        let all = ids(highest, openai);
        assert!(!all.contains(&"architect".to_owned()) && !all.contains(&"flagship".to_owned()));
        assert_eq!(ids(Tier::SANDBOX, |id| id == "gpt-4o"), Vec::<String>::new(), "not even the default");
    }

    #[test]
    fn scripted_text_says_what_it_is_and_stands_in_no_pool_beside_a_model() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("sound");
        let all = reachable(&catalog, Tier::SANDBOX, |_| true);
        let of = |id: &str| all.iter().find(|listed| listed.id == id).expect("listed");
        assert_eq!(of("cheap").details.models, ["gpt-4o-mini"]);
        assert_eq!(of("scripted-cheap").details.kind, "scripted");
        assert!(of("scripted-cheap").display_name.contains("no AI"));
        let alone = reachable(&catalog, Tier::SANDBOX, |id| id.starts_with("scripted"));
        assert_eq!(alone[1].details.models, ["scripted-cheap"]);
    }
}
