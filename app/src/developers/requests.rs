//! `/developers/requests`: each request and the life of its reservation. Filters stand in the address.

use leptos::prelude::*;
use types::MicroUsd;

use crate::parts::{Precision, as_of, encoded, key_field, sign_in, time, zone};
use crate::shell::{self, Head, Visit};

/// A request, for people.
#[derive(Clone, Debug)]
pub struct RequestRow {
    /// The reservation.
    pub id: String,
    /// When it was asked, RFC 3339 in UTC.
    pub at: String,
    /// `held`, `settled`, `released` or `orphaned`.
    pub state: &'static str,
    /// What was asked for: a model, a pool or an agent.
    pub asked: String,
    /// What answered.
    pub model: Option<String>,
    /// Its pool.
    pub pool: Option<&'static str>,
    /// Why that pool and model, as the stable word of the API.
    pub reason: Option<String>,
    /// The key's name.
    pub key: Option<String>,
    /// Prompt and completion tokens.
    pub tokens: Option<(i64, i64)>,
    /// Set aside.
    pub held: MicroUsd,
    /// Charged.
    pub charged: Option<MicroUsd>,
    /// How long it took until the money was settled, in words.
    pub took: Option<String>,
}

/// Filters, as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// First day.
    pub from: String,
    /// Last day.
    pub to: String,
    /// One pool.
    pub pool: String,
    /// One place of a life.
    pub state: String,
    /// One model.
    pub model: String,
}

impl Filters {
    /// The address of the log with these filters, and what comes on top.
    #[must_use]
    pub fn address(&self, more: &[(&str, &str)]) -> String {
        let own = [
            ("from", self.from.as_str()),
            ("to", &self.to),
            ("pool", &self.pool),
            ("state", &self.state),
            ("model", &self.model),
        ];
        let pairs: Vec<String> = own
            .iter()
            .chain(more)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        if pairs.is_empty() {
            "/developers/requests".to_owned()
        } else {
            format!("/developers/requests?{}", pairs.join("&"))
        }
    }

    fn is_empty(&self) -> bool {
        self.pool.is_empty() && self.state.is_empty() && self.model.is_empty()
    }
}

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Log {
    /// As they were sent.
    pub filters: Filters,
    /// A page of requests; `None`: nobody has said whose.
    pub rows: Option<Vec<RequestRow>>,
    /// As `before`, asks for older ones.
    pub older: Option<String>,
    /// Whether this is not the first page.
    pub is_later: bool,
    /// Why there is nothing to see.
    pub refusal: Option<String>,
    /// When this was read, RFC 3339 in UTC.
    pub read_at: String,
    /// Whether the looker shows a key, each time.
    pub by_key: bool,
}

/// The page.
#[must_use]
pub fn page(visit: &Visit, log: Log) -> String {
    let about = "Each request of your account, and what became of the money that was set aside for it.";
    let head = Head { scripts: &["frontend.js"], ..Head::private("Request log", about) };
    let Log { filters, rows, older, is_later, refusal, read_at, by_key } = log;
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    let found = rows.map(|rows| listed(&filters, rows, older, is_later, &read_at, by_key));
    let asks = found.is_none().then(|| who(visit, &filters));
    let body = view! {
        <div class="spread">
            <header>
                <p class="eyebrow"><a href="/developers/account">"Usage and keys"</a></p>
                <h1>"Request log"</h1>
                <p class="lead">"Before a model is asked, the most that the answer can cost is set aside. Here is what became of it."</p>
            </header>
            {refusal}
            {(!by_key).then(|| filter_form(&filters))}
            {asks}
            {found}
        </div>
    };
    shell::page(visit, head, body)
}

/// Whose log, for whoever is not signed in.
fn who(visit: &Visit, filters: &Filters) -> AnyView {
    let href = sign_in(&visit.path);
    let action = filters.address(&[]);
    view! {
        <p class="actions after-sheet"><a class="button" href=href>"Sign in with a wallet"</a></p>
        <form class="sheet after-sheet" method="post" action=action>
            {key_field("Or show an API key of the account")}
            <button class="button plain">"Show its requests"</button>
        </form>
    }
    .into_any()
}

fn filter_form(filters: &Filters) -> AnyView {
    let options = |chosen: &str, words: &[(&'static str, &'static str)]| -> Vec<_> {
        words
            .iter()
            .map(|(value, label)| {
                let is_chosen = *value == chosen;
                view! { <option value=*value selected=is_chosen>{*label}</option> }
            })
            .collect()
    };
    let pools = [
        ("", "Any pool"),
        ("cheap", "cheap"),
        ("standard", "standard"),
        ("reasoning", "reasoning"),
        ("architect", "architect"),
        ("flagship", "flagship"),
    ];
    let states = [
        ("", "Any state"),
        ("held", "held"),
        ("settled", "settled"),
        ("released", "released"),
        ("orphaned", "orphaned"),
    ];
    let pools = options(&filters.pool, &pools);
    let states = options(&filters.state, &states);
    view! {
        <form class="filters" method="get" action="/developers/requests" aria-label="Filters">
            <div class="field"><label for="from">"From"</label><input r#type="date" id="from" name="from" value=filters.from.clone()/></div>
            <div class="field"><label for="to">"To"</label><input r#type="date" id="to" name="to" value=filters.to.clone()/></div>
            <div class="field"><label for="state">"State"</label><select id="state" name="state">{states}</select></div>
            <div class="field"><label for="pool">"Pool"</label><select id="pool" name="pool">{pools}</select></div>
            <div class="field"><label for="model">"Model"</label><input r#type="text" id="model" name="model" value=filters.model.clone() maxlength="256"/></div>
            <button class="button plain">"Filter"</button>
        </form>
    }
    .into_any()
}

fn listed(
    filters: &Filters,
    rows: Vec<RequestRow>,
    older: Option<String>,
    is_later: bool,
    read_at: &str,
    by_key: bool,
) -> AnyView {
    if rows.is_empty() {
        let text = if filters.is_empty() && !is_later {
            view! { <p>"Nothing was asked in these days. "<a href="/developers/playground">"Ask a first question"</a>", and it shows here at once, with what was set aside for it."</p> }.into_any()
        } else {
            view! { <p>"No request fits these filters. "<a href="/developers/requests">"Show all of this month"</a>"."</p> }.into_any()
        };
        return view! { {text}<p class="small quiet">{as_of(read_at, Precision::Minute)}</p> }.into_any();
    }
    let first = is_later.then(|| view! { <a href=filters.address(&[])>"Newest"</a> });
    let older = older.map(|before| {
        let address = filters.address(&[("before", &before)]);
        if by_key {
            view! { <form method="post" action=address>{key_field("Your API key, once more")}<button class="button plain">"Older requests"</button></form> }.into_any()
        } else {
            view! { <a rel="next" href=address>"Older requests"</a> }.into_any()
        }
    });
    let csv =
        (!by_key).then(|| view! { <a href=filters.address(&[("format", "csv")])>"Download as CSV"</a> });
    view! {
        {table(rows)}
        <p class="small quiet">{as_of(read_at, Precision::Minute)}</p>
        <div class="actions">{first}{older}{csv}</div>
    }
    .into_any()
}

/// Requests as a table.
fn table(rows: Vec<RequestRow>) -> AnyView {
    let rows: Vec<_> = rows.into_iter().map(row).collect();
    view! {
        <div class="scroll" tabindex="0" role="group" aria-label="Requests, as a table">
            <table class="log">
                <caption>"Newest first, amounts in US dollars, times in "{zone()}</caption>
                <thead><tr>
                    <th scope="col">"Asked at"</th><th scope="col">"State"</th><th scope="col">"Model"</th><th scope="col">"Key"</th>
                    <th scope="col" class="number">"Tokens in, out"</th><th scope="col" class="number">"Set aside"</th>
                    <th scope="col" class="number">"Charged"</th><th scope="col" class="number">"Given back"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// The latest ones, with what matters most: they stand beside other things.
pub(super) fn short_table(rows: Vec<RequestRow>) -> AnyView {
    let rows: Vec<_> = rows
        .into_iter()
        .map(|RequestRow { at, state, asked, held, charged, .. }| {
            view! {
                <tr>
                    <th scope="row">{time(&at, Precision::Second)}</th>
                    <td><span class=badge(state)>{state}</span></td>
                    <td>{asked}</td>
                    <td class="number">{dollars(Some(held))}</td>
                    <td class="number">{dollars(charged)}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <div class="scroll" tabindex="0" role="group" aria-label="The latest requests, as a table">
            <table class="log">
                <caption>"The latest, newest first, times in "{zone()}</caption>
                <thead><tr>
                    <th scope="col">"Asked at"</th><th scope="col">"State"</th><th scope="col">"Model"</th>
                    <th scope="col" class="number">"Set aside"</th><th scope="col" class="number">"Charged"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn badge(state: &str) -> &'static str {
    match state {
        "settled" => "status good",
        "held" => "status warm",
        "orphaned" => "status hot",
        _ => "status",
    }
}

fn row(row: RequestRow) -> AnyView {
    let RequestRow { id, at, state, asked, model, pool, reason, key, tokens, held, charged, took } = row;
    let class = badge(state);
    let back = match state {
        "held" => None,
        _ => Some(MicroUsd(held.0.saturating_sub(charged.map_or(0, |charged| charged.0)).max(0))),
    };
    let tokens =
        tokens.map_or_else(|| "–".to_owned(), |(prompt, completion)| format!("{prompt}, {completion}"));
    let answered = match (model, pool) {
        (Some(model), Some(pool)) => format!("{model} ({pool})"),
        (Some(model), None) => model,
        (None, Some(pool)) => pool.to_owned(),
        (None, None) => String::new(),
    };
    let answered = (!answered.is_empty()).then(|| view! { <span class="small quiet">{answered}</span> });
    let why = reason.map(|word| view! { <span class="small quiet">{crate::reason::in_words(&word)}</span> });
    let took = took.map(|took| view! { <span class="small quiet">{took}</span> });
    view! {
        <tr id=format!("r-{id}")>
            <th scope="row">{time(&at, Precision::Second)}</th>
            <td><span class=class>{state}</span>{took}</td>
            <td><span>{asked}</span>{answered}{why}</td>
            <td>{key.unwrap_or_else(|| "wallet".to_owned())}</td>
            <td class="number">{tokens}</td>
            <td class="number">{dollars(Some(held))}</td>
            <td class="number">{dollars(charged)}</td>
            <td class="number">{dollars(back)}</td>
        </tr>
    }
    .into_any()
}

fn dollars(amount: Option<MicroUsd>) -> String {
    amount.map_or_else(|| "–".to_owned(), |amount| format!("${}", amount.to_usd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    fn log(rows: Option<Vec<RequestRow>>, filters: Filters) -> Log {
        let older = rows.as_ref().filter(|rows| !rows.is_empty()).map(|_| "0190".to_owned());
        Log {
            filters,
            rows,
            older,
            is_later: false,
            refusal: None,
            read_at: "2026-01-01T12:00:00Z".into(),
            by_key: false,
        }
    }

    fn settled() -> RequestRow {
        RequestRow {
            id: "0190".into(),
            at: "2026-01-01T12:00:00Z".into(),
            state: "settled",
            asked: "<native>".into(),
            model: Some("m".into()),
            pool: Some("cheap"),
            reason: Some("forbidden_pool".into()),
            key: Some("laptop".into()),
            tokens: Some((12, 34)),
            held: MicroUsd(2_100),
            charged: Some(MicroUsd(85)),
            took: Some("0.4 s".into()),
        }
    }

    #[test]
    fn a_row_accounts_for_all_that_was_set_aside() {
        let page = page(&visit("/developers/requests"), log(Some(vec![settled()]), Filters::default()));
        for text in
            ["$0.0021", "$0.000085", "$0.002015", "12, 34", "m (cheap)", "above the asker", "&lt;native&gt;"]
        {
            assert!(page.contains(text), "{text}");
        }
        assert!(page.contains("href=\"/developers/requests?before=0190\""));
    }

    #[test]
    fn filters_stay_in_the_address_and_an_empty_list_says_why() {
        let filters = Filters { pool: "cheap".into(), model: "a b".into(), ..Filters::default() };
        let empty = page(&visit("/developers/requests"), log(Some(Vec::new()), filters.clone()));
        assert!(empty.contains("No request fits") && empty.contains("value=\"cheap\" selected"));
        assert_eq!(
            filters.address(&[("before", "x")]),
            "/developers/requests?pool=cheap&model=a%20b&before=x"
        );
        let first = page(&visit("/developers/requests"), log(Some(Vec::new()), Filters::default()));
        assert!(first.contains("Ask a first question"));
        let nobody = page(&visit("/developers/requests"), log(None, Filters::default()));
        assert!(
            nobody.contains("/signin?return=%2Fdevelopers%2Frequests") && nobody.contains("name=\"key\"")
        );
    }
}
