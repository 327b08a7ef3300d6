//! The pages around a wallet: who is named in the head, where the sign-in leads, what an account shows and ends.

use serde_json::{Value, json};
use types::WalletId;

use crate::client::Reply;
use crate::house::House;
use crate::wallets::{Browser, Signer, problem};

impl Browser<'_> {
    /// A page, as somebody types its address or follows a link of ours.
    async fn page(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut ask = self.with_cookies(self.house.get(path)).header("accept", "text/html");
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let reply = ask.send().await;
        self.keep(&reply);
        reply
    }

    /// A form on a page of ours.
    async fn submit(&mut self, path: &str, fields: &str) -> Reply {
        let ask = self
            .house
            .ask("POST", path)
            .header("accept", "text/html")
            .header("sec-fetch-site", "same-origin");
        let ask = ask.header("content-type", "application/x-www-form-urlencoded").body(fields.to_owned());
        let reply = self.with_cookies(ask).send().await;
        self.keep(&reply);
        reply
    }
}

fn short(wallet: WalletId) -> String {
    let text = wallet.to_string();
    format!("{}…{}", &text[..6], &text[38..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_names_who_is_signed_in_and_signs_them_out() {
    let house = House::open().await;
    let (mut browser, ada) = (Browser::new(&house), Signer::number(1));
    let nobody = browser.page("/docs?x=1", &[]).await.text();
    assert!(nobody.contains("href=\"/signin?return=%2Fdocs%3Fx%3D1\""));
    browser.sign_in(&ada).await;
    let somebody = browser.page("/docs?x=1", &[]).await.text();
    assert!(somebody.contains(&short(ada.address())) && !somebody.contains("/signin?"));
    assert!(
        browser.page("/nothing", &[]).await.text().contains(&short(ada.address())),
        "on a page of trouble, too"
    );

    let cookie = browser.cookies["freeside"].clone();
    for bad in ["nonsense", "a.b.c", &format!("{cookie}x"), &format!("{cookie}; freeside={cookie}")] {
        let reply = house.get("/docs").header("cookie", &format!("freeside={bad}")).send().await;
        assert_eq!(reply.status, 200, "{bad}");
        assert!(reply.text().contains("/signin?return="), "{bad} is nobody's");
    }
    let foreign = browser.with_cookies(house.ask("POST", "/signout")).header("sec-fetch-site", "cross-site");
    assert_eq!(problem(&foreign.send().await), "403 cross-site-request");
    assert!(browser.page("/docs", &[]).await.text().contains(&short(ada.address())), "nothing has changed");

    let out = browser.submit("/signout", "back=%2Fdocs").await;
    assert_eq!((out.status.as_u16(), out.header("location")), (303, "/docs"));
    assert!(!browser.cookies.contains_key("freeside"));
    let kept = house.get("/docs").header("cookie", &format!("freeside={cookie}")).send().await;
    assert!(!kept.text().contains(&short(ada.address())), "the session is over, not only its cookie");
    for evil in ["//evil.example", "/%5C%5Cevil.example", "https%3A%2F%2Fevil.example", ""] {
        let out = browser.submit("/signout", &format!("back={evil}")).await;
        assert_eq!((out.status.as_u16(), out.header("location")), (303, "/"), "{evil}: and twice is quiet");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_in_leads_on_to_pages_of_ours_alone() {
    let house = House::open().await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&Signer::number(1)).await;
    // Whoever is signed in gets a link, with or without what runs in browsers.
    let mut leads = async |back: &str, path: &str| {
        let page = browser.page(&format!("/signin?return={back}"), &[]).await.text();
        assert!(
            page.contains(&format!("<a href=\"{path}\" class=\"button\"")),
            "{back} does not lead to {path}: {page}"
        );
    };
    leads("%2Fdocs%2Fapi%3Fx%3D1", "/docs/api?x=1").await;
    leads("/chat/demo/1", "/chat/demo/1").await;
    for evil in [
        "",
        "//evil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%5C%5Cevil.example",
        "https://evil.example",
        "%2F%09%2Fevil.example",
        "%2F%252Fevil.example",
        "%2F%255Cevil.example",
        "javascript:alert(1)",
        "%2F.%2F%2Fevil.example",
        "/signin",
        "/signin?mode=popup",
        "/signin/",
        "/signout",
    ] {
        leads(evil, "/account").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_hands_a_session_only_to_a_chat_of_ours() {
    let house = House::open().await;
    let (mut browser, challenge) = (Browser::new(&house), "c".repeat(43));
    let own = format!("http://{}", house.address);
    let path = format!("/signin?mode=popup&challenge={challenge}");
    let frame = format!("{own}/embed?agent=demo:1&host=https%3A%2F%2Fshop.example%3A8443");
    let asked = browser.page(&path, &[("referer", &frame), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(asked.header("cross-origin-opener-policy"), "unsafe-none", "its opener has to hear it");
    let text = asked.text();
    assert!(text.contains("<dd>shop.example:8443</dd>") && text.contains("/signin?mode=declined"), "{text}");
    if app::assets::named("widget_bg.wasm").is_some() {
        assert!(text.contains(&format!("data-challenge=\"{challenge}\"")));
    }

    let evil = format!("https://evil.example/embed?host={own}");
    let theirs = format!("{own}.evil.example/embed?host=https%3A%2F%2Fshop.example");
    let other = format!("{own}/docs?host=https%3A%2F%2Fshop.example");
    let around = format!("{own}/signin?mode=popup&challenge={challenge}");
    let forged = format!("{own}/embed?host=https%3A%2F%2F%3Cb%3Eshop.example");
    let strangers: [&[(&str, &str)]; 8] = [
        &[],
        &[("referer", &evil)],
        &[("referer", &theirs)],
        &[("referer", &other)],
        &[("referer", &around)],
        &[("referer", &forged)],
        &[("referer", &frame), ("sec-fetch-site", "cross-site")],
        &[("referer", &frame), ("sec-fetch-site", "none")],
    ];
    browser.sign_in(&Signer::number(1)).await;
    for headers in strangers {
        let text = browser.page(&path, headers).await.text();
        assert!(text.contains("Nothing was asked for") && !text.contains(&challenge), "{headers:?}");
        assert!(!text.contains("data-freeside"), "{headers:?}");
    }
    let plain = browser.page("/signin?mode=popup", &[]).await.text();
    assert!(plain.contains("Sign in to chat") && !plain.contains("data-challenge"), "{plain}");
    let mistaken = browser.page("/signin?mode=popup&challenge=short", &[("referer", &frame)]).await.text();
    assert!(!mistaken.contains("data-challenge"));
    let no = browser.page("/signin?mode=declined", &[]).await.text();
    assert!(no.contains("Nothing was handed over") && !no.contains("<script"));
    assert_eq!(
        browser.page("/signin", &[]).await.header("cross-origin-opener-policy"),
        "same-origin-allow-popups"
    );

    let elsewhere = house.get("/signin").header("accept", "text/html").host("192.0.2.1").send().await;
    assert!(
        elsewhere.text().contains(&format!("href=\"{own}/signin\"")),
        "a wallet signs for our own name alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wallets_for_trying_sign_for_real_and_only_in_development() {
    let house = House::open_for_trying().await;
    let mut browser = Browser::new(&house);
    let script = house.get("/dev/burner.js").send().await;
    assert_eq!(
        (script.status.as_u16(), script.header("content-type")),
        (200, "text/javascript; charset=utf-8")
    );
    if app::assets::named("widget_bg.wasm").is_some() {
        assert!(browser.page("/signin", &[]).await.text().contains("src=\"/dev/burner.js\" nonce="));
    }
    let own = format!("0x{}", "2a".repeat(32));
    for (wallet, address) in [
        ("high", Some(domain::demo::HIGH_WALLET)),
        ("low", Some(domain::demo::LOW_WALLET)),
        (own.as_str(), None),
    ] {
        let told = browser.post("/dev/burner/sign", &json!({"wallet": wallet})).await.json();
        assert!(address.is_none_or(|address| told["address"] == address), "{told}");
        let nonce = browser.nonce().await;
        let message = nonce["message"].as_str().expect("text");
        let message =
            message.replace("{address}", told["address"].as_str().expect("text")).replace("{chain_id}", "1");
        let signed =
            browser.post("/dev/burner/sign", &json!({"wallet": wallet, "message": message})).await.json();
        let verified = browser.verify(&message, signed["signature"].as_str().expect("text")).await;
        assert_eq!((verified.status.as_u16(), &verified.json()["address"]), (200, &told["address"]));
    }
    for bad in [json!({}), json!({"wallet": "middle"}), json!({"wallet": format!("0x{}", "00".repeat(32))})] {
        assert_eq!(problem(&browser.post("/dev/burner/sign", &bad).await), "400 invalid-request", "{bad}");
    }
    let long = json!({"wallet": "low", "message": "x".repeat(5_000)});
    assert_eq!(problem(&browser.post("/dev/burner/sign", &long).await), "400 invalid-request");

    let production = House::open().await;
    let mut browser = Browser::new(&production);
    assert_eq!(production.get("/dev/burner.js").send().await.status, 404);
    let refused = browser.post("/dev/burner/sign", &json!({"wallet": "high"})).await;
    assert_eq!(problem(&refused), "404 not-found");
    assert!(!browser.page("/signin", &[]).await.text().contains("burner"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_shows_what_its_wallet_has_and_ends_its_sessions() {
    let house = House::open().await;
    let community = domain::demo::ensure(&house.ctx).await.expect("the demo");
    let (mut desk, mut phone, mut stranger) =
        (Browser::new(&house), Browser::new(&house), Browser::new(&house));
    let (ada, mallory) = (Signer::number(1), Signer::number(2));
    assert!(desk.page("/account", &[]).await.text().contains("href=\"/signin?return=%2Faccount\""));
    desk.sign_in(&ada).await;
    let empty = desk.page("/account", &[]).await;
    assert_eq!(empty.header("cache-control"), "no-store");
    let empty = empty.text();
    assert!(empty.contains("With your first question") && empty.contains("href=\"/chat/demo/1\""), "{empty}");
    assert!(
        domain::member::accounts_of(&house.ctx, ada.address()).await.expect("read").is_empty(),
        "looking opens none"
    );

    domain::member::account(&house.ctx, community, ada.address()).await.expect("a member");
    let member = desk.page("/account", &[]).await.text();
    assert!(
        member.contains("The Lantern Street demo")
            && member.contains("$0.50")
            && member.contains("Tier 1 of 9")
    );
    assert!(member.contains(&ada.address().to_string()) && member.contains("UTC"));
    desk.post("/api/v1/developers/register", &json!({"name": "Ada"})).await;
    assert!(desk.page("/account", &[]).await.text().contains("Your developer account"));
    let packs = house.get("/api/v1/packs").send().await.json();
    let pack = packs["packs"][0]["pack"].as_str().expect("a pack").to_owned();
    let order = house.post("/api/v1/orders", &json!({"pack": pack})).header("idempotency-key", "one");
    let order: Value = desk.dress(order).send().await.json();
    let order = order["id"].as_str().expect("an order").to_owned();
    assert!(desk.page("/account", &[]).await.text().contains(&format!("href=\"/checkout/{order}\"")));

    let phones = phone.sign_in(&ada).await.json();
    let phones = phones["session_id"].as_str().expect("text");
    stranger.sign_in(&mallory).await;
    let listed = desk.page("/account", &[]).await.text();
    assert!(listed.contains(&format!("value=\"{phones}\"")) && listed.matches("this one").count() == 1);
    let theirs = stranger.submit("/account/sessions", &format!("end={phones}")).await;
    assert_eq!(theirs.status, 404, "it is not theirs");
    assert_eq!(stranger.submit("/account/sessions", "end=nothing").await.status, 404);
    assert!(phone.page("/account", &[]).await.text().contains(&short(ada.address())));
    let ended = desk.submit("/account/sessions", &format!("end={phones}")).await;
    assert_eq!((ended.status.as_u16(), ended.header("location")), (303, "/account#sessions"));
    assert!(phone.page("/account", &[]).await.text().contains("Your account is your wallet"), "over at once");
    let foreign =
        desk.with_cookies(house.ask("POST", "/account/sessions")).header("origin", "https://evil.example");
    assert_eq!(problem(&foreign.body("end=all").send().await), "403 cross-site-request");

    phone.sign_in(&ada).await;
    let all = desk.submit("/account/sessions", "end=all").await;
    assert_eq!((all.status.as_u16(), all.header("location")), (303, "/account"));
    assert!(!desk.cookies.contains_key("freeside"));
    assert!(house.sign_in.sessions.list(ada.address()).await.expect("a list").is_empty());
    assert_eq!(house.sign_in.sessions.list(mallory.address()).await.expect("a list").len(), 1);
    assert_eq!(desk.submit("/account/sessions", "end=all").await.status, 303, "twice is quiet");
}
