//! What a provider said, turned into the contract's events as it says it.
//!
//! The dialects call in here; whoever writes to freeside takes the bytes out. What always holds: at most one terminal
//! event, and nothing after it; every piece of the answer carries the running usage; an agent's text leaves only through its
//! filter, which may hold back the beginning of a word until it knows the rest.

use std::borrow::Cow;

use types::narration::Filter;
use types::s2s::{Event, Usage};
use types::sse::write_data;

use crate::failure::Failure;
use crate::metering::Meter;

/// What the frame, the names and the figures of an event take at most, so that one reservation of memory suffices.
const EVENT_OVERHEAD_BYTES: usize = 192;

/// How an answer ended.
#[derive(Debug)]
pub enum End {
    /// Complete.
    Done,
    /// Broken off.
    Failed(Failure),
}

/// One attempt's events, not yet sent.
#[derive(Debug)]
pub struct Transcript {
    /// The counts.
    pub meter: Meter,
    model: String,
    /// Of an agent's answer.
    filter: Option<Filter>,
    out: Vec<u8>,
    delivered: bool,
    called_a_tool: bool,
    finish_reason: Option<&'static str>,
    end: Option<End>,
}

impl Transcript {
    /// An empty transcript of the model with that catalog id.
    #[must_use]
    pub fn new(model: &str, meter: Meter) -> Self {
        Self {
            meter,
            model: model.to_owned(),
            filter: None,
            out: Vec::new(),
            delivered: false,
            called_a_tool: false,
            finish_reason: None,
            end: None,
        }
    }

    /// The same transcript of an agent's answer.
    #[must_use]
    pub fn filtered(self) -> Self {
        Self { filter: Some(Filter::default()), ..self }
    }

    /// A piece of text; an empty one is nothing. What the provider said is metered, whatever becomes of it.
    pub fn text(&mut self, content: &str) {
        if content.is_empty() || self.end.is_some() {
            return;
        }
        self.meter.add(content.len());
        match &mut self.filter {
            None => self.say(content),
            Some(filter) => {
                let said = filter.push(content);
                self.say(&said);
            }
        }
    }

    /// What the filter held back: the text ends here, or pauses.
    fn say_the_rest(&mut self) {
        if let Some(filter) = &mut self.filter {
            let said = filter.finish();
            self.say(&said);
        }
    }

    fn say(&mut self, content: &str) {
        if content.is_empty() {
            return;
        }
        self.delivered = true;
        let usage = Some(self.meter.running());
        self.out.reserve(content.len() + EVENT_OVERHEAD_BYTES);
        write_data(&mut self.out, &Event::Token { content: Cow::Borrowed(content), usage });
    }

    /// A piece of a tool call.
    pub fn tool_call(&mut self, index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) {
        if self.end.is_some() || (id.is_none() && name.is_none() && arguments.is_empty()) {
            return;
        }
        self.say_the_rest();
        self.meter.add(name.map_or(0, str::len) + arguments.len());
        self.delivered = true;
        self.called_a_tool = true;
        let event = Event::ToolCall {
            index,
            id: id.map(Cow::Borrowed),
            name: name.map(Cow::Borrowed),
            arguments: Cow::Borrowed(arguments),
            usage: Some(self.meter.running()),
        };
        write_data(&mut self.out, &event);
    }

    /// Thoughts that the caller does not see, but that were made and are charged.
    pub fn reasoning(&mut self, text: &str) {
        self.meter.add(text.len());
    }

    /// The provider named the reason of the end; it may still send figures.
    pub fn finish_reason(&mut self, reason: &'static str) {
        self.finish_reason = Some(reason);
    }

    /// The provider said why it stops.
    #[must_use]
    pub fn has_finish_reason(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// The answer is complete. A second end is ignored.
    pub fn done(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.say_the_rest();
        // Several servers say "stop" after a tool call; the caller must know that it is asked to act.
        let finish_reason = match self.finish_reason {
            None | Some("stop") if self.called_a_tool => "tool_calls",
            Some(reason) => reason,
            None => "stop",
        };
        let event = Event::Done {
            usage: self.meter.whole(),
            model: Cow::Borrowed(&self.model),
            finish_reason: Cow::Borrowed(finish_reason),
            own_count: self.meter.own_beside(),
        };
        write_data(&mut self.out, &event);
        self.end = Some(End::Done);
    }

    /// The answer broke off. Before the first piece nothing is written: another model may still answer.
    pub fn fail(&mut self, failure: Failure) {
        if self.end.is_some() {
            return;
        }
        if self.delivered {
            self.say_the_rest();
            let event = Event::Error {
                code: Cow::Borrowed(failure.code()),
                message: Cow::Borrowed(failure.message()),
                usage: self.meter.running(),
                model: Cow::Borrowed(&self.model),
            };
            write_data(&mut self.out, &event);
        }
        self.end = Some(End::Failed(failure));
    }

    /// A piece of the answer was written.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.delivered
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The figures that stand now: the final ones after a complete answer.
    #[must_use]
    pub fn usage(&self) -> Usage {
        match self.end {
            Some(End::Done) => self.meter.whole(),
            Some(End::Failed(_)) | None => self.meter.running(),
        }
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.out.len()
    }

    /// Takes what waits.
    pub fn take(&mut self) -> bytes::Bytes {
        std::mem::take(&mut self.out).into()
    }
}
