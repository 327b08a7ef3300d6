//! Replies: a whole one, a problem (RFC 9457), or a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use types::s2s::{CONTRACT_VERSION, headers};

use crate::answer::Answer;
use crate::failure::Failure;

pub(crate) enum Reply {
    Whole(Full<Bytes>),
    Answer(Box<Answer>),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context),
            Self::Answer(answer) => Pin::new(answer.as_mut()).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Answer(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Answer(_) => SizeHint::default(),
        }
    }
}

/// A whole reply with the contract's version on it.
pub(crate) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Full::new(body.into())));
    *response.status_mut() = status;
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.insert(
        HeaderName::from_static(headers::CONTRACT_VERSION),
        HeaderValue::from_static(CONTRACT_VERSION),
    );
    response
}

/// What went wrong, for programs (`code`) and people (`detail`).
pub(crate) fn problem(status: StatusCode, code: &str, detail: &str, request_id: &str) -> Response<Reply> {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
        "request_id": request_id,
    });
    let mut response = whole(status, "application/problem+json", body.to_string());
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(HeaderName::from_static(headers::REQUEST_ID), value);
    }
    response
}

/// The one answer to every token that does not please. It never says why.
pub(crate) fn unauthorized(request_id: &str) -> Response<Reply> {
    let status = StatusCode::UNAUTHORIZED;
    let mut response = problem(status, "unauthorized", "A valid service token is needed.", request_id);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    // The body was not read; what follows on this connection is of no interest.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// No model spoke.
pub(crate) fn failed(failure: &Failure, request_id: &str) -> Response<Reply> {
    let status = StatusCode::from_u16(failure.http_status()).expect("the statuses of failures are real ones");
    let mut response = problem(status, failure.code(), failure.message(), request_id);
    if let Some(seconds) = failure.retry_after_s() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The path exists, the method does not.
pub(crate) fn method_not_allowed(allowed: &'static str, request_id: &str) -> Response<Reply> {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = problem(status, "method_not_allowed", "This path has another method.", request_id);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
