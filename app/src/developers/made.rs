//! A key that was just made, shown this once: the key, a `.env` file, a command; and for a first key, the first answer.

use leptos::prelude::*;

use super::playground;
use crate::parts::{Precision, copied, copy_button, time, zone};
use crate::shell::{self, Head, Visit};

/// A key that was just made.
#[derive(Clone)]
pub struct MadeKey {
    /// Its plain text, shown this once.
    pub key: String,
    /// Its name.
    pub name: String,
    /// What it may do, in a sentence.
    pub worth: String,
    /// Why it was made.
    pub occasion: Occasion,
    /// What the playground offers to ask.
    pub models: Vec<String>,
}

/// Why a key was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Its owner signed up.
    SignedUp,
    /// One more.
    Created,
    /// In place of another, which works until then.
    Rotated {
        /// The public part of the old one.
        old: String,
        /// When it ends, RFC 3339 in UTC; `None`: it has ended.
        until: Option<String>,
    },
    /// After credits were bought.
    Upgraded,
}

// No `Debug` that could print the key.
impl std::fmt::Debug for MadeKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MadeKey")
    }
}

impl Occasion {
    fn title(&self, name: &str) -> String {
        match self {
            Self::SignedUp => format!("Welcome, {name}"),
            Self::Created => format!("Your new key, {name}"),
            Self::Rotated { .. } => format!("The new key of {name}"),
            Self::Upgraded => "Your live key".to_owned(),
        }
    }

    /// What happens to another key.
    fn other(&self) -> Option<AnyView> {
        match self {
            Self::Rotated { old, until: Some(until) } => Some(
                view! {
                    {format!("The old key {old} works until ")}{time(until, Precision::Minute)}" "{zone()}
                    ". Put the new one in its place before then."
                }
                .into_any(),
            ),
            Self::Rotated { old, until: None } => {
                Some(format!("The old key {old} has stopped working.").into_any())
            }
            Self::SignedUp | Self::Created | Self::Upgraded => None,
        }
    }
}

/// The page with the key.
#[must_use]
pub fn made(visit: &Visit, made: &MadeKey) -> String {
    let head = Head {
        scripts: &["frontend.js"],
        ..Head::private("Your key", "Your new key, shown this once, and a first command to use it with.")
    };
    let url = &visit.public_url;
    let key = made.key.clone();
    let environment = format!("FREESIDE_API_KEY={key}\nOPENAI_BASE_URL={url}/v1\nOPENAI_API_KEY={key}");
    let curl = format!(
        "curl -N {url}/v1/chat/completions \\\n  -H 'authorization: Bearer {key}' \\\n  -H 'content-type: application/json' \\\n  -d '{{\"model\":\"native\",\"stream\":true,\n       \"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'"
    );
    let first = (made.occasion == Occasion::SignedUp)
        .then(|| view! { <p class="note" role="status" data-first-call="the-key" hidden=true></p> });
    let other = made.occasion.other().map(|text| view! { <p class="note">{text}</p> });
    let body = view! {
        <div class="docs">
            <header>
                <h1>{made.occasion.title(&made.name)}</h1>
                <p class="lead">"This is your key. It is shown this once: copy it now and keep it where you keep passwords."</p>
            </header>
            <article>
                <section class="sheet key-shown" aria-labelledby="key">
                    <h2 id="key">"Your key"</h2>
                    <code id="the-key">{key}</code>
                    <p class="small quiet">{made.worth.clone()}" A click on it selects all of it."</p>
                    <p>{copy_button("the-key", "Copy the key")}</p>
                    <div class="takes">
                        <details name="take"><summary>"As a .env file"</summary>
                            {copied("env", ".env", &environment)}
                            <p class="small quiet">"OpenAI\u{2019}s SDKs read the last two by themselves."</p>
                        </details>
                        <details name="take"><summary>"As a command"</summary>
                            {copied("curl", "Paste this into a terminal", &curl)}
                        </details>
                    </div>
                </section>
                {other}
                <div class="after">
                    {first}
                    {playground::panel("the-key", &made.models, playground::Level::Section)}
                </div>
            </article>
            <nav class="contents after" aria-labelledby="contents">
                <h2 id="contents">"Next"</h2>
                <ul>
                    <li><a href="#playground">"Your first answer"</a></li>
                    <li><a href="/docs#sdks">"With an SDK"</a></li>
                    <li><a href="/docs#models">"Models and pools"</a></li>
                    <li><a href="/developers/account">"Usage and keys"</a></li>
                    <li><a href="/buy">"Buy credits"</a></li>
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

    fn key(occasion: Occasion) -> MadeKey {
        MadeKey {
            key: "lf_test_x".into(),
            name: "<Ada>".into(),
            worth: "A sandbox key.".into(),
            occasion,
            models: vec!["native".into()],
        }
    }

    #[test]
    fn the_key_is_on_its_page_and_nowhere_in_debug() {
        let key = key(Occasion::SignedUp);
        let page = made(&visit("/developers"), &key);
        assert!(page.contains("Bearer lf_test_x") && page.contains("noindex"));
        assert!(page.contains("data-first-call=\"the-key\"") && page.contains("Welcome, &lt;Ada&gt;"));
        assert_eq!(format!("{key:?}"), "MadeKey");
    }

    #[test]
    fn a_rotation_says_what_becomes_of_the_old_key() {
        let rotated = |until: Option<&str>| {
            let occasion = Occasion::Rotated { old: "abc".into(), until: until.map(str::to_owned) };
            made(&visit("/developers/keys/abc/rotate"), &key(occasion))
        };
        assert!(rotated(Some("2026-01-01T13:00:00Z")).contains(">2026-01-01 13:00</time>"));
        assert!(rotated(None).contains("has stopped working") && !rotated(None).contains("data-first-call"));
    }
}
