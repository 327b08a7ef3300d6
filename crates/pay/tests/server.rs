//! A server on a real socket that answers by a list, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What to do with the next request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, further header lines (each with its line end) and the body; the connection stays open.
    Answer(u16, &'static str, String),
    /// Close without a word.
    Cut,
    /// A head that promises more than follows.
    CutInside,
    /// Say nothing and keep the connection.
    Stall,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers with `replies` in turn; what comes after them is cut.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, asked: asked.clone() };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, replies.clone(), asked.clone()));
            }
        });
        server
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

pub(crate) fn ok(body: impl Into<String>) -> Reply {
    Reply::Answer(200, "", body.into())
}

async fn serve(mut socket: TcpStream, replies: Arc<Mutex<VecDeque<Reply>>>, asked: Arc<Mutex<Vec<Asked>>>) {
    while let Some(request) = read(&mut socket).await {
        asked.lock().unwrap().push(request);
        let reply = replies.lock().unwrap().pop_front().unwrap_or(Reply::Cut);
        match reply {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n{headers}\r\n");
                // A client that reads no further than it must closes before the end: its right.
                let _ = socket.write_all(head.as_bytes()).await;
                let _ = socket.write_all(body.as_bytes()).await;
            }
            Reply::Cut => return,
            Reply::CutInside => {
                let _ =
                    socket.write_all(b"HTTP/1.1 200 Said\r\ncontent-length: 100\r\n\r\n{\"message\":").await;
                return;
            }
            Reply::Stall => {
                // Until the client leaves.
                let _ = socket.read(&mut [0]).await;
                return;
            }
        }
    }
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
            let length = headers.lines().find_map(|header| header.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(Asked { line: line.into(), headers: headers.into(), body: body.into() });
            }
        }
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
