//! Requests with an `Idempotency-Key`, over the death and the stop of the process that answers them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use testing::books::{self, SETTLED};
use testing::served::Served;

use crate::client::{Client, Reply, question};
use crate::world::{PATIENCE, PLENTY, Payer, World};

/// The least that the setting takes.
const LEASE_SECONDS: &str = "2";
const KEY: [(&str, &str); 1] = [("idempotency-key", "mine-1")];

async fn ask(client: &Client, body: &Value) -> anyhow::Result<Reply> {
    client.try_send("POST", "/v1/chat/completions", Bytes::from(body.to_string()), &KEY).await
}

/// The answer to the same request, once it is no longer taken for one in flight.
async fn ask_again(payer: &Payer, served: &Served, body: &Value) -> Reply {
    let client = payer.at(served);
    let began = Instant::now();
    loop {
        let reply = ask(&client, body).await.expect("it answers");
        if !reply.text.contains("request_in_flight") {
            return reply;
        }
        assert!(began.elapsed() < PATIENCE, "the key is in flight for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn charges(world: &World) -> usize {
    let holds = books::holds(&world.database.pool).await;
    holds.iter().filter(|hold| hold.state == SETTLED).count()
}

/// Asks a process that dies at this point, and the next one again.
async fn dies_at(failpoint: &str) -> (World, Reply) {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let launch = world.launch().with("FREESIDE_LEASE_SECONDS", LEASE_SECONDS);
    let mut first = launch.clone().with("FREESIDE_FAILPOINTS", failpoint).start().await;
    let body = question("Tell me something. !tokens 24 !pace 5", 100);
    let broken = ask(&payer.at(&first), &body).await;
    assert!(broken.is_err(), "{broken:?}");
    assert!(!first.ended().await.success(), "it was killed");
    let second = launch.start().await;
    let reply = ask_again(&payer, &second, &body).await;
    world.audited().await;
    (world, reply)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_before_the_charge_frees_the_key_when_the_lease_is_over() {
    for failpoint in ["turn.after_hold", "turn.before_settle"] {
        let (world, reply) = dies_at(failpoint).await;
        assert_eq!(reply.status, 200, "{failpoint}: {}", reply.text);
        assert_eq!((reply.header("idempotent-replayed"), charges(&world).await), ("", 1), "{failpoint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_after_the_charge_is_told_and_never_charged_again() {
    let (world, reply) = dies_at("turn.after_settle").await;
    assert!(reply.status == 409 && reply.text.contains("answer_not_kept"), "{} {}", reply.status, reply.text);
    assert_eq!((reply.header("x-should-retry"), charges(&world).await), ("false", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_caller_left_survives_a_stop() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let mut first = world.launch().start().await;
    let body = question("Tell me something. !tokens 60 !pace 20", 100);
    let client = payer.at(&first);
    let leaving = tokio::time::timeout(Duration::from_millis(300), ask(&client, &body)).await;
    assert!(leaving.is_err(), "the caller left in the middle");
    first.ask_to_stop();
    assert!(first.ended().await.success());
    assert_eq!(charges(&world).await, 1, "it ran to its end before the process did");
    let second = world.launch().start().await;
    let reply = ask(&payer.at(&second), &body).await.expect("it answers");
    assert_eq!((reply.status, reply.header("idempotent-replayed")), (200, "true"), "{}", reply.text);
    assert!(reply.text.ends_with("data: [DONE]\n\n"), "{}", reply.text);
    assert_eq!(charges(&world).await, 1);
    world.audited().await;
}
