//! Callers on keep-alive connections: raw sockets, one prepared request each, every answer checked.
//!
//! They run on a thread of their own beside what they measure. In a closed loop each asks again when it was answered; in
//! an open loop each has a timetable, and a latency begins at the timetable's moment, so that a service that is late
//! cannot hide it by being asked less (no "coordinated omission").

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer;

/// An answer that takes longer has failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// After a failure a caller waits, so that a service that refuses is not flooded.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// When a caller asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as it was answered.
    Closed,
    /// By the timetable of this many requests a second over all callers.
    Open { per_second: u32 },
}

/// What is asked, of whom, by how many.
pub(crate) struct Load {
    /// Who is asked.
    pub(crate) address: SocketAddr,
    /// Whole requests; caller `n` sends the one of number `n`, counted round.
    pub(crate) requests: Arc<[Vec<u8>]>,
    /// Callers, each with one connection.
    pub(crate) callers: u32,
    /// When they ask.
    pub(crate) pace: Pace,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Tally {
    /// Good answers from the first moment to the last, warm-up included.
    pub(crate) answers: u64,
    /// Anything but a good answer.
    pub(crate) failures: u64,
    /// What the first failure was.
    pub(crate) first_failure: Option<String>,
    /// Of each good answer that ended while it was measured, in microseconds.
    pub(crate) latencies_us: Vec<u32>,
}

/// A load that runs. Dropped, it stops.
pub(crate) struct Running {
    phase: Arc<AtomicU8>,
    tally: oneshot::Receiver<Tally>,
}

impl Running {
    /// Starts to ask; nothing is measured yet.
    pub(crate) fn start(load: Load) -> anyhow::Result<Self> {
        let phase = Arc::new(AtomicU8::new(WARMING));
        let (done, tally) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let seen = Arc::clone(&phase);
        std::thread::Builder::new().name("callers".to_owned()).spawn(move || {
            // Nobody waits any more when the benchmark was broken off.
            let _ = done.send(runtime.block_on(ask_all(load, seen)));
        })?;
        Ok(Self { phase, tally })
    }

    /// Answers that end from now on count.
    pub(crate) fn measure(&self) {
        self.phase.store(MEASURING, Ordering::Relaxed);
    }

    /// Nobody asks any more; what was asked is waited for.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Tally> {
        self.phase.store(STOPPING, Ordering::Relaxed);
        (&mut self.tally).await.context("the callers' thread ended without a word")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.phase.store(STOPPING, Ordering::Relaxed);
    }
}

async fn ask_all(load: Load, phase: Arc<AtomicU8>) -> Tally {
    let load = Arc::new(load);
    let begin = Instant::now();
    let callers: JoinSet<Tally> = (0..load.callers)
        .map(|number| ask_on(Arc::clone(&load), number, begin, Arc::clone(&phase)))
        .collect();
    let mut all = Tally::default();
    for one in callers.join_all().await {
        all.answers += one.answers;
        all.failures += one.failures;
        all.first_failure = all.first_failure.or(one.first_failure);
        all.latencies_us.extend_from_slice(&one.latencies_us);
    }
    all
}

async fn ask_on(load: Arc<Load>, number: u32, begin: Instant, phase: Arc<AtomicU8>) -> Tally {
    let request = &load.requests[usize::try_from(number).expect("32 bits") % load.requests.len()];
    let mut caller = Caller { address: load.address, line: None, bytes: Vec::with_capacity(16 * 1024) };
    let mut tally = Tally::default();
    let mut timetable = Timetable::new(load.pace, load.callers, number, begin);
    loop {
        let due = timetable.next().await;
        if phase.load(Ordering::Relaxed) == STOPPING {
            return tally;
        }
        let asked = tokio::time::timeout(ANSWER_LIMIT, caller.ask(request)).await;
        let took = due.elapsed();
        let mut result = asked.unwrap_or_else(|_| Err(format!("no whole answer within {ANSWER_LIMIT:?}")));
        if result.is_ok() && tally.answers.is_multiple_of(answer::THOROUGH_EVERY) {
            result = caller.check_every_word();
        }
        match result {
            Ok(()) => tally.answered(took, phase.load(Ordering::Relaxed)),
            Err(error) => tally.failed(error),
        }
        if caller.line.is_none() {
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

impl Tally {
    fn answered(&mut self, took: Duration, phase: u8) {
        self.answers += 1;
        if phase == MEASURING {
            self.latencies_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn failed(&mut self, error: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(error);
    }
}

/// When one caller asks next.
struct Timetable {
    /// The next moment and the time between two; `None` in a closed loop.
    slot: Option<(Instant, Duration)>,
}

impl Timetable {
    /// Callers take turns: their moments lie evenly spread.
    fn new(pace: Pace, callers: u32, number: u32, begin: Instant) -> Self {
        let slot = match pace {
            Pace::Closed => None,
            Pace::Open { per_second } => {
                let between = Duration::from_secs(1) / per_second.max(1);
                Some((begin + between * number, between * callers))
            }
        };
        Self { slot }
    }

    async fn next(&mut self) -> Instant {
        let Some((due, between)) = &mut self.slot else { return Instant::now() };
        let now = *due;
        *due += *between;
        tokio::time::sleep_until(now).await;
        now
    }
}

struct Caller {
    address: SocketAddr,
    line: Option<TcpStream>,
    bytes: Vec<u8>,
}

impl Caller {
    /// Asks once. After a failure the connection is closed.
    async fn ask(&mut self, request: &[u8]) -> Result<(), String> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.connect().await.map_err(|error| format!("cannot connect: {error}"))?,
        };
        line.write_all(request).await.map_err(|error| format!("cannot send: {error}"))?;
        self.bytes.clear();
        while !answer::is_whole(&self.bytes) {
            match line.read_buf(&mut self.bytes).await {
                Ok(0) => return Err(format!("cut after {} bytes", self.bytes.len())),
                Ok(_) => {}
                Err(error) => return Err(format!("cannot read: {error}")),
            }
        }
        answer::check(&self.bytes)?;
        self.line = Some(line);
        Ok(())
    }

    fn check_every_word(&mut self) -> Result<(), String> {
        answer::check_every_word(&self.bytes).inspect_err(|_| self.line = None)
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let line = TcpStream::connect(self.address).await?;
        line.set_nodelay(true)?;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::upstream::Upstream;

    fn load(upstream: &Upstream, pace: Pace) -> Load {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}".to_vec();
        Load { address: upstream.address, requests: Arc::new([request]), callers: 4, pace }
    }

    #[tokio::test]
    async fn a_caller_asks_again_on_the_same_connection() {
        let upstream = Upstream::start().expect("a free port");
        let mut caller = Caller { address: upstream.address, line: None, bytes: Vec::new() };
        let request = load(&upstream, Pace::Closed).requests[0].clone();
        let mut ports = Vec::new();
        for is_paced in [false, false, true] {
            if is_paced {
                upstream.answer_paced();
            }
            assert_eq!(caller.ask(&request).await, Ok(()));
            assert_eq!(answer::check_every_word(&caller.bytes), Ok(()));
            ports.push(caller.line.as_ref().expect("kept").local_addr().expect("bound").port());
        }
        assert!(ports.windows(2).all(|two| two[0] == two[1]), "{ports:?}");
    }

    #[tokio::test]
    async fn what_was_asked_is_waited_for_and_a_dead_service_is_a_failure() {
        let upstream = Upstream::start().expect("a free port");
        upstream.answer_paced();
        for pace in [Pace::Closed, Pace::Open { per_second: 1_000 }] {
            let running = Running::start(load(&upstream, pace)).expect("started");
            running.measure();
            let tally = running.stop().await.expect("counted");
            assert_eq!(tally.failures, 0, "{:?}", tally.first_failure);
            assert!(u64::try_from(tally.latencies_us.len()).expect("few") <= tally.answers);
        }
        let address = upstream.address;
        drop(upstream);
        let mut caller = Caller { address, line: None, bytes: Vec::new() };
        assert!(caller.ask(b"GET").await.is_err() && caller.line.is_none());
    }
}
