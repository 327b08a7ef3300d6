//! The administrators' pages: figures as the API gives them, forms, and nobody else's community.

use serde_json::json;
use types::MicroUsd;

use crate::client::Reply;
use crate::house::{House, Payer};
use crate::wallets::{Browser, Signer};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const TABS: [&str; 9] =
    ["", "/caps", "/agents", "/routing", "/ledger", "/conservation", "/payments", "/reviews", "/settings"];

fn place(payer: &Payer, tab: &str) -> String {
    format!("/admin/test-{}{tab}", payer.key.community)
}

/// What a form of ours sends.
fn form(fields: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields).finish()
}

impl Browser<'_> {
    async fn look(&self, path: &str) -> Reply {
        let ask = self.with_cookies(self.house.get(path)).header("accept", BROWSER);
        ask.header("sec-fetch-site", "same-origin").send().await
    }

    async fn fill_in(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let ask = self.dress(self.house.ask("POST", path)).header("accept", BROWSER);
        let ask = ask.header("content-type", "application/x-www-form-urlencoded");
        ask.header("sec-fetch-site", "same-origin").body(form(fields)).send().await
    }
}

impl House {
    /// A community with some charges, and a browser of its administrator.
    async fn administered(&self, signer: &Signer) -> (Payer, Browser<'_>) {
        let payer = self.payer(MicroUsd(5_000_000)).await;
        self.make_admin(payer.key.community, signer.address()).await;
        for model in ["cheap", "standard", "flagship"] {
            let ask =
                json!({"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]});
            let reply = self.post("/v1/chat/completions", &ask).key(&payer.api_key).send().await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        self.settled(&payer).await;
        let mut browser = Browser::new(self);
        browser.sign_in(signer).await;
        (payer, browser)
    }
}

fn address(reply: &Reply) -> &str {
    reply.header("location")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_its_administrators_alone_and_nothing_keeps_it() {
    let house = House::open().await;
    let (payer, admin) = house.administered(&Signer::number(1)).await;
    let mut stranger = Browser::new(&house);
    stranger.sign_in(&Signer::number(2)).await;
    let nobody = Browser::new(&house);
    for tab in TABS {
        let path = place(&payer, tab);
        let page = admin.look(&path).await;
        assert_eq!(
            (page.status.as_u16(), page.header("cache-control")),
            (200, "no-store"),
            "{path}: {}",
            page.text()
        );
        let text = page.text();
        assert!(!text.contains(" style=\"") && !text.contains("<script>"), "{path}");
        assert_eq!(text.matches("<h1").count(), 1, "{path}");
        assert_eq!(
            text.matches("aria-current=\"page\"").count(),
            if tab == "/reviews" { 2 } else { 1 },
            "{path}"
        );
        assert_eq!(admin.look(&format!("/admin/{}{tab}", payer.key.community)).await.status, 200, "by id");
        assert_eq!(stranger.look(&path).await.status, 404, "{path}");
        let asked = nobody.look(&path).await;
        assert_eq!(asked.status, 200, "{path}");
        assert!(
            asked.text().contains("Sign in to administer") && !asked.text().contains("Lasts until"),
            "{path}"
        );
    }
    for tab in ["/caps", "/payments", "/reviews", "/settings"] {
        let path = place(&payer, tab);
        assert_eq!(stranger.fill_in(&path, &[("reason", "x")]).await.status, 404, "{path}");
        let foreign = admin.with_cookies(house.ask("POST", &path)).header("origin", "https://evil.example");
        assert_eq!(foreign.body("limit=1&reason=x").send().await.status, 403, "{path}");
    }
    let list = admin.look("/admin").await.text();
    assert!(list.contains(&place(&payer, "")), "{list}");
    assert!(stranger.look("/admin").await.text().contains("administers no community yet"));
    assert_eq!(admin.look("/admin/no-such-place").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_on_the_page_are_the_journals_to_the_micro() {
    let house = House::open().await;
    let (payer, admin) = house.administered(&Signer::number(1)).await;
    let spent: i64 =
        sqlx::query_scalar("select sum(amount)::bigint from journal where community_id = $1 and credit = 3")
            .bind(payer.key.community.0)
            .fetch_one(&house.database.pool)
            .await
            .expect("the journal");
    let page = admin.look(&place(&payer, "")).await.text();
    assert!(page.contains(&format!("data-total=\"{spent}\"")), "{spent}: {page}");
    let dollars = format!("${}", MicroUsd(spent).to_usd());
    assert!(page.contains(&dollars), "{dollars}");
    // Each pool's figure, and the user's, stand in the tables beside the charts.
    let usage = admin.look(&format!("/api/v1/admin/community/{}/usage", payer.key.community)).await.json();
    let pools = usage["by_pool"].as_object().expect("pools");
    let mut sum = 0;
    for (pool, charged) in pools {
        let cost: i64 = charged["cost_micro"].as_str().expect("a figure").parse().expect("a number");
        assert!(page.contains(&format!("<th scope=\"row\">{pool}</th>")), "{pool}");
        assert!(page.contains(&format!("${}", MicroUsd(cost).to_usd())), "{pool}");
        sum += cost;
    }
    assert_eq!((sum, pools.len()), (spent, 2), "flagship is above tier 4 and was answered by its default");
    let narrowed = admin.look(&format!("{}?pool=cheap", place(&payer, ""))).await.text();
    let cheap = &usage["by_pool"]["cheap"]["cost_micro"];
    assert!(narrowed.contains(&format!("data-total={cheap}")), "{cheap}");
    assert!(narrowed.contains("value=\"cheap\" selected"));
    let empty = admin.look(&format!("{}?from=2020-01-01&to=2020-01-02", place(&payer, ""))).await.text();
    assert!(empty.contains("Nothing was charged in these days"));
    for wrong in ["from=yesterday", "pool=huge", "from=2026-01-02&to=2026-01-01", "cursor=%00x"] {
        let page = admin.look(&format!("{}?{wrong}", place(&payer, ""))).await;
        assert_eq!(page.status, 200, "{wrong}");
        assert_eq!(page.text().contains("role=\"alert\""), !wrong.starts_with("cursor"), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_shows_what_its_download_holds() {
    let house = House::open().await;
    let (payer, admin) = house.administered(&Signer::number(1)).await;
    let page = admin.look(&place(&payer, "/ledger")).await.text();
    let link = |kind: &str| {
        let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        links.map(|link| link.replace("&amp;", "&")).find(|link| link.contains(kind)).expect("a link")
    };
    let file = admin.look(&link("format=jsonl")).await;
    assert_eq!(file.header("content-type"), "application/x-ndjson");
    let keys = house.get("/.well-known/jwks.json").send().await.text();
    let keys = ledger::verify::KeySet::parse(keys.as_bytes()).expect("our own keys");
    let options = ledger::verify::Options { keys: Some(keys), since: None };
    let verified = ledger::verify::verify(file.bytes.as_ref(), &options).expect("it proves itself");
    let rows = page.matches("<th scope=\"row\">").count();
    assert_eq!((usize::try_from(verified.lines).expect("few"), verified.chained), (rows, true));

    let narrowed = admin.look(&format!("{}?pool=cheap", place(&payer, "/ledger"))).await.text();
    assert!(narrowed.contains("cannot be a chain") && narrowed.contains("pool=cheap&amp;format=jsonl"));
    assert_eq!(narrowed.matches("<th scope=\"row\">").count(), 1);
    let why = admin.look(&place(&payer, "/routing")).await.text();
    assert!(why.contains("that pool is above the asker\u{2019}s tier") && why.contains("status warm"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caps_and_settings_are_changed_by_forms_and_recorded() {
    let house = House::open().await;
    let (payer, admin) = house.administered(&Signer::number(1)).await;
    let (caps, settings) = (place(&payer, "/caps"), place(&payer, "/settings"));
    for (field, fields) in [
        ("limit", vec![("limit", "five"), ("reason", "x")]),
        ("account", vec![("limit", "5"), ("account", "12345"), ("reason", "x")]),
        ("account", vec![("limit", "5"), ("account", "me"), ("reason", "x")]),
        ("reason", vec![("limit", "5"), ("reason", " ")]),
    ] {
        let again = admin.fill_in(&caps, &fields).await;
        assert_eq!(again.status, 422, "{field}");
        assert!(again.text().contains(&format!("id=\"{field}-error\"")), "{field}: {}", again.text());
    }
    let set = admin.fill_in(&caps, &[("limit", "$1,234.50"), ("account", ""), ("reason", "holidays")]).await;
    assert_eq!((set.status.as_u16(), address(&set)), (303, &*format!("{caps}?done=cap")));
    let page = admin.look(address(&set)).await.text();
    assert!(
        page.contains("The cap is set") && page.contains("$1234.50") && page.contains("$987.60"),
        "{page}"
    );
    let lifted = admin.fill_in(&caps, &[("limit", ""), ("reason", "over")]).await;
    assert!(admin.look(address(&lifted)).await.text().contains("There is no cap"));

    let add = |what: &'static str, field: &'static str, value: String| {
        let admin = &admin;
        let settings = settings.clone();
        async move { admin.fill_in(&settings, &[("do", what), (field, &value), ("reason", "a test")]).await }
    };
    assert_eq!(add("add-admin", "wallet", "0x12".to_owned()).await.status, 422);
    for bad in ["http://shop.example", "https://*.example", "https://shop.example/path", ""] {
        assert_eq!(add("allow-origin", "origin", bad.to_owned()).await.status, 422, "{bad}");
    }
    let allowed = add("allow-origin", "origin", "https://shop.example".to_owned()).await;
    assert_eq!(address(&allowed), format!("{settings}?done=allowed"));
    let page = admin.look(&settings).await.text();
    assert!(page.contains("https://shop.example") && page.contains("holidays"), "the record");
    let gone = add("forget-origin", "origin", "https://shop.example".to_owned()).await;
    assert_eq!(address(&gone), format!("{settings}?done=forgotten"));
}

/// The token of the second request, from the page that asks for it.
fn token(page: &str) -> String {
    let rest = page.split("name=\"confirmation\" value=\"").nth(1).expect("a token");
    rest.split('"').next().expect("closed").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_administers_is_changed_as_money_is_repaired_twice_and_by_two() {
    let house = House::open().await;
    let (first, second, third) = (Signer::number(1), Signer::number(2), Signer::number(3));
    let (payer, one) = house.administered(&first).await;
    let settings = place(&payer, "/settings");
    let ask = async |by: &Browser<'_>, what: &str, wallet: &Signer, confirmation: &str| {
        let wallet = wallet.address().to_string();
        let fields =
            [("do", what), ("wallet", &*wallet), ("reason", "two see more"), ("confirmation", confirmation)];
        by.fill_in(&settings, &fields).await
    };
    // Alone: twice, and the last one stays.
    let asked = ask(&one, "remove-admin", &first, "").await.text();
    assert_eq!(ask(&one, "remove-admin", &first, &token(&asked)).await.status, 422, "the last one stays");
    let asked = ask(&one, "add-admin", &second, "").await.text();
    assert!(asked.contains("Once more: do this?") && asked.contains(&second.address().to_string()));
    let mut two = Browser::new(&house);
    two.sign_in(&second).await;
    assert_eq!(two.look(&settings).await.status, 404, "not yet");
    let other = ask(&one, "add-admin", &third, &token(&asked)).await;
    assert_eq!(other.status, 409, "the confirmation is for one wallet");
    assert_eq!(
        address(&ask(&one, "add-admin", &second, &token(&asked)).await),
        format!("{settings}?done=admin")
    );
    assert!(one.look(&settings).await.text().contains("admin.add"), "the record");

    // With two, neither gets rid of the other alone, nor brings a third; and an old signature asks for nothing.
    for (what, wallet) in [("remove-admin", &second), ("add-admin", &third), ("remove-admin", &first)] {
        let asked = ask(&one, what, wallet, "").await.text();
        assert!(asked.contains("It waits for another") && !asked.contains("name=\"confirmation\""), "{what}");
    }
    let own = one.look(&settings).await.text();
    assert!(own.contains("You asked for it") && !own.contains("Approve and do it"));
    let late = house.signed_in_earlier(&two, second.address(), 6).await;
    assert_eq!(late.look(&settings).await.status, 200);
    assert_eq!(ask(&late, "add-admin", &third, "").await.status, 401);
    let waiting = two.look(&settings).await.text();
    assert_eq!(waiting.matches("Approve and do it").count(), 3, "{waiting}");
    assert_eq!(ask(&late, "remove-admin", &first, &token(&waiting)).await.status, 401);
    // The latest stands first: the first administrator leaves, with the second one's word.
    let left = ask(&two, "remove-admin", &first, &token(&waiting)).await;
    assert_eq!(address(&left), format!("{settings}?done=removed"), "{}", left.text());
    assert_eq!(one.look(&settings).await.status, 404, "and that is at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_reconciled_after_saying_so_twice() {
    let house = House::open().await;
    let (first, second) = (Signer::number(1), Signer::number(2));
    let (payer, admin) = house.administered(&first).await;
    let payment = house.paid_and_silent(&payer).await;
    let before = house.balance(&payer).await.minted;
    let path = place(&payer, "/payments");
    let unknown = admin.fill_in(&path, &[("payment", "1"), ("reason", "x")]).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("role=\"alert\""));
    let reason = ("reason", "the buyer shows a finished transaction");
    let asked = admin.fill_in(&path, &[("payment", &payment), reason]).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    let confirmation = token(&asked.text());
    assert_eq!(house.balance(&payer).await.minted, before, "not yet");

    let done = admin.fill_in(&path, &[("payment", &payment), reason, ("confirmation", &confirmation)]).await;
    assert_eq!(address(&done), format!("{path}?done=reconciled"), "{}", done.text());
    assert_eq!(house.balance(&payer).await.minted, before + 10_500_000);
    // A second administrator appears: the first one's next repair waits for them.
    house.make_admin(payer.key.community, second.address()).await;
    let asked = admin.fill_in(&path, &[("payment", &payment), reason]).await.text();
    assert!(asked.contains("It waits for another administrator") && !asked.contains("name=\"confirmation\""));
    assert!(admin.look(&path).await.text().contains("You asked for it"));
    let mut other = Browser::new(&house);
    other.sign_in(&second).await;
    let waiting = other.look(&path).await.text();
    assert!(waiting.contains("Approve and do it") && waiting.contains(reason.1), "{waiting}");
    let confirmation = token(&waiting);
    let done = other.fill_in(&path, &[("payment", &payment), reason, ("confirmation", &confirmation)]).await;
    assert_eq!(address(&done), format!("{path}?done=reconciled"), "{}", done.text());
    assert_eq!(house.balance(&payer).await.minted, before + 10_500_000, "twice is once");
}
