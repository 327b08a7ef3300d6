//! Reading an answer as cheaply as can be, and checking that it is the whole one.
//!
//! The callers share two cores with what they measure, so an ordinary check looks at the end of the answer only; one in
//! [`THOROUGH_EVERY`] is taken apart and compared word by word.

use std::sync::LazyLock;

use serde_json::Value;

use super::upstream::{CHUNKS, word};

/// Every so many answers of a caller, one is read word by word.
pub(crate) const THOROUGH_EVERY: u64 = 64;
/// The last word, the finish reason, the usage and the end of the stream lie within this many last bytes.
const END_BYTES: usize = 2_048;

/// What the end of a good answer holds.
static AT_THE_END: LazyLock<[String; 3]> = LazyLock::new(|| {
    [word(CHUNKS - 1), format!("\"completion_tokens\":{CHUNKS}"), "data: [DONE]\n\n".to_owned()]
});
static TEXT: LazyLock<String> = LazyLock::new(|| (0..CHUNKS).map(word).collect());

/// Whether these bytes are a whole response. A streamed one ends with the empty chunk; API clients get no trailers.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    if bytes.ends_with(b"\r\n0\r\n\r\n") {
        return true;
    }
    // Only refusals and errors have a length.
    if bytes.starts_with(b"HTTP/1.1 200") {
        return false;
    }
    let Some((head, body)) = split(bytes) else { return false };
    header(head, "content-length")
        .and_then(|value| value.parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

/// Checks the status and the end of a whole response; the error is what came instead.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let end = &bytes[bytes.len().saturating_sub(END_BYTES)..];
    let is_good = bytes.starts_with(b"HTTP/1.1 200")
        && std::str::from_utf8(end)
            .is_ok_and(|end| AT_THE_END.iter().all(|part| end.contains(part.as_str())));
    if is_good { Ok(()) } else { Err(shown(bytes)) }
}

/// Takes the answer apart: every event JSON, the text word for word.
pub(crate) fn check_every_word(bytes: &[u8]) -> Result<(), String> {
    let body = split(bytes).and_then(|(_, body)| unchunked(body)).ok_or_else(|| shown(bytes))?;
    let body = String::from_utf8(body).map_err(|_| shown(bytes))?;
    let mut text = String::new();
    for event in
        body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|event| *event != "[DONE]")
    {
        let event: Value = serde_json::from_str(event).map_err(|error| format!("{error}: {event}"))?;
        text.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    if text == *TEXT { Ok(()) } else { Err(format!("the answer's text was \"{text}\"")) }
}

/// The value of a header in the head of a request or response.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some((std::str::from_utf8(&bytes[..head]).ok()?, &bytes[head..]))
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(line + 2..line + 2 + size)?);
        body = body.get(line + 2 + size + 2..)?;
    }
}

/// The beginning and the end, for the one failure that is shown.
fn shown(bytes: &[u8]) -> String {
    const SIDE: usize = 700;
    let text = String::from_utf8_lossy(bytes);
    if text.len() <= 2 * SIDE {
        return text.into_owned();
    }
    let first: String = text.chars().take(SIDE).collect();
    let last: Vec<char> = text.chars().rev().take(SIDE).collect();
    format!("{first} […] {}", last.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_whole_by_its_length_and_is_no_answer() {
        let refusal = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nwait";
        assert!(is_whole(refusal) && !is_whole(&refusal[..refusal.len() - 1]) && !is_whole(b"HTTP/1.1 429"));
        assert!(check(refusal).expect_err("429").contains("429"));
    }
}
