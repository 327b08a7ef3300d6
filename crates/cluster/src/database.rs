//! Roles and the database: what must be there before the first migration, in the product and in tests alike.
//!
//! Roles belong to the whole cluster and databases are made outside of transactions, so all of it happens under one
//! advisory lock: any number of processes may prepare at once, any number of times.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand::distr::{Alphanumeric, SampleString};
use tokio_postgres::{Client, Config, NoTls};

use crate::Error;

/// The four roles of a cluster.
pub mod roles {
    /// Makes databases and roles; only ever over the socket.
    pub const SUPERUSER: &str = "postgres";
    /// Owns the database and its tables; migrations run as it.
    pub const OWNER: &str = "freeside_owner";
    /// The application: reads and writes what migrations grant, and owns nothing.
    pub const APP: &str = "freeside_app";
    /// finn: reads what migrations grant, in read-only transactions.
    pub const FINN: &str = "loa_finn_ro";
    /// All of them.
    pub const ALL: [&str; 4] = [SUPERUSER, OWNER, APP, FINN];
}

/// The roles that [`prepare_database`] makes.
const MADE: [&str; 3] = [roles::OWNER, roles::APP, roles::FINN];

/// A transaction that waits for its client holds locks that everyone needs; no code of ours waits that long. It must be
/// a setting of the role, and set by who made it: `freeside_owner` may not alter other roles.
const IDLE_IN_TRANSACTION: &str = "5s";

/// "freeside" in ASCII: any number that nothing else uses.
const LOCK_KEY: i64 = 0x6672_6565_7369_6465;

/// 40 of 62 letters are 238 bits.
const PASSWORD_LETTERS: usize = 40;

/// Makes the roles and a database owned by [`roles::OWNER`], where they are missing. Idempotent, and safe in any number
/// of processes at once. `superuser_url` may also name a role with `createdb` and `createrole`; its database is ignored.
pub async fn prepare_database(superuser_url: &str, name: &str) -> Result<(), Error> {
    let config = superuser_url.parse().map_err(Error::database("cannot read the superuser's URL"))?;
    prepare(config, name, None).await
}

/// As [`prepare_database`]; with `pgpass`, the roles also get passwords for TCP, which are kept in that file.
pub(crate) async fn prepare(mut config: Config, name: &str, pgpass: Option<&Path>) -> Result<(), Error> {
    check_name(name)?;
    // Advisory locks are per database: everyone must take this one in the same.
    let maintenance = connect(config.dbname("postgres")).await?;
    maintenance
        .execute("select pg_advisory_lock($1)", &[&LOCK_KEY])
        .await
        .map_err(Error::database("cannot lock the cluster"))?;
    for role in MADE {
        make_role(&maintenance, role).await?;
    }
    if let Some(file) = pgpass {
        set_passwords(&maintenance, file).await?;
    }
    make_database(&maintenance, name).await?;
    let inside = connect(config.dbname(name)).await?;
    // In the owner's name: a superuser may, and so may a role that was made a member of it.
    inside
        .batch_execute(
            "set role freeside_owner;
             revoke all on schema public from public;
             grant usage on schema public to freeside_app, loa_finn_ro",
        )
        .await
        .map_err(Error::database("cannot set the rights of the schema"))
    // The lock ends with its connection.
}

async fn make_role(client: &Client, role: &str) -> Result<(), Error> {
    const DOING: &str = "cannot make the roles";
    let found = client
        .query_opt("select 1 from pg_roles where rolname = $1", &[&role])
        .await
        .map_err(Error::database(DOING))?;
    if found.is_some() {
        return Ok(());
    }
    let mut sql = format!(
        "create role {role} login nosuperuser nocreatedb nocreaterole noreplication;
         alter role {role} set idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}';"
    );
    if role == roles::FINN {
        sql.push_str("alter role loa_finn_ro set default_transaction_read_only = on;");
    }
    client.batch_execute(&sql).await.map_err(Error::database(DOING))
}

async fn make_database(client: &Client, name: &str) -> Result<(), Error> {
    const DOING: &str = "cannot make the database";
    let found = client
        .query_opt("select 1 from pg_database where datname = $1", &[&name])
        .await
        .map_err(Error::database(DOING))?;
    if found.is_none() {
        // Only a member may make a database in another's name; a superuser is a member of everything.
        client
            .batch_execute(
                "do $$ begin
                   if not pg_has_role('freeside_owner', 'member') then
                     execute format('grant freeside_owner to %I', current_user);
                   end if;
                 end $$",
            )
            .await
            .map_err(Error::database(DOING))?;
        client
            .batch_execute(&format!(
                "create database {name} owner freeside_owner encoding 'UTF8' template template0"
            ))
            .await
            .map_err(Error::database(DOING))?;
    }
    client
        .batch_execute(&format!(
            "revoke all on database {name} from public;
             grant connect on database {name} to freeside_app, loa_finn_ro"
        ))
        .await
        .map_err(Error::database(DOING))
}

/// Gives each role the password in the file, and makes the file when it is missing. A role that has a password keeps it
/// unless the file is new. Letters and digits only, so they stand in SQL and in the file as they are.
async fn set_passwords(client: &Client, file: &Path) -> Result<(), Error> {
    let is_new = !file.exists();
    if is_new {
        let mut text = String::new();
        for role in MADE {
            let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LETTERS);
            writeln!(text, "127.0.0.1:*:*:{role}:{password}").expect("writing to a String does not fail");
        }
        write_secret(file, &text).map_err(Error::file("cannot write", file))?;
    }
    let text = std::fs::read_to_string(file).map_err(Error::file("cannot read", file))?;
    for line in text.lines() {
        let mut words = line.rsplitn(3, ':');
        let (Some(password), Some(role)) = (words.next(), words.next()) else { continue };
        let is_ours = MADE.contains(&role) && password.bytes().all(|letter| letter.is_ascii_alphanumeric());
        if is_ours && (is_new || !has_password(client, role).await?) {
            client
                .batch_execute(&format!("alter role {role} password '{password}'"))
                .await
                .map_err(Error::database("cannot set a role's password"))?;
        }
    }
    Ok(())
}

async fn has_password(client: &Client, role: &str) -> Result<bool, Error> {
    let row = client
        .query_one("select rolpassword is not null from pg_authid where rolname = $1", &[&role])
        .await
        .map_err(Error::database("cannot read the roles"))?;
    Ok(row.get(0))
}

/// Moved into place when it is whole: half a file would lock the roles out of TCP for good.
fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut handle = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    handle.write_all(text.as_bytes())?;
    handle.sync_all()?;
    std::fs::rename(&beside, file)
}

/// A connection whose other half runs in the background and ends with it.
pub(crate) async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) =
        config.connect(NoTls).await.map_err(Error::database("cannot connect to PostgreSQL"))?;
    tokio::spawn(connection);
    Ok(client)
}

/// The name stands in SQL as it is, so only what needs no quotes passes.
fn check_name(name: &str) -> Result<(), Error> {
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    let starts = name.bytes().next().is_some_and(|letter| letter.is_ascii_lowercase());
    if starts && name.len() <= 63 && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::BadName { name: name.to_owned() })
}
