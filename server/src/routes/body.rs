//! Reads a request's body within bounds and parses it without ever quoting it.
//!
//! Bytes being read are counted against a budget of the process, so that slow clients cannot fill the memory: prompts,
//! payment notices and everything else have one each, so that none crowds out the others.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::Fault;
use super::limits;

/// The memory that bodies of one kind may take together while they are read and parsed.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }
}

/// A whole body; its share of the budget is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Whole {
    bytes: Vec<u8>,
    #[expect(dead_code, reason = "kept for its drop, which gives the share back")]
    share: Option<OwnedSemaphorePermit>,
}

/// Reads the body, at most `limit` bytes of it, within [`limits::BODY_READ`].
pub(crate) async fn read(budget: &Budget, parts: &Parts, body: Body, limit: usize) -> Result<Whole, Fault> {
    if !says_json(parts) {
        discard(body).await;
        return Err(Fault::WrongType);
    }
    read_any(budget, body, limit).await
}

/// Like [`read`], whatever type the body says it is: its bytes are what is signed.
pub(crate) async fn read_any(budget: &Budget, body: Body, limit: usize) -> Result<Whole, Fault> {
    match tokio::time::timeout(limits::BODY_READ, gather(budget, body, limit)).await {
        Ok(whole) => whole,
        Err(_) => Err(Fault::TooSlow),
    }
}

/// Reads what a refused client is still sending, within bounds, and forgets it.
///
/// A client that is cut while it sends sees a broken connection and not the refusal that says why.
pub(crate) async fn discard(mut body: Body) {
    let rest = async {
        let mut size = 0;
        while let Some(Ok(frame)) = body.frame().await {
            size += frame.data_ref().map_or(0, Bytes::len);
            if size > limits::DISCARDED_BYTES {
                break;
            }
        }
    };
    // Either end of this wait is fine: the refusal is sent next.
    drop(tokio::time::timeout(limits::DISCARD, rest).await);
}

/// A missing content type is taken for JSON; `application/json` and `…+json` are; everything else is not.
fn says_json(parts: &Parts) -> bool {
    let Some(value) = parts.headers.get(CONTENT_TYPE) else { return true };
    let Ok(text) = value.to_str() else { return false };
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

async fn gather(budget: &Budget, mut body: Body, limit: usize) -> Result<Whole, Fault> {
    let mut bytes = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Fault::Hungup)?.into_data() else { continue };
        let size = u32::try_from(data.len()).ok().filter(|_| bytes.len() + data.len() <= limit);
        let Some(size) = size else {
            drop((bytes, held));
            discard(body).await;
            return Err(Fault::TooLarge { limit });
        };
        let share = budget.0.clone().try_acquire_many_owned(size).map_err(|_| Fault::Crowded)?;
        match &mut held {
            Some(held) => held.merge(share),
            None => held = Some(share),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Whole { bytes, share: held })
}

impl Whole {
    /// The bytes as they came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Parses a JSON object into `T`, whose fields are raw JSON and are judged by the door.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Fault> {
        parse(&self.bytes)
    }

    /// Like [`Whole::parse`]; an empty body reads as `{}`.
    pub(crate) fn parse_or_empty<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Fault> {
        if self.bytes.trim_ascii().is_empty() { parse(b"{}") } else { parse(&self.bytes) }
    }
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| Fault::Unreadable {
        message: format!(
            "The body is not valid UTF-8: the byte at offset {} starts no character.",
            error.valid_up_to()
        ),
    })?;
    if !text.trim_ascii_start().starts_with('{') {
        let message = "The body has to be a JSON object: it has to begin with \"{\".".to_owned();
        return Err(Fault::Unreadable { message });
    }
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let message = match error.classify() {
            Category::Eof => format!("The body ends too early: it is not complete JSON ({place})."),
            // These texts are the parser's own fixed sentences; they hold nothing of the body.
            Category::Syntax => format!("The body is not valid JSON: {error}."),
            Category::Data | Category::Io => {
                format!(
                    "The body is not of the expected shape: a field comes twice or is malformed ({place})."
                )
            }
        };
        Fault::Unreadable { message }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Two<'a> {
        #[serde(borrow)]
        one: Option<&'a RawValue>,
    }

    fn message(bytes: &[u8]) -> String {
        match parse::<Two<'_>>(bytes) {
            Err(Fault::Unreadable { message }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bad_body_is_named_by_position_and_never_quoted() {
        assert!(message(b"{\"one\": \xff}").contains("offset 8"));
        assert!(message(b"[1]").contains("object"));
        assert!(message(b"").contains("object"));
        assert!(message(b"{\"one\": \"secret").contains("too early"));
        for bad in [&b"{\"one\": secret}"[..], b"{\"one\":1,\"one\":\"secret\"}", b"{\"secret\":1,}"] {
            let text = message(bad);
            assert!(text.contains("column") && !text.contains("secret"), "{text}");
        }
        assert_eq!(parse::<Two<'_>>(b" {\"one\": [1]}").expect("fine").one.expect("there").get(), "[1]");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_gives_its_share_back() {
        let budget = Budget::new(limits::BODIES_IN_FLIGHT_BYTES);
        let parts = axum::http::Request::new(()).into_parts().0;
        let fault = read(&budget, &parts, Body::from(vec![b'x'; 101]), 100).await.expect_err("too large");
        assert!(matches!(fault, Fault::TooLarge { limit: 100 }));
        let whole = read(&budget, &parts, Body::from(vec![b'x'; 100]), 100).await.expect("fits");
        assert_eq!(budget.0.available_permits(), limits::BODIES_IN_FLIGHT_BYTES - 100);
        drop(whole);
        assert_eq!(budget.0.available_permits(), limits::BODIES_IN_FLIGHT_BYTES);
    }

    #[test]
    fn only_json_is_taken_for_json() {
        let said = |value: &str| {
            let request = axum::http::Request::builder().header(CONTENT_TYPE, value).body(()).expect("sound");
            says_json(&request.into_parts().0)
        };
        assert!(said("application/json; charset=utf-8") && said("application/vnd.api+json"));
        assert!(!said("text/plain") && !said("application/x-www-form-urlencoded"));
    }
}
