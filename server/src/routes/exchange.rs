//! What every exchange has: an id, the client's address, the headers that no answer goes without, a counter.
//!
//! CORS: any origin may call `/v1/*`, without credentials. A key in a browser is the caller's own choice (a local
//! tool, a playground), and those addresses never look at cookies, so an open origin gives a page nothing that its
//! user did not type in. `/api/*` stays same-origin, because sessions will live there.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ::limits::Client;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::fault::Fault;
use super::{App, limits};
use crate::config::Networks;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Anthropic's name for the same id.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who asks, as far as the connection tells.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The request's id in every log line and answer.
    pub id: Arc<str>,
    /// The client's address: the peer, or what a trusted proxy says.
    pub ip: IpAddr,
    /// The peer is this machine and speaks for nobody else. Never true behind a trusted proxy: a proxy on this machine
    /// that forgets to say whom it speaks for would make everybody the operator.
    pub local: bool,
}

impl Asked {
    /// The client, as long as nothing but its address is known.
    pub(crate) fn client(&self) -> Client {
        Client::at(self.ip)
    }
}

/// The client's address. Read from the right: the last entry that no trusted proxy wrote is the client.
fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines: Vec<&HeaderValue> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    for line in lines.into_iter().rev() {
        for entry in line.to_str().unwrap_or_default().rsplit(',') {
            if !trusted.contain(client) {
                return client;
            }
            let Ok(address) = entry.trim().parse::<IpAddr>() else { return client };
            client = address.to_canonical();
        }
    }
    client
}

/// Whether the request says once, and well, for which host it is (RFC 9112, 3.2). HTTP/1.0 may leave it out.
///
/// Two answers to "which host?" are how a proxy and this server come to disagree about one request.
fn has_one_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => {
            let host = host.as_bytes();
            !host.contains(&b'@') && Authority::try_from(host).is_ok()
        }
        (Some(_), Some(_)) => false,
    }
}

fn sane(id: &HeaderValue) -> Option<&str> {
    let id = id.to_str().ok()?;
    let fits = !id.is_empty() && id.len() <= limits::REQUEST_ID_BYTES;
    (fits && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))).then_some(id)
}

/// Wraps every route: makes the [`Asked`], answers preflights, and finishes the answer's headers.
pub(crate) async fn frame(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let headers = request.headers();
    let forwarded = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(header::FORWARDED);
    // A server that forgot to say who its peer is gets an address that nothing trusts.
    let ip = client_ip(peer.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), headers, &app.trusted_proxies);
    let id: Arc<str> = match headers.get(X_REQUEST_ID).and_then(sane) {
        Some(id) => id.into(),
        None => format!("req_{}", app.ctx.clock.uuid_v7().simple()).into(),
    };
    let vendor = request.uri().path().starts_with("/v1/");
    let from_page = vendor && headers.contains_key(header::ORIGIN);
    let path = request.extensions().get::<MatchedPath>().cloned();
    let is_behind_proxy = !app.trusted_proxies.0.is_empty();
    let local = peer.is_some_and(|peer| peer.is_loopback()) && !forwarded && !is_behind_proxy;
    let asked = Asked { id: id.clone(), ip, local };
    request.extensions_mut().insert(asked.clone());

    let preflight = vendor
        && request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if !has_one_host(request.version(), request.headers()) {
        let message = "The request needs one Host header that names a host (RFC 9112, 3.2).".to_owned();
        let fault = Fault::Unreadable { message };
        super::in_dialect(fault, request.uri().path(), request.headers(), &asked)
    } else if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };

    let status = response.status();
    let headers = response.headers_mut();
    if vendor {
        headers.insert(REQUEST_ID, text(&id));
    }
    headers.insert(X_REQUEST_ID, text(&id));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if from_page {
        allow_any_origin(headers, preflight);
    }
    let path = path.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    tracing::debug!(request_id = id.as_ref(), path, status = status.as_u16(), "answered");
    metrics::counter!("freeside_http_requests_total", "path" => path, "status" => class(status)).increment(1);
    response
}

fn allow_any_origin(headers: &mut HeaderMap, preflight: bool) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        // The star does not stand for Authorization (Fetch, "CORS non-wildcard request-header name").
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, *"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        402 => "402",
        429 => "429",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// A header value; text that HTTP cannot carry becomes empty rather than an error.
pub(crate) fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_for_the_hop_before_it() {
        let trusted: Networks = "127.0.0.1, 10.0.0.0/8".parse().expect("two networks");
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("6.6.6.6, 1.2.3.4, 10.0.0.9"));
        assert_eq!(client_ip(ip("127.0.0.1"), &headers, &trusted), ip("1.2.3.4"));
        assert_eq!(client_ip(ip("9.9.9.9"), &headers, &trusted), ip("9.9.9.9"));
        assert_eq!(client_ip(ip("127.0.0.1"), &headers, &Networks::default()), ip("127.0.0.1"));
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("nonsense"));
        assert_eq!(client_ip(ip("127.0.0.1"), &headers, &trusted), ip("127.0.0.1"));
    }

    #[test]
    fn a_request_names_one_host() {
        let hosts = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::HOST, HeaderValue::from_static(value));
            }
            headers
        };
        for good in ["a.example", "a_b.example:8080", "[::1]:3000", "127.0.0.1"] {
            assert!(has_one_host(Version::HTTP_11, &hosts(&[good])), "{good}");
        }
        for bad in ["", "a b", "me@a.example", "a.example, b.example", "a.example/x"] {
            assert!(!has_one_host(Version::HTTP_11, &hosts(&[bad])), "{bad}");
        }
        assert!(!has_one_host(Version::HTTP_11, &hosts(&[])));
        assert!(has_one_host(Version::HTTP_10, &hosts(&[])), "it came with 1.1");
        assert!(!has_one_host(Version::HTTP_10, &hosts(&["a", "a"])));
    }

    #[test]
    fn a_clients_request_id_is_taken_when_it_is_sane() {
        assert_eq!(sane(&HeaderValue::from_static("a-Z_09")), Some("a-Z_09"));
        for bad in ["", "a b", "a\"b", "x/y"] {
            assert_eq!(sane(&HeaderValue::from_static(bad)), None, "{bad}");
        }
        assert_eq!(sane(&text(&"x".repeat(65))), None);
    }
}
