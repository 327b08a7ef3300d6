//! Dixie: reputation and proof of usefulness (SPEC §10).
//!
//! What will live here: an agent's score and how it blends, decays and is trimmed; receipts, attestations, committees
//! and their quorum; negotiations that settle once; stakes and slashing. Rules are pure functions of what was stored
//! and a time; the SQL of their tables stands beside them.
//!
//! What always holds: a header alone proves nothing, each agent signs; finalization on a timer and by hand follow the
//! same rule; routing goes on without an answer from here, after a short and bounded wait.
//!
//! Deliberately absent: HTTP, WebSockets, model calls. Money is moved by `ledger`, when `domain` says so.
