//! Who pays for what (SPEC §14 "Charging"): reports have a ceiling, who caused the end decides, sandbox and live are apart.

use serde_json::json;
use testing::books;
use testing::served::until;

use crate::client::question;
use crate::provider::{CHUNK, Provider};
use crate::world::{PATIENCE, PLENTY, Payer, UNLIMITED, World};

async fn owed(world: &World, payer: &Payer) -> i64 {
    sqlx::query_scalar("select owed from account where id = $1")
        .bind(payer.account.account.0)
        .fetch_one(&world.database.pool)
        .await
        .expect("an account")
}

/// Reported prompt and completion, and those that were charged; of the one mismatch that is recorded.
async fn mismatches(world: &World) -> Vec<(i64, i64, i64, i64)> {
    sqlx::query_as("select reported_in, reported_out, charged_in, charged_out from usage_mismatch")
        .fetch_all(&world.database.pool)
        .await
        .expect("readable")
}

/// Cause, provider, model, tokens and cost.
async fn losses(world: &World) -> Vec<(String, String, String, i64, i64)> {
    sqlx::query_as("select cause, provider, model, tokens, cost_micro from loss order by at")
        .fetch_all(&world.database.pool)
        .await
        .expect("readable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_thought_in_silence_is_charged_in_full_and_what_is_missing_is_owed() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let served = world.launch().catalog(&provider.catalog()).start().await;
    // A hold covers 2,048 completion tokens; the last figures say 2,900: 10 + 2 × 2,900 micro-USD.
    for (credit, missing) in [(10_000, 0), (5_810, 0), (5_000, 810)] {
        let payer = world.payer(credit).await;
        let hand = provider.expect("Dear.");
        (0..2).for_each(|_| hand.chunk());
        hand.end(10, 2_900);
        let reply = payer.at(&served).ask(&question("Dear.", 3_000)).await;
        assert_eq!((reply.status, reply.cost()), (200, 5_810), "{}", reply.text);
        let available = books::available(&world.database.pool, payer.account.account.0).await;
        assert_eq!((available, owed(&world, &payer).await), ((credit - 5_810).max(0), missing));
    }
    assert_eq!(mismatches(&world).await, []);
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_thinks_in_silence_has_all_it_may_use_set_aside() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let hidden = provider
        .catalog()
        .replace("context_tokens = 128000", "context_tokens = 128000\nhidden_reasoning = true");
    let served = world.launch().catalog(&hidden).start().await;
    let payer = world.payer(21_000).await;
    let hand = provider.expect("Think.");
    hand.chunk();
    hand.end(10, 9_990);
    let reply = payer.at(&served).ask(&question("Think.", 10_000)).await;
    let hold = books::hold(&world.database.pool, reply.header("x-budget-reservation-id")).await;
    assert!(hold.amount >= 20_000, "not a slice of it: {hold:?}");
    assert_eq!((reply.cost(), owed(&world, &payer).await), (10 + 2 * 9_990, 0));
    let refused = payer.at(&served).ask(&question("Think.", 10_000)).await;
    assert_eq!(refused.status, 402, "a slice of 2,048 would fit, all of it does not: {}", refused.text);
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_beyond_what_the_request_could_use_is_clamped_and_recorded() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let served = world.launch().catalog(&provider.catalog()).start().await;
    let payer = world.payer(PLENTY).await;
    for stream in [true, false] {
        let hand = provider.expect("Lie.");
        hand.chunk();
        hand.end(1_000_000_000_000_000, 1_000_000_000_000_000);
        let mut ask = question("Lie.", 16);
        ask["stream"] = json!(stream);
        let reply = payer.at(&served).ask(&ask).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let hold = books::hold(&world.database.pool, reply.header("x-budget-reservation-id")).await;
        let (prompt, completion) = (hold.tokens_in.expect("charged"), hold.tokens_out.expect("charged"));
        assert!(completion == 16 && (600..700).contains(&prompt), "{hold:?}");
        assert_eq!(hold.charged, Some(prompt + 2 * completion));
        let recorded = mismatches(&world).await;
        let last = recorded.last().expect("a row");
        assert_eq!(*last, (1_000_000_000_000_000, 1_000_000_000_000_000, prompt, completion));
        assert_eq!(recorded.len(), if stream { 1 } else { 2 });
    }
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_is_charged_as_delivered_when_streamed_and_free_when_whole() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let served = world.launch().catalog(&provider.catalog()).start().await;
    let payer = world.payer(PLENTY).await;
    for (path, stream) in [
        ("/v1/chat/completions", true),
        ("/v1/chat/completions", false),
        ("/v1/messages", true),
        ("/v1/messages", false),
        ("/api/v1/inference", true),
        ("/api/v1/inference", false),
    ] {
        // A sound answer between two failures: the provider is not rested.
        let hand = provider.expect("Go on.");
        hand.chunk();
        hand.end(5, 1);
        assert_eq!(payer.at(&served).ask(&question("Go on.", 50)).await.status, 200);
        let before = books::available(&world.database.pool, payer.account.account.0).await;
        let lost = losses(&world).await.len();
        let hand = provider.expect("Break off.");
        (0..3).for_each(|_| hand.chunk());
        drop(hand);
        let mut ask = question("Break off.", 50);
        ask["stream"] = json!(stream);
        let reply = payer.at(&served).post(path, &ask).await;
        world.audited().await;
        let charged = before - books::available(&world.database.pool, payer.account.account.0).await;
        if stream {
            assert!(
                reply.status == 200 && reply.text.contains(CHUNK) && charged >= 2 * 3,
                "{path}: {charged}"
            );
            assert_eq!(losses(&world).await.len(), lost);
        } else {
            assert_eq!((reply.status, charged), (502, 0), "{path}: {}", reply.text);
            let (cause, provider, model, tokens, cost) = losses(&world).await.pop().expect("a loss");
            assert_eq!(
                (cause.as_str(), provider.as_str(), model.as_str()),
                ("provider_cut", "stepped", "stepped")
            );
            assert!(tokens > 3 && cost >= 2 * 3 + (tokens - 3), "{tokens} tokens, {cost} micro-USD");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_when_only_the_figures_are_missing_is_charged_by_them() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let served = world.launch().catalog(&provider.catalog()).start().await;
    let payer = world.payer(PLENTY).await;
    let hand = provider.expect("Dense.");
    hand.chunk();
    hand.stop();
    let mut answer = payer.at(&served).open(&question("Dense.", 50)).await.expect("it answers");
    assert_eq!(answer.text().await.as_deref(), Some(CHUNK));
    let id = answer.id.clone();
    // The reason of the end travels beside the text; give it its moment, as a reader would.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    drop(answer);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    hand.figures(11, 40);
    world.audited().await;
    let hold = books::hold(&world.database.pool, &id).await;
    assert_eq!((hold.tokens_in, hold.tokens_out, hold.charged), (Some(11), Some(40), Some(11 + 2 * 40)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_and_live_keys_of_one_payer_spend_nothing_of_each_other() {
    let world = World::new().await;
    let launch = world.launch();
    let served = launch.start().await;
    let live = world.payer(PLENTY).await;
    let sandbox = world.key_of(&live, identity::KeyKind::Sandbox, UNLIMITED).await;
    let (own, free) = (live.account.account.0, live.account.account.sandbox().0);
    let reply = sandbox.at(&served).ask(&question("Hello. !tokens 20", 50)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(books::available(&world.database.pool, own).await, PLENTY, "what was bought is untouched");
    let left = books::available(&world.database.pool, free).await;
    let answer = live.at(&served).ask(&question("Hello. !tokens 20", 50)).await;
    assert_eq!(books::available(&world.database.pool, own).await, PLENTY - answer.cost());
    assert_eq!(books::available(&world.database.pool, free).await, left, "what is free is untouched");
    // The sandbox's day ends in a 402, however much was bought.
    until("the free lot is used up", PATIENCE, async || {
        sandbox.at(&served).ask(&question("More. !tokens 900", 1_000)).await.status == 402
    })
    .await;
    assert_eq!(books::available(&world.database.pool, own).await, PLENTY - answer.cost());
    world.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripted_text_costs_nothing_and_is_counted_all_the_same() {
    let world = World::new().await;
    let served = world.launch().catalog(types::catalog::DEFAULT_TOML).start().await;
    let payer = world.payer(PLENTY).await;
    for (path, stream) in [
        ("/v1/chat/completions", true),
        ("/v1/chat/completions", false),
        ("/v1/messages", true),
        ("/v1/messages", false),
        ("/api/v1/inference", true),
        ("/api/v1/inference", false),
    ] {
        let mut ask = question("Hello. !tokens 20", 50);
        ask["stream"] = json!(stream);
        let reply = payer.at(&served).post(path, &ask).await;
        assert_eq!((reply.status, reply.cost()), (200, 0), "{path}: {}", reply.text);
        world.audited().await;
        assert_eq!(books::available(&world.database.pool, payer.account.account.0).await, PLENTY);
        let hold = books::hold(&world.database.pool, reply.header("x-budget-reservation-id")).await;
        assert_eq!((hold.state, hold.charged, hold.tokens_out), (books::SETTLED, Some(0), Some(20)));
    }
    let total = payer.at(&served).get("/api/v1/usage").await.json()["total"].clone();
    assert_eq!((&total["requests"], &total["cost_micro"]), (&json!(6), &json!("0")));
}
