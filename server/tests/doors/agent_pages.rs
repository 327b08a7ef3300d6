//! Agents' pages from outside: who reads what on them, what they weigh, and what belongs to them.

use domain::chat::Sharing;
use serde_json::json;
use types::WalletId;

use crate::client::Reply;
use crate::house::House;
use crate::wallets::Browser;

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);
const ADA: WalletId = WalletId::by_key(types::Wallet([0xa; 20]));
const BOB: WalletId = WalletId::by_key(types::Wallet([0xb; 20]));
const BROWSER: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

async fn open() -> House {
    let house = House::open().await;
    domain::demo::ensure(&house.ctx).await.expect("made");
    house
}

async fn look(house: &House, path: &str) -> Reply {
    house.get(path).header("accept", BROWSER).send().await
}

/// A browser in which that wallet is signed in.
async fn browser(house: &House, wallet: WalletId) -> Browser<'_> {
    let (_, token) = house.signed_in(wallet).await;
    let mut browser = Browser::new(house);
    browser.cookies.insert("freeside".to_owned(), token);
    browser
}

/// A form of a page, as the browser sends it.
async fn send(browser: &Browser<'_>, path: &str, fields: &str) -> Reply {
    let ask =
        browser.house.ask("POST", path).header("accept", BROWSER).header("sec-fetch-site", "same-origin");
    let ask = ask.header("content-type", "application/x-www-form-urlencoded").body(fields.to_owned());
    browser.dress(ask).send().await
}

/// Asks the first agent, and waits for the answer. The question's id.
async fn ask(house: &House, wallet: WalletId, message: &str) -> String {
    let (session, _) = house.signed_in(wallet).await;
    let mut socket = house.speaking("demo:1", "192.0.2.7", &session).await;
    let id = house.ctx.clock.uuid_v7();
    socket.send("chat", &json!({"message": message, "requestId": id})).await.expect("sent");
    socket.answer().await;
    id.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anyone_reads_who_an_agent_is_and_nothing_runs_for_them() {
    let house = open().await;
    let page = look(&house, "/chat/demo/1").await;
    assert_eq!((page.status.as_u16(), page.header("cache-control")), (200, "private, no-cache"));
    let text = page.text();
    for part in
        ["<h1 dir=\"auto\">Marrow Finch</h1>", "Wayfinder", "The Lantern Street demo", "Sign in to talk"]
    {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("<script") && !text.contains(" style=\"") && !text.contains("data-freeside"));
    assert!(text.contains(&format!("rel=\"canonical\" href=\"http://{}/chat/demo/1\"", house.address)));
    let short = look(&house, "/chat/1").await.text();
    assert!(short.contains(&format!("rel=\"canonical\" href=\"http://{}/chat/demo/1\"", house.address)));
    let home = look(&house, "/").await.text();
    assert_eq!(home.matches("class=\"card\"").count(), 6);
    assert!(home.len() <= 15 * 1024, "{}", home.len());
    assert!(look(&house, "/agents").await.text().contains("href=\"/chat/demo/6\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_not_there_leads_to_those_that_are() {
    let house = open().await;
    for path in ["/chat/demo/99", "/chat/99", "/chat/demo/01", "/chat/Demo/1", "/chat/demo/%FF"] {
        let page = look(&house, path).await;
        assert_eq!(
            (page.status.as_u16(), page.header("content-type")),
            (404, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(page.text().contains("href=\"/chat/demo/1\"") && page.text().contains("noindex"), "{path}");
        let problem = house.get(path).send().await;
        assert_eq!((problem.status.as_u16(), &problem.json()["type"]), (404, &json!("/problems/not-found")));
    }
    assert_eq!(house.get("/chat/demo/1/passwords.txt").send().await.status, 404);
    assert_eq!(house.get("/chat/demo/99/og.png").send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_its_persons_own_until_person_and_agent_share_it() {
    let house = open().await;
    ask(&house, ADA, "Where is <the> harbour? !tokens 30").await;
    let ada = async || browser(&house, ADA).await.get("/chat/demo/1").await;
    let own = ada().await;
    assert_eq!(own.header("cache-control"), "no-store");
    let text = own.text();
    assert!(text.contains("Where is &lt;the&gt; harbour?") && text.contains("fs-pool\">cheap"), "{text}");
    assert!(text.contains("Your credit here") && text.contains("href=\"/buy\""));
    assert!(!text.contains("What others asked"), "this agent has no public history");
    for mut other in [Browser::new(&house), browser(&house, BOB).await] {
        assert!(!other.get("/chat/demo/1").await.text().contains("harbour"));
        assert!(!other.get("/chat/demo/1?whose=own").await.text().contains("harbour"));
    }

    sqlx::query("update agent set public_history = true").execute(&house.database.pool).await.expect("done");
    // What was read of the agent stands for a few seconds.
    testing::served::until("the change shows", PATIENCE, async || {
        ada().await.text().contains("Let others read")
    })
    .await;
    assert!(!look(&house, "/chat/demo/1").await.text().contains("harbour"), "its person has not shared it");
    let person = browser(&house, ADA).await;
    let shared = send(&person, "/chat/demo/1/sharing", "public=yes").await;
    assert_eq!((shared.status.as_u16(), shared.header("location")), (303, "/chat/demo/1"));
    let public = look(&house, "/chat/demo/1").await.text();
    assert!(public.contains("Where is &lt;the&gt; harbour?") && public.contains("What others asked"));
    assert!(!public.contains("data-turn") && !public.contains("$0.00008"), "not by whom, nor for how much");
    assert!(ada().await.text().contains("Take that back"));
    send(&person, "/chat/demo/1/sharing", "public=no").await;
    assert!(!look(&house, "/chat/demo/1").await.text().contains("harbour"));
    let agent = domain::agent::find(&house.ctx, "demo", "1").await.expect("read").expect("there");
    let sharing = domain::chat::sharing(&house.ctx, &agent, ADA).await.expect("read");
    assert_eq!(sharing, Sharing::Private);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_rated_by_a_form_and_only_by_its_asker() {
    let house = open().await;
    let id = ask(&house, ADA, "Hello !tokens 10").await;
    let (ada, bob) = (browser(&house, ADA).await, browser(&house, BOB).await);
    let rate = "/chat/demo/1/feedback";
    assert_eq!(send(&bob, rate, &format!("good={id}")).await.status, 404);
    assert_eq!(send(&Browser::new(&house), rate, &format!("good={id}")).await.status, 401);
    assert_eq!(send(&ada, rate, "good=nonsense").await.status, 404);
    let rated = send(&ada, rate, &format!("bad={id}")).await;
    assert_eq!((rated.status.as_u16(), rated.header("location")), (303, "/chat/demo/1"));
    let feedback: Option<i16> = sqlx::query_scalar("select feedback from chat_turn")
        .fetch_one(&house.database.pool)
        .await
        .expect("one turn");
    assert_eq!(feedback, Some(-1));
    let foreign = house.ask("POST", rate).header("sec-fetch-site", "cross-site").body(format!("good={id}"));
    assert_eq!(ada.with_cookies(foreign).send().await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_comes_in_light_pages_and_a_long_answer_has_one_of_its_own() {
    let house = open().await;
    let (key, agent) =
        (ask(&house, ADA, "The first !tokens 4").await, "select id from agent where token_id = '1'");
    // Thirty more, each with an answer that would fill the page.
    let answer = "| a | b |\n|---|---|\n| \"x\" & <y> | `z` |\n\n".repeat(200);
    for number in 0..30_u16 {
        let id = house.ctx.clock.uuid_v7();
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into chat_turn (id, wallet, request_id, agent_id, community_id, account_id, question, owner_id, state,
               pool, model, last_seq, cost_micro, asked_at, ended_at)
             select $1, wallet, $1, ({agent}), community_id, account_id, $2, owner_id, 2, 0, 'm', 2, 85, asked_at, ended_at
             from chat_turn where request_id = $3::uuid"
        )))
        .bind(id)
        .bind(format!("question {number} {}", "<&\"".repeat(400)))
        .bind(&key)
        .execute(&house.database.pool)
        .await
        .expect("written");
        sqlx::query("insert into chat_chunk (turn_id, first_seq, pieces) values ($1, 2, array[$2])")
            .bind(id)
            .bind(&answer)
            .execute(&house.database.pool)
            .await
            .expect("written");
    }
    let mut ada = browser(&house, ADA).await;
    let (mut path, mut seen) = ("/chat/demo/1".to_owned(), 0);
    let mut whole = None;
    for _ in 0..40 {
        let text = ada.get(&path).await.text();
        assert!(text.len() <= app::chat::PAGE_BYTES, "{path}: {}", text.len());
        assert!(text.contains("fs-theirs"), "{path}");
        seen += text.matches("aria-label=\"Question\"").count();
        let link = |start: &str| {
            let rest = text.split(start).nth(1)?;
            Some(format!("{}{}", start.trim_start_matches("href=\""), rest.split('"').next()?))
        };
        whole = whole.or_else(|| link("href=\"/chat/demo/1?turn="));
        match link("href=\"/chat/demo/1?before=") {
            Some(earlier) => path = earlier,
            None => break,
        }
    }
    assert_eq!(seen, 31, "each turn is on one page");
    let whole = whole.expect("a long answer leads to itself");
    let text = ada.get(&whole).await.text();
    assert_eq!(text.matches("<table").count(), 200);
    let other = browser(&house, BOB).await.get(&whole).await;
    assert_eq!(other.status, 404, "it is not everybody's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_an_agent_is_kept_for_ever_by_its_version() {
    let house = open().await;
    let page = look(&house, "/chat/demo/4").await.text();
    for (file, kind) in [("colours.css", "text/css"), ("mark.svg", "image/svg+xml"), ("og.png", "image/png")]
    {
        let start = format!("/chat/demo/4/{file}?v=");
        let version =
            page.split(&start).nth(1).and_then(|rest| rest.split('"').next()).expect("named on the page");
        let found = house.get(&format!("{start}{version}")).send().await;
        assert_eq!(found.status, 200, "{file}");
        assert!(found.header("content-type").starts_with(kind) && !found.bytes.is_empty());
        assert_eq!(found.header("cache-control"), "public, max-age=31536000, immutable");
        let old = house.get(&format!("{start}0")).header("if-none-match", found.header("etag")).send().await;
        assert_eq!((old.status.as_u16(), old.header("cache-control")), (304, "public, max-age=300"));
    }
    let colours = house.get("/chat/demo/4/colours.css").send().await.text();
    assert!(colours.starts_with(":root{--fs-accent-light:#"));
    for name in ["月の灯台守 \u{1f30a}", "\u{202e}\u{200d}", "Ω".repeat(80).as_str()] {
        sqlx::query("update agent set name = $1")
            .bind(name)
            .execute(&house.database.pool)
            .await
            .expect("named");
        let picture = house.get("/chat/demo/2/og.png").send().await;
        assert!(picture.bytes.starts_with(b"\x89PNG"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holders_agent_says_so_and_offers_no_way_in() {
    let house = open().await;
    sqlx::query("update agent set holder_only = true").execute(&house.database.pool).await.expect("done");
    let text = look(&house, "/chat/demo/2").await.text();
    assert!(
        text.contains("Only the holder of #2 may talk to Old Tansy.") && !text.contains("Sign in to talk")
    );
    let own = browser(&house, ADA).await.get("/chat/demo/2").await.text();
    assert!(!own.contains("data-freeside"));
}
