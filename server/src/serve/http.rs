//! The public server: connections, their limits, and a drain that lets answers end.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use limits::{By, Client, Full, Pot, Share, Shares};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use super::{DRAIN, descriptors};
use crate::config::{Environment, Networks};

/// Open connections. Each costs some 10 KiB when it is idle; past this the kernel's queue waits.
const CONNECTIONS_AT_MOST: usize = 20_000;
/// Addresses at least that fill it: one address has this part of all places, an office or a mobile network behind one
/// address included.
const ADDRESSES_THAT_FILL_IT: usize = 16;
/// A request's head comes within this time, or the connection ends: ten thousand clients that dribble cost a minute.
const HEADER_READ: Duration = Duration::from_mins(1);
/// The same, for an address that has more than half of its share: what it only keeps open it gives up soon.
const HEADER_READ_OF_MANY: Duration = Duration::from_secs(10);
/// What a connection past its address's share is told before it is closed.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 80\r\n\r\n\
    Too many connections are open from your address. Close some, or try in a second.";
/// Keys, ids and an SDK's own headers are below 4 KiB; a cookie-laden browser below 16.
const HEADER_BYTES_AT_MOST: usize = 64 * 1024;
/// SDKs send about 25 header lines; more than this is a flood.
const HEADERS_AT_MOST: usize = 100;
/// After a failed accept (no file descriptors left): let others close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections there may be, and from whom.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    in_all: usize,
    by_address: Shares<Client>,
    /// Of whoever asks from this machine.
    at_localhost: Shares<Client>,
    /// Proxies: one of them carries many clients, and says who they are.
    trusted_proxies: Networks,
}

impl Places {
    /// As many as the process may have descriptors for.
    ///
    /// A proxy on this machine that nobody named is an address like any other in production: a stranger behind it would
    /// else have all places. In development localhost is the developer, with load generators of thousands of
    /// connections, and has three quarters; the rest is for everybody else.
    pub(crate) fn new(environment: Environment, trusted_proxies: Networks) -> Self {
        let in_all = descriptors::for_callers(CONNECTIONS_AT_MOST);
        let per_address = in_all.div_ceil(ADDRESSES_THAT_FILL_IT);
        let at_localhost = match environment {
            Environment::Development => in_all / 4 * 3,
            Environment::Production => per_address,
        };
        Self {
            at_localhost: Shares::new(in_all, at_localhost),
            ..Self::of(in_all, per_address, trusted_proxies)
        }
    }

    fn of(in_all: usize, per_address: usize, trusted_proxies: Networks) -> Self {
        let shares = || Shares::new(in_all, per_address);
        Self { in_all, by_address: shares(), at_localhost: shares(), trusted_proxies }
    }

    /// A place for a connection from this address, and how long it may take for a request's head.
    fn take(&self, address: IpAddr) -> Result<(Option<Share<Client>>, Duration), Full> {
        if self.trusted_proxies.contain(address) {
            return Ok((None, HEADER_READ));
        }
        let address = address.to_canonical();
        let is_localhost = address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST;
        let places = if is_localhost { &self.at_localhost } else { &self.by_address };
        let client = Client::at(address);
        let share = places.take(client, 1)?;
        let is_many = places.held_by(client) > places.per_client() / 2;
        Ok((Some(share), if is_many { HEADER_READ_OF_MANY } else { HEADER_READ }))
    }
}

/// Serves until `shutdown` resolves, then drains: requests and sockets side by side.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    places: Places,
    drain: impl AsyncFnOnce(Duration),
    shutdown: impl Future<Output = ()>,
) {
    let (stopping, stop) = watch::channel(false);
    let in_all = Arc::new(Semaphore::new(places.in_all));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&in_all).acquire_owned().await.expect("the semaphore is never closed");
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
        let (share, header_read) = match places.take(peer.ip()) {
            Ok(taken) => taken,
            Err(full) => {
                Pot::Connections.refused(match full {
                    Full::Yours => By::Client,
                    Full::Everything => By::All,
                });
                // A fresh socket takes so little at once; whoever does not listen is closed without a word.
                if let Ok(mut stream) = stream.into_std() {
                    let _ = stream.write(TOO_MANY);
                }
                continue;
            }
        };
        // Small events must not wait for an acknowledgement. A socket that refuses is already closed.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_read)
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
            drop((share, place));
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpSocket, TcpStream};
    use tokio::sync::oneshot;

    use super::*;

    const PER_ADDRESS: usize = 20;

    /// A server with few places, until the other end is dropped.
    async fn start(trusted: &str) -> (SocketAddr, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route("/", get(async || "here"));
        let places = Places::of(100, PER_ADDRESS, trusted.parse().expect("networks"));
        let (running, stop) = oneshot::channel();
        tokio::spawn(serve(listener, router, places, async |_| {}, async { drop(stop.await) }));
        (address, running)
    }

    async fn connect(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{from}:0").parse().expect("an address")).expect("a loopback address");
        socket.connect(to).await.expect("it listens")
    }

    async fn half_a_head(from: &str, to: SocketAddr) -> TcpStream {
        let mut stream = connect(from, to).await;
        // A refused connection may be closed before it has said a word.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n").await;
        stream
    }

    /// A whole request; its answer's status line.
    async fn ask(from: &str, to: SocketAddr) -> String {
        let mut stream = half_a_head(from, to).await;
        let _ = stream.write_all(b"connection: close\r\n\r\n").await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn an_address_that_holds_many_connections_keeps_nobody_else_out() {
        let (to, _running) = start("").await;
        let began = tokio::time::Instant::now();
        assert_eq!(ask("127.0.0.1", to).await, "HTTP/1.1 200 OK");
        let alone = began.elapsed();
        let mut held = Vec::new();
        for _ in 0..5 * PER_ADDRESS {
            held.push(half_a_head("127.0.0.2", to).await);
        }
        let mut told = String::new();
        let last = held.last_mut().expect("many");
        let _ = tokio::time::timeout(Duration::from_secs(5), last.read_to_string(&mut told)).await;
        assert!(
            told.is_empty() || told.starts_with("HTTP/1.1 429") && told.contains("retry-after: 1"),
            "{told}"
        );
        let began = tokio::time::Instant::now();
        assert_eq!(ask("127.0.0.1", to).await, "HTTP/1.1 200 OK");
        let beside = began.elapsed();
        assert!(beside < Duration::from_secs(2).max(5 * alone), "{beside:?}, alone {alone:?}");
        assert_ne!(ask("127.0.0.2", to).await, "HTTP/1.1 200 OK", "its share is used up");
        drop(held);
        // The places come back as the server sees the connections end.
        for _ in 0..500 {
            if ask("127.0.0.2", to).await == "HTTP/1.1 200 OK" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("places that were given up are free again");
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_more_than_a_share() {
        let (to, _running) = start("127.0.0.3").await;
        let mut held = Vec::new();
        for _ in 0..2 * PER_ADDRESS {
            held.push(half_a_head("127.0.0.3", to).await);
        }
        assert_eq!(ask("127.0.0.3", to).await, "HTTP/1.1 200 OK");
        drop(held);
    }

    #[test]
    fn an_address_with_many_connections_has_less_time_for_a_head() {
        let places = Places::of(100, 4, Networks::default());
        let address = IpAddr::from([192, 0, 2, 1]);
        let held: Vec<_> = (0..4).map(|_| places.take(address).expect("there is room")).collect();
        let times: Vec<Duration> = held.iter().map(|(_, time)| *time).collect();
        assert_eq!(times, [HEADER_READ, HEADER_READ, HEADER_READ_OF_MANY, HEADER_READ_OF_MANY]);
        assert_eq!(places.take(address).err(), Some(Full::Yours));
        assert!(places.take([192, 0, 2, 2].into()).is_ok());
        let told = std::str::from_utf8(TOO_MANY).expect("text");
        let (head, body) = told.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }
}
