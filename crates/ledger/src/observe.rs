//! What committed batches did, told to a test that replays the books with a model of its own.
//!
//! A hold and a release write no journal row, so the order of all operations cannot be read from the tables. It is the
//! order of the book's versions: a batch works under the book's lock and raises its version when it changes anything.
//! Deliberately absent: any use by the product. Nobody is told of a batch whose commit's reply was lost.

use time::OffsetDateTime;
use tokio::sync::mpsc;
use types::CommunityId;

use crate::model::Op;
use crate::rule::Verdict;
use crate::state::State;

/// Where observations go.
pub type Observer = mpsc::UnboundedSender<Observation>;

/// What one committed batch did in one community, in its order.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Where.
    pub community: CommunityId,
    /// The book's version after it.
    pub version: i64,
    /// It raised the version; else it came after the batch that did, and changed nothing.
    pub wrote: bool,
    /// The time that the rule was given.
    pub now: OffsetDateTime,
    /// Operations and what was said of them.
    pub done: Vec<(Op, Verdict)>,
}

/// Tells `observer` of a batch, once per community. A test that stopped listening is no fault.
pub(crate) fn tell(
    observer: &Observer,
    state: &State,
    now: OffsetDateTime,
    ops: &[&Op],
    verdicts: &[Verdict],
) {
    for (community, book) in &state.books {
        let mine = ops.iter().zip(verdicts).filter(|(op, _)| op.key().community == *community);
        let done = mine.map(|(op, verdict)| ((*op).clone(), verdict.clone())).collect();
        let version = book.book.version + i64::from(book.touched);
        let _ = observer.send(Observation { community: *community, version, wrote: book.touched, now, done });
    }
}
