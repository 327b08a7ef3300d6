//! Every limit of the doors, with its reason. Header sizes and connection counts are the server's (`serve`).

use std::time::Duration;

/// An inference body: a prompt of a megabyte, escaped, with tools beside it, still parses and is answered by rule.
pub(crate) const INFERENCE_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Any other body: the largest we ask for is a handful of short fields.
pub(crate) const SMALL_BODY_BYTES: usize = 64 * 1024;
/// A form of ours: a few short fields, three bytes for each of a name's when they are escaped.
pub(crate) const FORM_BYTES: usize = 8 * 1024;
/// Its fields: no form of ours has a tenth of it.
pub(crate) const FORM_FIELDS: usize = 64;
/// The path that a form leads back to: longer ones are nobody's bookmark.
pub(crate) const BACK_BYTES: usize = 2 * 1024;
/// A payment notice: the vendor's own are below 2 KiB (SPEC §3).
pub(crate) const NOTICE_BODY_BYTES: usize = 64 * 1024;
/// A payment notice is answered within 3 s or the vendor gives up (SPEC §3); half a second is for the way.
pub(crate) const NOTICE: Duration = Duration::from_millis(2_500);
/// All prompts being read at once: ten thousand slow clients together hold no more than this.
pub(crate) const PROMPTS_IN_FLIGHT_BYTES: usize = 192 * 1024 * 1024;
/// Of these, one account's: four of the largest bodies, or a hundred of 160 KiB.
pub(crate) const PROMPTS_PER_CLIENT_BYTES: usize = PROMPTS_IN_FLIGHT_BYTES / 12;
/// Beside these, for small prompts alone: a crowd of large ones keeps nobody from a short question.
pub(crate) const PROMPTS_RESERVE_BYTES: usize = 8 * 1024 * 1024;
/// All other bodies being read at once: a crowd of prompts keeps nobody from signing in or ordering.
pub(crate) const BODIES_IN_FLIGHT_BYTES: usize = 48 * 1024 * 1024;
/// Of these, one client's: 32 of the largest bodies, or two thousand of a usual size from one office.
pub(crate) const BODIES_PER_CLIENT_BYTES: usize = BODIES_IN_FLIGHT_BYTES / 24;
/// Beside these, for small bodies alone.
pub(crate) const BODIES_RESERVE_BYTES: usize = 4 * 1024 * 1024;
/// All payment notices being read at once: no other crowd keeps money from arriving.
pub(crate) const NOTICES_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;
/// Of these, one address's: a thousand notices of the vendor's size, which has four addresses.
pub(crate) const NOTICES_PER_CLIENT_BYTES: usize = NOTICES_IN_FLIGHT_BYTES / 8;
/// Beside these, for small notices alone, which the vendor's own are.
pub(crate) const NOTICES_RESERVE_BYTES: usize = 2 * 1024 * 1024;
/// A body of at most this size may use a reserve (SPEC §14).
pub(crate) const RESERVED_BODY_BYTES: usize = 4 * 1024;
/// Clients at least that a reserve serves side by side.
pub(crate) const CLIENTS_IN_RESERVE: usize = 16;
/// A body arrives whole within this time: 4 MiB at 140 KB/s.
pub(crate) const BODY_READ: Duration = Duration::from_secs(30);
/// A slow start is forgiven for so long; after it, a pace is demanded (SPEC §14) …
pub(crate) const BODY_GRACE: Duration = Duration::from_secs(2);
/// … of so many bytes a second, which a weak mobile connection reaches.
pub(crate) const BODY_BYTES_PER_SECOND: u64 = 16 * 1024;
/// What is read of a refused body and forgotten, so that its sender gets to read the refusal.
pub(crate) const DISCARDED_BYTES: usize = 32 * 1024 * 1024;
/// And for how long: a client that cannot send the rest by then is cut.
pub(crate) const DISCARD: Duration = Duration::from_secs(5);
/// The same, of a client that has bodies enough here.
pub(crate) const DISCARD_OVER_SHARE: Duration = Duration::from_secs(1);
/// Messages of one conversation: beyond it, a client repeats itself rather than converses.
pub(crate) const MESSAGES: usize = 2_048;
/// The text of all tools: 128 tools of 2 KB.
pub(crate) const TOOLS_BYTES: usize = 256 * 1024;
/// Parts of one message's content: bounds the vectors that a body of 4 MiB can blow up into.
pub(crate) const CONTENT_PARTS: usize = 4_096;
/// Stop sequences: OpenAI's own limit.
pub(crate) const STOP_SEQUENCES: usize = 4;
/// `max_tokens`: beyond any model's context; the hold itself is bounded by the pool's slice.
pub(crate) const COMPLETION_TOKENS: u32 = 16 * 1024 * 1024;
/// A model's name: the longest catalog id is a tenth of it.
pub(crate) const MODEL_NAME_BYTES: usize = 256;
/// A whole answer that is gathered in memory; longer ones have to be streamed.
pub(crate) const GATHERED_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Silence after which a stream carries a comment, so that no proxy takes it for dead (SPEC §13).
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A readiness check that has not answered by then has failed: shorter than any probe's own patience.
pub(crate) const READINESS_CHECK: Duration = Duration::from_secs(2);
/// A client's own request id: a UUID with a prefix fits.
pub(crate) const REQUEST_ID_BYTES: usize = 64;
/// Days in one usage report: a leap year.
pub(crate) const USAGE_DAYS: i64 = 366;
