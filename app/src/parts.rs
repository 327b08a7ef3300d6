//! Small things that several pages use: a block of code, text with code in it, a moment, a wallet's short name.

use std::fmt::Write as _;

use leptos::prelude::*;
use types::WalletId;

/// A block of code. It scrolls in itself, so the keyboard must be able to reach it.
pub(crate) fn code(caption: &str, text: &str) -> impl IntoView + use<> {
    block(caption, text, None)
}

/// A block of code with a button that copies it. The button appears when the script of the page runs.
pub(crate) fn copied(id: &'static str, caption: &str, text: &str) -> impl IntoView + use<> {
    block(caption, text, Some(id))
}

/// A button that copies the text of the element `id`; hidden until there is a script to do it.
pub(crate) fn copy_button(id: &'static str, name: &str) -> impl IntoView + use<> {
    view! {
        <button r#type="button" class="copy" data-copy=id hidden=true aria-live="polite">{name.to_owned()}</button>
    }
}

fn block(caption: &str, text: &str, id: Option<&'static str>) -> impl IntoView + use<> {
    let inner = remarks(text);
    let button = id.map(|id| copy_button(id, "Copy"));
    view! {
        <figure class="code">
            <figcaption><span>{caption.to_owned()}</span>{button}</figcaption>
            <pre tabindex="0" role="group" aria-label=caption.to_owned()><code id=id inner_html=inner></code></pre>
        </figure>
    }
}

/// Text in which `backticks` mark code, as HTML.
#[must_use]
pub fn prose(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 32);
    for (place, piece) in text.split('`').enumerate() {
        let piece = escape(piece);
        if place % 2 == 1 {
            html.push_str("<code>");
            html.push_str(&piece);
            html.push_str("</code>");
        } else {
            html.push_str(&piece);
        }
    }
    html
}

/// How exactly a page tells a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// `2026-01-31 14:05:59`
    Second,
    /// `2026-01-31 14:05`
    Minute,
    /// `14:05`, where the day is clear.
    Clock,
}

/// A moment of RFC 3339 in UTC, as people read it.
pub(crate) fn people(at: &str, to: Precision) -> String {
    let shown = match to {
        Precision::Second => ..19,
        Precision::Minute => ..16,
        Precision::Clock => return at.get(11..16).unwrap_or(at).to_owned(),
    };
    at.get(shown).unwrap_or(at).replace('T', " ")
}

/// A moment of RFC 3339 in UTC, on the page. Its zone is said once, by [`zone`], beside it or above all of them.
pub(crate) fn time(at: &str, to: Precision) -> impl IntoView + use<> {
    view! { <time datetime=at.to_owned()>{people(at, to)}</time> }
}

/// The zone of the page's moments. With a script it is a button that turns them all into the reader's own zone.
pub(crate) fn zone() -> impl IntoView {
    view! { <span data-zone="">"UTC"</span> }
}

/// How old the figures of a page are.
pub(crate) fn as_of(read_at: &str, to: Precision) -> impl IntoView + use<> {
    view! { "As of "{time(read_at, to)}" "{zone()}". " }
}

/// A field for an API key, which a door looks at once.
pub(crate) fn key_field(label: &'static str) -> impl IntoView + use<> {
    view! {
        <div class="field">
            <label for="key">{label}</label>
            <input r#type="password" id="key" name="key" required=true autocomplete="off" spellcheck="false" aria-describedby="key-help"/>
            <p class="help" id="key-help">"We look at it once and do not remember it."</p>
        </div>
    }
}

/// An address as people compare it: its beginning and its end; of a contract, with its chain.
#[must_use]
pub fn short(wallet: WalletId) -> String {
    let text = wallet.address.to_string();
    let short = format!("{}…{}", &text[..6], &text[text.len() - 4..]);
    match wallet.chain_id() {
        None => short,
        Some(chain_id) => format!("{short} on chain {chain_id}"),
    }
}

/// The address of the sign-in page that leads back to `path`.
#[must_use]
pub fn sign_in(path: &str) -> String {
    format!("/signin?return={}", encoded(path))
}

/// Text as the value of a query: every byte but letters, digits and `-._~` as `%XX`.
#[must_use]
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut query, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            let _ = write!(query, "%{byte:02X}");
        }
        query
    })
}

/// Text as HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// Code as HTML, its remarks marked.
fn remarks(text: &str) -> String {
    let line = |line: &str| {
        let escaped = escape(line);
        let is_remark = line.trim_start().starts_with("# ") || line.trim_start().starts_with("// ");
        if is_remark { format!("<span class=\"remark\">{escaped}</span>") } else { escaped }
    };
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_query_stays_one_value() {
        assert_eq!(sign_in("/a b?c=d&é#/"), "/signin?return=%2Fa%20b%3Fc%3Dd%26%C3%A9%23%2F");
        let nobody = types::Wallet([0; 20]);
        assert_eq!(short(WalletId::by_key(nobody)), "0x0000…0000");
        assert_eq!(short(WalletId::by_contract(nobody, 8_453)), "0x0000…0000 on chain 8453");
    }

    #[test]
    fn a_moment_is_told_as_exactly_as_its_place_needs() {
        let told = |to| people("2026-01-31T14:05:59.123456Z", to);
        assert_eq!(told(Precision::Second), "2026-01-31 14:05:59");
        assert_eq!(told(Precision::Minute), "2026-01-31 14:05");
        assert_eq!(told(Precision::Clock), "14:05");
        assert_eq!(people("soon", Precision::Second), "soon");
    }

    #[test]
    fn what_is_quoted_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
        assert_eq!(prose("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
        assert_eq!(prose("no end: `x"), "no end: <code>x</code>");
        assert_eq!(remarks("# <i>\ncurl '#'"), "<span class=\"remark\"># &lt;i&gt;</span>\ncurl &#39;#&#39;");
    }
}
