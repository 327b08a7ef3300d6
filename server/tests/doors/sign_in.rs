//! Signing in with a wallet, from outside: cookies, refusals, other sites, other devices, frames.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use types::{Clock, MicroUsd};

use crate::house::House;
use crate::wallets::{Browser, Signer, problem};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_signs_in_is_known_and_signs_out() {
    let house = House::open().await;
    let (mut browser, ada) = (Browser::new(&house), Signer::number(1));
    assert_eq!(browser.get("/api/v1/siwe/session").await.json(), json!({"authenticated": false}));

    let reply = browser.sign_in(&ada).await;
    let cookie = reply.header("set-cookie");
    assert!(
        cookie.starts_with("freeside=ey")
            && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600")
    );
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(!reply.text().contains("eyJ"), "no script of the page sees the token");
    let known = browser.get("/api/v1/siwe/session").await.json();
    assert_eq!(known, reply.json());
    assert_eq!(
        (&known["address"], &known["origin"]),
        (&json!(ada.address().to_string()), &json!(browser.origin))
    );

    let token = browser.cookies["freeside"].clone();
    let listed = browser.get("/api/v1/sessions").await.json();
    assert_eq!(listed["sessions"].as_array().expect("some").len(), 1);
    assert_eq!(listed["sessions"][0]["label"], "Firefox on Linux");
    assert_eq!(listed["sessions"][0]["is_current"], true);
    assert_eq!(browser.post("/api/v1/siwe/logout", &json!({})).await.status, 204);
    assert!(!browser.cookies.contains_key("freeside"));
    assert_eq!(problem(&browser.get("/api/v1/sessions").await), "401 sign-in-needed");
    browser.cookies.insert("freeside".to_owned(), token);
    assert_eq!(problem(&browser.get("/api/v1/sessions").await), "401 session-over");
    assert_eq!(browser.get("/api/v1/siwe/session").await.json(), json!({"authenticated": false}));
    assert!(!browser.cookies.contains_key("freeside"), "a cookie that is over is taken away");
    assert_eq!(browser.post("/api/v1/siwe/logout", &json!({})).await.status, 204, "twice is fine");
}

/// What is done to a message before it is signed.
type Change<'a> = &'a dyn Fn(&str) -> String;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_has_a_problem_of_its_own_and_costs_the_nonce() {
    let house = House::open().await;
    let (mut browser, ada) = (Browser::new(&house), Signer::number(1));
    let host = house.address.to_string();
    let cases: [(&str, Change<'_>); 11] = [
        ("400 siwe-malformed", &|text| text.replace("\nURI", "\nI also pay.\nURI")),
        ("400 siwe-malformed", &|text| text.to_owned() + "\n"),
        ("400 siwe-not-canonical", &|text| text.replace("Chain ID: ", "Chain ID: +")),
        ("400 siwe-not-canonical", &|text| text.to_owned() + "\nResources:"),
        ("400 siwe-wrong-domain", &|text| text.replacen(&host, "evil.example", 1)),
        ("400 siwe-wrong-uri", &|text| {
            text.replace(&format!("URI: http://{host}"), "URI: http://evil.example")
        }),
        ("400 siwe-wrong-version", &|text| text.replace("Version: 1", "Version: 2")),
        ("400 siwe-wrong-chain", &|text| text.replace("Chain ID: 8453", "Chain ID: 5")),
        ("400 siwe-wrong-time", &|text| text.replace("Issued At: 20", "Issued At: 19")),
        ("400 siwe-expired", &|text| text.replace("Expiration Time: 20", "Expiration Time: 19")),
        ("400 siwe-not-yet-valid", &|text| text.to_owned() + "\nNot Before: 2999-01-01T00:00:00Z"),
    ];
    for (expected, change) in cases {
        let nonce = browser.nonce().await;
        let good = ada.message(&nonce);
        let changed = change(&good);
        assert_ne!(good, changed, "{expected}");
        let refused = browser.verify(&changed, &ada.sign(&changed)).await;
        assert_eq!(problem(&refused), expected, "{}", refused.text());
        assert!(!refused.headers.contains_key("set-cookie"));
        let again = browser.verify(&good, &ada.sign(&good)).await;
        assert_eq!(problem(&again), "409 siwe-nonce-used", "after {expected}");
    }

    let nonce = browser.nonce().await;
    let message = ada.message(&nonce);
    let mallory = Signer::number(2).sign(&message);
    assert_eq!(problem(&browser.verify(&message, &mallory).await), "403 siwe-signature-mismatch");
    for form in ["", "0x", "0x00", &mallory[2..], "0xzz"] {
        let nonce = browser.nonce().await;
        let refused = browser.verify(&ada.message(&nonce), form).await;
        assert_eq!(problem(&refused), "400 siwe-signature-malformed", "{form}");
    }
    let stranger = message.replace(nonce["nonce"].as_str().expect("text"), "abcdefgh23456789");
    assert_eq!(problem(&browser.verify(&stranger, &ada.sign(&stranger)).await), "400 siwe-nonce-unknown");

    let nonce = browser.nonce().await;
    let message = ada.message(&nonce);
    let mut elsewhere = Browser::new(&house);
    elsewhere.nonce().await;
    let refused = elsewhere.verify(&message, &ada.sign(&message)).await;
    assert_eq!(
        problem(&refused),
        "403 siwe-nonce-foreign",
        "a message that somebody signed in another browser"
    );
    assert!(house.sign_in.sessions.list(ada.address()).await.expect("a list").is_empty());

    let nonce = browser.nonce().await;
    let mut owner = PgConnection::connect(&house.database.url_for("postgres")).await.expect("connected");
    sqlx::query("update siwe_nonce set expires_at = created_at").execute(&mut owner).await.expect("aged");
    let message = ada.message(&nonce);
    assert_eq!(problem(&browser.verify(&message, &ada.sign(&message)).await), "400 siwe-nonce-expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_verifications_of_one_nonce_give_one_session() {
    /// Sockets of one test process at a time: a default limit of descriptors is 1,024.
    const SOCKETS: usize = 200;
    let house = Arc::new(House::open().await);
    let ada = Signer::number(1);
    let mut browser = Browser::new(&house);
    let nonce = browser.nonce().await;
    let message = ada.message(&nonce);
    let body = json!({"message": message, "signature": ada.sign(&message)});
    let cookie = format!("freeside-browser={}", browser.cookies["freeside-browser"]);
    let origin = browser.origin.clone();
    let places = Arc::new(Semaphore::new(SOCKETS));
    let mut tries = JoinSet::new();
    for number in 0..1_000_u32 {
        let (house, places) = (Arc::clone(&house), Arc::clone(&places));
        let (body, cookie, origin) = (body.clone(), cookie.clone(), origin.clone());
        tries.spawn(async move {
            let _place = places.acquire().await.expect("open");
            // Each from an address of its own, so that no limit decides.
            let from = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).to_string();
            let ask = house.post("/api/v1/siwe/verify", &body).header("x-forwarded-for", &from);
            let reply = ask.header("cookie", &cookie).header("origin", &origin).send().await;
            if reply.status == 200 { "200".to_owned() } else { problem(&reply) }
        });
    }
    let mut answers = std::collections::BTreeMap::new();
    while let Some(answer) = tries.join_next().await {
        *answers.entry(answer.expect("no panic")).or_insert(0) += 1;
    }
    let expected = [("200".to_owned(), 1), ("409 siwe-nonce-used".to_owned(), 999)];
    assert_eq!(answers, expected.into());
    assert_eq!(house.sign_in.sessions.list(ada.address()).await.expect("a list").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_page_changes_nothing() {
    let house = House::open().await;
    let (mut browser, ada) = (Browser::new(&house), Signer::number(1));
    let own = browser.origin.clone();
    for foreign in ["https://evil.example", "null", "", "http://127.0.0.1", &format!("{own}/")] {
        let ask = house.post("/api/v1/siwe/nonce", &json!({})).header("origin", foreign);
        assert_eq!(problem(&ask.send().await), "403 origin-not-ours", "{foreign}");
    }
    browser.sign_in(&ada).await;
    let signed_in = browser.cookies.clone();
    let mut thief = Browser::new(&house);
    thief.cookies = signed_in;
    let logout = || thief.with_cookies(house.post("/api/v1/siwe/logout", &json!({})));
    for foreign in ["https://evil.example", "null", "", "http://127.0.0.1:1", &format!("{own}.evil.example")]
    {
        assert_eq!(
            problem(&logout().header("origin", foreign).send().await),
            "403 cross-site-request",
            "{foreign}"
        );
    }
    assert_eq!(problem(&logout().send().await), "403 cross-site-request", "nobody says where it comes from");
    for site in ["cross-site", "same-site"] {
        let reply = logout().header("sec-fetch-site", site).send().await;
        assert_eq!(problem(&reply), "403 cross-site-request", "{site}");
    }
    let end = browser
        .with_cookies(house.ask("DELETE", "/api/v1/sessions"))
        .header("origin", "https://evil.example");
    assert_eq!(problem(&end.send().await), "403 cross-site-request");
    let by_key = browser.with_cookies(house.post("/v1/chat/completions", &json!({})));
    assert_eq!(by_key.send().await.status, 403, "whatever the door");
    let read = browser.with_cookies(house.get("/api/v1/sessions")).header("origin", "https://evil.example");
    assert_eq!(problem(&read.send().await), "401 session-over", "nor does it read");
    assert_eq!(
        browser.get("/api/v1/siwe/session").await.json()["authenticated"],
        true,
        "nothing has changed"
    );
    let ours = logout().header("sec-fetch-site", "same-origin").send().await;
    assert_eq!(ours.status, 204);

    let payer = house.payer(MicroUsd(1_000)).await;
    let name = json!({"name": "x"});
    let program = house.post("/api/v1/keys", &name).key(&payer.api_key).send().await;
    assert_eq!(program.status, 201, "a key without a cookie needs no origin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_can_be_signed_out_from_another() {
    let house = House::open().await;
    let (ada, mallory) = (Signer::number(1), Signer::number(2));
    let (mut desk, mut phone, mut stranger) =
        (Browser::new(&house), Browser::new(&house), Browser::new(&house));
    let phones = phone.sign_in(&ada).await.json();
    desk.sign_in(&ada).await;
    stranger.sign_in(&mallory).await;
    let path = format!("/api/v1/sessions/{}", phones["session_id"].as_str().expect("text"));
    assert_eq!(problem(&stranger.delete(&path).await), "404 not-found", "it is not theirs");
    assert_eq!(problem(&desk.delete("/api/v1/sessions/nothing").await), "404 not-found");
    assert_eq!(phone.get("/api/v1/siwe/session").await.json()["authenticated"], true);
    assert_eq!(desk.delete(&path).await.status, 204);
    assert_eq!(phone.get("/api/v1/siwe/session").await.json()["authenticated"], false);
    assert_eq!(desk.get("/api/v1/siwe/session").await.json()["authenticated"], true);

    phone.sign_in(&ada).await;
    phone.sign_in(&ada).await;
    let sessions = house.sign_in.sessions.list(ada.address()).await.expect("a list");
    assert_eq!(sessions.len(), 2, "signing in again replaces the cookie's own session");
    assert_eq!(desk.delete("/api/v1/sessions").await.status, 204);
    assert!(!desk.cookies.contains_key("freeside"));
    assert_eq!(phone.get("/api/v1/siwe/session").await.json()["authenticated"], false);
    assert_eq!(stranger.get("/api/v1/siwe/session").await.json()["authenticated"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_gets_a_session_of_its_own_by_a_code() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let house = House::open().await;
    let (mut page, ada) = (Browser::new(&house), Signer::number(1));
    assert_eq!(problem(&page.post("/api/v1/siwe/handoff", &json!({})).await), "401 sign-in-needed");
    page.sign_in(&ada).await;
    let mut frame = Browser::new(&house);
    let offered = page.post("/api/v1/siwe/handoff", &json!({})).await;
    assert_eq!((offered.status.as_u16(), &offered.json()["expires_in_s"]), (201, &json!(60)));
    let code = offered.json()["code"].clone();
    let got = frame.post("/api/v1/siwe/exchange", &json!({"code": code})).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(!got.headers.contains_key("set-cookie"), "a frame's session lives in memory");
    let got = got.json();
    assert_eq!(got["address"], json!(ada.address().to_string()));
    let token = got["token"].as_str().expect("text");
    let listed = house.get("/api/v1/sessions").key(token).header("origin", &page.origin).send().await.json();
    assert_eq!(listed["sessions"].as_array().expect("some").len(), 2);
    let elsewhere =
        house.get("/api/v1/sessions").key(token).header("origin", "https://evil.example").send().await;
    assert_eq!(problem(&elsewhere), "401 session-over");
    let again = frame.post("/api/v1/siwe/exchange", &json!({"code": code})).await;
    assert_eq!(problem(&again), "404 handoff-not-found");

    let code = page.post("/api/v1/siwe/handoff", &json!({})).await.json()["code"].clone();
    let foreign =
        house.post("/api/v1/siwe/exchange", &json!({"code": code})).header("origin", "https://evil.example");
    assert_eq!(problem(&foreign.send().await), "403 origin-not-ours");

    let own = "a frame's own code of many characters";
    let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, own.as_bytes()));
    let exchange = json!({"code": own});
    assert_eq!(problem(&frame.post("/api/v1/siwe/exchange", &exchange).await), "404 handoff-not-found");
    let bad = page.post("/api/v1/siwe/handoff", &json!({"challenge": "short"})).await;
    assert_eq!(problem(&bad), "400 invalid-request");
    let ready = page.post("/api/v1/siwe/handoff", &json!({"challenge": challenge})).await;
    assert_eq!((ready.status.as_u16(), &ready.json()["code"]), (201, &Value::Null));
    assert_eq!(frame.post("/api/v1/siwe/exchange", &exchange).await.status, 200);
    page.post("/api/v1/siwe/handoff", &json!({"challenge": challenge})).await;
    let lured =
        frame.dress(house.post("/api/v1/siwe/exchange", &exchange)).header("x-forwarded-for", "203.0.113.9");
    assert_eq!(problem(&lured.send().await), "403 handoff-foreign", "another address never signed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developers_wallet_stands_for_the_account() {
    let house = House::open().await;
    let (mut browser, ada) = (Browser::new(&house), Signer::number(1));
    assert_eq!(problem(&browser.get("/api/v1/keys").await), "401 unauthenticated");
    browser.sign_in(&ada).await;
    let unknown = browser.get("/api/v1/keys").await;
    assert!(
        problem(&unknown) == "404 not-found" && unknown.text().contains("register"),
        "{}",
        unknown.text()
    );
    let made = browser.post("/api/v1/developers/register", &json!({"name": "Ada"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let again = browser.post("/api/v1/developers/register", &json!({"name": "Ada"})).await;
    assert_eq!(problem(&again), "409 conflict");

    let listed = browser.get("/api/v1/keys").await.json();
    assert_eq!(listed["keys"][0]["id"], made["key_id"]);
    let second = browser.post("/api/v1/keys", &json!({"name": "second"})).await;
    assert_eq!((second.status.as_u16(), &second.json()["kind"]), (201, &json!("sandbox")));
    let live = browser.post("/api/v1/keys", &json!({"name": "live", "kind": "live"})).await;
    assert_eq!(problem(&live), "400 invalid-request", "nothing was paid");
    assert_eq!(
        problem(&browser.post("/api/v1/developers/upgrade", &json!({})).await),
        "402 insufficient-credits"
    );
    assert_eq!(browser.get("/api/v1/usage").await.json()["total"]["requests"], 0);
    let budget = format!("/api/v1/communities/{}/budget", made["community_id"].as_str().expect("text"));
    assert_eq!(browser.get(&budget).await.status, 200);
    assert_eq!(problem(&browser.get("/api/v1/communities/1/budget").await), "404 not-found");
    let rotate = format!("/api/v1/keys/{}/rotate", made["key_id"].as_str().expect("text"));
    let rotated = browser.post(&rotate, &json!({})).await;
    assert_eq!(rotated.status, 201);

    let mut stranger = Browser::new(&house);
    stranger.sign_in(&Signer::number(2)).await;
    stranger.post("/api/v1/developers/register", &json!({"name": "Mallory"})).await;
    let path = format!("/api/v1/keys/{}", second.json()["id"].as_str().expect("text"));
    assert_eq!(problem(&stranger.delete(&path).await), "404 not-found", "another's key");
    assert_eq!(browser.delete(&path).await.status, 204);
    let key = made["key"].as_str().expect("text");
    let both = browser.with_cookies(house.get("/api/v1/keys")).key(key).send().await;
    assert_eq!(problem(&both), "403 forbidden", "a key goes before the cookie: this one has no scope `keys`");
    let wrong = browser.with_cookies(house.get("/api/v1/keys")).key("lf_test_nothing").send().await;
    assert_eq!(problem(&wrong), "401 unauthenticated", "and a wrong one is not helped by it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_time_of_a_nonce_is_told_by_our_clock() {
    let house = House::open().await;
    let mut browser = Browser::new(&house);
    let first = browser.nonce().await;
    let cookie = browser.cookies["freeside-browser"].clone();
    let by_get = browser.get("/api/v1/siwe/nonce").await;
    assert_eq!((by_get.status.as_u16(), by_get.header("cache-control")), (200, "no-store"));
    assert_eq!(browser.cookies["freeside-browser"], cookie, "a second tab keeps the browser's name");
    let second = by_get.json();
    assert_ne!(first["nonce"], second["nonce"]);
    assert_eq!((&second["domain"], &second["version"]), (&json!(house.address.to_string()), &json!("1")));
    assert_eq!(second["chain_ids"], json!([1, 8_453]));
    let at = |name: &str| {
        let text = second[name].as_str().expect("text");
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).expect("a time")
    };
    assert_eq!(at("expiration_time") - at("issued_at"), time::Duration::minutes(5));
    let now = Clock::system().now();
    assert!(at("issued_at") <= now && now < at("expiration_time"));
}
