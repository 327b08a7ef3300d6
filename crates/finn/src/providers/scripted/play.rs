//! Playing a script: chunk after chunk at its pace, up to its end or its break.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::script::{Break, Script};
use crate::failure::Failure;
use crate::providers::upstream::BETWEEN_EVENTS;
use crate::transcript::Transcript;

/// One write to freeside carries at most about this much, as with a network.
const MAX_BATCH_BYTES: usize = 16 * 1024;

/// An answer that is being played.
pub struct Play {
    script: Script,
    next: usize,
    due: Pin<Box<Sleep>>,
}

impl Play {
    pub(super) fn new(script: Script) -> Self {
        let due = Box::pin(tokio::time::sleep(script.first));
        Self { script, next: 0, due }
    }

    pub(in crate::providers) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        transcript: &mut Transcript,
    ) -> Poll<()> {
        while transcript.end().is_none() && transcript.waiting_bytes() < MAX_BATCH_BYTES {
            if self.due.as_mut().poll(context).is_pending() {
                return if transcript.waiting_bytes() > 0 { Poll::Ready(()) } else { Poll::Pending };
            }
            if let Some((_, broken)) = self.script.breaks.filter(|(at, _)| *at <= self.next) {
                match broken {
                    Break::Cut => transcript.fail(Failure::Cut),
                    Break::Malformed => transcript.fail(Failure::Malformed),
                    Break::Error => transcript.fail(Failure::Reported),
                    // Silence for good: the engine's own limits end it, as they would a provider's.
                    Break::Stall => {
                        self.due.as_mut().reset(Instant::now() + BETWEEN_EVENTS);
                        self.script.breaks = Some((0, Break::Silence));
                    }
                    Break::Silence => transcript.fail(Failure::Timeout),
                }
                continue;
            }
            self.step(transcript);
        }
        Poll::Ready(())
    }

    fn step(&mut self, transcript: &mut Transcript) {
        if let Some((name, arguments)) = &self.script.tool {
            match self.next {
                0 => transcript.tool_call(0, Some("call_scripted_0"), Some(name), ""),
                1 => transcript.tool_call(0, None, None, arguments),
                _ => self.finish(transcript),
            }
        } else if let Some(chunk) = self.script.chunks.get(self.next) {
            transcript.text(chunk);
        } else {
            self.finish(transcript);
        }
        self.next += 1;
        if !self.script.pace.is_zero() && transcript.end().is_none() {
            self.due.as_mut().reset(Instant::now() + self.script.pace);
        }
    }

    fn finish(&self, transcript: &mut Transcript) {
        transcript.finish_reason(self.script.finish_reason);
        if let Some(usage) = self.script.usage {
            transcript.figures(Some(usage.prompt_tokens), Some(usage.completion_tokens));
        }
        transcript.done();
    }
}
