//! The widget on other people's pages: who may hold the frame, who says so, and the loader that opens it.

use domain::community::Deputy;
use domain::demo;
use domain::embed::{self, ListFault, ORIGINS_AT_MOST, Origin, ThisMachine};
use domain::flags::{Flag, Turn, set};
use serde_json::{Value, json};
use types::{CommunityId, MicroUsd};

use crate::client::Reply;
use crate::house::{House, OPERATOR};

const SHOP: &str = "https://shop.example";
const BY: Deputy<'_> = Deputy { who: "a test", reason: "to see" };

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

/// Whose pages a browser would show the frame in.
fn ancestors(reply: &Reply) -> String {
    let policy = reply.header("content-security-policy");
    policy.rsplit("frame-ancestors ").next().expect("a policy").to_owned()
}

impl House {
    async fn frame(&self, query: &str) -> Reply {
        let path = format!("/embed?{query}");
        self.get(&path).header("accept", "text/html").header("sec-fetch-dest", "iframe").send().await
    }

    /// The demo community, whose chat the shop may hold.
    async fn demo_in_the_shop(&self) -> CommunityId {
        let community = demo::ensure(&self.ctx).await.expect("made");
        assert!(embed::allow(&self.ctx, community, &origin(SHOP), BY).await.expect("allowed"));
        community
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_is_for_the_pages_of_its_communitys_list_and_no_other() {
    let house = House::open().await;
    let community = house.demo_in_the_shop().await;
    embed::allow(&house.ctx, community, &origin("https://blog.example:8443"), BY).await.expect("allowed");
    let reply = house.frame("agent=demo:1&host=https%3A%2F%2Fshop.example&theme=dark&accent=%237a3fb0").await;
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "no-store"), "{}", reply.text());
    assert_eq!(ancestors(&reply), "https://blog.example:8443 https://shop.example");
    assert_eq!(reply.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(reply.header("cross-origin-embedder-policy"), "require-corp");
    assert_eq!(reply.header("set-cookie"), "");
    let page = reply.text();
    for part in [
        "data-agent=\"demo:1\"",
        "data-mode=\"frame\"",
        "data-host=\"https://shop.example\"",
        "data-theme=\"dark\"",
        "data-accent=\"#7a3fb0\"",
        "Marrow Finch",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("data-signed-in") && !page.contains(" style=") && !page.contains("<script>"));
    for address in page
        .split(" src=\"")
        .chain(page.split("stylesheet\" href=\""))
        .filter(|rest| rest.starts_with("/assets/"))
    {
        let address = address.split('"').next().expect("closed");
        assert_eq!(
            house.get(address).send().await.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
    }
    assert_eq!(page.matches("/assets/").count(), page.matches("integrity=\"sha384-").count());

    // A token alone is one of the default collection, and nonsense about colours is not repeated.
    let reply = house.frame("agent=2&host=https://shop.example&theme=%22%3E&accent=red").await;
    let page = reply.text();
    assert!(page.contains("Old Tansy") && page.contains("data-palette=\"#") && !page.contains("data-theme"));

    embed::forget(&house.ctx, community, &origin(SHOP), BY).await.expect("forgotten");
    let reply = house.frame("agent=demo:1&host=https://shop.example").await;
    assert_eq!(
        (reply.status.as_u16(), ancestors(&reply).as_str()),
        (403, SHOP),
        "the next opening is refused"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_shown_by_the_page_that_asked_and_says_why() {
    let house = House::open().await;
    house.demo_in_the_shop().await;
    for (query, status, whose, words) in [
        ("agent=demo:1&host=https://other.example", 403, "https://other.example", "may not show the chat"),
        ("agent=demo:1&host=http://shop.example", 403, "http://shop.example", "may not show the chat"),
        (
            "agent=demo:1&host=https://www.shop.example",
            403,
            "https://www.shop.example",
            "may not show the chat",
        ),
        ("agent=demo:99&host=https://shop.example", 404, SHOP, "no such agent"),
        ("agent=&host=https://shop.example", 404, SHOP, "no such agent"),
        ("agent=%3Cb%3E:1&host=https://shop.example", 404, SHOP, "no such agent"),
        ("agent=demo:1", 400, "'none'", "belongs in a frame"),
        ("agent=demo:1&host=*", 400, "'none'", "belongs in a frame"),
        ("agent=demo:1&host=https://*.shop.example", 400, "'none'", "belongs in a frame"),
        (
            "agent=demo:1&host=https://shop.example%20https://evil.example",
            400,
            "'none'",
            "belongs in a frame",
        ),
        ("agent=demo:1&host=https://shop.example%3B%20script-src%20*", 400, "'none'", "belongs in a frame"),
        ("agent=demo:1&host=https://shop.example%0D%0Aset-cookie:a", 400, "'none'", "belongs in a frame"),
        (
            "agent=demo:1&host=https://shop.example&host=https://evil.example",
            400,
            "'none'",
            "belongs in a frame",
        ),
        ("agent=demo:1&host=null", 400, "'none'", "belongs in a frame"),
    ] {
        let reply = house.frame(query).await;
        assert_eq!((reply.status.as_u16(), ancestors(&reply).as_str()), (status, whose), "{query}");
        assert_eq!(reply.header("cache-control"), "no-store", "{query}");
        let page = reply.text();
        assert!(
            page.contains(words) && !page.contains("data-freeside") && !page.contains("<b>"),
            "{query}: {page}"
        );
    }
    let db = &house.database.pool;
    set(db, &house.ctx.clock, Flag::WebChat, Turn::Off, "a test", "to see").await.expect("switched");
    house.ctx.flags.follow(db).await.expect("looked");
    let reply = house.frame("agent=demo:1&host=https://shop.example").await;
    assert_eq!((reply.status.as_u16(), ancestors(&reply).as_str()), (503, SHOP));
    assert!(reply.text().contains("switched off"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_machine_tries_without_a_list_only_where_the_server_is_on_it() {
    let house = House::open().await;
    let community = house.demo_in_the_shop().await;
    let reply = house.frame("agent=demo:1&host=http://localhost:5173").await;
    assert_eq!((reply.status.as_u16(), ancestors(&reply)), (200, format!("{SHOP} http://localhost:5173")));
    let elsewhere = house.frame("agent=demo:1&host=http://localhost.evil.example").await;
    assert_eq!(elsewhere.status, 403);

    let here = origin("http://localhost:5173");
    let asked = async || {
        embed::ancestors(&house.ctx, community, &here, ThisMachine::OnlyWhenListed).await.expect("read")
    };
    assert_eq!(asked().await, None, "a server elsewhere does not know whose machine that is");
    embed::allow(&house.ctx, community, &here, BY).await.expect("allowed");
    assert_eq!(asked().await, Some(vec![here.clone(), origin(SHOP)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_keeps_the_list_of_its_own_community() {
    let house = House::open().await;
    let (payer, other) = (house.payer(MicroUsd(0)).await, house.payer(MicroUsd(0)).await);
    let (admin, stranger) = (house.admin_of(&payer).await, house.admin_of(&other).await);
    let path = format!("/api/v1/admin/community/{}/origins", payer.key.community);
    let put = async |body: Value, key: &str| house.put(&path, &body).key(key).send().await;
    let list = |reply: &Reply| -> Vec<String> {
        let answer = reply.json();
        let rows = answer["origins"].as_array().unwrap_or_else(|| panic!("{answer}"));
        rows.iter().map(|row| row["origin"].as_str().expect("text").to_owned()).collect()
    };
    assert!(list(&house.get(&path).key(&admin).send().await).is_empty(), "nobody, until somebody is named");

    let body = json!({"origins": [SHOP, "http://localhost:5173"], "reason": "our shop"});
    let reply = put(body.clone(), &admin).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(list(&reply), ["http://localhost:5173", SHOP]);
    assert!(reply.json()["origins"][0]["added_by"].as_str().is_some_and(|who| who.starts_with("key:")));
    let reply = put(json!({"origins": [SHOP, "https://blog.example"], "reason": "moved"}), OPERATOR).await;
    assert_eq!(list(&reply), ["https://blog.example", SHOP]);
    assert!(
        reply.json()["origins"][1]["added_by"].as_str().is_some_and(|who| who.starts_with("key:")),
        "kept"
    );

    let deeds = house.get(&format!("/api/v1/admin/community/{}/actions", payer.key.community)).key(&admin);
    let deeds = deeds.send().await.json();
    let deeds: Vec<_> = deeds["actions"]
        .as_array()
        .expect("a record")
        .iter()
        .map(|deed| {
            format!(
                "{} {}",
                deed["what"].as_str().expect("a word"),
                deed["target"].as_str().expect("a target")
            )
        })
        .collect();
    assert_eq!(deeds.len(), 4, "{deeds:?}");
    for deed in ["embed.allow https://shop.example", "embed.forget http://localhost:5173"] {
        assert_eq!(deeds.iter().filter(|done| *done == deed).count(), 1, "{deeds:?}");
    }

    for (body, field) in [
        (json!({"reason": "x"}), "origins"),
        (json!({"origins": SHOP, "reason": "x"}), "origins"),
        (json!({"origins": [SHOP, "https://*.shop.example"], "reason": "x"}), "origins[1]"),
        (json!({"origins": ["http://shop.example"], "reason": "x"}), "origins[0]"),
        (json!({"origins": [SHOP]}), "reason"),
        (json!({"origins": [SHOP], "reason": " "}), "reason"),
    ] {
        let reply = put(body.clone(), &admin).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["field"]), (400, &json!(field)), "{body}");
    }
    assert_eq!(put(body.clone(), &stranger).await.status, 404);
    assert_eq!(put(body.clone(), &payer.api_key).await.status, 403);
    assert_eq!(put(body, "nobody").await.status, 401);
    assert_eq!(house.get(&path).key(&stranger).send().await.status, 404);
    assert_eq!(house.get("/api/v1/admin/community/12345/origins").key(OPERATOR).send().await.status, 404);
    assert_eq!(list(&house.get(&path).key(&admin).send().await), ["https://blog.example", SHOP], "unchanged");
    let none = put(json!({"origins": [], "reason": "closed"}), &admin).await;
    assert!(none.status == 200 && list(&none).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_list_stays_full_however_many_come_at_once() {
    let house = House::open().await;
    let community = house.payer(MicroUsd(0)).await.key.community;
    let racers: Vec<_> = (0..ORIGINS_AT_MOST + 10)
        .map(|number| {
            let ctx = std::sync::Arc::clone(&house.ctx);
            let wanted = origin(&format!("https://s{number}.example"));
            tokio::spawn(async move { embed::allow(&ctx, community, &wanted, BY).await })
        })
        .collect();
    let mut refused = 0;
    for racer in racers {
        match racer.await.expect("no panic") {
            Ok(is_new) => assert!(is_new),
            Err(ListFault::Full) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let list = embed::origins(&house.ctx, community).await.expect("read");
    assert_eq!((list.len(), refused), (ORIGINS_AT_MOST, 10));
    let known = &list[0].origin;
    assert!(!embed::allow(&house.ctx, community, known, BY).await.expect("quiet"), "twice is once");
    assert!(embed::forget(&house.ctx, community, known, BY).await.expect("gone"));
    assert!(!embed::forget(&house.ctx, community, known, BY).await.expect("quiet"));
    let nowhere = embed::allow(&house.ctx, CommunityId(12_345), &origin(SHOP), BY).await;
    assert!(matches!(nowhere, Err(ListFault::NoCommunity)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loader_is_asked_about_again_or_pinned_for_ever() {
    let house = House::open().await;
    let loader = app::assets::loader().expect("`cargo xtask assets` builds it");
    let reply = house.get("/widget/v1/widget.js").header("accept-encoding", "br").send().await;
    assert_eq!((reply.status.as_u16(), reply.header("content-encoding")), (200, "br"));
    assert_eq!(reply.header("cache-control"), "public, max-age=300, must-revalidate");
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(reply.header("content-type"), "text/javascript; charset=utf-8");
    let tag = reply.header("etag").to_owned();
    let again =
        house.get("/widget/v1/widget.js").header("accept-encoding", "br").header("if-none-match", &tag);
    let again = again.send().await;
    assert_eq!((again.status.as_u16(), again.bytes.len(), again.header("etag")), (304, 0, tag.as_str()));
    let plain = house.get("/widget/v1/widget.js").header("if-none-match", &tag).send().await;
    assert_eq!(plain.status, 200, "another representation");
    assert_eq!(plain.bytes, loader.plain);

    let pinned = house.get(&format!("/widget/{}/widget.js", loader.hash())).send().await;
    assert_eq!(pinned.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!((&pinned.bytes[..], pinned.header("access-control-allow-origin")), (loader.plain, "*"));
    for version in ["v2", "000000000000", "V1", "%00"] {
        let reply = house.get(&format!("/widget/{version}/widget.js")).send().await;
        assert_eq!(reply.status, 404, "{version}");
        assert!(reply.text().contains(loader.integrity), "it says which one there is");
    }
}
