//! `/developers/account`: what an account has, used and asked, and its keys; for its wallet, and for whoever shows one of
//! its keys.
//!
//! A key comes with a form and is looked at once: no cookie, nothing in an address, and it is not on the page that
//! answers. What a wallet does with one press, a key's owner does with the key once more.

use leptos::prelude::*;
use types::MicroUsd;

use super::requests::{self, RequestRow};
use crate::parts::{Precision, as_of, encoded, key_field, sign_in, time, zone};
use crate::shell::{self, Head, Visit};

/// What there is to show.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nobody has said whose account; with why the last try failed.
    Nobody(Option<String>),
    /// The wallet that is signed in has not signed up.
    NotSignedUp,
    /// An account.
    Account(Box<Account>),
}

/// How the looker proves that the account is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// A session, which the browser shows by itself.
    Wallet,
    /// A key, to be typed each time.
    Key,
}

/// What an account has and did this month.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who looks.
    pub viewer: Viewer,
    /// Free to spend.
    pub available: MicroUsd,
    /// Set aside for answers in progress.
    pub held: MicroUsd,
    /// Owed.
    pub owed: MicroUsd,
    /// When the figures were read, RFC 3339 in UTC.
    pub read_at: String,
    /// Each UTC day of this month until today.
    pub days: Vec<Day>,
    /// The last few, newest first.
    pub requests: Vec<RequestRow>,
    /// Newest first.
    pub keys: Vec<KeyRow>,
    /// Whether live keys can be made: something was bought or granted.
    pub may_go_live: bool,
    /// Scopes that a new key may have.
    pub scopes: Vec<&'static str>,
    /// What was just done.
    pub done: Option<String>,
    /// What was refused.
    pub refusal: Option<String>,
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
    /// `active`, `until`, `expired`, `revoked`.
    pub state: &'static str,
    /// Since when, or until when, RFC 3339 in UTC.
    pub state_at: Option<String>,
    /// Last use, likewise; `None`: never.
    pub last_used: Option<String>,
    /// Whether it can still be rotated and revoked.
    pub is_active: bool,
}

/// The page.
#[must_use]
pub fn account(visit: &Visit, found: Found) -> String {
    let about = "What your account has, what it used this month, what it asked, and its keys.";
    let head = Head { scripts: &["frontend.js"], ..Head::private("Usage and keys", about) };
    let body = match found {
        Found::Nobody(refusal) => nobody(visit, refusal).into_any(),
        Found::NotSignedUp => view! {
            <p>"This wallet has not signed up as a developer. It takes a name and a press, and comes with a free sandbox key."</p>
            <p class="actions"><a class="button" href="/developers">"Make my key"</a></p>
            <p class="small quiet after-sheet">"Looking for what you pay for chats? "<a href="/account">"Your wallet\u{2019}s account"</a>" has it."</p>
        }
        .into_any(),
        Found::Account(account) => figures(*account).into_any(),
    };
    let body = view! {
        <div class="docs">
            <header>
                <p class="eyebrow"><a href="/developers">"Developers"</a></p>
                <h1>"Usage and keys"</h1>
            </header>
            <article>{body}</article>
            {super::places()}
        </div>
    };
    shell::page(visit, head, body)
}

/// Sign in, or show a key.
fn nobody(visit: &Visit, refusal: Option<String>) -> AnyView {
    let is_wrong = refusal.is_some();
    let error = refusal.map(|text| view! { <p class="error" id="key-error" role="alert">{text}</p> });
    let described = if is_wrong { "key-error key-help" } else { "key-help" };
    let href = sign_in(&visit.path);
    view! {
        <p class="actions"><a class="button" href=href>"Sign in with a wallet"</a></p>
        <form class="sheet after-sheet" method="post" action="/developers/account">
            <div class="field">
                <label for="key">"Or show an API key of the account"</label>
                <input r#type="password" id="key" name="key" required=true autocomplete="off" spellcheck="false"
                    aria-describedby=described aria-invalid=is_wrong.then_some("true")/>
                {error}
                <p class="help" id="key-help">"It needs the scopes "<code>"usage"</code>" and "<code>"keys"</code>": a live key has them unless you narrowed it. The sandbox key of an account that a wallet owns has no "<code>"keys"</code>": sign in with the wallet instead. We look at the key once and do not remember it."</p>
            </div>
            <button class="button plain">"Show me my account"</button>
        </form>
    }
    .into_any()
}

fn dollars(amount: MicroUsd) -> String {
    format!("${}", amount.to_usd())
}

fn figures(account: Account) -> AnyView {
    let Account {
        viewer,
        available,
        held,
        owed,
        read_at,
        days,
        requests,
        keys,
        may_go_live,
        scopes,
        done,
        refusal,
    } = account;
    let done = done.map(|text| view! { <p class="note good" role="status">{text}</p> });
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    let owes = (owed > MicroUsd::ZERO).then(|| view! { <div><dt>"Owed"</dt><dd>{dollars(owed)}</dd></div> });
    view! {
        {done}
        {refusal}
        <section class="figures" aria-labelledby="balance">
            <h2 id="balance">"Balance"</h2>
            <dl class="sums">
                <div><dt>"Available"</dt><dd>{dollars(available)}</dd></div>
                <div><dt>"Set aside"</dt><dd>{dollars(held)}</dd></div>
                {owes}
            </dl>
            <p class="small quiet">{as_of(&read_at, Precision::Minute)}<a href="/buy">"Buy credits"</a></p>
        </section>
        {usage(days)}
        {latest(requests)}
        {keys_table(keys)}
        {new_key(viewer, scopes)}
        {going_live(viewer, may_go_live)}
    }
    .into_any()
}

/// The last requests, and the way to all of them.
fn latest(rows: Vec<RequestRow>) -> AnyView {
    let is_empty = rows.is_empty();
    let table = (!is_empty).then(|| requests::short_table(rows));
    let empty = is_empty.then(|| {
        view! { <p>"Each request shows here with what was set aside for it, what it cost, and what was given back. "<a href="/developers/playground">"Ask a first question"</a>"."</p> }
    });
    view! {
        <section class="figures" aria-labelledby="requests">
            <h2 id="requests">"Requests"</h2>
            {table}
            {empty}
            <p><a href="/developers/requests">"The whole request log"</a></p>
        </section>
    }
    .into_any()
}

/// One more key.
fn new_key(viewer: Viewer, scopes: Vec<&'static str>) -> AnyView {
    let boxes: Vec<_> = scopes
        .into_iter()
        .map(|scope| {
            view! { <label class="check"><input r#type="checkbox" name="scope" value=scope checked=true/>" "<code>{scope}</code>" "<span>{may(scope)}</span></label> }
        })
        .collect();
    let key = (viewer == Viewer::Key).then(|| key_field("Your API key, once more"));
    view! {
        <form class="sheet" method="post" action="/developers/keys" data-once="" aria-labelledby="new-key">
            <h2 id="new-key">"One more key"</h2>
            <div class="field">
                <label for="key-name">"Name"</label>
                <input r#type="text" id="key-name" name="name" required=true maxlength="80" autocomplete="off" aria-describedby="key-name-help"/>
                <p class="help" id="key-name-help">"What uses it: a laptop, a server, a job."</p>
            </div>
            <fieldset class="scopes"><legend>"It may"</legend>{boxes}</fieldset>
            {key}
            <button class="button">"Make the key"</button>
        </form>
    }
    .into_any()
}

/// What a scope lets a key do, in words.
fn may(scope: &str) -> &'static str {
    match scope {
        "chat" => "ask models and agents, which costs credits",
        "models" => "list the models",
        "usage" => "read usage, requests and orders, and buy credits",
        "keys" => "make, rotate and revoke keys",
        _ => "",
    }
}

/// The way from the sandbox to a live key.
fn going_live(viewer: Viewer, may_go_live: bool) -> AnyView {
    let way = if may_go_live {
        let key = (viewer == Viewer::Key).then(second_key_field);
        view! {
            <p>"Your account has credits that were bought or granted. A live key spends them, with more requests a minute and every pool of its tier."</p>
            <form method="post" action="/developers/upgrade" data-once="">{key}<button class="button">"Make a live key"</button></form>
        }
        .into_any()
    } else {
        view! {
            <p>"A live key needs credits that were bought or granted; the sandbox\u{2019}s daily allowance does not count."</p>
            <p class="actions"><a class="button" href="/buy">"Buy credits"</a></p>
        }
        .into_any()
    };
    view! {
        <section class="sheet after-sheet" aria-labelledby="live">
            <h2 id="live">"Go live"</h2>
            {way}
        </section>
    }
    .into_any()
}

/// The same field in the page's second form, where ids have to differ.
fn second_key_field() -> impl IntoView {
    view! {
        <div class="field">
            <label for="key-2">"Your API key, once more"</label>
            <input r#type="password" id="key-2" name="key" required=true autocomplete="off" spellcheck="false"/>
        </div>
    }
}

/// A chart and, for those who read figures, its table.
fn usage(days: Vec<Day>) -> AnyView {
    let is_empty = days.iter().all(|day| day.requests == 0);
    let empty = is_empty.then(|| {
        view! { <p>"Nothing yet this month. "<a href="/developers/playground">"Ask a first question"</a>", and it shows here at once."</p> }
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
    .into_any()
}

/// Height of the tallest bar, in the chart's own units.
const TALLEST: i64 = 100;
/// From one bar to the next.
const STEP: usize = 10;

/// A bar for each day, as high as the day was dear.
fn chart(days: &[Day]) -> AnyView {
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
    .into_any()
}

fn keys_table(keys: Vec<KeyRow>) -> AnyView {
    let rows: Vec<_> = keys
        .into_iter()
        .map(|KeyRow { name, id, kind, state, state_at, last_used, is_active }| {
            let href = format!("/developers/keys/{}", encoded(&id));
            let label = format!("Rotate or revoke {name}");
            let shown = |at: String| time(&at, Precision::Minute);
            let state_at = state_at.map(|at| view! { " "{shown(at)} });
            let last_used = last_used.map_or_else(|| "never".into_any(), |at| shown(at).into_any());
            let manage = is_active.then(|| view! { <a href=href aria-label=label>"Rotate or revoke"</a> });
            view! {
                <tr>
                    <th scope="row">{name}</th>
                    <td><code>{id}</code></td>
                    <td>{kind}</td>
                    <td>{state}{state_at}</td>
                    <td>{last_used}</td>
                    <td>{manage}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <section class="figures" aria-labelledby="keys">
            <h2 id="keys">"Keys"</h2>
            <div class="scroll" tabindex="0" role="group" aria-label="Keys, as a table">
                <table class="log">
                    <caption>"Newest first, times in "{zone()}</caption>
                    <thead><tr><th scope="col">"Name"</th><th scope="col">"Public part"</th><th scope="col">"Kind"</th><th scope="col">"State"</th><th scope="col">"Last used"</th><th scope="col"><span class="hidden">"Change it"</span></th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
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
            state: "until",
            state_at: Some("2026-01-01T13:00:00Z".into()),
            last_used: None,
            is_active: true,
        };
        let account = Account {
            viewer: Viewer::Wallet,
            available: MicroUsd(2_000_000),
            held: MicroUsd::ZERO,
            owed: MicroUsd::ZERO,
            read_at: "2026-01-01T12:00:00Z".into(),
            days,
            requests: Vec::new(),
            keys: vec![key],
            may_go_live: false,
            scopes: vec!["chat", "keys"],
            done: None,
            refusal: None,
        };
        super::account(&visit("/developers/account"), Found::Account(Box::new(account)))
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
    fn going_live_needs_credits_and_says_where_they_are_bought() {
        let page = with(vec![day(1, 0, 0)]);
        assert!(page.contains("href=\"/buy\"") && !page.contains("action=\"/developers/upgrade\""));
        assert!(page.contains("href=\"/developers/keys/abc\"") && !page.contains("name=\"key\""));
    }

    #[test]
    fn a_month_without_usage_says_what_to_do() {
        let page = with(vec![day(1, 0, 0)]);
        assert!(page.contains("Nothing yet this month") && !page.contains("class=\"bars\""));
    }

    #[test]
    fn a_key_that_was_refused_is_told_and_not_repeated() {
        let page = account(&visit("/developers/account"), Found::Nobody(Some("That is no key.".into())));
        assert!(page.contains("aria-invalid=\"true\"") && page.contains("That is no key."));
    }
}
