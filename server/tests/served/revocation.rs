//! A revoked key is over: in this process and in the next, for open streams and for new requests.

use std::time::Instant;

use serde_json::json;
use testing::books;
use testing::served::until;

use crate::client::{Client, question};
use crate::world::{PATIENCE, PLENTY, World};

/// Half a minute of streaming, if nobody ends it.
const LONG: &str = "Go on. !tokens 3000 !pace 10";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_cuts_open_streams_here_and_in_another_process() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let launch = world.launch();
    let (one, other) = (launch.start().await, launch.start().await);
    let mut streams = Vec::new();
    for served in [&one, &other] {
        let mut answer = payer.at(served).open(&question(LONG, 4_000)).await.expect("it answers");
        for _ in 0..3 {
            assert!(answer.text().await.is_some());
        }
        streams.push(answer);
    }
    let revoked =
        payer.at(&one).send("DELETE", &format!("/api/v1/keys/{}", payer.key_id), "".into(), &[]).await;
    let since = Instant::now();
    assert_eq!(revoked.status, 204, "{}", revoked.text);
    for (what, answer) in ["in the same process", "in another process"].iter().zip(streams) {
        let id = answer.id.clone();
        let events = answer.rest().await;
        println!("revocation: an open stream {what} ended after {:.0?}", since.elapsed());
        assert!(
            events.last().is_some_and(|data| data.contains("key_revoked")),
            "{what}: {:?}",
            events.last()
        );
        until("it is settled", PATIENCE, async || {
            books::hold(&world.database.pool, &id).await.state == books::SETTLED
        })
        .await;
        let hold = books::hold(&world.database.pool, &id).await;
        assert!(hold.tokens_out.is_some_and(|tokens| (3..3_000).contains(&tokens)), "{hold:?}");
    }
    // The same 401 as for a key that never was.
    let refused = payer.at(&other).get("/v1/models").await;
    let mut letters: Vec<char> = payer.key.chars().collect();
    letters.swap(10, 11);
    let never =
        Client::new(other.gateway(), &letters.into_iter().collect::<String>()).get("/v1/models").await;
    assert_eq!((refused.status, &refused.text), (401, &never.text));
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_works_until_its_overlap_ends() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let launch = world.launch();
    let (one, other) = (launch.start().await, launch.start().await);
    let rotate = |seconds: u32, key: &str, id: &str| {
        let client = Client::new(one.gateway(), key);
        let path = format!("/api/v1/keys/{id}/rotate");
        async move { client.post(&path, &json!({"overlap_seconds": seconds})).await.json() }
    };
    let second = rotate(3_600, &payer.key, &payer.key_id).await;
    let (second_key, second_id) =
        (second["key"].as_str().expect("a key"), second["id"].as_str().expect("an id"));
    for key in [payer.key.as_str(), second_key] {
        assert_eq!(
            Client::new(other.gateway(), key).ask(&question("Hi. !tokens 2", 5)).await.status,
            200,
            "both work"
        );
    }
    let mut open =
        Client::new(other.gateway(), second_key).open(&question(LONG, 4_000)).await.expect("it answers");
    assert!(open.text().await.is_some());
    let third = rotate(0, second_key, second_id).await;
    let third_key = third["key"].as_str().expect("a key");
    let since = Instant::now();
    let last = open.rest().await;
    println!(
        "rotation without overlap: an open stream in another process ended after {:.0?}",
        since.elapsed()
    );
    assert!(last.last().is_some_and(|data| data.contains("key_revoked")), "{:?}", last.last());
    assert_eq!(Client::new(one.gateway(), second_key).get("/v1/models").await.status, 401);
    assert_eq!(Client::new(other.gateway(), second_key).get("/v1/models").await.status, 401);
    assert_eq!(Client::new(other.gateway(), third_key).get("/v1/models").await.status, 200);
    world.audited().await;
}
