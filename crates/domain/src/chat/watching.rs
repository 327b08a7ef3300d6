//! Watching an answer: from memory where it runs, from its rows anywhere else. The frames are the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::log::{Log, Reader};
use super::store::{self, Row};
use super::words::{Frame, Numbered};
use crate::Ctx;

/// A look at the rows of an answer that another process writes: as often as that process stores.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A watcher's place in one answer. Dropping it changes nothing about the answer.
#[derive(Debug)]
pub struct Watching {
    request_id: Uuid,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Here(Reader),
    Stored(Box<Stored>),
}

#[derive(Debug)]
struct Stored {
    ctx: Arc<Ctx>,
    row: Row,
    after: u32,
    ready: VecDeque<(u32, String)>,
    is_over: bool,
}

impl Watching {
    pub(super) fn here(log: Arc<Log>, request_id: Uuid, after: u32) -> Self {
        Self { request_id, source: Source::Here(log.watch(after)) }
    }

    pub(super) fn stored(ctx: Arc<Ctx>, row: Row, request_id: Uuid, after: u32) -> Self {
        let stored = Stored { ctx, row, after, ready: VecDeque::new(), is_over: false };
        Self { request_id, source: Source::Stored(Box::new(stored)) }
    }

    /// Which answer.
    #[must_use]
    pub fn request_id(&self) -> Uuid {
        self.request_id
    }

    /// The next frame; `None` after [`Frame::End`]. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Option<Numbered>, sqlx::Error> {
        match &mut self.source {
            Source::Here(reader) => Ok(reader.next().await),
            Source::Stored(stored) => stored.next().await,
        }
    }
}

impl Stored {
    async fn next(&mut self) -> Result<Option<Numbered>, sqlx::Error> {
        if self.is_over {
            return Ok(None);
        }
        loop {
            if self.after == 0
                && let Some(started) = self.row.started()
            {
                return Ok(Some(self.show(1, Frame::Start(started))));
            }
            while let Some((seq, text)) = self.ready.pop_front() {
                if seq > self.after {
                    return Ok(Some(self.show(seq, Frame::Text(text))));
                }
            }
            if self.row.last_seq() > self.after.max(1) {
                let texts = store::texts_after(&self.ctx.db, self.row.id, self.after).await?;
                if !texts.is_empty() {
                    self.ready = texts.into();
                    continue;
                }
            }
            if let Some(end) = self.row.end() {
                // Whoever saw frames that a crash kept from being stored gets the end as the frame after those.
                let seq = self.row.last_seq().max(self.after.saturating_add(1));
                self.is_over = true;
                return Ok(Some(self.show(seq, Frame::End(end))));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(row) = store::read(&self.ctx.db, self.row.id).await? {
                self.row = row;
            }
        }
    }

    fn show(&mut self, seq: u32, frame: Frame) -> Numbered {
        self.after = seq;
        Numbered { seq, frame }
    }
}
