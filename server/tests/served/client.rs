//! A plain HTTP client that hides nothing: one connection per request, and leaving means closing it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use types::sse::Reader;

/// Whoever waits longer waits for something that does not come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| panic!("{} is no JSON: {}", self.status, self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The data of each event of a stream.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut events = Vec::new();
        Reader::new()
            .feed(self.text.as_bytes(), |frame| events.push(frame.data.to_owned()))
            .expect("small events");
        events
    }

    /// The event that carries our receipt, and the receipt's figure.
    pub(crate) fn cost(&self) -> i64 {
        let of = |value: &Value| {
            let figure = value["x_freeside"]["cost_micro"].as_str().or(value["cost_micro"].as_str());
            figure.map(|text| text.parse().expect("an integer"))
        };
        let whole = serde_json::from_str(&self.text).ok().and_then(|value| of(&value));
        let streamed = || self.events().iter().find_map(|data| of(&serde_json::from_str(data).ok()?));
        whole.or_else(streamed).unwrap_or_else(|| panic!("no receipt in {}", self.text))
    }
}

/// A caller: an address and a key.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) to: SocketAddr,
    pub(crate) key: String,
}

/// A question in OpenAI's shape, streamed.
pub(crate) fn question(text: &str, max_tokens: u32) -> Value {
    json!({
        "model": "cheap", "stream": true, "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": text}],
    })
}

impl Client {
    pub(crate) fn new(to: SocketAddr, key: &str) -> Self {
        Self { to, key: key.to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Bytes::new(), &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, body.to_string().into(), &[]).await
    }

    /// Asks and reads to the end.
    pub(crate) async fn ask(&self, body: &Value) -> Reply {
        self.post("/v1/chat/completions", body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Reply {
        self.try_send(method, path, body, headers).await.expect("it answers")
    }

    /// The same; an error when the connection breaks.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Reply> {
        let (response, line) = self.open_any(method, path, body, headers).await?;
        let (head, body) = response.into_parts();
        let bytes = tokio::time::timeout(PATIENCE, body.collect()).await.expect("it goes on")?.to_bytes();
        drop(line);
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, text })
    }

    /// Opens a streamed answer; the error of a connection that breaks before its head.
    pub(crate) async fn open(&self, body: &Value) -> anyhow::Result<Stream> {
        self.open_at("/v1/chat/completions", body).await
    }

    pub(crate) async fn open_at(&self, path: &str, body: &Value) -> anyhow::Result<Stream> {
        let (response, line) = self.open_any("POST", path, body.to_string().into(), &[]).await?;
        let (head, body) = response.into_parts();
        let id = head.headers.get("x-budget-reservation-id").map(|id| id.to_str().expect("text").to_owned());
        let id = id.unwrap_or_default();
        Ok(Stream {
            status: head.status.as_u16(),
            id,
            body,
            reader: Reader::new(),
            ready: Vec::new().into_iter(),
            _line: line,
        })
    }

    async fn open_any(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<(Response<Incoming>, Line)> {
        let socket = TcpStream::connect(self.to).await?;
        socket.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let line = Line(tokio::spawn(async move { drop(connection.await) }));
        let mut request = Request::builder().method(method).uri(path).header("host", "test");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        if !self.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a sound request");
        let response =
            tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("it answers");
        Ok((response?, line))
    }
}

/// A connection, closed on drop.
#[derive(Debug)]
struct Line(JoinHandle<()>);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer that comes in pieces. Dropping it closes the connection: the client leaves.
pub(crate) struct Stream {
    pub(crate) status: u16,
    /// The reservation that pays.
    pub(crate) id: String,
    body: Incoming,
    reader: Reader,
    ready: std::vec::IntoIter<String>,
    _line: Line,
}

impl Stream {
    /// The data of the next event; `None` when the stream ended or broke.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.next() {
                return Some(data);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("it goes on");
            let Ok(data) = frame?.ok()?.into_data() else { continue };
            let mut events = Vec::new();
            self.reader.feed(&data, |frame| events.push(frame.data.to_owned())).expect("small events");
            self.ready = events.into_iter();
        }
    }

    /// Reads the next piece of the answer's text; `None` at the end of the text.
    pub(crate) async fn text(&mut self) -> Option<String> {
        while let Some(data) = self.next().await {
            let Ok(event) = serde_json::from_str::<Value>(&data) else { return None };
            match event["choices"][0]["delta"]["content"].as_str() {
                Some("") | None => {}
                Some(text) => return Some(text.to_owned()),
            }
        }
        None
    }

    /// Reads to the end; the data of every event that still came.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(data) = self.next().await {
            events.push(data);
        }
        events
    }
}

/// Whether the last word came: what `[DONE]` says is paid.
pub(crate) fn is_acknowledged(events: &[String]) -> bool {
    events.last().is_some_and(|data| data == "[DONE]")
}
