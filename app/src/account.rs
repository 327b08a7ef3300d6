//! `/account`: what a wallet has here, what it talked to, what it bought, and where it is signed in.
//!
//! Ending a session is a form, so that a lost phone can be signed out from a library's computer without a script.

use leptos::prelude::*;
use types::{MicroUsd, WalletId};

use crate::parts::{Precision, as_of, copy_button, people, sign_in, time, zone};
use crate::shell::{self, Head, Visit};

/// Everything that the page shows of a wallet.
#[derive(Clone, Debug)]
pub struct Account {
    /// Whose.
    pub wallet: WalletId,
    /// Its accounts, the oldest first.
    pub balances: Vec<BalanceRow>,
    /// When the figures were read, RFC 3339 in UTC.
    pub read_at: String,
    /// Agents that it talked to, the latest first; or, for a wallet that did not yet, some that it could.
    pub agents: Agents,
    /// What it bought, the newest first.
    pub orders: Vec<OrderRow>,
    /// Where it is signed in, the newest first.
    pub sessions: Vec<SessionRow>,
    /// The communities that it administers: slug, name.
    pub administers: Vec<(String, String)>,
}

/// The wallet's account in one community.
#[derive(Clone, Debug)]
pub struct BalanceRow {
    /// The community, or that it is a developer's own account.
    pub name: String,
    /// What its holdings make it there, such as `Tier 2`.
    pub standing: String,
    /// Where its usage is shown, if anywhere.
    pub more: Option<(&'static str, &'static str)>,
    /// Free to spend.
    pub available: MicroUsd,
    /// Set aside for answers in progress.
    pub held: MicroUsd,
    /// Owed.
    pub owed: MicroUsd,
}

/// Agents on the page.
#[derive(Clone, Debug)]
pub enum Agents {
    /// Those that the wallet talked to.
    Known(Vec<AgentRow>),
    /// Those that it could talk to.
    ToMeet(Vec<AgentRow>),
}

/// An agent.
#[derive(Clone, Debug)]
pub struct AgentRow {
    /// Where one talks to it.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Its collection and token.
    pub token: String,
    /// When something was last said.
    pub last: Option<String>,
}

/// An order.
#[derive(Clone, Debug)]
pub struct OrderRow {
    /// Its checkout page.
    pub path: String,
    /// The pack.
    pub pack: String,
    /// The price, such as `10 USD`.
    pub price: String,
    /// Where it is, in a sentence.
    pub status: String,
    /// When it was made.
    pub at: String,
}

/// A place where the wallet is signed in.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// By which it is ended.
    pub id: String,
    /// Browser and system.
    pub label: String,
    /// The site.
    pub origin: String,
    /// Since when.
    pub since: String,
    /// When it ends by itself.
    pub until: String,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

const ABOUT: &str =
    "Your wallet's balances, agents and orders on Freeside, and every place where it is signed in.";

/// The page for somebody who is not signed in.
#[must_use]
pub fn unsigned(visit: &Visit) -> String {
    let body = view! {
        <div class="opening">
            <h1>"Your account is your wallet"</h1>
            <p class="lead">"Sign in with it to see what you have, whom you talked to, what you bought, and where you are signed in. There is nothing to set up: the account is there as soon as the wallet is."</p>
            <p class="actions">
                <a class="button" href=sign_in("/account")>"Sign in"</a>
                <a href="/docs#money">"What an answer costs"</a>
            </p>
        </div>
    };
    shell::page(visit, Head::private("Your account", ABOUT), body)
}

/// The page.
#[must_use]
pub fn page(visit: &Visit, account: Account) -> String {
    let Account { wallet, balances, read_at, agents, orders, sessions, administers } = account;
    let head = Head { scripts: &["frontend.js"], ..Head::private("Your account", ABOUT) };
    let admin = (!administers.is_empty()).then(|| {
        let places: Vec<_> = administers
            .into_iter()
            .map(|(slug, name)| view! { <li><a href=format!("/admin/{slug}")>{name}</a></li> })
            .collect();
        view! { <h2>"You administer"</h2><ul>{places}</ul> }
    });
    let body = view! {
        <div class="docs">
            <header>
                <h1>"Your account"</h1>
                <p class="wallet"><code id="address">{wallet.to_string()}</code>{copy_button("address", "Copy")}</p>
            </header>
            <article>
                {money(balances, &read_at)}
                {met(agents).into_any()}
                {bought(orders).into_any()}
                {signed_in(sessions).into_any()}
            </article>
            <nav class="contents after" aria-labelledby="contents">
                <h2 id="contents">"On this page"</h2>
                <ul>
                    <li><a href="#balances">"Balances"</a></li>
                    <li><a href="#agents">"Agents"</a></li>
                    <li><a href="#orders">"Orders"</a></li>
                    <li><a href="#sessions">"Where you are signed in"</a></li>
                </ul>
                {admin}
            </nav>
        </div>
    };
    shell::page(visit, head, body)
}

fn dollars(amount: MicroUsd) -> String {
    format!("${}", amount.to_usd())
}

fn money(balances: Vec<BalanceRow>, read_at: &str) -> impl IntoView + use<> {
    if balances.is_empty() {
        return view! {
            <section class="figures" aria-labelledby="balances">
                <h2 id="balances">"Balances"</h2>
                <p class="text">"Nothing yet. With your first question to an agent you become a member of its community, and your balance there stands here. A community may welcome you with some credits."</p>
            </section>
        }
        .into_any();
    }
    let stamp = view! { {as_of(read_at, Precision::Minute)}"Load the page again for later figures." };
    let rows: Vec<_> = balances
        .into_iter()
        .map(|BalanceRow { name, standing, more, available, held, owed }| {
            let more = more.map(|(path, text)| view! { <p class="small"><a href=path>{text}</a></p> });
            let owes =
                (owed > MicroUsd::ZERO).then(|| view! { <div><dt>"Owed"</dt><dd>{dollars(owed)}</dd></div> });
            view! {
                <div class="sheet balance">
                    <h3>{name}</h3>
                    <p class="small quiet">{standing}</p>
                    <dl class="sums">
                        <div><dt>"Available"</dt><dd>{dollars(available)}</dd></div>
                        <div><dt>"Set aside"</dt><dd>{dollars(held)}</dd></div>
                        {owes}
                    </dl>
                    {more}
                </div>
            }
        })
        .collect();
    view! {
        <section class="figures" aria-labelledby="balances">
            <h2 id="balances">"Balances"</h2>
            {rows}
            <p class="small quiet">{stamp}</p>
        </section>
    }
    .into_any()
}

fn met(agents: Agents) -> impl IntoView {
    let (text, agents) = match agents {
        Agents::Known(agents) => (None, agents),
        Agents::ToMeet(agents) if agents.is_empty() => {
            (Some("You have not talked to an agent yet, and this server has none so far."), agents)
        }
        Agents::ToMeet(agents) => {
            (Some("You have not talked to an agent yet. These would be glad to hear from you:"), agents)
        }
    };
    let text = text.map(|text| view! { <p>{text}</p> });
    let rows: Vec<_> = agents
        .into_iter()
        .map(|AgentRow { path, name, token, last }| {
            let last = last.map(|at| view! { ", last on "{time(&at, Precision::Minute)}" "{zone()} });
            view! { <li><a href=path>{name}</a><span class="small quiet">{token}{last}</span></li> }
        })
        .collect();
    let list = (!rows.is_empty()).then(|| view! { <ul class="rows">{rows}</ul> });
    view! {
        <section class="figures" aria-labelledby="agents">
            <h2 id="agents">"Agents"</h2>
            {text}
            {list}
        </section>
    }
}

fn bought(orders: Vec<OrderRow>) -> impl IntoView {
    let is_empty = orders.is_empty();
    let empty = is_empty
        .then(|| view! { <p>"Nothing bought so far. "<a href="/buy">"Buy credits"</a>", and the order stands here with its payment."</p> });
    let rows: Vec<_> = orders
        .into_iter()
        .map(|OrderRow { path, pack, price, status, at }| {
            view! {
                <tr>
                    <th scope="row"><a href=path>{pack}</a></th>
                    <td class="number">{price}</td>
                    <td>{status}</td>
                    <td>{time(&at, Precision::Minute)}</td>
                </tr>
            }
        })
        .collect();
    let table = (!is_empty).then(|| {
        view! {
            <div class="scroll" tabindex="0" role="group" aria-label="Orders, as a table">
                <table>
                    <caption>"Newest first, times in "{zone()}</caption>
                    <thead><tr><th scope="col">"Pack"</th><th scope="col" class="number">"Price"</th><th scope="col">"Status"</th><th scope="col">"Ordered"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
    });
    view! {
        <section class="figures" aria-labelledby="orders">
            <h2 id="orders">"Orders"</h2>
            {empty}
            {table}
        </section>
    }
}

fn signed_in(sessions: Vec<SessionRow>) -> impl IntoView {
    let others = sessions.iter().any(|session| !session.is_this);
    let rows: Vec<_> = sessions.into_iter().map(session).collect();
    let everywhere = if others { "Sign out everywhere, here too" } else { "Sign out" };
    view! {
        <section class="figures" aria-labelledby="sessions">
            <h2 id="sessions">"Where you are signed in"</h2>
            <p class="text">"Each place holds for an hour after its signature. Something here that is not yours? End it: it is over at once, and your wallet itself was never touched."</p>
            <ul class="rows sessions">{rows}</ul>
            <form method="post" action="/account/sessions">
                <button class="button plain" name="end" value="all">{everywhere}</button>
            </form>
        </section>
    }
}

fn session(row: SessionRow) -> impl IntoView {
    let SessionRow { id, label, origin, since, until, is_this } = row;
    let this = is_this.then(|| view! { <span class="status">"this one"</span> });
    let end = format!("End: {label}, since {}", people(&since, Precision::Minute));
    view! {
        <li>
            <div>
                <p>{label}" "{this}</p>
                <p class="small quiet">{origin}" · since "{time(&since, Precision::Minute)}" · until "{time(&until, Precision::Clock)}" "{zone()}</p>
            </div>
            <form method="post" action="/account/sessions">
                <button class="end" name="end" value=id aria-label=end>"End"</button>
            </form>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    fn empty() -> Account {
        let read_at = "2026-01-31T14:05:00Z".to_owned();
        Account {
            wallet: WalletId::by_key(types::Wallet([7; 20])),
            balances: Vec::new(),
            read_at,
            agents: Agents::ToMeet(Vec::new()),
            orders: Vec::new(),
            sessions: Vec::new(),
            administers: Vec::new(),
        }
    }

    #[test]
    fn an_empty_account_teaches() {
        let page = page(&visit("/account"), empty());
        for text in ["With your first question", "this server has none so far", "Nothing bought so far"] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<table"));
        assert!(unsigned(&visit("/account")).contains("href=\"/signin?return=%2Faccount\""));
    }

    #[test]
    fn figures_are_whole_and_sessions_can_be_ended() {
        let balance = BalanceRow {
            name: "<Lantern>".into(),
            standing: "Tier 2".into(),
            more: None,
            available: MicroUsd(1_500_001),
            held: MicroUsd(2),
            owed: MicroUsd::ZERO,
        };
        let session = |id: &str, is_this| SessionRow {
            id: id.into(),
            label: "Firefox on Linux".into(),
            origin: "https://a.example".into(),
            since: "2026-01-31T14:05:00Z".into(),
            until: "2026-01-31T14:05:00Z".into(),
            is_this,
        };
        let account = Account {
            balances: vec![balance],
            sessions: vec![session("one", true), session("two", false)],
            administers: vec![("demo".into(), "Demo".into())],
            ..empty()
        };
        let page = page(&visit("/account"), account);
        assert!(page.contains("$1.500001") && page.contains("&lt;Lantern&gt;") && !page.contains("Owed"));
        assert!(
            page.contains("value=\"one\"")
                && page.contains("value=\"two\"")
                && page.contains("value=\"all\"")
        );
        assert_eq!(page.matches("this one").count(), 1);
        assert!(page.contains("href=\"/admin/demo\"") && page.contains(">2026-01-31 14:05</time>"));
    }
}
