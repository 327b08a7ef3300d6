//! No oversell: of 200 that ask at once, in two processes and two ways, of an account that can pay for exactly k, exactly k win.

use std::process::Stdio;

use futures_util::future::join_all;
use ledger::{AccountKey, Answer, Ledger, Op, PostError, Refusal, SubmitError, post};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::ChildStdout;
use types::Clock;

use crate::common::{audit, hold, key, open, start};
use crate::is_long;

const CALLERS: i64 = 200;
const PRICE: i64 = 1_000;
/// Makes the neighbour's test the neighbour: the database's URL.
const NEIGHBOUR: &str = "FREESIDE_TEST_NEIGHBOUR";

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

/// A second process of the operating system, with a ledger of its own on the same database.
struct Neighbour {
    child: tokio::process::Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Neighbour {
    /// Returns once its ledger is connected, so that the first round is as close a race as the last.
    async fn start(url: &str) -> Self {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["oversell::neighbour_asks_for_its_share", "--exact", "--nocapture"])
            .env(NEIGHBOUR, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut says = BufReader::new(child.stdout.take().unwrap()).lines();
        while says.next_line().await.unwrap().expect("the neighbour says that it is ready") != "ready" {}
        Self { child, says }
    }

    /// Lets it ask `callers` times at once for `account`, and returns how many won.
    async fn ask(&mut self, account: i64, callers: i64) -> i64 {
        let part = format!("{account} {callers}\n");
        self.child.stdin.as_mut().unwrap().write_all(part.as_bytes()).await.unwrap();
        loop {
            let line = self.says.next_line().await.unwrap().expect("the neighbour says what it won");
            // Now and then the test's frame says that it has been running for long.
            if let Some(count) = line.strip_prefix("won ") {
                break count.parse().unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_at_once_exactly_as_many_win_as_the_account_can_pay_for() {
    let database = TestDatabase::new().await;
    let clock = Clock::system();
    let (ledger, _writers) = start(&database.url(), &clock);
    let mut neighbour = Neighbour::start(&database.url()).await;
    let rounds = if is_long() { 100 } else { 1 };
    for round in 0..rounds {
        for k in 0..=CALLERS {
            let account = round * 1_000 + k;
            // Not a micro-USD less than k, and not enough for one more.
            open(&database.pool, &clock, key(1, account), k * PRICE + (k * 37) % PRICE).await;
            let (here, there, posted) = futures_util::join!(
                ask(&ledger, &clock, key(1, account), 90),
                neighbour.ask(account, 90),
                ask_in_transactions(&database.pool, &clock, key(1, account), 20)
            );
            assert_eq!(
                here + there + posted,
                k,
                "k = {k}: {here} here, {there} there, {posted} by transactions"
            );
        }
        println!("round {} of {rounds}: exactly k won, for each k in 0..={CALLERS}", round + 1);
    }
    audit(&database.pool).await;
    let deadlocks: i64 =
        sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    println!("{rounds} rounds for each k in 0..={CALLERS}, {deadlocks} deadlocks");
    assert_eq!(deadlocks, 0);
}

/// Not a test of its own: the other process of the test above. A line on its input is an account and how many ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbour_asks_for_its_share() {
    let Ok(url) = std::env::var(NEIGHBOUR) else { return };
    let clock = Clock::system();
    let (ledger, _writers) = start(&url, &clock);
    // Connected before the start: an answer to a question that costs nothing, of an account of its own.
    let own = key(2, 0);
    open(&sqlx::PgPool::connect(&url).await.unwrap(), &clock, own, 0).await;
    ledger.submit(Op::Expire { key: own }).await.unwrap();
    println!("\nready");
    while let Some(part) = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await.unwrap() {
        let part = part.unwrap();
        let (account, callers) = part.split_once(' ').unwrap();
        let won = ask(&ledger, &clock, key(1, account.parse().unwrap()), callers.parse().unwrap()).await;
        println!("won {won}");
    }
}
