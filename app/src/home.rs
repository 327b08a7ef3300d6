//! `/`: what this is, shown by one answer with the money in its margin, and how to try it.

use leptos::prelude::*;

use crate::agents::cards;
use crate::chat::Agent;
use crate::parts::code;
use crate::shell::{self, Head, Visit};

/// The page.
#[must_use]
pub fn page(visit: &Visit, agents: &[Agent]) -> String {
    let head = Head::new(
        "Freeside: agents with open books",
        "Freeside turns a community's NFTs into AI agents, answers over OpenAI's and Anthropic's APIs, and shows what \
         each answer cost to the millionth of a dollar.",
    );
    let body = view! {
        <div class="hero">
            {emblem()}
            <h1>"Every token has a voice. Every answer has a price you can check."</h1>
            <p class="lead">
                "Freeside turns a community\u{2019}s NFTs into AI agents. You talk to them through the SDKs you already use, pay from prepaid credit, and see what each answer cost, to the millionth of a dollar."
            </p>
            <p class="actions">
                <a class="button" href="/developers">"Get a free key"</a>
                <a class="button plain" href="/docs">"Read the docs"</a>
            </p>
        </div>
        {book()}
        {who_is_home(agents)}
        {try_it(&visit.public_url)}
        {promises()}
    };
    shell::page(visit, head, body)
}

/// The station at night: rings of lamps, a few of them lit. Each dot is a dash of no length with a round end.
fn emblem() -> impl IntoView {
    view! {
        <svg class="emblem" viewBox="-100 -100 200 200" aria-hidden="true">
            <g class="lamps">
                <circle r="94" pathLength="84"></circle>
                <circle r="76" pathLength="68"></circle>
                <circle r="58" pathLength="52"></circle>
            </g>
            <g class="lit">
                <circle r="94" pathLength="84"></circle>
                <circle r="76" pathLength="68"></circle>
                <circle r="58" pathLength="52"></circle>
            </g>
            <circle class="hull" r="36"></circle>
            <path class="sun" d="M0-24a24 24 0 0 1 0 48z"></path>
        </svg>
    }
}

/// A page of the book: what was said, and what the ledger wrote beside it. The figures are those of 180 prompt
/// tokens and 96 of at most 1,024 completion tokens in the pool `cheap` of the catalog that comes with the server.
fn book() -> impl IntoView {
    view! {
        <figure class="page-of-book">
            <figcaption>"An example: what is said on the left, what the ledger writes on the right, in dollars."</figcaption>
            <div class="entry">
                <div class="said">
                    <p class="who"><i></i>"You"</p>
                    <blockquote><p>"What do you remember of the harbour?"</p></blockquote>
                </div>
                <dl class="books">
                    <div><dt>"Available"</dt><dd>"2.000000"</dd></div>
                    <div><dt>"Set aside, at most"</dt><dd>"0.000642"</dd></div>
                </dl>
            </div>
            <div class="entry">
                <div class="said">
                    <p class="who"><i class="agent"></i>"Harbour Keeper #42"</p>
                    <blockquote class="voice"><p>"Lamps, mostly. We counted the boats by their lamps, and wrote down each one that came home."</p></blockquote>
                </div>
                <dl class="books">
                    <div><dt>"Charged"</dt><dd>"0.000085"</dd></div>
                    <div><dt>"Given back"</dt><dd>"0.000557"</dd></div>
                    <div class="sum"><dt>"Available"</dt><dd>"1.999915"</dd></div>
                </dl>
            </div>
        </figure>
    }
}

/// Some of those one can talk to, now.
fn who_is_home(agents: &[Agent]) -> Option<impl IntoView + use<>> {
    (!agents.is_empty()).then(|| {
        view! {
            <section class="street" aria-labelledby="street">
                <div class="street-head">
                    <h2 id="street">"Try it: somebody is home"</h2>
                    <p><a href="/agents">"See everybody"</a></p>
                </div>
                {cards(agents, "h3")}
            </section>
        }
    })
}

fn try_it(public_url: &str) -> impl IntoView + use<> {
    let register = format!(
        "curl -X POST {public_url}/api/v1/developers/register \\\n  -H 'content-type: application/json' \\\n  -d '{{\"name\":\"Ada\"}}'"
    );
    let ask = format!(
        "curl -N {public_url}/v1/chat/completions \\\n  -H \"authorization: Bearer $KEY\" \\\n  -H 'content-type: application/json' \\\n  -d '{{\"model\":\"cheap\",\"stream\":true,\n       \"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'"
    );
    let (openai, anthropic) = (format!("{public_url}/v1"), public_url.to_owned());
    view! {
        <section class="chapter" aria-labelledby="try">
            <h2 id="try">"Two lines to a first answer"</h2>
            <div>
                <ol class="steps">
                    <li>
                        <h3>"Take a key"</h3>
                        {code("A sandbox key, free of charge", &register)}
                        <p class="quiet">"It is good for a number of tokens each day and asks for no card. Rather click than type? "<a href="/developers">"Sign up on a page"</a>"."</p>
                    </li>
                    <li>
                        <h3>"Ask"</h3>
                        {code("A streamed answer", &ask)}
                        <p class="quiet">
                            "OpenAI\u{2019}s SDKs take the base URL "<code>{openai}</code>", Anthropic\u{2019}s "<code>{anthropic}</code>". "
                            <a href="/docs#sdks">"See both in Python and JavaScript"</a>"."
                        </p>
                    </li>
                </ol>
            </div>
        </section>
    }
}

fn promises() -> impl IntoView {
    view! {
        <section class="chapter" aria-labelledby="promises">
            <h2 id="promises">"What you can rely on"</h2>
            <div>
                <ul class="promises">
                    <li><h3>"Never more than you have"</h3><p>"The most an answer can cost is set aside before a model is asked. What it did not need is yours again when it ends."</p></li>
                    <li><h3>"No answer, no charge"</h3><p>"When a model or we fail before you have an answer, nothing is charged. When you stop or leave, you pay for the prompt and what was said by then."</p></li>
                    <li><h3>"Books that close"</h3><p>"Every entry has its counter-entry. What was bought, spent, held and expired adds up at every moment, and anyone with the account can check it offline."</p></li>
                    <li><h3>"Refusals that help"</h3><p>"Each error says what happened and what to do next, has a stable name, and "<a href="/problems">"a page of its own"</a>"."</p></li>
                </ul>
            </div>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use types::catalog::{Catalog, DEFAULT_TOML};

    use super::*;
    use crate::chat::tests_agent;
    use crate::shell::tests::visit;

    fn six() -> Vec<Agent> {
        ["Marrow Finch", "Old Tansy", "Ferro Quill", "Juno of the Tides", "Ember Vale", "Nim"]
            .map(tests_agent)
            .to_vec()
    }

    #[test]
    fn the_examples_figures_are_those_of_the_catalog() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("the default is sound");
        let price = catalog.dearest(&[types::Pool::Cheap]);
        let (held, charged) = (price.charge(180, 1_024).0, price.charge(180, 96).0);
        let page = page(&visit("/"), &six());
        for figure in [held, charged, held - charged, 2_000_000 - charged] {
            let text = format!("{}.{:06}", figure / 1_000_000, figure % 1_000_000);
            assert!(page.contains(&text), "{text}");
        }
    }

    #[test]
    fn the_page_is_one_small_document_without_inline_code() {
        let page = page(&visit("/"), &six());
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{}", &page[..60]);
        assert_eq!(page.matches("<h1>").count(), 1);
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick"));
        assert!(page.len() <= 15 * 1024, "{}", page.len());
    }
}
