//! The data folder and the database.

use std::ffi::OsString;
use std::path::Path;

use nix::unistd::{AccessFlags, access};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};
use time::OffsetDateTime;
use tokio::time::timeout;
use types::Clock;

use super::{Check, PATIENCE};
use crate::config::Settings;

/// finn takes a token whose `iat` lies this far ahead, and no farther (SPEC §4).
const SKEW_MAX: time::Duration = time::Duration::seconds(30);
/// Above this a clock is not being kept, though nothing breaks yet.
const SKEW_NOTICED: time::Duration = time::Duration::seconds(2);

/// Asks the system instead of writing a probe: a check leaves nothing behind.
pub(super) fn data_folder(settings: &Settings) -> Check {
    const NAME: &str = "data folder";
    let folder = &settings.data_dir;
    let existing = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let next = "Name a folder that this user may write to in FREESIDE_DATA_DIR.";
    if !existing.is_dir() {
        return Check::fail(NAME, format!("{} is no folder", existing.display()), next);
    }
    let may_write = access(existing, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK);
    match may_write {
        Err(error) => Check::fail(NAME, format!("{}: {}", existing.display(), error.desc()), next),
        Ok(()) if existing == folder => Check::ok(NAME, format!("{} is writable", folder.display())),
        Ok(()) => Check::ok(NAME, format!("{} will be made", folder.display())),
    }
}

pub(super) async fn database(
    settings: &Settings,
    clock: &Clock,
    search_path: Option<OsString>,
) -> Vec<Check> {
    match &settings.database.url {
        None => vec![embedded(settings, search_path)],
        Some(url) => {
            let options = url.reveal().parse().expect("the configuration checked it with this parser");
            timeout(PATIENCE, server(&options, clock)).await.unwrap_or_else(|_| {
                let next = "Look at host, port and firewall in DATABASE_URL.";
                vec![Check::fail("database", "no answer within 5 seconds", next)]
            })
        }
    }
}

fn embedded(settings: &Settings, search_path: Option<OsString>) -> Check {
    const NAME: &str = "database";
    let search = cluster::Search { folder: settings.database.postgres_bin.clone(), path: search_path };
    match cluster::find_binaries(&search) {
        Ok(found) => Check::ok(
            NAME,
            format!("embedded, with PostgreSQL {} of {}", found.major, found.folder.display()),
        ),
        Err(error) => Check::fail(NAME, "the embedded PostgreSQL cannot start", error.to_string()),
    }
}

async fn server(options: &PgConnectOptions, clock: &Clock) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut connection = match PgConnection::connect_with(options).await {
        Ok(connection) => connection,
        Err(error) => {
            let next = "Look at host, port, user and password in DATABASE_URL.";
            return vec![Check::fail("database", describe(&error), next)];
        }
    };
    match sqlx::query("select current_setting('server_version') as version, clock_timestamp() as now")
        .fetch_one(&mut connection)
        .await
    {
        Ok(row) => {
            checks.push(Check::ok("database", format!("PostgreSQL {}", row.get::<String, _>("version"))));
            checks.push(skew(clock, row.get("now")));
        }
        Err(error) => checks.push(Check::fail("database", describe(&error), "Look at the server's log.")),
    }
    checks.push(schema(&mut connection).await);
    checks.push(role(&mut connection).await);
    checks
}

async fn role(connection: &mut PgConnection) -> Check {
    const NAME: &str = "database role";
    match crate::serve::role(connection).await {
        Ok(role) => match role.too_mighty() {
            None => Check::ok(NAME, format!("{} has its grants and nothing more", role.name)),
            Some(why) => Check::fail(
                NAME,
                format!("{} {why}", role.name),
                "Name the application's role in DATABASE_URL, and the owner in DATABASE_DIRECT_URL.",
            ),
        },
        Err(error) => Check::fail(NAME, describe(&error), "Look at the server's log."),
    }
}

async fn schema(connection: &mut PgConnection) -> Check {
    const NAME: &str = "schema";
    const NEXT: &str = "Run `freeside migrate`.";
    let version = sqlx::query_scalar::<_, Option<i64>>("select max(version) from schema_version")
        .fetch_one(connection)
        .await;
    match version {
        Ok(Some(version)) => Check::ok(NAME, format!("version {version}")),
        Ok(None) => Check::fail(NAME, "empty", NEXT),
        // 42P01: undefined_table
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
            Check::fail(NAME, "not there yet", NEXT)
        }
        Err(error) => Check::fail(NAME, describe(&error), NEXT),
    }
}

fn skew(clock: &Clock, database: OffsetDateTime) -> Check {
    const NAME: &str = "clock and database";
    let apart = (clock.now() - database).abs();
    let seen = format!("{:.1} s apart", apart.as_seconds_f64());
    if apart > SKEW_MAX {
        Check::fail(NAME, seen, "Set the clocks of both machines; signed tokens are refused at 30 s.")
    } else if apart > SKEW_NOTICED {
        Check::warn(NAME, seen, "Let chrony or systemd-timesyncd keep the clocks of both machines.")
    } else {
        Check::ok(NAME, seen)
    }
}

/// The failure in words that hold nothing of the address: only the server's own message and the system's are repeated.
fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => format!("not reachable: {}", error.kind()),
        sqlx::Error::Tls(_) => "the TLS handshake failed".into(),
        _ => "the connection failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::super::Outcome;
    use super::*;

    #[test]
    fn clocks_that_drift_warn_before_tokens_are_refused() {
        let clock = Clock::fixed(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        for (seconds, outcome) in
            [(0, Outcome::Ok), (-2, Outcome::Ok), (3, Outcome::Warn), (-31, Outcome::Fail)]
        {
            assert_eq!(skew(&clock, clock.now() + Duration::seconds(seconds)).outcome, outcome, "{seconds}");
        }
    }
}
