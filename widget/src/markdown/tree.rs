//! What may be drawn: the allow-list, as a type.
//!
//! What always holds: the names of elements and attributes are written here and nowhere else; a value that comes from
//! outside is a checked [`Href`], a [`Language`], or a number.

use alloc::borrow::{Cow, ToOwned as _};
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;

use super::link::Href;

/// One thing in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Text, shown as it is.
    Text(String),
    /// An element and what is in it.
    Element(Tag, Vec<Node>),
}

/// Which side the cells of a column keep to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Where the language starts.
    #[default]
    Start,
    /// The middle.
    Center,
    /// Where the language ends: numbers.
    End,
}

/// The language that a block of code says it is in: letters, digits and `+#-_.`, at most 32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Language(String);

impl Language {
    /// The first word of what stands behind a fence; empty if it is no name.
    pub fn parse(info: &str) -> Self {
        let word = info.split_whitespace().next().unwrap_or("");
        let is_name =
            word.len() <= 32 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+#-_.".contains(&b));
        Self(if is_name { word.to_owned() } else { String::new() })
    }
}

/// Every element there is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Tag {
    Paragraph,
    /// 3 to 6: the page's own headings lie above.
    Heading(u8),
    Bullets,
    /// With the number of the first item.
    Numbers(u32),
    Item,
    Quote,
    Code,
    CodeBlock(Language),
    Strong,
    Emphasis,
    Struck,
    Link(Href),
    Break,
    Rule,
    /// What scrolls when a table is wider than the page.
    Scroll,
    Table,
    TableHead,
    TableBody,
    Row,
    HeadCell(Align),
    Cell(Align),
}

impl Tag {
    /// The element's name in HTML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Paragraph => "p",
            Self::Heading(3) => "h3",
            Self::Heading(4) => "h4",
            Self::Heading(5) => "h5",
            Self::Heading(_) => "h6",
            Self::Bullets => "ul",
            Self::Numbers(_) => "ol",
            Self::Item => "li",
            Self::Quote => "blockquote",
            Self::Code => "code",
            Self::CodeBlock(_) => "pre",
            Self::Strong => "strong",
            Self::Emphasis => "em",
            Self::Struck => "del",
            Self::Link(_) => "a",
            Self::Break => "br",
            Self::Rule => "hr",
            Self::Scroll => "div",
            Self::Table => "table",
            Self::TableHead => "thead",
            Self::TableBody => "tbody",
            Self::Row => "tr",
            Self::HeadCell(_) => "th",
            Self::Cell(_) => "td",
        }
    }

    /// Its attributes. `dir=auto` lets each paragraph run the way its own first letter does.
    pub fn attributes(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let fixed = |name, value| (name, Cow::Borrowed(value));
        match self {
            Self::Paragraph
            | Self::Heading(_)
            | Self::Bullets
            | Self::Numbers(1)
            | Self::Item
            | Self::Quote
            | Self::Table => {
                vec![fixed("dir", "auto")]
            }
            Self::Numbers(start) => vec![fixed("dir", "auto"), ("start", Cow::Owned(start.to_string()))],
            // What scrolls can be reached by keyboard.
            Self::CodeBlock(Language(language)) if language.is_empty() => vec![fixed("tabindex", "0")],
            Self::CodeBlock(Language(language)) => {
                vec![fixed("tabindex", "0"), fixed("data-language", language.as_str())]
            }
            Self::Scroll => {
                vec![
                    fixed("class", "scroll"),
                    fixed("tabindex", "0"),
                    fixed("role", "group"),
                    fixed("aria-label", "Table"),
                ]
            }
            Self::Link(href) => vec![
                fixed("href", href.as_str()),
                fixed("rel", "nofollow noopener noreferrer ugc"),
                fixed("target", "_blank"),
                fixed("dir", "auto"),
            ],
            Self::HeadCell(align) | Self::Cell(align) => {
                let mut attributes = vec![fixed("dir", "auto")];
                match align {
                    Align::Start => {}
                    Align::Center => attributes.push(fixed("class", "center")),
                    Align::End => attributes.push(fixed("class", "end")),
                }
                if matches!(self, Self::HeadCell(_)) {
                    attributes.push(fixed("scope", "col"));
                }
                attributes
            }
            Self::Code
            | Self::Strong
            | Self::Emphasis
            | Self::Struck
            | Self::Break
            | Self::Rule
            | Self::TableHead
            | Self::TableBody
            | Self::Row => Vec::new(),
        }
    }
}
