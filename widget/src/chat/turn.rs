//! One question and its answer.

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use super::frame::Usage;
use super::{ANSWER_MS, STOP_MS};

/// A question on its way.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: String,
    pub(super) message: String,
    pub(super) pool: Option<String>,
    /// The last frame that was applied; 0 for none.
    pub(super) seq: u64,
    pub(super) phase: Phase,
    /// When something of it was last heard.
    pub(super) heard: u64,
    /// The frame after which we asked for more and have not got any.
    pub(super) resumed_at: Option<u64>,
    /// How often it was taken up without a new frame since.
    pub(super) resumes: u32,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for a connection.
    Unsent,
    /// Sent; nothing came back yet.
    Asked,
    /// The answer grows.
    Streaming,
    /// The person stopped it; the server has until then to say what it costs.
    Stopping { until: u64 },
}

/// What a frame of an answer is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next one of ours.
    Next,
    /// One that we have.
    Again,
    /// A later one: some are missing.
    Gap,
    /// Another answer's.
    Foreign,
}

impl Turn {
    pub(super) fn new(id: &str, message: &str, pool: Option<&str>, now_ms: u64) -> Self {
        Self {
            id: id.to_owned(),
            message: message.to_owned(),
            pool: pool.map(str::to_owned),
            seq: 0,
            phase: Phase::Unsent,
            heard: now_ms,
            resumed_at: None,
            resumes: 0,
        }
    }

    /// What a frame is; the next one is taken as read.
    pub(super) fn judge(&mut self, id: &str, seq: u64, now_ms: u64) -> Verdict {
        if id != self.id || self.phase == Phase::Unsent {
            return Verdict::Foreign;
        }
        self.heard = now_ms;
        if seq <= self.seq {
            return Verdict::Again;
        }
        if seq > self.seq + 1 {
            return Verdict::Gap;
        }
        self.seq = seq;
        self.resumes = 0;
        self.resumed_at = None;
        if self.phase == Phase::Asked {
            self.phase = Phase::Streaming;
        }
        Verdict::Next
    }

    /// When patience ends.
    pub(super) fn due(&self) -> u64 {
        match self.phase {
            Phase::Stopping { until } => until,
            Phase::Unsent | Phase::Asked | Phase::Streaming => self.heard + ANSWER_MS + STOP_MS,
        }
    }
}

/// How an answer ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ending {
    /// Tokens, as the server counted them.
    pub usage: Usage,
    /// The charge in micro-USD, if it was said.
    pub cost_micro: Option<String>,
    /// Whether the person stopped it.
    pub was_stopped: bool,
    /// Why it ended, in the protocol's word.
    pub finish_reason: Option<String>,
    /// Why it ended early, in words.
    pub note: Option<String>,
    /// What went wrong.
    pub failure: Option<Failure>,
}

impl Ending {
    pub(super) fn stopped() -> Self {
        Self { was_stopped: true, ..Self::default() }
    }

    pub(super) fn failed(code: &str, message: &str) -> Self {
        Self { failure: Some(Failure::new(code.to_owned(), message.to_owned())), ..Self::default() }
    }
}

/// Why an answer did not come, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The protocol's word.
    pub code: String,
    /// For the person.
    pub message: String,
}

impl Failure {
    pub(super) fn new(code: String, message: String) -> Self {
        Self { code, message }
    }

    pub(super) fn is_signed_out(&self) -> bool {
        matches!(self.code.as_str(), "unauthenticated" | "session_ended")
    }

    pub(super) fn is_stop(&self) -> bool {
        matches!(self.code.as_str(), "cancelled" | "stopped")
    }

    /// Whether asking again can help.
    pub fn can_retry(&self) -> bool {
        !matches!(
            self.code.as_str(),
            "signed_out" | "insufficient_credits" | "holder_only" | "too_long" | "empty"
        )
    }

    /// Whether it is about money.
    pub fn is_about_money(&self) -> bool {
        matches!(
            self.code.as_str(),
            "insufficient_credits" | "insufficient_quota" | "cap_reached" | "account_frozen"
        )
    }
}
