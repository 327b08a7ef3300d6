//! `/docs/widget`: how an agent comes onto somebody's own page: the line, its attributes, and what a strict page has to
//! allow.

use leptos::prelude::*;

use crate::assets;
use crate::parts::{code, copied};
use crate::shell::{self, Head, Visit};

/// The agent that the guide shows: the demo community's first.
const AGENT: &str = "demo:1";

/// The guide.
#[must_use]
pub fn widget(visit: &Visit) -> String {
    let head = Head {
        scripts: &["frontend.js"],
        ..Head::new(
            "The widget",
            "Put an agent on your own page with one script tag: its attributes, allowed origins, and the two lines that a \
             strict content security policy needs.",
        )
    };
    let url = visit.public_url.clone();
    let body = view! {
        <div class="docs">
            <header>
                <h1>"An agent on your own page"</h1>
                <p class="lead">"One line of HTML puts a chat in the corner of any page. It works under the strictest content policy and with third-party cookies blocked, because the chat lives in a frame of ours."</p>
            </header>
            <nav class="contents" aria-labelledby="contents">
                <h2 id="contents">"On this page"</h2>
                <ul>
                    <li><a href="#line">"The line"</a></li>
                    <li><a href="#attributes">"Attributes"</a></li>
                    <li><a href="#origins">"Allowed origins"</a></li>
                    <li><a href="#policy">"Content policies"</a></li>
                    <li><a href="#pinned">"A pinned version"</a></li>
                    <li><a href="#signing-in">"Signing in and paying"</a></li>
                    <li><a href="#manners">"What it does to your page"</a></li>
                </ul>
                <h2>"See also"</h2>
                <ul>
                    <li><a href="/docs">"Quick starts"</a></li>
                    <li><a href="/docs/api/admin#setOrigins">"Origins over the API"</a></li>
                </ul>
            </nav>
            <article class="text">
                {line(&url)}
                {attributes()}
                {origins(&url)}
                {policy(&url)}
                {pinned(&url)}
                {behaviour()}
            </article>
        </div>
    };
    shell::page(visit, head, body)
}

fn line(url: &str) -> impl IntoView + use<> {
    let snippet = format!("<script src=\"{url}/widget/v1/widget.js\" data-agent=\"{AGENT}\" async></script>");
    view! {
        <h2 id="line">"The line"</h2>
        <p>"Paste it before the end of the body, with your own agent: its collection\u{2019}s slug, a colon, its token\u{2019}s number."</p>
        {copied("snippet", "On your page", &snippet)}
        <p>"Then "<a href="#origins">"allow the page\u{2019}s origin"</a>". Until a visitor opens the chat, the page loads nothing but this script of two kilobytes."</p>
    }
}

fn attributes() -> impl IntoView {
    let rows = [
        (
            "data-agent",
            "demo:1, needed",
            "Which agent. A number alone is a token of this server\u{2019}s own collection; data-token-id is another name for it.",
        ),
        ("data-theme", "light or dark", "Left out: as the visitor\u{2019}s system has it."),
        ("data-position", "left or right", "In which corner the button stands. Left out: right."),
        (
            "data-accent",
            "#7a3fb0",
            "A colour instead of the agent\u{2019}s own. It is made readable in both themes.",
        ),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value, about)| {
            view! { <div><dt><code>{name}</code><span class="kind">{value}</span></dt><dd>{about}</dd></div> }
        })
        .collect();
    view! {
        <h2 id="attributes">"Attributes"</h2>
        <dl class="fields">{rows}</dl>
    }
}

fn origins(url: &str) -> impl IntoView + use<> {
    let put = format!(
        "curl -X PUT {url}/api/v1/admin/community/$COMMUNITY/origins \\\n  -H \"authorization: Bearer $ADMIN_KEY\" \\\n  -H 'content-type: application/json' \\\n  -d '{{\"origins\":[\"https://shop.example\",\"https://www.shop.example\"],\n       \"reason\":\"our shop\"}}'"
    );
    view! {
        <h2 id="origins">"Allowed origins"</h2>
        <p>"A browser shows the chat only inside pages that the agent\u{2019}s community has allowed. The list holds exact origins, scheme, host and port as a browser writes them, at most 20, without wildcards: "<code>"https://shop.example"</code>" does not stand for "<code>"https://www.shop.example"</code>". Pages have to come by https; "<code>"http://localhost"</code>" and "<code>"http://127.0.0.1"</code>" may be listed too, each with its port."</p>
        <p>"An administrator keeps the list on the community\u{2019}s page, or with a key that has the scope "<code>"admin"</code>". The list is replaced as a whole, and each change is recorded with its reason:"</p>
        {copied("put", "Allow two origins", &put)}
        <p>"A server that is itself reached at "<code>"127.0.0.1"</code>" or "<code>"localhost"</code>", as in development, lets every page of the same machine try the widget without a list. No other server does."</p>
    }
}

fn policy(url: &str) -> impl IntoView + use<> {
    let lines = format!("Content-Security-Policy:\n  script-src {url};\n  frame-src {url}");
    view! {
        <h2 id="policy">"Content policies"</h2>
        <p>"If your page has a content security policy, it has to allow two things from this server. Add them to what your policy has:"</p>
        {code("In your policy", &lines)}
        <p>"That is all: no "<code>"unsafe-inline"</code>", no "<code>"unsafe-eval"</code>", no "<code>"wasm-unsafe-eval"</code>", nothing in "<code>"style-src"</code>", "<code>"connect-src"</code>" or "<code>"img-src"</code>". Under "<code>"strict-dynamic"</code>", give the script tag your nonce. Trusted types and pages that are isolated by "<code>"COEP: require-corp"</code>" need nothing more."</p>
    }
}

fn pinned(url: &str) -> impl IntoView + use<> {
    let snippet = assets::loader().map(|loader| {
        let snippet = format!(
            "<script src=\"{url}/widget/{}/widget.js\"\n  integrity=\"{}\"\n  crossorigin=\"anonymous\" data-agent=\"{AGENT}\" async></script>",
            loader.hash(),
            loader.integrity
        );
        copied("pinned-snippet", "The loader of this server, pinned by its hash", &snippet)
    });
    view! {
        <h2 id="pinned">"A pinned version"</h2>
        <p>"The address above always holds this server\u{2019}s newest loader; browsers ask for it again after five minutes. If you want to run only what you have read, pin it: this address never changes what it holds, and the browser checks its hash."</p>
        {snippet}
        <p>"A server keeps the version that it was built with. After an update the old address answers 404 and names the new one, so pin only if you follow updates. Whatever the loader opens is checked by hash either way."</p>
    }
}

fn behaviour() -> impl IntoView {
    view! {
        <h2 id="signing-in">"Signing in and paying"</h2>
        <p>"Anyone can read who the agent is. To write, a visitor signs in with a wallet, in a window of this server, so that the wallet shows its true address. The frame keeps the session in its memory: no cookie, no storage, gone when the page is left. Each visitor pays for their own answers; your page pays nothing and learns nothing of what is said."</p>
        <h2 id="manners">"What it does to your page"</h2>
        <ul>
            <li>"It adds one element with a closed shadow, and touches nothing else: no styles, no globals, no listeners on your elements."</li>
            <li>"Esc closes the chat and gives the focus back to the button. On a phone the chat fills the screen."</li>
            <li>"It follows the visitor\u{2019}s choice of dark colours, more contrast and less motion."</li>
            <li>"While the chat is closed, the button counts answers that came in the meantime."</li>
            <li>"If this server is away, the chat says so and offers to try again; your page goes on as before."</li>
        </ul>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    #[test]
    fn what_is_pasted_names_this_server_and_what_it_holds() {
        let page = widget(&visit("/docs/widget"));
        for piece in page.split("href=\"#").skip(1) {
            let id = piece.split('"').next().expect("closed");
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(page.contains("&lt;script src=&quot;http://localhost:3000/widget/v1/widget.js&quot;"));
        if let Some(loader) = assets::loader() {
            assert!(page.contains(loader.hash()) && page.contains(loader.integrity));
        }
    }
}
