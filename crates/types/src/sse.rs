//! Server-sent events: an incremental reader for `data:` payloads, and the writer's framing.
//!
//! Follows the WHATWG "event stream" grammar for the parts that model APIs use: `event:` and `data:` lines,
//! comments, `\n`, `\r\n` and `\r` line ends, several `data:` lines joined by `\n`, a byte order mark before the first
//! line. It never looks into payloads. Unlike the grammar, [`Reader::finish`] gives out a last event whose blank line is
//! missing, because several servers leave it out.

use std::borrow::Cow;

/// More than this in one event is a hostile or broken peer (a whole tool call fits in far less).
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// One event outgrew [`MAX_EVENT_BYTES`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an event is larger than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLarge;

/// One dispatched event.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The `event:` field, empty when absent.
    pub name: &'a str,
    /// The joined `data:` lines.
    pub data: &'a str,
}

/// Reads a byte stream in arbitrary pieces.
#[derive(Debug, Default)]
pub struct Reader {
    pending: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    last_was_cr: bool,
    /// The first line is behind; only it may begin with a byte order mark.
    begun: bool,
}

impl Reader {
    /// An empty reader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds `bytes` and calls `each` for every event that they complete.
    ///
    /// Invalid UTF-8 inside an event is replaced, never fatal: the payload's own parser decides.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), EventTooLarge> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, tail) = rest.split_at(end);
            let terminator = tail[0];
            rest = &tail[1..];
            // The `\n` of a `\r\n` that was split from its `\r`, or simply follows it, ends nothing new.
            if terminator == b'\n' && self.last_was_cr && line.is_empty() && self.pending.is_empty() {
                self.last_was_cr = false;
                continue;
            }
            self.last_was_cr = terminator == b'\r';
            if self.pending.is_empty() {
                self.line(&text(line), &mut each);
            } else {
                self.pending.extend_from_slice(line);
                let whole = std::mem::take(&mut self.pending);
                self.line(&text(&whole), &mut each);
            }
            if self.data.len() > MAX_EVENT_BYTES {
                return Err(EventTooLarge);
            }
        }
        if !rest.is_empty() {
            self.last_was_cr = false;
        }
        self.pending.extend_from_slice(rest);
        if self.pending.len() + self.data.len() > MAX_EVENT_BYTES { Err(EventTooLarge) } else { Ok(()) }
    }

    /// The bytes have ended: gives out what waits for its blank line, if there is such an event.
    pub fn finish(&mut self, mut each: impl FnMut(Frame<'_>)) {
        let last = std::mem::take(&mut self.pending);
        if !last.is_empty() {
            self.line(&text(&last), &mut each);
        }
        self.line("", &mut each);
    }

    fn line(&mut self, mut line: &str, each: &mut impl FnMut(Frame<'_>)) {
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            if self.has_data {
                each(Frame { name: &self.name, data: &self.data });
            }
            self.name.clear();
            self.data.clear();
            self.has_data = false;
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.name),
            _ => {} // comments (empty field name), ids and retry hints carry nothing we use
        }
    }
}

/// As [`String::from_utf8_lossy`], which goes byte by byte where the plain check takes words at a time.
fn text(line: &[u8]) -> Cow<'_, str> {
    str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed)
}

/// Appends `data: {payload}\n\n`. The payload must hold no line break (JSON text never does).
pub fn write_data(out: &mut Vec<u8>, payload: &impl serde::Serialize) {
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, payload).expect("our wire shapes serialise into memory");
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = Reader::new();
        let mut seen = Vec::new();
        for piece in pieces {
            reader
                .feed(piece, |frame| seen.push((frame.name.to_owned(), frame.data.to_owned())))
                .expect("small events");
        }
        seen
    }

    #[test]
    fn every_cut_of_a_stream_reads_the_same() {
        let stream =
            "event: a\ndata: one\n\n: comment\ndata:two\r\ndata: lines\r\n\r\ndata: ü\r\rdata: [DONE]\n\n";
        let whole = read(&[stream.as_bytes()]);
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[0], ("a".into(), "one".into()));
        assert_eq!(whole[1], (String::new(), "two\nlines".into()));
        assert_eq!(whole[2].1, "ü");
        for cut in 0..=stream.len() {
            let (left, right) = stream.as_bytes().split_at(cut);
            assert_eq!(read(&[left, right]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), whole);
    }

    #[test]
    fn a_mark_before_the_first_line_and_a_missing_blank_line_cost_no_event() {
        let stream = "\u{feff}data: one\n\n: comment\r\n\r\ndata:two\n\nevent: error\ndata: \u{feff}three";
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        for pieces in [vec![stream.as_bytes()], bytes] {
            let mut reader = Reader::new();
            let mut seen = Vec::new();
            for piece in pieces {
                reader.feed(piece, |frame| seen.push(frame.data.to_owned())).expect("small events");
            }
            assert_eq!(seen, ["one", "two"]);
            reader.finish(|frame| {
                assert_eq!((frame.name, frame.data), ("error", "\u{feff}three"));
                seen.push(String::new());
            });
            assert_eq!(seen.len(), 3);
            reader.finish(|_| panic!("nothing is left"));
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = Reader::new();
        let line = vec![b'x'; MAX_EVENT_BYTES + 1];
        assert_eq!(reader.feed(&line, |_| {}), Err(EventTooLarge));
    }
}
