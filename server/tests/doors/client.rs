//! A plain HTTP client: one connection per request, nothing hidden.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::house::House;

/// A whole answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.to_vec()).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The events of a stream: name and data.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        events(&self.bytes)
    }
}

pub(crate) fn events(bytes: &[u8]) -> Vec<(String, String)> {
    let mut events = Vec::new();
    types::sse::Reader::new()
        .feed(bytes, |frame| events.push((frame.name.to_owned(), frame.data.to_owned())))
        .expect("small events");
    events
}

/// A request to be sent.
pub(crate) struct Ask<'a> {
    house: &'a House,
    request: hyper::http::request::Builder,
    body: Bytes,
}

impl House {
    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Ask<'_> {
        Ask {
            body: body.to_string().into(),
            ..self.ask("POST", path).header("content-type", "application/json")
        }
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Ask<'_> {
        Ask {
            body: body.to_string().into(),
            ..self.ask("PUT", path).header("content-type", "application/json")
        }
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        Ask { house: self, request, body: Bytes::new() }
    }
}

impl Ask<'_> {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    /// Names another host than the house's.
    pub(crate) fn host(mut self, host: &str) -> Self {
        let headers = self.request.headers_mut().expect("a sound request");
        headers.insert("host", host.parse().expect("a header's value"));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Sends it and returns once the headers are there. Dropping the answer closes the connection.
    pub(crate) async fn open(self) -> Response<Incoming> {
        let stream = TcpStream::connect(self.house.address).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        let request = self.request.body(Full::new(self.body)).expect("a sound request");
        sender.send_request(request).await.expect("an answer")
    }

    pub(crate) async fn send(self) -> Reply {
        let (parts, body) = self.open().await.into_parts();
        let bytes = body.collect().await.expect("a whole answer").to_bytes();
        Reply { status: parts.status, headers: parts.headers, bytes }
    }
}
