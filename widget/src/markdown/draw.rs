//! From the tree that was drawn to the one that should be, with as few touches as the difference needs.

use super::tree::{Node, Tag};

/// What trees are drawn on: the page, or a record of it in tests.
pub trait Canvas {
    /// An element that others can be put into.
    type Place;

    /// Puts a new, empty element at the end of `parent`.
    fn append(&mut self, parent: &Self::Place, tag: &Tag) -> Self::Place;
    /// Puts a new text at the end of `parent`.
    fn append_text(&mut self, parent: &Self::Place, text: &str);
    /// The child at `index`, which is an element.
    fn child(&mut self, parent: &Self::Place, index: usize) -> Self::Place;
    /// Lets the child at `index`, which is a text, go on with `more`.
    fn extend_text(&mut self, parent: &Self::Place, index: usize, more: &str);
    /// Takes away the children from `length` on.
    fn truncate(&mut self, parent: &Self::Place, length: usize);
}

/// Makes the children of `parent` from `offset` on, which are `old`, into `new`.
pub(super) fn patch<C: Canvas>(canvas: &mut C, parent: &C::Place, offset: usize, old: &[Node], new: &[Node]) {
    for (index, node) in new.iter().enumerate() {
        let at = offset + index;
        match (old.get(index), node) {
            (Some(Node::Text(before)), Node::Text(after)) if after.starts_with(before.as_str()) => {
                if after.len() > before.len() {
                    canvas.extend_text(parent, at, &after[before.len()..]);
                }
            }
            (Some(Node::Element(before, old)), Node::Element(after, new)) if before == after => {
                if old != new {
                    let place = canvas.child(parent, at);
                    patch(canvas, &place, 0, old, new);
                }
            }
            (before, _) => {
                if before.is_some() {
                    canvas.truncate(parent, at);
                }
                for node in &new[index..] {
                    append(canvas, parent, node);
                }
                return;
            }
        }
    }
    if old.len() > new.len() {
        canvas.truncate(parent, offset + new.len());
    }
}

fn append<C: Canvas>(canvas: &mut C, parent: &C::Place, node: &Node) {
    match node {
        Node::Text(text) => canvas.append_text(parent, text),
        Node::Element(tag, children) => {
            let place = canvas.append(parent, tag);
            for child in children {
                append(canvas, &place, child);
            }
        }
    }
}
