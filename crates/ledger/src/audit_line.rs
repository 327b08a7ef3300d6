//! The audit line of a journal entry and its hash (SPEC §7): SHA-256 over the previous hash, in hex, and the line
//! in RFC 8785 form without its own hash. Keys stand in RFC 8785's order, so the text is canonical as written.

use std::fmt::Write as _;

use time::OffsetDateTime;
use types::Pool;

use crate::model::{Bucket, Entry};

/// The hash of `entry`, following `previous`.
#[must_use]
pub(crate) fn hash(previous: &[u8; 32], entry: &Entry, holder: Option<&str>) -> [u8; 32] {
    let mut previous_hex = String::with_capacity(64);
    push_hex(&mut previous_hex, previous);
    let mut text = String::with_capacity(448);
    text.push_str(&previous_hex);
    push_line(&mut text, entry, holder, &previous_hex, None);
    sha256(text.as_bytes())
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Appends the whole line, its own hash included, as an export carries it.
pub(crate) fn push_whole(text: &mut String, entry: &Entry, holder: Option<&str>, previous: &[u8; 32]) {
    push_line(text, entry, holder, &hex(previous), Some(&hex(&entry.hash)));
}

fn push_line(
    text: &mut String,
    entry: &Entry,
    holder: Option<&str>,
    previous_hex: &str,
    own_hex: Option<&str>,
) {
    // Writing to a String cannot fail, so the results of `write!` say nothing.
    let _ = write!(text, r#"{{"amount_micro":"{}","conservation_result":"ok","#, entry.amount);
    if let Some(hash) = own_hex {
        let _ = write!(text, r#""hash":"{hash}","#);
    }
    text.push_str(r#""operation_type":""#);
    text.push_str(entry.kind.as_str());
    text.push_str(r#"","pool":"#);
    match entry.pool.and_then(Pool::from_db) {
        Some(pool) => {
            let _ = write!(text, "\"{pool}\"");
        }
        None => text.push_str("null"),
    }
    let _ = write!(
        text,
        r#","post_balance_micro":"{}","pre_balance_micro":"{}","prev_hash":"{previous_hex}","reservation_id":"#,
        entry.balance_after, entry.balance_before
    );
    let is_request = matches!(entry.credit, Bucket::Spent);
    match entry.reference.filter(|_| is_request) {
        Some(id) => {
            let _ = write!(text, "\"{}\"", id.as_hyphenated());
        }
        None => text.push_str("null"),
    }
    let _ = write!(text, r#","seq":{},"timestamp":""#, entry.seq);
    push_time(text, entry.at);
    text.push_str(r#"","user_wallet":"#);
    match holder {
        // serde_json escapes a string as RFC 8785 asks: only what must be, control characters as \u00xx or short.
        Some(holder) => text.push_str(&serde_json::to_string(holder).expect("a string serialises")),
        None => text.push_str("null"),
    }
    text.push('}');
}

/// RFC 3339, UTC, always six decimals: one spelling for one time.
pub(crate) fn push_time(text: &mut String, at: OffsetDateTime) {
    let at = at.to_offset(time::UtcOffset::UTC);
    let _ = write!(
        text,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    );
}

/// 32 bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}
