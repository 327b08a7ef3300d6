//! When there is no page to show: nothing at this address, a request that cannot be right, or a fault of ours.

use leptos::prelude::*;

use crate::shell::{self, Head, Visit};

/// What a reader is told.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The HTTP status.
    pub status: u16,
    /// What happened, in a few words.
    pub title: String,
    /// What happened and what to do next.
    pub detail: String,
    /// The request's id in our logs.
    pub request_id: String,
}

/// The page.
#[must_use]
pub fn page(visit: &Visit, trouble: Trouble) -> String {
    let Trouble { status, title, detail, request_id } = trouble;
    let head = Head::private(title.clone(), detail.clone());
    // A lost reader gets the places that exist; one who met a fault of ours wants to try again first.
    let again = (status >= 500).then(|| view! { <a class="button" href="">"Try again"</a> });
    let badge = if status >= 500 { "status hot" } else { "status warm" };
    let home = if status >= 500 { "button plain" } else { "button" };
    let body = view! {
        <div class="trouble">
            <div>
                <p class="eyebrow"><span class=badge>{status.to_string()}</span></p>
                <h1>{title}</h1>
                <p class="lead">{detail}</p>
                <p class="actions">
                    {again}
                    <a class=home href="/">"Go to the start"</a>
                    <a href="/docs">"Docs"</a>
                    <a href="/problems">"Problems"</a>
                </p>
                <p class="reference">"If you ask somebody about this, give them "<code>{request_id}</code>"."</p>
            </div>
            <svg class="unlit" viewBox="-100 -100 200 200" aria-hidden="true">
                <circle class="lamps" r="92" pathLength="84"></circle>
                <circle class="lamps" r="70" pathLength="64"></circle>
                <circle class="one" cx="71.900" cy="-57.400" r="4.500"></circle>
                <circle class="hull" r="42"></circle>
                <path class="sun" d="M0-28a28 28 0 0 1 0 56z"></path>
            </svg>
        </div>
    };
    shell::page(visit, head, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn a_fault_of_ours_offers_another_try_and_a_wrong_address_does_not() {
        let told = |status| {
            let trouble =
                Trouble { status, title: "T".into(), detail: "<d>".into(), request_id: "req_1".into() };
            page(&visit("/x"), trouble)
        };
        assert!(told(500).contains("Try again") && !told(404).contains("Try again"));
        assert!(told(404).contains("&lt;d&gt;") && told(404).contains("noindex"));
    }
}
