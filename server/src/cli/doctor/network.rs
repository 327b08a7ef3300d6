//! Ports of our own, and the services beside us.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{Check, PATIENCE};
use crate::config::{Settings, local_url};

/// `/health` answers with a few dozen bytes; whatever sends more is not a Freeside.
const HEALTH_MAX_BYTES: usize = 4 * 1024;

/// Free, or taken by a healthy Freeside.
pub(super) async fn port(name: &str, variable: &str, address: SocketAddr) -> Check {
    match TcpListener::bind(address).await {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            if let Some(version) = version_at(address).await {
                return Check::ok(name, format!("a healthy Freeside {version} answers at {address}"));
            }
            let next = format!("Stop the program that listens there, or choose another port in {variable}.");
            Check::fail(name, format!("{address} is taken by another program"), next)
        }
        Err(error) => {
            let next = format!("Choose an address of this machine in {variable}.");
            Check::fail(name, format!("{address}: {}", error.kind()), next)
        }
    }
}

/// The version that `/health` names, when what answers there is healthy and one of ours.
async fn version_at(address: SocketAddr) -> Option<String> {
    let uri = format!("{}/health", local_url(address)).parse().ok()?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let ask = async {
        let answer = client.get(uri).await.ok().filter(|answer| answer.status() == StatusCode::OK)?;
        Limited::new(answer.into_body(), HEALTH_MAX_BYTES).collect().await.ok()
    };
    let body = timeout(PATIENCE, ask).await.ok()??.to_bytes();
    let health: serde_json::Value = serde_json::from_slice(&body).ok()?;
    let version = health["version"].as_str().filter(|_| health["status"] == "ok")?;
    Some(version.to_owned())
}

pub(super) async fn redis(settings: &Settings) -> Check {
    const NAME: &str = "Redis";
    const NEXT: &str = "Look at REDIS_URL. Freeside runs on without it, with limits of each process's own.";
    let Some(url) = &settings.redis_url else {
        return Check::ok(NAME, "not configured; each process keeps its own replay set");
    };
    let ping = async {
        let mut connection = ::redis::Client::open(url.reveal())?.get_multiplexed_async_connection().await?;
        ::redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match timeout(PATIENCE, ping).await {
        Ok(Ok(_)) => Check::ok(NAME, "answers"),
        // The category alone: the driver's whole message may repeat the address.
        Ok(Err(error)) => Check::warn(NAME, format!("not reachable: {}", error.category()), NEXT),
        Err(_) => Check::warn(NAME, "no answer within 5 seconds", NEXT),
    }
}

pub(super) async fn nats(settings: &Settings) -> Check {
    const NAME: &str = "NATS";
    const NEXT: &str =
        "Look at NATS_URL. Freeside runs on without it; usage then comes with the answer alone.";
    let Some(servers) = &settings.nats_url else {
        return Check::ok(NAME, "not configured; usage comes with the answer");
    };
    let servers: Vec<&str> = servers.reveal().split(',').map(str::trim).collect();
    match timeout(PATIENCE, async_nats::connect(servers.as_slice())).await {
        Ok(Ok(_)) => Check::ok(NAME, "answers"),
        Ok(Err(error)) => Check::warn(NAME, format!("not reachable: {}", error.kind()), NEXT),
        Err(_) => Check::warn(NAME, "no answer within 5 seconds", NEXT),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::Outcome;
    use super::*;

    /// A listener that answers every request with `answer`.
    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0; 1024];
                if socket.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                    // The client checks what arrives; a lost connection shows there.
                    let _ = socket.write_all(head.as_bytes()).await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_port_is_free_ours_or_taken() {
        let ours = answering(r#"{"status":"ok","version":"9.9.9"}"#).await;
        let check = port("gateway port", "FREESIDE_LISTEN", ours).await;
        assert_eq!((check.outcome, check.detail.contains("Freeside 9.9.9")), (Outcome::Ok, true));
        let other = answering("hello").await;
        let check = port("gateway port", "FREESIDE_LISTEN", other).await;
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.next.is_some_and(|next| next.contains("FREESIDE_LISTEN")));
        let free = port("gateway port", "FREESIDE_LISTEN", "127.0.0.1:0".parse().expect("an address")).await;
        assert_eq!(free.outcome, Outcome::Ok);
    }
}
