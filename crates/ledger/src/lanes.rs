//! Who serves which queue: the first writer all of them while it keeps up, each writer its own in a crowd.
//!
//! A transaction of a few operations costs mostly its own price, so one writer that has twice as many in each takes
//! little more than half of the work. In a crowd the rows cost more than the transaction, and two writers let one decide
//! while the other commits. A queue is lent and given back between two batches, with nothing of it in hand, so that within
//! a community who comes first is served first.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, timeout_at};

use crate::writer::{BATCH_AT_MOST, Job};

/// A batch of this many is a crowd: its rows take longer than its commit, or the one before it waited for somebody's lock.
const CROWD: usize = 128;
/// A lent queue is a crowd still while a batch has this many: half of it, with some margin, so that a load near the limit
/// does not go to and fro.
const STILL_A_CROWD: usize = 32;
/// A lent queue is given back when it was no crowd for this long. What its new writer does not know it has to read, once
/// for each account, so this is much longer than a batch takes.
const LENT_FOR: Duration = Duration::from_secs(1);

/// A queue, and the number of its lane.
type Queue = (usize, Receiver<Job>);

/// Where a writer's batches come from.
pub(crate) trait Source: Send + 'static {
    /// Waits for operations; `false`: there will never be any more.
    fn wait(&mut self, batch: &mut Vec<Job>) -> impl Future<Output = bool> + Send;

    /// Takes what else is waiting.
    fn fill(&mut self, batch: &mut Vec<Job>);

    /// A batch of this many is answered, and nothing is in hand.
    fn served(&mut self, operations: usize);
}

/// The source of the first writer, and those of the others.
pub(crate) fn open(queues: Vec<Receiver<Job>>) -> (First, Vec<Helper>) {
    let (giving, back) = mpsc::unbounded_channel();
    let (helpers, others) = (1..queues.len())
        .map(|_| {
            let (lend, lent) = mpsc::unbounded_channel();
            (lend, Helper { lent, queue: None, crowd_at: Instant::now(), back: giving.clone() })
        })
        .unzip();
    (First { queues: queues.into_iter().map(Some).collect(), helpers, back }, others)
}

/// All queues that are not lent.
pub(crate) struct First {
    /// By lane; `None`: lent, or its senders are gone.
    queues: Vec<Option<Receiver<Job>>>,
    /// Of each lane but the first.
    helpers: Vec<UnboundedSender<Queue>>,
    back: UnboundedReceiver<Queue>,
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
        self.queues.iter_mut().flatten().for_each(|queue| fill(batch, queue));
    }

    fn served(&mut self, operations: usize) {
        if operations < CROWD {
            return;
        }
        for (lane, helper) in (1..).zip(&self.helpers) {
            if let Some(queue) = self.queues[lane].take()
                && let Err(refused) = helper.send((lane, queue))
            {
                self.queues[lane] = Some(refused.0.1);
            }
        }
    }
}

/// One queue, while it is lent.
pub(crate) struct Helper {
    lent: UnboundedReceiver<Queue>,
    queue: Option<Queue>,
    /// When it was a crowd last.
    crowd_at: Instant,
    back: UnboundedSender<Queue>,
}

impl Helper {
    fn give_back(&mut self) {
        if let Some(queue) = self.queue.take() {
            let _ = self.back.send(queue); // whom it goes to waits for this channel's end
        }
    }
}

impl Source for Helper {
    async fn wait(&mut self, batch: &mut Vec<Job>) -> bool {
        loop {
            let Some((_, queue)) = &mut self.queue else {
                self.queue = self.lent.recv().await;
                self.crowd_at = Instant::now();
                if self.queue.is_none() {
                    return false;
                }
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

    /// Takes one batch: how many, and the accounts of them all lie in this order.
    async fn serve(source: &mut impl Source) -> Option<Vec<i64>> {
        let mut batch = Vec::new();
        let is_open = source.wait(&mut batch).await;
        source.served(batch.len());
        is_open.then(|| batch.iter().map(|job| job.op.key().account.0).collect())
    }

    #[tokio::test]
    async fn a_crowd_is_lent_and_comes_back_in_order() {
        let (lanes, mut first, mut helper) = two();
        let most = i64::try_from(CROWD).unwrap();
        ask(&lanes[1], 0..most - 1);
        assert_eq!(serve(&mut first).await, Some((0..most - 1).collect()));
        ask(&lanes[0], 0..1);
        ask(&lanes[1], 1..most);
        assert_eq!(serve(&mut first).await, Some((0..most).collect()), "both are here, and now one is lent");
        ask(&lanes[0], 7..8);
        ask(&lanes[1], 8..9);
        assert_eq!(serve(&mut first).await, Some(vec![7]));
        assert_eq!(serve(&mut helper).await, Some(vec![8]));
        // No crowd for so long: it goes back, with what waits in it.
        helper.crowd_at = Instant::now().checked_sub(LENT_FOR).unwrap();
        ask(&lanes[1], 9..10);
        assert_eq!(serve(&mut helper).await, Some(vec![9]));
        ask(&lanes[1], 10..12);
        assert_eq!(serve(&mut first).await, Some(vec![10, 11]));
    }

    #[tokio::test]
    async fn a_queue_that_nobody_asks_of_goes_back_by_itself() {
        let (lanes, mut first, mut helper) = two();
        ask(&lanes[0], 0..i64::try_from(CROWD).unwrap());
        serve(&mut first).await;
        let helping = tokio::spawn(async move { serve(&mut helper).await });
        while first.back.is_empty() {
            tokio::task::yield_now().await;
        }
        ask(&lanes[1], 5..6);
        assert_eq!(serve(&mut first).await, Some(vec![5]));
        drop((lanes, first));
        assert_eq!(helping.await.unwrap(), None);
    }

    #[tokio::test]
    async fn all_end_when_the_senders_are_gone_and_all_is_served() {
        let (lanes, mut first, mut helper) = two();
        ask(&lanes[0], 0..i64::try_from(CROWD).unwrap());
        serve(&mut first).await;
        ask(&lanes[0], 0..1);
        ask(&lanes[1], 1..2);
        drop(lanes);
        assert_eq!(serve(&mut helper).await, Some(vec![1]));
        assert_eq!(serve(&mut first).await, Some(vec![0]));
        let (end, others) = tokio::join!(serve(&mut first), async {
            let end = serve(&mut helper).await;
            drop(helper);
            end
        });
        assert_eq!((end, others), (None, None));
    }
}
