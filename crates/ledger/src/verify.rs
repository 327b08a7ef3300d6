//! The offline verifier: proves an export, or names its first broken line and why. No database, no network.
//!
//! Memory is that of one line, whose length is bounded; the file may be of any size. Without a key set it proves that the
//! file is whole and that its lines follow from one another; with one also who sealed it; with a head that was saved
//! earlier also that the past was not written anew.

mod keys;
mod line;

use std::cmp::Ordering;
use std::io::{self, BufRead};

pub use keys::{JWKS_AT_MOST, KeySet};
use line::Line;
use serde::Deserialize;

use crate::audit::seal::{self, Closing, Opening};
use crate::audit_line::hex;

/// The longest line that is read, in bytes. A line has some 500; only a wallet's name could make it longer.
pub const LINE_AT_MOST: usize = 65_536;

/// What to hold the file against.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whose seal must be on it.
    pub keys: Option<KeySet>,
    /// A head that was saved before, which the file must contain or continue.
    pub since: Option<Head>,
}

/// A place in a community's chain: row and hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Whose chain; `None`: not said.
    #[serde(default)]
    pub community_id: Option<String>,
    /// Number of the row.
    #[serde(alias = "seq")]
    pub to_seq: i64,
    /// Its hash, in hex.
    pub head_hash: String,
}

impl Head {
    /// Reads a saved head: what `freeside audit verify --json` printed, or an earlier export, whose last line has it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole: Result<Self, _> = serde_json::from_str(text);
        let head = whole.or_else(|_| {
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            serde_json::from_str(last)
        });
        let head: Self = head.map_err(|_| "it names no to_seq and head_hash on its last line".to_owned())?;
        let is_hash = head.head_hash.len() == 64
            && head.head_hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hash && head.to_seq >= 0 { Ok(head) } else { Err("its head_hash is no SHA-256".to_owned()) }
    }
}

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is broken.
    #[error("line {}: {}", .0.line, .0.what)]
    Broken(Fault),
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line of the file, from 1.
    pub line: u64,
    /// What is wrong, in words.
    pub what: String,
    /// What should stand there.
    pub expected: Option<String>,
    /// What does.
    pub found: Option<String>,
}

fn fault(line: u64, what: impl Into<String>) -> VerifyError {
    VerifyError::Broken(Fault { line, what: what.into(), expected: None, found: None })
}

fn differs(
    line: u64,
    what: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> VerifyError {
    let (expected, found) = (Some(expected.into()), Some(found.into()));
    VerifyError::Broken(Fault { line, what: what.into(), expected, found })
}

/// What is known of the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It is there, and no key set was given to check it with.
    NotChecked,
    /// A key of the set made it.
    Checked,
}

/// What a sound file proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose journal.
    pub community_id: String,
    /// Every line of the range is there. Otherwise the export was filtered: what it left out cannot be seen.
    pub chained: bool,
    /// The filter, in words.
    pub filter: Option<String>,
    /// Journal lines.
    pub lines: u64,
    /// Where the range begins.
    pub from_seq: i64,
    /// Number of the last line.
    pub to_seq: i64,
    /// Chained: hash of the last line.
    pub head_hash: String,
    /// The key that the seal names.
    pub kid: String,
    /// What is known of it.
    pub seal: Seal,
    /// Number of the saved head that was found in the file.
    pub since: Option<i64>,
}

/// Reads a file to its end, or to its first fault.
pub fn verify(mut reader: impl BufRead, options: &Options) -> Result<Verified, VerifyError> {
    let mut text = Vec::new();
    let mut number = 1;
    if !next_line(&mut reader, &mut text, number)? {
        return Err(fault(1, "the file is empty"));
    }
    let mut state = Reading::open(&text, options)?;
    loop {
        number += 1;
        if !next_line(&mut reader, &mut text, number)? {
            return Err(fault(number, "the file ends here, without the closing line: its end is missing"));
        }
        // Only the last line begins so; in a line of the journal the amount comes first.
        if text.starts_with(b"{\"count\"") {
            let verified = state.close(number, &text, options)?;
            if next_line(&mut reader, &mut text, number + 1)? {
                return Err(fault(number + 1, "there is something after the closing line"));
            }
            return Ok(verified);
        }
        state.line(number, &text, options)?;
    }
}

/// The next line without its line feed; `false` at the end of the file.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, VerifyError> {
    line.clear();
    let limit = u64::try_from(LINE_AT_MOST).expect("small") + 1;
    let read = io::Read::take(&mut *reader, limit).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > LINE_AT_MOST {
        return Err(fault(number, format!("the line is longer than {LINE_AT_MOST} bytes")));
    }
    Ok(read > 0)
}

fn utf8(number: u64, bytes: &[u8]) -> Result<&str, VerifyError> {
    std::str::from_utf8(bytes)
        .map_err(|error| fault(number, format!("byte {} is not UTF-8", error.valid_up_to() + 1)))
}

/// How far a file has been read.
struct Reading {
    opening: Opening,
    /// Chained: the last line's hash. Unchained: the running head.
    head: String,
    seq: i64,
    lines: u64,
    since: Option<i64>,
}

impl Reading {
    fn open(text: &[u8], options: &Options) -> Result<Self, VerifyError> {
        let text = utf8(1, text)?;
        let opening: Opening = serde_json::from_str(text)
            .map_err(|error| fault(1, format!("this is not the opening line of an export: {error}")))?;
        if opening.format != seal::FORMAT {
            return Err(differs(1, "an unknown form of export", seal::FORMAT, opening.format));
        }
        if opening.line() != text {
            return Err(differs(1, "the opening line is not in its canonical form", opening.line(), text));
        }
        if !opening.is_whole() {
            return Err(fault(1, "the opening line was changed: its hash is not that of its content"));
        }
        if opening.from_seq < 1 {
            return Err(fault(1, "the opening line begins before the journal's first"));
        }
        let head = if opening.chained { opening.prev_hash.clone() } else { opening.hash.clone() };
        let mut state = Self { seq: opening.from_seq - 1, head, lines: 0, since: None, opening };
        if let Some(since) = &options.since {
            state.expect_head(since)?;
        }
        Ok(state)
    }

    /// Whether this file can contain or continue a saved head at all, and whether it continues it right here.
    fn expect_head(&mut self, since: &Head) -> Result<(), VerifyError> {
        if !self.opening.chained {
            return Err(fault(1, "a filtered export is unchained and cannot be held against a saved head"));
        }
        if let Some(community) = &since.community_id
            && *community != self.opening.community_id
        {
            let what = "the saved head is another community's";
            return Err(differs(1, what, community, &*self.opening.community_id));
        }
        if since.to_seq < self.seq {
            let what = format!(
                "the file begins at line {} of the journal and so does not reach back to the saved head at {}",
                self.opening.from_seq, since.to_seq
            );
            return Err(fault(1, what));
        }
        self.meet(1, since)
    }

    /// Compares the chain with the saved head where it is due.
    fn meet(&mut self, number: u64, since: &Head) -> Result<(), VerifyError> {
        if self.seq != since.to_seq {
            return Ok(());
        }
        if self.head != since.head_hash {
            let what = format!(
                "the past was written anew: line {} of the journal is not the one that was saved",
                self.seq
            );
            return Err(differs(number, what, &*since.head_hash, &*self.head));
        }
        self.since = Some(self.seq);
        Ok(())
    }

    fn line(&mut self, number: u64, bytes: &[u8], options: &Options) -> Result<(), VerifyError> {
        let text = utf8(number, bytes)?;
        let line = Line::read(text).map_err(|malformed| {
            let found: String = text.chars().take(80).collect();
            let what = format!(
                "this is not an audit line: at byte {} there should be {}",
                malformed.column, malformed.wanted
            );
            differs(number, what, malformed.wanted, found)
        })?;
        if self.opening.chained && line.seq != self.seq + 1 {
            let what = match line.seq.cmp(&self.seq) {
                Ordering::Greater => "lines are missing before this one",
                Ordering::Equal => "this line stands here twice",
                Ordering::Less => "this line is out of its order",
            };
            return Err(differs(number, what, format!("seq {}", self.seq + 1), format!("seq {}", line.seq)));
        }
        if !self.opening.chained && line.seq <= self.seq {
            let what = "this line is out of its order, or stands here twice";
            return Err(differs(
                number,
                what,
                format!("seq above {}", self.seq),
                format!("seq {}", line.seq),
            ));
        }
        if self.opening.chained && line.previous != self.head {
            let what = "it does not follow from the line before: prev_hash is not that line's hash";
            return Err(differs(number, what, &*self.head, line.previous));
        }
        let computed = hex(&line.computed(text));
        if computed != line.hash {
            let what = "it was changed: its hash is not that of its content";
            return Err(differs(number, what, computed, line.hash));
        }
        if !line.adds_up() {
            let what = format!("its balances do not fit a {} of {} micro-USD", line.kind, line.amount);
            let found = format!("{} before, {} after", line.before, line.after);
            return Err(VerifyError::Broken(Fault {
                line: number,
                what,
                expected: None,
                found: Some(found),
            }));
        }
        self.seq = line.seq;
        self.head = if self.opening.chained { computed } else { seal::fold(&self.head, line.hash) };
        self.lines += 1;
        if let Some(since) = &options.since {
            self.meet(number, since)?;
        }
        Ok(())
    }

    fn close(self, number: u64, bytes: &[u8], options: &Options) -> Result<Verified, VerifyError> {
        let text = utf8(number, bytes)?;
        let closing: Closing = serde_json::from_str(text)
            .map_err(|error| fault(number, format!("this is not a closing line: {error}")))?;
        if closing.line() != text {
            let what = "the closing line is not in its canonical form";
            return Err(differs(number, what, closing.line(), text));
        }
        if !closing.is_whole() {
            return Err(fault(number, "the closing line was changed: its hash is not that of its content"));
        }
        if closing.opening_hash != self.opening.hash {
            let what = "the closing line belongs to another opening line";
            return Err(differs(number, what, &*self.opening.hash, closing.opening_hash));
        }
        if closing.count != self.lines {
            let what = "lines are missing or too many before the closing line";
            return Err(differs(
                number,
                what,
                format!("{} lines", closing.count),
                format!("{} lines", self.lines),
            ));
        }
        if closing.head_hash != self.head || closing.to_seq != self.seq {
            let what = "the closing line closes another chain";
            let (expected, found) = ((&self.head, self.seq), (&closing.head_hash, closing.to_seq));
            return Err(differs(number, what, format!("{expected:?}"), format!("{found:?}")));
        }
        if let Some(since) = &options.since
            && self.since.is_none()
        {
            let what = format!(
                "the file ends at line {} of the journal, before the saved head at {}: the end was cut off",
                self.seq, since.to_seq
            );
            return Err(fault(number, what));
        }
        let seal = check_seal(number, &closing, options)?;
        let filter = [("pool", &self.opening.pool), ("account", &self.opening.account_id)]
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")))
            .collect::<Vec<_>>();
        Ok(Verified {
            community_id: self.opening.community_id,
            chained: self.opening.chained,
            filter: (!filter.is_empty()).then(|| filter.join(", ")),
            lines: self.lines,
            from_seq: self.opening.from_seq,
            to_seq: closing.to_seq,
            head_hash: closing.head_hash,
            kid: closing.kid,
            seal,
            since: self.since,
        })
    }
}

fn check_seal(number: u64, closing: &Closing, options: &Options) -> Result<Seal, VerifyError> {
    let signature = closing
        .signature_bytes()
        .ok_or_else(|| fault(number, "the signature is not a detached ES256 one of the key it names"))?;
    let Some(keys) = &options.keys else { return Ok(Seal::NotChecked) };
    match keys.verify(&closing.kid, closing.signed_text().as_bytes(), &signature) {
        Some(true) => Ok(Seal::Checked),
        Some(false) => Err(fault(number, "the signature is not that of the key it names")),
        None => {
            let what = format!("the file is sealed by key {}, which the key set does not have", closing.kid);
            Err(fault(number, what))
        }
    }
}
