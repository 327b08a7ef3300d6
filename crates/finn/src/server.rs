//! The HTTP server: connections, their limits, and a drain that lets answers end.
//!
//! hyper without a framework: a request costs what its parsing costs. Every limit is a constant below.

mod inference;
mod reply;
mod routes;

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use client::Pipes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::engine::Engine;

/// Open connections; freeside keeps a few hundred. Above it the kernel's queue waits.
const MAX_CONNECTIONS: usize = 10_000;
/// From the end of one request to the head of the next, rest included: a head that dribbles in ends here, and so does an
/// idle connection. Longer than the minute that clients keep idle connections, so that they close first.
const HEADER_READ: Duration = Duration::from_secs(90);
/// The request's head: a 4 KiB token and a dozen small headers fit many times.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// More header lines than this is a flood.
const MAX_HEADERS: usize = 64;
/// After a failed accept (no file descriptors left): let others close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Answers may end for so long after a stop was asked for (SPEC §13).
const DRAIN: Duration = Duration::from_secs(110);

/// Where requests come from.
#[derive(Debug)]
pub struct Doors {
    /// The network.
    pub listener: TcpListener,
    /// A gateway in this process.
    pub pipes: Option<Pipes>,
}

impl From<TcpListener> for Doors {
    fn from(listener: TcpListener) -> Self {
        Self { listener, pipes: None }
    }
}

/// A connection, whichever way it came.
trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

impl Doors {
    /// The next connection, and whether it comes from this machine; an error when the kernel has none to give.
    async fn accept(&mut self) -> std::io::Result<(Pin<Box<dyn Stream>>, bool)> {
        let Self { listener, pipes } = self;
        let piped = async {
            match pipes {
                Some(pipes) => pipes.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(pipe) = piped => Ok((Box::pin(pipe), true)),
            accepted = listener.accept() => {
                let (stream, peer) = accepted?;
                // Small events must not wait for an acknowledgement. A socket that refuses is already closed.
                let _ = stream.set_nodelay(true);
                Ok((Box::pin(stream), peer.ip().to_canonical().is_loopback()))
            }
        }
    }
}

/// Serves until `shutdown` resolves, then drains. Also keeps the key set fresh meanwhile.
///
/// Dropping the future cuts every connection.
pub async fn serve(doors: impl Into<Doors>, engine: Arc<Engine>, shutdown: impl Future<Output = ()>) {
    let mut doors = doors.into();
    let mut background = JoinSet::new();
    let keys = Arc::clone(engine.jwks());
    background.spawn(async move { keys.keep_fresh().await });

    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (doors.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, is_loopback) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let engine = Arc::clone(&engine);
        let service = service_fn(move |request| {
            let engine = Arc::clone(&engine);
            async move { Ok::<_, Infallible>(routes::handle(&engine, request, is_loopback).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ)
            .max_header_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(doors);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("answers were still streaming at the end of the drain and are cut");
    }
}
