//! `/admin/{community}/agents`: which agents are asked, by how many, and when last.

use leptos::prelude::*;
use types::MicroUsd;

use super::frame::{self, Look, Tab, next};
use super::table::{Cell, Column, dollars, grouped, table};
use crate::shell::Visit;

/// An agent and its use.
#[derive(Clone, Debug)]
pub struct AgentRow {
    /// What people call it.
    pub name: String,
    /// `{slug}:{token}`.
    pub agent: String,
    /// Where one talks to it.
    pub address: String,
    /// Who may, in a word.
    pub talks: &'static str,
    /// Conversations of the last days.
    pub conversations: i64,
    /// Charged requests of the last days.
    pub requests: i64,
    /// Accounts that asked.
    pub users: i64,
    /// What they paid.
    pub cost: MicroUsd,
    /// When it was asked last, within the last days.
    pub last_active_at: Option<String>,
}

/// The page. `days`: how far back the figures go.
#[must_use]
pub fn agents(
    visit: &Visit,
    look: &Look,
    days: i64,
    agents: Vec<AgentRow>,
    next_cursor: Option<String>,
) -> String {
    let lead = "Who speaks here, with whom, and since when it has been quiet.";
    let path = Tab::Agents.of(&look.community);
    let further = next_cursor.map(|cursor| format!("{path}?cursor={cursor}"));
    let active = agents.iter().filter(|agent| agent.last_active_at.is_some()).count();
    let found = if agents.is_empty() {
        frame::empty("This community has no agents yet. They come with its collection: each token is one.")
    } else {
        let summary = format!("{active} of the {} on this page were asked within {days} days.", agents.len());
        let rows = agents.into_iter().map(|agent| row(look, agent)).collect();
        let columns = [
            Column::Words("Agent"),
            Column::Words("Name in requests"),
            Column::Words("Talks with"),
            Column::Figures("Conversations"),
            Column::Figures("Requests"),
            Column::Figures("Accounts"),
            Column::Figures("Cost"),
            Column::Words("Last active"),
            Column::Words("Decisions"),
        ];
        let caption = format!(
            "In the order in which they came; figures of the last {days} days, paid by this community"
        );
        view! { <p>{summary}</p>{table("Agents", caption, &columns, rows)} }.into_any()
    };
    let body = view! {
        <section class="figures" aria-labelledby="agents">
            <h2 id="agents">"All agents"</h2>
            {found}
            {next(further, "Further agents")}
        </section>
    };
    frame::page(visit, look, Tab::Agents, lead, body.into_any())
}

fn row(look: &Look, agent: AgentRow) -> Vec<Cell> {
    let AgentRow { name, agent, address, talks, conversations, requests, users, cost, last_active_at } =
        agent;
    let decisions = format!("{}?agent={}", Tab::Routing.of(&look.community), crate::parts::encoded(&agent));
    let why = view! { <a href=decisions>"Why"<span class="hidden">" were requests to "{name.clone()}" routed so"</span></a> };
    vec![
        Cell::View(view! { <a href=address>{name}</a> }.into_any()),
        Cell::Code(agent),
        Cell::Text(talks.to_owned()),
        Cell::Number(grouped(conversations)),
        Cell::Number(grouped(requests)),
        Cell::Number(grouped(users)),
        Cell::Number(dollars(cost)),
        last_active_at.map_or_else(|| Cell::Text("quiet".to_owned()), Cell::Time),
        Cell::View(why.into_any()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    #[test]
    fn an_agent_says_when_it_was_asked_last() {
        let agent = |last: Option<&str>| AgentRow {
            name: "<Nim>".into(),
            agent: "demo:6".into(),
            address: "/chat/demo/6".into(),
            talks: "anyone",
            conversations: 2,
            requests: 1_000,
            users: 3,
            cost: MicroUsd(7),
            last_active_at: last.map(str::to_owned),
        };
        let page =
            agents(&visit("/x"), &look(), 30, vec![agent(Some("2026-01-01T00:00:00Z")), agent(None)], None);
        assert!(page.contains("1 of the 2") && page.contains("&lt;Nim&gt;") && page.contains("quiet"));
        assert!(page.contains("/admin/demo/routing?agent=demo%3A6") && page.contains("1,000"));
        let none = agents(&visit("/x"), &look(), 30, Vec::new(), None);
        assert!(none.contains("has no agents yet") && !none.contains("<table"));
    }
}
