//! Idle sockets of the chat: what they cost in memory, and how long those that speak wait while the others are silent.
//!
//! A socket is a bare TCP stream with frames by hand: no buffers on this side, so that ten thousand fit beside the process
//! that is measured. An address has ten seats, so they come from many, behind a proxy that the service trusts.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Target;
use crate::figure::Figure;
use crate::path::cpu::{ratio, resident_kib};
use crate::summary::percentile;

/// Promised for 10,000 of them: what the process grows by, in MB, and how long a ping waits, in ms, 99 of 100.
const GROWTH_AT_MOST_MB: f64 = 350.0;
const P99_AT_MOST_MS: f64 = 50.0;
const PROMISED_FOR: usize = 10_000;
/// Sockets of one address (SPEC §8).
const PER_ADDRESS: usize = 10;
/// Opened at a time: fast, and far below the queue of a listening socket.
const AT_ONCE: usize = 64;
/// One socket in so many speaks each second: 1 % activity.
const SPEAKS: usize = 100;
/// Files of this process beside the sockets.
const FILES: u64 = 256;
/// A pong that takes longer has failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const PING: &[u8] = br#"{"type":"ping"}"#;

pub(super) async fn measure(target: Target, count: usize, seconds: u64) -> anyhow::Result<Vec<Figure>> {
    ensure!(count >= SPEAKS, "at least {SPEAKS} sockets: one in {SPEAKS} speaks each second");
    raise_limit(count)?;
    let (before, _) = resident_kib(target.pid)?;
    let began = Instant::now();
    let sockets: Vec<TcpStream> = stream::iter(0..count)
        .map(|number| open(target.address, number))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let took = began.elapsed();
    let (opened, _) = resident_kib(target.pid)?;
    let mut waits_us = speak(sockets, seconds).await?;
    let (after, _) = resident_kib(target.pid)?;
    let grown = opened.max(after).saturating_sub(before) * 1_024;

    // The promises speak of ten thousand; fewer say nothing about them.
    let at_most = |what: String, value, limit| {
        if count >= PROMISED_FOR { Figure::at_most(what, value, limit) } else { Figure::plain(what, value) }
    };
    let mut ms = |percent| f64::from(percentile(&mut waits_us, percent)) / 1e3;
    let (p50, p99) = (ms(50.0), ms(99.0));
    let waits = format!("ping to pong, 1 % of {count} sockets speaking each second");
    Ok(vec![
        at_most(format!("{count} idle sockets, more memory, MB"), ratio(grown, 1_000_000), GROWTH_AT_MOST_MB),
        Figure::plain("one idle socket, bytes", ratio(grown, u64::try_from(count)?)),
        Figure::plain(format!("opening {count} sockets, s"), took.as_secs_f64()),
        Figure::plain(format!("{waits}, p50, ms"), p50),
        at_most(format!("{waits}, p99, ms"), p99, P99_AT_MOST_MS),
    ])
}

/// So many files may be open here.
fn raise_limit(count: usize) -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = u64::try_from(count)? + FILES;
    ensure!(
        wanted <= hard,
        "{count} sockets take {wanted} open files, and only {hard} are allowed: ulimit -Hn"
    );
    Ok(setrlimit(Resource::RLIMIT_NOFILE, wanted.max(1_024), hard)?)
}

/// One socket in [`SPEAKS`] says something each second, by a timetable that no wait can delay: the waits, in µs.
async fn speak(sockets: Vec<TcpStream>, seconds: u64) -> anyhow::Result<Vec<u32>> {
    let per_second = sockets.len() / SPEAKS;
    let pings = per_second.saturating_mul(usize::try_from(seconds)?).min(sockets.len());
    let between = Duration::from_secs(1) / u32::try_from(per_second)?;
    let mut silent = sockets;
    let mut speaking = JoinSet::new();
    let mut due = Instant::now();
    for _ in 0..pings {
        // Each socket speaks once: nobody's second ping waits for its first pong.
        let Some(mut socket) = silent.pop() else { break };
        tokio::time::sleep_until(due).await;
        speaking.spawn(async move {
            let pong = tokio::time::timeout(ANSWER_LIMIT, ping(&mut socket));
            pong.await.with_context(|| format!("no pong within {ANSWER_LIMIT:?}"))??;
            // It stays open until all have spoken.
            anyhow::Ok((due.elapsed(), socket))
        });
        due += between;
    }
    let mut waits_us = Vec::with_capacity(pings);
    let mut spoken = Vec::with_capacity(pings);
    while let Some(ended) = speaking.join_next().await {
        let (wait, socket) = ended??;
        waits_us.push(u32::try_from(wait.as_micros()).unwrap_or(u32::MAX));
        spoken.push(socket);
    }
    Ok(waits_us)
}

/// A socket that has been welcomed, from the address of this number.
async fn open(to: SocketAddr, number: usize) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let host = number / PER_ADDRESS;
    // 198.18.0.0/15 is set aside for benchmarks.
    let head = format!(
        "GET /ws/chat?tokenId=demo:1 HTTP/1.1\r\nhost: {to}\r\norigin: http://{to}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         x-forwarded-for: 198.18.{}.{}\r\n\r\n",
        host / 256 % 256,
        host % 256
    );
    stream.write_all(head.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1_024);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(stream.read_buf(&mut bytes).await? > 0, "closed before it answered");
    };
    if !bytes.starts_with(b"HTTP/1.1 101") {
        bail!("no socket: {}", String::from_utf8_lossy(&bytes));
    }
    let welcome = text_frame(&mut stream, bytes.split_off(end)).await?;
    ensure!(welcome.contains("welcome"), "no welcome: {welcome}");
    Ok(stream)
}

/// Says `ping` and reads until its pong.
async fn ping(stream: &mut TcpStream) -> anyhow::Result<()> {
    let length = u8::try_from(PING.len()).expect("a few bytes");
    // A client's frames are masked; a mask of zeros leaves the text as it is.
    let mut bytes = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    bytes.extend_from_slice(PING);
    stream.write_all(&bytes).await?;
    let pong = text_frame(stream, Vec::new()).await?;
    ensure!(pong.contains("pong"), "no pong: {pong}");
    Ok(())
}

/// The next text frame, of which `bytes` may have come already. The service's own pings are passed over.
async fn text_frame(stream: &mut TcpStream, mut bytes: Vec<u8>) -> anyhow::Result<String> {
    const TEXT: u8 = 0x81;
    loop {
        if let Some((kind, payload)) = frame(&bytes) {
            let (text, end) = (String::from_utf8_lossy(&bytes[payload.clone()]).into_owned(), payload.end);
            if kind == TEXT {
                return Ok(text);
            }
            bytes.drain(..end);
        } else {
            ensure!(stream.read_buf(&mut bytes).await? > 0, "closed in the middle of a frame");
        }
    }
}

/// The kind of the first frame and where its payload lies, once all of it is there. A service does not mask.
fn frame(bytes: &[u8]) -> Option<(u8, Range<usize>)> {
    let (start, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start + length).then(|| (bytes[0], start..start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_when_all_of_it_is_there() {
        let short = [0x81, 3, b'a', b'b', b'c', 0x89];
        assert_eq!(frame(&short), Some((0x81, 2..5)));
        assert_eq!(frame(&short[..4]), None);
        assert_eq!(frame(&[0x89]), None);
        let mut long = vec![0x81, 126, 1, 0];
        assert_eq!(frame(&long), None);
        long.extend([b'x'; 256]);
        assert_eq!(frame(&long), Some((0x81, 4..260)));
    }
}
