//! Pages: what they are sent with, who gets one, and the forms on them.

use serde_json::json;

use crate::client::{Ask, Reply};
use crate::house::House;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// Pages that anyone may read.
const PAGES: [&str; 16] = [
    "/",
    "/agents",
    "/docs",
    "/docs/widget",
    "/docs/administer",
    "/admin",
    "/docs/api",
    "/docs/api/openai",
    "/problems",
    "/problems/insufficient-credits",
    "/developers",
    "/developers/account",
    "/developers/requests",
    "/developers/playground",
    "/buy",
    "/docs/api/admin",
];

/// A browser in front of the house.
fn browse<'a>(house: &'a House, path: &str) -> Ask<'a> {
    house.get(path).header("accept", BROWSER)
}

/// A form as a page of ours sends it.
fn send<'a>(house: &'a House, path: &str, fields: &str) -> Ask<'a> {
    house
        .ask("POST", path)
        .header("accept", BROWSER)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .body(fields.to_owned())
}

/// What stands between `before` and the next quotation mark, each time.
fn each<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

fn nonce(reply: &Reply) -> String {
    let policy = reply.header("content-security-policy");
    let rest = policy.split("'nonce-").nth(1).expect("a nonce");
    rest.split('\'').next().expect("closed").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_guarded_and_leads_only_to_places_that_exist() {
    let house = House::open().await;
    for path in PAGES {
        let reply = browse(&house, path).send().await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/html; charset=utf-8"));
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe-inline"));
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cross-origin-opener-policy"), "same-origin-allow-popups");
        assert_eq!(reply.header("cache-control"), "private, no-cache");
        assert_eq!(reply.header("strict-transport-security"), "", "this house is not on https");
        assert_ne!(nonce(&reply), nonce(&browse(&house, path).send().await), "{path}");

        let text = reply.text();
        assert!(
            !text.contains(" style=\"") && !text.contains("<style") && !text.contains("<script>"),
            "{path}"
        );
        assert_eq!(text.matches("<h1").count(), 1, "{path}");
        assert!(text.matches("type=\"module\"").count() <= 1, "{path} runs more than what is weighed");
        assert!(text.contains("<html lang=\"en\"") && text.contains("<main id=\"main\""), "{path}");
        for address in each(&text, "href=\"").chain(each(&text, "src=\"")) {
            let (page, place) = address.split_once('#').unwrap_or((address, ""));
            if page.starts_with("http") {
                continue; // its own address, as others see it
            }
            let reply = browse(&house, if page.is_empty() { path } else { page }).send().await;
            assert_eq!(reply.status, 200, "{path} leads to {address}");
            let there = place.is_empty() || reply.text().contains(&format!("id=\"{place}\""));
            assert!(there, "{path} leads to {address}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_has_every_operation() {
    let house = House::open().await;
    let document = house.get("/openapi.json").send().await.json();
    let list = browse(&house, "/docs/api").send().await.text();
    for (path, item) in document["paths"].as_object().expect("paths") {
        assert!(list.contains(&format!("<code>{path}</code>")), "{path}");
        for operation in item.as_object().expect("methods").values() {
            let group = operation["tags"][0].as_str().expect("a tag");
            let id = operation["operationId"].as_str().expect("an id");
            assert!(list.contains(&format!("href=\"/docs/api/{group}#{id}\"")), "{id}");
        }
    }
    assert_eq!(browse(&house, "/docs/api/nothing").send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_gets_a_page_and_a_program_a_problem() {
    let house = House::open().await;
    let page = browse(&house, "/nothing").send().await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(page.text().contains(page.header("x-request-id")) && page.text().contains("noindex"));
    for path in ["/nothing", "/problems/nothing", "/docs/api/nothing"] {
        let problem = house.get(path).send().await;
        assert_eq!((problem.status.as_u16(), &problem.json()["type"]), (404, &json!("/problems/not-found")));
    }
    let problem = browse(&house, "/api/v1/nothing").send().await;
    assert_eq!(problem.json()["type"], "/problems/not-found", "what programs call speaks to programs");
    let wrong = send(&house, "/docs", "").send().await;
    assert_eq!((wrong.status.as_u16(), wrong.header("allow")), (405, "GET,HEAD"));
    assert!(wrong.text().contains("<h1>"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_kept_for_ever_and_come_compressed() {
    let house = House::open().await;
    let page = browse(&house, "/").send().await.text();
    let sheet = each(&page, "href=\"")
        .find(|path| std::path::Path::new(path).extension().is_some_and(|end| end == "css"))
        .expect("a stylesheet");
    let small = house.get(sheet).header("accept-encoding", "gzip, br").send().await;
    assert_eq!((small.header("content-encoding"), small.header("vary")), ("br", "accept-encoding"));
    assert_eq!(small.header("cache-control"), "public, max-age=31536000, immutable");
    let plain = house.get(sheet).send().await;
    assert_eq!(
        (plain.header("content-encoding"), plain.header("content-type")),
        ("", "text/css; charset=utf-8")
    );
    assert!(small.bytes.len() * 3 < plain.bytes.len() && plain.text().contains(":root"));
    assert_eq!(house.get("/assets/freeside.css").send().await.status, 404, "only with its hash");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_of_colours_is_kept_and_leads_back() {
    let house = House::open().await;
    let chosen = send(&house, "/theme", "theme=dark&back=%2Fdocs%2Fapi").send().await;
    assert_eq!((chosen.status.as_u16(), chosen.header("location")), (303, "/docs/api"));
    assert!(chosen.header("set-cookie").starts_with("theme=dark; Path=/; Max-Age=31536000; HttpOnly"));
    let dark = browse(&house, "/docs").header("cookie", "theme=dark").send().await;
    assert!(dark.text().contains("<html lang=\"en\" data-theme=\"dark\">"));
    let system = send(&house, "/theme", "theme=nonsense&back=//evil.example").send().await;
    assert_eq!(system.header("location"), "/");
    assert!(system.header("set-cookie").contains("Max-Age=0"), "the system's wish needs no cookie");

    let foreign =
        house.ask("POST", "/theme").header("sec-fetch-site", "cross-site").body("theme=dark").send().await;
    assert_eq!((foreign.status.as_u16(), foreign.header("set-cookie")), (403, ""));
    assert_eq!(foreign.json()["type"], "/problems/cross-site-request");
    let long = send(&house, "/theme", &"x".repeat(8 * 1024 + 1)).send().await;
    assert_eq!(long.status, 413);
    assert!(long.text().contains("<h1>"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_signs_up_on_a_page_and_the_key_answers() {
    let house = House::open().await;
    let made = send(&house, "/developers", "name=Ada+%3Cb%3E").send().await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"));
    let page = made.text();
    assert!(page.contains("Welcome, Ada &lt;b&gt;") && !page.contains("<b>"));
    // What runs on a page runs by its nonce, and only as it was built. Without `dist/` nothing runs, and it still reads.
    let script = app::assets::named("frontend.js");
    let runs = page.contains(&format!("nonce=\"{}\"", nonce(&made))) && page.contains("integrity=\"sha384-");
    assert_eq!(page.matches("<script").count(), usize::from(script.is_some()));
    assert!(runs || script.is_none());
    let key = page.split("lf_test_").nth(1).and_then(|rest| rest.split('<').next()).expect("a key");
    let usage = house.get("/api/v1/usage").key(&format!("lf_test_{key}")).send().await;
    assert_eq!(usage.status, 200);

    for name in ["", "+++", "%00", &"x".repeat(81)] {
        let again = send(&house, "/developers", &format!("name={name}")).send().await;
        assert_eq!(again.status, 422, "{name}");
        assert!(again.text().contains("aria-invalid=\"true\""));
    }
    for _ in 0..2 {
        assert_eq!(send(&house, "/developers", "name=Bob").send().await.status, 201);
    }
    let fourth = send(&house, "/developers", "name=Bob").send().await;
    assert_eq!(fourth.status, 429);
    assert!(!fourth.header("retry-after").is_empty() && fourth.text().contains("role=\"alert\""));
    let foreign = house.ask("POST", "/developers").header("origin", "https://evil.example").body("name=Eve");
    assert_eq!(foreign.send().await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_shows_a_key_sees_the_account_and_the_page_does_not_repeat_the_key() {
    let house = House::open().await;
    let payer = house.payer(types::MicroUsd(2_000_000)).await;
    let show = |key: &str| send(&house, "/developers/account", &format!("key={key}")).send();
    let before = show(&payer.api_key).await;
    assert_eq!((before.status.as_u16(), before.header("cache-control")), (200, "no-store"));
    assert!(before.text().contains("$2.00") && before.text().contains("Nothing yet this month"));
    let ask = json!({"model": "cheap", "messages": [{"role": "user", "content": "Hello!"}]});
    assert_eq!(house.post("/v1/chat/completions", &ask).key(&payer.api_key).send().await.status, 200);
    let after = show(&payer.api_key).await.text();
    assert!(after.contains("class=\"bars\"") && after.contains("Days with usage"));
    assert!(!before.text().contains(&payer.api_key) && !after.contains(&payer.api_key));
    for wrong in ["", "lf_live_nonsense"] {
        let refused = show(wrong).await;
        assert_eq!(refused.status, 401, "{wrong}");
        assert!(refused.text().contains("aria-invalid=\"true\""));
    }
    let narrow = house
        .payer_with(
            types::MicroUsd(1),
            identity::KeyLimits { requests_per_minute: 10, tokens_per_day: 10 },
            [identity::Scope::Chat].into_iter().collect(),
        )
        .await;
    assert_eq!(show(&narrow.api_key).await.status, 403);
}
