//! `/admin`: the pages of a community's administrators. Figures are those of `domain::reports::community`, as for the API.
//!
//! What always holds: who looks is a signed-in wallet that administers the community of the address, read anew with each
//! request; anybody else's community is not there. Deliberately absent: keys and the operator's token, which are the API's.

mod caps;
mod conservation;
mod journal;
mod overview;
mod payments;
mod people;
mod reviews;
mod routing;
mod settings;

use std::sync::Arc;

use app::admin::{Choice, Filter, Look, Pending, Tab, Told};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use domain::community::Community;
use identity::Session;
use time::{Date, Duration, OffsetDateTime};
use types::{CommunityId, Pool};

use super::super::accounts::{Days, range};
use super::super::caller::{self, Administrator};
use super::super::fault::Fault;
use super::super::problem::{self, Shape};
use super::super::shared::moment;
use super::super::{App, body};
use super::{Reader, form};

pub(crate) use self::caps::{set as set_cap, show as caps};
pub(crate) use self::conservation::show as conservation;
pub(crate) use self::journal::show as journal;
pub(crate) use self::overview::show as overview;
pub(crate) use self::payments::{repair as repair_payment, show as payments};
pub(crate) use self::people::show as agents;
pub(crate) use self::reviews::{decide as decide_review, show as reviews};
pub(crate) use self::routing::show as routing;
pub(crate) use self::settings::{change as change_settings, show as settings};

/// A page without a range of its own shows the last four weeks: long enough for a habit to show.
const USUAL_DAYS: i64 = 28;
/// A cursor of ours is shorter; whatever is longer is none.
const CURSOR_BYTES: usize = 256;

/// `GET /admin`
pub(crate) async fn list(State(app): State<Arc<App>>, reader: Reader) -> Response {
    let Some(session) = reader.session() else { return reader.show(app::admin::sign_in(reader.visit())) };
    match domain::community::administered_by(&app.ctx, session.wallet).await {
        Ok(communities) => {
            let communities = communities.into_iter().map(shown).collect();
            reader.show_private(app::admin::list(reader.visit(), communities))
        }
        Err(error) => failed(&reader, Fault::Unexpected(error.into())),
    }
}

fn shown(community: Community) -> app::admin::Community {
    let Community { id, slug, name } = community;
    app::admin::Community { slug, name, id: id.to_string() }
}

fn failed(reader: &Reader, fault: Fault) -> Response {
    super::trouble(reader, problem::of(fault, reader.asked()))
}

/// Somebody who administers the community of the address, looking at one of its pages.
pub(crate) struct Looking {
    app: Arc<App>,
    reader: Reader,
    session: Arc<Session>,
    who: Administrator,
    community: Community,
    asking: Asking,
    told: Option<Told>,
}

impl FromRequestParts<Arc<App>> for Looking {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let Ok(reader) = Reader::from_request_parts(parts, app).await;
        // Every page here has the name of a community in its address; where there is none, none is found.
        let name = Path::<String>::from_request_parts(parts, app).await.map(|Path(name)| name);
        let mut looking =
            enter(Arc::clone(app), reader, &name.unwrap_or_default()).await.map_err(|got| *got)?;
        looking.asking = Asking::of(&parts.uri);
        looking.told = looking.asking.value("done").and_then(done);
        Ok(looking)
    }
}

/// Finds out who looks at which community. Otherwise: the answer that they get instead.
async fn enter(app: Arc<App>, reader: Reader, name: &str) -> Result<Looking, Box<Response>> {
    let Some(session) = reader.session().cloned() else {
        return Err(Box::new(reader.show(app::admin::sign_in(reader.visit()))));
    };
    let found = async {
        let community = named(&app, name).await?;
        let Some(community) = community else { return Ok(None) };
        let who = caller::of_wallet(&app, &session, community.id).await?;
        Ok(who.map(|who| (community, who)))
    };
    match found.await {
        Ok(Some((community, who))) => {
            Ok(Looking { app, reader, session, who, community, asking: Asking::default(), told: None })
        }
        Ok(None) => {
            let message = "There is no community of that name that your wallet administers. /admin lists those that it does.";
            Err(Box::new(super::trouble(&reader, Shape::not_found(message))))
        }
        Err(fault) => Err(Box::new(failed(&reader, fault))),
    }
}

/// The community of a slug or, as the API names it, an id.
async fn named(app: &App, name: &str) -> Result<Option<Community>, Fault> {
    let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
    let by_slug = domain::community::by_slug(&app.ctx, name).await.map_err(unexpected)?;
    if by_slug.is_some() {
        return Ok(by_slug);
    }
    match name.parse::<CommunityId>() {
        Ok(id) => domain::community::by_id(&app.ctx, id).await.map_err(unexpected),
        Err(_) => Ok(None),
    }
}

impl Looking {
    fn id(&self) -> CommunityId {
        self.community.id
    }

    fn now(&self) -> OffsetDateTime {
        self.app.ctx.clock.now()
    }

    fn look(&self) -> Look {
        let community = shown(self.community.clone());
        Look { community, read_at: moment(self.now()), told: self.told.clone() }
    }

    fn show(&self, page: String) -> Response {
        self.reader.show_private(page)
    }

    /// A page that says why a form was not taken.
    fn refuse(&self, status: StatusCode, page: String) -> Response {
        let mut response = self.reader.show_private(page);
        *response.status_mut() = status;
        response
    }

    fn failed(&self, fault: Fault) -> Response {
        failed(&self.reader, fault)
    }

    /// Back to a page after a form was taken, so that a reload does not send it again; `done` names what it says there.
    fn back(&self, tab: Tab, done: &'static str) -> Response {
        let place = format!("/admin/{}{}?done={done}", self.community.slug, tab.path());
        let mut response = StatusCode::SEE_OTHER.into_response();
        if let Ok(place) = HeaderValue::from_str(&place) {
            response.headers_mut().insert(LOCATION, place);
        }
        response
    }
}

/// What a page says after a form was taken. Only these words can be named in an address.
fn done(word: &str) -> Option<Told> {
    let text = match word {
        "cap" => "The cap is set, and holds from the next request on.",
        "lifted" => "The cap is lifted.",
        "admin" => "The wallet administers this community from now on.",
        "removed" => "The wallet administers this community no longer.",
        "allowed" => "The origin is allowed: its pages may hold the chat from now on.",
        "forgotten" => "The origin is taken off the list. Pages that are open keep what they have.",
        "unchanged" => "No change.",
        "dismissed" => "The item is closed, and the record says why.",
        "asked" => {
            "Your request is with the operator. Nothing happens until they approve it; this page shows what they decide."
        }
        "credited" => "The item is closed and credited.",
        "reconciled" => "The processor was asked, and its answer is applied.",
        "held-up" => "The payment is paid, and is credited once the books are checked.",
        _ => return None,
    };
    Some(Told::Done(text.to_owned()))
}

/// The query of a page: the first value of each name.
#[derive(Debug, Default)]
struct Asking(Vec<(String, String)>);

impl Asking {
    fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).take(super::super::limits::FORM_FIELDS);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A value that is not blank.
    fn value(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty() && value.len() <= CURSOR_BYTES)
    }

    fn cursor<T>(&self, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.value("cursor").and_then(read)
    }
}

/// What a page is narrowed to; what cannot be right is left out and told.
struct Narrowed {
    from: Date,
    to: Date,
    pool: Option<Pool>,
    filter: Filter,
    wrong: Option<Told>,
}

/// Reads the filter of a page. `choices`: those it has beside days and pool.
fn narrowed(asking: &Asking, today: Date, choices: Vec<Choice>) -> Narrowed {
    let mut wrong = None;
    let mut told = |fault: Fault| {
        if let Fault::Field { param, message } = fault {
            wrong = Some(Told::Refused(format!("The filter was left out in part. {param}: {message}")));
        }
    };
    let usual = today.checked_sub(Duration::days(USUAL_DAYS - 1)).unwrap_or(today);
    let text = |name| asking.value(name).map(str::to_owned);
    let days = Days { from: text("from").or_else(|| Some(usual.to_string())), to: text("to") };
    let (from, to) = range(&days, today).unwrap_or_else(|fault| {
        told(fault);
        (usual, today)
    });
    let pool = asking.value("pool").and_then(|text| {
        let pool = text.parse().ok();
        if pool.is_none() {
            told(Fault::field("pool", "There is no pool of that name."));
        }
        pool
    });
    let options = Pool::ALL.map(|pool| (pool.to_string(), pool.to_string())).to_vec();
    let value = pool.map_or_else(String::new, |pool: Pool| pool.to_string());
    let of_pool = Choice { name: "pool", label: "Pool", value, options };
    let choices = std::iter::once(of_pool).chain(choices).collect();
    let filter = Filter { from: from.to_string(), to: to.to_string(), choices };
    Narrowed { from, to, pool, filter, wrong }
}

/// A page's form, from whoever administers here.
async fn taken(
    app: Arc<App>,
    reader: Reader,
    name: &str,
    request: Request,
) -> Result<(Looking, form::Form), Box<Response>> {
    let looking = match enter(Arc::clone(&app), reader, name).await {
        Ok(looking) => looking,
        Err(response) => {
            body::discard(request.into_body()).await;
            return Err(response);
        }
    };
    match form::read(&app, looking.reader.asked(), request).await {
        Ok(form) => Ok((looking, form)),
        Err(shape) => Err(Box::new(super::trouble(&looking.reader, shape))),
    }
}

/// What waits for another administrator, as far as this page is about it.
async fn pending(
    looking: &Looking,
    about: &str,
    describe: impl Fn(&domain::admin::Pending) -> (String, Vec<(&'static str, String)>),
) -> Result<Vec<Pending>, Fault> {
    let unexpected = |error: sqlx::Error| Fault::Unexpected(error.into());
    let mut connection = looking.app.ctx.db.acquire().await.map_err(unexpected)?;
    let clock = &looking.app.ctx.clock;
    let found =
        domain::admin::pending(&mut connection, clock, looking.id(), about).await.map_err(unexpected)?;
    let own = looking.who.who();
    let row = |row: domain::admin::Pending| {
        let (what, mut fields) = describe(&row);
        fields.push(("reason", row.reason.clone()));
        fields.push(("confirmation", row.token.to_string()));
        let fields = (row.who != own).then_some(fields);
        Pending { who: row.who, what, reason: row.reason, until: moment(row.expires_at), fields }
    };
    Ok(found.into_iter().map(row).collect())
}

/// The message for whoever filled a form in, and the status of the page that shows it.
fn words(shape: &Shape) -> (StatusCode, Told) {
    (shape.head().0, Told::Refused(shape.words().1.to_owned()))
}

type Name = Path<String>;
