//! A provider that plays a script to each request: both dialects, over real connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a script's last part does to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The body ends as HTTP wants it.
    Well,
    /// The connection breaks in the body.
    Cut,
}

/// What is sent for one request.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    /// Events, each with the pause before it.
    pub(crate) parts: Vec<(Duration, String)>,
    pub(crate) close: Close,
}

/// The provider.
#[derive(Clone)]
pub(crate) struct Vendor {
    pub(crate) address: SocketAddr,
    plays: Arc<Mutex<HashMap<u64, Play>>>,
}

/// In the question, before the number of the play that answers it.
pub(crate) const MARK: &str = "sequence number ";

impl Vendor {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let vendor = Self { address: listener.local_addr().expect("bound"), plays: Arc::default() };
        let own = vendor.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).expect("a fresh socket");
                let own = own.clone();
                // A caller who leaves breaks the connection: that is part of the play.
                tokio::spawn(async move { drop(own.serve(socket).await) });
            }
        });
        vendor
    }

    pub(crate) fn expect(&self, number: u64, play: Play) {
        self.plays.lock().expect("no panic in here").insert(number, play);
    }

    pub(crate) fn forget(&self, number: u64) {
        self.plays.lock().expect("no panic in here").remove(&number);
    }

    async fn serve(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let mut waiting = Vec::new();
        while let Some(body) = read_request(&mut socket, &mut waiting).await? {
            let number = body.split(MARK).nth(1).and_then(|rest| {
                rest.split(|character: char| !character.is_ascii_digit()).next()?.parse::<u64>().ok()
            });
            let number = number.expect("every question names its play");
            let play = self.plays.lock().expect("no panic in here").get(&number).cloned();
            let play = play.unwrap_or_else(|| panic!("nobody expected sequence {number}"));
            socket
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                )
                .await?;
            for (pause, part) in &play.parts {
                if !pause.is_zero() {
                    tokio::time::sleep(*pause).await;
                }
                socket.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).await?;
            }
            if play.close == Close::Cut {
                return Ok(());
            }
            socket.write_all(b"0\r\n\r\n").await?;
        }
        Ok(())
    }
}

/// The body of the next request; `None` when the connection has ended.
async fn read_request(socket: &mut TcpStream, waiting: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    loop {
        if let Some(head) = waiting.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&waiting[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("a length");
            if waiting.len() >= head + 4 + length {
                let body = waiting[head + 4..head + 4 + length].to_vec();
                waiting.drain(..head + 4 + length);
                return Ok(Some(String::from_utf8(body).expect("JSON is UTF-8")));
            }
        }
        if socket.read_buf(waiting).await? == 0 {
            return Ok(None);
        }
    }
}
