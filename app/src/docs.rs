//! `/docs`: quick starts and the few ideas that one has to know; and below `/docs/api` the reference, rendered from the
//! OpenAPI document, without JavaScript.

mod administer;
mod document;
mod reference;
mod widget;

use leptos::prelude::*;

pub use self::administer::administer;
pub use self::reference::{api, group, group_names};
pub use self::widget::widget;
use crate::parts::code;
use crate::shell::{self, Head, Visit};

/// The quick starts.
#[must_use]
pub fn page(visit: &Visit) -> String {
    let head = Head::new(
        "Docs",
        "Quick starts for curl, Python and JavaScript with OpenAI's and Anthropic's own SDKs; models, money, limits and \
         errors of Freeside's API.",
    );
    let url = &visit.public_url;
    let body = view! {
        <div class="docs">
            <header>
                <h1>"Docs"</h1>
                <p class="lead">"Freeside speaks OpenAI\u{2019}s and Anthropic\u{2019}s dialects. Keep your SDK, change its base URL, and you are done."</p>
            </header>
            <nav class="contents" aria-labelledby="contents">
                <h2 id="contents">"On this page"</h2>
                <ul>
                    <li><a href="#talk">"Talk to an agent"</a></li>
                    <li><a href="#credits">"Credits"</a></li>
                    <li><a href="#key">"Take a key"</a></li>
                    <li><a href="#curl">"Ask with curl"</a></li>
                    <li><a href="#sdks">"Ask with an SDK"</a></li>
                    <li><a href="#models">"Models and pools"</a></li>
                    <li><a href="#money">"What an answer costs"</a></li>
                    <li><a href="#retry">"Ask again without paying twice"</a></li>
                    <li><a href="#buy">"Buy credits"</a></li>
                    <li><a href="#watch">"Watch and change keys"</a></li>
                    <li><a href="#limits">"Limits"</a></li>
                    <li><a href="#errors">"Errors"</a></li>
                </ul>
                <h2>"Guides"</h2>
                <ul>
                    <li><a href="/docs/widget">"The widget on your page"</a></li>
                    <li><a href="/docs/administer">"Looking after a community"</a></li>
                </ul>
                <h2>"Reference"</h2>
                <ul>
                    <li><a href="/docs/api">"All operations"</a></li>
                    <li><a href="/problems">"All problems"</a></li>
                </ul>
            </nav>
            <article class="text">
                {talking()}
                {quick_start(url)}
                {sdks(url)}
                {ideas()}
            </article>
        </div>
    };
    shell::page(visit, head, body)
}

/// For people: the pages, without an API.
fn talking() -> impl IntoView {
    view! {
        <h2 id="talk">"Talk to an agent"</h2>
        <p>"Open "<a href="/agents">"an agent\u{2019}s page"</a>" and read who it is. To ask, sign in with your wallet: you sign a text, nothing is sent to a chain, and it costs nothing. The session ends after an hour, or when you sign out."</p>
        <ul>
            <li>"An answer goes on when you close the page, and is there when you come back. Only "<b>"Stop"</b>" ends it; then you pay for what was said."</li>
            <li>"Below each answer stand the pool that gave it and what it cost, to the millionth of a dollar. Rate it there, or ask again."</li>
            <li>"What you say is yours alone to read. Where an agent has a public history, you may let others read your conversation, and take that back."</li>
            <li>"Some agents talk only to their holder. Their page says so."</li>
        </ul>
        <h2 id="credits">"Credits"</h2>
        <p>"Credits are dollars paid in advance, kept apart for each community. Your first question opens your account there; some communities welcome you with a little to try. An agent\u{2019}s page shows what you have and about what an answer costs."</p>
        <p>"Before a question is answered, the most that it can cost is set aside; what it did not need is yours again when it ends. When nothing is left the page says so and leads to "<a href="/buy">"the packs"</a>", which are paid in crypto."</p>
    }
}

fn quick_start(url: &str) -> impl IntoView + use<> {
    let register = format!(
        "curl -X POST {url}/api/v1/developers/register \\\n  -H 'content-type: application/json' \\\n  -d '{{\"name\":\"Ada\"}}'"
    );
    let openai = format!(
        "curl -N {url}/v1/chat/completions \\\n  -H \"authorization: Bearer $FREESIDE_API_KEY\" \\\n  -H 'content-type: application/json' \\\n  -d '{{\"model\":\"cheap\",\"stream\":true,\n       \"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'"
    );
    view! {
        <h2 id="key">"Take a key"</h2>
        <p>"A sandbox key is free, needs no card, and is good for a number of tokens each UTC day. "<a href="/developers">"Sign up on a page"</a>" and ask right there, or:"</p>
        {code("Sign up", &register)}
        <p>"The key is shown once. Keep it in "<code>"FREESIDE_API_KEY"</code>"."</p>
        <h2 id="curl">"Ask with curl"</h2>
        {code("A streamed answer, in OpenAI\u{2019}s dialect", &openai)}
    }
}

fn sdks(url: &str) -> impl IntoView + use<> {
    let python_openai = format!(
        "# pip install openai\nimport os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=\"{url}/v1\", api_key=os.environ[\"FREESIDE_API_KEY\"])\nstream = client.chat.completions.create(\n    model=\"cheap\",\n    messages=[{{\"role\": \"user\", \"content\": \"Hello!\"}}],\n    stream=True,\n)\nfor chunk in stream:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or \"\", end=\"\")"
    );
    let python_anthropic = format!(
        "# pip install anthropic\nimport os\nfrom anthropic import Anthropic\n\nclient = Anthropic(base_url=\"{url}\", api_key=os.environ[\"FREESIDE_API_KEY\"])\nmessage = client.messages.create(\n    model=\"cheap\",\n    max_tokens=512,\n    messages=[{{\"role\": \"user\", \"content\": \"Hello!\"}}],\n)\nprint(message.content[0].text)"
    );
    let node_openai = format!(
        "// npm install openai\nimport OpenAI from \"openai\";\n\nconst client = new OpenAI({{ baseURL: \"{url}/v1\", apiKey: process.env.FREESIDE_API_KEY }});\nconst stream = await client.chat.completions.create({{\n  model: \"cheap\",\n  messages: [{{ role: \"user\", content: \"Hello!\" }}],\n  stream: true,\n}});\nfor await (const chunk of stream) {{\n  process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");\n}}"
    );
    let node_anthropic = format!(
        "// npm install @anthropic-ai/sdk\nimport Anthropic from \"@anthropic-ai/sdk\";\n\nconst client = new Anthropic({{ baseURL: \"{url}\", apiKey: process.env.FREESIDE_API_KEY }});\nconst message = await client.messages.create({{\n  model: \"cheap\",\n  max_tokens: 512,\n  messages: [{{ role: \"user\", content: \"Hello!\" }}],\n}});\nconsole.log(message.content[0].text);"
    );
    view! {
        <h2 id="sdks">"Ask with an SDK"</h2>
        <p>"The vendors\u{2019} own SDKs work as they are. Our tests run them against this server."</p>
        <h3 id="python">"Python"</h3>
        {code("Python, OpenAI\u{2019}s SDK", &python_openai)}
        {code("Python, Anthropic\u{2019}s SDK", &python_anthropic)}
        <h3 id="javascript">"JavaScript"</h3>
        {code("JavaScript, OpenAI\u{2019}s SDK", &node_openai)}
        {code("JavaScript, Anthropic\u{2019}s SDK", &node_anthropic)}
    }
}

fn ideas() -> impl IntoView {
    view! {
        <h2 id="models">"Models and pools"</h2>
        <p>"Name a pool, and the best model in it that is free answers: "<code>"cheap"</code>", "<code>"standard"</code>", "<code>"reasoning"</code>", "<code>"architect"</code>" or "<code>"flagship"</code>". "<code>"native"</code>" is your tier\u{2019}s usual pool. A model\u{2019}s own id works too. "<code>"GET /v1/models"</code>" lists what your key may use, with prices."</p>
        <p>"A pool above your tier is never reached by any path: the request falls to your tier\u{2019}s usual one, and the answer\u{2019}s "<code>"model"</code>" says what answered."</p>
        <p>"A model that you ask for by its id is answered by it, or by one of its pool that costs no more in input and in output; "<code>"model"</code>" and "<code>"X-Model-Used"</code>" name who answered. Send "<code>"X-Freeside-Fallback: none"</code>" to be answered by that model or nobody, or "<code>"any"</code>" to permit a dearer one. Pools and agents fall back within their pool."</p>
        <h2 id="money">"What an answer costs"</h2>
        <p>"Amounts are micro-USD: whole millionths of a dollar, sent as strings, never as floating-point numbers. Before a model is asked, the most that the answer can cost is set aside. When it ends, what it did cost is charged and the rest is given back at once."</p>
        <p>"Who ends an answer early decides who pays. When the model\u{2019}s provider or we fail before you have anything usable, nothing is charged: a whole answer (without "<code>"stream"</code>") that breaks off is free. When you leave or stop it, you pay for the prompt and for what was said by then; a proxy of yours that gives up after its own time limit is you leaving."</p>
        <p>"If that does not fit your balance, the answer is a "<a href="/problems/insufficient-credits">"402"</a>" that says how many tokens you can afford. Send "<code>"X-Freeside-Clamp: affordable"</code>", and "<code>"max_tokens"</code>" is lowered instead."</p>
        <h2 id="retry">"Ask again without paying twice"</h2>
        <p>"Send an "<code>"Idempotency-Key"</code>" of your own with a question, and the answer runs to its end even if you lose the connection. The same request again gets the stored answer, marked "<code>"Idempotent-Replayed: true"</code>", for 24 hours and up to 1 MiB; it is charged once. While the first one runs, another is told "<a href="/problems/request-in-flight">"409"</a>". A failure that cost nothing frees the key."</p>
        <h2 id="buy">"Buy credits"</h2>
        <p><a href="/buy">"Choose a pack"</a>", then a coin whose minimum fits it. The checkout shows the address, the exact amount, a memo where the coin needs one, and how the payment stands; the credits arrive whether you watch or not. By the API: "<code>"POST /api/v1/orders"</code>" with an "<code>"Idempotency-Key"</code>", then "<code>"POST /api/v1/orders/{id}/payment"</code>"."</p>
        <p>"Once something was bought, "<a href="/developers/account">"one press"</a>" or "<code>"POST /api/v1/developers/upgrade"</code>" makes a live key."</p>
        <h2 id="watch">"Watch and change keys"</h2>
        <p>"The "<a href="/developers/requests">"request log"</a>" has each request with what was set aside for it, charged, and given back; "<code>"GET /api/v1/requests"</code>" has the same, with filters and pages. "<a href="/developers/account">"Usage and keys"</a>" makes further keys that may do less, rotates one with both working for up to seven days, and revokes one at once. A key is managed by the wallet that signed up, or by a key with the scope "<code>"keys"</code>" as far as that key itself reaches: its kind, its scopes, its limits. A sandbox key of an account that a wallet owns has no such scope unless you give it one. Any key may revoke itself."</p>
        <h2 id="limits">"Limits"</h2>
        <p>"An account has requests per minute and tokens per UTC day for each kind of key, which all its keys of that kind share; a key may be given less. A request counts when it arrives, also when its body turns out wrong. Answers carry the vendor\u{2019}s own rate headers, and a "<a href="/problems/rate-limited">"429"</a>" says when to come back. Limits are counted apart from money: a full balance does not lift them."</p>
        <h2 id="errors">"Errors"</h2>
        <p>"Below "<code>"/v1"</code>" errors have OpenAI\u{2019}s or Anthropic\u{2019}s shape, so that SDKs raise what you expect. Everywhere else they are problem documents (RFC 9457), and "<a href="/problems">"each type has a page"</a>". Every answer has an "<code>"x-request-id"</code>"; quote it when you ask for help."</p>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn every_place_in_the_contents_is_there() {
        let page = page(&visit("/docs"));
        for piece in page.split("href=\"#").skip(1) {
            let id = piece.split('"').next().expect("closed");
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(page.contains("base_url=&quot;http://localhost:3000/v1&quot;"));
        assert!(page.len() <= 24 * 1024, "{}", page.len());
    }
}
