//! Wallets that are contracts: their chain is asked, and a chain that does not answer is no refusal.

use chain::fake::{FakeNode, Mood};
use identity::siwe;
use server::serve::Contracts;
use types::Wallet;

use crate::house::House;
use crate::wallets::{Browser, Signer, problem};

/// A contract, in this test.
const SAFE: Wallet = Wallet([0x5a; 20]);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_signs_in_when_its_chain_says_so() {
    let base = FakeNode::start(8_453).await.expect("a port");
    let url = base.url();
    let contracts = Contracts::of([(8_453, url.as_str())]).expect("a URL").expect("one chain");
    let house = House::open_with_chains(contracts).await;
    let mut browser = Browser::new(&house);
    // Two owners' signatures, one after the other: longer than a key's, and meant for the contract alone.
    let signature = [vec![1; 65], vec![2; 65]].concat();
    let message_for = |nonce: &serde_json::Value, chain: &str| {
        let template = nonce["message"].as_str().expect("a message");
        template.replace("{address}", &SAFE.to_string()).replace("{chain_id}", chain)
    };

    let message = message_for(&browser.nonce().await, "8453");
    base.accept(SAFE, siwe::hash(&message), &signature);
    let verified = browser.verify(&message, &hex(&signature)).await;
    assert_eq!(verified.status, 200, "{}", verified.text());
    assert_eq!(verified.json()["address"], SAFE.to_string());

    let other = message_for(&browser.nonce().await, "8453");
    let refused = browser.verify(&other, &hex(&signature)).await;
    assert_eq!(problem(&refused), "400 siwe-signature-malformed", "the contract never saw this text");
    let key_like = message_for(&browser.nonce().await, "8453");
    let mallory = Signer::number(2).sign(&key_like);
    assert_eq!(problem(&browser.verify(&key_like, &mallory).await), "403 siwe-signature-mismatch");

    for mood in [Mood::Broken, Mood::Limited] {
        base.turn(mood);
        let message = message_for(&browser.nonce().await, "8453");
        let unasked = browser.verify(&message, &hex(&signature)).await;
        assert_eq!(unasked.status, 503, "{mood:?}: {}", unasked.text());
    }
    base.turn(Mood::Well);
    let elsewhere = message_for(&browser.nonce().await, "1");
    base.accept(SAFE, siwe::hash(&elsewhere), &signature);
    let refused = browser.verify(&elsewhere, &hex(&signature)).await;
    assert_eq!(
        problem(&refused),
        "400 siwe-signature-malformed",
        "a chain that cannot be asked vouches for nobody"
    );

    let calls = base.calls();
    browser.sign_in(&Signer::number(1)).await;
    assert_eq!(base.calls(), calls, "a key needs no chain");
}
