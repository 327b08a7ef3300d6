//! The models' providers: three dialects behind one shape.
//!
//! A provider is opened with a call and then polled; what it says goes into a [`Transcript`]. All that one network read
//! brought is read in one poll, so that it leaves as one write. Dropping a [`Source`] ends the provider's call at once.

pub mod anthropic;
pub mod openai;
pub mod scripted;

mod calls;
mod reported;
mod upstream;
mod value;
mod wait;

use std::task::{Context, Poll};

use types::s2s::InferenceRequest;

use crate::failure::Failure;
use crate::transcript::Transcript;

pub use upstream::Upstream;

/// One question to one model.
#[derive(Clone, Copy, Debug)]
pub struct Call<'r> {
    /// The provider's own name of the model.
    pub upstream_model: &'r str,
    /// What was asked.
    pub request: &'r InferenceRequest,
    /// Completion tokens at most, never more than the model's context.
    pub max_tokens: u32,
}

/// A configured provider.
pub enum Provider {
    /// OpenAI's chat completions.
    Openai(openai::Openai),
    /// Anthropic's messages.
    Anthropic(anthropic::Anthropic),
    /// Text made here.
    Scripted(scripted::Scripted),
}

impl Provider {
    /// Sends the question; resolves once the provider accepted it. Dropping the future takes it back.
    pub async fn open(&self, call: Call<'_>) -> Result<Source, Failure> {
        match self {
            Self::Openai(openai) => openai.open(call).await.map(Source::Http),
            Self::Anthropic(anthropic) => anthropic.open(call).await.map(Source::Http),
            Self::Scripted(scripted) => scripted.open(call).map(Source::Scripted),
        }
    }
}

/// An answer that is being given.
pub enum Source {
    /// Over the network.
    Http(Box<Upstream>),
    /// Made here.
    Scripted(Box<scripted::Play>),
}

impl Source {
    /// Reads what there is. Ready once something waits in the transcript or it has ended.
    pub fn poll_read(&mut self, context: &mut Context<'_>, transcript: &mut Transcript) -> Poll<()> {
        match self {
            Self::Http(upstream) => upstream.poll_read(context, transcript),
            Self::Scripted(play) => play.poll_read(context, transcript),
        }
    }
}
