//! Agents: the tokens of a community's collections, as pages and turns see them.
//!
//! What always holds: an agent is named by its collection's slug and its token id, decimal and without leading zeros, in
//! addresses, model names and the engine's claims alike. Deliberately absent: the personality, which the engine alone
//! derives, and who holds a token, which only the chain knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgConnection;
use sqlx::types::Json;
use time::{Duration, OffsetDateTime};
use types::{CommunityId, narration};

use crate::Ctx;

pub use types::Palette;

/// A token id has up to 256 bits, which is so many decimal digits.
pub const TOKEN_DIGITS_AT_MOST: usize = 78;
/// The slug's length is the table's.
pub const SLUG_BYTES_AT_MOST: usize = 63;
/// What is read stands for so long in this process: a turn and its pages then cost one query, and a change shows soon.
const REMEMBERED_FOR: Duration = Duration::seconds(5);
/// Agents remembered at most; past that all are forgotten, which is slower and never wrong.
const REMEMBERED_AT_MOST: usize = 10_000;
/// Agents that the first page introduces: two rows.
pub const SHOWN: i64 = 6;

/// A token that speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its row.
    pub id: i64,
    /// Whose it is.
    pub community: CommunityId,
    /// Its collection's slug.
    pub slug: String,
    /// Its collection's name, for people.
    pub collection: String,
    /// Decimal, without leading zeros.
    pub token_id: String,
    /// What people call it.
    pub name: String,
    /// A few sentences as they may be shown; may be empty.
    pub description: String,
    /// A path of ours or a data image.
    pub image: Option<String>,
    /// Names and values as they may be shown, in the metadata's order.
    pub traits: Vec<(String, String)>,
    /// Its colours.
    pub palette: Palette,
    /// Of its personality.
    pub version: i32,
    /// Only its holder may talk to it.
    pub holder_only: bool,
    /// Conversations may be read without a login.
    pub public_history: bool,
}

/// The traits that say what an agent is, most telling first; the engine reads them in this order, too.
const NATURES: [&str; 3] = ["archetype", "calling", "class"];

impl Agent {
    /// What it is by its own traits: a wayfinder, a sage.
    #[must_use]
    pub fn nature(&self) -> Option<&str> {
        // What may not be said of an agent's machinery is cleaned from names, too.
        let named = |wanted: &str| {
            let wanted = narration::clean(wanted);
            self.traits.iter().find(|(name, _)| name.eq_ignore_ascii_case(&wanted))
        };
        NATURES.iter().find_map(|name| named(name)).map(|(_, value)| value.as_str())
    }

    /// `{slug}:{token}`, as claims and records have it.
    #[must_use]
    pub fn nft_id(&self) -> String {
        format!("{}:{}", self.slug, self.token_id)
    }
}

/// Agents that this process has read lately.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<Name, (OffsetDateTime, Arc<Agent>)>>, Mutex<Option<Shown>>);

/// The first agents of the default collection, and when they were read.
type Shown = (OffsetDateTime, Arc<[Arc<Agent>]>);

/// Slug and token.
type Name = (String, String);

/// The agent of a collection's token; `None`: there is none.
pub async fn find(ctx: &Ctx, slug: &str, token: &str) -> Result<Option<Arc<Agent>>, sqlx::Error> {
    if !is_slug(slug) || !is_token(token) {
        return Ok(None);
    }
    let name = (slug.to_owned(), token.to_owned());
    let now = ctx.clock.now();
    if let Some((read_at, agent)) = ctx.agents.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name)
        && now - *read_at < REMEMBERED_FOR
    {
        return Ok(Some(Arc::clone(agent)));
    }
    let mut connection = ctx.db.acquire().await?;
    let Some(agent) = read(&mut connection, slug, token).await? else { return Ok(None) };
    let agent = Arc::new(agent);
    let mut known = ctx.agents.0.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= REMEMBERED_AT_MOST {
        known.clear();
    }
    known.insert(name, (now, Arc::clone(&agent)));
    Ok(Some(agent))
}

/// The agent of a token in the deployment's default collection.
pub async fn find_default(ctx: &Ctx, token: &str) -> Result<Option<Arc<Agent>>, sqlx::Error> {
    match default_collection(ctx).await? {
        Some(slug) => find(ctx, &slug, token).await,
        None => Ok(None),
    }
}

/// The slug of the deployment's default collection: what an address without a collection means.
pub async fn default_collection(ctx: &Ctx) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select slug from collection where is_default").fetch_optional(&ctx.db).await
}

/// Which agents of a community.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The last agent of the page before.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// A community's agents, in the order in which they came.
pub async fn list(ctx: &Ctx, community: CommunityId, page: Page) -> Result<Vec<Arc<Agent>>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select agent.id, collection.community_id, collection.slug, collection.name as collection, agent.token_id,
           agent.name, agent.description, agent.image, agent.traits, agent.version, agent.holder_only,
           agent.public_history
         from agent join collection on collection.id = agent.collection_id
         where collection.community_id = $1 and agent.id > $2 order by agent.id limit $3",
    )
    .bind(community.0)
    .bind(page.after.unwrap_or(i64::MIN))
    .bind(page.limit)
    .fetch_all(&ctx.db)
    .await?;
    Ok(rows.into_iter().map(|row| Arc::new(row.into())).collect())
}

/// The first agents of the deployment's default collection, for the first page: at most [`SHOWN`], none where there is no
/// such collection.
pub async fn shown(ctx: &Ctx) -> Result<Arc<[Arc<Agent>]>, sqlx::Error> {
    let now = ctx.clock.now();
    if let Some((read_at, agents)) = &*ctx.agents.1.lock().unwrap_or_else(PoisonError::into_inner)
        && now - *read_at < REMEMBERED_FOR
    {
        return Ok(Arc::clone(agents));
    }
    let agents: Arc<[Arc<Agent>]> = of_default(ctx, Page { after: None, limit: SHOWN }).await?.into();
    *ctx.agents.1.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&agents)));
    Ok(agents)
}

/// The agents of the deployment's default collection, in the order in which they came.
pub async fn of_default(ctx: &Ctx, page: Page) -> Result<Vec<Arc<Agent>>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select agent.id, collection.community_id, collection.slug, collection.name as collection, agent.token_id,
           agent.name, agent.description, agent.image, agent.traits, agent.version, agent.holder_only,
           agent.public_history
         from agent join collection on collection.id = agent.collection_id
         where collection.is_default and agent.id > $1 order by agent.id limit $2",
    )
    .bind(page.after.unwrap_or(i64::MIN))
    .bind(page.limit)
    .fetch_all(&ctx.db)
    .await?;
    Ok(rows.into_iter().map(|row| Arc::new(row.into())).collect())
}

/// Whether a text can be a collection's slug.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= SLUG_BYTES_AT_MOST
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().all(|byte| is_plain(byte) || byte == b'-')
}

/// Whether a text can be a token id: one text for each number.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_DIGITS_AT_MOST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

async fn read(connection: &mut PgConnection, slug: &str, token: &str) -> Result<Option<Agent>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "select agent.id, collection.community_id, collection.slug, collection.name as collection, agent.token_id,
           agent.name, agent.description, agent.image, agent.traits, agent.version, agent.holder_only,
           agent.public_history
         from agent join collection on collection.id = agent.collection_id
         where collection.slug = $1 and agent.token_id = $2",
    )
    .bind(slug)
    .bind(token)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    community_id: i64,
    slug: String,
    collection: String,
    token_id: String,
    name: String,
    description: String,
    image: Option<String>,
    traits: Json<Vec<(String, String)>>,
    version: i32,
    holder_only: bool,
    public_history: bool,
}

impl From<Row> for Agent {
    fn from(row: Row) -> Self {
        let Json(traits) = row.traits;
        let shown = |(name, value): &(String, String)| (narration::clean(name), narration::clean(value));
        Self {
            palette: Palette::of(&row.slug, &row.token_id, &traits),
            id: row.id,
            community: CommunityId(row.community_id),
            slug: row.slug,
            collection: row.collection,
            token_id: row.token_id,
            name: row.name,
            description: narration::clean(&row.description),
            image: row.image,
            traits: traits.iter().map(shown).collect(),
            version: row.version,
            holder_only: row.holder_only,
            public_history: row.public_history,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_text() {
        for slug in ["demo", "a", "0x-apes", &"a".repeat(63)] {
            assert!(is_slug(slug), "{slug}");
        }
        for slug in ["", "-a", "A", "a_b", "a:b", "ä", &"a".repeat(64)] {
            assert!(!is_slug(slug), "{slug}");
        }
        for token in ["0", "1", "907", &"9".repeat(78)] {
            assert!(is_token(token), "{token}");
        }
        for token in ["", "01", "-1", "+1", "1e3", "٣", &"9".repeat(79)] {
            assert!(!is_token(token), "{token}");
        }
    }
}
