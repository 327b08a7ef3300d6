//! The ledger against a model that shares no code with it: every answer, every row and every hash of a long run of
//! concurrent operations must be the model's; and faults planted in the writer must be seen.
//!
//! `FREESIDE_TEST_LONG=1` makes it 1,000,000 operations.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failed unwrap is a failed test")]

#[path = "../common/mod.rs"]
mod common;
mod judge;
mod model;
mod oversell;
mod run;
mod translate;
mod world;

use ledger::Sabotage;
use run::{Caught, Plan, run};

fn is_long() -> bool {
    std::env::var_os("FREESIDE_TEST_LONG").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_row_and_hash_is_the_models() {
    let operations = if is_long() { 1_000_000 } else { 100_000 };
    let snapshots = 1_000;
    let began = std::time::Instant::now();
    let report = match run(Plan { seed: 1, operations, snapshots, sabotage: Sabotage::None }).await {
        Ok(report) => report,
        Err(Caught { by, what }) => panic!("caught by {by}: {what}"),
    };
    println!("{report:?} in {:?}", began.elapsed());
    assert!(report.operations >= operations && report.snapshots >= snapshots, "{report:?}");
    assert!(report.journal > 10_000 && report.batches > 1_000, "{report:?}");
    assert_eq!(report.refused.len(), 10, "every refusal there is was met: {report:?}");
    assert!(report.posted * 20 > report.operations, "the transaction entrance was hardly used: {report:?}");
}

/// Runs until the first check fails, and says which it was.
#[cfg(debug_assertions)]
async fn catch(sabotage: Sabotage) -> Caught {
    let plan = Plan { seed: 2, operations: 20_000, snapshots: 100, sabotage };
    run(plan).await.expect_err("a planted fault went unseen")
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_update_is_caught() {
    let Caught { by, what } = catch(Sabotage::LostUpdate).await;
    println!("caught by {by}: {what}");
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_lot_is_caught() {
    let Caught { by, what } = catch(Sabotage::MissedLot).await;
    println!("caught by {by}: {what}");
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_settle_is_caught() {
    let Caught { by, what } = catch(Sabotage::DoubleSettle).await;
    println!("caught by {by}: {what}");
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lots_read_before_the_lock_are_caught() {
    let Caught { by, what } = catch(Sabotage::LotsBeforeLock).await;
    println!("caught by {by}: {what}");
}
