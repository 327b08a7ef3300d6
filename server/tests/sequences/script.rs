//! What a provider sends for one request, when its caller leaves, and what should come of it.
//!
//! The expectation is made from the same random choices as the bytes: nothing here reads what was written.

use std::time::Duration;

use domain::price::WorstCase;
use domain::turn::{Ask, Fallback};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use types::Pool;
use types::catalog::Catalog;

use crate::vendor::{Close, MARK, Play};

/// Which dialect the provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Openai,
    Anthropic,
}

/// When the caller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Never,
    /// Soon after asking.
    BeforeTheHead,
    /// When they have read so many pieces, unless the answer ends before.
    AfterPieces(usize),
}

/// One figure of a usage, as providers write it.
#[derive(Clone, Copy, Debug)]
enum Figure {
    Plain(u64),
    /// `7.0`
    Float(u64),
    /// `"7"`
    Text(u64),
    Negative,
    Null,
    Absent,
}

/// A usage.
#[derive(Clone, Copy, Debug)]
struct Figures {
    prompt: Figure,
    completion: Figure,
}

/// What comes before the end.
#[derive(Clone, Debug)]
enum Event {
    Text(usize),
    Thought(usize),
    /// A call of a tool with arguments of about this size.
    Tool(usize),
    /// Figures that are not the last ones. Anthropic's dialect has none in the middle.
    Early(Figures),
    /// Nothing of meaning: a ping, an empty list of choices.
    Nothing,
}

/// How the answer ends.
#[derive(Clone, Debug)]
enum Ending {
    /// With a reason, figures after it, and perhaps the dialect's last event.
    Whole { figures: Vec<Figures>, sign_off: bool },
    /// In the middle: the connection breaks, or just ends.
    Breaks(Close),
    /// With an error event.
    Error,
    /// With what is not the protocol.
    Garbage,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) dialect: Dialect,
    pub(crate) whole: bool,
    pub(crate) leave: Leave,
    pub(crate) max_tokens: u32,
    /// The first figures: Anthropic's `message_start` has them, before anything was said.
    first: Figures,
    events: Vec<(Event, bool)>,
    ending: Ending,
}

/// What should be in the books.
#[derive(Debug)]
pub(crate) enum Expected {
    Charged {
        /// Exactly, when it can be known.
        prompt: Option<u64>,
        completion: Option<u64>,
        /// Released is right as well: who was first is the scheduler's choice.
        or_released: bool,
    },
    /// Nothing is charged.
    Released {
        /// A provider had begun, so its cost is somebody's: ours.
        with_loss: bool,
    },
}

const TOOL: &str = "look_up";

impl Dialect {
    /// The catalog's word.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

impl Script {
    pub(crate) fn random(random: &mut StdRng) -> Self {
        let dialect = if random.random() { Dialect::Openai } else { Dialect::Anthropic };
        let max_tokens = random.random_range(1..=64);
        let events = (0..random.random_range(0..8))
            .map(|_| {
                let size = random.random_range(1..40);
                let event = match random.random_range(0..10) {
                    0..=4 => Event::Text(size),
                    5 => Event::Thought(size * 4),
                    6 => Event::Tool(size),
                    7 | 8 => Event::Early(Figures::random(random, max_tokens)),
                    _ => Event::Nothing,
                };
                (event, random.random_bool(0.1))
            })
            .collect();
        let ending = match random.random_range(0..10) {
            0..=5 => {
                let figures = (0..random.random_range(0..3)).map(|_| Figures::random(random, max_tokens));
                Ending::Whole { figures: figures.collect(), sign_off: random.random_bool(0.8) }
            }
            6 => Ending::Breaks(Close::Cut),
            7 => Ending::Breaks(Close::Well),
            8 => Ending::Error,
            _ => Ending::Garbage,
        };
        let leave = match random.random_range(0..8) {
            0 => Leave::BeforeTheHead,
            1 | 2 => Leave::AfterPieces(random.random_range(1..5)),
            _ => Leave::Never,
        };
        let first = Figures::random(random, max_tokens);
        Self { dialect, whole: random.random(), leave, max_tokens, first, events, ending }
    }

    /// An answer as it should be.
    pub(crate) fn sound(dialect: Dialect) -> Self {
        let figures = Figures { prompt: Figure::Plain(7), completion: Figure::Plain(1) };
        Self {
            dialect,
            whole: false,
            leave: Leave::Never,
            max_tokens: 16,
            first: figures,
            events: vec![(Event::Text(4), false)],
            ending: Ending::Whole { figures: vec![figures], sign_off: true },
        }
    }

    /// The request that this answers.
    pub(crate) fn ask(&self, model: &str, number: u64) -> Ask {
        Ask {
            prompt: format!("{MARK}{number} ."),
            max_tokens: Some(self.max_tokens),
            whole: self.whole,
            fallback: Fallback::Nobody,
            ..Ask::new("sequences".to_owned(), model.to_owned())
        }
    }

    /// What the request may cost at most.
    pub(crate) fn worst_case(&self, catalog: &Catalog, number: u64) -> WorstCase {
        let pool = match self.dialect {
            Dialect::Openai => Pool::Cheap,
            Dialect::Anthropic => Pool::Standard,
        };
        WorstCase::of(catalog, pool, &self.ask("", number))
    }

    /// The provider may fail before it has begun, and the caller gets a refusal: always without a sign of life, and with
    /// thoughts when they and the failure come in one read.
    pub(crate) fn may_never_begin(&self) -> bool {
        self.fails() && !self.is_visible()
    }

    /// The provider fails, as its breaker sees it.
    pub(crate) fn fails(&self) -> bool {
        !matches!(self.ending, Ending::Whole { .. })
    }

    fn is_visible(&self) -> bool {
        self.events.iter().any(|(event, _)| matches!(event, Event::Text(_) | Event::Tool(_)))
    }

    fn has_begun(&self) -> bool {
        self.is_visible() || self.events.iter().any(|(event, _)| matches!(event, Event::Thought(_)))
    }

    /// Bytes that our own count counts, all of them ASCII.
    fn bytes(&self) -> usize {
        let size = |event: &Event| match event {
            Event::Text(size) | Event::Thought(size) => *size,
            Event::Tool(size) => TOOL.len() + arguments(*size).len(),
            Event::Early(_) | Event::Nothing => 0,
        };
        self.events.iter().map(|(event, _)| size(event)).sum()
    }

    fn own_completion(&self) -> u64 {
        (self.bytes() as u64).div_ceil(4).min(self.max_tokens.into())
    }

    /// The prompt's figure: of several the last one that says something.
    fn prompt(&self) -> Option<u64> {
        let early = self.events.iter().filter_map(|(event, _)| match event {
            Event::Early(figures) if self.dialect == Dialect::Openai => figures.prompt.value(),
            _ => None,
        });
        let first = (self.dialect == Dialect::Anthropic).then(|| self.first.prompt.value()).flatten();
        let told = first.into_iter().chain(early).rfind(|figure| *figure > 0);
        let Ending::Whole { figures, .. } = &self.ending else { return told };
        let last = last_word(figures.iter().filter_map(|figures| figures.prompt.value()));
        match self.dialect {
            Dialect::Openai => last.or(told),
            // Its later events may leave the prompt out, or call it zero: what `message_start` said stands.
            Dialect::Anthropic => last.filter(|figure| *figure > 0).or(told).or(last),
        }
    }

    fn completion(&self) -> u64 {
        match &self.ending {
            Ending::Whole { figures, .. } => {
                let told = figures.iter().filter_map(|figures| figures.completion.value());
                last_word(told).unwrap_or_else(|| self.own_completion())
            }
            _ => self.own_completion(),
        }
    }

    pub(crate) fn expected(&self) -> Expected {
        let is_free = self.fails() && (self.whole || !self.is_visible());
        match self.leave {
            Leave::Never if is_free => Expected::Released { with_loss: self.has_begun() },
            Leave::Never => Expected::Charged {
                prompt: self.prompt(),
                completion: Some(self.completion()),
                or_released: false,
            },
            Leave::BeforeTheHead | Leave::AfterPieces(_) => {
                Expected::Charged { prompt: None, completion: None, or_released: is_free }
            }
        }
    }

    pub(crate) fn play(&self) -> Play {
        let mut parts = Vec::new();
        match self.dialect {
            Dialect::Openai => {
                parts.push((false, chunk(&json!({"role": "assistant", "content": ""}), &Value::Null)));
            }
            Dialect::Anthropic => {
                let usage = self.first.json("input_tokens", "output_tokens");
                let message =
                    json!({"id": "m", "type": "message", "role": "assistant", "content": [], "usage": usage});
                parts.push((false, typed("message_start", json!({"message": message}))));
            }
        }
        for (block, (event, pause)) in self.events.iter().enumerate() {
            let text = match self.dialect {
                Dialect::Openai => openai(event, block),
                Dialect::Anthropic => anthropic(event, block),
            };
            parts.push((*pause, text));
        }
        let close = self.end(&mut parts);
        let parts = parts
            .into_iter()
            .map(|(pause, text)| (if pause { Duration::from_millis(1) } else { Duration::ZERO }, text));
        Play { parts: parts.collect(), close }
    }

    fn end(&self, parts: &mut Vec<(bool, String)>) -> Close {
        match (&self.ending, self.dialect) {
            (Ending::Whole { figures, sign_off }, Dialect::Openai) => {
                parts.push((false, chunk(&json!({}), &json!("stop"))));
                for figures in figures {
                    let usage = figures.json("prompt_tokens", "completion_tokens");
                    parts.push((false, data(&json!({"choices": [], "usage": usage}))));
                }
                if *sign_off {
                    parts.push((false, "data: [DONE]\n\n".to_owned()));
                }
                Close::Well
            }
            (Ending::Whole { figures, sign_off }, Dialect::Anthropic) => {
                let delta = |usage: Value| {
                    typed("message_delta", json!({"delta": {"stop_reason": "end_turn"}, "usage": usage}))
                };
                if figures.is_empty() {
                    parts.push((false, delta(Value::Null)));
                }
                for figures in figures {
                    parts.push((false, delta(figures.json("input_tokens", "output_tokens"))));
                }
                if *sign_off {
                    parts.push((false, typed("message_stop", json!({}))));
                }
                Close::Well
            }
            (Ending::Breaks(close), _) => *close,
            (Ending::Error, Dialect::Openai) => {
                parts.push((
                    false,
                    data(&json!({"error": {"message": "CUDA out of memory", "type": "internal"}})),
                ));
                Close::Well
            }
            (Ending::Error, Dialect::Anthropic) => {
                parts.push((
                    false,
                    typed("error", json!({"error": {"type": "api_error", "message": "Internal"}})),
                ));
                Close::Well
            }
            (Ending::Garbage, _) => {
                parts.push((false, "data: {\"choices\": [\n\n".to_owned()));
                Close::Well
            }
        }
    }
}

/// Of several figures the last that says something; a zero when nothing else was said.
fn last_word(figures: impl Iterator<Item = u64>) -> Option<u64> {
    figures.fold(None, |kept, figure| if figure > 0 || kept.is_none() { Some(figure) } else { kept })
}

impl Expected {
    pub(crate) fn check_charged(
        &self,
        worst: &WorstCase,
        prompt: u64,
        completion: u64,
        is_mismatched: bool,
    ) -> Result<(), String> {
        let Self::Charged { prompt: told, completion: expected, .. } = self else {
            return Err(format!("{prompt} + {completion} tokens were charged for nothing usable"));
        };
        let Some(expected) = *expected else { return Ok(()) };
        let right = expected.min(worst.max_tokens.into());
        if completion != right {
            return Err(format!("{completion} completion tokens were charged, and {right} are right"));
        }
        if let Some(told) = *told
            && prompt != told.min(worst.prompt_tokens)
        {
            return Err(format!("{prompt} prompt tokens were charged, and {told} were reported"));
        }
        let is_beyond = expected > right || told.is_some_and(|told| told > worst.prompt_tokens);
        if is_beyond != is_mismatched {
            return Err(format!("a mismatch is {is_mismatched} in the books, and {is_beyond} is right"));
        }
        Ok(())
    }

    pub(crate) fn check_released(&self, has_loss: bool) -> Result<(), String> {
        match self {
            Self::Charged { or_released: true, .. } => Ok(()),
            Self::Charged { .. } => Err("what was delivered was not charged".to_owned()),
            Self::Released { with_loss } if *with_loss && !has_loss => Err("no loss was recorded".to_owned()),
            Self::Released { .. } => Ok(()),
        }
    }
}

impl Figure {
    fn random(random: &mut StdRng, max_tokens: u32) -> Self {
        let values =
            [0, 1, 7, 30, u64::from(max_tokens), u64::from(max_tokens) + 1, 100_000, 1_000_000_000_000_000];
        let value = values[random.random_range(0..values.len())];
        match random.random_range(0..10) {
            0..=4 => Self::Plain(value),
            5 => Self::Float(value),
            6 => Self::Text(value),
            7 => Self::Negative,
            8 => Self::Null,
            _ => Self::Absent,
        }
    }

    /// What it says, when it says anything.
    fn value(self) -> Option<u64> {
        match self {
            Self::Plain(value) | Self::Float(value) | Self::Text(value) => Some(value),
            Self::Negative | Self::Null | Self::Absent => None,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the largest figure is 10^15, which a float holds exactly"
    )]
    fn json(self) -> Option<Value> {
        match self {
            Self::Plain(value) => Some(value.into()),
            Self::Float(value) => Some((value as f64).into()),
            Self::Text(value) => Some(value.to_string().into()),
            Self::Negative => Some((-1).into()),
            Self::Null => Some(Value::Null),
            Self::Absent => None,
        }
    }
}

impl Figures {
    fn random(random: &mut StdRng, max_tokens: u32) -> Self {
        Self { prompt: Figure::random(random, max_tokens), completion: Figure::random(random, max_tokens) }
    }

    fn json(&self, prompt: &str, completion: &str) -> Value {
        let named = [(prompt, self.prompt), (completion, self.completion)];
        let fields = named.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure.json()?)));
        Value::Object(fields.collect())
    }
}

fn arguments(size: usize) -> String {
    json!({"q": "x".repeat(size)}).to_string()
}

fn openai(event: &Event, number: usize) -> String {
    match event {
        Event::Text(size) => chunk(&json!({"content": "w".repeat(*size)}), &Value::Null),
        Event::Thought(size) => chunk(&json!({"reasoning_content": "h".repeat(*size)}), &Value::Null),
        Event::Tool(size) => {
            let function = json!({"name": TOOL, "arguments": arguments(*size)});
            let call = json!({"index": number, "id": format!("call_{number}"), "type": "function", "function": function});
            chunk(&json!({"tool_calls": [call]}), &Value::Null)
        }
        Event::Early(figures) => {
            data(&json!({"choices": [], "usage": figures.json("prompt_tokens", "completion_tokens")}))
        }
        Event::Nothing => ": ping\n\n".to_owned(),
    }
}

fn anthropic(event: &Event, number: usize) -> String {
    let block = |block: Value, delta: Value| {
        [
            typed("content_block_start", json!({"index": number, "content_block": block})),
            typed("content_block_delta", json!({"index": number, "delta": delta})),
            typed("content_block_stop", json!({"index": number})),
        ]
        .concat()
    };
    match event {
        Event::Text(size) => block(
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": "w".repeat(*size)}),
        ),
        Event::Thought(size) => block(
            json!({"type": "thinking", "thinking": ""}),
            json!({"type": "thinking_delta", "thinking": "h".repeat(*size)}),
        ),
        Event::Tool(size) => block(
            json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": TOOL, "input": {}}),
            json!({"type": "input_json_delta", "partial_json": arguments(*size)}),
        ),
        Event::Early(_) | Event::Nothing => typed("ping", json!({})),
    }
}

fn chunk(delta: &Value, finish: &Value) -> String {
    data(
        &json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}),
    )
}

fn typed(kind: &str, mut value: Value) -> String {
    value["type"] = kind.into();
    format!("event: {kind}\n{}", data(&value))
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}
