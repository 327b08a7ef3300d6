//! The socket's frames (SPEC §8), as values. The browser's side turns them into JSON and back.

use alloc::string::String;

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the protocol's")]
pub enum FromServer {
    Welcome {
        is_authenticated: bool,
        is_read_only: bool,
        heartbeat_ms: Option<u64>,
    },
    Start {
        id: String,
        seq: u64,
        pool: Option<String>,
        reason: Option<String>,
    },
    Token {
        id: String,
        seq: u64,
        content: String,
    },
    End {
        id: String,
        seq: u64,
        usage: Usage,
        cost_micro: Option<String>,
        finish_reason: Option<String>,
        note: Option<String>,
    },
    /// Of an answer when it names one; `seq` when it is that answer's last frame.
    Error {
        id: Option<String>,
        seq: Option<u64>,
        code: String,
        message: String,
        cost_micro: Option<String>,
    },
    Pong,
    Drain,
    /// A type of a later version: not for us.
    Unknown,
}

/// Tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the protocol's")]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

/// What we say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the protocol's")]
pub enum ToServer {
    Auth { ticket: String },
    Chat { id: String, message: String, pool: Option<String> },
    Cancel { id: String },
    Resume { id: String, after: u64 },
    Ping,
}
