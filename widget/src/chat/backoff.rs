//! How long to wait before connecting again: longer each time, and not for everyone at once.

/// The first wait, in ms: shorter than a person notices.
const FIRST_MS: u64 = 400;
/// The longest, in ms.
const LONGEST_MS: u64 = 20_000;
/// From this many failures in a row on, the server is away and we say so.
const MANY: u32 = 4;

/// The waits of one conversation.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    state: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { failures: 0, state: seed | 1 }
    }

    /// The next wait, in ms: between half of it and all of it.
    pub(super) fn next_ms(&mut self) -> u64 {
        let full = (FIRST_MS << self.failures.min(10)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        // xorshift: nothing depends on this being hard to guess.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        full / 2 + self.state % (full / 2)
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether it failed so often that a person should know.
    pub(super) fn is_long(&self) -> bool {
        self.failures >= MANY
    }
}
