//! The cluster with the real PostgreSQL of the machine: each test has a data folder of its own.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in the helpers too")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use cluster::{Cluster, Error, Settings, roles};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// A temporary folder that the user of PostgreSQL may enter, as an operator's data folder must be; in memory where there
/// is such a place, since these tests kill processes and not machines.
fn open_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

async fn start(folder: &Path) -> Cluster {
    Cluster::start(Settings::new(folder.join("data"))).await.unwrap()
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn superuser(cluster: &Cluster) -> Client {
    connect(&cluster.superuser_url("postgres")).await.unwrap()
}

async fn number(client: &Client, sql: &str) -> i32 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn kill_hard(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_restart_keeps_the_data_and_the_port() {
    let folder = open_folder();
    let cluster = start(folder.path()).await;
    assert!(cluster.is_owner().await);
    assert!(cluster.version().starts_with(|digit: char| digit.is_ascii_digit()), "{}", cluster.version());
    superuser(&cluster).await.batch_execute("create table kept as select 42 as answer").await.unwrap();
    let (address, pid) = (cluster.address().clone(), cluster.pid().await);
    cluster.stop().await.unwrap();
    cluster.stop().await.unwrap();
    assert!(!address.socket_file().exists(), "a stopped cluster leaves no socket");
    drop(cluster);

    let cluster = start(folder.path()).await;
    assert_ne!(cluster.pid().await, pid);
    assert_eq!(cluster.address(), &address);
    let client = superuser(&cluster).await;
    assert_eq!(number(&client, "select answer from kept").await, 42);
    let settings = "select count(*)::int from pg_settings where (name, setting) in
        (('fsync', 'on'), ('full_page_writes', 'on'), ('synchronous_commit', 'on'), ('data_checksums', 'on'))";
    assert_eq!(number(&client, settings).await, 4);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_postgresql_starts_again_with_what_was_committed() {
    let folder = open_folder();
    let cluster = start(folder.path()).await;
    let client = superuser(&cluster).await;
    client.batch_execute("create table kept (n int); insert into kept values (1)").await.unwrap();
    client.batch_execute("begin; insert into kept values (2)").await.unwrap();
    assert!(!cluster.revive().await.unwrap(), "there is nothing to revive");
    kill_hard(cluster.pid().await);
    let before = cluster.address().clone();
    // A signal is delivered in the kernel's time; until then there is nothing to revive.
    while !cluster.revive().await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert_eq!(cluster.address(), &before);
    let client = superuser(&cluster).await;
    assert_eq!(number(&client, "select sum(n)::int from kept").await, 1);

    client.batch_execute("insert into kept values (4)").await.unwrap();
    kill_hard(cluster.pid().await);
    drop(cluster);
    let cluster = start(folder.path()).await;
    assert!(cluster.is_owner().await);
    assert_eq!(number(&superuser(&cluster).await, "select sum(n)::int from kept").await, 5);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_attaches_and_the_last_to_leave_stops_it() {
    let folder = open_folder();
    let (one, two) = tokio::join!(start(folder.path()), start(folder.path()));
    assert_eq!(one.pid().await, two.pid().await);
    let (owner, guest) = if one.is_owner().await { (one, two) } else { (two, one) };
    assert!(owner.is_owner().await && !guest.is_owner().await);

    let third = start(folder.path()).await;
    third.stop().await.unwrap();
    let client = superuser(&owner).await;
    assert_eq!(number(&client, "select 1").await, 1);
    owner.stop().await.unwrap();
    assert_eq!(number(&client, "select 1").await, 1);
    guest.stop().await.unwrap();
    assert!(client.query_one("select 1", &[]).await.is_err());
}

/// The owner is a process of its own: this test program, started again for the one test below that waits to be killed.
#[tokio::test]
async fn an_orphan_is_adopted() {
    let folder = open_folder();
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "own_until_killed", "--ignored", "--nocapture"])
        .env("OWNED_FOLDER", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(owner.stdout.take().unwrap()));
    let pid: i32 = lines.find_map(|line| line.unwrap().strip_prefix("serving ")?.parse().ok()).unwrap();
    let guest = start(folder.path()).await;
    assert!(!guest.is_owner().await);
    owner.kill().unwrap();
    owner.wait().unwrap();

    let heir = start(folder.path()).await;
    assert_eq!(heir.pid().await, pid);
    assert!(heir.is_owner().await);
    let client = superuser(&heir).await;
    assert_eq!(number(&client, "select 1").await, 1);
    drop(guest);
    heir.stop().await.unwrap();
    assert!(client.query_one("select 1", &[]).await.is_err());
}

#[tokio::test]
#[ignore = "the other half of an_orphan_is_adopted, which runs it"]
async fn own_until_killed() {
    use std::io::Write as _;
    let Some(folder) = std::env::var_os("OWNED_FOLDER") else { return };
    let cluster = start(Path::new(&folder)).await;
    let mut out = std::io::stdout();
    writeln!(out, "\nserving {}", cluster.pid().await).unwrap();
    out.flush().unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_stale_pid_file_with_a_reused_number_is_no_obstacle() {
    let folder = open_folder();
    let cluster = start(folder.path()).await;
    cluster.stop().await.unwrap();
    drop(cluster);
    // This test's own process is alive and no postmaster.
    let data = folder.path().join("data/postgres");
    let stale = format!("{}\n{}\n0\n1\n/nowhere\n\n\nready\n", std::process::id(), data.display());
    std::fs::write(data.join("postmaster.pid"), stale).unwrap();
    let cluster = start(folder.path()).await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_gets_in_without_being_known() {
    let folder = open_folder();
    let cluster = start(folder.path()).await;
    let (one, two) = tokio::join!(cluster.prepare_database("freeside"), cluster.prepare_database("freeside"));
    one.unwrap();
    two.unwrap();
    cluster::prepare_database(&cluster.superuser_url("postgres"), "freeside").await.unwrap();
    let passwords = std::fs::read_to_string(cluster.password_file()).unwrap();
    assert_eq!(std::fs::metadata(cluster.password_file()).unwrap().mode() & 0o777, 0o600);
    let port = cluster.address().port;
    for line in passwords.lines() {
        let words: Vec<&str> = line.split(':').collect();
        let tcp = |password: &str| format!("postgres://{}:{password}@127.0.0.1:{port}/freeside", words[3]);
        assert!(connect(&tcp(words[4])).await.is_ok(), "{}", words[3]);
        assert!(connect(&tcp("wrong")).await.is_err());
        assert!(connect(&cluster.url(words[3], "freeside")).await.is_ok());
    }
    assert_eq!(passwords.lines().count(), 3);
    let refused = connect(&format!("postgres://postgres:x@127.0.0.1:{port}/postgres")).await.err().unwrap();
    assert!(refused.as_db_error().unwrap().message().contains("rejects"), "{refused:?}");
    let stranger = connect(&cluster.url("stranger", "freeside")).await.err().unwrap();
    assert!(stranger.as_db_error().unwrap().message().contains("Peer authentication failed"), "{stranger:?}");
    let socket = std::fs::metadata(&cluster.address().folder).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o700);

    let app = connect(&cluster.url(roles::APP, "freeside")).await.unwrap();
    assert!(app.batch_execute("create table mine ()").await.is_err());
    let owner = connect(&cluster.url(roles::OWNER, "freeside")).await.unwrap();
    owner.batch_execute("create table ours (); grant select, insert on ours to loa_finn_ro").await.unwrap();
    let finn = connect(&cluster.url(roles::FINN, "freeside")).await.unwrap();
    let refused = finn.batch_execute("insert into ours default values").await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("read-only transaction"), "{refused:?}");
    let bad = cluster.prepare_database("drop; --").await.unwrap_err();
    assert!(matches!(bad, Error::BadName { .. }));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_gets_a_socket_elsewhere() {
    let folder = open_folder();
    let long = folder.path().join("a".repeat(120));
    let cluster = start(&long).await;
    assert!(cluster.address().folder.starts_with("/tmp"));
    let url = cluster.superuser_url("postgres");
    let mut theirs = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i32>("select 1").fetch_one(&mut theirs).await.unwrap(), 1);
    let again = start(&long).await;
    assert_eq!(again.address(), cluster.address());
    again.stop().await.unwrap();
    cluster.stop().await.unwrap();
    std::fs::remove_dir_all(&cluster.address().folder).unwrap();
}

/// Only root runs PostgreSQL as someone else; for an ordinary user there is nothing to see here.
#[tokio::test]
async fn root_runs_it_as_an_ordinary_user() {
    if !geteuid().is_root() {
        return;
    }
    let folder = open_folder();
    let cluster = start(folder.path()).await;
    assert!(["postgres", "nobody"].contains(&cluster.runs_as()));
    let process = std::fs::metadata(format!("/proc/{}", cluster.pid().await)).unwrap();
    assert_ne!(process.uid(), 0);
    let environment = std::fs::read(format!("/proc/{}/environ", cluster.pid().await)).unwrap();
    assert!(
        !String::from_utf8_lossy(&environment).contains("CARGO"),
        "the application's environment stays its own"
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_closed_parent_is_named_with_the_cure() {
    if !geteuid().is_root() {
        return;
    }
    let folder = open_folder();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::start(Settings::new(closed.join("data"))).await.unwrap_err();
    let words = error.to_string();
    assert!(words.contains(&format!("chmod o+x {}", closed.display())), "{words}");
    assert!(words.contains("FREESIDE_DATA_DIR"), "{words}");
}

#[tokio::test]
async fn a_start_that_fails_shows_the_log() {
    let folder = open_folder();
    let cluster = start(folder.path()).await;
    superuser(&cluster).await.batch_execute("alter system set wal_level = 'minimal'").await.unwrap();
    cluster.stop().await.unwrap();
    drop(cluster);
    let error = Cluster::start(Settings::new(folder.path().join("data"))).await.unwrap_err();
    assert!(matches!(error, Error::Exited { .. }), "{error:?}");
    assert!(error.to_string().contains("max_wal_senders"), "{error}");
}

#[tokio::test]
async fn data_of_a_missing_version_name_its_package() {
    let folder = open_folder();
    let data = folder.path().join("data/postgres");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "93\n").unwrap();
    let error = Cluster::start(Settings::new(folder.path().join("data"))).await.unwrap_err();
    assert!(error.to_string().contains("apt-get install postgresql-93"), "{error}");
}
