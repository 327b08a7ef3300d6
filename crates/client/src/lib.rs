//! The HTTP/1.1 client of the hot path, to finn and to providers: keep-alive links, `TCP_NODELAY`, TLS by rustls on ring.
//!
//! A link is driven by whoever uses it, in the same task: no hand-over between tasks for each chunk, all that one
//! network read brought is there at once, and dropping a half-read answer closes the connection there and then.
//! What is deliberately absent: redirects (a provider that moves is a setting to change), proxies, cookies,
//! decompression, and retries (freeside retries the engine).

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tower_service::Service;

/// TCP and TLS together (SPEC §4).
const CONNECT_SECONDS: u64 = 5;
/// Idle links kept for one origin; a burst above it opens new ones.
const MAX_IDLE_PER_ORIGIN: usize = 256;
/// A connection that nobody needed for so long is closed when the next one comes back.
const MAX_IDLE: Duration = Duration::from_mins(1);
/// Origins come from configuration, so they are few; a bound all the same.
const MAX_ORIGINS: usize = 64;
/// What a pipe holds before its writer waits: a burst of events, as a socket's buffer would.
const PIPE_BYTES: usize = 64 * 1024;
/// A response head larger than this is no answer of an API.
const MAX_READ_BUFFER_BYTES: usize = 64 * 1024;

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection in time, or it was refused.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke before the answer's head.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The address is not one.
    #[error("the address is not an http(s) URL")]
    Address,
}

type Link = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// One keep-alive connection: its sending half and the future that moves its bytes.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    link: Link,
}

/// Connections at rest by origin, the oldest in front, each with the time it came back.
type Idle = HashMap<String, VecDeque<(Instant, Connection)>>;

/// The client; clones share the idle connections.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    way: Way,
    idle: Mutex<Idle>,
}

/// How a connection comes about.
enum Way {
    Network(Box<HttpsConnector<HttpConnector>>),
    /// The other end goes to a server of this process.
    Pipe(mpsc::UnboundedSender<DuplexStream>),
}

/// Where a server of this process finds the other ends of a client's pipes.
pub type Pipes = mpsc::UnboundedReceiver<DuplexStream>;

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client that trusts Mozilla's roots.
    #[must_use]
    pub fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(Duration::from_secs(CONNECT_SECONDS)));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("ring speaks the protocol versions that rustls calls safe")
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self::over(Way::Network(Box::new(connector)))
    }

    /// A client whose every address is the server that takes the pipes: the same requests, headers and streams, without
    /// the kernel's two system calls and a wake-up for each small event.
    #[must_use]
    pub fn piped() -> (Self, Pipes) {
        let (sender, pipes) = mpsc::unbounded_channel();
        (Self::over(Way::Pipe(sender)), pipes)
    }

    fn over(way: Way) -> Self {
        Self(Arc::new(Shared { way, idle: Mutex::default() }))
    }

    /// Sends a request with an absolute address; resolves with the answer's head.
    ///
    /// Dropping the future closes the connection. There is no time limit here but that of connecting.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Answer>, HttpError> {
        let uri = std::mem::take(request.uri_mut());
        let origin = origin(&uri).ok_or(HttpError::Address)?;
        let host = uri.authority().map(hyper::http::uri::Authority::as_str).ok_or(HttpError::Address)?;
        let host = HeaderValue::from_str(host).map_err(|_| HttpError::Address)?;
        request.headers_mut().insert(HOST, host);
        // HTTP/1.1 to an origin server names the path alone.
        let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        *request.uri_mut() = path.parse().map_err(|_| HttpError::Address)?;
        let mut connection = match self.take_idle(&origin).await {
            Some(connection) => connection,
            None => self.connect(&uri).await?,
        };
        let response = connection.exchange(request).await?;
        let (head, body) = response.into_parts();
        let answer = Answer { body, home: Some((connection, origin)), client: self.clone() };
        Ok(Response::from_parts(head, answer))
    }

    /// An idle connection that is still open, the youngest first: it is the likeliest to be alive.
    async fn take_idle(&self, origin: &str) -> Option<Connection> {
        loop {
            let (_, mut connection) = self.idle().get_mut(origin)?.pop_back()?;
            // One poll reads what the peer did meanwhile: a close that arrived is seen here, not by the request.
            let closed =
                poll_fn(|context| Poll::Ready(connection.link.as_mut().poll(context).is_ready())).await;
            if !closed && connection.sender.is_ready() {
                return Some(connection);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, connection: Connection, origin: String) {
        let mut idle = self.idle();
        if idle.len() >= MAX_ORIGINS && !idle.contains_key(&origin) {
            return;
        }
        let stack = idle.entry(origin).or_default();
        while stack.front().is_some_and(|(since, _)| since.elapsed() > MAX_IDLE) {
            stack.pop_front();
        }
        if stack.len() < MAX_IDLE_PER_ORIGIN {
            stack.push_back((Instant::now(), connection));
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Connection, HttpError> {
        match &self.0.way {
            Way::Network(connector) => {
                let mut connector = connector.clone();
                let dial = async {
                    poll_fn(|context| connector.poll_ready(context)).await?;
                    connector.call(uri.clone()).await
                };
                let stream = tokio::time::timeout(Duration::from_secs(CONNECT_SECONDS), dial)
                    .await
                    .map_err(|_| HttpError::Connect("time-out".to_owned()))?
                    .map_err(|error| HttpError::Connect(error.to_string()))?;
                Connection::over(stream).await
            }
            Way::Pipe(sender) => {
                let (near, far) = tokio::io::duplex(PIPE_BYTES);
                sender.send(far).map_err(|_| HttpError::Connect("the server has stopped".to_owned()))?;
                Connection::over(TokioIo::new(near)).await
            }
        }
    }
}

/// Scheme and authority, the key of an idle connection.
fn origin(uri: &Uri) -> Option<String> {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => Some(format!("{scheme}://{authority}")),
        _ => None,
    }
}

impl Connection {
    async fn over<I>(stream: I) -> Result<Self, HttpError>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, link) =
            http1::Builder::new().max_buf_size(MAX_READ_BUFFER_BYTES).handshake(stream).await?;
        Ok(Self { sender, link: Box::pin(link) })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        let mut reply = std::pin::pin!(self.sender.send_request(request));
        let link = &mut self.link;
        let mut ended = false;
        poll_fn(|context| {
            loop {
                if let Poll::Ready(reply) = reply.as_mut().poll(context) {
                    return Poll::Ready(reply.map_err(HttpError::from));
                }
                if ended {
                    return Poll::Pending;
                }
                match link.as_mut().poll(context) {
                    // The end of the link resolves the reply, one way or the other: look once more.
                    Poll::Ready(_) => ended = true,
                    Poll::Pending => {
                        return reply.as_mut().poll(context).map_err(HttpError::from);
                    }
                }
            }
        })
        .await
    }
}

/// An answer's body. Read to its end, the connection goes back to the idle ones; dropped before, it closes.
pub struct Answer {
    body: Incoming,
    home: Option<(Connection, String)>,
    client: Client,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(this.note_end(frame));
        }
        // The body is empty: let the link read, then look again.
        if let Some((connection, _)) = &mut this.home
            && connection.link.as_mut().poll(context).is_ready()
        {
            this.home = None;
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(this.note_end(frame)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Answer {
    fn note_end(
        &mut self,
        frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        match &frame {
            None => {
                if let Some((connection, origin)) = self.home.take()
                    && !connection.sender.is_closed()
                {
                    self.client.give_back(connection, origin);
                }
            }
            Some(Err(_)) => self.home = None,
            Some(Ok(_)) => {}
        }
        frame
    }
}

/// Reads a whole body of at most `limit` bytes; `None` when it is longer or breaks off.
pub async fn read_all(answer: Answer, limit: usize) -> Option<Bytes> {
    use http_body_util::BodyExt as _;
    let collected = http_body_util::Limited::new(answer, limit).collect().await.ok()?;
    Some(collected.to_bytes())
}
