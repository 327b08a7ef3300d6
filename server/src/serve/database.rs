//! The database of a process: an address that was given, or the embedded cluster.

use std::time::Duration;

use anyhow::Context;
use cluster::{Cluster, Search, roles};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};

use crate::config::Settings;

/// The schema of this version.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The embedded database's name.
const NAME: &str = "freeside";
/// Connections for everything but the ledger's writers, which have their own.
const CONNECTIONS: u32 = 20;
/// SPEC §12: a place at the database within 5 s, or 503.
const WAIT: Duration = Duration::from_secs(5);

/// An open database with the right schema.
pub(crate) struct Books {
    /// For everybody but the ledger's writers.
    pub(crate) pool: PgPool,
    /// Who the application is, and where, through a pooler perhaps.
    pub(crate) url: String,
    /// The address past any pooler.
    pub(crate) direct_url: String,
    /// The embedded cluster, when it is that.
    pub(crate) cluster: Option<std::sync::Arc<Cluster>>,
}

impl Books {
    /// The embedded database as the engine may see it: the role that reads one view.
    pub(crate) fn engine_url(&self) -> Option<String> {
        self.cluster.as_ref().map(|cluster| cluster.url(roles::FINN, NAME))
    }

    /// Closes the pool, and stops the embedded cluster.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await?;
        }
        Ok(())
    }
}

/// Opens the database. The embedded one is migrated on the way; one that was given must have been (`freeside migrate`).
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Books> {
    let (url, direct_url, cluster) = if let Some(url) = &settings.database.url {
        let direct = settings.database.direct_url.as_ref().unwrap_or(url);
        (url.reveal().to_owned(), direct.reveal().to_owned(), None)
    } else {
        let cluster = embedded(settings).await?;
        let url = cluster.url(roles::APP, NAME);
        (url.clone(), url, Some(std::sync::Arc::new(cluster)))
    };
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(WAIT)
        .connect(&url)
        .await
        .context("the database does not let the application in")?;
    check_schema(&pool).await?;
    check_role(&pool).await?;
    Ok(Books { pool, url, direct_url, cluster })
}

async fn embedded(settings: &Settings) -> anyhow::Result<Cluster> {
    let mut start = cluster::Settings::new(&settings.data_dir);
    start.search = Search { folder: settings.database.postgres_bin.clone(), ..Search::default() };
    let cluster = Cluster::start(start).await?;
    cluster.prepare_database(NAME).await?;
    apply(&cluster.url(roles::OWNER, NAME)).await?;
    Ok(cluster)
}

/// Brings the database to this version's schema: as its owner, past any pooler.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    match settings.database.for_migrations() {
        Some(url) => apply(url.reveal()).await,
        None => embedded(settings).await?.stop().await.map_err(Into::into),
    }
}

async fn apply(url: &str) -> anyhow::Result<()> {
    let mut connection =
        PgConnection::connect(url).await.context("the database does not let the owner in")?;
    MIGRATOR.run(&mut connection).await.context("the schema could not be brought up to date")?;
    connection.close().await?;
    Ok(())
}

/// The newest migration that the database has must be the newest that this binary knows, or a newer one: old code runs
/// on a schema that was expanded, and never on one that lacks a table.
async fn check_schema(pool: &PgPool) -> anyhow::Result<()> {
    let found = schema_version(pool).await;
    let wanted = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    match found {
        Ok(found) if found >= wanted => Ok(()),
        Ok(found) => anyhow::bail!(
            "the database has schema {found}, this version needs {wanted}: run `freeside migrate` first"
        ),
        Err(_) => anyhow::bail!("the database has no schema yet: run `freeside migrate` first"),
    }
}

/// The application's role may neither own a table nor be a superuser: what only grows, grows by grant as well as by trigger.
async fn check_role(pool: &PgPool) -> anyhow::Result<()> {
    let role = role(pool).await.context("the application's role cannot be read")?;
    match role.too_mighty() {
        None => Ok(()),
        Some(why) => anyhow::bail!(
            "DATABASE_URL lets the application in as {}, which {why}, so nothing would keep it from rewriting the books: \
             name a role like {}, which `freeside migrate` prepares, and keep the owner for DATABASE_DIRECT_URL",
            role.name,
            roles::APP
        ),
    }
}

/// What a role of the database may do beyond its grants.
pub(crate) struct ApplicationRole {
    pub(crate) name: String,
    is_superuser: bool,
    owns_tables: bool,
}

impl ApplicationRole {
    /// Why the application must not be this role.
    pub(crate) fn too_mighty(&self) -> Option<&'static str> {
        match (self.is_superuser, self.owns_tables) {
            (true, _) => Some("is a superuser"),
            (false, true) => Some("owns tables, or is a member of the role that does"),
            (false, false) => None,
        }
    }
}

/// Who we are in the database.
pub(crate) async fn role(connection: impl sqlx::PgExecutor<'_>) -> Result<ApplicationRole, sqlx::Error> {
    let row = sqlx::query!(
        r#"select current_user::text as "name!",
                  (select rolsuper from pg_roles where rolname = current_user) as "is_superuser!",
                  exists (select from pg_class c
                          where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
                            and pg_has_role(current_user, c.relowner, 'member')) as "owns_tables!""#
    )
    .fetch_one(connection)
    .await?;
    let (name, is_superuser, owns_tables) = (row.name, row.is_superuser, row.owns_tables);
    Ok(ApplicationRole { name, is_superuser, owns_tables })
}

/// The newest migration in the database.
pub(crate) async fn schema_version(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select coalesce(max(version), 0) as "version!" from schema_version"#)
        .fetch_one(pool)
        .await
}

#[cfg(test)]
mod tests {
    use testing::postgres::TestDatabase;

    use super::*;

    #[tokio::test]
    async fn the_application_owns_nothing_and_the_owner_is_not_the_application() {
        let database = TestDatabase::new().await;
        assert!(check_role(&database.pool_for(roles::APP)).await.is_ok());
        let refused = check_role(&database.pool_for(roles::OWNER)).await.expect_err("it owns every table");
        for part in [roles::OWNER, "owns tables", "DATABASE_DIRECT_URL", roles::APP] {
            assert!(refused.to_string().contains(part), "{part}: {refused}");
        }
        let refused = check_role(&database.pool_for(roles::SUPERUSER)).await.expect_err("it may do anything");
        assert!(refused.to_string().contains("is a superuser"), "{refused}");
    }
}
