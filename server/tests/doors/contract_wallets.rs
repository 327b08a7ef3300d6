//! Wallets that are contracts: their chain is asked, and a chain that does not answer is no refusal.

use chain::fake::{FakeNode, Mood};
use chain::{Contracts, Networks};
use identity::siwe;
use serde_json::json;
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
    let contracts =
        Contracts::of([(8_453, url.as_str())], Networks::Real).expect("a URL").expect("one chain");
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
    assert_eq!((&verified.json()["address"], &verified.json()["chain_id"]), (&json!(SAFE), &json!(8_453)));

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

/// Whoever controls a contract at the owner's address on some chain used to be the owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_at_the_owners_address_is_somebody_else() {
    let (ethereum, base) =
        (FakeNode::start(1).await.expect("a port"), FakeNode::start(8_453).await.expect("a port"));
    let urls = [(1, ethereum.url()), (8_453, base.url())];
    let urls = urls.iter().map(|(chain_id, url)| (*chain_id, url.as_str()));
    let house =
        House::open_with_chains(Contracts::of(urls, Networks::Real).expect("URLs").expect("two")).await;
    let signer = Signer::number(1);
    let (mut owner, mut mallory) = (Browser::new(&house), Browser::new(&house));
    owner.sign_in(&signer).await;
    let made = owner.post("/api/v1/developers/register", &json!({"name": "Ada"})).await.json();
    let community = made["community_id"].as_str().expect("an id").to_owned();
    let ask = owner.dress(house.post("/api/v1/orders", &json!({"pack": "starter"})));
    let order = ask.header("idempotency-key", "a").send().await.json();
    let order = order["id"].as_str().expect("an id").to_owned();
    let sessions = owner.get("/api/v1/sessions").await.json();
    let session = sessions["sessions"][0]["id"].as_str().expect("an id").to_owned();

    let address = signer.address().address;
    for (chain, node) in [(8_453_u64, &base), (1, &ethereum)] {
        let nonce = mallory.nonce().await;
        let template = nonce["message"].as_str().expect("a message");
        let message =
            template.replace("{address}", &address.to_string()).replace("{chain_id}", &chain.to_string());
        node.accept(address, siwe::hash(&message), b"a contract of Mallory's");
        let verified = mallory.verify(&message, &hex(b"a contract of Mallory's")).await;
        assert_eq!((verified.status.as_u16(), &verified.json()["chain_id"]), (200, &json!(chain)));

        let theirs = mallory.get("/api/v1/sessions").await.json();
        assert_eq!(theirs["sessions"].as_array().map(Vec::len), Some(1), "its own alone: {theirs}");
        assert_ne!(theirs["sessions"][0]["id"], json!(session));
        assert_eq!(mallory.delete(&format!("/api/v1/sessions/{session}")).await.status, 404);
        for path in [
            "/api/v1/keys".to_owned(),
            "/api/v1/usage".to_owned(),
            format!("/api/v1/orders/{order}"),
            format!("/api/v1/admin/community/{community}/usage"),
            "/api/v1/admin/reviews".to_owned(),
        ] {
            assert_eq!(mallory.get(&path).await.status, 404, "{chain}: {path}");
            assert_ne!(owner.get(&path).await.status, 404, "{path}");
        }
        assert_eq!(mallory.post("/api/v1/keys", &json!({"name": "x"})).await.status, 404);
        assert_eq!(mallory.post("/api/v1/developers/upgrade", &json!({})).await.status, 404);
        let page = mallory.get("/account").await.text();
        assert!(page.contains(&format!("eip155:{chain}:{address}")), "{page}");

        // What is handed on stays what it was.
        let code = mallory.post("/api/v1/siwe/handoff", &json!({})).await.json()["code"].clone();
        let beside = mallory.post("/api/v1/siwe/exchange", &json!({"code": code})).await.json();
        assert_eq!(beside["chain_id"], json!(chain), "{beside}");
        let token = beside["token"].as_str().expect("a session").to_owned();
        let keys = house.get("/api/v1/keys").key(&token).header("origin", &mallory.origin);
        assert_eq!(keys.send().await.status, 404);
        let ticket = mallory.post("/api/v1/ws/ticket", &json!({})).await.json();
        let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
        let redeemed = house.tickets.redeem(&ticket).await.expect("read").expect("good");
        assert_eq!(redeemed.wallet.chain_id(), Some(chain));
        assert_eq!(mallory.delete("/api/v1/sessions").await.status, 204, "it signs itself out everywhere");
        assert_eq!(owner.get("/api/v1/keys").await.status, 200, "and the owner nowhere");
    }

    // The contract is somebody, too: it signs up on its own, and finds its things again on its chain.
    let own = async |browser: &mut Browser<'_>| {
        let nonce = browser.nonce().await;
        let template = nonce["message"].as_str().expect("a message");
        let message = template.replace("{address}", &address.to_string()).replace("{chain_id}", "8453");
        base.accept(address, siwe::hash(&message), b"two owners agree");
        let verified = browser.verify(&message, &hex(b"two owners agree")).await;
        assert_eq!(verified.status, 200, "{}", verified.text());
    };
    own(&mut mallory).await;
    let theirs = mallory.post("/api/v1/developers/register", &json!({"name": "A safe"})).await;
    assert_eq!(theirs.status, 201, "{}", theirs.text());
    assert_ne!(theirs.json()["account_id"], made["account_id"]);
    let mut again = Browser::new(&house);
    own(&mut again).await;
    let keys = again.get("/api/v1/keys").await.json();
    assert_eq!(keys["keys"][0]["id"], theirs.json()["key_id"], "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_a_test_chain_is_refused_where_it_is_not_offered() {
    let test = FakeNode::start(84_532).await.expect("a port");
    let url = test.url();
    let none = Contracts::of([(84_532, url.as_str())], Networks::Real).expect("a URL");
    assert!(none.is_none(), "in production a test chain vouches for nobody");
    let house = House::open().await;
    let mut browser = Browser::new(&house);
    let nonce = browser.nonce().await;
    let template = nonce["message"].as_str().expect("a message");
    let message = template.replace("{address}", &SAFE.to_string()).replace("{chain_id}", "84532");
    test.accept(SAFE, siwe::hash(&message), b"anybody");
    let refused = browser.verify(&message, &hex(b"anybody")).await;
    assert_eq!(problem(&refused), "400 siwe-wrong-chain");
    assert_eq!(test.calls(), 0);
}
