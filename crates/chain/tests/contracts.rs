//! Asking a node whether a contract accepts a signature: yes, no, and no answer.

use chain::fake::{FakeNode, Mood};
use chain::{Node, NodeError};
use client::Client;
use types::Wallet;

const SAFE: Wallet = Wallet([0x5a; 20]);
const HASH: [u8; 32] = [7; 32];

#[tokio::test]
async fn a_contract_is_asked_and_believed() {
    let fake = FakeNode::start(8_453).await.expect("a port");
    let node = Node::new(8_453, &fake.url(), Client::new()).expect("a URL");
    let long: Vec<u8> = (0..=255).collect();
    fake.accept(SAFE, HASH, &long);
    assert!(node.accepts_signature(SAFE, HASH, &long).await.expect("an answer"));
    assert!(!node.accepts_signature(SAFE, [8; 32], &long).await.expect("an answer"), "another text");
    assert!(!node.accepts_signature(SAFE, HASH, &long[1..]).await.expect("an answer"), "another signature");
    assert!(
        !node.accepts_signature(Wallet([1; 20]), HASH, &long).await.expect("an answer"),
        "no contract there"
    );
    fake.turn(Mood::Reverting);
    assert!(!node.accepts_signature(SAFE, HASH, &long).await.expect("an answer"), "it reverts");
    assert_eq!(fake.calls(), 5);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_no_refusal() {
    let fake = FakeNode::start(8_453).await.expect("a port");
    fake.accept(SAFE, HASH, &[1]);
    let node = Node::new(8_453, &fake.url(), Client::new()).expect("a URL");
    fake.turn(Mood::Broken);
    let away = node.accepts_signature(SAFE, HASH, &[1]).await;
    assert!(matches!(away, Err(NodeError::Status(8_453, status)) if status == 502), "{away:?}");
    fake.turn(Mood::Limited);
    assert!(matches!(
        node.accepts_signature(SAFE, HASH, &[1]).await,
        Err(NodeError::Refused(8_453, -32_005))
    ));
    fake.turn(Mood::Well);
    assert!(node.accepts_signature(SAFE, HASH, &[1]).await.expect("an answer"), "it came back");
    fake.turn(Mood::Limited);
    assert!(
        node.accepts_signature(SAFE, HASH, &[1]).await.is_err(),
        "a limit is told apart from a no, later too"
    );

    let other = Node::new(1, &fake.url(), Client::new()).expect("a URL");
    fake.turn(Mood::Well);
    assert!(matches!(other.accepts_signature(SAFE, HASH, &[1]).await, Err(NodeError::OtherChain(1, 8_453))));
    let url = fake.url();
    drop(fake);
    let gone = Node::new(8_453, &url, Client::new()).expect("a URL");
    assert!(matches!(gone.accepts_signature(SAFE, HASH, &[1]).await, Err(NodeError::Unreachable(8_453, _))));
}
