//! The OpenAPI 3.1 document, generated from the doors' own annotations. The pages that show it are `app::docs`.
//!
//! A test compares it with the table of routes: neither can name an operation that the other does not.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{Modify, OpenApi};

use super::{
    accounts, admin, agents, anthropic, chat, flags, keys, models, native, openai, ops, orders, requests,
    sessions, siwe, webhook,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Freeside",
        description = "AI agents of NFT communities, metered against prepaid credits in micro-USD. The OpenAI and Anthropic \
                       dialects work with the vendors' own SDKs and this server as base URL.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        openai::chat_completions, models::list, models::one, anthropic::messages, anthropic::count_tokens,
        native::inference, native::invoke, agents::read,
        chat::history, chat::sharing, chat::share, chat::feedback, chat::ticket,
        accounts::register, accounts::upgrade, accounts::usage, requests::list, accounts::budget,
        keys::create, keys::list, keys::revoke, keys::rotate,
        siwe::read_nonce, siwe::nonce, siwe::verify, siwe::session, siwe::logout,
        siwe::handoff::offer, siwe::handoff::exchange, sessions::list, sessions::end, sessions::end_all,
        flags::list, orders::packs, orders::create, orders::read, orders::choose, webhook::take,
        admin::agents::list, admin::usage::read, admin::billing::read, admin::audit::read, admin::conservation::read, admin::actions::list,
        admin::enforcement::read,
        admin::caps::read, admin::caps::write, admin::origins::read, admin::origins::write, admin::grants::create, admin::payments::list, admin::payments::reconcile,
        admin::reviews::list, admin::reviews::resolve,
        admin::approvals::list, admin::approvals::approve, admin::approvals::decline,
        ops::health, ops::livez, ops::readyz, ops::metrics, ops::version, ops::jwks, json,
    ),
    tags(
        (name = "openai", description = "OpenAI's dialect"),
        (name = "anthropic", description = "Anthropic's dialect"),
        (name = "native", description = "Our own inference doors"),
        (name = "chat", description = "The web chat: what was said, who may read it, and tickets for its socket `/ws/chat`"),
        (name = "developers", description = "Sign-up, upgrade, usage and budget"),
        (name = "keys", description = "API keys"),
        (name = "sign-in", description = "Signing in with a wallet, and its sessions"),
        (name = "payments", description = "Buying credits, and the processor's notices"),
        (name = "admin", description = "For administrators of a community and for the operator"),
        (name = "operations", description = "Health, readiness, metrics, public keys"),
    ),
    modifiers(&Credentials)
)]
struct Described;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = |description: &str| {
            SecurityScheme::Http(
                HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build(),
            )
        };
        components.add_security_scheme("api_key", bearer("An API key: lf_test_… or lf_live_…"));
        let header =
            ApiKey::Header(ApiKeyValue::with_description("x-api-key", "The same key in Anthropic's header"));
        components.add_security_scheme("x_api_key", SecurityScheme::ApiKey(header));
        let cookie = ApiKeyValue::with_description(
            "__Host-freeside",
            "A wallet's session, set by POST /api/v1/siwe/verify; `freeside` on plain http",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme("session_token", bearer("A session's token, as a frame gets it"));
        components.add_security_scheme("operator", bearer("FREESIDE_OPERATOR_TOKEN"));
    }
}

static PRETTY: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document()).expect("a JSON value serialises");
    text.push('\n');
    text
});

/// The document.
#[must_use]
pub fn document() -> Value {
    serde_json::to_value(Described::openapi()).expect("an OpenAPI document is JSON")
}

/// The document as text that people can read: two spaces, a line end.
#[must_use]
pub fn pretty() -> &'static str {
    &PRETTY
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn json() -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "max-age=300")], pretty()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes::{Documented, table};

    /// Every operation: method in lower case, path, description.
    fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = document["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| {
            let methods = item.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    #[test]
    fn every_documented_route_is_in_the_document_and_vice_versa() {
        let document = document();
        let described: BTreeSet<String> = operations(&document)
            .map(|(method, path, _)| format!("{} {path}", method.to_uppercase()))
            .collect();
        let served: BTreeSet<String> = table()
            .iter()
            .filter(|row| row.documented == Documented::Yes)
            .map(|row| format!("{} {}", row.method, row.path.replace("{*", "{")))
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn the_document_is_openapi_3_1_and_every_reference_leads_somewhere() {
        let document = document();
        assert!(document["openapi"].as_str().expect("text").starts_with("3.1"));
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/").skip(1) {
            let pointer = format!("/{}", reference.split('"').next().expect("closed"));
            assert!(document.pointer(&pointer).is_some(), "{pointer} leads nowhere");
        }
        let mut ids = BTreeSet::new();
        for (_, path, operation) in operations(&document) {
            let id = operation["operationId"].as_str().expect("each has an id");
            assert!(ids.insert(id.to_owned()), "{id} comes twice");
            assert!(operation["summary"].is_string(), "{path} has no summary");
        }
    }

    #[test]
    fn a_route_that_needs_a_key_says_so_in_the_document() {
        use crate::routes::caller::Access;
        let document = document();
        for row in table().iter().filter(|row| row.documented == Documented::Yes) {
            let path = row.path.replace("{*", "{");
            let operation = &document["paths"][&path][row.method.as_str().to_lowercase()];
            let needs = row.access != Access::Anyone;
            assert_eq!(operation["security"].is_array(), needs, "{} {path}", row.method);
        }
    }
}
