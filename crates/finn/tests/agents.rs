//! Agents from outside: whose name stands over an answer, what the model is told, and what never leaves.

use std::sync::Arc;

use finn::agents::{AgentRow, AgentSource, Answer, Unreadable};
use serde_json::{Value, json};

use crate::fake_provider::{Act, anthropic_end, anthropic_start, anthropic_text, openai_end, openai_text};
use crate::house::House;

/// One agent, Ferro Quill, and one slug that cannot be read.
struct Street;

impl AgentSource for Street {
    fn read<'a>(&'a self, slug: &'a str, token: &'a str) -> Answer<'a> {
        let traits = [("Calling", "Sage"), ("Element", "Metal"), ("Voice", "Precise")];
        let traits = traits.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let row = AgentRow {
            slug: slug.to_owned(),
            token_id: token.to_owned(),
            version: 3,
            name: "Ferro Quill".to_owned(),
            traits,
            ..AgentRow::default()
        };
        let answer = match (slug, token) {
            ("demo", "3") => Ok(Some(row)),
            ("broken", _) => Err(Unreadable),
            _ => Ok(None),
        };
        Box::pin(async { answer })
    }
}

async fn house() -> House {
    House::open_with(Arc::new(Street)).await
}

impl House {
    async fn ask_agent(&self, nft_id: &str, body: &Value) -> crate::house::Answer {
        let mut claims = self.claims();
        claims["nft_id"] = json!(nft_id);
        self.ask_with(&self.signer.token(&claims), body).await
    }
}

fn ask(pool: &str) -> Value {
    json!({"prompt": "Who are you?", "stream": true, "requested_pool": pool, "max_tokens": 50})
}

#[tokio::test]
async fn an_agent_answers_in_its_own_name_and_the_model_is_told_who_it_is() {
    let mut house = house().await;
    let answer = house.ask_agent("demo:3", &ask("cheap")).await;
    assert_eq!(answer.text(), "Hello there");
    assert_eq!(answer.header("x-personality-id"), "demo:3@3");
    let messages = &house.first.seen()[0]["messages"];
    let system = messages[0]["content"].as_str().unwrap();
    assert_eq!(messages[0]["role"], "system");
    assert!(system.starts_with("You are Ferro Quill.") && system.contains("Nature: Sage."), "{system}");
    assert_eq!(messages[1], json!({"role": "user", "content": "Who are you?"}));
    assert_eq!(house.records.recv().await.unwrap().personality_id, "demo:3@3");
    // What the model is told costs tokens, and our own count has them: more than the question's three.
    assert!(answer.end()["own_count"]["prompt_tokens"].as_u64().unwrap() > 100, "{}", answer.body);

    let plain = house.ask(&ask("cheap")).await;
    assert_eq!(plain.header("x-personality-id"), "none");
    assert_eq!(house.first.seen()[1]["messages"][0]["role"], "user", "nobody is told who nobody is");
}

#[tokio::test]
async fn a_conversation_of_the_other_dialect_is_dressed_too() {
    let house = house().await;
    let body = json!({"prompt": "x", "requested_pool": "standard", "max_tokens": 50, "messages": [
        {"role": "system", "content": "Answer in verse."}, {"role": "user", "content": "Who are you?"}]});
    let answer = house.ask_agent("demo:3", &body).await;
    assert_eq!(answer.header("x-personality-id"), "demo:3@3");
    let seen = &house.claude.seen()[0];
    let system = seen["system"].to_string();
    assert!(system.contains("You are Ferro Quill.") && system.contains("Answer in verse."), "{system}");
    assert_eq!(seen["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_asked_lets_the_agent_choose_within_the_claims() {
    let house = house().await;
    let free = json!({"prompt": "hi", "max_tokens": 50});
    // A sage takes to reasoning most; in this house a scripted model answers there.
    let answer = house.ask_agent("demo:3", &free).await;
    assert_eq!((answer.header("x-pool-used"), answer.header("x-route-reason")), ("reasoning", "affinity"));
    let mut claims = house.claims();
    (claims["nft_id"], claims["tier"]) = (json!("demo:3"), json!("2"));
    let answer = house.ask_with(&house.signer.token(&claims), &free).await;
    assert_eq!((answer.header("x-pool-used"), answer.header("x-route-reason")), ("cheap", "affinity"));
    let answer = house.ask_agent("demo:3", &ask("standard")).await;
    assert_eq!((answer.header("x-pool-used"), answer.header("x-route-reason")), ("standard", "requested"));
}

#[tokio::test]
async fn who_is_not_there_is_not_answered_as_nobody() {
    let house = house().await;
    for (nft_id, status, code) in [
        ("demo:4", 404, "agent_unknown"),
        ("DEMO:3", 404, "agent_unknown"),
        ("demo", 404, "agent_unknown"),
        ("broken:1", 503, "agents_unreadable"),
    ] {
        let answer = house.ask_agent(nft_id, &ask("cheap")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{nft_id}");
    }
    assert_eq!(house.first.seen().len(), 0, "no provider heard of it");
    let without = House::open().await;
    assert_eq!(without.ask_agent("demo:3", &ask("cheap")).await.code(), "agent_unknown");
}

#[tokio::test]
async fn an_agent_never_recites_its_machinery_and_a_plain_call_may() {
    let house = house().await;
    let said = [
        "As an AI lang",
        "uage mo",
        "del, my per",
        "sona",
        " is wry: an ent",
        "ity. My ident",
        "ity is mine",
    ];
    let openai = || {
        let mut steps: Vec<_> = said.iter().map(|piece| openai_text(piece)).collect();
        steps.extend(openai_end("stop", Some((5, 9))));
        Act::Stream(steps)
    };
    house.first.then(openai());
    let answer = house.ask_agent("demo:3", &ask("cheap")).await;
    assert_eq!(answer.text(), "As an intellect, my character is wry: an individual. My identity is mine");
    assert_eq!(answer.end()["usage"]["completion_tokens"], 9, "charged as the provider says");
    let mut steps = anthropic_start();
    steps.extend(said.iter().map(|piece| anthropic_text(piece)));
    steps.extend(anthropic_end("end_turn", 9));
    house.claude.then(Act::Stream(steps));
    let answer = house.ask_agent("demo:3", &ask("standard")).await;
    assert_eq!(answer.text(), "As an intellect, my character is wry: an individual. My identity is mine");
    house.first.then(openai());
    assert_eq!(house.ask(&ask("cheap")).await.text(), said.concat(), "a plain call is the model's own word");
}

#[tokio::test]
async fn what_is_held_back_comes_before_the_end_whatever_the_end_is() {
    let house = house().await;
    for (last, said) in [("my per", "my per"), ("my persona", "my character"), ("language", "language")] {
        let mut steps = vec![openai_text(last)];
        steps.extend(openai_end("stop", None));
        house.first.then(Act::Stream(steps));
        let answer = house.ask_agent("demo:3", &ask("cheap")).await;
        assert_eq!((answer.text().as_str(), &answer.end()["type"]), (said, &json!("done")));
    }
    // Held back is not delivered: another model may still answer.
    house.first.then(Act::Stream(vec![openai_text("enti")]));
    let other = house.ask_agent("demo:3", &ask("cheap")).await;
    assert_eq!((other.text().as_str(), other.header("x-model-used")), ("Hello there", "second"));
    house.first.then(Act::Stream(vec![openai_text("Well, an enti")]));
    let broken = house.ask_agent("demo:3", &ask("cheap")).await;
    assert_eq!((broken.text().as_str(), &broken.end()["type"]), ("Well, an enti", &json!("error")));
}
