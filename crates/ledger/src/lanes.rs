//! Who serves which queue: the first writer all of them while it keeps up, each writer its own in a crowd.
//!
//! A transaction of a few operations costs mostly its own price, so one writer that has twice as many in each takes
//! little more than half of the work. In a crowd the rows cost more than the transaction, and two writers let one decide
//! while the other commits. A queue is lent and given back between two batches, with nothing of it in hand, so that within
//! a community who comes first is served first.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, timeout_at};

use crate::writer::{BATCH_AT_MOST, Job};

/// A batch of this many is a crowd: its rows take longer than its commit, or the one before it waited for somebody's lock.
const CROWD: usize = 128;
/// Once spread it is a crowd still while any writer's batch has this many. Two that have fewer are far from a crowd together,
/// so that no load makes a queue go to and fro.
const STILL_A_CROWD: usize = 32;
/// A lent queue is given back when there was no crowd for this long. Its new writer has to read each account once, so this
/// is much longer than a batch takes.
const LENT_FOR: Duration = Duration::from_secs(1);

/// A queue, and the number of its lane.
type Queue = (usize, Receiver<Job>);

/// Where a writer's batches come from.
pub(crate) trait Source: Send + 'static {
    /// Waits for operations; `false`: there will never be any more.
    fn wait(&mut self, batch: &mut Vec<Job>) -> impl Future<Output = bool> + Send;

    /// Takes what else is waiting.
    fn fill(&mut self, batch: &mut Vec<Job>);

    /// A batch of this many went out, and the next one is not begun.
    fn served(&mut self, operations: usize);

    /// Whether a queue came or went since this was asked last: then somebody else may have written what this writer knows.
    fn changed_hands(&mut self) -> bool;
}

/// The source of the first writer, and those of the others.
pub(crate) fn open(queues: Vec<Receiver<Job>>) -> (First, Vec<Helper>) {
    let (giving, back) = mpsc::unbounded_channel();
    let is_crowded = Arc::new(AtomicBool::new(false));
    let (helpers, others) = (1..queues.len())
        .map(|_| {
            let (lend, lent) = mpsc::unbounded_channel();
            let helper = Helper {
                lent,
                queue: None,
                is_new: false,
                crowd_at: Instant::now(),
                is_first_crowded: Arc::clone(&is_crowded),
                back: giving.clone(),
            };
            (lend, helper)
        })
        .unzip();
    let queues = queues.into_iter().map(Some).collect();
    (First { queues, helpers, back, is_crowded, has_lent: false }, others)
}

/// All queues that are not lent.
pub(crate) struct First {
    /// By lane; `None`: lent, or its senders are gone.
    queues: Vec<Option<Receiver<Job>>>,
    /// Of each lane but the first.
    helpers: Vec<UnboundedSender<Queue>>,
    back: UnboundedReceiver<Queue>,
    /// Whether the last batch was a part of a crowd.
    is_crowded: Arc<AtomicBool>,
    has_lent: bool,
}

impl First {
    fn poll(&mut self, context: &mut Context<'_>, batch: &mut Vec<Job>) -> Poll<bool> {
        let has_ended = loop {
            match self.back.poll_recv(context) {
                Poll::Ready(Some((lane, queue))) => self.queues[lane] = Some(queue),
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        for place in &mut self.queues {
            let Some(queue) = place else { continue };
            let room = BATCH_AT_MOST - batch.len();
            if room > 0 && queue.poll_recv_many(context, batch, room) == Poll::Ready(0) {
                *place = None;
            }
        }
        if !batch.is_empty() {
            return Poll::Ready(true);
        }
        // The first queue is never lent: it is gone when the ledger is, and then nobody is lent another one.
        if self.queues[0].is_none() {
            self.helpers.clear();
        }
        if has_ended && self.queues.iter().all(Option::is_none) { Poll::Ready(false) } else { Poll::Pending }
    }
}

impl Source for First {
    async fn wait(&mut self, batch: &mut Vec<Job>) -> bool {
        poll_fn(|context| self.poll(context, batch)).await
    }

    fn fill(&mut self, batch: &mut Vec<Job>) {
        while let Ok((lane, queue)) = self.back.try_recv() {
            self.queues[lane] = Some(queue);
        }
        self.queues.iter_mut().flatten().for_each(|queue| fill(batch, queue));
    }

    fn served(&mut self, operations: usize) {
        self.is_crowded.store(operations >= STILL_A_CROWD, Ordering::Relaxed);
        if operations < CROWD {
            return;
        }
        for (lane, helper) in (1..).zip(&self.helpers) {
            let Some(queue) = self.queues[lane].take() else { continue };
            match helper.send((lane, queue)) {
                Ok(()) => self.has_lent = true,
                Err(refused) => self.queues[lane] = Some(refused.0.1),
            }
        }
    }

    fn changed_hands(&mut self) -> bool {
        std::mem::take(&mut self.has_lent)
    }
}

/// One queue, while it is lent.
pub(crate) struct Helper {
    lent: UnboundedReceiver<Queue>,
    queue: Option<Queue>,
    /// It has just come.
    is_new: bool,
    /// When there was a crowd last.
    crowd_at: Instant,
    is_first_crowded: Arc<AtomicBool>,
    back: UnboundedSender<Queue>,
}

impl Helper {
    /// Gives the queue back, unless the others are a crowd still or nobody is there to take it.
    fn give_back(&mut self) {
        let is_crowd = self.is_first_crowded.load(Ordering::Relaxed);
        if !is_crowd && let Some(queue) = self.queue.take() {
            self.queue = self.back.send(queue).err().map(|refused| refused.0);
        }
        self.crowd_at = Instant::now();
    }
}

impl Source for Helper {
    async fn wait(&mut self, batch: &mut Vec<Job>) -> bool {
        loop {
            let Some((_, queue)) = &mut self.queue else {
                let Some(queue) = self.lent.recv().await else { return false };
                (self.queue, self.is_new, self.crowd_at) = (Some(queue), true, Instant::now());
                continue;
            };
            match timeout_at(self.crowd_at + LENT_FOR, queue.recv_many(batch, BATCH_AT_MOST)).await {
                Ok(0) => self.queue = None,
                Ok(_) => return true,
                Err(_) => self.give_back(),
            }
        }
    }

    fn fill(&mut self, batch: &mut Vec<Job>) {
        if let Some((_, queue)) = &mut self.queue {
            fill(batch, queue);
        }
    }

    fn served(&mut self, operations: usize) {
        if operations >= STILL_A_CROWD {
            self.crowd_at = Instant::now();
        } else if self.crowd_at.elapsed() >= LENT_FOR {
            self.give_back();
        }
    }

    fn changed_hands(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }
}

fn fill(batch: &mut Vec<Job>, queue: &mut Receiver<Job>) {
    while batch.len() < BATCH_AT_MOST
        && let Ok(job) = queue.try_recv()
    {
        batch.push(job);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::Sender;
    use types::{AccountId, CommunityId};

    use super::*;
    use crate::model::{AccountKey, Op};

    /// Two lanes; jobs are told apart by their accounts.
    fn two() -> ([Sender<Job>; 2], First, Helper) {
        let ((one, first), (other, second)) = (mpsc::channel(1_000), mpsc::channel(1_000));
        let (first, mut helpers) = open(vec![first, second]);
        ([one, other], first, helpers.remove(0))
    }

    fn ask(lane: &Sender<Job>, accounts: std::ops::Range<i64>) {
        for account in accounts {
            let key = AccountKey { community: CommunityId(1), account: AccountId(account) };
            lane.try_send(Job::new(Op::Expire { key }, None)).map_err(|_| "full").unwrap();
        }
    }

    /// Serves one batch; the accounts of its operations in order.
    async fn serve(source: &mut impl Source) -> Option<Vec<i64>> {
        let mut batch = Vec::new();
        let is_open = source.wait(&mut batch).await;
        source.served(batch.len());
        is_open.then(|| accounts_of(&batch))
    }

    fn accounts_of(batch: &[Job]) -> Vec<i64> {
        batch.iter().map(|job| job.op.key().account.0).collect()
    }

    const ALMOST: i64 = 127;

    /// Lends the second queue: 128 are served.
    async fn lend(lanes: &[Sender<Job>; 2], first: &mut First) {
        ask(&lanes[0], 0..1);
        ask(&lanes[1], 1..ALMOST + 1);
        assert_eq!(serve(first).await, Some((0..=ALMOST).collect()), "both are here");
        assert!(first.changed_hands() && !first.changed_hands());
        ask(&lanes[0], 7..8);
        assert_eq!(serve(first).await, Some(vec![7]), "the first is no crowd any more");
    }

    /// A second has passed without a crowd.
    fn a_while_later(helper: &mut Helper) {
        helper.crowd_at = Instant::now().checked_sub(LENT_FOR).expect("the machine runs for longer");
    }

    #[tokio::test]
    async fn a_crowd_is_lent_and_comes_back_in_order() {
        let (lanes, mut first, mut helper) = two();
        ask(&lanes[1], 0..ALMOST);
        assert_eq!(serve(&mut first).await, Some((0..ALMOST).collect()));
        assert!(!first.changed_hands());
        lend(&lanes, &mut first).await;
        ask(&lanes[1], 8..9);
        assert_eq!(serve(&mut helper).await, Some(vec![8]));
        assert!(helper.changed_hands() && !helper.changed_hands());
        a_while_later(&mut helper);
        ask(&lanes[1], 9..10);
        assert_eq!(serve(&mut helper).await, Some(vec![9]));
        // What waits goes back with the queue, also to a writer that has something else to do.
        ask(&lanes[1], 10..12);
        let mut batch = Vec::new();
        first.fill(&mut batch);
        assert_eq!(accounts_of(&batch), [10, 11]);
        ask(&lanes[1], 12..13);
        assert_eq!(serve(&mut first).await, Some(vec![12]));
    }

    #[tokio::test]
    async fn a_queue_stays_lent_while_there_is_a_crowd_anywhere() {
        let (lanes, mut first, mut helper) = two();
        lend(&lanes, &mut first).await;
        for (here, there) in [(40, 1), (1, 40)] {
            ask(&lanes[0], 0..there);
            serve(&mut first).await;
            ask(&lanes[1], 0..1);
            serve(&mut helper).await;
            a_while_later(&mut helper);
            ask(&lanes[1], 0..here);
            serve(&mut helper).await;
            assert!(first.back.is_empty() && helper.queue.is_some(), "{here} and {there}");
        }
    }

    #[tokio::test]
    async fn a_queue_that_nobody_asks_of_goes_back_by_itself() {
        let (lanes, mut first, mut helper) = two();
        lend(&lanes, &mut first).await;
        let helping = tokio::spawn(async move { serve(&mut helper).await });
        let (lane, queue) = first.back.recv().await.expect("within a second");
        first.queues[lane] = Some(queue);
        ask(&lanes[1], 5..6);
        assert_eq!(serve(&mut first).await, Some(vec![5]));
        drop((lanes, first));
        assert_eq!(helping.await.expect("no panic"), None);
    }

    #[tokio::test]
    async fn without_the_first_writer_a_lent_queue_is_served_to_its_end() {
        let (lanes, mut first, mut helper) = two();
        lend(&lanes, &mut first).await;
        drop(first);
        for account in 0..2 {
            ask(&lanes[1], account..account + 1);
            assert_eq!(serve(&mut helper).await, Some(vec![account]));
            a_while_later(&mut helper);
        }
        drop(lanes);
        assert_eq!(serve(&mut helper).await, None);
    }

    #[tokio::test]
    async fn all_end_when_the_senders_are_gone_and_all_is_served() {
        for last in [0, 1] {
            let (lanes, mut first, mut helper) = two();
            lend(&lanes, &mut first).await;
            ask(&lanes[0], 0..1);
            ask(&lanes[1], 1..2);
            let [one, other] = lanes;
            let (gone, kept) = if last == 0 { (other, one) } else { (one, other) };
            drop(gone);
            assert_eq!(serve(&mut helper).await, Some(vec![1]));
            assert_eq!(serve(&mut first).await, Some(vec![0]));
            let mut none = Vec::new();
            let is_waiting =
                poll_fn(|context| Poll::Ready(first.poll(context, &mut none).is_pending())).await;
            assert!(is_waiting, "a queue that is lent may come back");
            a_while_later(&mut helper);
            let helping = tokio::spawn(async move {
                let mut served = Vec::new();
                while let Some(batch) = serve(&mut helper).await {
                    served.extend(batch);
                }
                served
            });
            if last == 1 {
                let (lane, queue) = first.back.recv().await.expect("it was no crowd for long");
                first.queues[lane] = Some(queue);
            }
            ask(&kept, 2..3);
            assert_eq!(serve(&mut first).await, Some(vec![2]), "{last}");
            drop(kept);
            assert_eq!(serve(&mut first).await, None);
            assert_eq!(helping.await.expect("no panic"), [0_i64; 0]);
        }
    }

    #[tokio::test]
    async fn one_writer_alone_ends_as_well_and_lends_to_nobody() {
        let (lane, queue) = mpsc::channel(1_000);
        let (mut first, helpers) = open(vec![queue]);
        assert!(helpers.is_empty());
        drop(helpers);
        ask(&lane, 0..600);
        assert_eq!(serve(&mut first).await, Some((0..512).collect()));
        assert!(!first.changed_hands());
        drop(lane);
        assert_eq!(serve(&mut first).await, Some((512..600).collect()));
        assert_eq!(serve(&mut first).await, None);
    }
}
