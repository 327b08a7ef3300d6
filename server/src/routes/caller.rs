//! Learns who asks: an API key in `Authorization: Bearer` or `x-api-key`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderName};
use domain::turn::Refusal;
use identity::{ApiKey, KeyRefusal, Scope};
use ring::digest;

use super::exchange::Asked;
use super::fault::Fault;
use super::{App, body};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// How our keys begin; with both headers set, the one that holds a key of ours is meant.
const OUR_KEYS: &str = "lf_";

/// What a caller has to bring to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Anyone,
    /// An API key with this scope.
    Key(Scope),
    /// A peer on this machine, or the operator's token.
    Operator,
}

/// The caller's key, when it is good and has the scope that the route's [`Access`] names.
pub(crate) async fn key(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    access: Access,
) -> Result<Arc<ApiKey>, Fault> {
    let presented = presented(headers).ok_or(Fault::NoKey)?;
    let key = app.ctx.keys.authenticate(presented, asked.ip).await.map_err(|refusal| match refusal {
        KeyRefusal::Malformed | KeyRefusal::Refused => Fault::BadKey,
        KeyRefusal::TooManyFailures { retry_after_s } => {
            Fault::TooManyFailures { retry_after_s: retry_after_s.into() }
        }
        KeyRefusal::Unexpected(error) => Fault::Turn(Refusal::unread(error)),
    })?;
    match access {
        Access::Key(scope) if !key.scopes.contains(scope) => Err(Fault::NoScope { scope: scope.as_str() }),
        Access::Key(_) | Access::Anyone | Access::Operator => Ok(key),
    }
}

/// Like [`key`], for a request whose body is still to be read: a refused client gets to send it before it reads why.
pub(crate) async fn key_before(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    body: Body,
    access: Access,
) -> Result<(Arc<ApiKey>, Body), Fault> {
    match key(app, asked, headers, access).await {
        Ok(key) => Ok((key, body)),
        Err(fault) => {
            body::discard(body).await;
            Err(fault)
        }
    }
}

/// The credential in the headers, if any.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = bearer(headers);
    let api_key = headers.get(X_API_KEY).and_then(|value| value.to_str().ok()).map(str::trim);
    let candidates = [bearer, api_key];
    let given = || candidates.into_iter().flatten().filter(|text| !text.is_empty());
    given().find(|text| text.starts_with(OUR_KEYS)).or_else(|| given().next())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The operator's token, kept as a hash: comparing hashes tells a guesser nothing, and there is nothing to print.
#[derive(Clone)]
pub struct OperatorToken(digest::Digest);

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OperatorToken")
    }
}

impl OperatorToken {
    /// Takes the token in.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(digest::digest(&digest::SHA256, token.as_bytes()))
    }

    fn is(&self, presented: &str) -> bool {
        self.0.as_ref() == digest::digest(&digest::SHA256, presented.as_bytes()).as_ref()
    }
}

/// Whether the caller is the operator: on this machine, or with the token.
pub(crate) fn is_operator(app: &App, asked: &Asked, headers: &HeaderMap) -> bool {
    asked.local
        || app.operator_token.as_ref().is_some_and(|token| bearer(headers).is_some_and(|text| token.is(text)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_is_found_in_either_header_and_ours_comes_first() {
        let mut headers = HeaderMap::new();
        assert_eq!(presented(&headers), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer  something "));
        assert_eq!(presented(&headers), Some("something"));
        headers.insert(X_API_KEY, HeaderValue::from_static("lf_test_x"));
        assert_eq!(presented(&headers), Some("lf_test_x"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic bGZf"));
        assert_eq!(presented(&headers), Some("lf_test_x"));
        headers.insert(X_API_KEY, HeaderValue::from_bytes(b"\xff").expect("opaque"));
        assert_eq!(presented(&headers), None);
    }

    #[test]
    fn the_operators_token_is_compared_and_never_printed() {
        let token = OperatorToken::new("open sesame");
        assert!(token.is("open sesame") && !token.is("open"));
        assert_eq!(format!("{token:?}"), "OperatorToken");
    }
}
