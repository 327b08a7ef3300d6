//! A stop that was asked for: answers end, books are closed, the process says that all is well.

use tokio::net::TcpStream;

use crate::client::{is_acknowledged, question};
use crate::world::{PATIENCE, PLENTY, World};
use testing::books::{self, SETTLED};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_streams_at_sigterm_ends_completely() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let mut served = world.launch().start().await;
    let address = served.gateway();
    let client = payer.at(&served);
    let mut answers = Vec::new();
    for _ in 0..4 {
        let mut answer = client.open(&question("Hello. !tokens 60 !pace 20", 100)).await.expect("it answers");
        assert!(answer.text().await.is_some());
        answers.push(answer);
    }
    served.ask_to_stop();
    testing::served::until("nobody new is let in", PATIENCE, async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    for answer in answers {
        let id = answer.id.clone();
        let events = answer.rest().await;
        assert!(is_acknowledged(&events), "{events:?}");
        let hold = books::hold(&world.database.pool, &id).await;
        assert_eq!((hold.state, hold.tokens_out), (SETTLED, Some(60)), "paid before its last word");
    }
    let status = served.ended().await;
    assert!(status.success(), "{status}");
    world.audited().await;
}
