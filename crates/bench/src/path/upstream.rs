//! A model's provider on this machine, as lean as a socket allows: OpenAI's stream of [`CHUNKS`] chunks, laid down once.
//!
//! It answers every request with the same bytes and looks at nothing but the length of the body. It runs on a thread of
//! its own, so that what it costs is not mixed with the callers. Deliberately absent: HTTP beyond keep-alive, errors.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Chunks with text in one answer.
pub(crate) const CHUNKS: usize = 20;
/// Between two chunks of a paced answer.
const PACE: Duration = Duration::from_millis(5);
/// A request of the benchmark has a few hundred bytes; more than this is not ours.
const REQUEST_AT_MOST: usize = 1024 * 1024;

/// The text of the chunk of this number, and so of the whole answer.
pub(crate) fn word(number: usize) -> String {
    format!("w{number:02}{}", if number + 1 == CHUNKS { "." } else { " " })
}

/// The running provider. It ends when this is dropped.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    is_paced: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts it on a free port.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let is_paced = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let paced = Arc::clone(&is_paced);
        let thread = std::thread::Builder::new().name("upstream".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    ended = accept(listener, paced) => drop(ended),
                }
            });
        })?;
        Ok(Self { address, is_paced, stop: Some(stop), thread: Some(thread) })
    }

    /// From the next answer on, all chunks go out in one write.
    pub(crate) fn answer_at_once(&self) {
        self.is_paced.store(false, Ordering::Relaxed);
    }

    /// From the next answer on, one chunk goes out each [`PACE`].
    pub(crate) fn answer_paced(&self) {
        self.is_paced.store(true, Ordering::Relaxed);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has already been printed.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: StdListener, is_paced: Arc<AtomicBool>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let script = Arc::new(Script::new());
    loop {
        let (line, _) = listener.accept().await?;
        line.set_nodelay(true)?;
        let (script, is_paced) = (Arc::clone(&script), Arc::clone(&is_paced));
        // A connection that breaks is the caller's failure, and is counted there.
        tokio::spawn(async move { drop(serve(line, &script, &is_paced).await) });
    }
}

async fn serve(mut line: TcpStream, script: &Script, is_paced: &AtomicBool) -> io::Result<()> {
    let mut waiting = Vec::with_capacity(16 * 1024);
    while read_request(&mut line, &mut waiting).await? {
        if !is_paced.load(Ordering::Relaxed) {
            line.write_all(&script.whole).await?;
            continue;
        }
        let mut due = Instant::now();
        for part in &script.parts {
            tokio::time::sleep_until(due).await;
            line.write_all(part).await?;
            due += PACE;
        }
    }
    Ok(())
}

/// Takes one request off the line; `false` when the caller has closed it.
async fn read_request(line: &mut TcpStream, waiting: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        if let Some(length) = request_length(waiting)
            && waiting.len() >= length
        {
            waiting.drain(..length);
            return Ok(true);
        }
        if waiting.len() > REQUEST_AT_MOST || line.read_buf(waiting).await? == 0 {
            return Ok(false);
        }
    }
}

/// Head and body together; `None` while the head is not whole.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = super::answer::header(text, "content-length").and_then(|value| value.parse::<usize>().ok());
    Some(head + length.unwrap_or(0))
}

/// The answer's bytes.
struct Script {
    /// All of it.
    whole: Vec<u8>,
    /// The same, one part for each chunk: the head before the first, the end behind the last.
    parts: Vec<Vec<u8>>,
}

impl Script {
    fn new() -> Self {
        let mut parts: Vec<Vec<u8>> = (0..CHUNKS)
            .map(|number| {
                let word = word(number);
                framed(&chunk(&format!(
                    r#""choices":[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}],"usage":null"#
                )))
            })
            .collect();
        let mut first =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        first.extend_from_slice(&framed(&chunk(
            r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null"#,
        )));
        first.append(&mut parts[0]);
        parts[0] = first;
        let last = &mut parts[CHUNKS - 1];
        last.extend_from_slice(&framed(&chunk(
            r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null"#,
        )));
        last.extend_from_slice(&framed(&chunk(&format!(
            r#""choices":[],"usage":{{"prompt_tokens":100,"completion_tokens":{CHUNKS},"total_tokens":{}}}"#,
            100 + CHUNKS
        ))));
        last.extend_from_slice(&framed("data: [DONE]\n\n"));
        last.extend_from_slice(b"0\r\n\r\n");
        Self { whole: parts.concat(), parts }
    }
}

fn chunk(rest: &str) -> String {
    let head =
        r#""id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench""#;
    format!("data: {{{head},{rest}}}\n\n")
}

/// As one chunk of a chunked body.
fn framed(event: &str) -> Vec<u8> {
    let mut text = String::with_capacity(event.len() + 16);
    write!(text, "{:x}\r\n{event}\r\n", event.len()).expect("writing to a String does not fail");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::answer;

    #[test]
    fn its_own_answer_passes_both_checks() {
        let script = Script::new();
        assert!(
            answer::is_whole(&script.whole) && !answer::is_whole(&script.whole[..script.whole.len() - 1])
        );
        assert_eq!(answer::check(&script.whole), Ok(()));
        assert_eq!(answer::check_every_word(&script.whole), Ok(()));
    }

    #[test]
    fn a_missing_word_is_seen_by_the_thorough_check() {
        let text = String::from_utf8(Script::new().whole).expect("ASCII").replace("w07 ", "w08 ");
        assert!(answer::check_every_word(text.as_bytes()).is_err());
        assert!(answer::check(text.replace("[DONE]", "[----]").as_bytes()).is_err());
    }
}
