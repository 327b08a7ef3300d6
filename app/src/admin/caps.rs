//! `/admin/{community}/caps`: what may be spent in a month, by all and by single accounts.

use leptos::prelude::*;
use types::MicroUsd;

use super::chart::gauge;
use super::frame::{self, Look, Tab, next};
use super::table::{Cell, Column, dollars, per_cent, table};
use crate::shell::Visit;

/// The longest reason that a form takes, in characters.
pub(super) const REASON_CHARACTERS_AT_MOST: usize = 500;

/// A monthly cap and what counts against it.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// The hard cap; `None`: none.
    pub limit: Option<MicroUsd>,
    /// Spent this month.
    pub spent: MicroUsd,
    /// Set aside this month.
    pub held: MicroUsd,
}

/// An account with a cap of its own.
#[derive(Clone, Debug)]
pub struct AccountCap {
    /// Its number.
    pub account: String,
    /// Its wallet.
    pub wallet: Option<String>,
    /// Its cap.
    pub cap: Cap,
}

/// What stands in the form.
#[derive(Clone, Debug, Default)]
pub struct CapForm {
    /// Dollars, as they were typed.
    pub limit: String,
    /// The account, as it was typed; empty: the community.
    pub account: String,
    /// Why.
    pub reason: String,
    /// The field that cannot be right, and what would be.
    pub wrong: Option<(&'static str, String)>,
}

/// The caps of a community.
#[derive(Clone, Debug)]
pub struct Caps {
    /// `2026-01`.
    pub month: String,
    /// The community's own.
    pub whole: Cap,
    /// A page of accounts with one of their own.
    pub accounts: Vec<AccountCap>,
    /// Asks for further accounts.
    pub next_cursor: Option<String>,
    /// The form.
    pub form: CapForm,
}

/// Four fifths, where a cap begins to warn.
fn soft(limit: MicroUsd) -> MicroUsd {
    MicroUsd(i64::try_from(i128::from(limit.0) * 4 / 5).unwrap_or(limit.0))
}

impl Cap {
    fn used(self) -> MicroUsd {
        MicroUsd(self.spent.0.saturating_add(self.held.0))
    }
}

/// The page.
#[must_use]
pub fn caps(visit: &Visit, look: &Look, caps: Caps) -> String {
    let lead = "What may be spent in a UTC month. Requests over a hard cap are refused before anything is set aside.";
    let Caps { month, whole, accounts, next_cursor, form } = caps;
    let path = Tab::Caps.of(&look.community);
    let further = next_cursor.map(|cursor| format!("{path}?cursor={cursor}"));
    let body = view! {
        {community(&month, whole)}
        <section class="figures" aria-labelledby="accounts">
            <h2 id="accounts">"Accounts with a cap of their own"</h2>
            {of_accounts(accounts)}
            {next(further, "Further accounts")}
        </section>
        {change(path, form)}
    };
    frame::page(visit, look, Tab::Caps, lead, body.into_any())
}

/// `2026-01` as January 2026.
fn named(month: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, number) = month.split_once('-').unwrap_or((month, ""));
    let name = number.parse::<usize>().ok().and_then(|number| MONTHS.get(number.checked_sub(1)?));
    name.map_or_else(|| month.to_owned(), |name| format!("{name} {year}"))
}

fn community(month: &str, cap: Cap) -> impl IntoView + use<> {
    let title = format!("The community in {}", named(month));
    let said = match cap.limit {
        Some(limit) => {
            let (used, warning) = (cap.used(), soft(limit));
            let state = if used >= limit {
                view! { <p class="note bad">"The hard cap is reached: every new request is refused until the month ends or the cap is raised."</p> }.into_any()
            } else if used >= warning {
                view! { <p class="note">"The soft cap is passed: four fifths of the month\u{2019}s money are used."</p> }.into_any()
            } else {
                ().into_any()
            };
            let label = format!("{} of {} used", dollars(used), dollars(limit));
            view! {
                {state}
                {gauge(label, cap.spent, cap.held, limit)}
                <dl class="sums">
                    <div><dt>"Spent"</dt><dd>{dollars(cap.spent)}</dd></div>
                    <div><dt>"Set aside"</dt><dd>{dollars(cap.held)}</dd></div>
                    <div><dt>"Soft cap, warns"</dt><dd>{dollars(warning)}</dd></div>
                    <div><dt>"Hard cap, refuses"</dt><dd>{dollars(limit)}</dd></div>
                </dl>
            }
            .into_any()
        }
        None => view! {
            <dl class="sums">
                <div><dt>"Spent"</dt><dd>{dollars(cap.spent)}</dd></div>
                <div><dt>"Set aside"</dt><dd>{dollars(cap.held)}</dd></div>
            </dl>
            <p>"There is no cap: members spend what they have. A cap bounds what all of them spend together."</p>
        }
        .into_any(),
    };
    view! {
        <section class="figures" aria-labelledby="community">
            <h2 id="community">{title}</h2>
            {said}
        </section>
    }
}

fn of_accounts(accounts: Vec<AccountCap>) -> AnyView {
    if accounts.is_empty() {
        return frame::empty(
            "No account has a cap of its own. Name an account below to bound a single member.",
        );
    }
    let rows = accounts.into_iter().map(|AccountCap { account, wallet, cap }| {
        let limit = cap.limit.unwrap_or(MicroUsd::ZERO);
        vec![
            Cell::Head(account),
            wallet.map_or_else(|| Cell::Text("no wallet".to_owned()), Cell::Code),
            Cell::Number(dollars(cap.used())),
            Cell::Number(dollars(soft(limit))),
            Cell::Number(dollars(limit)),
            Cell::Number(per_cent(cap.used().0, limit.0)),
        ]
    });
    let columns = [
        Column::Words("Account"),
        Column::Words("Wallet"),
        Column::Figures("Used"),
        Column::Figures("Soft cap"),
        Column::Figures("Hard cap"),
        Column::Figures("Used of it"),
    ];
    table("Caps of accounts", "By the account\u{2019}s number".to_owned(), &columns, rows.collect())
        .into_any()
}

fn change(path: String, form: CapForm) -> impl IntoView {
    let CapForm { limit, account, reason, wrong } = form;
    let says = |field: &str| wrong.as_ref().filter(|(name, _)| *name == field).map(|(_, text)| text.clone());
    view! {
        <section class="figures" aria-labelledby="change">
            <h2 id="change">"Set or lift a cap"</h2>
            <form class="sheet" method="post" action=path>
                {field("limit", "Hard cap in dollars a month", limit, "Such as 50 or 12.50, to the micro-dollar. Leave it empty to lift the cap. The soft cap is four fifths of it.", says("limit"), Must::May)}
                {field("account", "Account", account, "An account\u{2019}s number, as under By user. Leave it empty for the whole community.", says("account"), Must::May)}
                {reason_field("reason", reason, says("reason"))}
                <button class="button">"Set the cap"</button>
            </form>
        </section>
    }
}

/// Whether a field may stay empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    /// It may.
    May,
    /// It may not.
    Must,
}

/// A field with what it says about itself.
pub(super) fn field(
    name: &'static str,
    label: &'static str,
    value: String,
    help: &'static str,
    error: Option<String>,
    must: Must,
) -> impl IntoView {
    let (help_id, error_id) = (format!("{name}-help"), format!("{name}-error"));
    let described = if error.is_some() { format!("{error_id} {help_id}") } else { help_id.clone() };
    let invalid = error.is_some().then_some("true");
    let error = error.map(|text| view! { <p class="error" id=error_id>{text}</p> });
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input r#type="text" id=name name=name value=value required=must == Must::Must autocomplete="off" spellcheck="false"
                aria-describedby=described aria-invalid=invalid/>
            {error}
            <p class="help" id=help_id>{help}</p>
        </div>
    }
}

/// The field for a reason, which the record keeps.
pub(super) fn reason_field(name: &'static str, value: String, error: Option<String>) -> impl IntoView {
    let error_id = format!("{name}-error");
    let help_id = format!("{name}-help");
    let described = if error.is_some() { format!("{error_id} {help_id}") } else { help_id.clone() };
    let invalid = error.is_some().then_some("true");
    let error = error.map(|text| view! { <p class="error" id=error_id>{text}</p> });
    view! {
        <div class="field">
            <label for=name>"Why"</label>
            <input r#type="text" id=name name=name value=value required=true maxlength=REASON_CHARACTERS_AT_MOST.to_string()
                autocomplete="off" aria-describedby=described aria-invalid=invalid/>
            {error}
            <p class="help" id=help_id>"The record keeps it, with your wallet and the time."</p>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    fn shown(spent: i64, limit: Option<i64>, form: CapForm) -> String {
        let cap = Cap { limit: limit.map(MicroUsd), spent: MicroUsd(spent), held: MicroUsd::ZERO };
        let one = AccountCap { account: "12".into(), wallet: Some("<0x>".into()), cap };
        let accounts = if limit.is_some() { vec![one] } else { Vec::new() };
        let caps =
            Caps { month: "2026-01".into(), whole: cap, accounts, next_cursor: Some("9".into()), form };
        super::caps(&visit("/admin/demo/caps"), &look(), caps)
    }

    #[test]
    fn a_cap_warns_at_four_fifths_and_says_when_it_is_reached() {
        let form = CapForm::default;
        assert!(!shown(79, Some(100), form()).contains("class=\"note"));
        assert!(shown(80, Some(100), form()).contains("soft cap is passed"));
        let over = shown(i64::MAX, Some(i64::MAX), form());
        assert!(over.contains("hard cap is reached") && !over.contains("soft cap is passed"));
        assert!(over.contains("&lt;0x&gt;") && over.contains("?cursor=9"));
        let none = shown(5, None, form());
        assert!(none.contains("There is no cap") && none.contains("No account has a cap"));
    }

    #[test]
    fn a_month_has_its_name() {
        assert_eq!((named("2026-01"), named("2026-12")), ("January 2026".into(), "December 2026".into()));
        assert_eq!(
            (named("2026-13"), named("2026-00"), named("x")),
            ("2026-13".into(), "2026-00".into(), "x".into())
        );
    }

    #[test]
    fn a_wrong_field_is_shown_again_with_its_reason() {
        let wrong = Some(("limit", "Not a <number>.".to_owned()));
        let page = shown(0, None, CapForm { limit: "five".into(), wrong, ..CapForm::default() });
        assert!(page.contains("value=\"five\"") && page.contains("Not a &lt;number&gt;."));
        assert_eq!(page.matches("aria-invalid=\"true\"").count(), 1);
        assert!(page.contains("aria-describedby=\"limit-error limit-help\""));
    }
}
