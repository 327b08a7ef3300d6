//! Which switches are on, for clients that show or hide what they offer. Turning one is `freeside flags set`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::flags::Flag;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, shared};

/// The switches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlagList {
    /// By name, whether it is on: `crypto_payments`, `api_keys`, `web_chat`.
    flags: BTreeMap<&'static str, bool>,
}

/// Which switches are on, as this process knows them: at most seconds old.
#[utoipa::path(
    get, path = "/api/v1/flags", tag = "operations", operation_id = "listFlags",
    responses((status = 200, description = "The switches", body = FlagList))
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    let flags = Flag::ALL.into_iter().map(|flag| (flag.name(), app.ctx.flags.is_on(flag))).collect();
    shared::json(HeaderMap::new(), &FlagList { flags })
}
