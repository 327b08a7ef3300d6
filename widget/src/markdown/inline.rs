//! What stands in a line: code, links, emphasis, escapes.
//!
//! What always holds: the text is read forward once; a search that was in vain is not made again, so a text of
//! nothing but brackets or backticks costs what any other does.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Ending;
use super::delimiters::{self, Piece, Run};
use super::link::Href;
use super::tree::{Node, Tag};
use crate::words::is_of_word;

/// The longest paragraph that is looked into, in bytes; a longer one is shown as it is.
const MAX_TEXT: usize = 32 * 1024;

/// The longest run of backticks that opens code.
const MAX_TICKS: usize = 16;

/// The most unclosed `[` that are remembered.
const MAX_BRACKETS: usize = 64;

/// The longest destination of a link in its source form, in bytes.
const MAX_DESTINATION: usize = 4096;

/// Draws a text without blocks in it.
pub(super) fn render(text: &str, ending: Ending) -> Vec<Node> {
    if text.len() > MAX_TEXT {
        let mut nodes = Vec::new();
        delimiters::add_text(&mut nodes, text);
        return nodes;
    }
    let is_open = ending == Ending::Open;
    // Half a mark says nothing yet: it is not shown before its other half may have come.
    let text = if is_open { text.trim_end_matches(['*', '_', '`', '~', '[']) } else { text };
    let mut reader = Reader {
        text,
        at: 0,
        pieces: Vec::new(),
        brackets: Vec::new(),
        without_end: [false; MAX_TICKS + 1],
        is_open,
    };
    reader.read();
    delimiters::tree(reader.pieces, is_open)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    pieces: Vec<Piece>,
    /// Where among the pieces a `[` waits for its `]`.
    brackets: Vec<usize>,
    /// For each length of a run of backticks, whether we know that no other follows.
    without_end: [bool; MAX_TICKS + 1],
    is_open: bool,
}

impl<'t> Reader<'t> {
    fn read(&mut self) {
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\\' => self.escape(),
                '`' => self.code(),
                '*' | '_' | '~' => self.run(c),
                '!' if self.rest().starts_with("![") => self.bracket(true),
                '[' => self.bracket(false),
                ']' => self.closing_bracket(),
                '<' => self.angle(),
                '&' => self.entity(),
                '\n' => self.line_break(),
                'h' | 'H' if self.bare_address() => {}
                _ => self.plain(c),
            }
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn before(&self) -> Option<char> {
        self.text[..self.at].chars().next_back()
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    /// The character itself and what follows without a meaning of its own.
    fn plain(&mut self, c: char) {
        let rest = self.rest();
        let first = c.len_utf8();
        // A word is taken whole, so that an address is only looked for at its start.
        let is_letter = is_of_word(c);
        let more = rest[first..]
            .find(|c: char| {
                "\\`*_~![]<&\n".contains(c)
                    || (matches!(c, 'h' | 'H') && !is_letter)
                    || (is_letter && !is_of_word(c))
            })
            .unwrap_or(rest.len() - first);
        self.text(&rest[..first + more]);
        self.at += first + more;
    }

    fn line_break(&mut self) {
        self.at += 1;
        self.pieces.push(Piece::Node(Node::Element(Tag::Break, Vec::new())));
    }

    fn escape(&mut self) {
        match self.rest()[1..].chars().next() {
            Some('\n') => {
                self.at += 1;
                self.line_break();
            }
            Some(c) if c.is_ascii_punctuation() => {
                self.text(c.encode_utf8(&mut [0; 4]));
                self.at += 2;
            }
            _ => {
                self.text("\\");
                self.at += 1;
            }
        }
    }

    fn code(&mut self) {
        let rest = self.rest();
        let ticks = rest.bytes().take_while(|b| *b == b'`').count();
        let known_in_vain = ticks > MAX_TICKS || self.without_end[ticks];
        let end = if known_in_vain { None } else { end_of_code(rest, ticks) };
        let (code, length) = match end {
            Some(end) => (&rest[ticks..end], end + ticks),
            None if self.is_open && ticks <= MAX_TICKS && rest.len() > ticks => (&rest[ticks..], rest.len()),
            None => {
                if ticks <= MAX_TICKS {
                    self.without_end[ticks] = true;
                }
                self.text(&rest[..ticks]);
                self.at += ticks;
                return;
            }
        };
        let code = code.replace('\n', " ");
        let is_padded = code.starts_with(' ') && code.ends_with(' ') && !code.trim().is_empty();
        let code = if is_padded { code[1..code.len() - 1].to_owned() } else { code };
        self.pieces.push(Piece::Node(Node::Element(Tag::Code, vec![Node::Text(code)])));
        self.at += length;
    }

    fn run(&mut self, mark: char) {
        let rest = self.rest();
        let length = rest.chars().take_while(|c| *c == mark).count();
        let run = Run::new(mark, length, self.before(), rest[length..].chars().next());
        self.pieces.push(Piece::Run(run));
        self.at += length;
    }

    fn bracket(&mut self, is_image: bool) {
        if self.brackets.len() < MAX_BRACKETS {
            self.brackets.push(self.pieces.len());
        }
        self.pieces.push(Piece::Bracket { is_image });
        self.at += if is_image { 2 } else { 1 };
    }

    fn closing_bracket(&mut self) {
        let opened = self.brackets.pop();
        let destination = destination(&self.rest()[1..], self.is_open);
        let (Some(opened), Some((address, length))) = (opened, destination) else {
            self.text("]");
            self.at += 1;
            return;
        };
        let href = Href::parse(&unescaped(address));
        let is_image = matches!(self.pieces[opened], Piece::Bracket { is_image: true });
        if href.is_none() && !is_image && !self.is_open {
            self.text("]");
            self.at += 1;
            return;
        }
        let inner: Vec<Piece> = self.pieces.drain(opened..).skip(1).collect();
        let mut label = without_links(delimiters::tree(inner, false));
        if label.is_empty() {
            label = vec![Node::Text(href.as_ref().map_or("image", Href::as_str).to_owned())];
        }
        match href {
            // A link in a link is none: what was opened outside of this one stays text.
            Some(href) => {
                self.brackets.clear();
                self.pieces.push(Piece::Node(Node::Element(Tag::Link(href), label)));
            }
            None => self.pieces.extend(label.into_iter().map(Piece::Node)),
        }
        self.at += 1 + length;
    }

    /// `<https://…>`; any other `<` is a letter like any other.
    fn angle(&mut self) {
        let inner = self.rest()[1..].split(['>', '<', '\n', ' ']).next().unwrap_or("");
        let end = 1 + inner.len();
        let href = self.rest()[end..].starts_with('>').then(|| Href::parse(inner)).flatten();
        if let Some(href) = href {
            let label = vec![Node::Text(inner.to_owned())];
            self.pieces.push(Piece::Node(Node::Element(Tag::Link(href), label)));
            self.at += end + 1;
        } else {
            self.text("<");
            self.at += 1;
        }
    }

    fn bare_address(&mut self) -> bool {
        let rest = self.rest();
        let has_scheme =
            |scheme: &str| rest.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
        if self.before().is_some_and(is_of_word) || !(has_scheme("https://") || has_scheme("http://")) {
            return false;
        }
        let end = rest.find(|c: char| c.is_whitespace() || "<>\"`[]|*\\".contains(c)).unwrap_or(rest.len());
        let address = without_closing_signs(&rest[..end]);
        let Some(href) = Href::parse(address) else { return false };
        self.pieces.push(Piece::Node(Node::Element(Tag::Link(href), vec![Node::Text(address.to_owned())])));
        self.at += address.len();
        true
    }

    fn entity(&mut self) {
        let (text, length) = entity(self.rest()).unwrap_or(('&', 1));
        self.text(text.encode_utf8(&mut [0; 4]));
        self.at += length;
    }
}

/// Where the run of exactly `ticks` backticks begins that closes the one at the start.
fn end_of_code(text: &str, ticks: usize) -> Option<usize> {
    let mut at = ticks;
    while let Some(next) = text[at..].find('`') {
        let start = at + next;
        let length = text[start..].bytes().take_while(|b| *b == b'`').count();
        if length == ticks {
            return Some(start);
        }
        at = start + length;
    }
    None
}

/// `(address)` or `(address "title")` behind a `]`: the address and how long it all is. When more may come, what has
/// no end yet is a destination too.
fn destination(text: &str, is_open: bool) -> Option<(&str, usize)> {
    let inner = text.strip_prefix('(')?;
    let inner = &inner[..inner.floor_char_boundary(MAX_DESTINATION)];
    let mut depth = 0_usize;
    let mut quoted = false;
    for (at, c) in inner.char_indices() {
        match c {
            '\n' => return None,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            ')' if !quoted => {
                let address = inner[..at].split([' ', '\t']).find(|word| !word.is_empty()).unwrap_or("");
                let address =
                    address.strip_prefix('<').and_then(|it| it.strip_suffix('>')).unwrap_or(address);
                return Some((address, at + 2));
            }
            _ => {}
        }
    }
    (is_open && inner.len() < MAX_DESTINATION).then_some(("", text.len()))
}

/// An address at the end of a sentence does not own the full stop, nor a bracket that it did not open.
fn without_closing_signs(mut address: &str) -> &str {
    while let Some(last) = address.chars().next_back() {
        let opened = || address.matches('(').count();
        let is_sign = ".,:;!?'_~&".contains(last) || (last == ')' && address.matches(')').count() > opened());
        if !is_sign {
            break;
        }
        address = &address[..address.len() - 1];
    }
    address
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest[c.len_utf8()..].chars().next();
        let (c, length) = match c {
            '\\' if after.is_some_and(|next| next.is_ascii_punctuation()) => (after.unwrap_or(c), 2),
            '&' => entity(rest).unwrap_or(('&', 1)),
            _ => (c, c.len_utf8()),
        };
        out.push(c);
        rest = &rest[length..];
    }
    out
}

/// The character that an `&…;` stands for, and how long it is.
fn entity(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(10).position(|b| b == b';')?;
    let name = &text[1..end];
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "copy" => '©',
        "times" => '×',
        "rarr" => '→',
        _ => {
            let digits = name.strip_prefix('#')?;
            let hex = digits.strip_prefix(['x', 'X']);
            let code = hex.map_or_else(|| digits.parse(), |hex| u32::from_str_radix(hex, 16)).ok()?;
            char::from_u32(code).filter(|c| !c.is_control())?
        }
    };
    Some((c, end + 1))
}

/// The label of a link holds no links.
fn without_links(nodes: Vec<Node>) -> Vec<Node> {
    let mut out = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::Text(text) => delimiters::add_text(&mut out, &text),
            Node::Element(Tag::Link(_), children) => {
                for child in without_links(children) {
                    match child {
                        Node::Text(text) => delimiters::add_text(&mut out, &text),
                        node @ Node::Element(..) => out.push(node),
                    }
                }
            }
            Node::Element(tag, children) => out.push(Node::Element(tag, without_links(children))),
        }
    }
    out
}
