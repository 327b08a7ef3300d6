//! Tool calls put together from the pieces in which providers send them.
//!
//! A piece should carry an index, and its first one an id and a name. In the field the index is missing, or the same for
//! all; the id is missing, comes late, or stands on every piece. What leaves here is the contract's: each call has an
//! index of its own, and its first piece has its id and name. A call whose id or name is not known yet is held back
//! until it is, or until the answer ends; one that never had an id gets one made here.

use ring::rand::{SecureRandom as _, SystemRandom};
use types::json_end::JsonEnd;

use crate::transcript::Transcript;

/// A piece as the provider sent it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

/// The calls of one answer.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug, Default)]
struct Call {
    /// The provider's index.
    index: Option<u64>,
    /// The provider's id; another call may have the same.
    id: String,
    /// The id that was said, where it is not the provider's.
    made_id: Option<String>,
    name: String,
    end: JsonEnd,
    has_arguments: bool,
    /// Arguments that wait for the id and the name; `None` once those were said.
    held: Option<String>,
}

impl Calls {
    /// Takes a piece: of the call that it continues, or of a new one.
    pub(super) fn piece(&mut self, piece: Piece<'_>, transcript: &mut Transcript) {
        let known = match piece.id {
            Some(id) => self.with_id(id, piece),
            None => self.without_id(piece),
        };
        let position = known.unwrap_or_else(|| self.push(piece.index));
        self.add(position, piece, transcript);
    }

    /// Takes the first piece of a call that the provider says is new.
    pub(super) fn open(&mut self, piece: Piece<'_>, transcript: &mut Transcript) {
        let position = self.push(piece.index);
        self.add(position, piece, transcript);
    }

    /// Takes more arguments of the last call with this index; there may be none.
    pub(super) fn append(&mut self, index: u64, arguments: &str, transcript: &mut Transcript) {
        if let Some(position) = self.last_with(Some(index)) {
            self.add(position, Piece { arguments, ..Piece::default() }, transcript);
        }
    }

    /// Whether the last call with this index has had no arguments yet; false without such a call.
    pub(super) fn lacks_arguments(&self, index: u64) -> bool {
        self.last_with(Some(index)).is_some_and(|position| !self.0[position].has_arguments)
    }

    /// The answer ends: what was held back is said.
    pub(super) fn finish(&mut self, transcript: &mut Transcript) {
        for position in 0..self.0.len() {
            if self.0[position].held.is_some() {
                self.say(position, transcript);
            }
        }
    }

    /// The call that a piece with this id continues. Pieces of two calls may share their index, and two calls their id.
    fn with_id(&self, id: &str, piece: Piece<'_>) -> Option<usize> {
        let exact = self.0.iter().rposition(|call| call.id == id && call.index == piece.index);
        // The index of a call's later pieces may be missing or differ; with a name it is another call's.
        let same = exact.or_else(|| {
            let is_same = |call: &Call| call.id == id && (piece.index.is_none() || piece.name.is_none());
            self.0.iter().rposition(is_same)
        });
        if let Some(position) = same {
            let is_full = self.0[position].end.is_whole() && !piece.arguments.trim().is_empty();
            return (!is_full || piece.name.is_none()).then_some(position);
        }
        // The id comes late.
        let position = self.last_with(piece.index)?;
        let call = &self.0[position];
        (call.id.is_empty() && !call.begins_another(piece)).then_some(position)
    }

    fn without_id(&self, piece: Piece<'_>) -> Option<usize> {
        let position = self.last_with(piece.index)?;
        (!self.0[position].begins_another(piece)).then_some(position)
    }

    /// The last call with this index; without one, the last call.
    fn last_with(&self, index: Option<u64>) -> Option<usize> {
        match index {
            Some(_) => self.0.iter().rposition(|call| call.index == index),
            None => self.0.len().checked_sub(1),
        }
    }

    fn push(&mut self, index: Option<u64>) -> usize {
        self.0.push(Call { index, held: Some(String::new()), ..Call::default() });
        self.0.len() - 1
    }

    fn add(&mut self, position: usize, piece: Piece<'_>, transcript: &mut Transcript) {
        let call = &mut self.0[position];
        call.end.feed(piece.arguments);
        call.has_arguments |= !piece.arguments.is_empty();
        if call.id.is_empty() {
            piece.id.unwrap_or_default().clone_into(&mut call.id);
        }
        let new_name = piece.name.filter(|_| call.name.is_empty()).unwrap_or_default();
        if !new_name.is_empty() {
            new_name.clone_into(&mut call.name);
        }
        let Some(held) = &mut call.held else {
            return transcript.tool_call(index_of(position), None, None, piece.arguments);
        };
        held.push_str(piece.arguments);
        if call.id.is_empty() || call.name.is_empty() {
            transcript.unseen(new_name);
            transcript.unseen(piece.arguments);
        } else {
            transcript.meter.add(new_name);
            transcript.meter.add(piece.arguments);
            self.say(position, transcript);
        }
    }

    /// Says a call's first piece, which is metered already.
    fn say(&mut self, position: usize, transcript: &mut Transcript) {
        let is_taken = self.0[..position].iter().any(|other| other.id == self.0[position].id);
        let call = &mut self.0[position];
        if call.id.is_empty() || is_taken {
            call.made_id = Some(made_id());
        }
        let held = call.held.take().unwrap_or_default();
        let id = call.made_id.as_deref().unwrap_or(&call.id);
        transcript.say_tool_call(index_of(position), Some(id), Some(&call.name), &held);
    }
}

impl Call {
    /// Whether a piece with this call's place begins another one: it has a name, and this call is whole or has another.
    fn begins_another(&self, piece: Piece<'_>) -> bool {
        piece.name.is_some_and(|name| !self.name.is_empty() && (self.end.is_whole() || name != self.name))
    }
}

fn index_of(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// An id for a call without one. Random, because a conversation holds the calls of many answers.
fn made_id() -> String {
    use std::fmt::Write as _;
    let mut bytes = [0; 12];
    // Without random bytes the id is the same for all: an answer with one call is still right.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes.iter().fold(String::from("call_"), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
