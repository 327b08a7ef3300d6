//! Blocks: paragraphs, headings, lists, quotes, code, tables.
//!
//! What always holds: lines are read once, forward, and what a complete line decided is never taken back by a later
//! one. That is why closed blocks can be drawn for good.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Ending;
use super::inline;
use super::tree::{Align, Language, Node, Tag};

/// How deep lists and quotes may lie in each other; what is deeper is a paragraph.
const MAX_DEPTH: usize = 6;

/// The most columns of a table; what is beyond is left out.
const MAX_COLUMNS: usize = 32;

/// The most columns by which a line inside an item may be moved in before it counts as nested by one more.
const SHALLOWEST_NESTING: usize = 2;

/// The headings above the place we are at, by the level that the text gives them.
///
/// A page must not skip levels, and models do: the first heading is always a third-level one, and each goes at most
/// one deeper than the one it stands under.
#[derive(Clone, Debug, Default)]
pub(super) struct Outline(Vec<u8>);

impl Outline {
    fn place(&mut self, level: u8) -> u8 {
        while self.0.last().is_some_and(|above| *above >= level) {
            self.0.pop();
        }
        self.0.push(level);
        u8::try_from(self.0.len()).map_or(6, |depth| (2 + depth).min(6))
    }
}

/// A block, not yet looked into.
pub(super) struct Block<'t> {
    /// Where its first line begins.
    pub(super) start: usize,
    /// Whether its first line is complete, so that the block before it is closed whatever follows.
    pub(super) is_opened_for_good: bool,
    pub(super) raw: Raw<'t>,
}

/// What the lines of a block say.
pub(super) enum Raw<'t> {
    Paragraph(Vec<&'t str>),
    Heading(u8, &'t str),
    Fence {
        fence: Fence<'t>,
        lines: Vec<&'t str>,
        is_closed: bool,
    },
    Quote(Vec<&'t str>),
    List {
        start: Option<u32>,
        indent: usize,
        items: Vec<Item<'t>>,
        has_gap: bool,
    },
    Table {
        head: &'t str,
        aligns: Vec<Align>,
        rows: Vec<&'t str>,
    },
    Rule,
    /// Empty lines: they close what is before them and are drawn as nothing.
    Gap,
}

pub(super) struct Item<'t> {
    indent: usize,
    lines: Vec<&'t str>,
}

#[derive(Clone, Copy)]
pub(super) struct Fence<'t> {
    mark: u8,
    length: usize,
    indent: usize,
    info: &'t str,
}

/// Cuts a text into its outermost blocks.
pub(super) fn split(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let is_complete = line.ends_with('\n');
        let content = line.strip_suffix('\n').unwrap_or(line);
        let goes_on = blocks.last_mut().is_some_and(|block| goes_on(&mut block.raw, content));
        if !goes_on {
            blocks.push(Block { start, is_opened_for_good: is_complete, raw: open(content) });
        }
        start += line.len();
    }
    blocks.retain(|block| !matches!(block.raw, Raw::Gap));
    blocks
}

/// What a line opens when nothing goes on with it.
fn open(line: &str) -> Raw<'_> {
    let (indent, rest) = indentation(line);
    if rest.is_empty() {
        return Raw::Gap;
    }
    if let Some(fence) = fence(line) {
        return Raw::Fence { fence, lines: Vec::new(), is_closed: false };
    }
    if let Some((level, title)) = heading(rest) {
        return Raw::Heading(level, title);
    }
    if is_rule(rest) {
        return Raw::Rule;
    }
    if let Some(inner) = quoted(line) {
        return Raw::Quote(vec![inner]);
    }
    if let Some(marker) = marker(line) {
        let item = Item { indent: marker.content, lines: vec![marker.rest] };
        return Raw::List { start: marker.number, indent, items: vec![item], has_gap: false };
    }
    Raw::Paragraph(vec![line])
}

/// Lets a block take a line; false if the line is the first of another.
fn goes_on<'t>(block: &mut Raw<'t>, line: &'t str) -> bool {
    let (indent, rest) = indentation(line);
    match block {
        Raw::Paragraph(lines) => {
            if let [head] = lines.as_slice()
                && let Some(aligns) = delimiter_row(rest, head)
            {
                *block = Raw::Table { head, aligns, rows: Vec::new() };
                return true;
            }
            let goes_on = !rest.is_empty() && !interrupts(line);
            if goes_on {
                lines.push(line);
            }
            goes_on
        }
        Raw::Heading(..) | Raw::Rule | Raw::Fence { is_closed: true, .. } => false,
        Raw::Gap => rest.is_empty(),
        Raw::Fence { fence: opened, lines, is_closed } => {
            if closes(line, opened) {
                *is_closed = true;
            } else {
                lines.push(take_indent(line, opened.indent));
            }
            true
        }
        Raw::Quote(lines) => quoted(line).map(|inner| lines.push(inner)).is_some(),
        Raw::Table { rows, .. } => {
            let goes_on = !rest.is_empty() && rest.contains('|') && !interrupts(line);
            if goes_on {
                rows.push(line);
            }
            goes_on
        }
        Raw::List { start, indent: base, items, has_gap } => {
            let item = items.last_mut().expect("a list is opened by its first item");
            if rest.is_empty() {
                item.lines.push("");
                *has_gap = true;
                return true;
            }
            let inside = indent.saturating_sub(*base);
            if inside >= SHALLOWEST_NESTING.min(item.indent) {
                item.lines.push(take_indent(line, *base + item.indent));
                *has_gap = false;
                return true;
            }
            if let Some(marker) = marker(line)
                && marker.number.is_some() == start.is_some()
                && !is_rule(rest)
            {
                items.push(Item { indent: marker.content, lines: vec![marker.rest] });
                *has_gap = false;
                return true;
            }
            let is_lazy = !*has_gap && !interrupts(line);
            if is_lazy {
                item.lines.push(rest);
            }
            is_lazy
        }
    }
}

/// Whether a line opens something even in the middle of a paragraph.
fn interrupts(line: &str) -> bool {
    let (_, rest) = indentation(line);
    let opens_list =
        || marker(line).is_some_and(|marker| !marker.rest.is_empty() && marker.number.is_none_or(|n| n == 1));
    fence(line).is_some()
        || heading(rest).is_some()
        || is_rule(rest)
        || quoted(line).is_some()
        || opens_list()
}

/// Draws a block.
pub(super) fn render(raw: &Raw<'_>, outline: &mut Outline, ending: Ending) -> Node {
    render_at(raw, outline, ending, 0)
}

fn render_at(raw: &Raw<'_>, outline: &mut Outline, ending: Ending, depth: usize) -> Node {
    match raw {
        Raw::Paragraph(lines) => Node::Element(Tag::Paragraph, inline::render(&joined(lines), ending)),
        Raw::Heading(level, title) => {
            Node::Element(Tag::Heading(outline.place(*level)), inline::render(title, ending))
        }
        Raw::Fence { fence, lines, .. } => {
            let code = lines.join("\n");
            let text = if code.is_empty() { Vec::new() } else { vec![Node::Text(code)] };
            let tag = Tag::CodeBlock(Language::parse(fence.info));
            Node::Element(tag, vec![Node::Element(Tag::Code, text)])
        }
        Raw::Quote(lines) => Node::Element(Tag::Quote, inner(lines, outline, ending, depth)),
        Raw::List { start, items, .. } => {
            let last = items.len() - 1;
            let draw = |(index, item): (usize, &Item<'_>)| {
                let ending = if index == last { ending } else { Ending::Final };
                Node::Element(Tag::Item, tightened(inner(&item.lines, outline, ending, depth)))
            };
            let children = items.iter().enumerate().map(draw).collect();
            Node::Element(start.map_or(Tag::Bullets, Tag::Numbers), children)
        }
        Raw::Table { head, aligns, rows } => table(head, aligns, rows, ending),
        Raw::Rule => Node::Element(Tag::Rule, Vec::new()),
        Raw::Gap => Node::Text(String::new()),
    }
}

/// What is inside a quote or an item.
fn inner(lines: &[&str], outline: &mut Outline, ending: Ending, depth: usize) -> Vec<Node> {
    let text = lines.join("\n");
    if depth >= MAX_DEPTH {
        return vec![Node::Element(Tag::Paragraph, inline::render(text.trim(), ending))];
    }
    let blocks = split(&text);
    let last = blocks.len().saturating_sub(1);
    let draw = |(index, block): (usize, &Block<'_>)| {
        let ending = if index == last { ending } else { Ending::Final };
        render_at(&block.raw, outline, ending, depth + 1)
    };
    blocks.iter().enumerate().map(draw).collect()
}

/// An item with a single paragraph shows its text without one; `[ ]` and `[x]` become boxes.
fn tightened(mut nodes: Vec<Node>) -> Vec<Node> {
    let paragraphs = nodes.iter().filter(|node| matches!(node, Node::Element(Tag::Paragraph, _))).count();
    let Some(Node::Element(Tag::Paragraph, children)) = nodes.first_mut() else { return nodes };
    if let Some(Node::Text(text)) = children.first_mut() {
        for (mark, sign) in [("[ ] ", "☐ "), ("[x] ", "☑ "), ("[X] ", "☑ ")] {
            if let Some(rest) = text.strip_prefix(mark) {
                *text = format!("{sign}{rest}");
            }
        }
    }
    if paragraphs == 1 {
        let children = core::mem::take(children);
        nodes.splice(..1, children);
    }
    nodes
}

fn table(head: &str, aligns: &[Align], rows: &[&str], ending: Ending) -> Node {
    let row = |line: &str, cell: fn(Align) -> Tag, ending| {
        let texts = cells(line);
        let draw = |(column, align): (usize, &Align)| {
            let text = texts.get(column).map_or("", String::as_str);
            Node::Element(cell(*align), inline::render(text, ending))
        };
        Node::Element(Tag::Row, aligns.iter().enumerate().map(draw).collect())
    };
    let head = Node::Element(Tag::TableHead, vec![row(head, Tag::HeadCell, Ending::Final)]);
    let mut parts = vec![head];
    if !rows.is_empty() {
        let body = rows.iter().map(|line| row(line, Tag::Cell, ending)).collect();
        parts.push(Node::Element(Tag::TableBody, body));
    }
    Node::Element(Tag::Scroll, vec![Node::Element(Tag::Table, parts)])
}

/// The cells of a row; `\|` is a bar inside one.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'|') => cell.extend(chars.next()),
            // The last bar closes its cell and opens none.
            '|' if chars.peek().is_none() => {}
            '|' if cells.len() + 1 == MAX_COLUMNS => break,
            '|' => cells.push(core::mem::take(&mut cell)),
            _ => cell.push(c),
        }
    }
    cells.push(cell);
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The sides of the columns, if the line is the one of dashes below the head of a table.
fn delimiter_row(line: &str, head: &str) -> Option<Vec<Align>> {
    if !line.contains('-') || !line.contains('|') || !head.contains('|') {
        return None;
    }
    let align = |cell: &String| {
        let dashes = cell.trim_matches(':');
        if dashes.is_empty() || !dashes.bytes().all(|b| b == b'-') {
            return None;
        }
        Some(match (cell.starts_with(':'), cell.ends_with(':')) {
            (true, true) => Align::Center,
            (false, true) => Align::End,
            _ => Align::Start,
        })
    };
    let aligns: Vec<Align> = cells(line).iter().map(align).collect::<Option<_>>()?;
    (aligns.len() == cells(head).len()).then_some(aligns)
}

/// Lines as one text: a break in the source is a break on the page, because models write verse and addresses that way.
fn joined(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}

/// How far a line is moved in, in columns (a tab is four), and what stands there, without the spaces behind.
fn indentation(line: &str) -> (usize, &str) {
    let rest = line.trim_start_matches([' ', '\t']);
    let blank = &line[..line.len() - rest.len()];
    let columns = blank.bytes().map(|b| if b == b'\t' { 4 } else { 1 }).sum();
    (columns, rest.trim_end())
}

/// The line without up to `columns` of its indentation.
fn take_indent(line: &str, columns: usize) -> &str {
    let mut left = columns;
    let mut rest = line;
    while left > 0 {
        if let Some(shorter) = rest.strip_prefix(' ') {
            (rest, left) = (shorter, left - 1);
        } else if let Some(shorter) = rest.strip_prefix('\t') {
            (rest, left) = (shorter, left.saturating_sub(4));
        } else {
            break;
        }
    }
    rest
}

fn fence(line: &str) -> Option<Fence<'_>> {
    let (indent, rest) = indentation(line);
    let mark = *rest.as_bytes().first().filter(|mark| matches!(mark, b'`' | b'~'))?;
    let length = rest.bytes().take_while(|b| *b == mark).count();
    let info = rest[length..].trim();
    (length >= 3 && !(mark == b'`' && info.contains('`'))).then_some(Fence { mark, length, indent, info })
}

fn closes(line: &str, opened: &Fence<'_>) -> bool {
    fence(line).is_some_and(|it| it.mark == opened.mark && it.length >= opened.length && it.info.is_empty())
}

fn heading(rest: &str) -> Option<(u8, &str)> {
    let title = rest.trim_start_matches('#');
    let level = u8::try_from(rest.len() - title.len()).ok().filter(|level| (1..=6).contains(level))?;
    let is_heading = title.is_empty() || title.starts_with([' ', '\t']);
    let title = title.trim();
    let bare = title.trim_end_matches('#');
    let title = if bare.is_empty() || bare.ends_with([' ', '\t']) { bare.trim_end() } else { title };
    is_heading.then_some((level, title))
}

fn is_rule(rest: &str) -> bool {
    let mark = rest.bytes().next().filter(|mark| matches!(mark, b'-' | b'*' | b'_'));
    let count = rest.bytes().filter(|b| Some(*b) == mark).count();
    mark.is_some() && count >= 3 && rest.bytes().all(|b| Some(b) == mark || b == b' ' || b == b'\t')
}

/// What stands behind the `>`.
fn quoted(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches([' ', '\t']).strip_prefix('>')?;
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

struct Marker<'t> {
    number: Option<u32>,
    /// How far the content is moved in, counted from the marker.
    content: usize,
    rest: &'t str,
}

fn marker(line: &str) -> Option<Marker<'_>> {
    let text = line.trim_start_matches([' ', '\t']);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, width) = match digits {
        0 if text.starts_with(['-', '*', '+']) => (None, 1),
        1..=9 if text[digits..].starts_with(['.', ')']) => (Some(text[..digits].parse().ok()?), digits + 1),
        _ => return None,
    };
    let rest = &text[width..];
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return None;
    }
    let (gap, _) = indentation(rest);
    // Five spaces and more belong to the content.
    let gap = if rest.trim().is_empty() || gap > 4 { 1 } else { gap };
    Some(Marker { number, content: width + gap, rest: take_indent(rest, gap) })
}
