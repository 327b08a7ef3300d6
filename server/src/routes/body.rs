//! Reads a request's body within bounds and parses it without ever quoting it.
//!
//! Bytes being read are counted against a budget of the process, so that slow clients cannot fill the memory: prompts,
//! payment notices and everything else have one each. Of each budget one client has a bounded share, a part is kept for
//! small bodies, and a body that arrives too slowly is cut: no client keeps another one from being read.

use std::time::Duration;

use ::limits::{By, Client, Full, Pot, Share, Shares};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::Deserialize;
use serde_json::error::Category;
use tokio::time::Instant;

use super::fault::Fault;
use super::limits;

/// The memory that bodies of one kind may take together while they are read and parsed.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pot: Pot,
    shared: Shares<Client>,
    /// For bodies of at most [`limits::RESERVED_BODY_BYTES`], when nothing else is left.
    reserve: Shares<Client>,
}

impl Budget {
    fn new(pot: Pot, total: usize, per_client: usize, reserve: usize) -> Self {
        let of_reserve = reserve / limits::CLIENTS_IN_RESERVE;
        Self { pot, shared: Shares::new(total, per_client), reserve: Shares::new(reserve, of_reserve) }
    }

    /// Takes memory for the first bytes of a body, or for more of them.
    fn grow(&self, held: &mut Option<Held>, client: Client, body: Growing) -> Result<(), Full> {
        let Growing { before, more, is_small } = body;
        match held {
            Some(Held { share, is_reserved: false }) => share.grow(more),
            Some(Held { share, is_reserved: true }) if is_small => share.grow(more),
            Some(Held { is_reserved: true, .. }) => {
                let share = self.shared.take(client, before + more)?;
                *held = Some(Held { share, is_reserved: false });
                Ok(())
            }
            None => {
                let (share, is_reserved) = match self.shared.take(client, more) {
                    Ok(share) => (share, false),
                    Err(Full::Everything) if is_small => (self.reserve.take(client, more)?, true),
                    Err(full) => return Err(full),
                };
                *held = Some(Held { share, is_reserved });
                Ok(())
            }
        }
    }
}

/// A part of a budget.
#[derive(Debug)]
struct Held {
    share: Share<Client>,
    is_reserved: bool,
}

/// A body that is being read: how much came, how much comes, and whether it is small with that.
#[derive(Clone, Copy)]
struct Growing {
    before: usize,
    more: usize,
    is_small: bool,
}

/// The memory for bodies that are being read, by kind.
#[derive(Clone, Debug)]
pub struct Budgets {
    pub(crate) prompts: Budget,
    pub(crate) notices: Budget,
    pub(crate) bodies: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        Self::divided_by(1)
    }
}

impl Budgets {
    /// The usual ones, or smaller ones for a test.
    #[must_use]
    pub fn divided_by(divisor: usize) -> Self {
        let budget = |pot, total: usize, per_client: usize, reserve: usize| {
            Budget::new(pot, total / divisor, per_client / divisor, reserve / divisor)
        };
        Self {
            prompts: budget(
                Pot::Prompts,
                limits::PROMPTS_IN_FLIGHT_BYTES,
                limits::PROMPTS_PER_CLIENT_BYTES,
                limits::PROMPTS_RESERVE_BYTES,
            ),
            notices: budget(
                Pot::Notices,
                limits::NOTICES_IN_FLIGHT_BYTES,
                limits::NOTICES_PER_CLIENT_BYTES,
                limits::NOTICES_RESERVE_BYTES,
            ),
            bodies: budget(
                Pot::Bodies,
                limits::BODIES_IN_FLIGHT_BYTES,
                limits::BODIES_PER_CLIENT_BYTES,
                limits::BODIES_RESERVE_BYTES,
            ),
        }
    }
}

/// A whole body; its share of the budget is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Whole {
    bytes: Vec<u8>,
    #[expect(dead_code, reason = "kept for its drop, which gives the share back")]
    held: Option<Held>,
}

/// Reads the body of `client`, at most `limit` bytes of it, at the pace of [`due_after`].
pub(crate) async fn read(
    budget: &Budget,
    client: Client,
    parts: &Parts,
    body: Body,
    limit: usize,
) -> Result<Whole, Fault> {
    if !says_json(parts) {
        discard(body).await;
        return Err(Fault::WrongType);
    }
    read_any(budget, client, body, limit).await
}

/// Like [`read`], whatever type the body says it is: its bytes are what is signed.
pub(crate) async fn read_any(
    budget: &Budget,
    client: Client,
    mut body: Body,
    limit: usize,
) -> Result<Whole, Fault> {
    let began = Instant::now();
    let mut bytes = Vec::new();
    let mut held = None;
    loop {
        let frame = tokio::time::timeout_at(began + due_after(bytes.len()), body.frame()).await;
        let Some(frame) = frame.map_err(|_| Fault::TooSlow)? else { break };
        let Ok(data) = frame.map_err(|_| Fault::Hungup)?.into_data() else { continue };
        let size = bytes.len() + data.len();
        if size > limit {
            drop((bytes, held));
            discard(body).await;
            return Err(Fault::TooLarge { limit });
        }
        let to_come = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let is_small = size.saturating_add(to_come) <= limits::RESERVED_BODY_BYTES;
        let growing = Growing { before: bytes.len(), more: data.len(), is_small };
        match budget.grow(&mut held, client, growing) {
            Ok(()) => bytes.extend_from_slice(&data),
            Err(Full::Everything) => {
                budget.pot.refused(By::All);
                return Err(Fault::Crowded);
            }
            Err(Full::Yours) => {
                budget.pot.refused(By::Client);
                drop((bytes, held));
                discard_within(body, limits::DISCARD_OVER_SHARE).await;
                return Err(Fault::OverShare);
            }
        }
    }
    Ok(Whole { bytes, held })
}

/// How long after its beginning the next part of a body has to be there, when so many bytes have come: there is time at
/// first, then a least pace is demanded, and in the end the body has to be whole.
fn due_after(bytes: usize) -> Duration {
    let at_pace_ms =
        u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / limits::BODY_BYTES_PER_SECOND;
    (limits::BODY_GRACE + Duration::from_millis(at_pace_ms)).min(limits::BODY_READ)
}

/// Reads what a refused client is still sending, within bounds, and forgets it.
///
/// A client that is cut while it sends sees a broken connection and not the refusal that says why.
pub(crate) async fn discard(body: Body) {
    discard_within(body, limits::DISCARD).await;
}

async fn discard_within(mut body: Body, time: Duration) {
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
    drop(tokio::time::timeout(time, rest).await);
}

/// A missing content type is taken for JSON; `application/json` and `…+json` are; everything else is not.
fn says_json(parts: &Parts) -> bool {
    let Some(value) = parts.headers.get(CONTENT_TYPE) else { return true };
    let Ok(text) = value.to_str() else { return false };
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
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

    const STRANGER: Client = Client::Network(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const OTHER: Client = Client::Account(types::CommunityId(1), types::AccountId(1));

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_gives_its_share_back() {
        let Budgets { bodies: budget, .. } = Budgets::default();
        let parts = axum::http::Request::new(()).into_parts().0;
        let fault = read(&budget, STRANGER, &parts, Body::from(vec![b'x'; 101]), 100).await;
        assert!(matches!(fault.expect_err("too large"), Fault::TooLarge { limit: 100 }));
        let whole = read(&budget, STRANGER, &parts, Body::from(vec![b'x'; 100]), 100).await.expect("fits");
        assert_eq!(budget.shared.taken(), 100);
        drop(whole);
        assert_eq!(budget.shared.taken(), 0);
    }

    /// A body that sends its parts and then says nothing more.
    fn unfinished(parts: usize, bytes: usize) -> Body {
        let part = move |_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]));
        let parts = futures_util::stream::iter((0..parts).map(part));
        Body::from_stream(futures_util::StreamExt::chain(parts, futures_util::stream::pending()))
    }

    async fn whole(budget: &Budget, client: Client, bytes: usize) -> Result<Whole, Fault> {
        read_any(budget, client, Body::from(vec![b'x'; bytes]), usize::MAX).await
    }

    #[tokio::test]
    async fn a_client_has_a_share_and_small_bodies_have_a_reserve() {
        let budget = Budget::new(Pot::Bodies, 100_000, 60_000, 64 * 1024);
        let first = whole(&budget, STRANGER, 60_000).await.expect("its whole share");
        assert!(matches!(whole(&budget, STRANGER, 1).await, Err(Fault::OverShare)));
        let second = whole(&budget, OTHER, 40_000).await.expect("the rest");
        let third = Client::Account(types::CommunityId(1), types::AccountId(2));
        assert!(matches!(whole(&budget, third, 4_097).await, Err(Fault::Crowded)));
        let small = whole(&budget, third, 4_096).await.expect("the reserve");
        assert!(
            matches!(whole(&budget, third, 4_096).await, Err(Fault::OverShare)),
            "a sixteenth of it each"
        );
        let growing = read_any(&budget, OTHER, unfinished(2, 4_000), usize::MAX).await;
        assert!(matches!(growing, Err(Fault::Crowded)), "a body that turns out large leaves the reserve");
        drop((first, second, small));
        assert_eq!((budget.shared.taken(), budget.reserve.taken()), (0, 0));
    }

    #[tokio::test]
    async fn a_body_that_outgrows_the_reserve_moves_to_what_is_shared() {
        let budget = Budget::new(Pot::Bodies, 10_000, 10_000, 64 * 1024);
        let mut held = None;
        let crowd = budget.shared.take(OTHER, 10_000).expect("all of it");
        let small = Growing { before: 0, more: 3_000, is_small: true };
        budget.grow(&mut held, STRANGER, small).expect("the reserve");
        assert_eq!(budget.reserve.taken(), 3_000);
        let large = Growing { before: 3_000, more: 3_000, is_small: false };
        assert_eq!(budget.grow(&mut held, STRANGER, large), Err(Full::Everything));
        drop(crowd);
        budget.grow(&mut held, STRANGER, large).expect("there is room");
        assert_eq!((budget.reserve.taken(), budget.shared.taken()), (0, 6_000));
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_cut_and_gives_its_share_back() {
        let Budgets { bodies: budget, .. } = Budgets::default();
        let began = std::time::Instant::now();
        let cut = read_any(&budget, STRANGER, unfinished(1, 10), usize::MAX).await;
        assert!(matches!(cut, Err(Fault::TooSlow)));
        assert!(began.elapsed() >= limits::BODY_GRACE);
        assert_eq!(budget.shared.taken(), 0);
    }

    #[test]
    fn a_body_has_two_seconds_and_then_sixteen_kib_a_second() {
        assert_eq!(due_after(0), Duration::from_secs(2));
        assert_eq!(due_after(16 * 1024), Duration::from_secs(3));
        assert_eq!(due_after(limits::INFERENCE_BODY_BYTES), limits::BODY_READ);
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
