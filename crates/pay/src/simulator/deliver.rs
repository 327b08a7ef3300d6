//! Sending one notice: a signed `POST` to this machine, with a deadline, and what came back.
//!
//! What always holds: only loopback addresses are ever called, and none is looked up by name, so nobody can aim the
//! simulator at somebody else. Deliberately absent: TLS (loopback needs none), redirects, keep-alive.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest address that is taken.
const MAX_CALLBACK_CHARS: usize = 1_024;

/// The largest answer that is read. A longer one counts by its status alone.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How much of an answer is kept for the page.
const EXCERPT_CHARS: usize = 240;

/// Where notices go: an `http` address on this machine.
#[derive(Clone, Debug)]
pub(super) struct Callback {
    text: String,
    host: HeaderValue,
    path: Uri,
    /// What the host's name means, in the order to try.
    addresses: Vec<SocketAddr>,
}

impl Callback {
    /// Reads an address; `None` for anything but plain `http` to `127.0.0.0/8`, `[::1]` or `localhost`.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_CALLBACK_CHARS {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let port = authority.port_u16().unwrap_or(80);
        let addresses = loopback(authority.host())?;
        (uri.scheme_str() == Some("http")).then_some(())?;
        Some(Self {
            text: text.to_owned(),
            host: HeaderValue::from_str(authority.as_str()).ok()?,
            path: uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str).parse().ok()?,
            addresses: addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
        })
    }

    /// The address, as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(self.addresses.as_slice()).await
    }
}

/// What a host's name means on this machine; `None` when it is not this machine for certain.
pub(super) fn loopback(host: &str) -> Option<Vec<IpAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address: IpAddr = bare.parse().ok()?;
    address.is_loopback().then(|| vec![address])
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer: its status and the beginning of its text.
    Status(u16, String),
    /// No connection, or it broke.
    Unreachable(String),
    /// No answer in time.
    Late,
}

impl Answer {
    /// Whether it is a 2xx.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Status(200..=299, _))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, _) => {
                let reason = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
                write!(formatter, "{status} {}", reason.unwrap_or_default())
            }
            Self::Unreachable(_) => formatter.write_str("nobody there"),
            Self::Late => formatter.write_str("no answer in time"),
        }
    }
}

/// Sends a notice once.
pub(super) async fn post(to: &Callback, signature: &str, body: String, within: Duration) -> Answer {
    match tokio::time::timeout(within, exchange(to, signature, body)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => Answer::Unreachable(why),
        Err(_) => Answer::Late,
    }
}

async fn exchange(to: &Callback, signature: &str, body: String) -> Result<Answer, String> {
    let stream = to.connect().await.map_err(|error| error.to_string())?;
    let (mut sender, link) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(to.path.clone())
        .header(HOST, to.host.clone())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, "freeside-payment-simulator")
        .header("x-nowpayments-sig", signature)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let conversation = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let text = match Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).chars().take(EXCERPT_CHARS).collect(),
            Err(_) => "(a text too long, or broken off)".to_owned(),
        };
        Ok(Answer::Status(status, text))
    };
    // The link is driven here, not by a task of its own: when this future goes, so does the connection.
    let mut link = std::pin::pin!(link);
    let mut conversation = std::pin::pin!(conversation);
    tokio::select! {
        answer = &mut conversation => answer,
        _ = &mut link => conversation.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_called() {
        for good in [
            "http://127.0.0.1:3000/api/crypto/webhook",
            "http://127.1.2.3/",
            "http://localhost:1",
            "http://[::1]:3000/a?b=c",
        ] {
            assert!(Callback::read(good).is_some(), "{good}");
        }
        for bad in [
            "https://127.0.0.1/",
            "http://example.com/",
            "http://10.0.0.1/",
            "http://0.0.0.0/",
            "http://169.254.169.254/",
            "http://localhost.example.com/",
            "http://127.0.0.1@example.com/",
            "http://user@127.0.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "http://2130706433/",
            "ftp://127.0.0.1/",
            "/api/crypto/webhook",
            "",
        ] {
            assert!(Callback::read(bad).is_none(), "{bad}");
        }
    }
}
