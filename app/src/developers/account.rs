//! `/developers/account`: what an account has, used, and which keys it has, for whoever shows one of its keys.
//!
//! The key comes with a form and is looked at once: no cookie, nothing in an address, and it is not on the page that
//! answers. Deliberately absent: rotating and revoking, which need more than a page that forgets its reader.

use leptos::prelude::*;
use types::MicroUsd;

use crate::shell::{self, Head, Visit};

/// What an account has and did this month.
#[derive(Clone, Debug)]
pub struct Account {
    /// Free to spend.
    pub available: MicroUsd,
    /// Set aside for answers in progress.
    pub held: MicroUsd,
    /// Owed.
    pub owed: MicroUsd,
    /// When the figures were read, in UTC, for people.
    pub read_at: String,
    /// Each UTC day of this month until today.
    pub days: Vec<Day>,
    /// Newest first.
    pub keys: Vec<KeyRow>,
}

/// What was used on one day.
#[derive(Clone, Debug)]
pub struct Day {
    /// `2026-01-31`.
    pub day: String,
    /// Charged requests.
    pub requests: i64,
    /// Prompt and completion tokens.
    pub tokens: i64,
    /// What they cost.
    pub cost: MicroUsd,
}

/// One key, without its secret.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its name.
    pub name: String,
    /// Its public part.
    pub id: String,
    /// `sandbox` or `live`.
    pub kind: &'static str,
    /// `active`, `until …`, `revoked`.
    pub state: String,
    /// Last use, for people.
    pub last_used: String,
}

/// The form, and what came of it: nothing yet, a refusal, or an account.
#[must_use]
pub fn account(visit: &Visit, found: Option<Result<Account, String>>) -> String {
    let about = "What your account has, what it used this month, and its keys.";
    let head = Head::private("Usage and keys", about);
    let (refusal, found) = match found {
        None => (None, None),
        Some(Err(text)) => (Some(text), None),
        Some(Ok(account)) => (None, Some(account)),
    };
    let is_wrong = refusal.is_some();
    let error = refusal.map(|text| view! { <p class="error" id="key-error" role="alert">{text}</p> });
    let described = if is_wrong { "key-error key-help" } else { "key-help" };
    let label = if found.is_some() { "Look again" } else { "Show me my account" };
    let body = view! {
        <div class="docs">
            <header>
                <p class="eyebrow"><a href="/developers">"Developers"</a></p>
                <h1>"Usage and keys"</h1>
            </header>
            <article>
                {found.map(figures)}
                <form class="sheet" method="post" action="/developers/account">
                    <div class="field">
                        <label for="key">"An API key of the account"</label>
                        <input r#type="password" id="key" name="key" required=true autocomplete="off" spellcheck="false"
                            aria-describedby=described aria-invalid=is_wrong.then_some("true")/>
                        {error}
                        <p class="help" id="key-help">"It needs the scopes "<code>"usage"</code>" and "<code>"keys"</code>", which every key has unless you narrowed it. We look at it once and do not remember it."</p>
                    </div>
                    <button class="button">{label}</button>
                </form>
            </article>
            <nav class="contents after" aria-labelledby="contents">
                <h2 id="contents">"See also"</h2>
                <ul>
                    <li><a href="/docs/api/keys">"Rotate and revoke keys"</a></li>
                    <li><a href="/docs/api/developers">"Usage over the API"</a></li>
                    <li><a href="/docs#money">"What an answer costs"</a></li>
                </ul>
            </nav>
        </div>
    };
    shell::page(visit, head, body)
}

fn dollars(amount: MicroUsd) -> String {
    format!("${}", amount.to_usd())
}

fn figures(account: Account) -> impl IntoView {
    let Account { available, held, owed, read_at, days, keys } = account;
    let owes = (owed > MicroUsd::ZERO).then(|| view! { <div><dt>"Owed"</dt><dd>{dollars(owed)}</dd></div> });
    let stamp = format!("As of {read_at} UTC.");
    view! {
        <section class="figures" aria-labelledby="balance">
            <h2 id="balance">"Balance"</h2>
            <dl class="sums">
                <div><dt>"Available"</dt><dd>{dollars(available)}</dd></div>
                <div><dt>"Set aside"</dt><dd>{dollars(held)}</dd></div>
                {owes}
            </dl>
            <p class="small quiet">{stamp}</p>
        </section>
        {usage(days)}
        {keys_table(keys)}
    }
}

/// A chart and, for those who read figures, its table.
fn usage(days: Vec<Day>) -> impl IntoView {
    let is_empty = days.iter().all(|day| day.requests == 0);
    let empty = is_empty.then(|| {
        view! { <p>"Nothing yet this month. "<a href="/docs#curl">"Ask a first question"</a>", and it shows here at once."</p> }
    });
    let chart = (!is_empty).then(|| chart(&days));
    let rows: Vec<_> = days
        .into_iter()
        .rev()
        .filter(|day| day.requests > 0)
        .map(|Day { day, requests, tokens, cost }| {
            view! {
                <tr>
                    <th scope="row">{day}</th>
                    <td class="number">{requests.to_string()}</td>
                    <td class="number">{tokens.to_string()}</td>
                    <td class="number">{dollars(cost)}</td>
                </tr>
            }
        })
        .collect();
    let table = (!is_empty).then(|| {
        view! {
            <div class="scroll" tabindex="0" role="group" aria-label="Usage by day, as a table">
                <table>
                    <caption>"Days with usage, newest first, in UTC"</caption>
                    <thead><tr><th scope="col">"Day"</th><th scope="col" class="number">"Requests"</th><th scope="col" class="number">"Tokens"</th><th scope="col" class="number">"Cost"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
    });
    view! {
        <section class="figures" aria-labelledby="usage">
            <h2 id="usage">"Usage this month"</h2>
            {empty}
            {chart}
            {table}
        </section>
    }
}

/// Height of the tallest bar, in the chart's own units.
const TALLEST: i64 = 100;
/// From one bar to the next.
const STEP: usize = 10;

/// A bar for each day, as high as the day was dear.
fn chart(days: &[Day]) -> impl IntoView + use<> {
    let dearest = days.iter().map(|day| day.cost.0).max().unwrap_or(0).max(1);
    let bars: Vec<_> = days
        .iter()
        .enumerate()
        .map(|(place, day)| {
            // At least a line for a day on which something was asked, so that cheap does not look like nothing.
            let least = i64::from(day.requests > 0) * 2;
            let height = (i128::from(day.cost.0.max(0)) * i128::from(TALLEST) / i128::from(dearest)).max(least.into());
            let top = i128::from(TALLEST) - height;
            view! { <rect x=(place * STEP).to_string() y=top.to_string() width="7" height=height.to_string() rx="1"></rect> }
        })
        .collect();
    let total = MicroUsd(days.iter().fold(0, |sum, day| sum.saturating_add(day.cost.0)));
    let label = format!(
        "Cost of each day this month; {} in all, {} at most.",
        dollars(total),
        dollars(MicroUsd(dearest))
    );
    let view_box = format!("0 0 {} {TALLEST}", days.len().max(1) * STEP);
    view! {
        <svg class="bars" viewBox=view_box preserveAspectRatio="none" role="img" aria-label=label.clone()>{bars}</svg>
        <p class="small quiet">{label}</p>
    }
}

fn keys_table(keys: Vec<KeyRow>) -> impl IntoView {
    let rows: Vec<_> = keys
        .into_iter()
        .map(|KeyRow { name, id, kind, state, last_used }| {
            view! {
                <tr>
                    <th scope="row">{name}</th>
                    <td><code>{id}</code></td>
                    <td>{kind}</td>
                    <td>{state}</td>
                    <td>{last_used}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <section class="figures" aria-labelledby="keys">
            <h2 id="keys">"Keys"</h2>
            <div class="scroll" tabindex="0" role="group" aria-label="Keys, as a table">
                <table>
                    <caption>"Newest first; times in UTC"</caption>
                    <thead><tr><th scope="col">"Name"</th><th scope="col">"Public part"</th><th scope="col">"Kind"</th><th scope="col">"State"</th><th scope="col">"Last used"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    fn with(days: Vec<Day>) -> String {
        let key = KeyRow {
            name: "<mine>".into(),
            id: "abc".into(),
            kind: "live",
            state: "active".into(),
            last_used: "never".into(),
        };
        let (available, held, owed) = (MicroUsd(2_000_000), MicroUsd::ZERO, MicroUsd::ZERO);
        let account = Account { available, held, owed, read_at: "12:00".into(), days, keys: vec![key] };
        super::account(&visit("/developers/account"), Some(Ok(account)))
    }

    fn day(number: u8, requests: i64, cost: i64) -> Day {
        Day { day: format!("2026-01-{number:02}"), requests, tokens: 7, cost: MicroUsd(cost) }
    }

    #[test]
    fn a_chart_has_a_bar_for_each_day_and_a_row_for_each_used_one() {
        let page = with(vec![day(1, 0, 0), day(2, 1, 1), day(3, 9, 1_000)]);
        assert_eq!((page.matches("<rect").count(), page.matches("<th scope=\"row\">2026").count()), (3, 2));
        assert!(
            page.contains("height=\"100\"") && page.contains("height=\"2\"") && page.contains("height=\"0\"")
        );
        assert!(page.contains("&lt;mine&gt;") && page.contains("$2.00") && !page.contains("Owed"));
    }

    #[test]
    fn a_month_without_usage_says_what_to_do() {
        let page = with(vec![day(1, 0, 0)]);
        assert!(page.contains("Nothing yet this month") && !page.contains("class=\"bars\""));
    }

    #[test]
    fn a_key_that_was_refused_is_told_and_not_repeated() {
        let page = account(&visit("/developers/account"), Some(Err("That is no key.".into())));
        assert!(page.contains("aria-invalid=\"true\"") && page.contains("That is no key."));
    }
}
