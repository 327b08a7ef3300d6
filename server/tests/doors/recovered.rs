//! Chat turns whose process died, as the next process finds them.

use serde_json::json;
use testing::books;
use types::WalletId;

use crate::house::House;
use crate::socket_client::text;

const ADA: WalletId = WalletId::by_key(types::Wallet([0xa; 20]));
/// No process has this number.
const DEAD: i32 = 1_000_000;

/// Makes a turn look as if its process had died before its end was written.
async fn unfinish(house: &House, request_id: uuid::Uuid, owner: i32) {
    let done = sqlx::query(
        "update chat_turn set state = 1, ended_at = null, code = null, message = null, tokens_in = 0, tokens_out = 0,
           cost_micro = 0, last_seq = last_seq - 1, owner_id = $2 where request_id = $1",
    )
    .bind(request_id)
    .bind(owner)
    .execute(&house.database.owner_pool())
    .await
    .expect("changed");
    assert_eq!(done.rows_affected(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_process_turn_ends_by_what_the_books_say_of_its_hold() {
    let house = House::open().await;
    domain::demo::ensure(&house.ctx).await.expect("made");
    let (session, _) = house.signed_in(ADA).await;
    let mut socket = house.speaking("demo:1", "192.0.2.1", &session).await;
    let mut ends = Vec::new();
    for _ in 0..2 {
        let id = house.ctx.clock.uuid_v7();
        socket.send("chat", &json!({"message": "Hello. !tokens 20", "requestId": id})).await.expect("sent");
        let frames = socket.answer().await;
        ends.push((id, text(&frames), frames.last().expect("an end").clone().1));
    }
    let [charged, living] = ends.try_into().expect("two");
    let recover = || domain::chat::recover(&house.ctx);
    assert_eq!(recover().await.expect("looked"), 0, "nothing is unfinished");

    // Settled, and then the process died; settled too, and its process lives; died before any money was set aside.
    unfinish(&house, charged.0, DEAD).await;
    unfinish(&house, living.0, house.ctx.owner.0).await;
    let lost = house.ctx.clock.uuid_v7();
    sqlx::query(
        "insert into chat_turn (id, wallet, request_id, agent_id, community_id, account_id, question, owner_id, asked_at)
         select $2, wallet, $2, agent_id, community_id, account_id, 'Lost?', $3, asked_at from chat_turn where request_id = $1",
    )
    .bind(charged.0)
    .bind(lost)
    .bind(DEAD)
    .execute(&house.database.owner_pool())
    .await
    .expect("inserted");
    assert_eq!(recover().await.expect("looked"), 2);
    assert_eq!(recover().await.expect("looked"), 0, "once");

    socket.send("resume", &json!({"requestId": charged.0, "after": 0})).await.expect("sent");
    let frames = socket.answer().await;
    let (kind, end) = frames.last().expect("an end");
    assert_eq!((kind.as_str(), &end["code"]), ("error", &json!("interrupted")));
    assert_eq!((&end["costMicro"], &end["usage"]), (&charged.2["costMicro"], &charged.2["usage"]));
    assert_eq!((text(&frames), &end["seq"]), (charged.1, &charged.2["seq"]));

    socket.send("resume", &json!({"requestId": lost, "after": 0})).await.expect("sent");
    let end = socket.frame("error").await;
    assert_eq!(
        (&end["code"], &end["costMicro"], &end["seq"]),
        (&json!("interrupted"), &json!("0"), &json!(1))
    );
    let state: i16 = sqlx::query_scalar("select state from chat_turn where request_id = $1")
        .bind(living.0)
        .fetch_one(&house.database.pool)
        .await
        .expect("there");
    assert_eq!(state, 1, "a turn whose process lives is left alone");
    books::audit(&house.database.pool).await;
}
