//! What every page is sent with, over the whole table of routes: a new page is looked at without being named here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use testing::served::free_address;

use crate::client::{Client, Reply};
use crate::world::World;

/// What stands in an address in place of a parameter; what is not here finds nothing, and that is a page too.
const PLACES: &[(&str, &str)] =
    &[("{group}", "openai"), ("{slug}", "demo"), ("{token}", "1"), ("{community}", "demo")];
/// The one page that others may frame, if their community says so.
const FRAMED: &str = "/embed";
/// 128 bits in base64.
const NONCE_LETTERS: usize = 22;

fn address(path: &str) -> String {
    let filled = PLACES.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    filled
        .split('/')
        .map(|part| if part.starts_with('{') { "none" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

async fn look(client: &Client, path: &str) -> Reply {
    client.send("GET", path, Bytes::new(), &[("accept", "text/html,*/*;q=0.8")]).await
}

/// The directives of a policy.
fn policy(reply: &Reply) -> BTreeMap<&str, &str> {
    let parts = reply.header("content-security-policy").split(';').map(str::trim);
    parts.map(|part| part.split_once(' ').unwrap_or((part, ""))).collect()
}

fn nonce<'a>(policy: &BTreeMap<&'a str, &'a str>) -> &'a str {
    let scripts = policy.get("script-src").copied().unwrap_or_default();
    scripts.split('\'').find_map(|word| word.strip_prefix("nonce-")).unwrap_or_default()
}

fn check(path: &str, reply: &Reply) {
    let policy = policy(reply);
    assert_eq!(policy.get("default-src"), Some(&"'none'"), "{path}");
    assert_eq!(policy.get("base-uri"), Some(&"'none'"), "{path}");
    assert!(policy.contains_key("form-action"), "{path}");
    if path != FRAMED {
        assert_eq!(policy.get("frame-ancestors"), Some(&"'none'"), "{path}");
    }
    for (name, sources) in &policy {
        let is_loose = sources.contains("'unsafe-inline'") || sources.contains("'unsafe-eval'");
        assert!(!is_loose && !sources.contains("http:"), "{path}: {name} {sources}");
        assert!(!sources.split(' ').any(|source| source == "*"), "{path}: {name} {sources}");
    }
    assert!(nonce(&policy).len() >= NONCE_LETTERS, "{path}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
    assert!(["same-origin", "no-referrer"].contains(&reply.header("referrer-policy")), "{path}");
    assert!(reply.header("permissions-policy").contains("camera=()"), "{path}");
    assert!(!reply.header("cache-control").contains("public"), "{path}: it has a nonce");
    if path != FRAMED {
        // A sign-in that opens as a popup has to reach the page that opened it.
        assert_eq!(reply.header("cross-origin-opener-policy"), "same-origin-allow-popups", "{path}");
    }

    let html = &reply.text;
    for tag in html.split("<script").skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        assert!(tag.contains(&format!("nonce=\"{}\"", nonce(&policy))), "{path}: <script{tag}>");
    }
    assert!(!html.contains("<style") && !html.contains(" style=\""), "{path}: the policy refuses it");
    for handler in [" onclick=", " onload=", " onerror=", " onsubmit=", "javascript:"] {
        assert!(!html.contains(handler), "{path}: {handler}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_guarded() {
    let world = World::new().await;
    let served = world.launch().start().await;
    let client = Client::new(served.gateway(), "");
    let mut pages = BTreeSet::new();
    let mut nonces = BTreeSet::new();
    for path in server::routes::undocumented().chain(["/no/such/page", "/problems/none"]) {
        let address = address(path);
        let reply = look(&client, &address).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{address}");
        assert_eq!(reply.header("strict-transport-security"), "", "{address}: plain http");
        assert!(reply.status < 500, "{address}: {}", reply.status);
        if reply.header("content-type").starts_with("text/html") {
            check(path, &reply);
            assert!(nonces.insert(nonce(&policy(&reply)).to_owned()), "{address}: a nonce comes once");
            pages.insert(path);
        }
    }
    for path in ["/", "/docs", "/docs/api/{group}", "/problems/{slug}", "/developers", "/no/such/page"] {
        assert!(pages.contains(path), "{path} is among {pages:?}");
    }
    world.audited().await;
    assert!(served.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_by_https_stays_on_https() {
    let world = World::new().await;
    // It says its public address; where it listens, only we know.
    let listen = free_address();
    let launch = world.launch().with("FREESIDE_PUBLIC_URL", "https://freeside.example");
    let served = launch.with("FREESIDE_LISTEN", listen.to_string()).start().await;
    let client = Client::new(listen, "");
    for path in ["/", "/developers", "/no/such/page"] {
        let reply = look(&client, path).await;
        check(path, &reply);
        assert_eq!(reply.header("strict-transport-security"), "max-age=31536000", "{path}");
    }
    for (path, wanted) in [
        ("/robots.txt", "Sitemap: https://freeside.example/sitemap.xml"),
        ("/sitemap.xml", "<loc>https://freeside.example/docs/api/openai</loc>"),
        ("/favicon.ico", "<svg"),
    ] {
        let reply = look(&client, path).await;
        assert!(reply.status == 200 && reply.text.contains(wanted), "{path}: {}", reply.text);
        assert_eq!(reply.header("cache-control"), "public, max-age=86400", "{path}");
    }
    assert!(served.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_map_leads_to_pages_alone() {
    let world = World::new().await;
    let served = world.launch().start().await;
    let client = Client::new(served.gateway(), "");
    let map = look(&client, "/sitemap.xml").await.text;
    let base = format!("http://{}", served.gateway());
    let mut count = 0;
    for place in map.split("<loc>").skip(1).filter_map(|rest| rest.split("</loc>").next()) {
        let path = place.strip_prefix(&base).expect("an address of ours");
        let reply = look(&client, path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(!reply.text.contains("noindex"), "{path} does not want to be found");
        count += 1;
    }
    assert!(count > 20, "{count} pages");
    assert!(served.stop().await.success());
}
