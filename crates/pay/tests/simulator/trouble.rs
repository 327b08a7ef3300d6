//! Failing on command, and the rate limit.

use std::time::Duration;

use pay::Error;
use pay::simulator::{Counts, Fault};

use super::house::{House, KEY, send};

#[tokio::test]
async fn each_way_to_fail_is_what_its_name_says() {
    let house = House::open().await;
    let url = house.simulator.url();
    let ask = || send(&url, "GET", "/v1/currencies", &[("x-api-key", KEY)], "");

    house.simulator.fail_next(1, Fault::Busy);
    let reply = ask().await.unwrap();
    assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (429, "30"));
    assert_eq!(reply.json()["statusCode"], 429);

    house.simulator.fail_next(2, Fault::Error);
    assert_eq!((ask().await.unwrap().status, ask().await.unwrap().status), (500, 500));

    house.simulator.fail_next(1, Fault::BadJson);
    let reply = ask().await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.text).is_err());

    house.simulator.fail_next(1, Fault::Cut);
    assert!(ask().await.is_err(), "the answer breaks off");

    assert_eq!(ask().await.unwrap().status, 200);
    assert_eq!(house.simulator.counts(), Counts { served: 1, failed: 5, limited: 0 });
}

#[tokio::test]
async fn a_stalled_request_gets_no_answer_until_the_end() {
    let house = House::open().await;
    house.simulator.fail_next(1, Fault::Stall);
    let url = house.simulator.url();
    let asked = tokio::spawn(async move { send(&url, "GET", "/v1/status", &[], "").await });
    // The next request is let through: the first has been seen and hangs.
    while house.simulator.counts().failed == 0 {
        tokio::task::yield_now().await;
    }
    house.client.status().await.unwrap();
    assert!(!asked.is_finished());
    drop(house);
    // Either the connection went, or the last word was a 500.
    let end = tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap().unwrap();
    assert!(end.is_err() || end.is_ok_and(|reply| reply.status == 500));
}

#[tokio::test]
async fn our_client_tells_the_failures_apart() {
    let house = House::open().await;
    house.simulator.fail_next(1, Fault::Busy);
    assert!(matches!(house.client.currencies().await, Err(Error::Busy { .. })));
    house.simulator.fail_next(1, Fault::BadJson);
    assert!(matches!(house.client.currencies().await, Err(Error::Unreadable)));
    house.simulator.fail_next(1, Fault::Error);
    house.client.currencies().await.expect("a question is asked again after a 500");
}

#[tokio::test]
async fn above_the_rate_callers_are_sent_away_until_the_clock_moves() {
    let house = House::open().await;
    house.simulator.limit_rate(Some(10));
    for _ in 0..10 {
        house.client.status().await.unwrap();
    }
    let Err(Error::Busy { retry_after, .. }) = house.client.status().await else {
        panic!("the eleventh is too many")
    };
    assert_eq!(retry_after, Duration::from_secs(30));
    house.clock.advance(time::Duration::SECOND);
    house.client.status().await.unwrap();
    house.simulator.limit_rate(None);
    for _ in 0..50 {
        house.client.status().await.unwrap();
    }
    assert_eq!(house.simulator.counts().limited, 1);
}

#[tokio::test]
async fn commands_come_by_http_too() {
    let house = House::open().await;
    let url = house.simulator.url();
    let press = |path: &'static str, body: &'static str| send(&url, "POST", path, &[], body);
    assert_eq!(press("/simulator/faults/error", "count=2").await.unwrap().status, 200);
    assert_eq!(send(&url, "GET", "/v1/status", &[], "").await.unwrap().status, 500);
    assert_eq!(press("/simulator/faults/none", "").await.unwrap().status, 200);
    house.client.status().await.unwrap();
    assert_eq!(press("/simulator/rate", "per_second=0").await.unwrap().status, 200);
    assert_eq!(send(&url, "GET", "/v1/status", &[], "").await.unwrap().status, 429);
    assert_eq!(press("/simulator/rate", "per_second=").await.unwrap().status, 200);
    house.client.status().await.unwrap();
    for (path, body) in [
        ("/simulator/faults/error", "count=0"),
        ("/simulator/faults/error", "count=9999999"),
        ("/simulator/rate", "per_second=fast"),
        ("/simulator/delivery", "manner=loud"),
    ] {
        assert_eq!(press(path, body).await.unwrap().status, 400, "{path} {body}");
    }
    assert_eq!(press("/simulator/faults/rain", "").await.unwrap().status, 404);
}
