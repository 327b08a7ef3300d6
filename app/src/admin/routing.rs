//! `/admin/{community}/routing`: which pool and model answered each request, and why, in words.

use leptos::prelude::*;
use types::MicroUsd;

use super::chart::{Amount, ranks};
use super::frame::{self, Filter, Look, Tab, empty, next};
use super::table::{Cell, Column, dollars, grouped, per_cent, table};
use crate::reason::in_words;
use crate::shell::Visit;

/// One answered request.
#[derive(Clone, Debug)]
pub struct DecisionRow {
    /// When it was made.
    pub at: String,
    /// The agent, if one was asked.
    pub agent: Option<String>,
    /// What was asked for, as it was written.
    pub asked: String,
    /// The pool that was asked for.
    pub requested: Option<&'static str>,
    /// The pool that answered.
    pub actual: Option<&'static str>,
    /// The model that answered.
    pub model: String,
    /// The engine's word.
    pub reason: String,
    /// What it cost.
    pub cost: MicroUsd,
}

/// The decisions of a community.
#[derive(Clone, Debug)]
pub struct Routing {
    /// What is narrowed to.
    pub filter: Filter,
    /// By the pool that answered, over all pages.
    pub by_pool: Vec<Amount>,
    /// By the engine's word, over all pages.
    pub by_reason: Vec<Amount>,
    /// A page, newest first.
    pub decisions: Vec<DecisionRow>,
    /// Asks for older ones.
    pub next_cursor: Option<String>,
}

/// The page.
#[must_use]
pub fn routing(visit: &Visit, look: &Look, routing: Routing) -> String {
    let lead = "Which pool and model answered, what was asked for, and why the two may differ. No request ever climbs above its asker\u{2019}s tier.";
    let Routing { filter, by_pool, by_reason, decisions, next_cursor } = routing;
    let path = Tab::Routing.of(&look.community);
    let further = next_cursor.map(|cursor| filter.address(&path, &[("cursor", &cursor)]) + "#decisions");
    let found = if decisions.is_empty() {
        empty("No answered request matches. Widen the days, or clear the filter.")
    } else {
        view! {
            {shares(&by_pool, &by_reason)}
            <section class="cut" aria-labelledby="decisions">
                <h3 id="decisions">"Each decision"</h3>
                {list(decisions)}
                {next(further, "Older decisions")}
            </section>
        }
        .into_any()
    };
    let body = view! {
        <section class="figures" aria-labelledby="routing">
            <h2 id="routing">"Decisions"</h2>
            {filter.form(path)}
            {found}
        </section>
    };
    frame::page(visit, look, Tab::Routing, lead, body.into_any())
}

fn shares(by_pool: &[Amount], by_reason: &[Amount]) -> impl IntoView + use<> {
    let whole =
        |amounts: &[Amount]| amounts.iter().fold(0_i64, |sum, amount| sum.saturating_add(amount.requests));
    let cost = MicroUsd(by_pool.iter().fold(0_i64, |sum, amount| sum.saturating_add(amount.cost.0)));
    let all = whole(by_pool);
    let rows = |amounts: &[Amount], name: fn(&str) -> String| {
        let row = |amount: &Amount| {
            vec![
                Cell::Head(name(&amount.name)),
                Cell::Number(grouped(amount.requests)),
                Cell::Number(per_cent(amount.requests, all)),
                Cell::Number(dollars(amount.cost)),
            ]
        };
        amounts.iter().map(row).collect::<Vec<_>>()
    };
    let columns = |first| {
        [Column::Words(first), Column::Figures("Requests"), Column::Figures("Share"), Column::Figures("Cost")]
    };
    view! {
        <section class="cut" aria-labelledby="shares">
            <h3 id="shares">"Share of each pool"</h3>
            {ranks("Each pool\u{2019}s share of the cost", by_pool, cost)}
            {table("Decisions by pool", "By the pool that answered, the bars by cost".to_owned(), &columns("Pool"), rows(by_pool, str::to_owned))}
            {table("Decisions by reason", "By the reason".to_owned(), &columns("Why"), rows(by_reason, in_words))}
        </section>
    }
}

fn list(decisions: Vec<DecisionRow>) -> impl IntoView {
    let rows = decisions.into_iter().map(|row| {
        let DecisionRow { at, agent, asked, requested, actual, model, reason, cost } = row;
        let differs = requested.is_some() && requested != actual;
        let actual = actual.unwrap_or("unknown");
        let badge = if differs { "status warm" } else { "status" };
        vec![
            Cell::Time(at),
            agent.map_or_else(|| Cell::Text("none".to_owned()), Cell::Code),
            Cell::Text(asked),
            Cell::Text(requested.unwrap_or("left to us").to_owned()),
            Cell::View(view! { <span class=badge>{actual}</span> }.into_any()),
            Cell::Code(model),
            Cell::Words(in_words(&reason)),
            Cell::Number(dollars(cost)),
        ]
    });
    let columns = [
        Column::Words("Time"),
        Column::Words("Agent"),
        Column::Words("Asked for"),
        Column::Words("Pool asked for"),
        Column::Words("Pool that answered"),
        Column::Words("Model"),
        Column::Words("Why"),
        Column::Figures("Cost"),
    ];
    table("Routing decisions", "Newest first".to_owned(), &columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    #[test]
    fn a_reason_stands_in_words_and_a_difference_shows() {
        let row = |requested, actual, reason: &str| DecisionRow {
            at: "2026-01-01T00:00:00Z".into(),
            agent: Some("demo:1".into()),
            asked: "<flagship>".into(),
            requested,
            actual: Some(actual),
            model: "scripted".into(),
            reason: reason.into(),
            cost: MicroUsd(1),
        };
        let decisions =
            vec![row(Some("flagship"), "standard", "forbidden_pool"), row(None, "cheap", "of_tomorrow")];
        let amount = |name: &str| Amount { name: name.into(), requests: 1, cost: MicroUsd(1) };
        let told = Routing {
            filter: Filter::default(),
            by_pool: vec![amount("standard"), amount("cheap")],
            by_reason: vec![amount("forbidden_pool"), amount("of_tomorrow")],
            decisions,
            next_cursor: Some("c".into()),
        };
        let page = routing(&visit("/x"), &look(), told.clone());
        assert!(
            page.contains("above the asker\u{2019}s tier")
                && page.contains("of tomorrow")
                && page.contains("left to us")
        );
        assert_eq!(page.matches("status warm").count(), 1);
        assert!(
            page.contains("&lt;flagship&gt;")
                && page.contains("?cursor=c#decisions")
                && page.contains("50.0 %")
        );
        let none = routing(&visit("/x"), &look(), Routing { decisions: Vec::new(), ..told });
        assert!(none.contains("No answered request matches") && !none.contains("<table"));
    }
}
