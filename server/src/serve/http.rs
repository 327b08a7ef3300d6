//! The public server: connections, their limits, and a drain that lets answers end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use super::{DRAIN, descriptors};

/// Open connections. Each costs some 10 KiB when it is idle; past this the kernel's queue waits.
const CONNECTIONS_AT_MOST: usize = 20_000;
/// A request's head comes within this time, or the connection ends: ten thousand clients that dribble cost a minute.
const HEADER_READ: Duration = Duration::from_mins(1);
/// Keys, ids and an SDK's own headers are below 4 KiB; a cookie-laden browser below 16.
const HEADER_BYTES_AT_MOST: usize = 64 * 1024;
/// SDKs send about 25 header lines; more than this is a flood.
const HEADERS_AT_MOST: usize = 100;
/// After a failed accept (no file descriptors left): let others close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves, then drains: requests and sockets side by side.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    drain: impl AsyncFnOnce(Duration),
    shutdown: impl Future<Output = ()>,
) {
    let (stopping, stop) = watch::channel(false);
    let places = Arc::new(Semaphore::new(descriptors::for_callers(CONNECTIONS_AT_MOST)));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small events must not wait for an acknowledgement. A socket that refuses is already closed.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ)
            .max_header_size(HEADER_BYTES_AT_MOST)
            .max_headers(HEADERS_AT_MOST)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut stop = stop.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = asked_to_stop(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    stopping.send_replace(true);
    // Sockets have left their connections behind; they drain beside them.
    let requests = async { while connections.join_next().await.is_some() {} };
    let (requests, ()) = tokio::join!(tokio::time::timeout(DRAIN, requests), drain(DRAIN));
    if requests.is_err() {
        tracing::warn!("answers were still streaming at the end of the drain and are cut");
    }
}

async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}

async fn answer(
    mut router: Router,
    peer: SocketAddr,
    mut request: hyper::Request<Incoming>,
) -> Result<axum::response::Response, std::convert::Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request.map(axum::body::Body::new)).await
}
