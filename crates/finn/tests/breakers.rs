//! Who is kept away from a provider, by whom and for how long: failures, waits that it asks for, refusals.

use serde_json::{Value, json};

use crate::fake_provider::Act;
use crate::house::House;

fn ask(pool: &str) -> Value {
    json!({"prompt": "How are you?", "stream": true, "requested_pool": pool, "max_tokens": 50})
}

impl House {
    /// A request of its own of `payer`, which the provider fails with this status.
    async fn fail(&self, payer: &str, reservation: &str, status: u16) -> (u16, String) {
        self.first.then(Act::Status(status, String::new()));
        let answer = self.ask_for(payer, reservation, &ask("flagship")).await;
        (answer.status.as_u16(), answer.code())
    }

    /// How a sound request of `payer` fares with the pool that has the first provider alone.
    async fn status(&self, payer: &str, reservation: &str) -> u16 {
        self.ask_for(payer, reservation, &ask("flagship")).await.status.as_u16()
    }
}

#[tokio::test]
async fn one_payer_s_failing_requests_close_a_provider_for_that_payer_alone() {
    let house = House::open().await;
    for reservation in ["a1", "a2", "a3"] {
        assert_eq!(house.fail("a", reservation, 500).await, (502, "provider_error".to_owned()));
    }
    let answer = house.ask_for("a", "a4", &ask("flagship")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "provider_unavailable"));
    assert_eq!(answer.header("retry-after"), "30");
    assert_eq!(house.first.seen().len(), 3);
    let answer = house.ask_for("a", "a5", &ask("cheap")).await;
    assert_eq!(answer.header("x-model-used"), "second", "the chain passes it over");
    assert_eq!(house.status("b", "b1").await, 200, "another payer of the same community is served");
    house.wait(30).await;
    assert_eq!(house.fail("a", "a6", 500).await.0, 502, "the probe");
    assert_eq!(house.status("a", "a7").await, 503);
    assert_eq!(house.status("b", "b2").await, 200);
    house.wait(30).await;
    assert_eq!(house.status("a", "a8").await, 200);
    assert_eq!(house.ask_for("a", "a9", &ask("cheap")).await.header("x-model-used"), "first");
}

#[tokio::test]
async fn a_request_s_retries_count_once_and_three_requests_of_two_payers_close_it_for_all() {
    let house = House::open().await;
    for _ in 0..5 {
        // The gateway retries with the same reservation and another token.
        assert_eq!(house.fail("a", "a1", 500).await.0, 502);
    }
    for _ in 0..5 {
        assert_eq!(house.fail("b", "b1", 503).await.0, 502);
    }
    assert_eq!(house.fail("b", "b2", 500).await.0, 502);
    assert_eq!(house.status("c", "c1").await, 503, "three requests of two payers");
    house.wait(30).await;
    assert_eq!(house.status("c", "c2").await, 200);
    assert_eq!(house.status("a", "a2").await, 200);
}

#[tokio::test]
async fn a_token_without_a_payer_counts_its_community_as_one() {
    let house = House::open().await;
    let as_community = async |community: &str, reservation: &str| {
        let mut claims = house.claims();
        claims["community_id"] = json!(community);
        claims["budget_reservation_id"] = json!(reservation);
        house.ask_with(&house.signer.token(&claims), &ask("flagship")).await.status.as_u16()
    };
    for reservation in ["a1", "a2", "a3"] {
        house.first.then(Act::Status(500, String::new()));
        assert_eq!(as_community("7", reservation).await, 502);
    }
    assert_eq!(as_community("7", "a4").await, 503);
    assert_eq!(as_community("8", "b1").await, 200);
}

#[tokio::test]
async fn what_is_the_request_s_fault_and_a_limit_count_not_at_all() {
    let house = House::open().await;
    for number in 0..6 {
        let payer = ["a", "b", "c"][number % 3];
        assert_eq!(house.fail(payer, &format!("bad{number}"), 400).await.0, 400);
        assert_eq!(house.fail(payer, &format!("limit{number}"), 429).await.0, 429);
    }
    assert_eq!(house.status("a", "good").await, 200);
}

#[tokio::test]
async fn a_provider_s_wait_slows_it_for_everybody_and_is_passed_on() {
    for (status, code) in [(429, "provider_rate_limited"), (529, "provider_overloaded")] {
        let house = House::open().await;
        house.first.then(Act::Wait(status, "20"));
        let answer = house.ask_for("a", "a1", &ask("flagship")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        assert_eq!(answer.header("retry-after"), "20");
        house.wait(5).await;
        let answer = house.ask_for("b", "b1", &ask("flagship")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        assert_eq!(answer.header("retry-after"), "15", "what remains");
        assert_eq!(house.first.seen().len(), 1, "nobody asks it meanwhile");
        assert_eq!(house.ask_for("b", "b2", &ask("cheap")).await.header("x-model-used"), "second");
        house.wait(15).await;
        assert_eq!(house.status("b", "b3").await, 200);
    }
}

#[tokio::test]
async fn a_wait_is_bounded_and_none_is_no_wait() {
    let house = House::open().await;
    house.first.then(Act::Wait(429, "86400"));
    assert_eq!(house.ask_for("a", "a1", &ask("flagship")).await.header("retry-after"), "300");
    house.wait(300).await;
    house.first.then(Act::Status(429, "{}".into()));
    assert_eq!(house.status("a", "a2").await, 429);
    assert_eq!(house.status("a", "a3").await, 200);
}

#[tokio::test]
async fn a_retired_model_and_a_refused_account_fall_through_and_rest() {
    for status in [401, 402, 403, 404, 410] {
        let house = House::open().await;
        house.first.then(Act::Status(status, "{}".into()));
        let answer = house.ask_for("a", "a1", &ask("cheap")).await;
        assert_eq!((answer.header("x-model-used"), answer.header("x-route-reason")), ("second", "fallback"));
        assert_eq!(house.ask_for("a", "a2", &ask("cheap")).await.header("x-model-used"), "second");
        assert_eq!(house.first.seen().len(), 1, "{status}: the second request pays no failed round trip");
        let alone = house.ask_for("a", "a3", &ask("flagship")).await;
        assert_eq!((alone.status.as_u16(), alone.code().as_str()), (502, "provider_misconfigured"));
        assert!(alone.body.contains("operator"), "{}", alone.body);
        assert!(!house.engine.models_now().contains(&"first"), "it is not listed");
        assert!(house.engine.models_on().contains(&"first"));

        assert_eq!(house.status("b", "b1").await, 200, "one payer's word does not bind another");
        assert!(house.engine.models_now().contains(&"first"));
        for (payer, reservation) in [("c", "c1"), ("d", "d1")] {
            house.first.then(Act::Status(status, "{}".into()));
            assert_eq!(house.status(payer, reservation).await, 502);
        }
        let asked = house.first.seen().len();
        assert_eq!(house.status("e", "e1").await, 502, "two payers' word binds all");
        assert_eq!(house.first.seen().len(), asked);
        house.wait(60).await;
        assert_eq!(house.status("e", "e2").await, 200);
    }
}

#[tokio::test]
async fn only_the_models_that_a_request_allows_answer_it() {
    let house = House::open().await;
    let mut question = json!({"prompt": "Hi", "stream": true, "requested_model": "first", "max_tokens": 50,
        "allowed_models": ["first"]});
    house.first.then(Act::Status(500, String::new()));
    let answer = house.ask_for("a", "a1", &question).await;
    assert_eq!(answer.status, 502, "no substitute after a failure either");
    question["allowed_models"] = json!(["first", "second"]);
    house.first.then(Act::Status(500, String::new()));
    assert_eq!(house.ask_for("a", "a2", &question).await.header("x-model-used"), "second");
    question["requested_model"] = json!("off");
    question["allowed_models"] = json!(["off"]);
    let answer = house.ask_for("a", "a3", &question).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "model_unavailable"));
}
