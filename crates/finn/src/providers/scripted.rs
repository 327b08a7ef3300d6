//! The scripted provider: deterministic text, clearly labelled, paced like a model, able to fail on command.
//!
//! It stands in where no key is set, and in tests. Its answer is `[scripted model, no AI]`, a little of the prompt, and
//! filler; every chunk is four bytes, so chunk n is token n. It ends with `length` at `max_tokens`.
//! When the request brings tools and the last user text names one (or `tool_choice` demands one), it calls that tool;
//! after a tool's result it answers with text.
//!
//! Words in the last user message that command it (N, M are numbers):
//!
//! | word | what happens |
//! |---|---|
//! | `!fail N` | refuses before the first token as a provider would with HTTP status N (429, 500, 400, …) |
//! | `!stall` or `!stall N` | falls silent before the first token, or after chunk N |
//! | `!cut N` | the connection ends after chunk N |
//! | `!malformed N` | chunk N + 1 is not readable |
//! | `!error N` | reports an error in the stream after chunk N |
//! | `!tokens N` | the answer has N tokens |
//! | `!pace N` | N ms between chunks; 0 = all at once |
//! | `!slow-first N` | the first chunk takes N ms |
//! | `!no-usage` | gives no figures, so the engine's own count stands |
//! | `!tool NAME {json}` | calls the tool with these arguments (the rest of the line) |
//!
//! Directives are obeyed in development alone ([`Commands::Obeyed`]); anywhere else they are text. A commanded failure
//! does not count against a breaker.

mod play;
mod script;

use std::time::Duration;

use super::Call;
use crate::failure::Failure;

pub use play::Play;

/// The scripted provider's settings.
#[derive(Clone, Copy, Debug)]
pub struct Scripted {
    /// Between two chunks, unless the prompt says otherwise.
    pub pace: Duration,
    /// Whether the prompt may say otherwise.
    pub commands: Commands,
}

/// What becomes of the words that command a scripted model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commands {
    /// They are text as any other.
    Ignored,
    /// They are obeyed.
    Obeyed,
}

impl Scripted {
    pub(super) fn open(self, call: Call<'_>) -> Result<Box<Play>, Failure> {
        let script = script::write(call, self);
        if let Some(status) = script.fails_with {
            return Err(refusal(status));
        }
        Ok(Box::new(Play::new(script)))
    }
}

fn refusal(status: u16) -> Failure {
    let sentence = "The scripted model was told to refuse this request.".to_owned();
    Failure::of_status(status, Some(sentence), Some(1))
}
