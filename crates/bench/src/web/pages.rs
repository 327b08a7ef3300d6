//! Pages from the server: how many a second, how soon, and how large. Read as a browser reads them, without its files.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::figure::Figure;
use crate::path::answer::header;
use crate::path::cpu::ratio;
use crate::summary::percentile;

/// Readers at once, each on one connection that is kept.
const READERS: usize = 16;
/// Of the same load, before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// A page that takes longer has failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// What is promised of a chat's page, in KB of HTML before compression.
const CHAT_AT_MOST_KB: f64 = 15.0;

/// A page, and the most that is promised of its HTML, in KB.
const PAGES: [(&str, Option<f64>); 3] =
    [("/", None), ("/docs", None), ("/chat/demo/1", Some(CHAT_AT_MOST_KB))];

pub(super) async fn measure(address: SocketAddr, seconds: u64) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (path, limit_kb) in PAGES {
        let bytes = Reader::new(address, path).read().await.with_context(|| format!("reading {path}"))?;
        let mut waits_us = read_all(address, path, Duration::from_secs(seconds)).await?;
        let per_second = ratio(u64::try_from(waits_us.len())?, seconds);
        let p99_ms = f64::from(percentile(&mut waits_us, 99.0)) / 1e3;
        figures.push(Figure::plain(format!("{path}, pages a second for {READERS} readers"), per_second));
        figures.push(Figure::plain(format!("{path}, p99 of the same, ms"), p99_ms));
        let (what, kb) = (format!("{path}, HTML, KB"), ratio(u64::try_from(bytes)?, 1_000));
        figures.push(match limit_kb {
            Some(limit) => Figure::at_most(what, kb, limit),
            None => Figure::plain(what, kb),
        });
    }
    Ok(figures)
}

/// Reads one page again and again: how long each took that began after the warm-up, in µs.
async fn read_all(address: SocketAddr, path: &'static str, measured: Duration) -> anyhow::Result<Vec<u32>> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + measured;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(async move {
            let mut reader = Reader::new(address, path);
            let mut waits_us = Vec::new();
            while Instant::now() < end {
                let asked = Instant::now();
                let page = tokio::time::timeout(ANSWER_LIMIT, reader.read());
                page.await.with_context(|| format!("{path}: nothing within {ANSWER_LIMIT:?}"))??;
                if asked >= begin {
                    waits_us.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
            }
            anyhow::Ok(waits_us)
        });
    }
    let mut waits_us = Vec::new();
    while let Some(ended) = readers.join_next().await {
        waits_us.extend(ended??);
    }
    Ok(waits_us)
}

/// One connection that is kept.
struct Reader {
    address: SocketAddr,
    request: String,
    line: Option<TcpStream>,
    bytes: Vec<u8>,
}

impl Reader {
    fn new(address: SocketAddr, path: &str) -> Self {
        let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\n\r\n");
        Self { address, request, line: None, bytes: Vec::new() }
    }

    /// Reads the page; answers the bytes of its HTML.
    async fn read(&mut self) -> anyhow::Result<usize> {
        let mut line = if let Some(line) = self.line.take() {
            line
        } else {
            let line = TcpStream::connect(self.address).await?;
            line.set_nodelay(true)?;
            line
        };
        line.write_all(self.request.as_bytes()).await?;
        self.bytes.clear();
        let body = loop {
            if let Some(body) = whole(&self.bytes)? {
                break body;
            }
            ensure!(line.read_buf(&mut self.bytes).await? > 0, "cut after {} bytes", self.bytes.len());
        };
        self.line = Some(line);
        Ok(body)
    }
}

/// The length of the page's HTML, once all of it is there.
fn whole(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("a head is text")?;
    if !head.starts_with("HTTP/1.1 200") || header(head, "content-type") != Some("text/html; charset=utf-8") {
        bail!("not a page: {head}");
    }
    let length: usize = header(head, "content-length").context("a page has a length")?.parse()?;
    Ok((bytes.len() >= end + 4 + length).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_by_its_length_and_a_refusal_is_no_page() {
        let page =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 4\r\n\r\n<p>!";
        assert_eq!(whole(page).expect("a page"), Some(4));
        assert_eq!(whole(&page[..page.len() - 1]).expect("a page"), None);
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nCont").expect("not yet"), None);
        assert!(whole(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
