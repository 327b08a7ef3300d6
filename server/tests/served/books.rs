//! Every receipt, every report and the journal say the same.

use serde_json::{Value, json};
use testing::books;

use crate::client::{Client, Reply};
use crate::world::{PLENTY, World};

fn micro(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("no figure: {value}")).parse().expect("an integer")
}

/// The same question at every door, whole and streamed.
async fn ask_everywhere(client: &Client) -> Vec<(&'static str, Reply)> {
    let messages = json!([{"role": "user", "content": "How much? !tokens 33"}]);
    let openai = json!({"model": "cheap", "max_tokens": 100, "messages": messages});
    let with = |body: &Value, name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    let streamed = with(&openai, "stream", json!(true));
    let native = json!({"prompt": "How much? !tokens 33", "max_tokens": 100});
    let questions = [
        ("/v1/chat/completions", openai.clone()),
        ("/v1/chat/completions", streamed.clone()),
        ("/v1/chat/completions", with(&streamed, "stream_options", json!({"include_usage": true}))),
        ("/v1/messages", openai.clone()),
        ("/v1/messages", streamed.clone()),
        ("/api/v1/inference", native.clone()),
        ("/api/v1/inference", with(&native, "stream", json!(false))),
        ("/api/agents/invoke", with(&native, "model", json!("standard"))),
    ];
    let mut replies = Vec::new();
    for (path, body) in questions {
        let reply = client.post(path, &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        replies.push((path, reply));
    }
    replies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_is_what_the_books_charged_and_the_reports_add_up() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let served = world.launch().start().await;
    let client = payer.at(&served);
    let replies = ask_everywhere(&client).await;
    world.audited().await;

    let pool = &world.database.pool;
    let mut spent = 0;
    for (path, reply) in &replies {
        let hold = books::hold(pool, reply.header("x-budget-reservation-id")).await;
        assert_eq!((hold.state, hold.charged), (books::SETTLED, Some(reply.cost())), "{path}");
        spent += reply.cost();
    }
    let holds = books::holds(pool).await;
    assert_eq!(holds.len(), replies.len(), "one reservation for each answer");
    let tokens = |of: fn(&books::Hold) -> Option<i64>| holds.iter().filter_map(of).sum::<i64>();

    let usage = client.get("/api/v1/usage").await.json();
    assert_eq!(micro(&usage["total"]["cost_micro"]), spent, "{usage}");
    assert_eq!(usage["total"]["requests"], replies.len());
    assert_eq!(usage["total"]["prompt_tokens"], tokens(|hold| hold.tokens_in));
    assert_eq!(usage["total"]["completion_tokens"], tokens(|hold| hold.tokens_out));
    for by in ["by_day", "by_model", "by_pool"] {
        let parts = usage[by].as_object().expect("an object").values();
        assert_eq!(parts.map(|part| micro(&part["cost_micro"])).sum::<i64>(), spent, "{by}: {usage}");
    }
    assert_eq!((micro(&usage["available_micro"]), micro(&usage["held_micro"])), (PLENTY - spent, 0));

    let budget = client.get(&format!("/api/v1/communities/{}/budget", payer.account.community)).await.json();
    for field in ["spent_this_month_micro", "spent_micro"] {
        assert_eq!(micro(&budget[field]), spent, "{field}: {budget}");
    }
    assert_eq!((micro(&budget["available_micro"]), micro(&budget["held_micro"])), (PLENTY - spent, 0));

    let stranger = world.payer(1).await.at(&served);
    let refused = stranger.get(&format!("/api/v1/communities/{}/budget", payer.account.community)).await;
    assert_eq!(refused.status, 404, "another's budget is nobody's business: {}", refused.text);
}
