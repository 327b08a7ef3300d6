//! The body of a streamed answer: it reads the provider when freeside's connection has room, and nothing runs beside it.
//!
//! What always holds: the usage of an attempt that delivered a token, or whose client left while it was at work, is
//! published exactly once, at its end or when the connection drops it; dropping it ends the provider's call at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use types::s2s::headers;

use crate::engine::Started;
use crate::guards::Health;
use crate::metering::{UsageRecord, UsageSink};
use crate::providers::Source;
use crate::transcript::{End, Transcript};

/// No agent speaks, so nobody's personality does.
pub(crate) const NO_PERSONALITY: &str = "none";

/// Bytes that are handed over before other tasks get their turn: neither side of an answer may ever have to wait.
const BYTES_IN_ONE_GO: usize = 64 * 1024;

/// Whether the client can read trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trailer {
    Wanted,
    Unwanted,
}

pub(crate) struct Answer {
    /// Gone once the answer has ended.
    source: Option<Source>,
    transcript: Transcript,
    health: Option<Health>,
    trailer: Trailer,
    /// A piece of the answer was handed to the connection.
    handed_over: bool,
    /// Bytes since others had their turn.
    in_one_go: usize,
    ticket: Ticket,
    _in_flight: OwnedSemaphorePermit,
}

/// What the usage record says besides the figures.
pub(crate) struct Ticket {
    pub(crate) sink: Arc<dyn UsageSink>,
    pub(crate) reservation: String,
    pub(crate) jti: String,
    pub(crate) pool: &'static str,
    pub(crate) model: String,
    pub(crate) personality_id: String,
    pub(crate) began: Instant,
}

impl Answer {
    pub(crate) fn new(
        started: Started,
        ticket: Ticket,
        trailer: Trailer,
        in_flight: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            source: Some(started.source),
            transcript: started.transcript,
            health: started.health,
            trailer,
            handed_over: false,
            in_one_go: 0,
            ticket,
            _in_flight: in_flight,
        }
    }

    /// The terminal event is about to leave: the provider is done with, and the figures are final.
    fn close(&mut self) {
        if self.source.take().is_none() {
            return;
        }
        metrics::histogram!("finn_answer_seconds", "pool" => self.ticket.pool)
            .record(self.ticket.began.elapsed().as_secs_f64());
        let failure = match self.transcript.end() {
            Some(End::Failed(failure)) => Some(failure),
            Some(End::Done) | None => None,
        };
        if let Some(failure) = failure {
            metrics::counter!("finn_errors_total", "code" => failure.code()).increment(1);
            tracing::warn!(
                reservation = self.ticket.reservation,
                model = self.ticket.model,
                code = failure.code(),
                "an answer broke off"
            );
        }
        if let Some(health) = self.health.take() {
            health.settle(failure);
        }
        self.publish();
    }

    fn publish(&self) {
        // A provider that failed after nothing but thoughts is paid by nobody here.
        let failed = matches!(self.transcript.end(), Some(End::Failed(_)));
        if !self.handed_over || (failed && !self.transcript.delivered()) {
            return;
        }
        let ticket = &self.ticket;
        let usage = self.transcript.usage();
        ticket.sink.publish(UsageRecord {
            message_id: format!("{}:{}", ticket.reservation, ticket.jti),
            budget_reservation_id: ticket.reservation.clone(),
            tokens_used: usage.total_tokens,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            model: ticket.model.clone(),
            pool_used: ticket.pool.to_owned(),
            personality_id: ticket.personality_id.clone(),
            latency_ms: u64::try_from(ticket.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.in_one_go >= BYTES_IN_ONE_GO {
            this.in_one_go = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.transcript.waiting_bytes() == 0
            && let Some(source) = &mut this.source
        {
            std::task::ready!(source.poll_read(context, &mut this.transcript));
        }
        if this.transcript.waiting_bytes() > 0 {
            this.handed_over |= this.transcript.has_begun();
            let bytes = this.transcript.take();
            this.in_one_go += bytes.len();
            if this.transcript.end().is_some() {
                this.close();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        this.close();
        if this.trailer == Trailer::Wanted {
            this.trailer = Trailer::Unwanted;
            let mut trailers = HeaderMap::new();
            let count = HeaderValue::from(this.transcript.usage().total_tokens);
            trailers.insert(HeaderName::from_static(headers::TOKEN_COUNT), count);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none() && self.transcript.waiting_bytes() == 0 && self.trailer == Trailer::Unwanted
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.source.is_some() {
            // The client left in the middle. The provider's call ends with the source; what was used is told.
            metrics::counter!("finn_clients_gone_total").increment(1);
            self.publish();
        }
    }
}
