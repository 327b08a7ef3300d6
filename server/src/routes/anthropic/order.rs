//! Puts the pieces of an answer in the order that Anthropic's stream demands: one block is open at a time.
//!
//! Parallel calls may come interleaved, and text between their pieces. What comes while a call's arguments are not whole
//! waits until they are, or until the answer ends; everything else passes as it comes, so an answer that was in order
//! waits for nothing.

use std::collections::VecDeque;

use domain::turn::Piece;
use types::json_end::JsonEnd;

/// The state of one answer.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    /// The call whose block was written last, until text follows it.
    last: Option<u32>,
    /// … and whether its arguments are whole.
    end: JsonEnd,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    Text(String),
    Call { index: u32, id: Option<String>, name: Option<String>, arguments: String },
}

impl InOrder {
    /// Takes text or a piece of a call, and gives out what may be written now.
    pub(super) fn take(&mut self, piece: Piece, mut write: impl FnMut(Piece)) {
        match piece {
            Piece::Text(text) if self.is_open() => self.wait_with_text(&text),
            Piece::Text(text) => {
                self.last = None;
                write(Piece::Text(text));
            }
            Piece::ToolCall { index, id, name, arguments } => {
                if let Some(held) = self.held(index) {
                    held.push_str(&arguments);
                } else if self.last == Some(index) {
                    self.end.feed(&arguments);
                    write(Piece::ToolCall { index, id: None, name: None, arguments });
                    if !self.is_open() {
                        self.release(&mut write);
                    }
                } else if id.is_none() && name.is_none() {
                    // More of a call whose block is closed: its arguments were whole, so nothing of use can follow.
                    tracing::debug!("a tool call went on after its end");
                } else {
                    self.waiting.push_back(Waiting::Call { index, id, name, arguments });
                    if !self.is_open() {
                        self.release(&mut write);
                    }
                }
            }
            other @ (Piece::Done(_) | Piece::Broken { .. }) => write(other),
        }
    }

    /// The answer ends: gives out all that waits.
    pub(super) fn finish(&mut self, mut write: impl FnMut(Piece)) {
        while !self.waiting.is_empty() {
            self.last = None;
            self.release(&mut write);
        }
    }

    /// A call's block is open, and more of its arguments has to come.
    fn is_open(&self) -> bool {
        self.last.is_some() && !self.end.is_whole()
    }

    fn wait_with_text(&mut self, text: &str) {
        if let Some(Waiting::Text(held)) = self.waiting.back_mut() {
            held.push_str(text);
        } else {
            self.waiting.push_back(Waiting::Text(text.to_owned()));
        }
    }

    /// The arguments of the call while it waits.
    fn held(&mut self, wanted: u32) -> Option<&mut String> {
        self.waiting.iter_mut().find_map(|waiting| match waiting {
            Waiting::Call { index, arguments, .. } if *index == wanted => Some(arguments),
            Waiting::Call { .. } | Waiting::Text(_) => None,
        })
    }

    /// Gives out what waits up to the first call whose arguments are not whole, and that one.
    fn release(&mut self, write: &mut impl FnMut(Piece)) {
        while let Some(next) = self.waiting.pop_front() {
            match next {
                Waiting::Text(text) => {
                    self.last = None;
                    write(Piece::Text(text));
                }
                Waiting::Call { index, id, name, arguments } => {
                    self.last = Some(index);
                    self.end = JsonEnd::default();
                    self.end.feed(&arguments);
                    write(Piece::ToolCall { index, id, name, arguments });
                    if self.is_open() {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn first(index: u32, arguments: &str) -> Piece {
        let word = |word: &str| Some(format!("{word}{index}"));
        Piece::ToolCall { index, id: word("id"), name: word("name"), arguments: arguments.to_owned() }
    }

    fn more(index: u32, arguments: &str) -> Piece {
        Piece::ToolCall { index, id: None, name: None, arguments: arguments.to_owned() }
    }

    fn ordered(pieces: &[Piece]) -> Vec<Piece> {
        let mut order = InOrder::default();
        let mut out = Vec::new();
        for piece in pieces {
            order.take(piece.clone(), |piece| out.push(piece));
        }
        order.finish(|piece| out.push(piece));
        out
    }

    #[test]
    fn what_is_in_order_passes_at_once() {
        let pieces = [
            text("a"),
            text("b"),
            first(0, ""),
            more(0, "{\"a\":"),
            more(0, "1}"),
            first(1, "{}"),
            text("c"),
        ];
        let mut order = InOrder::default();
        for piece in &pieces {
            let mut out = Vec::new();
            order.take(piece.clone(), |piece| out.push(piece));
            assert_eq!(out, std::slice::from_ref(piece));
        }
    }

    #[test]
    fn interleaved_calls_and_text_between_follow_each_other() {
        let pieces = [
            first(0, "{\"a\":"),
            first(1, "{\"b\":"),
            text("x"),
            more(0, "1"),
            text("y"),
            more(1, "2}"),
            more(0, "}"),
        ];
        let expected = [first(0, "{\"a\":"), more(0, "1"), more(0, "}"), first(1, "{\"b\":2}"), text("xy")];
        assert_eq!(ordered(&pieces), expected);
    }

    #[test]
    fn calls_that_never_become_whole_follow_each_other_at_the_end() {
        let pieces = [first(0, ""), first(1, ""), text("x"), first(2, "{\"cut"), more(1, "{}")];
        assert_eq!(ordered(&pieces), [first(0, ""), first(1, "{}"), text("x"), first(2, "{\"cut")]);
        assert_eq!(ordered(&[first(0, "{}"), text("x"), more(0, " ")]), [first(0, "{}"), text("x")]);
    }
}
