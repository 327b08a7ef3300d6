//! File descriptors: a shell allows 1,024, which a thousand idle callers use up. The process asks for what it may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A caller's connection, the two ends of the one to an engine in this process, and the provider's, 16,000 times.
const WANTED: u64 = 65_536;
/// Of the descriptors there are, callers get this many parts in four; engine, database and providers get the rest.
const CALLERS_PARTS: u64 = 3;

/// Raises the limit as far as it goes, and says how many connections callers may have, `at_most` that many.
pub(crate) fn for_callers(at_most: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return at_most };
    let wanted = hard.min(WANTED).max(soft);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, limit = soft, "the limit of open files could not be raised");
            soft
        }
    };
    let places = usize::try_from(limit / 4 * CALLERS_PARTS).unwrap_or(usize::MAX).min(at_most);
    if places < at_most {
        tracing::info!(
            open_files = limit,
            connections = places,
            "the limit of open files bounds the connections"
        );
    }
    places
}
