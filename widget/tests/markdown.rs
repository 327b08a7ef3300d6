//! The renderer of markdown, from outside: what it draws, and what it never draws.

use proptest::prelude::*;
use widget::markdown::{Canvas, MAX_TEXT, Node, Renderer, Tag};

/// A page that is only remembered, and that knows when it is touched where it must not be.
#[derive(Default)]
struct Page {
    nodes: Vec<Made>,
    touches: usize,
}

enum Made {
    Element { tag: Option<Tag>, children: Vec<usize> },
    Text(String),
}

impl Page {
    fn new() -> Self {
        Self { nodes: vec![Made::Element { tag: None, children: Vec::new() }], touches: 0 }
    }

    fn children(&mut self, place: usize) -> &mut Vec<usize> {
        match &mut self.nodes[place] {
            Made::Element { children, .. } => children,
            Made::Text(_) => panic!("a text has no children"),
        }
    }

    fn put(&mut self, parent: usize, made: Made) -> usize {
        let place = self.nodes.len();
        self.nodes.push(made);
        self.children(parent).push(place);
        self.touches += 1;
        place
    }

    fn html(&self, place: usize) -> String {
        match &self.nodes[place] {
            Made::Text(text) => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            Made::Element { tag, children } => {
                let inner: String = children.iter().map(|child| self.html(*child)).collect();
                let Some(tag) = tag else { return inner };
                let name = tag.name();
                // The attributes that are always the same would only be noise here.
                let is_told = |name: &str, value: &str| {
                    matches!(name, "href" | "start" | "data-language")
                        || (name == "class" && value != "scroll")
                };
                let mut attributes = String::new();
                for (name, value) in tag.attributes().iter().filter(|(name, value)| is_told(name, value)) {
                    attributes.extend([" ", name, "=", value]);
                }
                format!("<{name}{attributes}>{inner}</{name}>")
            }
        }
    }
}

impl Canvas for Page {
    type Place = usize;

    fn append(&mut self, parent: &usize, tag: &Tag) -> usize {
        self.put(*parent, Made::Element { tag: Some(tag.clone()), children: Vec::new() })
    }

    fn append_text(&mut self, parent: &usize, text: &str) {
        self.put(*parent, Made::Text(text.to_owned()));
    }

    fn child(&mut self, parent: &usize, index: usize) -> usize {
        self.children(*parent)[index]
    }

    fn extend_text(&mut self, parent: &usize, index: usize, more: &str) {
        self.touches += 1;
        let at = self.children(*parent)[index];
        match &mut self.nodes[at] {
            Made::Text(text) => text.push_str(more),
            Made::Element { .. } => panic!("only a text goes on"),
        }
    }

    fn truncate(&mut self, parent: &usize, length: usize) {
        self.touches += 1;
        let children = self.children(*parent);
        assert!(length < children.len(), "takes something away");
        children.truncate(length);
    }
}

fn drawn<'t>(chunks: impl IntoIterator<Item = &'t str>) -> Page {
    let mut renderer = Renderer::new(Page::new(), 0);
    for chunk in chunks {
        renderer.push(chunk);
    }
    renderer.finish();
    renderer.into_canvas()
}

/// What is drawn, and what is read at once: they are the same.
fn html(text: &str) -> String {
    let html = drawn([text]).html(0);
    let mut page = Page::new();
    copy(&mut page, 0, &widget::markdown::read(text));
    assert_eq!(page.html(0), html, "{text}");
    html
}

fn copy(page: &mut Page, parent: usize, nodes: &[Node]) {
    for node in nodes {
        match node {
            Node::Text(text) => page.append_text(&parent, text),
            Node::Element(tag, children) => {
                let place = page.append(&parent, tag);
                copy(page, place, children);
            }
        }
    }
}

/// What a reader sees before the end.
fn so_far(text: &str) -> String {
    let mut renderer = Renderer::new(Page::new(), 0);
    renderer.push(text);
    renderer.into_canvas().html(0)
}

#[test]
fn draws_what_models_write() {
    let cases = [
        ("Hello", "<p>Hello</p>"),
        ("one\ntwo", "<p>one<br></br>two</p>"),
        ("one\n\ntwo", "<p>one</p><p>two</p>"),
        (
            "**b** *i* ***bi*** ~~s~~",
            "<p><strong>b</strong> <em>i</em> <em><strong>bi</strong></em> <del>s</del></p>",
        ),
        ("snake_case_name and 5 * 3 * 2", "<p>snake_case_name and 5 * 3 * 2</p>"),
        ("_a_ __b__", "<p><em>a</em> <strong>b</strong></p>"),
        ("**unclosed", "<p>**unclosed</p>"),
        ("`a < b` ``x`y``", "<p><code>a &lt; b</code> <code>x`y</code></p>"),
        (
            "```rust\nfn a() {}\n\nfn b() {}\n```\nend",
            "<pre data-language=rust><code>fn a() {}\n\nfn b() {}</code></pre><p>end</p>",
        ),
        ("```\nopen", "<pre><code>open</code></pre>"),
        ("- a\n- b\n  - c\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
        ("3. a\n4. b\n   more", "<ol start=3><li>a</li><li>b<br></br>more</li></ol>"),
        ("1. a\n\n2. b\n\nafter", "<ol><li>a</li><li>b</li></ol><p>after</p>"),
        ("1. a\n   ```\n   x\n   ```\n2. b", "<ol><li>a<pre><code>x</code></pre></li><li>b</li></ol>"),
        ("- [ ] to do\n- [x] done", "<ul><li>☐ to do</li><li>☑ done</li></ul>"),
        ("> q\n> - a\n\nb", "<blockquote><p>q</p><ul><li>a</li></ul></blockquote><p>b</p>"),
        ("a\n\n---\n\nb", "<p>a</p><hr></hr><p>b</p>"),
        ("### a\n## b\n### c\n##### d\n#no", "<h3>a</h3><h3>b</h3><h4>c</h4><h5>d</h5><p>#no</p>"),
        ("[t](https://a.example/x \"title\")", "<p><a href=https://a.example/x>t</a></p>"),
        (
            "see https://a.example/a_b_(c).",
            "<p>see <a href=https://a.example/a_b_(c)>https://a.example/a_b_(c)</a>.</p>",
        ),
        ("<https://a.example>", "<p><a href=https://a.example>https://a.example</a></p>"),
        ("![a cat](https://a.example/cat.png)", "<p><a href=https://a.example/cat.png>a cat</a></p>"),
        ("a\\*b &lt;i&gt; &#x41;", "<p>a*b &lt;i&gt; A</p>"),
        (
            "| a | b |\n|:-:|--:|\n| 1 | `x\\|y` |\n\nend",
            "<div><table><thead><tr><th class=center>a</th><th class=end>b</th></tr></thead><tbody><tr><td class=center>1</td><td class=end><code>x|y</code></td></tr></tbody></table></div><p>end</p>",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(html(text), expected, "{text}");
    }
}

#[test]
fn nothing_turns_the_text_after_it_around() {
    for control in [
        '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
        '\u{2069}',
    ] {
        assert_eq!(html(&format!("pay {control}to *me*")), "<p>pay to <em>me</em></p>", "{control:?}");
        assert_eq!(html(&format!("`a{control}b`")), "<p><code>ab</code></p>", "{control:?}");
    }
    assert_eq!(
        html("\u{5e9}\u{5dc}\u{5d5}\u{5dd}"),
        "<p>\u{5e9}\u{5dc}\u{5d5}\u{5dd}</p>",
        "a script's own direction stays"
    );
}

#[test]
fn html_is_text() {
    for text in ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a <b onclick=x>c</b>"] {
        let drawn = html(text);
        assert_eq!(drawn.matches('<').count(), 2, "only the paragraph: {drawn}");
    }
}

#[test]
fn addresses_that_run_something_stay_text() {
    for text in [
        "[x](javascript:alert(1))",
        "[x](JAVASCRIPT:alert(1))",
        "[x](java&#115;cript:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html;base64,AAAA)",
        "[x](<javascript:alert(1)>)",
        "<javascript:alert(1)>",
        "![x](javascript:alert(1))",
        "[x](//evil.example)",
        "[x](/signin)",
    ] {
        assert!(!html(text).contains("href"), "{}", html(text));
    }
}

#[test]
fn a_link_holds_no_link() {
    let text = "[a https://b.example c](https://d.example)";
    assert_eq!(html(text), "<p><a href=https://d.example>a https://b.example c</a></p>");
    let text = "[a [b](https://b.example) c](https://d.example)";
    assert!(html(text).starts_with("<p>[a <a href=https://b.example>b</a> c]("), "{}", html(text));
}

#[test]
fn what_is_half_written_looks_as_it_will() {
    assert_eq!(so_far("a **bo"), "<p>a <strong>bo</strong></p>");
    assert_eq!(so_far("a **bold*"), "<p>a <strong>bold</strong></p>");
    assert_eq!(so_far("a **"), "<p>a </p>");
    assert_eq!(so_far("a `co"), "<p>a <code>co</code></p>");
    assert_eq!(so_far("a [text](https://a.exa"), "<p>a text</p>");
    assert_eq!(so_far("**a\n\nb"), "<p>**a</p><p>b</p>", "a closed paragraph has its last form");
}

#[test]
fn what_is_settled_is_not_touched_again() {
    let mut renderer = Renderer::new(Page::new(), 0);
    renderer.push(&"A paragraph of some length.\n\n".repeat(200));
    renderer.push("last ");
    for _ in 0..100 {
        renderer.push("word ");
    }
    renderer.finish();
    let page = renderer.into_canvas();
    // 200 paragraphs with a text each, and the last one with a touch for each word.
    assert!(page.touches <= 200 * 2 + 2 + 100 + 2, "{} touches", page.touches);
}

#[test]
fn everything_has_a_limit() {
    let deep = format!("{}x", "> ".repeat(5_000));
    assert!(html(&deep).matches("<blockquote>").count() <= 8);
    let lists: Vec<String> = (0..200).map(|depth| format!("{}- x", "  ".repeat(depth))).collect();
    assert!(html(&lists.join("\n")).matches("<ul>").count() <= 100);
    let stars = "*a **b ".repeat(4_000) + &"c** d*".repeat(4_000);
    html(&stars);
    html(&"[".repeat(30_000));
    html(&"`a``b```".repeat(3_000));
    html(&"![](".repeat(8_000));
    let long = "word ".repeat(MAX_TEXT / 5 + 1_000);
    assert!(html(&long).len() < MAX_TEXT + 100);
    let bars = format!("{}\n{}\n", "|a".repeat(500), "|-".repeat(500));
    assert!(html(&bars).matches("<th>").count() <= 32);
}

/// Pieces that mean something, mixed with any text at all.
fn hostile() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "*",
        "**",
        "_",
        "__",
        "~~",
        "`",
        "``",
        "```",
        "```js\n",
        "\n",
        "\n\n",
        "- ",
        "1. ",
        "> ",
        "# ",
        "### ",
        "---\n",
        "|",
        "|a|b|\n|-|-|\n",
        "[",
        "]",
        "(",
        ")",
        "![",
        "](",
        "[x](https://a.example)",
        "](javascript:alert(1))",
        "https://",
        "https://a.example/",
        "http://\"onclick=",
        "<",
        ">",
        "<script>",
        "</p>",
        "<img src=x onerror=y>",
        "<https://b.example>",
        "\\",
        "&",
        "&lt;",
        "&#x3c;",
        "&#58;",
        "javascript:",
        "data:",
        "\"",
        "'",
        " ",
        "  ",
        "    ",
        "\t",
        "\r\n",
        "\0",
        "a",
        "word ",
        "é",
        "字",
        "🦀",
        "\u{202e}",
        "\u{200b}",
        "~~~",
        "~~~\n",
        "  - ",
        "   ",
        "[ ] ",
        "mailto:a@b.example",
    ];
    let piece = prop_oneof![4 => proptest::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,6}"];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// The elements, and each attribute with what its value may be.
fn is_allowed(tag: &Tag) -> bool {
    const NAMES: &[&str] = &[
        "p",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "blockquote",
        "pre",
        "code",
        "strong",
        "em",
        "del",
        "a",
        "br",
        "hr",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ];
    let value_is_allowed = |name: &str, value: &str| match name {
        "href" => {
            let value = value.to_ascii_lowercase();
            ["https://", "http://", "mailto:"].iter().any(|scheme| value.starts_with(scheme))
                && !value.contains(|c: char| c.is_control() || c.is_whitespace() || "<>\"'".contains(c))
        }
        "rel" => value.contains("nofollow") && value.contains("noopener"),
        "target" => value == "_blank",
        "dir" => value == "auto",
        "tabindex" => value == "0",
        "start" => value.bytes().all(|b| b.is_ascii_digit()),
        "data-language" => {
            value.len() <= 32 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+#-_.".contains(&b))
        }
        "class" => ["scroll", "center", "end"].contains(&value),
        "role" => value == "group",
        "scope" => value == "col",
        "aria-label" => value == "Table",
        _ => false,
    };
    NAMES.contains(&tag.name()) && tag.attributes().iter().all(|(name, value)| value_is_allowed(name, value))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 20_000 } else { 1_500 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_outside_the_list_is_ever_drawn(text in hostile(), cut in any::<prop::sample::Index>()) {
        // Each state on the way counts, not only the last: a page shows them all.
        let mut at = cut.index(text.len() + 1);
        while !text.is_char_boundary(at) { at -= 1; }
        let page = drawn([&text[..at], &text[at..]]);
        for made in &page.nodes {
            if let Made::Element { tag: Some(tag), .. } = made {
                prop_assert!(is_allowed(tag), "{tag:?}");
                if let Tag::Link(_) = tag {
                    prop_assert!(tag.attributes().iter().any(|(name, _)| *name == "rel"));
                }
            }
        }
    }

    #[test]
    fn pieces_draw_what_the_whole_draws(text in hostile(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).filter(|at| text.is_char_boundary(*at)).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let chunks = places.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        prop_assert_eq!(drawn(chunks).html(0), html(&text));
    }

    #[test]
    fn one_character_at_a_time_is_no_different(text in hostile()) {
        let letters = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
        prop_assert_eq!(drawn(letters).html(0), html(&text));
    }
}
