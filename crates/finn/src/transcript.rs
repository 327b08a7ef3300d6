//! What a provider said, turned into the contract's events as it says it.
//!
//! The dialects call in here; whoever writes to freeside takes the bytes out. What always holds: at most one terminal
//! event, and nothing after it; every piece of the answer carries the running usage; an agent's text leaves only through its
//! filter, which may hold back the beginning of a word until it knows the rest.
//!
//! "Begun" and "delivered" are two facts: a model that thinks has begun, and its stream must be ended properly; only text
//! and tool calls are delivered, because only they are of use to the caller.

use std::borrow::Cow;

use std::time::Duration;

use tokio::time::Instant;
use types::narration::Filter;
use types::s2s::{Event, Usage};
use types::sse::write_data;

use crate::failure::Failure;
use crate::metering::Meter;

/// What the frame, the names and the figures of an event take at most, so that one reservation of memory suffices.
const EVENT_OVERHEAD_BYTES: usize = 192;
/// While nothing visible comes, the running figure is sent each time it has grown by this much …
const PROGRESS_TOKENS: u64 = 64;
/// … or when this has passed, so that money and patience know of it.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// A fault for a test to plant: figures before the reason of the end are taken for final ones.
pub const EARLY_FIGURES_BELIEVED: &str = "finn.early_figures_believed";

/// How an answer ended.
#[derive(Debug)]
pub enum End {
    /// Complete.
    Done,
    /// Broken off.
    Failed(Failure),
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nothing,
    /// Signs of life were written.
    Begun,
    /// Text or tool calls were written.
    Delivered,
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
    stage: Stage,
    /// The provider gave text or a tool call, whatever the filter made of it.
    has_content: bool,
    called_a_tool: bool,
    /// The completion figure and the time of the last event without content.
    progress: Option<(u64, Instant)>,
    finish_reason: Option<&'static str>,
    /// freeside knows the reason.
    finish_told: bool,
    stop_sequence: Option<String>,
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
            stage: Stage::Nothing,
            has_content: false,
            called_a_tool: false,
            progress: None,
            finish_reason: None,
            finish_told: false,
            stop_sequence: None,
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
        self.has_content = true;
        self.meter.add(content);
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
        self.stage = Stage::Delivered;
        let usage = Some(self.meter.running());
        self.out.reserve(content.len() + EVENT_OVERHEAD_BYTES);
        let event = Event::Token { content: Cow::Borrowed(content), usage, finish_reason: None };
        write_data(&mut self.out, &event);
    }

    /// A piece of a tool call.
    pub fn tool_call(&mut self, index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) {
        if self.end.is_some() || (id.is_none() && name.is_none() && arguments.is_empty()) {
            return;
        }
        self.meter.add(name.unwrap_or_default());
        self.meter.add(arguments);
        self.say_tool_call(index, id, name, arguments);
    }

    /// A piece of a tool call that is metered already.
    pub fn say_tool_call(&mut self, index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) {
        if self.end.is_some() {
            return;
        }
        self.say_the_rest();
        self.stage = Stage::Delivered;
        self.has_content = true;
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

    /// What the caller does not see, or not yet, but what was made and is charged: thoughts, a tool call without its name.
    pub fn unseen(&mut self, text: &str) {
        if text.is_empty() || self.end.is_some() {
            return;
        }
        self.meter.add(text);
        self.sign_of_life();
    }

    /// The model is at work: the answer begins, and the running figure goes out from time to time.
    pub fn sign_of_life(&mut self) {
        let running = self.meter.running().completion_tokens;
        let is_due = self.progress.is_none_or(|(figure, at)| {
            running >= figure.saturating_add(PROGRESS_TOKENS) || at.elapsed() >= PROGRESS_EVERY
        });
        if is_due && self.end.is_none() {
            self.progress = Some((running, Instant::now()));
            self.say_usage(None);
        }
    }

    fn say_usage(&mut self, finish_reason: Option<&'static str>) {
        self.stage = self.stage.max(Stage::Begun);
        let event = Event::Token {
            content: Cow::Borrowed(""),
            usage: Some(self.meter.running()),
            finish_reason: finish_reason.map(Cow::Borrowed),
        };
        write_data(&mut self.out, &event);
    }

    /// Nothing more comes at the moment. When the provider has given its reason but not its last word, freeside is told:
    /// whoever leaves now has the whole answer, and only its figures are missing.
    pub fn pause(&mut self) {
        if self.has_begun() && self.end.is_none() && !self.finish_told && self.finish_reason.is_some() {
            self.finish_told = true;
            self.say_usage(self.reason());
        }
    }

    /// The provider named the reason of the end; it may still send figures.
    pub fn finish_reason(&mut self, reason: &'static str) {
        self.finish_reason = Some(reason);
    }

    /// One of the caller's stop sequences ended the answer.
    pub fn stopped_by(&mut self, sequence: &str) {
        self.stop_sequence = Some(sequence.to_owned());
    }

    /// Figures of the provider: final ones once it has said why it stops, before that no more than the prompt's.
    pub fn figures(&mut self, prompt: Option<u64>, completion: Option<u64>) {
        let is_final = self.finish_reason.is_some() || types::failpoint::is_planted(EARLY_FIGURES_BELIEVED);
        if is_final {
            self.meter.told(prompt, completion);
        } else if let Some(prompt) = prompt {
            self.meter.told_prompt(prompt);
        }
    }

    /// The provider said why it stops.
    #[must_use]
    pub fn has_finish_reason(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// The reason of the end. Several servers say "stop" after a tool call; the caller must know that it is asked to act.
    fn reason(&self) -> Option<&'static str> {
        match self.finish_reason {
            Some("stop") if self.called_a_tool => Some("tool_calls"),
            other => other,
        }
    }

    /// The answer is complete. A second end is ignored; one without a reason and without content is no answer.
    pub fn done(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.say_the_rest();
        if self.finish_reason.is_none() && !self.has_content {
            return self.fail(Failure::Cut);
        }
        if self.meter.told_of_nothing() {
            metrics::counter!("finn_zero_usage_total").increment(1);
            tracing::warn!(model = self.model, "a provider reported zero tokens for an answer");
        }
        let finish_reason = self.reason().unwrap_or(if self.called_a_tool { "tool_calls" } else { "stop" });
        let stop_sequence = self.stop_sequence.as_deref().filter(|_| finish_reason == "stop");
        let event = Event::Done {
            usage: self.meter.running(),
            model: Cow::Borrowed(&self.model),
            finish_reason: Cow::Borrowed(finish_reason),
            own_count: self.meter.own_beside(),
            stop_sequence: stop_sequence.map(Cow::Borrowed),
        };
        write_data(&mut self.out, &event);
        self.end = Some(End::Done);
    }

    /// The answer broke off. Before it has begun nothing is written: another model may still answer.
    pub fn fail(&mut self, failure: Failure) {
        if self.end.is_some() {
            return;
        }
        if self.has_begun() {
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

    /// Something of the answer was written, if only that the model is at work.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.stage >= Stage::Begun
    }

    /// A piece of the answer was written.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.stage == Stage::Delivered
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The figures that stand now: the final ones after a complete answer.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.meter.running()
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
