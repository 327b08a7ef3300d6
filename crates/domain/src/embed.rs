//! Whose pages may hold a community's chat in a frame: a list of exact origins, kept by the community's administrators.
//!
//! What always holds: an origin is one letter for letter as a browser writes it, without a wildcard; a list has at most
//! [`ORIGINS_AT_MOST`]; each change and the record of who made it are one commit. Deliberately absent: the header that
//! tells a browser (the door's), and who may change a list.

mod origin;

use sqlx::PgConnection;
use time::OffsetDateTime;
use types::CommunityId;

use crate::Ctx;
use crate::admin::{self, Deed};
use crate::community::Deputy;

pub use self::origin::{Origin, OriginFault};

/// Origins of one community: all of them stand in one header of the frame, which stays below the 8 KiB that proxies pass
/// on even if each has the longest name there is.
pub const ORIGINS_AT_MOST: usize = 20;

/// An origin on a community's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Whose pages.
    pub origin: Origin,
    /// By whom, as [`Deed::who`] says it.
    pub added_by: String,
    /// Since when.
    pub at: OffsetDateTime,
}

/// Why a list was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ListFault {
    /// There is no such community.
    #[error("there is no such community")]
    NoCommunity,
    /// It would have more than [`ORIGINS_AT_MOST`].
    #[error("a community allows at most {ORIGINS_AT_MOST} origins: take one away first")]
    Full,
    /// The database failed.
    #[error(transparent)]
    Unexpected(#[from] sqlx::Error),
}

/// Whether pages of this very machine may hold a frame although no list names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThisMachine {
    /// They may: the server itself is reached on this machine alone, so whoever serves a page beside it has the machine.
    /// This is how one tries the widget in development.
    Welcome,
    /// They may when the list names them: anywhere else "this machine" is the visitor's.
    OnlyWhenListed,
}

/// A community's list, in the order of the alphabet.
pub async fn origins(ctx: &Ctx, community: CommunityId) -> Result<Vec<Allowed>, sqlx::Error> {
    let mut connection = ctx.db.acquire().await?;
    list(&mut connection, community).await
}

async fn list(connection: &mut PgConnection, community: CommunityId) -> Result<Vec<Allowed>, sqlx::Error> {
    let rows: Vec<(String, String, OffsetDateTime)> = sqlx::query_as(
        r#"select origin, added_by, at from embed_origin where community_id = $1 order by origin collate "C""#,
    )
    .bind(community.0)
    .fetch_all(connection)
    .await?;
    let allowed = |(origin, added_by, at): (String, String, OffsetDateTime)| {
        let origin = Origin::parse(&origin).map_err(|fault| sqlx::Error::Decode(Box::new(fault)))?;
        Ok(Allowed { origin, added_by, at })
    };
    rows.into_iter().map(allowed).collect()
}

/// Who may hold a frame for `host` around it: the whole list, and `host` itself where it is welcome without one. `None`:
/// `host` may not.
pub async fn ancestors(
    ctx: &Ctx,
    community: CommunityId,
    host: &Origin,
    this_machine: ThisMachine,
) -> Result<Option<Vec<Origin>>, sqlx::Error> {
    let mut listed: Vec<Origin> = origins(ctx, community).await?.into_iter().map(|row| row.origin).collect();
    if !listed.contains(host) {
        if this_machine == ThisMachine::OnlyWhenListed || !host.is_this_machine() {
            return Ok(None);
        }
        listed.push(host.clone());
    }
    Ok(Some(listed))
}

/// Puts an origin on the list. `false`: it is on it already.
pub async fn allow(
    ctx: &Ctx,
    community: CommunityId,
    origin: &Origin,
    by: Deputy<'_>,
) -> Result<bool, ListFault> {
    let mut tx = ctx.db.begin().await?;
    lock(&mut tx, community).await?;
    let is_new = insert(ctx, &mut tx, community, origin, by).await?;
    if list(&mut tx, community).await?.len() > ORIGINS_AT_MOST {
        return Err(ListFault::Full);
    }
    tx.commit().await?;
    Ok(is_new)
}

/// Takes an origin off the list. `false`: it was not on it. Frames that are open stay open: a browser asks once.
pub async fn forget(
    ctx: &Ctx,
    community: CommunityId,
    origin: &Origin,
    by: Deputy<'_>,
) -> Result<bool, ListFault> {
    let mut tx = ctx.db.begin().await?;
    lock(&mut tx, community).await?;
    let was_there = delete(ctx, &mut tx, community, origin, by).await?;
    tx.commit().await?;
    Ok(was_there)
}

/// Makes the list exactly `wanted`; what comes and what goes is recorded one by one, and what stays is left alone.
pub async fn replace(
    ctx: &Ctx,
    community: CommunityId,
    wanted: &[Origin],
    by: Deputy<'_>,
) -> Result<Vec<Allowed>, ListFault> {
    let mut tx = ctx.db.begin().await?;
    lock(&mut tx, community).await?;
    for before in list(&mut tx, community).await? {
        if !wanted.contains(&before.origin) {
            delete(ctx, &mut tx, community, &before.origin, by).await?;
        }
    }
    for origin in wanted {
        insert(ctx, &mut tx, community, origin, by).await?;
    }
    let now = list(&mut tx, community).await?;
    if now.len() > ORIGINS_AT_MOST {
        return Err(ListFault::Full);
    }
    tx.commit().await?;
    Ok(now)
}

/// One change of a list at a time: otherwise two could each see room for one more.
async fn lock(connection: &mut PgConnection, community: CommunityId) -> Result<(), ListFault> {
    let found: Option<i64> = sqlx::query_scalar("select id from community where id = $1 for update")
        .bind(community.0)
        .fetch_optional(connection)
        .await?;
    found.map(|_| ()).ok_or(ListFault::NoCommunity)
}

async fn insert(
    ctx: &Ctx,
    connection: &mut PgConnection,
    community: CommunityId,
    origin: &Origin,
    by: Deputy<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "insert into embed_origin (community_id, origin, added_by, at) values ($1, $2, $3, $4)
         on conflict on constraint embed_origin_pk do nothing",
    )
    .bind(community.0)
    .bind(origin.as_str())
    .bind(by.who)
    .bind(ctx.clock.now())
    .execute(&mut *connection)
    .await?;
    write_down(ctx, connection, community, ("embed.allow", origin, by), done.rows_affected()).await
}

async fn delete(
    ctx: &Ctx,
    connection: &mut PgConnection,
    community: CommunityId,
    origin: &Origin,
    by: Deputy<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("delete from embed_origin where community_id = $1 and origin = $2")
        .bind(community.0)
        .bind(origin.as_str())
        .execute(&mut *connection)
        .await?;
    write_down(ctx, connection, community, ("embed.forget", origin, by), done.rows_affected()).await
}

async fn write_down(
    ctx: &Ctx,
    connection: &mut PgConnection,
    community: CommunityId,
    (what, origin, by): (&str, &Origin, Deputy<'_>),
    rows: u64,
) -> Result<bool, sqlx::Error> {
    if rows == 0 {
        return Ok(false);
    }
    let deed =
        Deed { who: by.who, what, target: origin.as_str(), reason: by.reason, community: Some(community) };
    admin::record(connection, &ctx.clock, deed).await?;
    Ok(true)
}
