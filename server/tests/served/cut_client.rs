//! A client that leaves pays the prompt, which the provider has, and what was metered up to there.

use futures_util::StreamExt as _;
use serde_json::json;
use testing::books;
use testing::served::Served;

use crate::client::question;
use crate::provider::{CHUNK, Provider};
use crate::world::{PATIENCE, PLENTY, Payer, World};

/// Every chunk of an answer is once the last that a client reads.
const CHUNKS: u32 = 200;
/// Enough at once to keep two cores busy.
const AT_ONCE: usize = 16;

/// A client that leaves after chunk `last`; returns the reservation.
async fn leaves_after(last: u32, served: &Served, payer: &Payer, provider: &Provider) -> String {
    let text = format!("Count to {CHUNKS}; I leave at {last:03}.");
    let mut hand = provider.expect(&text);
    hand.chunk();
    let mut answer = payer.at(served).open(&question(&text, 2 * CHUNKS)).await.expect("it answers");
    assert_eq!(answer.status, 200);
    for read in 1..=last {
        assert_eq!(answer.text().await.as_deref(), Some(CHUNK), "chunk {read} of case {last}");
        if read < last {
            hand.chunk();
        }
    }
    // In half of the cases the next chunk is on its way while the client leaves.
    if last.is_multiple_of(2) {
        hand.chunk();
    }
    let id = answer.id.clone();
    drop(answer);
    tokio::time::timeout(PATIENCE, hand.deserted()).await.expect("the provider's connection is closed");
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_after_any_chunk_pays_for_what_was_metered_up_to_there() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let served = world.launch().catalog(&provider.catalog()).start().await;
    let payer = world.payer(PLENTY).await;
    let ids: Vec<(u32, String)> = futures_util::stream::iter(1..=CHUNKS)
        .map(async |last| (last, leaves_after(last, &served, &payer, &provider).await))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    world.audited().await;
    let holds = books::holds(&world.database.pool).await;
    let mut beyond = 0;
    for (last, id) in ids {
        let hold = holds.iter().find(|hold| hold.id == id).expect("its reservation is in the books");
        let (prompt, completion) = (hold.tokens_in.expect("charged"), hold.tokens_out.expect("charged"));
        assert_eq!(prompt, 8, "30 bytes of question: {hold:?}");
        assert!((i64::from(last)..=i64::from(last) + 1).contains(&completion), "case {last}: {hold:?}");
        assert_eq!(hold.charged, Some(prompt + 2 * completion), "case {last}");
        beyond += completion - i64::from(last);
    }
    println!("cut client: {CHUNKS} cases, {beyond} of them metered one chunk more than was read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_the_first_chunk_pays_the_prompt() {
    let world = World::new().await;
    let provider = Provider::start().await;
    // A dearer model of the same provider, and free scripted text, which answers only where no model is on.
    let models = "models = [\"stepped\", \"dear\", \"free\"]";
    let catalog = provider.catalog().replace("models = [\"stepped\"]", models)
        + "[providers.scripted]\nkind = \"scripted\"\n[models.free]\nprovider = \"scripted\"\nupstream_model = \"echo\"\n\
           context_tokens = 128000\ninput_micro_per_million = 0\noutput_micro_per_million = 0\n\
           [models.dear]\nprovider = \"stepped\"\nupstream_model = \"dear\"\ncontext_tokens = 128000\n\
           input_micro_per_million = 10000000\noutput_micro_per_million = 20000000\n";
    let served = world.launch().catalog(&catalog).start().await;
    let payer = world.payer(PLENTY).await;
    // Who may have been asked: any model of the pool, the named one or a cheaper one, the named one alone. By our own count
    // the question has 6 tokens, of 12 bytes and 8 for the message: the provider said no figure.
    for (model, fallback, charged, named) in
        [("cheap", None, 6, "stepped"), ("dear", None, 6, "stepped"), ("dear", Some("none"), 60, "dear")]
    {
        let before = books::available(&world.database.pool, payer.account.account.0).await;
        let mut hand = provider.expect("Say nothing.");
        let client = payer.at(&served);
        let mut ask = question("Say nothing.", 100);
        ask["model"] = json!(model);
        let asking = tokio::spawn(async move {
            let headers: Vec<_> = fallback.map(|value| ("x-freeside-fallback", value)).into_iter().collect();
            let body = ask.to_string().into();
            client.try_send("POST", "/v1/chat/completions", body, &headers).await.map(|reply| reply.status)
        });
        tokio::time::timeout(PATIENCE, hand.asked()).await.expect("the question comes");
        asking.abort();
        tokio::time::timeout(PATIENCE, hand.deserted()).await.expect("the provider's connection is closed");
        world.audited().await;
        let after = books::available(&world.database.pool, payer.account.account.0).await;
        assert_eq!(before - after, charged, "{model}, {fallback:?}");
        let last: (String, i64, i64) = sqlx::query_as(
            "select model, tokens_in, tokens_out from hold where account_id = $1 order by id desc limit 1",
        )
        .bind(payer.account.account.0)
        .fetch_one(&world.database.pool)
        .await
        .expect("a hold");
        assert_eq!(last, (named.to_owned(), 6, 0), "{model}, {fallback:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_is_charged_by_the_providers_own_figures() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let served = world.launch().catalog(&provider.catalog()).start().await;
    let payer = world.payer(PLENTY).await;
    let hand = provider.expect("Say two words.");
    (0..2).for_each(|_| hand.chunk());
    hand.end(11, 5);
    let reply = payer.at(&served).ask(&question("Say two words.", 100)).await;
    assert_eq!((reply.status, reply.cost()), (200, 11 + 2 * 5), "{}", reply.text);
    world.audited().await;
    let hold = books::hold(&world.database.pool, reply.header("x-budget-reservation-id")).await;
    assert_eq!((hold.tokens_in, hold.tokens_out, hold.charged), (Some(11), Some(5), Some(21)));
}

/// A few bytes can be a dear picture, and its price only the provider's last words say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_is_set_aside_for_and_charged_when_the_client_leaves_before_its_price_is_known() {
    let world = World::new().await;
    let provider = Provider::start().await;
    let pictures =
        provider.catalog().replace("system_tokens = 600", "system_tokens = 600\nimage_tokens = 1000");
    let served = world.launch().catalog(&pictures).start().await;
    let payer = world.payer(PLENTY).await;
    let client = payer.at(&served);
    let mut ask = question("Describe them.", 100);
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let shown = json!({"role": "user", "content": [picture, picture]});
    ask["messages"].as_array_mut().expect("a list").insert(0, shown);
    let mut hand = provider.expect("Describe them.");
    hand.chunk();
    let mut answer = client.open(&ask).await.expect("it answers");
    assert_eq!(answer.text().await.as_deref(), Some(CHUNK));
    let id = answer.id.clone();
    drop(answer);
    tokio::time::timeout(PATIENCE, hand.deserted()).await.expect("the provider's connection is closed");
    world.audited().await;
    let hold = books::hold(&world.database.pool, &id).await;
    assert!(hold.amount > 2_600 && hold.tokens_in.is_some_and(|tokens| tokens > 2_000), "{hold:?}");
    // Whole, the provider's word counts; and where a pool names no such price, there are no pictures.
    let hand = provider.expect("Describe them.");
    hand.chunk();
    hand.end(1_530, 1);
    assert_eq!(client.ask(&ask).await.cost(), 1_532);
    let without = world.launch().catalog(&provider.catalog()).start().await;
    let refused = payer.at(&without).ask(&ask).await;
    assert!(refused.status == 400 && refused.text.contains("takes no pictures"), "{}", refused.text);
    world.audited().await;
}
