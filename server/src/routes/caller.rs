//! Learns who asks: an API key in `Authorization: Bearer` or `x-api-key`, or a wallet's session in our cookie or, from a
//! frame that holds it in memory, in `Authorization: Bearer`.

use std::sync::Arc;

use ::limits::Client;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderName};
use domain::accounts::Standing;
pub(crate) use domain::administrator::Administrator;
use domain::reports::account_of;
use domain::turn::{self, Asker, Refusal};
use identity::{ApiKey, Counted, KeyRefusal, Scope, Session, SessionRefusal};
use ledger::AccountKey;
use ring::digest;
use types::CommunityId;

use super::cookies::Cookie;
use super::exchange::Asked;
use super::fault::Fault;
use super::origins::Site;
use super::{App, body, sentences};

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
    /// A wallet that signed in.
    Session,
    /// A wallet that signed in, or an API key with this scope.
    SessionOrKey(Scope),
    /// A wallet that signed in, or any API key: what it may do is the rule's to say.
    SessionOrAnyKey,
    /// A peer on this machine, or the operator's token.
    Operator,
    /// An API key with the scope `admin`, for its own community; a signed-in wallet, for those that it administers; or
    /// the operator's token, for all.
    Admin,
    /// The operator's token: a peer on this machine is not enough where money is made.
    OperatorToken,
}

/// Somebody who may administer something, before it is known what.
#[derive(Clone, Debug)]
pub(crate) enum Claimant {
    /// Whoever holds the operator's token.
    Operator,
    /// A key with the scope `admin`.
    Key(Arc<ApiKey>),
    /// A wallet that is signed in; whether it administers anything is still to be read.
    Wallet(Arc<Session>),
}

impl Claimant {
    /// The claimant as an administrator of this community; `None`: it is not theirs.
    pub(crate) async fn of(self, app: &App, community: CommunityId) -> Result<Option<Administrator>, Fault> {
        match self {
            Self::Operator => Ok(Some(Administrator::Operator)),
            Self::Key(key) => Ok((key.community == community).then_some(Administrator::OfCommunity(key))),
            Self::Wallet(session) => of_wallet(app, &session, community).await,
        }
    }

    /// The claimant as an administrator of what belongs to a community or (`None`) to nobody: that is the operator's.
    pub(crate) async fn of_owned(
        self,
        app: &App,
        community: Option<CommunityId>,
    ) -> Result<Option<Administrator>, Fault> {
        match (self, community) {
            (claimant, Some(community)) => claimant.of(app, community).await,
            (Self::Operator, None) => Ok(Some(Administrator::Operator)),
            (Self::Key(_) | Self::Wallet(_), None) => Ok(None),
        }
    }
}

/// A session's wallet as an administrator of this community; `None`: it is not one of them, or not any more.
pub(crate) async fn of_wallet(
    app: &App,
    session: &Session,
    community: CommunityId,
) -> Result<Option<Administrator>, Fault> {
    let is_admin = domain::community::is_admin(&app.ctx, community, session.wallet).await;
    let is_admin = is_admin.map_err(|error| Fault::Unexpected(error.into()))?;
    let (wallet, signed_at) = (session.wallet, session.created_at);
    Ok(is_admin.then_some(Administrator::OfWallet { wallet, community, signed_at }))
}

/// Who may administer something: by the operator's token, a key with the scope `admin`, or a wallet's session.
///
/// A wrong token is looked at as a key, and so counts among the address's failures.
pub(crate) async fn claimant(app: &App, asked: &Asked, headers: &HeaderMap) -> Result<Claimant, Fault> {
    if has_operator_token(app, headers) {
        return Ok(Claimant::Operator);
    }
    let caller = session_or_key(app, asked, headers, Access::SessionOrKey(Scope::Admin)).await?;
    Ok(match caller {
        Caller::Wallet(session) => Claimant::Wallet(session),
        Caller::Key(key) => Claimant::Key(key),
    })
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
        Access::Key(scope) | Access::SessionOrKey(scope) if !key.scopes.contains(scope) => {
            Err(Fault::NoScope { scope: scope.as_str() })
        }
        Access::Key(_)
        | Access::SessionOrKey(_)
        | Access::SessionOrAnyKey
        | Access::Anyone
        | Access::Session
        | Access::Operator
        | Access::Admin
        | Access::OperatorToken => Ok(key),
    }
}

/// Who asks where a wallet and a key are equally welcome.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A wallet that signed in.
    Wallet(Arc<Session>),
    /// A key with the scope.
    Key(Arc<ApiKey>),
}

impl Caller {
    /// Whose share of what is shared the request takes.
    pub(crate) fn client(&self, asked: &Asked) -> Client {
        match self {
            Self::Key(key) => of_account(account_of(key)),
            Self::Wallet(_) => asked.client(),
        }
    }
}

fn of_account(key: AccountKey) -> Client {
    Client::Account(key.community, key.account)
}

/// The caller by key or by session. A request with a credential in its headers means that one, whatever cookie the
/// browser adds.
pub(crate) async fn session_or_key(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    access: Access,
) -> Result<Caller, Fault> {
    match presented(headers) {
        Some(text) if !is_session_token(text) => key(app, asked, headers, access).await.map(Caller::Key),
        None if !Cookie::Session.is_in(&app.origins, headers) => Err(Fault::NoKey),
        Some(_) | None => session(app, headers).await.map(Caller::Wallet),
    }
}

/// What the caller may do about its account: by a key of it, or as the wallet that signed it up.
pub(crate) async fn standing(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    access: Access,
) -> Result<Standing, Fault> {
    let session = match session_or_key(app, asked, headers, access).await? {
        Caller::Key(key) => return Ok(Standing::from(&*key)),
        Caller::Wallet(session) => session,
    };
    let standing = domain::accounts::standing_of(&app.ctx, session.wallet).await;
    let message = "This wallet has not signed up as a developer. POST /api/v1/developers/register does that.";
    standing.map_err(Fault::Unexpected)?.ok_or_else(|| Fault::NotFound { message: message.to_owned() })
}

/// The wallet that signed in. A session works from the origin that it was made for, and from no other page.
pub(crate) async fn session(app: &App, headers: &HeaderMap) -> Result<Arc<Session>, Fault> {
    let token = match bearer(headers).filter(|text| is_session_token(text)) {
        Some(token) => token.to_owned(),
        None => Cookie::Session.read(&app.origins, headers).ok_or(Fault::NoSession)?,
    };
    let session = app.sign_in.sessions.check(&token).await.map_err(|refusal| match refusal {
        SessionRefusal::Malformed => Fault::SessionOver { message: sentences::SESSION_BAD },
        SessionRefusal::Expired => Fault::SessionOver { message: sentences::SESSION_EXPIRED },
        SessionRefusal::Ended => Fault::SessionOver { message: sentences::SESSION_ENDED },
        SessionRefusal::Unexpected(error) => Fault::Turn(Refusal::unread(error)),
    })?;
    let is_elsewhere = match app.origins.site(headers) {
        Site::Own => app.origins.named(headers).is_some_and(|origin| origin != session.origin),
        Site::Foreign => true,
        Site::Unsaid => false,
    };
    if is_elsewhere { Err(Fault::SessionOver { message: sentences::SESSION_ELSEWHERE }) } else { Ok(session) }
}

/// Our keys have no dots; a session's token has two.
fn is_session_token(text: &str) -> bool {
    !text.starts_with(OUR_KEYS) && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// A key whose request was counted before its body is read.
#[derive(Debug)]
pub(crate) struct CountedKey {
    pub(crate) key: Arc<ApiKey>,
    counted: Counted,
}

impl CountedKey {
    /// Whose memory the body takes: all keys of the account share it.
    pub(crate) fn client(&self) -> Client {
        of_account(self.asker().account)
    }

    /// Who asks and pays.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker::of_key(&self.key, self.counted)
    }
}

/// The caller's key, its request counted against its limits. A refused client gets to send its body before it reads why.
pub(crate) async fn counted_before(
    app: &App,
    asked: &Asked,
    headers: &HeaderMap,
    body: Body,
    access: Access,
) -> Result<(CountedKey, Body), Fault> {
    let (key, body) = key_before(app, asked, headers, body, access).await?;
    match turn::count(&app.ctx, &key).await {
        Ok(counted) => Ok((CountedKey { key, counted }, body)),
        Err(refusal) => {
            body::discard(body).await;
            Err(refusal.into())
        }
    }
}

/// Like [`key`], for a request whose body is still to be read: a refused client gets to send it before it reads why.
async fn key_before(
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

    /// Whether this is it.
    #[must_use]
    pub fn is(&self, presented: &str) -> bool {
        self.0.as_ref() == digest::digest(&digest::SHA256, presented.as_bytes()).as_ref()
    }
}

fn has_operator_token(app: &App, headers: &HeaderMap) -> bool {
    app.operator_token.as_ref().is_some_and(|token| bearer(headers).is_some_and(|text| token.is(text)))
}

/// Whether the caller is the operator: on this machine, or with the token.
pub(crate) fn is_operator(app: &App, asked: &Asked, headers: &HeaderMap) -> bool {
    asked.local || has_operator_token(app, headers)
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
