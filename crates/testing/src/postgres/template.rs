//! The template: a migrated database that is copied for each test.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};
use cluster::{Address, roles};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::superuser;

/// "template" in ASCII: any number that nothing else in the maintenance database uses.
const LOCK_KEY: i64 = 0x7465_6d70_6c61_7465;

/// The name of the migrated template, which is made when it is missing. Any number of processes may ask at once.
pub(super) async fn ensure(address: &Address, migrations: &Path) -> Result<String> {
    let name = format!("template_{:016x}", fingerprint(migrations)?);
    let mut connection = superuser(address).await?;
    if exists(&mut connection, &name).await? {
        connection.close().await?;
        return Ok(name);
    }
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK_KEY).execute(&mut connection).await?;
    if !exists(&mut connection, &name).await? {
        make(&mut connection, address, migrations, &name).await?;
    }
    // The lock ends with the connection.
    connection.close().await?;
    Ok(name)
}

/// Made under another name first: whoever finds the template finds it whole.
async fn make(superuser: &mut PgConnection, address: &Address, migrations: &Path, name: &str) -> Result<()> {
    let unfinished = format!("un{name}");
    let drop = format!("drop database if exists {unfinished} with (force)");
    run(superuser, drop).await?;
    cluster::prepare_database(&address.url(roles::SUPERUSER, "postgres"), &unfinished).await?;
    let mut owner = PgConnection::connect(&address.url(roles::OWNER, &unfinished)).await?;
    let migrator = Migrator::new(migrations).await.context("cannot read the migrations")?;
    migrator.run(&mut owner).await.context("a migration fails")?;
    owner.close().await?;
    let rename = format!("alter database {unfinished} rename to {name}");
    run(superuser, rename).await.context("cannot finish the template")?;
    Ok(())
}

/// A copy of the template, with the rights on the database itself, which a copy does not inherit.
pub(super) async fn copy(superuser: &mut PgConnection, template: &str, name: &str) -> Result<()> {
    // A process id can come again in a cluster that outlives test processes.
    run(superuser, format!("drop database if exists {name} with (force)")).await?;
    let create = format!("create database {name} template {template} owner {}", roles::OWNER);
    run(superuser, create).await.context("cannot copy the template")?;
    run(
        superuser,
        format!(
            "revoke all on database {name} from public;
             grant connect on database {name} to {}, {}",
            roles::APP,
            roles::FINN
        ),
    )
    .await
}

/// Statements that take no parameters and hold nothing but names of our own making.
pub(super) async fn run(superuser: &mut PgConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(superuser).await?;
    Ok(())
}

async fn exists(superuser: &mut PgConnection, name: &str) -> Result<bool> {
    let sql = "select exists (select from pg_database where datname = $1)";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_one(superuser).await?)
}

/// Changes with every name and byte of the migrations: an edited one gets a template of its own.
fn fingerprint(migrations: &Path) -> Result<u64> {
    let mut files: Vec<_> = std::fs::read_dir(migrations)
        .with_context(|| format!("there are no migrations in {}", migrations.display()))?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        std::fs::read(&file)?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}
