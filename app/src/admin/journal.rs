//! `/admin/{community}/ledger`: every movement of money with its place in the audit chain, and the download of exactly
//! what is shown.

use leptos::prelude::*;
use types::MicroUsd;

use super::frame::{self, Filter, Look, Tab, empty, next};
use super::table::{Cell, Column, dollars, grouped, table};
use crate::parts::code;
use crate::shell::Visit;

/// A line of the trail.
#[derive(Clone, Debug)]
pub struct JournalRow {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: String,
    /// What happened: `mint`, `settle`, ….
    pub operation: &'static str,
    /// Whose account.
    pub account: String,
    /// Its wallet.
    pub wallet: Option<String>,
    /// The pool that answered.
    pub pool: Option<&'static str>,
    /// How much.
    pub amount: MicroUsd,
    /// The account's balance afterwards.
    pub balance: MicroUsd,
    /// The line's hash, hexadecimal.
    pub hash: String,
}

/// A page of the trail.
#[derive(Clone, Debug)]
pub struct Journal {
    /// What is narrowed to.
    pub filter: Filter,
    /// Lines, newest first.
    pub rows: Vec<JournalRow>,
    /// Asks for older lines.
    pub next_cursor: Option<String>,
}

/// The hash's beginning: enough to compare two by eye.
const HASH_SHOWN: usize = 10;

/// The page.
#[must_use]
pub fn journal(visit: &Visit, look: &Look, journal: Journal) -> String {
    let lead = "Every movement of money, each line sealed to the one before. Nothing here is ever changed: a mistake is mended by a new line.";
    let Journal { filter, rows, next_cursor } = journal;
    let path = Tab::Journal.of(&look.community);
    let further = next_cursor.map(|cursor| filter.address(&path, &[("cursor", &cursor)]));
    let download = download(look, &filter);
    let found = if rows.is_empty() {
        empty(
            "No line matches. Widen the days, or clear the filter; a community\u{2019}s first line is its first credit.",
        )
    } else {
        list(rows, &path).into_any()
    };
    let body = view! {
        <section class="figures" aria-labelledby="lines">
            <h2 id="lines">"Lines"</h2>
            {filter.form(path)}
            {found}
            {next(further, "Older lines")}
        </section>
        {download}
    };
    frame::page(visit, look, Tab::Journal, lead, body.into_any())
}

fn list(rows: Vec<JournalRow>, path: &str) -> impl IntoView + use<> {
    let rows = rows.into_iter().map(|row| {
        let JournalRow { seq, at, operation, account, wallet, pool, amount, balance, hash } = row;
        let own = format!("{path}?account={account}");
        vec![
            Cell::Head(grouped(seq)),
            Cell::Time(at),
            Cell::Text(operation.replace('_', " ")),
            Cell::View(view! { <a href=own>{account}</a> }.into_any()),
            Cell::Wallet(wallet),
            Cell::Text(pool.unwrap_or("none").to_owned()),
            Cell::Number(dollars(amount)),
            Cell::Number(dollars(balance)),
            Cell::Code(hash.get(..HASH_SHOWN).unwrap_or(&hash).to_owned()),
        ]
    });
    let columns = [
        Column::Words("Line"),
        Column::Words("Time"),
        Column::Words("What"),
        Column::Words("Account"),
        Column::Words("Wallet"),
        Column::Words("Pool"),
        Column::Figures("Amount"),
        Column::Figures("Balance after"),
        Column::Words("Seal begins"),
    ];
    table("Ledger", "Newest first".to_owned(), &columns, rows.collect())
}

fn download(look: &Look, filter: &Filter) -> impl IntoView + use<> {
    let address = format!("/api/v1/admin/community/{}/audit", look.community.id);
    let (jsonl, csv) =
        (filter.address(&address, &[("format", "jsonl")]), filter.address(&address, &[("format", "csv")]));
    let is_chained = filter.choices.iter().all(|choice| choice.value.is_empty());
    let said = if is_chained {
        "Exactly the lines of the days above. Each line\u{2019}s hash covers the line before, and the file is signed: a line that was changed, dropped or added shows, without asking us."
    } else {
        "Exactly the lines of the filter above. A filtered file cannot be a chain, and says so in its first line; it is still signed as a whole. Clear the filter by pool and account for a chained one."
    };
    view! {
        <section class="figures" aria-labelledby="download">
            <h2 id="download">"Download and verify"</h2>
            <p>{said}</p>
            <p class="actions">
                <a class="button" href=jsonl download="">"Audit file, JSONL"</a>
                <a class="button plain" href=csv download="">"Spreadsheet, CSV"</a>
            </p>
            {code("Verify the file on any machine, offline", "freeside audit verify FILE")}
            <p class="small quiet">"The spreadsheet has the same lines without the seal. Both hold wallet addresses and no other personal data."</p>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::frame::Choice;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    #[test]
    fn a_download_is_what_is_shown_and_says_whether_it_is_chained() {
        let choice =
            |value: &str| Choice { name: "pool", label: "Pool", value: value.into(), options: Vec::new() };
        let filter =
            |value| Filter { from: "2026-01-01".into(), to: String::new(), choices: vec![choice(value)] };
        let row = JournalRow {
            seq: 1_234,
            at: "2026-01-01T00:00:00Z".into(),
            operation: "late_settle",
            account: "9".into(),
            wallet: None,
            pool: Some("cheap"),
            amount: MicroUsd(1),
            balance: MicroUsd(-1),
            hash: "0123456789abcdef".into(),
        };
        let told = |value, rows| Journal { filter: filter(value), rows, next_cursor: Some("5".into()) };
        let all = journal(&visit("/x"), &look(), told("", vec![row]));
        assert!(all.contains("/api/v1/admin/community/7/audit?from=2026-01-01&amp;format=jsonl"));
        assert!(all.contains("1,234") && all.contains("late settle") && all.contains("−$0.000001"));
        assert!(all.contains("0123456789<") && all.contains("covers the line before"));
        let some = journal(&visit("/x"), &look(), told("cheap", Vec::new()));
        assert!(some.contains("pool=cheap&amp;format=csv") && some.contains("cannot be a chain"));
        assert!(some.contains("No line matches"));
    }
}
