//! The anti-narration filter of a streamed answer: the agent never recites its own machinery (SPEC §5).
//!
//! List and rule are [`types::narration`], because a profile's texts go through the same. An agent's answer passes through
//! it piece by piece in [`crate::transcript`]; plain pool and model calls never do, nor does what an agent hands to a
//! caller's tools, which programs read.

pub use types::narration::{Filter, clean};
