//! Whose account a page is about: of the key that a form shows, or of the wallet that is signed in.
//!
//! A key in a form is looked at once, and counts among its address's failures when it is wrong. A form with a key means
//! that key, whoever is signed in.

use axum::http::StatusCode;
use domain::accounts::Standing;
use domain::turn::Refusal;
use identity::{KeyRefusal, Scope};

use super::super::App;
use super::super::fault::Fault;
use super::super::sentences;
use super::Reader;
use super::form::Form;

/// Whose account.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// Of this key.
    Key(Standing),
    /// Of the developer's wallet.
    Wallet(Standing),
    /// A wallet is signed in, and has not signed up as a developer.
    NotSignedUp,
    /// Nobody has said.
    Nobody,
}

/// Why a key in a form does not serve.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is not good enough; with a sentence for the form.
    Told(StatusCode, String),
    /// Something else.
    Fault(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Of the session alone.
pub(crate) async fn signed_in(app: &App, reader: &Reader) -> Result<Holder, Fault> {
    let Some(session) = reader.session() else { return Ok(Holder::Nobody) };
    let standing =
        domain::accounts::standing_of(&app.ctx, session.wallet).await.map_err(Fault::Unexpected)?;
    Ok(standing.map_or(Holder::NotSignedUp, Holder::Wallet))
}

/// Of the form's key, which has to have these scopes; of the session when the form has none.
pub(crate) async fn of(app: &App, reader: &Reader, form: &Form, scopes: &[Scope]) -> Result<Holder, Refused> {
    let shown = form.field("key").trim();
    if shown.is_empty() {
        return Ok(signed_in(app, reader).await?);
    }
    let key = app.ctx.keys.authenticate(shown, reader.asked().ip).await.map_err(|refusal| match refusal {
        KeyRefusal::Malformed | KeyRefusal::Refused => {
            let text = "This is no valid key. Check that you copied all of it, and that it was not revoked.";
            Refused::Told(StatusCode::UNAUTHORIZED, text.to_owned())
        }
        KeyRefusal::TooManyFailures { retry_after_s } => {
            Refused::Told(StatusCode::TOO_MANY_REQUESTS, sentences::too_many_failures(retry_after_s.into()))
        }
        KeyRefusal::Unexpected(error) => Refused::Fault(Fault::Turn(Refusal::unread(error))),
    })?;
    match scopes.iter().find(|scope| !key.scopes.contains(**scope)) {
        Some(scope) => Err(Refused::Told(StatusCode::FORBIDDEN, sentences::no_scope(scope.as_str()))),
        None => Ok(Holder::Key(Standing::from(&*key))),
    }
}
