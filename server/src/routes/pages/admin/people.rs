//! `/admin/{community}/agents`

use app::admin::AgentRow;
use axum::response::Response;
use domain::agent::Page;
use domain::reports::community::{ACTIVE_FOR, AgentActivity};
use types::MicroUsd;

use super::super::super::admin::{ROWS, next_cursor};
use super::super::super::fault::Fault;
use super::super::super::shared::moment;
use super::Looking;

/// `GET /admin/{community}/agents`
pub(crate) async fn show(looking: Looking) -> Response {
    let page = Page { after: looking.asking.cursor(|text| text.parse().ok()), limit: ROWS };
    let found = domain::reports::community::agents(&looking.app.ctx, looking.id(), page).await;
    let found = match found {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => return looking.failed(Fault::Unexpected(error)),
    };
    let next = next_cursor(&found, ROWS, |found| found.agent.id.to_string());
    let rows = found.iter().map(row).collect();
    let days = ACTIVE_FOR.whole_days();
    looking.show(app::admin::agents(looking.reader.visit(), &looking.look(), days, rows, next))
}

fn row(found: &AgentActivity) -> AgentRow {
    let AgentActivity { agent, usage, conversations } = found;
    let usage = usage.as_ref();
    AgentRow {
        name: agent.name.clone(),
        agent: agent.nft_id(),
        address: format!("/chat/{}/{}", agent.slug, agent.token_id),
        talks: if agent.holder_only { "its holder" } else { "anyone" },
        conversations: *conversations,
        requests: usage.map_or(0, |usage| usage.requests),
        users: usage.map_or(0, |usage| usage.users),
        cost: MicroUsd(usage.map_or(0, |usage| usage.cost)),
        last_active_at: usage.map(|usage| moment(usage.last_active_at)),
    }
}
