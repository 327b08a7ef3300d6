//! `/developers`: sign-up as a form that needs no JavaScript, the key shown once, and what to do with it.

mod account;
mod key;
mod made;
mod playground;
mod requests;

use leptos::prelude::*;

pub use self::account::{Account, Day, Found, KeyRow, Viewer, account};
pub use self::key::{KeyPage, page as key};
pub use self::made::{MadeKey, Occasion, made};
pub use self::playground::page as playground;
pub use self::requests::{Filters, Log, RequestRow, page as requests};
use crate::shell::{self, Head, Visit};

/// The longest name that a form takes, in characters.
const NAME_CHARACTERS_AT_MOST: usize = 80;

/// What stands in the form.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// The name, as it was typed.
    pub name: String,
    /// What is wrong with the name.
    pub name_error: Option<String>,
    /// Why nobody can sign up, or not now.
    pub refusal: Option<String>,
    /// Who may.
    pub who: Who,
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// Whoever reads the page.
    #[default]
    Reader,
    /// A wallet, and none is signed in.
    SignedInOnly,
    /// Nobody again: this wallet has.
    SignedUp,
}

/// The page with the form. `allowance`: what a sandbox key is worth each day, such as `10,000 tokens of …`.
#[must_use]
pub fn page(visit: &Visit, allowance: &str, form: Form) -> String {
    let head = Head::new(
        "Developers",
        "Sign up for a free sandbox key and make a first call to Freeside's API in a minute, with curl or the SDK that \
         you already use.",
    );
    let lead = format!(
        "Sign up for a sandbox key. It is free, asks for no card and no address, and is worth {allowance} each UTC day."
    );
    let body = view! {
        <div class="docs">
            <header>
                <h1>"Your first answer is a minute away"</h1>
                <p class="lead">{lead}</p>
            </header>
            <article>
                {entrance(visit, form)}
                <div class="text after">
                    <h2>"What happens then"</h2>
                    <ol>
                        <li>"You see your key, once. We keep only a hash of it and cannot show it again."</li>
                        <li>"You press one button, or paste one command, and read an answer."</li>
                        <li>"When you have "<a href="/buy">"bought credits"</a>", one more press makes a live key. The sandbox key keeps working."</li>
                    </ol>
                </div>
            </article>
            {places()}
        </div>
    };
    shell::page(visit, head, body)
}

/// The places around this one.
fn places() -> AnyView {
    view! {
        <nav class="contents after" aria-labelledby="contents">
            <h2 id="contents">"For developers"</h2>
            <ul>
                <li><a href="/developers/account">"Usage and keys"</a></li>
                <li><a href="/developers/requests">"Request log"</a></li>
                <li><a href="/developers/playground">"Playground"</a></li>
                <li><a href="/buy">"Buy credits"</a></li>
            </ul>
            <h2>"Read"</h2>
            <ul>
                <li><a href="/docs">"Quick starts"</a></li>
                <li><a href="/docs/api">"API reference"</a></li>
                <li><a href="/problems">"Problems"</a></li>
            </ul>
        </nav>
    }
    .into_any()
}

fn entrance(visit: &Visit, form: Form) -> AnyView {
    let Form { name, name_error, refusal, who } = form;
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    match who {
        Who::SignedUp => view! {
            {refusal}
            <p class="note good" role="status">"This wallet has signed up. Its usage, requests and keys are on its account\u{2019}s page."</p>
            <p class="actions"><a class="button" href="/developers/account">"Go to the account"</a><a href="/developers/playground">"Playground"</a></p>
        }
        .into_any(),
        Who::SignedInOnly => {
            let href = crate::parts::sign_in(&visit.path);
            view! {
                {refusal}
                <p>"An account here belongs to a wallet, so that nobody but you can rotate its keys. Sign in with yours; then a name is all we ask."</p>
                <p class="actions"><a class="button" href=href>"Sign in with a wallet"</a></p>
            }
            .into_any()
        }
        Who::Reader => {
            let is_wrong = name_error.is_some();
            let described = if is_wrong { "name-error name-help" } else { "name-help" };
            let error = name_error.map(|text| view! { <p class="error" id="name-error">{text}</p> });
            let owner = visit.wallet.map(|wallet| {
                let text = format!("The account will belong to your wallet, {}.", crate::parts::short(wallet));
                view! { <p class="small quiet">{text}</p> }
            });
            view! {
                {refusal}
                <form class="sheet" method="post" action="/developers">
                    <div class="field">
                        <label for="name">"What shall we call you?"</label>
                        <input r#type="text" id="name" name="name" value=name required=true maxlength=NAME_CHARACTERS_AT_MOST.to_string()
                            autocomplete="name" aria-describedby=described aria-invalid=is_wrong.then_some("true")/>
                        {error}
                        <p class="help" id="name-help">"A name, a team or a project: 1 to 80 characters. It labels your account and nothing else."</p>
                    </div>
                    <button class="button">"Make my key"</button>
                    {owner}
                </form>
            }
            .into_any()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn a_wrong_name_is_shown_again_with_its_reason() {
        let form = Form { name: "\"<b>".into(), name_error: Some("Too odd.".into()), ..Form::default() };
        let page = page(&visit("/developers"), "10 tokens", form);
        assert!(page.contains("aria-invalid=\"true\"") && page.contains("Too odd."));
        assert!(page.contains("aria-describedby=\"name-error name-help\"") && !page.contains("<b>"));
    }

    #[test]
    fn where_a_wallet_is_needed_the_page_leads_to_it_and_back() {
        let page = |who| page(&visit("/developers"), "10 tokens", Form { who, ..Form::default() });
        let needed = page(Who::SignedInOnly);
        assert!(needed.contains("/signin?return=%2Fdevelopers\"") && !needed.contains("name=\"name\""));
        assert!(page(Who::SignedUp).contains("href=\"/developers/account\""));
    }
}
