//! `/chat/{collection}/{token}` and what belongs to it: the page, its colours and pictures, and its two forms. What stands
//! on the page is `domain::chat::room`.

use std::sync::Arc;

use app::chat::{Agent, Purse, Room, Shown, Turn, TurnState};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use domain::agent;
use domain::chat::{self, Feedback, Look, Said, Sharing, Whose};
use domain::flags::Flag;
use serde::Deserialize;
use time::macros::format_description;
use types::WalletId;
use uuid::Uuid;

use super::super::App;
use super::super::exchange::text;
use super::super::fault::Fault;
use super::super::problem::{self, Shape};
use super::{Reader, agents, form};

/// A question that comes in an address, from a link of ours: a short one.
const DRAFT_CHARACTERS: usize = 300;

/// What a reader wants to see.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    whose: Option<String>,
    before: Option<Uuid>,
    turn: Option<Uuid>,
    ask: Option<String>,
}

/// `GET /chat/{token}`: of the deployment's default collection.
pub(crate) async fn of_default(
    State(app): State<Arc<App>>,
    reader: Reader,
    token: Result<Path<String>, PathRejection>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let found = match token {
        Ok(Path(token)) => agent::find_default(&app.ctx, &token).await,
        Err(_) => Ok(None),
    };
    show(&app, &reader, found, wanted).await
}

/// `GET /chat/{collection}/{token}`
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    reader: Reader,
    names: Result<Path<(String, String)>, PathRejection>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let found = named(&app, names).await;
    show(&app, &reader, found, wanted).await
}

async fn named(
    app: &App,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Result<Option<Arc<agent::Agent>>, sqlx::Error> {
    match names {
        Ok(Path((slug, token))) => agent::find(&app.ctx, &slug, &token).await,
        Err(_) => Ok(None),
    }
}

async fn show(
    app: &App,
    reader: &Reader,
    found: Result<Option<Arc<agent::Agent>>, sqlx::Error>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    if !app.ctx.flags.is_on(Flag::WebChat) {
        return super::trouble(reader, Shape::web_chat_off());
    }
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => return agents::nobody(app, reader).await,
        Err(error) => return unexpected(reader, error.into()),
    };
    // An address that was cut short still leads to the agent.
    let Query(wanted) = wanted.unwrap_or_default();
    let wallet = reader.visit().wallet;
    let (whose, shown, look) = look(&wanted, wallet);
    let room = match chat::room(&app.ctx, &found, wallet, whose, look).await {
        Ok(Some(room)) => room,
        Ok(None) => return super::nothing(reader, "There is no such turn, or it is not yours to read."),
        Err(error) => return unexpected(reader, error),
    };
    let room = Room {
        community: room.community,
        usual: room.usual,
        purse: room.purse.map(|purse| match purse {
            chat::Purse::Available(sum) => Purse::Available(sum),
            chat::Purse::New(gift) => Purse::New(gift),
        }),
        shares: room.sharing.map(|sharing| sharing == Sharing::Public),
        shown,
        turns: room.turns.into_iter().map(|said| turn(said, whose)).collect(),
        has_earlier: room.has_earlier,
        draft: wanted.ask.filter(|ask| ask.chars().count() <= DRAFT_CHARACTERS).unwrap_or_default(),
    };
    let page = app::chat::page(reader.visit(), &agents::shown(&found), &room);
    if wallet.is_some() { reader.show_private(page) } else { reader.show(page) }
}

/// One's own newest turns, unless something else is asked for. Whoever is not signed in reads what is shared.
fn look(wanted: &Wanted, wallet: Option<WalletId>) -> (Whose, Shown, Look) {
    let own = wallet.filter(|_| wanted.whose.as_deref() != Some("public")).map(Whose::Of);
    let whose = own.unwrap_or(Whose::Public);
    match (wanted.turn, wanted.before) {
        (Some(turn), _) => (whose, Shown::One, Look::Turn(turn)),
        (None, before) if own.is_none() => (whose, Shown::Public, Look::Page(before)),
        (None, Some(before)) => (whose, Shown::OwnEarlier, Look::Page(Some(before))),
        (None, None) => (whose, Shown::Own, Look::Page(None)),
    }
}

fn turn(said: Said, whose: Whose) -> Turn {
    let is_own = matches!(whose, Whose::Of(_));
    Turn {
        id: said.id.to_string(),
        request_id: is_own.then(|| said.request_id.to_string()),
        question: said.question,
        answer: said.answer,
        state: match said.state {
            "asked" | "streaming" => TurnState::Running,
            "done" => TurnState::Ended { was_stopped: false },
            "stopped" => TurnState::Ended { was_stopped: true },
            _ => TurnState::Failed,
        },
        message: said.message.filter(|_| is_own),
        pool: said.pool.map(types::Pool::as_str),
        cost: is_own.then_some(said.cost),
        is_good: said.feedback.filter(|_| is_own).map(|feedback| feedback == Feedback::Good),
        asked_on: said.asked_at.format(format_description!("[year]-[month]-[day]")).unwrap_or_default(),
    }
}

/// `POST /chat/{collection}/{token}/sharing`: lets others read one's conversation, or takes that back.
pub(crate) async fn share(
    State(app): State<Arc<App>>,
    reader: Reader,
    names: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let (agent, wallet) = match mine(&app, &reader, names).await {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let sharing = if form.field("public") == "yes" { Sharing::Public } else { Sharing::Private };
    match chat::share(&app.ctx, &agent, wallet, sharing).await {
        Ok(()) => back(&agents::shown(&agent)),
        Err(error) => unexpected(&reader, error.into()),
    }
}

/// `POST /chat/{collection}/{token}/feedback`: what one thinks of an answer of one's own.
pub(crate) async fn rate(
    State(app): State<Arc<App>>,
    reader: Reader,
    names: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let (agent, wallet) = match mine(&app, &reader, names).await {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let (id, feedback) = match (form.field("good"), form.field("bad")) {
        ("", bad) => (bad, Feedback::Bad),
        (good, _) => (good, Feedback::Good),
    };
    let rated = match Uuid::try_parse(id) {
        Ok(id) => chat::rate(&app.ctx, wallet, id, feedback).await,
        Err(_) => Ok(false),
    };
    match rated {
        Ok(true) => back(&agents::shown(&agent)),
        Ok(false) => super::nothing(&reader, "You have no answer of that number that has ended."),
        Err(error) => unexpected(&reader, error.into()),
    }
}

/// The agent of a form and the wallet that sent it.
async fn mine(
    app: &App,
    reader: &Reader,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Result<(Arc<agent::Agent>, WalletId), Box<Response>> {
    let found = match named(app, names).await {
        Ok(Some(found)) => found,
        Ok(None) => return Err(Box::new(agents::nobody(app, reader).await)),
        Err(error) => return Err(Box::new(unexpected(reader, error.into()))),
    };
    let refused = || Box::new(super::trouble(reader, problem::of(Fault::NoSession, reader.asked())));
    let wallet = reader.visit().wallet.ok_or_else(refused)?;
    Ok((found, wallet))
}

fn back(agent: &Agent) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, text(&agent.path()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unexpected(reader: &Reader, error: anyhow::Error) -> Response {
    super::trouble(reader, problem::of(Fault::Unexpected(error), reader.asked()))
}

#[cfg(test)]
mod tests {
    use types::Wallet;

    use super::*;

    #[test]
    fn ones_own_is_shown_to_oneself_alone() {
        let me = Some(WalletId::by_key(Wallet([1; 20])));
        let ask = |whose: Option<&str>, before| Wanted {
            whose: whose.map(str::to_owned),
            before,
            ..Wanted::default()
        };
        assert_eq!(
            look(&ask(None, None), me),
            (Whose::Of(WalletId::by_key(Wallet([1; 20]))), Shown::Own, Look::Page(None))
        );
        for nobody in [ask(None, None), ask(Some("own"), None), ask(Some("public"), None)] {
            assert_eq!(look(&nobody, None), (Whose::Public, Shown::Public, Look::Page(None)));
        }
        let id = Uuid::from_u128(7);
        assert_eq!(look(&ask(None, Some(id)), me).1, Shown::OwnEarlier);
        assert_eq!(look(&ask(Some("public"), Some(id)), me).0, Whose::Public);
    }
}
