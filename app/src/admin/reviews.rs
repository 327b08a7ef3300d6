//! `/admin/{community}/reviews`: what only a person can decide.

use leptos::prelude::*;

use super::frame::{self, Look, Tab, empty, next};
use super::repair::{Pending, ask, waiting};
use super::table::{Cell, Column, table};
use crate::shell::Visit;

/// Something that a person has to look at, or has.
#[derive(Clone, Debug)]
pub struct ReviewRow {
    /// Its number.
    pub id: String,
    /// What it is about, as a word.
    pub kind: &'static str,
    /// The processor's payment.
    pub payment: String,
    /// More about it.
    pub detail: String,
    /// When it was opened.
    pub opened_at: String,
    /// How it was closed, or what it waits for; `None`: it can be decided.
    pub closed: Option<String>,
}

/// A decision that was sent to the operator.
#[derive(Clone, Debug)]
pub struct RequestRow {
    /// The review item's number.
    pub item: String,
    /// `credit` or `dismiss`.
    pub what: &'static str,
    /// Who asked.
    pub who: String,
    /// Why.
    pub note: String,
    /// When.
    pub asked_at: String,
    /// How it stands, as a sentence.
    pub state: String,
}

/// The queue of a community.
#[derive(Clone, Debug)]
pub struct Reviews {
    /// Whether closed items are shown as well.
    pub shows_all: bool,
    /// A page, oldest first.
    pub items: Vec<ReviewRow>,
    /// Asks for later ones.
    pub next_cursor: Option<String>,
    /// Decisions that wait for another administrator.
    pub pending: Vec<Pending>,
    /// Decisions that the operator approves, newest first.
    pub requests: Vec<RequestRow>,
}

/// What each kind means.
fn in_words(kind: &str) -> String {
    let words = match kind {
        "partially_paid" => "less came than was asked for",
        "overpay" => "the order was paid once more",
        "child_payment" => "a deposit came to an earlier payment\u{2019}s address, or in another coin",
        "wrong_currency" => "the notice names another currency than the order",
        "wrong_price" => "the notice names another price than the order",
        "unknown_status" => "the processor told a status that we do not know",
        "unknown_order" => "no order of ours is meant",
        "other_order" => "the payment belongs to another order",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}

/// The page.
#[must_use]
pub fn reviews(visit: &Visit, look: &Look, reviews: Reviews) -> String {
    let lead = "What no rule can decide: odd payments wait here for a person, and the record keeps what they decided and why. Credits are approved by the operator of this server, and so is whatever concerns an order of your own.";
    let Reviews { shows_all, items, next_cursor, pending, requests } = reviews;
    let path = Tab::Reviews.of(&look.community);
    let all = format!("{path}?state=all");
    let current = |is_here: bool| is_here.then_some("page");
    let state = if shows_all { "state=all&" } else { "" };
    let further = next_cursor.map(|cursor| format!("{path}?{state}cursor={cursor}"));
    let found = if items.is_empty() {
        let text = if shows_all {
            "Nothing was ever waiting. Items come by themselves, when a payment is odd."
        } else {
            "Nothing waits for you. Items come by themselves, when a payment is odd."
        };
        empty(text)
    } else {
        list(&path, items).into_any()
    };
    let body = view! {
        {waiting(&path, pending)}
        {at_the_operator(requests)}
        <section class="figures" aria-labelledby="queue">
            <h2 id="queue">"Queue"</h2>
            <nav class="switch" aria-label="Which items"><ul>
                <li><a href=path aria-current=current(!shows_all)>"Open"</a></li>
                <li><a href=all aria-current=current(shows_all)>"All"</a></li>
            </ul></nav>
            {found}
            {next(further, "Later items")}
        </section>
    };
    frame::page(visit, look, Tab::Reviews, lead, body.into_any())
}

/// What was sent to the operator; nothing when nothing was.
fn at_the_operator(requests: Vec<RequestRow>) -> Option<impl IntoView> {
    let rows: Vec<_> = requests
        .into_iter()
        .map(|RequestRow { item, what, who, note, asked_at, state }| {
            vec![
                Cell::Head(item),
                Cell::Time(asked_at),
                Cell::Text(what.to_owned()),
                Cell::Code(who),
                Cell::Text(note),
                Cell::Named(state),
            ]
        })
        .collect();
    let columns = [
        Column::Words("Item"),
        Column::Words("Asked"),
        Column::Words("To"),
        Column::Words("By"),
        Column::Words("Because"),
        Column::Words("State"),
    ];
    (!rows.is_empty()).then(|| {
        view! {
            <section class="figures" aria-labelledby="operator">
                <h2 id="operator">"At the operator"</h2>
                {table("Requests for the operator\u{2019}s approval", "Newest first".to_owned(), &columns, rows)}
            </section>
        }
    })
}

fn list(path: &str, items: Vec<ReviewRow>) -> impl IntoView + use<> {
    let path = path.to_owned();
    let rows = items.into_iter().map(|item| {
        let ReviewRow { id, kind, payment, detail, opened_at, closed } = item;
        let what = if detail.is_empty() { in_words(kind) } else { format!("{}: {detail}", in_words(kind)) };
        let decide = match closed {
            Some(closed) => Cell::Named(closed),
            None => Cell::View(decide(&path, &id, kind)),
        };
        vec![Cell::Head(id), Cell::Time(opened_at), Cell::Text(what), Cell::Code(payment), decide]
    });
    let columns = [
        Column::Words("Item"),
        Column::Words("Opened"),
        Column::Words("What"),
        Column::Words("Payment"),
        Column::Words("Decision"),
    ];
    table("Review items", "Oldest first".to_owned(), &columns, rows.collect())
}

fn decide(path: &str, id: &str, kind: &str) -> AnyView {
    // Only an overpayment can be credited; for anything else there are grants.
    let credit = (kind == "overpay").then(|| {
        let (of, dismiss) = (format!("resolution-{id}"), "Dismiss: it was paid back, or is nothing");
        let label = of.clone();
        view! {
            <div class="field">
                <label for=label>"Decision"</label>
                <select id=of name="resolution">
                    <option value="credit">"Ask the operator to credit the pack\u{2019}s worth"</option>
                    <option value="dismiss">{dismiss}</option>
                </select>
            </div>
        }
    });
    let mut fields = vec![("item", id.to_owned())];
    if credit.is_none() {
        fields.push(("resolution", "dismiss".to_owned()));
    }
    let open = if credit.is_some() { "Decide" } else { "Dismiss" };
    ask(path, id, open, &format!("about item {id}"), fields, credit.into_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    #[test]
    fn an_open_item_can_be_decided_and_a_closed_one_says_how_it_was() {
        let item = |id: &str, kind, closed: Option<&str>| ReviewRow {
            id: id.into(),
            kind,
            payment: "<57>".into(),
            detail: String::new(),
            opened_at: "2026-01-01T00:00:00Z".into(),
            closed: closed.map(str::to_owned),
        };
        let items = vec![
            item("1", "overpay", None),
            item("2", "wrong_price", None),
            item("3", "overpay", Some("dismissed")),
        ];
        let request = RequestRow {
            item: "1".into(),
            what: "credit",
            who: "wallet:<0x1>".into(),
            note: "paid twice".into(),
            asked_at: "2026-01-02T00:00:00Z".into(),
            state: "Waiting for the operator.".into(),
        };
        let told = Reviews {
            shows_all: true,
            items,
            next_cursor: Some("3".into()),
            pending: Vec::new(),
            requests: vec![request],
        };
        let page = reviews(&visit("/x"), &look(), told.clone());
        assert_eq!((page.matches("<select").count(), page.matches("class=\"ask\"").count()), (1, 2));
        assert!(
            page.contains("another price than the order")
                && page.contains("&lt;57&gt;")
                && page.contains("?state=all&amp;cursor=3")
        );
        assert!(page.contains("At the operator") && page.contains("wallet:&lt;0x1&gt;"));
        let none = Reviews { items: Vec::new(), shows_all: false, requests: Vec::new(), ..told };
        let none = reviews(&visit("/x"), &look(), none);
        assert!(none.contains("Nothing waits for you") && !none.contains("At the operator"));
    }
}
