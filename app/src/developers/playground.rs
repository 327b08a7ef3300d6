//! The playground: a question, its parameters, the answer as it comes, and the same call as code.
//!
//! It is made of a script (`frontend::playground`), and hidden until that runs. The key stays in the page: it is in no
//! address, in no storage, and goes nowhere but to our own API. Deliberately absent: an account to look at; a key is
//! enough to ask.

use leptos::prelude::*;

use crate::parts::copied;
use crate::shell::{self, Head, Visit};

/// Where the panel stands on its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// One section among others, with a heading.
    Section,
    /// All of the page, which has its heading.
    Page,
}

/// `/developers/playground`: for whoever has a key.
#[must_use]
pub fn page(visit: &Visit, models: &[String]) -> String {
    let head = Head {
        scripts: &["frontend.js"],
        ..Head::new(
            "Playground",
            "Ask a model or an agent with your own key, watch the answer arrive, and take the same call away as curl, \
             Python or JavaScript.",
        )
    };
    let url = &visit.public_url;
    let curl = format!(
        "curl -N {url}/v1/chat/completions \\\n  -H \"authorization: Bearer $FREESIDE_API_KEY\" \\\n  -H 'content-type: application/json' \\\n  -d '{{\"model\":\"native\",\"stream\":true,\n       \"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'"
    );
    let body = view! {
        <div class="docs">
            <header>
                <p class="eyebrow"><a href="/developers">"Developers"</a></p>
                <h1>"Playground"</h1>
                <p class="lead">"Ask with your own key and take the same call away as code. The key stays in this page: it is not stored, and gone when you leave."</p>
            </header>
            <article>
                <div data-without-script="">
                    <p>"The playground needs JavaScript. From a terminal, the same question is:"</p>
                    {copied("curl", "A streamed answer", &curl)}
                </div>
                <div data-with-script="" hidden=true class="field key-typed">
                    <label for="play-key">"An API key"</label>
                    <input r#type="password" id="play-key" autocomplete="off" spellcheck="false" aria-describedby="play-key-help"/>
                    <p class="help" id="play-key-help">"No key yet? "<a href="/developers">"Sign up for a free one"</a>"."</p>
                </div>
                {panel("play-key", models, Level::Page)}
            </article>
            {super::places()}
        </div>
    };
    shell::page(visit, head, body)
}

/// The panel. `key`: the id of the element that holds the key, as its text or as its value.
pub(super) fn panel(key: &'static str, models: &[String], level: Level) -> AnyView {
    let options: Vec<_> =
        models.iter().map(|model| view! { <option value=model.clone()>{model.clone()}</option> }).collect();
    let title = match level {
        Level::Section => view! { <h2 id="ask">"Your first answer"</h2> }.into_any(),
        Level::Page => view! { <h2 id="ask" class="hidden">"Ask"</h2> }.into_any(),
    };
    view! {
        <section id="playground" class="playground" aria-labelledby="ask" data-playground=key data-with-script="" hidden=true>
            {title}
            <form id="play" class="sheet" action="#playground">
                <div class="field wide">
                    <label for="play-message">"Message"</label>
                    <textarea id="play-message" rows="3" required=true>"Say hello in one sentence."</textarea>
                </div>
                <div class="knobs">
                    <div class="field"><label for="play-model">"Model, pool or agent"</label><select id="play-model">{options}</select></div>
                    <div class="field"><label for="play-tokens">"Longest answer, tokens"</label><input r#type="number" id="play-tokens" min="1" max="4096" value="256" required=true/></div>
                    <div class="field"><label for="play-heat">"Temperature, 0 to 2"</label><input r#type="number" id="play-heat" min="0" max="2" step="0.1" value="0.7" required=true/></div>
                </div>
                <p class="actions"><button class="button" id="play-send">"Send"</button><button r#type="button" class="button plain" id="play-stop" hidden=true>"Stop"</button></p>
            </form>
            <div class="answer" id="play-answer-box" hidden=true>
                <h3>"Answer"</h3>
                <div id="play-answer" class="said" tabindex="0" role="group" aria-label="Answer"></div>
                <p id="play-state" class="small quiet" role="status"></p>
            </div>
            <details class="code-view">
                <summary>"View code"</summary>
                <p class="small quiet">"The same call, with the parameters above. The key comes from your environment."</p>
                <details name="language" open=true><summary>"curl"</summary>{copied("code-curl", "curl", "")}</details>
                <details name="language"><summary>"Python"</summary>{copied("code-python", "Python, OpenAI\u{2019}s SDK", "")}</details>
                <details name="language"><summary>"JavaScript"</summary>{copied("code-js", "JavaScript, OpenAI\u{2019}s SDK", "")}</details>
            </details>
        </section>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn without_a_script_the_page_reads_as_a_command_and_hides_what_would_do_nothing() {
        let page = page(&visit("/developers/playground"), &["cheap".into(), "agent:<b>:1".into()]);
        assert!(page.contains("data-without-script") && page.contains("Bearer $FREESIDE_API_KEY"));
        assert_eq!(
            page.matches("data-with-script").count(),
            page.matches("data-with-script=\"\" hidden").count()
        );
        assert!(page.contains("agent:&lt;b&gt;:1"));
    }
}
