//! `/admin`: what the administrators of a community see of its money, its agents and its requests, and what they set.
//!
//! What always holds: each figure is one that the API gives as well; each chart has its table; what is filtered stands in
//! the address; what is shown says when it was read. All of it works as plain HTML. Deliberately absent: figures that are
//! computed here, beyond a bar's length.

mod agents;
mod caps;
mod chart;
mod conservation;
mod frame;
mod journal;
mod overview;
mod payments;
mod repair;
mod reviews;
mod routing;
mod settings;
mod table;

use leptos::prelude::*;

pub use self::agents::{AgentRow, agents};
pub use self::caps::{AccountCap, Cap, CapForm, Caps, caps};
pub use self::conservation::{Conservation, ViolationRow, conservation};
pub use self::frame::{Choice, Community, Filter, Look, Tab, Told};
pub use self::journal::{Journal, JournalRow, journal};
pub use self::overview::{Amount, Burn, Overview, Spend, UserSpend, overview};
pub use self::payments::{PaymentRow, Payments, payments};
pub use self::repair::{Pending, Repair, repair};
pub use self::reviews::{RequestRow, ReviewRow, Reviews, reviews};
pub use self::routing::{DecisionRow, Routing, routing};
pub use self::settings::{AdminRow, DeedRow, OriginRow, Settings, settings};
use crate::parts;
use crate::shell::{self, Head, Visit};

/// `/admin`: the communities that the reader's wallet administers.
#[must_use]
pub fn list(visit: &Visit, communities: Vec<Community>) -> String {
    let head = Head::private("Administration", "The communities that your wallet administers.");
    let places: Vec<_> = communities
        .into_iter()
        .map(|Community { slug, name, id }| {
            let href = format!("/admin/{slug}");
            view! {
                <li>
                    <a href=href>{name}</a>
                    <span class="small quiet">{slug}" · community "{id}</span>
                </li>
            }
        })
        .collect();
    let body = if places.is_empty() {
        view! {
            <div class="text">
                <p>"Your wallet administers no community yet. An administrator of one adds you under Settings, with your wallet\u{2019}s address; an operator names the first one."</p>
                <p>"Looking for your own usage? It is under "<a href="/developers">"Developers"</a>"."</p>
            </div>
        }
        .into_any()
    } else {
        view! { <ul class="places">{places}</ul> }.into_any()
    };
    let page = view! {
        <div class="admin">
            <header class="opening">
                <h1>"Communities you look after"</h1>
                <p class="lead">"Spending, limits, routing and the books of each, read live."</p>
            </header>
            {body}
            <p class="small quiet after"><a href="/docs/administer">"How administering works"</a></p>
        </div>
    };
    shell::page(visit, head, page)
}

/// What a reader sees who is not signed in.
#[must_use]
pub fn sign_in(visit: &Visit) -> String {
    let head = Head::private("Administration", "Sign in with your wallet to administer a community.");
    let way = parts::sign_in(&visit.path);
    let page = view! {
        <div class="admin">
            <header class="opening">
                <h1>"Sign in to administer"</h1>
                <p class="lead">"Which communities you look after follows from your wallet. Nothing is sent to a chain, and nothing costs anything."</p>
            </header>
            <p class="actions">
                <a class="button" href=way>"Sign in with a wallet"</a>
                <a href="/docs/administer">"How administering works"</a>
            </p>
        </div>
    };
    shell::page(visit, head, page)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::shell::tests::visit;

    pub(crate) fn look() -> Look {
        Look {
            community: Community { slug: "demo".into(), name: "The <demo>".into(), id: "7".into() },
            read_at: "2026-01-31T12:00:00Z".into(),
            told: None,
        }
    }

    #[test]
    fn communities_are_listed_and_none_is_explained() {
        let one = list(&visit("/admin"), vec![look().community]);
        assert!(one.contains("href=\"/admin/demo\"") && one.contains("The &lt;demo&gt;"));
        let none = list(&visit("/admin"), Vec::new());
        assert!(none.contains("administers no community yet") && !none.contains("class=\"places\""));
    }

    #[test]
    fn whoever_is_not_signed_in_gets_there_and_back() {
        let page = sign_in(&visit("/admin/demo/audit?pool=cheap"));
        assert!(page.contains("/signin?return=%2Fadmin%2Fdemo%2Faudit%3Fpool%3Dcheap"));
        assert_eq!(page.matches("<h1").count(), 1);
    }
}
