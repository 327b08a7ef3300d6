//! Communities and who administers them.
//!
//! What always holds: a right given or taken is written down in the same commit. Deliberately absent: what an
//! administrator may do (the doors' access says so), and keys with the scope `admin`, which identity checks.

use sqlx::PgConnection;
use time::OffsetDateTime;
use types::{Clock, CommunityId, WalletId};

use crate::Ctx;
use crate::admin::{self, Deed};

/// More than a community needs, and a list that a page can show whole.
pub const ADMINS_AT_MOST: i64 = 50;

/// How the record names a right that is given.
pub const ADD_ADMIN: &str = "admin.add";
/// How the record names a right that is taken.
pub const REMOVE_ADMIN: &str = "admin.remove";

/// A community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Community {
    /// Its number.
    pub id: CommunityId,
    /// In addresses.
    pub slug: String,
    /// For people.
    pub name: String,
}

/// A wallet that administers, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Whose.
    pub wallet: WalletId,
    /// By whom: another admin's wallet, or a word such as `configuration`.
    pub added_by: String,
    /// Since when.
    pub at: OffsetDateTime,
}

/// The community of that number.
pub async fn by_id(ctx: &Ctx, id: CommunityId) -> Result<Option<Community>, sqlx::Error> {
    let row: Option<(i64, String, String)> =
        sqlx::query_as("select id, slug, name from community where id = $1")
            .bind(id.0)
            .fetch_optional(&ctx.db)
            .await?;
    Ok(row.map(community))
}

/// The community of that slug.
pub async fn by_slug(ctx: &Ctx, slug: &str) -> Result<Option<Community>, sqlx::Error> {
    let row: Option<(i64, String, String)> =
        sqlx::query_as("select id, slug, name from community where slug = $1")
            .bind(slug)
            .fetch_optional(&ctx.db)
            .await?;
    Ok(row.map(community))
}

fn community((id, slug, name): (i64, String, String)) -> Community {
    Community { id: CommunityId(id), slug, name }
}

/// Whether a wallet administers a community.
pub async fn is_admin(ctx: &Ctx, community: CommunityId, wallet: WalletId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from community_admin where community_id = $1 and wallet = $2)")
        .bind(community.0)
        .bind(wallet.to_string())
        .fetch_one(&ctx.db)
        .await
}

/// The communities that a wallet administers, by name.
pub async fn administered_by(ctx: &Ctx, wallet: WalletId) -> Result<Vec<Community>, sqlx::Error> {
    let rows: Vec<(i64, String, String)> = sqlx::query_as(
        "select community.id, community.slug, community.name from community_admin
         join community on community.id = community_admin.community_id
         where community_admin.wallet = $1 order by community.name, community.id",
    )
    .bind(wallet.to_string())
    .fetch_all(&ctx.db)
    .await?;
    Ok(rows.into_iter().map(community).collect())
}

/// A community's administrators, earliest first.
pub async fn admins(ctx: &Ctx, community: CommunityId) -> Result<Vec<Admin>, sqlx::Error> {
    let rows: Vec<(String, String, OffsetDateTime)> = sqlx::query_as(
        "select wallet, added_by, at from community_admin where community_id = $1 order by at, wallet",
    )
    .bind(community.0)
    .fetch_all(&ctx.db)
    .await?;
    let admin = |(wallet, added_by, at): (String, String, OffsetDateTime)| {
        let wallet = wallet.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Admin { wallet, added_by, at })
    };
    rows.into_iter().map(admin).collect()
}

/// Makes a wallet an administrator, inside the caller's transaction. `false`: it is one already.
pub async fn add_admin(
    connection: &mut PgConnection,
    clock: &Clock,
    community: CommunityId,
    wallet: WalletId,
    by: Deputy<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "insert into community_admin (community_id, wallet, added_by, at) values ($1, $2, $3, $4)
         on conflict on constraint community_admin_pk do nothing",
    )
    .bind(community.0)
    .bind(wallet.to_string())
    .bind(by.who)
    .bind(clock.now())
    .execute(&mut *connection)
    .await?;
    write_down(connection, clock, community, wallet, (ADD_ADMIN, by), done.rows_affected()).await
}

/// Takes the right away again. `false`: the wallet did not have it.
pub async fn remove_admin(
    connection: &mut PgConnection,
    clock: &Clock,
    community: CommunityId,
    wallet: WalletId,
    by: Deputy<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("delete from community_admin where community_id = $1 and wallet = $2")
        .bind(community.0)
        .bind(wallet.to_string())
        .execute(&mut *connection)
        .await?;
    write_down(connection, clock, community, wallet, (REMOVE_ADMIN, by), done.rows_affected()).await
}

/// Why a list of administrators was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RightFault {
    /// Nobody would be left.
    #[error("the last administrator stays: add another one first")]
    Last,
    /// There would be more than [`ADMINS_AT_MOST`].
    #[error("a community has at most {ADMINS_AT_MOST} administrators: take one away first")]
    Full,
    /// The database failed.
    #[error(transparent)]
    Unexpected(#[from] sqlx::Error),
}

/// [`add_admin`] by another administrator.
pub async fn give(
    ctx: &Ctx,
    community: CommunityId,
    wallet: WalletId,
    by: Deputy<'_>,
) -> Result<bool, RightFault> {
    let mut tx = ctx.db.begin().await?;
    lock(&mut tx, community).await?;
    let is_new = add_admin(&mut tx, &ctx.clock, community, wallet, by).await?;
    if count(&mut tx, community).await? > ADMINS_AT_MOST {
        return Err(RightFault::Full);
    }
    tx.commit().await?;
    Ok(is_new)
}

/// [`remove_admin`] by another administrator, or by themselves; the last one stays, who else could add one again?
pub async fn take(
    ctx: &Ctx,
    community: CommunityId,
    wallet: WalletId,
    by: Deputy<'_>,
) -> Result<bool, RightFault> {
    let mut tx = ctx.db.begin().await?;
    lock(&mut tx, community).await?;
    let was_there = remove_admin(&mut tx, &ctx.clock, community, wallet, by).await?;
    if count(&mut tx, community).await? == 0 {
        return Err(RightFault::Last);
    }
    tx.commit().await?;
    Ok(was_there)
}

/// Two who take each other's right away come one after the other.
async fn lock(connection: &mut PgConnection, community: CommunityId) -> Result<(), sqlx::Error> {
    sqlx::query("select from community where id = $1 for update")
        .bind(community.0)
        .execute(connection)
        .await
        .map(|_| ())
}

async fn count(connection: &mut PgConnection, community: CommunityId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count(*) from community_admin where community_id = $1")
        .bind(community.0)
        .fetch_one(connection)
        .await
}

/// Who gives or takes a right, and why.
#[derive(Clone, Copy, Debug)]
pub struct Deputy<'a> {
    /// As [`Deed::who`] says it.
    pub who: &'a str,
    /// As [`Deed::reason`] says it.
    pub reason: &'a str,
}

async fn write_down(
    connection: &mut PgConnection,
    clock: &Clock,
    community: CommunityId,
    wallet: WalletId,
    (what, by): (&str, Deputy<'_>),
    rows: u64,
) -> Result<bool, sqlx::Error> {
    if rows == 0 {
        return Ok(false);
    }
    let target = format!("wallet {wallet}");
    let deed = Deed { who: by.who, what, target: &target, reason: by.reason, community: Some(community) };
    admin::record(connection, clock, deed).await?;
    Ok(true)
}
