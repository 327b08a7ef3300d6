//! `/developers`: sign-up as a form that needs no JavaScript, the key shown once, and what to do with it.

mod account;

use leptos::prelude::*;

pub use self::account::{Account, Day, KeyRow, account};
use crate::parts::{copied, copy_button};
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
}

/// A key that was just made.
#[derive(Clone)]
pub struct MadeKey {
    /// Its plain text, shown this once.
    pub key: String,
    /// What it is worth each day, in words.
    pub allowance: String,
    /// Who signed up.
    pub name: String,
}

// No `Debug` that could print the key.
impl std::fmt::Debug for MadeKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MadeKey")
    }
}

/// The page with the form. `allowance`: what a sandbox key is worth each day, such as `10,000 tokens of …`.
#[must_use]
pub fn page(visit: &Visit, allowance: &str, form: Form) -> String {
    let head = Head::new(
        "Developers",
        "Sign up for a free sandbox key and make a first call to Freeside's API in a minute, with curl or the SDK that \
         you already use.",
    );
    let Form { name, name_error, refusal } = form;
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    let lead = format!(
        "Sign up for a sandbox key. It is free, asks for no card and no address, and is worth {allowance} each UTC day."
    );
    let is_wrong = name_error.is_some();
    let described = if is_wrong { "name-error name-help" } else { "name-help" };
    let error = name_error.map(|text| view! { <p class="error" id="name-error">{text}</p> });
    let body = view! {
        <div class="docs">
            <header>
                <h1>"Your first answer is a minute away"</h1>
                <p class="lead">{lead}</p>
            </header>
            <article>
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
                </form>
                <div class="text after">
                    <h2>"What happens then"</h2>
                    <ol>
                        <li>"You see your key, once. We keep only a hash of it and cannot show it again."</li>
                        <li>"You paste one command and read an answer."</li>
                        <li>"When you have bought credits, "<code>"POST /api/v1/developers/upgrade"</code>" makes a live key. The sandbox key keeps working."</li>
                    </ol>
                </div>
            </article>
            <nav class="contents after" aria-labelledby="contents">
                <h2 id="contents">"For developers"</h2>
                <ul>
                    <li><a href="/docs">"Quick starts"</a></li>
                    <li><a href="/docs/api">"API reference"</a></li>
                    <li><a href="/developers/account">"Usage and keys"</a></li>
                    <li><a href="/docs/api/keys">"Rotate and revoke keys"</a></li>
                    <li><a href="/problems">"Problems"</a></li>
                </ul>
            </nav>
        </div>
    };
    shell::page(visit, head, body)
}

/// The page with the key.
#[must_use]
pub fn made(visit: &Visit, made: &MadeKey) -> String {
    let about = "Your new sandbox key, shown this once, and a first command to use it with.";
    let head = Head { scripts: &["frontend.js"], ..Head::private("Your key", about) };
    let url = &visit.public_url;
    let key = made.key.clone();
    let environment = format!("FREESIDE_API_KEY={key}\nOPENAI_BASE_URL={url}/v1\nOPENAI_API_KEY={key}");
    let curl = format!(
        "curl -N {url}/v1/chat/completions \\\n  -H 'authorization: Bearer {key}' \\\n  -H 'content-type: application/json' \\\n  -d '{{\"model\":\"cheap\",\"stream\":true,\n       \"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'"
    );
    let title = format!("Welcome, {}", made.name);
    let allowance = format!("A sandbox key, worth {} each UTC day. ", made.allowance);
    let body = view! {
        <div class="docs">
            <header>
                <h1>{title}</h1>
                <p class="lead">"This is your key. It is shown this once: copy it now and keep it where you keep passwords."</p>
            </header>
            <article>
                <section class="sheet key-shown" aria-labelledby="key">
                    <h2 id="key">"Your key"</h2>
                    <code id="the-key">{key}</code>
                    <p class="small quiet">{allowance}"A click on it selects all of it."</p>
                    <p>{copy_button("the-key", "Copy the key")}</p>
                </section>
                <div class="text after">
                    <h2 id="first">"Your first answer"</h2>
                    {copied("curl", "Paste this into a terminal", &curl)}
                    <p class="note good" role="status" data-first-call="the-key" hidden=true></p>
                    <h2>"For a .env file"</h2>
                    {copied("env", ".env", &environment)}
                    <p>"OpenAI\u{2019}s SDKs read the last two by themselves."</p>
                </div>
            </article>
            <nav class="contents after" aria-labelledby="contents">
                <h2 id="contents">"Next"</h2>
                <ul>
                    <li><a href="#first">"Your first answer"</a></li>
                    <li><a href="/docs#sdks">"With an SDK"</a></li>
                    <li><a href="/docs#models">"Models and pools"</a></li>
                    <li><a href="/developers/account">"Usage and keys"</a></li>
                    <li><a href="/docs/api/keys">"Rotate and revoke keys"</a></li>
                </ul>
            </nav>
        </div>
    };
    shell::page(visit, head, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn a_wrong_name_is_shown_again_with_its_reason() {
        let form = Form { name: "\"<b>".into(), name_error: Some("Too odd.".into()), refusal: None };
        let page = page(&visit("/developers"), "10 tokens", form);
        assert!(page.contains("aria-invalid=\"true\"") && page.contains("Too odd."));
        assert!(page.contains("aria-describedby=\"name-error name-help\"") && !page.contains("<b>"));
    }

    #[test]
    fn the_key_is_on_its_page_and_nowhere_in_debug() {
        let key = MadeKey { key: "lf_test_x".into(), allowance: "10 tokens".into(), name: "Ada".into() };
        let page = made(&visit("/developers"), &key);
        assert!(page.contains("Bearer lf_test_x") && page.contains("noindex"));
        assert_eq!(format!("{key:?}"), "MadeKey");
    }
}
