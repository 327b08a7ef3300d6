//! Small things that several pages use: a block of code, and text with code in it.

use leptos::prelude::*;

/// A block of code. It scrolls in itself, so the keyboard must be able to reach it.
pub(crate) fn code(caption: &str, text: &str) -> impl IntoView + use<> {
    let caption = caption.to_owned();
    let inner = remarks(text);
    view! {
        <figure class="code">
            <figcaption>{caption.clone()}</figcaption>
            <pre tabindex="0" role="group" aria-label=caption><code inner_html=inner></code></pre>
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
    fn what_is_quoted_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
        assert_eq!(prose("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
        assert_eq!(prose("no end: `x"), "no end: <code>x</code>");
        assert_eq!(remarks("# <i>\ncurl '#'"), "<span class=\"remark\"># &lt;i&gt;</span>\ncurl &#39;#&#39;");
    }
}
