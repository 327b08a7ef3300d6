//! The page and its buttons: what is shown, what a press does, and who may press.

use pay::simulator::Manner;

use super::house::{House, Reply, send};

async fn page(house: &House) -> Reply {
    let reply = send(&house.simulator.url(), "GET", "/", &[("accept", "text/html")], "").await.unwrap();
    assert_eq!(reply.status, 200);
    reply
}

async fn press(house: &House, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    send(&house.simulator.url(), "POST", path, headers, body).await.unwrap()
}

#[tokio::test]
async fn an_empty_page_teaches() {
    let house = House::open().await;
    let reply = page(&house).await;
    for part in
        ["no real money", "No payment yet", "Make a sample payment", "/v1</code>", "the &lt;tests&gt;"]
    {
        assert!(reply.text.contains(part), "{part}");
    }
    assert!(!reply.text.contains("<script") && !reply.text.contains("style=\""));
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(press(&house, "/simulator/payments", &[], "coin=xlm").await.status, 200);
    assert!(page(&house).await.text.contains("Memo"));
}

#[tokio::test]
async fn a_press_does_what_it_says_and_the_page_shows_it() {
    let house = House::open().await;
    let id = house.payment().await;
    let reply = press(&house, &format!("/simulator/payments/{id}/pay"), &[], "").await;
    let told = reply.json();
    assert_eq!((reply.status, told["payment_status"].as_str()), (200, Some("finished")));
    assert_eq!(told["notices"].as_array().unwrap().len(), 5);
    assert_eq!(told["notices"][4]["answers"][0], "200 OK");
    assert_eq!(house.shop.reports().len(), 5);
    let text = page(&house).await.text;
    for part in [">Finished</span>", "$10.00", "0.0001 BTC", "200 OK", "thank you", "5 notices"] {
        assert!(text.contains(part), "{part}");
    }
    let reply = press(&house, &format!("/simulator/payments/{id}/pay"), &[], "").await;
    assert_eq!(reply.status, 409);
    assert!(reply.json()["message"].as_str().unwrap().contains("finished cannot pay"));
}

#[tokio::test]
async fn a_form_comes_back_to_its_payment() {
    let house = House::open().await;
    let id = house.payment().await;
    let url = house.simulator.url();
    let browser = [("accept", "text/html,*/*"), ("origin", url.as_str())];
    let reply = press(&house, &format!("/simulator/payments/{id}/expire"), &browser, "manner=plain").await;
    assert_eq!(
        (reply.status, reply.headers["location"].to_str().unwrap()),
        (303, format!("/#payment-{id}").as_str())
    );
    // The script runs on by itself.
    while house.shop.reports().len() < 2 {
        tokio::task::yield_now().await;
    }
    let reply = press(&house, &format!("/simulator/payments/{id}/expire"), &browser, "").await;
    assert_eq!(reply.status, 409);
    assert!(reply.text.contains("Back to the payments"));
}

#[tokio::test]
async fn every_action_has_an_address() {
    let house = House::open().await;
    for action in [
        "pay",
        "underpay",
        "expire",
        "refund",
        "late",
        "detect",
        "fail",
        "cancel",
        "wrong-asset",
        "repeat",
        "forge",
        "again",
    ] {
        let id = house.payment().await;
        assert_eq!(
            press(&house, &format!("/simulator/payments/{id}/{action}"), &[], "").await.status,
            200,
            "{action}"
        );
    }
    for manner in ["plain", "twice", "shuffled", "twice-shuffled", "silent"] {
        let id = house.payment().await;
        assert_eq!(press(&house, &format!("/simulator/payments/{id}/{manner}"), &[], "").await.status, 200);
        let form = format!("manner={manner}");
        assert_eq!(
            press(&house, &format!("/simulator/payments/{id}/delivery"), &[], &form).await.status,
            200
        );
    }
    let id = house.payment().await;
    assert_eq!(press(&house, &format!("/simulator/payments/{id}/steal"), &[], "").await.status, 404);
    assert_eq!(press(&house, "/simulator/payments/1/pay", &[], "").await.status, 404);
    house.simulator.deliver_all_as(Manner::Silent);
    let list = send(&house.simulator.url(), "GET", "/simulator/payments", &[], "").await.unwrap().json();
    assert_eq!(list["payments"][0]["payment_id"].to_string(), id);
}

#[tokio::test]
async fn a_foreign_page_cannot_press() {
    let house = House::open().await;
    let id = house.payment().await;
    let path = format!("/simulator/payments/{id}/pay");
    let port = house.simulator.url().rsplit_once(':').unwrap().1.to_owned();
    let rebound = format!("evil.example:{port}");
    let rebound_origin = format!("http://{rebound}");
    for headers in [
        vec![("origin", "http://evil.example")],
        vec![("origin", "null")],
        vec![("origin", "http://localhost:1")],
        vec![("origin", rebound_origin.as_str()), ("host", rebound.as_str())],
    ] {
        assert_eq!(press(&house, &path, &headers, "").await.status, 403, "{headers:?}");
    }
    assert_eq!(house.simulator.status(&id).unwrap(), "waiting");
    let local = format!("localhost:{port}");
    let origin = format!("http://{local}");
    assert_eq!(press(&house, &path, &[("origin", &origin), ("host", &local)], "").await.status, 200);
}

#[tokio::test]
async fn nothing_from_outside_becomes_markup() {
    let house = House::open().await;
    let mut new = house.ten_dollars("btc");
    new.order_id = "<script>alert(1)</script>".to_owned();
    new.order_description = "\"><img src=x onerror='1'>".to_owned();
    let id = house.client.create_payment(&new).await.unwrap().report.payment_id;
    house.simulator.pay(&id).await.unwrap();
    house.simulator.forge(&id).await.unwrap();
    let text = page(&house).await.text;
    for markup in ["<script", "<img", "<b>not genuine"] {
        assert!(!text.contains(markup), "{markup}");
    }
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && text.contains("&lt;b&gt;not genuine"));
}

#[tokio::test]
async fn many_payments_have_more_than_one_page() {
    let house = House::open().await;
    let mut ids = Vec::new();
    for _ in 0..21 {
        ids.push(house.payment().await);
    }
    let text = page(&house).await.text;
    let place = |id: &String| text.find(&format!("id=\"payment-{id}\""));
    assert!(place(&ids[20]).unwrap() < place(&ids[19]).unwrap(), "the newest first");
    assert_eq!(place(&ids[0]), None);
    let older = format!("/?before={}", ids[1]);
    assert!(text.contains(&older));
    let reply = send(&house.simulator.url(), "GET", &older, &[], "").await.unwrap();
    assert!(reply.text.contains(&format!("id=\"payment-{}\"", ids[0])));
}
