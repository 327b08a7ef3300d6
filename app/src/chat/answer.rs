//! Answers as HTML, by the same reader that draws them in the browser: what a page shows before anything runs on it looks
//! like what the panel shows afterwards, and is as safe. Tags come from an allow-list that is a type.

use widget::markdown::{self, Node, Tag};

use crate::parts::escape;

/// Markdown as HTML.
pub(super) fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() * 2);
    print(&markdown::read(text), &mut html);
    html
}

fn print(nodes: &[Node], html: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => html.push_str(&escape(text)),
            Node::Element(tag, children) => {
                let name = tag.name();
                html.push('<');
                html.push_str(name);
                for (name, value) in tag.attributes() {
                    html.push(' ');
                    html.push_str(name);
                    html.push_str("=\"");
                    html.push_str(&escape(&value));
                    html.push('"');
                }
                html.push('>');
                if !matches!(tag, Tag::Break | Tag::Rule) {
                    print(children, html);
                    html.push_str("</");
                    html.push_str(name);
                    html.push('>');
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_can_be_no_markup_of_its_own() {
        let made = html(
            "<script>alert(1)</script> [a](javascript:alert(1)) ![x](https://evil.example/i.png)\n\n---",
        );
        assert!(
            !made.contains("<script") && !made.contains("href=\"javascript") && !made.contains("<img"),
            "{made}"
        );
        assert!(made.contains("&lt;script&gt;") && made.contains("<hr>") && !made.contains("</hr>"));
        let link = html("[a](https://a.example/?q=\"x\")");
        assert!(!link.contains("\"x\""), "{link}");
        assert!(html("[a](https://a.example/?b&c)").contains(
            "<a href=\"https://a.example/?b&amp;c\" rel=\"nofollow noopener noreferrer ugc\" target=\"_blank\""
        ));
    }

    #[test]
    fn code_keeps_its_lines_and_can_be_reached() {
        let made = html("```rust\nlet a = 1 < 2;\n```");
        assert_eq!(made, "<pre tabindex=\"0\" data-language=\"rust\"><code>let a = 1 &lt; 2;</code></pre>");
    }
}
