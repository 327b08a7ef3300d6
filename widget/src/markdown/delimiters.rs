//! Stars, underscores and tildes: which run opens what, which closes it, and the tree that follows.
//!
//! The rule is `CommonMark`'s. What always holds: each run is looked at a bounded number of times (`bottom` remembers
//! where a search was in vain), and what is nested deeper than [`MAX_NESTING`] loses its marks and keeps its text.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::tree::{Node, Tag};
use crate::words::is_of_word;

/// How deep emphasis may lie in emphasis: far beyond sense, and far from the end of any stack.
const MAX_NESTING: usize = 12;

/// A part of a line of text.
pub(super) enum Piece {
    Node(Node),
    Text(String),
    /// `[` or `![`, which a `]` may make a link.
    Bracket {
        is_image: bool,
    },
    Run(Run),
}

/// A run of one of `*`, `_`, `~`.
pub(super) struct Run {
    mark: char,
    length: usize,
    left: usize,
    can_open: bool,
    can_close: bool,
    /// The widths of the pairs that it opens, the innermost first; and that it closes, likewise.
    opens: Vec<usize>,
    closes: Vec<usize>,
}

impl Run {
    /// A run between two characters; the start and the end of the text count as spaces.
    pub(super) fn new(mark: char, length: usize, before: Option<char>, after: Option<char>) -> Self {
        let is_space = |c: Option<char>| c.is_none_or(char::is_whitespace);
        let is_sign = |c: Option<char>| c.is_some_and(|c| !is_of_word(c) && !c.is_whitespace());
        let leans_right = !is_space(after) && (!is_sign(after) || is_space(before) || is_sign(before));
        let leans_left = !is_space(before) && (!is_sign(before) || is_space(after) || is_sign(after));
        let (can_open, can_close) = match mark {
            '_' => (
                leans_right && (!leans_left || is_sign(before)),
                leans_left && (!leans_right || is_sign(after)),
            ),
            '~' => (leans_right && length == 2, leans_left && length == 2),
            _ => (leans_right, leans_left),
        };
        Self { mark, length, left: length, can_open, can_close, opens: Vec::new(), closes: Vec::new() }
    }

    fn kind(&self) -> usize {
        let mark = match self.mark {
            '*' => 0,
            '_' => 1,
            _ => 2,
        };
        mark * 6 + usize::from(self.can_open) * 3 + self.length % 3
    }
}

fn fits(opener: &Run, closer: &Run) -> bool {
    let either_is_both = opener.can_close || closer.can_open;
    let sum = opener.length + closer.length;
    let is_odd = either_is_both
        && sum.is_multiple_of(3)
        && !(opener.length.is_multiple_of(3) && closer.length.is_multiple_of(3));
    opener.mark == closer.mark && !is_odd
}

/// The tree of a sequence of pieces. With `is_open`, what nothing has closed yet reaches to the end.
pub(super) fn tree(mut pieces: Vec<Piece>, is_open: bool) -> Vec<Node> {
    let waiting = pair(&mut pieces);
    let mut hanging = 0;
    if is_open {
        for at in waiting {
            if let Piece::Run(run) = &mut pieces[at]
                && run.mark != '~'
            {
                let width = run.left.min(2);
                run.left -= width;
                run.opens.push(width);
                hanging += 1;
            }
        }
    }
    build(pieces, hanging)
}

/// Finds the pairs; answers which runs still wait for one that closes them.
fn pair(pieces: &mut [Piece]) -> Vec<usize> {
    let mut waiting: Vec<usize> = Vec::new();
    let mut bottom = [0; 18];
    for at in 0..pieces.len() {
        let (before, rest) = pieces.split_at_mut(at);
        let Some(Piece::Run(closer)) = rest.first_mut() else { continue };
        while closer.can_close && closer.left > 0 {
            let opener = waiting.iter().rposition(|place| {
                *place >= bottom[closer.kind()]
                    && matches!(&before[*place], Piece::Run(opener) if fits(opener, closer))
            });
            let Some(found) = opener else {
                bottom[closer.kind()] = at;
                break;
            };
            let Piece::Run(opener) = &mut before[waiting[found]] else { break };
            let width = if opener.left >= 2 && closer.left >= 2 { 2 } else { 1 };
            opener.left -= width;
            closer.left -= width;
            opener.opens.push(width);
            closer.closes.push(width);
            waiting.truncate(found + usize::from(opener.left > 0));
        }
        if closer.can_open && closer.left > 0 {
            waiting.push(at);
        }
    }
    waiting
}

/// Elements that are open, with what is in them so far. A level without a tag is one that lies too deep.
type Levels = Vec<(Option<Tag>, Vec<Node>)>;

fn build(pieces: Vec<Piece>, hanging: usize) -> Vec<Node> {
    let mut levels: Levels = vec![(None, Vec::new())];
    for piece in pieces {
        match piece {
            Piece::Node(node) => top(&mut levels).push(node),
            Piece::Text(text) => add_text(top(&mut levels), &text),
            Piece::Bracket { is_image } => add_text(top(&mut levels), if is_image { "![" } else { "[" }),
            Piece::Run(run) => {
                for _ in &run.closes {
                    close(&mut levels);
                }
                let literal: String = core::iter::repeat_n(run.mark, run.left).collect();
                add_text(top(&mut levels), &literal);
                for width in run.opens.iter().rev() {
                    let tag = match (run.mark, width) {
                        ('~', _) => Tag::Struck,
                        (_, 1) => Tag::Emphasis,
                        _ => Tag::Strong,
                    };
                    let is_shallow = levels.len() <= MAX_NESTING;
                    levels.push((is_shallow.then_some(tag), Vec::new()));
                }
            }
        }
    }
    for _ in 0..hanging {
        close(&mut levels);
    }
    levels.into_iter().next().map(|(_, nodes)| nodes).unwrap_or_default()
}

fn top(levels: &mut Levels) -> &mut Vec<Node> {
    &mut levels.last_mut().expect("the lowest level is never closed").1
}

fn close(levels: &mut Levels) {
    if levels.len() < 2 {
        return;
    }
    let Some((tag, nodes)) = levels.pop() else { return };
    match tag {
        Some(tag) => top(levels).push(Node::Element(tag, nodes)),
        None => {
            for node in nodes {
                match node {
                    Node::Text(text) => add_text(top(levels), &text),
                    node @ Node::Element(..) => top(levels).push(node),
                }
            }
        }
    }
}

/// Neighbouring texts are one.
pub(super) fn add_text(nodes: &mut Vec<Node>, text: &str) {
    if text.is_empty() {
        return;
    }
    match nodes.last_mut() {
        Some(Node::Text(last)) => last.push_str(text),
        _ => nodes.push(Node::Text(text.to_owned())),
    }
}
