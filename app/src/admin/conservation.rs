//! `/admin/{community}/conservation`: where every credit is, and whether the books agree.

use leptos::prelude::*;
use types::MicroUsd;

use super::frame::{self, Look, Tab, empty, next};
use super::table::{Cell, Column, dollars, grouped, table};
use crate::parts::{Precision, time, zone};
use crate::shell::Visit;

/// The sums of a community.
#[derive(Clone, Debug)]
pub struct Conservation {
    /// Accounts.
    pub accounts: i64,
    /// Ever credited.
    pub created: MicroUsd,
    /// Owed to us.
    pub receivable: MicroUsd,
    /// Free.
    pub available: MicroUsd,
    /// Set aside.
    pub held: MicroUsd,
    /// Charged.
    pub consumed: MicroUsd,
    /// Lost to expiry.
    pub expired: MicroUsd,
    /// Taken back.
    pub reversed: MicroUsd,
    /// The largest disagreement.
    pub difference: MicroUsd,
    /// Accounts that are frozen.
    pub frozen: i64,
    /// Violations that nobody has resolved.
    pub open_violations: i64,
    /// Since when nothing is credited.
    pub minting_stopped_at: Option<String>,
    /// When every account was last looked at, and how many seconds ago.
    pub checked: Option<(String, i64)>,
    /// A page of violations, newest first.
    pub violations: Vec<ViolationRow>,
    /// Asks for older ones.
    pub next_cursor: Option<String>,
}

/// Where the books did not agree.
#[derive(Clone, Debug)]
pub struct ViolationRow {
    /// When it was found.
    pub found_at: String,
    /// Whose.
    pub account: Option<String>,
    /// What did not agree.
    pub what: String,
    /// When, by whom and how it was resolved.
    pub resolved: Option<(String, String)>,
}

/// The page.
#[must_use]
pub fn conservation(visit: &Visit, look: &Look, sums: Conservation) -> String {
    let lead =
        "Credits are neither made nor lost by accident: what came in is somewhere, and this page says where.";
    let further = sums
        .next_cursor
        .as_ref()
        .map(|cursor| format!("{}?cursor={cursor}#history", Tab::Conservation.of(&look.community)));
    let body = view! {
        {verdict(&sums)}
        {balance_sheet(&sums)}
        <section class="figures" aria-labelledby="history">
            <h2 id="history">"History of violations"</h2>
            {history(sums.violations)}
            {next(further, "Older violations")}
        </section>
    };
    frame::page(visit, look, Tab::Conservation, lead, body.into_any())
}

fn verdict(sums: &Conservation) -> impl IntoView + use<> {
    let is_sound = sums.difference == MicroUsd::ZERO && sums.open_violations == 0;
    let said = if is_sound {
        view! { <p class="note good"><strong>"The books hold."</strong>" Every sum equals the journal, to the micro-dollar."</p> }.into_any()
    } else {
        let text = format!(
            " {} open, a difference of {}, {} frozen. New spending of frozen accounts is refused until a person has looked; answers in progress are settled.",
            grouped(sums.open_violations),
            dollars(sums.difference),
            grouped(sums.frozen)
        );
        view! { <p class="note bad"><strong>"The books do not agree."</strong>{text}</p> }.into_any()
    };
    let stopped = sums.minting_stopped_at.clone().map(|at| {
        view! { <p class="note bad">"Nothing is credited since "{time(&at, Precision::Second)}" "{zone()}", because of a difference that no account explains."</p> }
    });
    let checked = match sums.checked.clone() {
        Some((at, seconds)) => view! {
            <p>"Every account was last checked "<strong>{format!("{} s ago", grouped(seconds))}</strong>", at "{time(&at, Precision::Second)}" "{zone()}". The check runs every 15 seconds, and over everything each day."</p>
        }
        .into_any(),
        None => view! { <p>"The check has not run yet since this server was set up. It runs every 15 seconds."</p> }.into_any(),
    };
    view! {
        <section class="figures" aria-labelledby="verdict">
            <h2 id="verdict">"Do the books agree?"</h2>
            {said}
            {stopped}
            {checked}
        </section>
    }
}

fn balance_sheet(sums: &Conservation) -> impl IntoView + use<> {
    let whole = |amounts: &[MicroUsd]| {
        MicroUsd(amounts.iter().fold(0_i64, |sum, amount| sum.saturating_add(amount.0)))
    };
    let came =
        [("Created: bought, granted, welcomed", sums.created), ("Receivable: owed to us", sums.receivable)];
    let went = [
        ("Available", sums.available),
        ("Held for answers in progress", sums.held),
        ("Consumed", sums.consumed),
        ("Expired", sums.expired),
        ("Reversed", sums.reversed),
    ];
    let side = |rows: &[(&'static str, MicroUsd)], total: &'static str| {
        let sum = whole(&rows.iter().map(|(_, amount)| *amount).collect::<Vec<_>>());
        rows.iter()
            .copied()
            .chain([(total, sum)])
            .map(|(name, amount)| {
                vec![
                    Cell::Head(name.to_owned()),
                    Cell::Number(dollars(amount)),
                    Cell::Number(grouped(amount.0)),
                ]
            })
            .collect::<Vec<_>>()
    };
    let columns = [Column::Words("What"), Column::Figures("Dollars"), Column::Figures("Micro-dollars")];
    let accounts = format!("Over {} accounts.", grouped(sums.accounts));
    view! {
        <section class="figures" aria-labelledby="sheet">
            <h2 id="sheet">"Where the credits are"</h2>
            <div class="pair">
                {table("What came in", "What came in".to_owned(), &columns, side(&came, "Together"))}
                {table("Where it is", "Where it is".to_owned(), &columns, side(&went, "Together, the same"))}
            </div>
            <p class="small quiet">{accounts}" The difference is the largest disagreement of any sum with the journal: "<strong>{dollars(sums.difference)}</strong>"."</p>
        </section>
    }
}

fn history(violations: Vec<ViolationRow>) -> AnyView {
    if violations.is_empty() {
        return empty(
            "There never was one. Should there be, it stands here with what did not agree, who looked at it, and what they found.",
        );
    }
    let rows = violations.into_iter().map(|row| {
        let (at, how) = row.resolved.unwrap_or_else(|| (String::new(), "open".to_owned()));
        vec![
            Cell::Time(row.found_at),
            Cell::Text(row.account.unwrap_or_else(|| "no account explains it".to_owned())),
            Cell::Text(row.what),
            if at.is_empty() { Cell::Text("not yet".to_owned()) } else { Cell::Time(at) },
            Cell::Text(how),
        ]
    });
    let columns = [
        Column::Words("Found"),
        Column::Words("Account"),
        Column::Words("What did not agree"),
        Column::Words("Resolved"),
        Column::Words("How"),
    ];
    table("Violations", "Newest first".to_owned(), &columns, rows.collect()).into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    fn shown(difference: i64, violations: Vec<ViolationRow>) -> String {
        let sums = Conservation {
            accounts: 3,
            created: MicroUsd(10_000_000),
            receivable: MicroUsd(1),
            available: MicroUsd(4_000_001),
            held: MicroUsd(1_000_000),
            consumed: MicroUsd(2_000_000),
            expired: MicroUsd(2_000_000),
            reversed: MicroUsd(1_000_000),
            difference: MicroUsd(difference),
            frozen: 0,
            open_violations: i64::try_from(violations.len()).expect("few"),
            minting_stopped_at: None,
            checked: Some(("2026-01-31T11:59:50Z".into(), 10)),
            violations,
            next_cursor: None,
        };
        conservation(&visit("/admin/demo/conservation"), &look(), sums)
    }

    #[test]
    fn both_sides_come_to_the_same() {
        let page = shown(0, Vec::new());
        assert_eq!(page.matches("10,000,001").count(), 2, "{page}");
        assert!(
            page.contains("The books hold.")
                && page.contains("10 s ago")
                && page.contains("There never was one")
        );
    }

    #[test]
    fn a_violation_is_not_talked_away() {
        let row = ViolationRow {
            found_at: "2026-01-01T00:00:00Z".into(),
            account: None,
            what: "spent is <1> more".into(),
            resolved: None,
        };
        let page = shown(1, vec![row]);
        assert!(page.contains("do not agree") && page.contains("&lt;1&gt;") && page.contains("not yet"));
        assert!(!page.contains("The books hold."));
    }
}
