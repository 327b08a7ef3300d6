//! `/embed`: the document in the frame on somebody else's page: the panel, or why there is none.
//!
//! What always holds: it is a page of its own, without the shell, and all that it loads has a hash and an integrity; its
//! own text reads before any script has run. A refusal tells the page around that it has arrived, so that the launcher
//! does not take it for a server that is away.

use leptos::prelude::*;
use types::Palette;
use types::palette::hex;

use crate::assets::{self, Asset};

/// What the frame shows.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `{slug}:{token}`.
    pub agent: String,
    /// The agent as people see it.
    pub name: String,
    /// A few sentences; may be empty.
    pub about: String,
    /// A path of ours or a data image.
    pub image: Option<String>,
    /// The agent's own colours.
    pub palette: Palette,
    /// The colour that the page around asks for instead, as [`accent`] takes it.
    pub accent: Option<String>,
    /// What the page around asks for; `None`: as the visitor's system has it.
    pub theme: Option<&'static str>,
    /// The origin of the page around.
    pub host: String,
    /// Lets this answer's own scripts run.
    pub nonce: String,
}

/// Why a frame shows no panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The address does not say which page is around.
    NoHost,
    /// No such agent.
    NoAgent,
    /// The agent's community has not allowed the page around.
    HostNotAllowed,
    /// The web chat is switched off.
    SwitchedOff,
    /// What runs in the browser is not part of this server.
    NotBuilt,
    /// Something broke on our side.
    Broken,
}

impl Refused {
    /// What happened, and what to do next: for the visitor, who can do little, and for whoever made the page.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::NoHost => (
                "This belongs in a frame",
                "The widget's script opens it on a page. The guide shows the one line that a page needs.",
            ),
            Self::NoAgent => (
                "There is no such agent",
                "The page names an agent that does not exist here. If it is yours, check its data-agent: a collection's \
                 slug, a colon, a token's number.",
            ),
            Self::HostNotAllowed => (
                "This page may not show the chat",
                "The agent's community has not allowed this site. If it is yours, ask an administrator of the community \
                 to add its origin.",
            ),
            Self::SwitchedOff => (
                "The chat is switched off",
                "The operator has switched it off for now. What was said is kept; come back later.",
            ),
            Self::NotBuilt => (
                "The chat is not part of this build",
                "Whoever runs this server has to build what browsers run first: cargo xtask assets.",
            ),
            Self::Broken => ("Something broke on our side", "It is written down. Try again in a moment."),
        }
    }
}

/// A theme that a page may ask for.
#[must_use]
pub fn theme(text: &str) -> Option<&'static str> {
    ["light", "dark"].into_iter().find(|theme| *theme == text)
}

/// A colour that a page may ask for: `#rrggbb`.
#[must_use]
pub fn accent(text: &str) -> Option<String> {
    let digits = text.strip_prefix('#')?;
    let is_colour = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_colour.then(|| text.to_ascii_lowercase())
}

/// The panel. `None` where what runs in the browser was not built.
#[must_use]
pub fn frame(frame: Frame) -> Option<String> {
    let (script, module) = (assets::named("widget.js")?, assets::named("widget_bg.wasm")?);
    let Frame { agent, name, about, image, palette, accent, theme, host, nonce } = frame;
    let colours = [palette.accent, palette.on_accent, palette.accent_dark, palette.on_accent_dark];
    let colours = accent.is_none().then(|| colours.map(hex).join(","));
    let (title, heading) = (format!("Chat with {name}"), name.clone());
    let intro = (!about.is_empty()).then(|| about.clone());
    let intro = intro.map(|about| view! { <p class="fs-about" dir="auto">{about}</p> });
    let body = view! {
        <main class="fs fs-frame" data-freeside="panel" data-mode="frame" data-agent=agent data-name=name
            data-about=about data-image=image data-palette=colours data-accent=accent data-theme=theme
            data-host=host data-wasm=module.path data-wasm-integrity=module.integrity>
            <div class="fs-intro">
                <h1 class="fs-title" dir="auto">{heading}</h1>
                {intro}
                <p class="fs-fine">"Opening the chat…"</p>
            </div>
        </main>
    };
    Some(document(title, Some(script), nonce, body))
}

/// Why there is no panel. `host`: the page around, which is told that this has arrived.
#[must_use]
pub fn refused(
    refused: &Refused,
    host: Option<String>,
    theme: Option<&'static str>,
    nonce: String,
) -> String {
    let (title, detail) = refused.words();
    let guide = matches!(refused, Refused::NoHost | Refused::NoAgent | Refused::HostNotAllowed)
        .then(|| view! { <a class="fs-small" href="/docs/widget" target="_blank" rel="noopener">"How to embed it"</a> });
    let close = host.is_some().then(|| {
        view! { <button type="button" class="fs-small" data-do="close">"Close"</button> }
    });
    let body = view! {
        <main class="fs fs-frame" data-theme=theme data-host=host>
            <div class="fs-intro">
                <h1 class="fs-title">{title}</h1>
                <p class="fs-about">{detail}</p>
                <p class="fs-suggestions">{guide}{close}</p>
            </div>
        </main>
    };
    document(title.to_owned(), assets::named("refused.js"), nonce, body)
}

fn document<Body: IntoView + 'static>(
    title: String,
    script: Option<&'static Asset>,
    nonce: String,
    body: Body,
) -> String {
    let style = assets::named("panel.css")
        .map(|asset| view! { <link rel="stylesheet" href=asset.path integrity=asset.integrity/> });
    let script = script.map(|asset| {
        view! { <script r#type="module" src=asset.path integrity=asset.integrity nonce=nonce></script> }
    });
    let owner = Owner::new();
    owner.with(|| {
        view! {
            <!DOCTYPE html>
            <html lang="en">
                <head>
                    <meta charset="utf-8"/>
                    <meta name="viewport" content="width=device-width, initial-scale=1"/>
                    <title>{title}</title>
                    <meta name="robots" content="noindex"/>
                    {style}
                    {script}
                </head>
                <body>{body}</body>
            </html>
        }
        .to_html()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(change: impl FnOnce(&mut Frame)) -> Option<String> {
        let palette = Palette::of("demo", "1", &[]);
        let mut made = Frame {
            agent: "demo:1".to_owned(),
            name: "<Mira>".to_owned(),
            about: String::new(),
            image: None,
            palette,
            accent: None,
            theme: None,
            host: "https://shop.example".to_owned(),
            nonce: "n".to_owned(),
        };
        change(&mut made);
        frame(made)
    }

    #[test]
    fn a_frame_has_the_agents_colours_or_the_pages() {
        let Some(page) = shown(|_| ()) else { return };
        assert!(page.contains("data-palette=\"#") && !page.contains("data-accent"));
        assert!(page.contains("data-host=\"https://shop.example\"") && page.contains("&lt;Mira&gt;"));
        assert_eq!(page.matches("integrity=\"sha384-").count(), 3, "all that it loads");
        let page = shown(|frame| frame.accent = accent("#7A3FB0")).expect("built");
        assert!(page.contains("data-accent=\"#7a3fb0\"") && !page.contains("data-palette"));
    }

    #[test]
    fn what_the_page_around_may_ask_for_is_a_short_list() {
        assert_eq!((theme("dark"), theme("light"), theme("system")), (Some("dark"), Some("light"), None));
        for bad in ["", "red", "#fff", "#12345g", "7a3fb0", "#7a3fb0;", "#7a3fb00"] {
            assert_eq!(accent(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_refusal_speaks_to_the_page_around_only_when_it_is_known() {
        let host = Some("https://shop.example".to_owned());
        let page = refused(&Refused::HostNotAllowed, host, None, "n".to_owned());
        assert!(page.contains("data-host=\"https://shop.example\"") && page.contains("data-do=\"close\""));
        let page = refused(&Refused::NoHost, None, Some("dark"), "n".to_owned());
        assert!(
            !page.contains("data-host") && !page.contains("<button") && page.contains("data-theme=\"dark\"")
        );
    }
}
