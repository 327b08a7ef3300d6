//! The empty configuration: a private PostgreSQL, a key that is shown once, and a second start that knows both.

use serde_json::{Value, json};
use testing::served::Launch;

use crate::client::{Client, is_acknowledged, question};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_has_the_keys_and_the_books_of_the_first() {
    // Its own pepper, as in the README: made in the data folder, and kept there.
    let launch = Launch::new(env!("CARGO_BIN_EXE_freeside")).without("API_KEY_PEPPER_V1");
    let first = launch.start().await;
    let said = first.said();
    for part in ["/v1", "/docs", "curl -N http://", "scripted", "OPENAI_API_KEY"] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
    let key = first.demo_key();
    let reply = Client::new(first.gateway(), &key).ask(&question("Hello!", 20)).await;
    assert!(is_acknowledged(&reply.events()), "{}", reply.text);
    let mut to_an_agent = question("Hello!", 20);
    to_an_agent["model"] = json!("agent:demo:1");
    let other = Client::new(first.gateway(), &key).ask(&to_an_agent).await;
    assert!(is_acknowledged(&other.events()), "the demo's agents answer: {}", other.text);
    let cost = reply.cost() + other.cost();
    let status = first.stop().await;
    assert!(status.success(), "{status}");

    let second = launch.start().await;
    assert!(!second.said().contains("lf_test_"), "a key is shown once:\n{}", second.said());
    let client = Client::new(second.gateway(), &key);
    let usage: Value = client.get("/api/v1/usage").await.json();
    assert_eq!(usage["total"]["cost_micro"], cost.to_string(), "{usage}");
    let reply = client.ask(&question("Hello again!", 20)).await;
    assert!(is_acknowledged(&reply.events()), "{}", reply.text);
    // A process that is killed leaves its PostgreSQL behind; the next one takes it over, and stops it.
    second.kill().await;
    let third = launch.start().await;
    let reply = Client::new(third.gateway(), &key).ask(&question("And again!", 20)).await;
    assert!(is_acknowledged(&reply.events()), "{}", reply.text);
    assert!(third.stop().await.success());
    assert!(!launch.data().join("postgres/postmaster.pid").exists(), "PostgreSQL ended with it");
}
