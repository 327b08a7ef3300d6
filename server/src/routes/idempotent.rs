//! `Idempotency-Key` on inference (SPEC §14): the call runs on when its caller leaves, and the stored answer serves the
//! retry. The rule is `domain::idempotency::answers`; here a door's answer is recorded on its way to the caller.
//!
//! A door hands its work over as a future. Without the header it is awaited in place, and nothing else happens. With it,
//! a task of its own claims the key, runs the work to its end, and closes the claim before the caller gets the last
//! bytes: whoever has a whole answer can read it again.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use domain::idempotency::answers::{
    self, Claim, ClaimError, Claimed, KeptAnswer, KeyedRequest, ResponseHead,
};
use domain::idempotency::is_valid_key;
use domain::reports::{account_of, paying_account};
use domain::turn::{self, Ask, Noted, Refusal, Started};
use futures_util::{FutureExt as _, stream};
use http_body_util::BodyExt as _;
use identity::ApiKey;
use ring::digest::{Context, SHA256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use types::ReservationId;

use super::caller::CountedKey;
use super::exchange::Asked;
use super::fault::Fault;
use super::{App, body};

/// The caller's own key for a request.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks an answer that was stored.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Headers that change an answer, beside the body. The `Accept` of a door that reads it is its `variant`.
const DECIDING_HEADERS: [&str; 2] = ["x-freeside-clamp", "x-freeside-fallback"];
/// Headers that were true when the answer was made and mislead later: how much of a limit was left.
const OF_THE_MOMENT: [&str; 3] = ["x-ratelimit-", "anthropic-ratelimit-", "retry-after"];

/// How far a caller may be behind: a whole answer that can be kept.
const BEHIND_AT_MOST: usize = answers::ANSWER_BYTES_AT_MOST;
/// How long the answer waits for a caller who is further behind. Shorter than a turn waits for its reader, so that it is
/// the caller who is let go and not the turn.
const CALLER_PATIENCE: Duration = Duration::from_secs(30);

/// The key of a request, if it has one that can be one.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(key)), None) if is_valid_key(key.trim()) => Ok(Some(key.trim().to_owned())),
        (Some(_), _) => Err(bad_key()),
    }
}

/// The key of a request that needs one.
pub(crate) fn required_key_of(headers: &HeaderMap) -> Result<String, Fault> {
    key_of(headers)?.ok_or_else(|| {
        let message = "This header is required: a text of your own, new for each purchase, so that sending the request \
                       again buys nothing twice.";
        Fault::field("Idempotency-Key", message)
    })
}

/// The refusal of a key that cannot be one.
pub(crate) fn bad_key() -> Fault {
    Fault::field("Idempotency-Key", "This has to have 1 to 255 printable ASCII characters, and to come once.")
}

/// The request as the domain knows it; `None` without a key. `variant` is what else the door reads to choose the answer's
/// form.
pub(crate) fn keyed(
    app: &App,
    asked: &Asked,
    key: &ApiKey,
    parts: &Parts,
    body: &body::Whole,
    variant: &str,
) -> Result<Option<KeyedRequest>, Fault> {
    if !parts.headers.contains_key(IDEMPOTENCY_KEY) {
        return Ok(None);
    }
    let Some(text) = key_of(&parts.headers)? else { return Ok(None) };
    Ok(Some(KeyedRequest {
        account: paying_account(account_of(key), key.kind),
        key: text,
        input_hash: input_hash(parts, body.bytes(), variant),
        request_id: asked.id.to_string(),
        reservation_id: ReservationId(app.ctx.clock.uuid_v7()),
    }))
}

fn input_hash(parts: &Parts, body: &[u8], variant: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    };
    add(parts.method.as_str().as_bytes());
    add(parts.uri.path().as_bytes());
    add(variant.as_bytes());
    for name in DECIDING_HEADERS {
        let value = parts.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        add(&value.to_ascii_lowercase());
    }
    add(body);
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Starts a turn; a keyed one under the reservation that its key was claimed with.
pub(crate) async fn start(
    app: &App,
    counted: &CountedKey,
    ask: Ask,
    reservation: Option<ReservationId>,
) -> Result<Started, Refusal> {
    let asker = counted.asker();
    match reservation {
        None => turn::start(&app.ctx, asker, ask).await,
        Some(id) => {
            // Nobody stops it: the other end is dropped here.
            let (_, stop) = oneshot::channel();
            turn::start_noted(&app.ctx, asker, ask, Noted { id, stop }).await
        }
    }
}

/// Answers a request with a key. `shape` is the dialect of the door's errors.
pub(crate) async fn answer(
    app: &Arc<App>,
    keyed: KeyedRequest,
    work: impl Future<Output = Result<Response, Fault>> + Send + 'static,
    shape: impl FnOnce(Fault) -> Response + Send + 'static,
) -> Result<Response, Fault> {
    let (caller, answered) = oneshot::channel();
    let app = Arc::clone(app);
    // From here on nobody who leaves takes anything with them: neither the claim nor the turn.
    tokio::spawn(async move {
        match answers::claim(&app.ctx, keyed).await {
            Ok(Claim::First(claimed)) => run(claimed, work, shape, caller).await,
            Ok(Claim::Kept(answer)) => drop(caller.send(Ok(replayed(answer)))),
            Err(error) => drop(caller.send(Err(refused(error)))),
        }
    });
    answered
        .await
        .map_err(|_| Fault::Unexpected(anyhow::anyhow!("a keyed request ended without an answer")))?
}

fn refused(error: ClaimError) -> Fault {
    match error {
        ClaimError::InFlight { request_id } => Fault::InFlight { request_id },
        ClaimError::KeyReused => Fault::KeyReused,
        ClaimError::NotKept { request_id, reservation_id } => {
            Fault::AnswerNotKept { request_id, reservation_id }
        }
        ClaimError::Database(error) => Fault::Turn(Refusal::unread(error.into())),
    }
}

fn replayed(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.head.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in answer.head.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Who waits for the head of the answer.
type Caller = oneshot::Sender<Result<Response, Fault>>;

/// Runs the work to its end, records it, closes the claim, and only then sends the last of it.
async fn run(
    mut claimed: Claimed,
    work: impl Future<Output = Result<Response, Fault>>,
    shape: impl FnOnce(Fault) -> Response,
    caller: Caller,
) {
    let cut = claimed.cut();
    let recorded = async {
        tokio::select! {
            recorded = record(&mut claimed, work, shape, caller) => Some(recorded),
            () = cut => None,
        }
    };
    // A panic must not leave the key claimed for as long as this process lives.
    let recorded = AssertUnwindSafe(recorded).catch_unwind().await.unwrap_or(None);
    let (head, last) = recorded.map_or((None, Last::Lost), |recorded| (recorded.head, recorded.last));
    claimed.close(head).await;
    match last {
        Last::Whole(caller, response) => drop(caller.send(Ok(response))),
        Last::Frame(caller, frame) => caller.send_last(frame).await,
        Last::Lost => {}
    }
}

/// An answer that has been read to its end.
struct Recorded {
    /// `None`: there is nothing that a retry should get.
    head: Option<ResponseHead>,
    last: Last,
}

/// What the caller gets when the claim is closed.
enum Last {
    Whole(Caller, Response),
    Frame(Frames, Bytes),
    Lost,
}

async fn record(
    claimed: &mut Claimed,
    work: impl Future<Output = Result<Response, Fault>>,
    shape: impl FnOnce(Fault) -> Response,
    caller: Caller,
) -> Recorded {
    let (response, is_answer) = match work.await {
        Ok(response) => (response, true),
        // Of the failures that may have been charged, this one alone says what was.
        Err(fault) => {
            let is_answer = matches!(fault, Fault::Broken { .. });
            (shape(fault), is_answer)
        }
    };
    let head = is_answer.then(|| head_of(&response));
    let is_stream = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let (parts, body) = response.into_parts();
    if is_stream {
        let (frames, receiver) = Frames::channel();
        let _ = caller.send(Ok(Response::from_parts(parts, receiver)));
        let last = record_stream(claimed, body, frames).await;
        return Recorded { head, last };
    }
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Recorded { head: None, last: Last::Lost };
    };
    claimed.record(&body);
    Recorded { head, last: Last::Whole(caller, Response::from_parts(parts, Body::from(body))) }
}

/// Records a stream and hands it on, but for its last frame.
async fn record_stream(claimed: &mut Claimed, mut body: Body, mut frames: Frames) -> Last {
    let mut next = body.frame().await;
    loop {
        let Some(Ok(frame)) = next else { return Last::Lost };
        let Ok(data) = frame.into_data() else {
            next = body.frame().await;
            continue;
        };
        claimed.record(&data);
        // The end is known together with the last frame: a frame that something may follow is not kept back.
        match body.frame().now_or_never() {
            Some(None) => return Last::Frame(frames, data),
            Some(known) => {
                frames.send_or_let_go(data).await;
                next = known;
            }
            None => {
                frames.send_or_let_go(data).await;
                next = body.frame().await;
            }
        }
    }
}

/// Status and headers as a retry gets them.
fn head_of(response: &Response) -> ResponseHead {
    let named = response.headers().iter().filter_map(|(name, value)| {
        let is_of_the_moment = OF_THE_MOMENT.iter().any(|prefix| name.as_str().starts_with(prefix));
        let value = value.to_str().ok().filter(|_| !is_of_the_moment)?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    ResponseHead { status: response.status().as_u16(), headers: named.collect() }
}

/// The caller's end of a recorded stream. A caller who reads slowly is waited for; one who does not read is let go, and
/// the answer goes on without them.
struct Frames {
    sender: Option<mpsc::UnboundedSender<Frame>>,
    room: Arc<Semaphore>,
}

/// Bytes on their way, with the room that they take until they are sent.
type Frame = (Result<Bytes, io::Error>, Option<OwnedSemaphorePermit>);

impl Frames {
    fn channel() -> (Self, Body) {
        let (sender, receiver) = mpsc::unbounded_channel::<Frame>();
        let frames = stream::unfold(receiver, async |mut receiver| {
            let (bytes, _room) = receiver.recv().await?;
            Some((bytes, receiver))
        });
        (
            Self { sender: Some(sender), room: Arc::new(Semaphore::new(BEHIND_AT_MOST)) },
            Body::from_stream(frames),
        )
    }

    async fn send_or_let_go(&mut self, bytes: Bytes) {
        let Some(sender) = &self.sender else { return };
        let size = u32::try_from(bytes.len().min(BEHIND_AT_MOST)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(size);
        let room = tokio::select! {
            room = tokio::time::timeout(CALLER_PATIENCE, room) => room,
            () = sender.closed() => { self.sender = None; return }
        };
        let Ok(Ok(room)) = room else { return self.let_go() };
        if sender.send((Ok(bytes), Some(room))).is_err() {
            self.sender = None;
        }
    }

    /// Sends the last frame.
    async fn send_last(mut self, bytes: Bytes) {
        self.send_or_let_go(bytes).await;
        self.sender = None;
    }

    /// Breaks the connection: what the caller has is not the whole answer.
    fn let_go(&mut self) {
        if let Some(sender) = self.sender.take() {
            let broken =
                io::Error::new(io::ErrorKind::ConnectionAborted, "the answer is not sent to its end");
            let _ = sender.send((Err(broken), None));
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purchase_needs_one_key_of_the_callers_own() {
        let mut headers = HeaderMap::new();
        assert!(required_key_of(&headers).is_err());
        assert_eq!(key_of(&headers).expect("none is fine"), None);
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(" mine-1 "));
        assert_eq!(required_key_of(&headers).expect("sound"), "mine-1");
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("mine-2"));
        assert!(required_key_of(&headers).is_err() && key_of(&headers).is_err(), "which of the two?");
    }

    #[test]
    fn whatever_decides_the_answer_is_hashed_and_nothing_else() {
        let hash = |path: &str, headers: &[(&'static str, &'static str)], body: &[u8], variant: &str| {
            let mut request = axum::http::Request::post(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            input_hash(&request.body(()).expect("sound").into_parts().0, body, variant)
        };
        let first = hash("/v1/messages", &[], b"{}", "");
        assert_eq!(first, hash("/v1/messages", &[("user-agent", "x"), ("x-request-id", "r")], b"{}", ""));
        let clamp = [("x-freeside-clamp", "affordable")];
        assert_eq!(
            hash("/v1/messages", &clamp, b"{}", ""),
            hash("/v1/messages", &[("x-freeside-clamp", "Affordable")], b"{}", "")
        );
        let others = [
            hash("/v1/chat/completions", &[], b"{}", ""),
            hash("/v1/messages", &clamp, b"{}", ""),
            hash("/v1/messages", &[("x-freeside-fallback", "none")], b"{}", ""),
            hash("/v1/messages", &[], b"{} ", ""),
            hash("/v1/messages", &[], b"{}", "stream"),
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(*other, first, "{place}");
        }
    }
}
