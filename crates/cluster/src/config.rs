//! What PostgreSQL is told: its configuration, who may log in, and as whom.
//!
//! Written anew at each start, so the files always say what this version of the program means. `alter system` wins over
//! them, and stays.

use std::fmt::Write as _;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::account::Account;
use crate::database::roles;
use crate::folder::Folder;
use crate::{Address, Error};

/// What a committed transaction survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Everything short of a lost disk: for data that someone will miss.
    #[default]
    CrashSafe,
    /// A killed server, but no power cut: for tests, which throw the data away.
    Throwaway,
}

/// Many small commits on a small machine, next to the application: modest memory, WAL that is not recycled all the time,
/// no process titles, no JIT for queries that end in a millisecond. `log_min_messages = log` leaves out the errors of
/// single statements: the application handles and logs those, and their text may hold what a log must not.
const COMMON: &str = "\
lc_messages = 'C'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_destination = 'stderr'
logging_collector = off
log_min_messages = log
log_checkpoints = off
update_process_title = off
password_encryption = 'scram-sha-256'
unix_socket_permissions = 0700
shared_buffers = '128MB'
wal_buffers = '16MB'
max_wal_size = '2GB'
min_wal_size = '256MB'
checkpoint_timeout = '15min'
jit = off
max_logical_replication_workers = 0
";

/// Written out although they are the defaults: whoever reads the file should see that they are meant. The hot tables are
/// small and updated all the time, so vacuum comes early and often; not more often, because each look of it, of each database,
/// takes 15 ms of a small machine. Statistics come seldom and are coarse: a sample of 30,000 rows each time takes a third of a
/// second, which every hundredth answer feels, and our statements are found by keys.
const CRASH_SAFE: &str = "\
fsync = on
full_page_writes = on
synchronous_commit = on
autovacuum = on
autovacuum_max_workers = 2
autovacuum_naptime = '30s'
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.5
default_statistics_target = 20
";

const THROWAWAY: &str = "\
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
";

/// Writes the three files.
pub(crate) fn write(
    folder: &Folder,
    account: &Account,
    address: &Address,
    durability: Durability,
    max_connections: u32,
) -> Result<(), Error> {
    make_readable_folder(&folder.config)?;
    write_file(
        &folder.config.join("postgresql.conf"),
        &main_file(folder, address, durability, max_connections),
    )?;
    write_file(&folder.config.join("pg_hba.conf"), &login_file())?;
    write_file(&folder.config.join("pg_ident.conf"), &ident_file(account))
}

/// The port of the last start, so that what people wrote into their tools goes on working.
pub(crate) fn last_port(folder: &Folder) -> Option<u16> {
    let text = std::fs::read_to_string(folder.config.join("postgresql.conf")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("port = "))?.parse().ok()
}

fn main_file(folder: &Folder, address: &Address, durability: Durability, max_connections: u32) -> String {
    let durable = match durability {
        Durability::CrashSafe => CRASH_SAFE,
        Durability::Throwaway => THROWAWAY,
    };
    format!(
        "# Written by freeside at each start; changes here are lost. Use `alter system` for settings of your own.\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = {socket}\n\
         hba_file = {hba}\n\
         ident_file = {ident}\n\
         max_connections = {max_connections}\n\
         {COMMON}{durable}",
        port = address.port,
        // A comma separates folders here unless the name stands in double quotes.
        socket = quoted(&format!("\"{}\"", address.folder.display())),
        hba = quoted(&folder.config.join("pg_hba.conf").display().to_string()),
        ident = quoted(&folder.config.join("pg_ident.conf").display().to_string()),
    )
}

fn login_file() -> String {
    format!(
        "# Written by freeside at each start. The socket: the kernel says who calls. Loopback: passwords, no superuser.\n\
         local  all  all                          peer map=freeside\n\
         host   all  {superuser}  127.0.0.1/32    reject\n\
         host   all  all          127.0.0.1/32    scram-sha-256\n",
        superuser = roles::SUPERUSER
    )
}

/// Root could become any of the others anyway; to leave it out would only forbid `psql` to the machine's administrator.
fn ident_file(account: &Account) -> String {
    let mut users = vec!["root", &account.caller, &account.name];
    users.sort_unstable();
    users.dedup();
    let mut text =
        String::from("# Written by freeside at each start: user of the system, role of the database.\n");
    for user in users {
        for role in roles::ALL {
            writeln!(text, "freeside  \"{user}\"  {role}").expect("writing to a String does not fail");
        }
    }
    text
}

/// As PostgreSQL's configuration files quote: a quote is doubled, a backslash too.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn make_readable_folder(folder: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)))
        .map_err(Error::file("cannot make", folder))
}

/// Readable by the user of PostgreSQL whatever the umask says; there is no secret in these files. Written beside and moved
/// into place: a crash leaves the old file or the new one.
fn write_file(file: &Path, text: &str) -> Result<(), Error> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o644)))
        .and_then(|()| std::fs::rename(&beside, file))
        .map_err(Error::file("cannot write", file))
}
