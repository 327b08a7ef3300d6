//! `/developers/keys/{id}`: what can be done to one key. It names no more than its address does, so that whoever has
//! only a key, and no wallet, can act here too.

use leptos::prelude::*;

use crate::parts::{encoded, key_field};
use crate::shell::{self, Head, Visit};

/// Overlaps on offer: seconds, words.
const OVERLAPS: [(u32, &str); 5] = [
    (0, "At once: the old key stops now"),
    (3_600, "One hour"),
    (86_400, "One day"),
    (259_200, "Three days"),
    (604_800, "Seven days"),
];

/// The overlap that is marked at first.
const USUAL_OVERLAP: u32 = 3_600;

/// A key's page.
#[derive(Clone, Debug)]
pub struct KeyPage {
    /// The key's public part.
    pub id: String,
    /// Its name; `None`: nobody is signed in, and nothing is told.
    pub name: Option<String>,
    /// Whether it can still be changed.
    pub is_active: bool,
    /// Why the last press did nothing.
    pub refusal: Option<String>,
    /// Whether each form asks for a key.
    pub asks_key: bool,
}

/// The page.
#[must_use]
pub fn page(visit: &Visit, key: KeyPage) -> String {
    let KeyPage { id, name, is_active, refusal, asks_key } = key;
    let about = "Rotate a key, with the old one working on for a while, or revoke it.";
    let head = Head { scripts: &["frontend.js"], ..Head::private("A key", about) };
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    let title = name.unwrap_or_else(|| "Your key".to_owned());
    let field = |label| asks_key.then(|| key_field(label));
    let (rotate, revoke) = (
        format!("/developers/keys/{}/rotate", encoded(&id)),
        format!("/developers/keys/{}/revoke", encoded(&id)),
    );
    let overlaps: Vec<_> = OVERLAPS
        .into_iter()
        .map(|(seconds, words)| {
            let is_usual = seconds == USUAL_OVERLAP;
            view! { <option value=seconds.to_string() selected=is_usual>{words}</option> }
        })
        .collect();
    let over = (!is_active).then(|| {
        view! { <p class="note">"This key does not work any more. There is nothing left to rotate or revoke."</p> }
    });
    let forms = is_active.then(|| {
        let sign_in = asks_key.then(|| {
            let href = crate::parts::sign_in(&visit.path);
            view! { <p><a href=href>"Sign in with the account\u{2019}s wallet"</a>", or show one of its keys in the form that you use."</p> }
        });
        view! {
            {sign_in}
            <form class="sheet" method="post" action=rotate data-once="" aria-labelledby="rotate">
                <h2 id="rotate">"Rotate"</h2>
                <p>"You get a new key that may do the same. The old one works on for as long as you need to put the new one everywhere."</p>
                <div class="field">
                    <label for="overlap">"The old key works on for"</label>
                    <select id="overlap" name="overlap">{overlaps}</select>
                </div>
                {field("An API key of the account")}
                <button class="button">"Rotate the key"</button>
            </form>
            <form class="sheet after-sheet" method="post" action=revoke aria-labelledby="revoke">
                <h2 id="revoke">"Revoke"</h2>
                <p>"The key stops for good, and answers that are being read with it end within a second. This cannot be undone."</p>
                <label class="check"><input r#type="checkbox" name="sure" value="yes" required=true/>" Yes, revoke this key"</label>
                {asks_key.then(second_key_field)}
                <button class="button bad">"Revoke the key"</button>
            </form>
        }
    });
    let body = view! {
        <div class="docs">
            <header>
                <p class="eyebrow"><a href="/developers/account">"Usage and keys"</a></p>
                <h1>{title}</h1>
                <p class="lead">"Public part "<code>{id}</code></p>
            </header>
            <article>{refusal}{over}{forms}</article>
            {super::places()}
        </div>
    };
    shell::page(visit, head, body)
}

/// The same field in the page's second form, where ids have to differ.
fn second_key_field() -> impl IntoView {
    view! {
        <div class="field">
            <label for="key-2">"An API key of the account"</label>
            <input r#type="password" id="key-2" name="key" required=true autocomplete="off" spellcheck="false"/>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn a_stranger_learns_no_more_than_the_address_says() {
        let key = KeyPage { id: "abc".into(), name: None, is_active: true, refusal: None, asks_key: true };
        let page = page(&visit("/developers/keys/abc"), key);
        assert_eq!(page.matches("name=\"key\"").count(), 2);
        assert!(page.contains("action=\"/developers/keys/abc/revoke\"") && page.contains("value=\"604800\""));
    }

    #[test]
    fn a_key_that_is_over_offers_nothing() {
        let key = KeyPage {
            id: "abc".into(),
            name: Some("<x>".into()),
            is_active: false,
            refusal: None,
            asks_key: false,
        };
        let page = page(&visit("/developers/keys/abc"), key);
        assert!(!page.contains("action=\"/developers/keys") && page.contains("&lt;x&gt;"));
    }
}
