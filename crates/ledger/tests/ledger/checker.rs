//! The checker finds what somebody changed by hand, and nothing else.

use ledger::{Answer, Checker, Refusal, SubmitError};
use testing::postgres::TestDatabase;
use types::Clock;

use crate::common::{audit, hold, key, open, settle, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_micro_usd_that_came_from_nowhere_freezes_its_account_and_no_other() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    for account in 1..=3 {
        open(&database.pool, &clock, key(1, account), 1_000).await;
    }
    let (ledger, _writers) = start(&database.url(), &clock);
    let id = clock.uuid_v7();
    ledger.submit(hold(key(1, 2), id, 100)).await.unwrap();
    assert!(Checker::default().pass(&database.pool, &clock).await.unwrap().is_clean());

    // No CHECK of the database can see it: the row is in balance with itself.
    sqlx::query("update account set minted = minted + 1, available = available + 1 where id = 2")
        .execute(&database.pool_for("postgres"))
        .await
        .unwrap();
    let found = Checker::default().pass(&database.pool, &clock).await.unwrap().differences;
    assert!(
        found.iter().any(|difference| difference.what.starts_with("minted: 1001, but 1000")),
        "{found:?}"
    );
    assert!(found.iter().all(|difference| difference.key == key(1, 2)), "{found:?}");

    let refused = ledger.submit(hold(key(1, 2), clock.uuid_v7(), 1)).await;
    assert!(matches!(refused, Err(SubmitError::Refused(Refusal::Frozen))), "{refused:?}");
    for account in [1, 3] {
        let held = ledger.submit(hold(key(1, account), clock.uuid_v7(), 1)).await;
        assert!(matches!(held, Ok(Answer::Held { .. })), "{held:?}");
    }
    let (violation, recorded): (i64, String) =
        sqlx::query_as("select id, what from violation where account_id = 2")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert!(found.iter().all(|difference| recorded.contains(&difference.what)), "{recorded}");

    // The full pass finds it too, and a person who has looked and mended it can thaw the account.
    assert!(!ledger::check_everything(&database.pool).await.unwrap().is_empty());
    sqlx::query("update account set minted = minted - 1, available = available - 1 where id = 2")
        .execute(&database.pool_for("postgres"))
        .await
        .unwrap();
    let mut connection = database.pool.acquire().await.unwrap();
    let resolved =
        ledger::resolve_violation(&mut connection, &clock, violation, "operator", "taken back").await;
    assert_eq!(resolved.unwrap().thawed, Some(key(1, 2)));
    assert!(ledger.submit(hold(key(1, 2), clock.uuid_v7(), 1)).await.is_ok());
    assert!(ledger.submit(settle(key(1, 2), id, 60)).await.is_ok());
    audit(&database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_raises_no_false_alarm_beside_traffic() {
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    for account in 1..=8 {
        open(&database.pool, &clock, key(account % 2, account), 1_000_000).await;
    }
    let (ledger, _writers) = start(&database.url(), &clock);
    let traffic: Vec<_> = (1..=8)
        .map(|account| {
            let (ledger, clock) = (ledger.clone(), clock.clone());
            tokio::spawn(async move {
                for number in 0..150 {
                    let (key, id) = (key(account % 2, account), clock.uuid_v7());
                    ledger.submit(hold(key, id, 10)).await.unwrap();
                    ledger.submit(settle(key, id, 1 + number % 15)).await.unwrap();
                }
            })
        })
        .collect();
    let (mut checker, mut passes) = (Checker::default(), 0);
    while !traffic.iter().all(tokio::task::JoinHandle::is_finished) {
        let pass = checker.pass(&database.pool, &clock).await.unwrap();
        assert!(pass.is_clean(), "{pass:?}");
        passes += 1;
    }
    println!("{passes} passes beside 1,200 pairs");
    let pass = checker.pass(&database.pool, &clock).await.unwrap();
    assert!(pass.is_clean() && pass.accounts == 8, "{pass:?}");
    audit(&database.pool).await;
}
