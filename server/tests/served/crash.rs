//! A process, or its PostgreSQL, dies at the worst moment: nobody who got `[DONE]` is unpaid, nobody pays twice, and
//! nothing stays locked once the lease has ended.

use std::time::{Duration, Instant};

use testing::books::{self, SETTLED};
use testing::postgres::TestCluster;
use testing::served::{Launch, Served, until};

use crate::client::{Client, Stream, is_acknowledged, question};
use crate::world::{PATIENCE, PLENTY, Payer, World};

/// The least that the setting takes.
const LEASE_SECONDS: u64 = 2;
/// Answers that stream at once while death comes.
const STREAMS: usize = 6;
/// Rounds of them after which death should have come; how many operations share a transaction is chance.
const ROUNDS_AT_MOST: usize = 20;
/// Two dozen chunks over a quarter of a second.
const QUESTION: &str = "Tell me something. !tokens 24 !pace 10";

/// What a client saw of an answer.
#[derive(Debug)]
struct Seen {
    id: String,
    acknowledged: bool,
}

/// Asks, and reads until the end or the break. A connection that breaks before the head leaves no id.
async fn ask(client: &Client) -> Option<Seen> {
    let answer: Stream = client.open(&question(QUESTION, 100)).await.ok()?;
    let id = answer.id.clone();
    let events = answer.rest().await;
    Some(Seen { id, acknowledged: is_acknowledged(&events) })
}

async fn ask_many(client: &Client, streams: usize) -> Vec<Seen> {
    let asking: Vec<_> = (0..streams)
        .map(|_| client.clone())
        .map(|client| tokio::spawn(async move { ask(&client).await }))
        .collect();
    let mut seen = Vec::new();
    for one in asking {
        seen.extend(one.await.expect("no panic in a client"));
    }
    seen
}

/// Who was told that all is well has paid; the audit says that nobody has paid twice.
async fn is_paid(world: &World, seen: &[Seen]) {
    let holds = books::holds(&world.database.pool).await;
    for one in seen.iter().filter(|one| one.acknowledged) {
        let hold =
            holds.iter().find(|hold| hold.id == one.id).expect("an acknowledged answer is in the books");
        assert_eq!((hold.state, hold.tokens_out), (SETTLED, Some(24)), "{one:?} {hold:?}");
    }
}

fn short_lease(launch: Launch) -> Launch {
    launch.with("FREESIDE_LEASE_SECONDS", LEASE_SECONDS.to_string())
}

async fn next_life_cleans_up(world: &World, launch: &Launch, died: Instant) -> (Served, Duration) {
    let served = launch.start().await;
    books::closed(&world.database.pool, PATIENCE).await;
    (served, died.elapsed())
}

async fn dies_at(failpoint: &str, streams: usize) {
    let world = World::new().await;
    let payer: Payer = world.payer(PLENTY).await;
    let launch = short_lease(world.launch());
    let mut first = launch.clone().with("FREESIDE_FAILPOINTS", failpoint).start().await;
    let mut seen = Vec::new();
    for round in 0.. {
        assert!(round < ROUNDS_AT_MOST, "{failpoint} was never reached");
        let asked = ask_many(&payer.at(&first), streams).await;
        let all_went_well = asked.len() == streams && asked.iter().all(|one| one.acknowledged);
        seen.extend(asked);
        if !all_went_well {
            break;
        }
    }
    assert!(!first.ended().await.success(), "it was killed");
    let died = Instant::now();
    let open = books::open_holds(&world.database.pool).await;
    let (second, until_clean) = next_life_cleans_up(&world, &launch, died).await;
    let acknowledged = seen.iter().filter(|one| one.acknowledged).count();
    eprintln!(
        "crash at {failpoint}: {open} holds open, {acknowledged} answers acknowledged, none open {until_clean:.2?} after death"
    );
    is_paid(&world, &seen).await;
    books::audit(&world.database.pool).await;
    let again = payer.at(&second).ask(&question(QUESTION, 100)).await;
    assert_eq!(again.status, 200, "the next life serves: {}", again.text);
    world.audited().await;
}

/// One test a failpoint. One answer alone makes the ledger's first transaction a hold and its second a settle.
macro_rules! deaths {
    ($($name:ident: $failpoint:literal, $streams:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            dies_at($failpoint, $streams).await;
        }
    )*};
}

deaths! {
    a_death_before_the_writes_of_a_hold_loses_nothing: "ledger.before_writes", 1;
    a_death_before_the_writes_of_a_settle_loses_nothing: "ledger.before_writes@2", 1;
    a_death_before_the_writes_of_any_batch_loses_nothing: "ledger.before_writes@7", STREAMS;
    a_death_before_the_commit_of_a_hold_loses_nothing: "ledger.before_commit", 1;
    a_death_before_the_commit_of_a_settle_loses_nothing: "ledger.before_commit@2", 1;
    a_death_before_the_commit_of_any_batch_loses_nothing: "ledger.before_commit@7", STREAMS;
    a_death_after_the_commit_of_a_hold_loses_nothing: "ledger.after_commit", 1;
    a_death_after_the_commit_of_a_settle_charges_once: "ledger.after_commit@2", 1;
    a_death_after_the_commit_of_any_batch_charges_once: "ledger.after_commit@7", STREAMS;
    a_death_after_a_hold_loses_nothing: "turn.after_hold@3", STREAMS;
    a_death_before_a_settle_loses_nothing: "turn.before_settle@3", STREAMS;
    a_death_after_a_settle_charges_once: "turn.after_settle@3", STREAMS;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_postgres_loses_nothing_and_its_return_is_noticed() {
    const DEATHS: usize = 4;
    let cluster = TestCluster::start_private().await;
    let world = World::of(cluster.database().await);
    let payer = world.payer(PLENTY).await;
    let served = short_lease(world.launch()).start().await;
    let (enough, is_enough) = tokio::sync::watch::channel(false);
    let asking: Vec<_> = (0..STREAMS)
        .map(|_| (payer.at(&served), is_enough.clone()))
        .map(|(client, is_enough)| {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !*is_enough.borrow() {
                    seen.extend(ask(&client).await);
                }
                seen
            })
        })
        .collect();
    let pool = &world.database.pool;
    for death in 1..=DEATHS {
        let known = books::holds(pool).await.len();
        // A moment that nothing is in step with: some holds are open, some settles are on their way.
        until("answers stream", PATIENCE, async || books::holds(pool).await.len() >= known + STREAMS + death)
            .await;
        cluster.kill_postgres().await;
        if death == DEATHS {
            // Longer than the lease: what is open then is swept as orphaned, and still charged when it settles.
            let died = Instant::now();
            until("the lease has ended", PATIENCE, async || {
                died.elapsed() > Duration::from_secs(LEASE_SECONDS + 1)
            })
            .await;
        }
        cluster.start_again().await;
        until("the database answers", PATIENCE, async || sqlx::query("select 1").execute(pool).await.is_ok())
            .await;
    }
    let _ = enough.send(true);
    let last = Instant::now();
    let mut seen = Vec::new();
    for one in asking {
        seen.extend(one.await.expect("no panic in a client"));
    }
    books::closed(pool, PATIENCE).await;
    let acknowledged = seen.iter().filter(|one| one.acknowledged).count();
    println!(
        "postgres killed {DEATHS} times: {acknowledged} of {} acknowledged, none open {:.2?} after the last",
        seen.len(),
        last.elapsed()
    );
    assert!(acknowledged > DEATHS, "it went on between the deaths");
    is_paid(&world, &seen).await;
    let again = payer.at(&served).ask(&question(QUESTION, 100)).await;
    assert_eq!(again.status, 200, "it serves again: {}", again.text);
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_while_postgres_is_down_is_told_to_come_back() {
    let cluster = TestCluster::start_private().await;
    let world = World::of(cluster.database().await);
    let (known, stranger) = (world.payer(PLENTY).await, world.payer(PLENTY).await);
    let served = world.launch().start().await;
    assert_eq!(known.at(&served).ask(&question("Hi. !tokens 2", 5)).await.status, 200);
    cluster.kill_postgres().await;
    cluster.dead().await;
    for payer in [&known, &stranger] {
        let reply = payer.at(&served).ask(&question("Hi. !tokens 2", 5)).await;
        assert_eq!(reply.status, 503, "{}", reply.text);
        assert!(!reply.header("retry-after").is_empty());
    }
    assert_eq!(Client::new(served.gateway(), "").get("/health").await.status, 200);
    cluster.start_again().await;
    until("it serves again", PATIENCE, async || {
        stranger.at(&served).ask(&question("Hi. !tokens 2", 5)).await.status == 200
    })
    .await;
    world.audited().await;
}
