//! No oversell: of 200 that ask at once of an account that can pay for exactly k, exactly k win.

use std::process::Stdio;

use futures_util::future::join_all;
use ledger::{AccountKey, Answer, Ledger, Op, PostError, Refusal, SubmitError, post};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use types::Clock;

use crate::common::{audit, hold, key, open, start};
use crate::is_long;

const CALLERS: i64 = 200;
const PRICE: i64 = 1_000;
/// Tells the child test its part: the database's URL, the account, and how many ask.
const CHILD: &str = "FREESIDE_TEST_CHILD_HOLDS";

/// Asks `callers` times at once, and returns how many won.
async fn ask(ledger: &Ledger, clock: &Clock, key: AccountKey, callers: i64) -> i64 {
    let asked = (0..callers).map(|_| async {
        let hold = hold(key, clock.uuid_v7(), PRICE);
        loop {
            match ledger.submit(hold.clone()).await {
                // A busy machine kept it waiting too long, and nothing was set aside: it asks again, as a client does.
                Err(SubmitError::Overloaded) => {}
                decided => break won(&decided),
            }
        }
    });
    count(join_all(asked).await.into_iter())
}

/// The same through the transaction entrance, each caller in a transaction of its own.
async fn ask_in_transactions(pool: &PgPool, clock: &Clock, key: AccountKey, callers: i64) -> i64 {
    let asked = (0..callers).map(|_| async {
        let mut transaction = pool.begin().await.unwrap();
        let posted = post(&mut transaction, clock, &hold(key, clock.uuid_v7(), PRICE)).await;
        transaction.commit().await.unwrap();
        match posted {
            Ok(_) => true,
            Err(PostError::Refused(Refusal::NotEnough { .. })) => false,
            Err(error) => panic!("neither held nor refused for want of money: {error:?}"),
        }
    });
    count(join_all(asked).await.into_iter())
}

/// Whether a hold was won; anything but a win or an empty account is a fault of the test or of the ledger.
fn won(result: &Result<Answer, SubmitError>) -> bool {
    match result {
        Ok(Answer::Held { .. }) => true,
        Err(SubmitError::Refused(Refusal::NotEnough { .. })) => false,
        other => panic!("neither held nor refused for want of money: {other:?}"),
    }
}

fn count(won: impl Iterator<Item = bool>) -> i64 {
    won.map(i64::from).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_at_once_exactly_as_many_win_as_the_account_can_pay_for() {
    let database = TestDatabase::new().await;
    let clock = Clock::system();
    let ((one, _), (two, _)) = (start(&database.url(), &clock), start(&database.url(), &clock));
    for round in 0..if is_long() { 100 } else { 1 } {
        for k in 0..=CALLERS {
            let payer = key(1, round * 1_000 + k);
            // Not a micro-USD less than k, and not enough for one more.
            open(&database.pool, &clock, payer, k * PRICE + (k * 37) % PRICE).await;
            let (first, second, posted) = futures_util::join!(
                ask(&one, &clock, payer, 90),
                ask(&two, &clock, payer, 90),
                ask_in_transactions(&database.pool, &clock, payer, 20)
            );
            assert_eq!(first + second + posted, k, "k = {k}: {first} + {second} + {posted} won");
        }
    }
    audit(&database.pool).await;
    let deadlocks: i64 =
        sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_of_the_operating_system_oversells_as_little() {
    let database = TestDatabase::new().await;
    let clock = Clock::system();
    let (ledger, _writers) = start(&database.url(), &clock);
    for k in [0, 1, 57, 100, 143, 199, 200] {
        let payer = key(2, k);
        open(&database.pool, &clock, payer, k * PRICE).await;
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["oversell::child_asks_for_its_share", "--exact", "--nocapture"])
            .env(CHILD, format!("{}|2|{k}|100", database.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut says = BufReader::new(child.stdout.take().unwrap()).lines();
        while says.next_line().await.unwrap().expect("the child says that it is ready") != "ready" {}
        child.stdin.take().unwrap().write_all(b"go\n").await.unwrap();
        let ours = ask(&ledger, &clock, payer, 100).await;
        let theirs: i64 = loop {
            let line = says.next_line().await.unwrap().expect("the child says what it won");
            if let Some(count) = line.strip_prefix("won ") {
                break count.parse().unwrap();
            }
        };
        assert!(child.wait().await.unwrap().success());
        assert_eq!(ours + theirs, k, "{ours} here, {theirs} there");
    }
    audit(&database.pool).await;
}

/// Not a test of its own: the other process of the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_asks_for_its_share() {
    let Ok(part) = std::env::var(CHILD) else { return };
    let part: Vec<&str> = part.split('|').collect();
    let [url, community, account, callers] = part[..] else { panic!("not a part: {part:?}") };
    let clock = Clock::system();
    let (ledger, _writers) = start(url, &clock);
    let payer = key(community.parse().unwrap(), account.parse().unwrap());
    // Connected before the start: an answer to a question that costs nothing.
    assert!(ledger.submit(Op::Expire { key: payer }).await.is_ok());
    println!("\nready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    println!("won {}", ask(&ledger, &clock, payer, callers.parse().unwrap()).await);
}
