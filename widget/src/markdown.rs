//! Markdown as an answer brings it: piece by piece, from a model that anybody may have talked into anything.
//!
//! What always holds: what is drawn is made of [`Tag`]s and texts and nothing else, so no input can name an element or
//! an attribute of its own; a link goes to http, https or mailto; an image is a link to it, never loaded; after
//! [`Renderer::finish`] the drawing depends on the whole text alone, not on how it was cut; what is drawn is touched
//! only where it changed, so a reader's selection and place survive the next token; every nesting has a limit.
//! Deliberately absent: raw HTML (shown as text), indented code, setext headings, reference links, footnotes.

use alloc::string::String;
use alloc::vec::Vec;

mod block;
mod delimiters;
mod draw;
mod inline;
mod link;
mod tree;

pub use draw::Canvas;
pub use link::Href;
pub use tree::{Align, Language, Node, Tag};

use block::Outline;

/// The longest text that is drawn, in bytes: far above any answer, and a page can still scroll through it.
pub const MAX_TEXT: usize = 512 * 1024;

/// Whether more text may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It may: marks that are still open are drawn as if they were closed, so that nothing jumps when they are.
    Open,
    /// It does not.
    Final,
}

/// A whole answer, as what a [`Renderer`] draws of it in the end: for whoever prints it at once. What exceeds [`MAX_TEXT`]
/// is left out.
pub fn read(text: &str) -> Vec<Node> {
    let text: String = sound(&text[..text.floor_char_boundary(MAX_TEXT)]).collect();
    let mut outline = Outline::default();
    block::split(&text).iter().map(|block| block::render(&block.raw, &mut outline, Ending::Final)).collect()
}

/// What a text may hold: a line ends in one way, nothing is invisible to a parser, and nothing turns what follows around
/// (the embeddings, overrides and isolates of Unicode's bidirectional algorithm; a script's own direction needs none).
fn sound(text: &str) -> impl Iterator<Item = char> {
    let is_kept = |c: &char| !matches!(c, '\r' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(is_kept).map(|c| if c == '\0' { '\u{fffd}' } else { c })
}

/// Draws one answer as it grows.
///
/// Blocks that can no longer change are forgotten; what is kept is the text and the tree of those that can.
pub struct Renderer<C: Canvas> {
    canvas: C,
    root: C::Place,
    /// The text from the first block on that may still change.
    open: String,
    /// What is drawn of it.
    drawn: Vec<Node>,
    /// How many blocks before it are drawn for good.
    settled: usize,
    outline: Outline,
    total: usize,
}

impl<C: Canvas> Renderer<C> {
    /// Draws into `root`, which is empty and belongs to this renderer alone.
    pub fn new(canvas: C, root: C::Place) -> Self {
        Self {
            canvas,
            root,
            open: String::new(),
            drawn: Vec::new(),
            settled: 0,
            outline: Outline::default(),
            total: 0,
        }
    }

    /// More of the text. What exceeds [`MAX_TEXT`] is left out.
    pub fn push(&mut self, text: &str) {
        let room = MAX_TEXT.saturating_sub(self.total);
        let text = &text[..text.floor_char_boundary(room)];
        self.total += text.len();
        self.open.extend(sound(text));
        self.settle();
        self.draw(Ending::Open);
    }

    /// No more comes: draws what is left as it stands.
    pub fn finish(&mut self) {
        self.draw(Ending::Final);
    }

    /// What was drawn on.
    pub fn into_canvas(self) -> C {
        self.canvas
    }

    /// Draws the blocks for good that no further text can change, and forgets them.
    fn settle(&mut self) {
        let blocks = block::split(&self.open);
        // A block is closed once a complete line has opened the one after it.
        let Some(last) = blocks.iter().rposition(|block| block.is_opened_for_good) else { return };
        if last == 0 {
            return;
        }
        let closed: Vec<Node> = blocks[..last]
            .iter()
            .map(|block| block::render(&block.raw, &mut self.outline, Ending::Final))
            .collect();
        let start = blocks[last].start;
        draw::patch(&mut self.canvas, &self.root, self.settled, &self.drawn, &closed);
        self.settled += closed.len();
        self.drawn.clear();
        self.open.drain(..start);
    }

    fn draw(&mut self, ending: Ending) {
        let blocks = block::split(&self.open);
        let mut outline = self.outline.clone();
        let last = blocks.len().saturating_sub(1);
        let nodes: Vec<Node> = blocks
            .iter()
            .enumerate()
            .map(|(index, block)| {
                let ending = if index == last { ending } else { Ending::Final };
                block::render(&block.raw, &mut outline, ending)
            })
            .collect();
        draw::patch(&mut self.canvas, &self.root, self.settled, &self.drawn, &nodes);
        self.drawn = nodes;
    }
}
