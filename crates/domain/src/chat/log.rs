//! An answer in memory while it grows: written by the one task that runs the turn, read by any number of watchers.
//!
//! What always holds: frames are numbered without a gap, and a frame never changes. There is one copy of the text however
//! many watch, and a watcher that does not read holds nothing up and piles nothing up: it only stays behind.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

use super::words::{End, Frame, Numbered, Started};

/// A running answer.
#[derive(Debug)]
pub(super) struct Log {
    frames: Mutex<Frames>,
    /// The newest frame's number.
    newest: watch::Sender<u32>,
    stop: Mutex<Option<oneshot::Sender<&'static str>>>,
}

#[derive(Debug, Default)]
struct Frames {
    started: Option<Started>,
    texts: Vec<String>,
    end: Option<End>,
}

impl Log {
    /// An empty one, whose turn `stop` stops.
    pub(super) fn new(stop: oneshot::Sender<&'static str>) -> Self {
        Self { frames: Mutex::default(), newest: watch::Sender::new(0), stop: Mutex::new(Some(stop)) }
    }

    /// Appends a frame, and says its number.
    pub(super) fn push(&self, frame: Frame) -> u32 {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        match frame {
            Frame::Start(started) => frames.started = Some(started),
            Frame::Text(text) => frames.texts.push(text),
            Frame::End(end) => frames.end = Some(end),
        }
        let count = frames.count();
        drop(frames);
        self.newest.send_replace(count);
        count
    }

    /// Stops the turn with this word, once.
    pub(super) fn stop(&self, code: &'static str) {
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = stop.send(code);
        }
    }

    /// Watches from the frame after `after`.
    pub(super) fn watch(self: std::sync::Arc<Self>, after: u32) -> Reader {
        let newest = self.newest.subscribe();
        Reader { log: self, newest, after, is_over: false }
    }
}

impl Frames {
    fn count(&self) -> u32 {
        let count = usize::from(self.started.is_some()) + self.texts.len() + usize::from(self.end.is_some());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The frame with this number.
    fn at(&self, seq: u32) -> Option<Frame> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        // Without a start nothing but the end can be there.
        let before = usize::from(self.started.is_some());
        if index < before {
            return self.started.clone().map(Frame::Start);
        }
        match self.texts.get(index - before) {
            Some(text) => Some(Frame::Text(text.clone())),
            None if index - before == self.texts.len() => self.end.clone().map(Frame::End),
            None => None,
        }
    }
}

/// One watcher's place.
#[derive(Debug)]
pub(super) struct Reader {
    log: std::sync::Arc<Log>,
    newest: watch::Receiver<u32>,
    after: u32,
    is_over: bool,
}

impl Reader {
    /// The next frame; `None` after the last one. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<Numbered> {
        while !self.is_over {
            let (frame, end) = {
                let frames = self.log.frames.lock().unwrap_or_else(PoisonError::into_inner);
                (frames.at(self.after.saturating_add(1)), frames.end.clone())
            };
            // Whoever asks from behind the last frame has seen a number that was never stored: the end is theirs still.
            let frame = frame.or_else(|| end.map(Frame::End));
            if let Some(frame) = frame {
                self.after = self.after.saturating_add(1);
                self.is_over = matches!(frame, Frame::End(_));
                return Some(Numbered { seq: self.after, frame });
            }
            if self.newest.changed().await.is_err() {
                return None; // the log outlives its readers, so this is never reached
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::MicroUsd;
    use types::s2s::Usage;

    use super::super::words::How;
    use super::*;

    fn end() -> Frame {
        Frame::End(End { how: How::Stopped, usage: Usage::default(), cost: MicroUsd::ZERO })
    }

    fn log() -> Arc<Log> {
        Arc::new(Log::new(oneshot::channel().0))
    }

    async fn read(log: &Arc<Log>, after: u32) -> Vec<u32> {
        let mut reader = Arc::clone(log).watch(after);
        let mut seqs = Vec::new();
        while let Some(numbered) = reader.next().await {
            seqs.push(numbered.seq);
        }
        seqs
    }

    #[tokio::test]
    async fn every_watcher_reads_each_frame_once_from_wherever_it_begins() {
        let log = log();
        let early = tokio::spawn({
            let log = Arc::clone(&log);
            async move { read(&log, 0).await }
        });
        log.push(Frame::Start(Started::default()));
        for word in ["a", "b", "c"] {
            log.push(Frame::Text(word.to_owned()));
            tokio::task::yield_now().await;
        }
        assert_eq!(log.push(end()), 5);
        assert_eq!(early.await.expect("it ends"), [1, 2, 3, 4, 5]);
        assert_eq!(read(&log, 3).await, [4, 5]);
        assert_eq!(read(&log, 4).await, [5]);
        assert_eq!(read(&log, 9).await, [10], "the end reaches whoever saw more than was stored");
    }

    #[tokio::test]
    async fn a_refusal_is_the_first_frame_and_the_last() {
        let log = log();
        assert_eq!(log.push(end()), 1);
        assert_eq!(read(&log, 0).await, [1]);
    }
}
