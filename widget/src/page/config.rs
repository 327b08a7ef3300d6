//! What a page says about the chat that it wants, in `data-` attributes of the root.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use web_sys::Element;

use super::dom;
use crate::colour;

/// Where the panel lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In a page of ours: the page has its own heading, and signing in goes there and back in the same tab.
    Page,
    /// In a frame on somebody's page: it can be closed, and signs in through a popup.
    Frame,
}

/// The attributes. Only `data-agent` is needed; the server writes them all, so none is a visitor's.
#[derive(Debug)]
pub(super) struct Config {
    /// `data-agent`: `{slug}:{token}`.
    pub(super) agent: String,
    /// `data-mode`: `page` (default) or `frame`.
    pub(super) mode: Mode,
    /// `data-name`, `data-about`, `data-image`: the agent as people see it.
    pub(super) name: String,
    pub(super) about: String,
    pub(super) image: Option<String>,
    /// `data-signed-in`: present when the page's cookie is a session's.
    pub(super) is_signed_in: bool,
    /// `data-host`: the origin of the page around the frame; messages go to it and come from it alone.
    pub(super) host: Option<String>,
    /// `data-suggestions`: what one could ask, separated by `|`.
    pub(super) suggestions: Vec<String>,
    /// Addresses on our origin, each with a default: `data-ticket`, `data-signin`, `data-exchange`, `data-socket`,
    /// `data-history`; and `data-buy`, without which no way to buy credits is offered.
    pub(super) ticket: String,
    pub(super) signin: String,
    pub(super) exchange: String,
    pub(super) socket: String,
    pub(super) history: Option<String>,
    pub(super) buy: Option<String>,
}

impl Config {
    /// Reads the attributes, and puts the accent to work: `data-palette`, the agent's own four colours (accent and text
    /// on it, light and dark), or `data-accent`, any colour, which is made readable. `data-theme` is the stylesheet's.
    pub(super) fn read(root: &Element) -> Self {
        let read = |name: &str| root.get_attribute(&format!("data-{name}")).filter(|value| !value.is_empty());
        let or = |name: &str, default: &str| read(name).unwrap_or_else(|| default.to_owned());
        let agent = read("agent").or_else(|| read("token-id")).unwrap_or_default();
        if let Some(palette) = read("palette") {
            let names =
                ["--fs-accent-light", "--fs-on-accent-light", "--fs-accent-dark", "--fs-on-accent-dark"];
            for (name, colour) in names.into_iter().zip(palette.split(',').filter_map(colour::parse)) {
                dom::style(root, name, &colour::css(colour));
            }
        } else if let Some(accent) = read("accent").as_deref().and_then(colour::parse) {
            paint(root, accent);
        }
        let suggestions =
            or("suggestions", "Who are you?|What are you good at?|Tell me something I don’t know");
        Self {
            mode: if read("mode").as_deref() == Some("frame") { Mode::Frame } else { Mode::Page },
            name: or("name", "Agent"),
            about: or("about", ""),
            image: read("image"),
            is_signed_in: root.has_attribute("data-signed-in"),
            host: read("host"),
            suggestions: suggestions
                .split('|')
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
                .collect(),
            ticket: or("ticket", "/api/v1/ws/ticket"),
            signin: or("signin", "/signin"),
            exchange: or("exchange", "/api/v1/siwe/exchange"),
            socket: read("socket").unwrap_or_else(|| socket_of(&agent)),
            history: read("history").or_else(|| {
                let (slug, token) = agent.split_once(':')?;
                Some(format!("/api/v1/agents/{slug}/{token}/history?whose=own"))
            }),
            buy: read("buy"),
            agent,
        }
    }
}

fn socket_of(agent: &str) -> String {
    let location = dom::window().location();
    let scheme = if location.protocol().as_deref() == Ok("http:") { "ws" } else { "wss" };
    let token = js_sys::encode_uri_component(agent);
    format!("{scheme}://{}/ws/chat?tokenId={token}", location.host().unwrap_or_default())
}

/// The accent for both themes, readable on the papers that `panel.css` has.
pub(super) fn paint(root: &Element, accent: colour::Rgb) {
    const LIGHT: [colour::Rgb; 3] = [[0xf7, 0xf6, 0xef], [0xec, 0xea, 0xde], [0xff, 0xff, 0xff]];
    const DARK: [colour::Rgb; 3] = [[0x0f, 0x19, 0x17], [0x15, 0x21, 0x1e], [0x1c, 0x2a, 0x26]];
    for (papers, line, ink) in [
        (LIGHT, "--fs-accent-light", "--fs-on-accent-light"),
        (DARK, "--fs-accent-dark", "--fs-on-accent-dark"),
    ] {
        let made = colour::accent(accent, &papers);
        dom::style(root, line, &colour::css(made.colour));
        dom::style(root, ink, &colour::css(made.ink));
    }
}
