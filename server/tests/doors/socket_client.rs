//! A socket's other end: a person with a wallet, who can be cut off at any byte.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use identity::Session;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use types::WalletId;

use crate::house::House;

/// How long a frame may take on a machine that compiles beside it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection that breaks, with a reset, after so many bytes were read.
pub(crate) struct Brittle {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Brittle {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        let mut part = buffer.take(this.left);
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
        let read = part.filled().to_vec();
        buffer.put_slice(&read);
        this.left -= read.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Brittle {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// What comes next on a socket.
#[derive(Debug)]
pub(crate) enum Next {
    /// A frame's type and payload.
    Frame(String, Value),
    /// The server closed it.
    Closed(u16),
    /// The connection broke.
    Broken,
}

/// An open socket.
pub(crate) struct Socket(WebSocketStream<Brittle>);

impl House {
    /// Signs a wallet in.
    pub(crate) async fn signed_in(&self, wallet: WalletId) -> (std::sync::Arc<Session>, String) {
        let origin = format!("http://{}", self.address);
        let opened = self.sign_in.sessions.open(wallet, &origin, "a test").await.expect("opened");
        (opened.session, opened.token.reveal().to_owned())
    }

    /// Opens a socket as a page of ours would, from this address of the outside world.
    pub(crate) async fn socket(&self, token_id: &str, from: &str) -> Result<Socket, Error> {
        self.brittle_socket(token_id, from, usize::MAX).await
    }

    /// One that breaks after so many bytes.
    pub(crate) async fn brittle_socket(
        &self,
        token_id: &str,
        from: &str,
        bytes: usize,
    ) -> Result<Socket, Error> {
        self.raw_socket(token_id, from, Some(&format!("http://{}", self.address)), bytes).await
    }

    /// One with any origin.
    pub(crate) async fn raw_socket(
        &self,
        token_id: &str,
        from: &str,
        origin: Option<&str>,
        bytes: usize,
    ) -> Result<Socket, Error> {
        let url = format!("ws://{}/ws/chat?tokenId={token_id}", self.address);
        let mut request = url.into_client_request().expect("a sound address");
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", from.parse().expect("a header"));
        if let Some(origin) = origin {
            let origin = hyper::header::HeaderValue::from_bytes(origin.as_bytes());
            headers.insert("origin", origin.expect("HTTP can carry it"));
        }
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.set_nodelay(true).expect("a fresh socket");
        stream.set_zero_linger().expect("a fresh socket"); // leaving is a reset, not a farewell
        let brittle = Brittle { stream, left: bytes };
        let (socket, _) = tokio_tungstenite::client_async(request, brittle).await?;
        Ok(Socket(socket))
    }

    /// A socket that a session has signed in to.
    pub(crate) async fn speaking(&self, token_id: &str, from: &str, session: &Session) -> Socket {
        let mut socket = self.socket(token_id, from).await.expect("opened");
        assert_eq!(socket.frame("welcome").await["authenticated"], false);
        socket.authenticate(self, session).await;
        assert_eq!(socket.frame("welcome").await["readOnly"], false);
        socket
    }
}

impl Socket {
    pub(crate) async fn send(&mut self, kind: &str, payload: &Value) -> Result<(), Error> {
        let text = json!({"type": kind, "payload": payload}).to_string();
        self.0.send(Message::text(text)).await
    }

    pub(crate) async fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.0.send(Message::text(text)).await
    }

    pub(crate) async fn authenticate(&mut self, house: &House, session: &Session) {
        let ticket = house.tickets.issue(session).await.expect("a ticket");
        let _ = self.send("auth", &json!({"ticket": ticket.reveal()})).await;
    }

    pub(crate) async fn next(&mut self) -> Next {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let mut frame: Value = serde_json::from_str(text.as_str()).expect("frames are JSON");
                    let kind = frame["type"].as_str().expect("frames have a type").to_owned();
                    return Next::Frame(kind, frame["payload"].take());
                }
                Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => return Next::Closed(code.into()),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Next::Broken,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {}
            }
        }
    }

    /// The payload of the next frame, which has to be of this type.
    pub(crate) async fn frame(&mut self, wanted: &str) -> Value {
        match self.next().await {
            Next::Frame(kind, payload) if kind == wanted => payload,
            other => panic!("{wanted} was expected: {other:?}"),
        }
    }

    /// The code of the error that has to come next.
    pub(crate) async fn error(&mut self) -> String {
        self.frame("error").await["code"].as_str().expect("errors have a code").to_owned()
    }

    /// The close code that has to come next.
    pub(crate) async fn closed(&mut self) -> u16 {
        match self.next().await {
            Next::Closed(code) => code,
            other => panic!("a close was expected: {other:?}"),
        }
    }

    /// Reads an answer to its last frame: the frames in order.
    pub(crate) async fn answer(&mut self) -> Vec<(String, Value)> {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Next::Frame(kind, payload) => {
                    let is_last = kind == "stream_end" || kind == "error";
                    frames.push((kind, payload));
                    if is_last {
                        return frames;
                    }
                }
                other => panic!("an answer was expected to go on: {other:?}; {frames:?}"),
            }
        }
    }
}

/// The text of an answer.
pub(crate) fn text(frames: &[(String, Value)]) -> String {
    let tokens = frames.iter().filter(|(kind, _)| kind == "stream_token");
    tokens.map(|(_, payload)| payload["content"].as_str().expect("tokens have content")).collect()
}
