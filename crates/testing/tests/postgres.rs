//! The harness itself, with the real PostgreSQL.

use std::time::Duration;

use cluster::roles;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testing::postgres::{TestCluster, TestDatabase};

#[tokio::test]
async fn two_databases_do_not_see_each_other() {
    let (one, two) = (TestDatabase::new().await, TestDatabase::new().await);
    assert_ne!(one.name, two.name);
    sqlx::query("create table only_here ()").execute(&one.owner_pool()).await.unwrap();
    let find = "select count(*) from pg_class where relname = 'only_here'";
    let count: i64 = sqlx::query_scalar(find).fetch_one(&one.pool).await.unwrap();
    assert_eq!(count, 1);
    let count: i64 = sqlx::query_scalar(find).fetch_one(&two.pool).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn the_roles_are_those_of_the_product() {
    let database = TestDatabase::new().await;
    let user: String =
        sqlx::query_scalar("select current_user::text").fetch_one(&database.pool).await.unwrap();
    assert_eq!(user, roles::APP);
    sqlx::query("create table not_mine ()").execute(&database.pool).await.unwrap_err();
    sqlx::query("create temporary table nor_this ()").execute(&database.pool).await.unwrap_err();
    sqlx::query("create table ours ()").execute(&database.owner_pool()).await.unwrap();
    sqlx::query("select * from ours").execute(&database.pool).await.unwrap_err();
    let mut finn = PgConnection::connect(&database.url_for(roles::FINN)).await.unwrap();
    sqlx::query("select 1").execute(&mut finn).await.unwrap();
    sqlx::query("select * from ours").execute(&mut finn).await.unwrap_err();
}

#[tokio::test]
async fn ten_are_made_at_once() {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..10_i32 {
        tasks.spawn(async move {
            let database = TestDatabase::new().await;
            let sql = format!("create table numbers as select {number} as n");
            sqlx::query(AssertSqlSafe(sql)).execute(&database.owner_pool()).await.unwrap();
            let sql = "select n from numbers";
            let found: i32 = sqlx::query_scalar(sql).fetch_one(&database.owner_pool()).await.unwrap();
            assert_eq!(found, number);
            database.name.clone()
        });
    }
    let mut names = tasks.join_all().await;
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10);
}

#[tokio::test]
async fn a_private_cluster_is_killed_and_started_again() {
    let (shared, private) = (TestDatabase::new().await, TestCluster::start_private().await);
    let database = private.database().await;
    sqlx::query("create table kept as select 7 as n").execute(&database.owner_pool()).await.unwrap();
    // A process that stands still when the postmaster dies would answer afterwards what it was asked before.
    let last: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&database.pool).await.unwrap();
    let last = Pid::from_raw(last);
    kill(last, Signal::SIGSTOP).unwrap();
    private.kill_postgres().await;
    let dead = tokio::time::timeout(Duration::ZERO, private.dead()).await;
    kill(last, Signal::SIGCONT).unwrap();
    assert!(dead.is_err(), "it does not count as dead with a process left");
    private.dead().await;
    private.start_again().await;
    let owner = database.owner_pool();
    let kept: i32 = sqlx::query_scalar("select n from kept").fetch_one(&owner).await.unwrap();
    assert_eq!(kept, 7);
    sqlx::query("select 1").execute(&shared.pool).await.unwrap();
}
