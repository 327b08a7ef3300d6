//! The client against a server on a real socket: what it asks, what it reads, and what it does when things fail.

use std::time::Duration;

use pay::Error;
use pay::nowpayments::{BadAddress, Client, Minimum, NewPayment, Timeouts};
use time::macros::datetime;
use types::Clock;

use crate::server::{Reply, Server, ok};

const KEY: &str = "KEY-of-the-tests-0123";

const CREATED: &str = r#"{"payment_id":"5745459419","payment_status":"waiting","pay_address":"rLHzPsX6oXkzU2qL12kHCH8G8cnZv1rBJh",
    "price_amount":10,"price_currency":"usd","pay_amount":17.070286,"pay_currency":"XRP","order_id":"ord_1",
    "order_description":"Standard pack","purchase_id":"5837122679","payin_extra_id":4102587,"network":"XRP","burning_percent":"null",
    "created_at":"2020-12-22T15:00:22.742Z","updated_at":"2020-12-22T15:00:22.742Z","expiration_estimate_date":"2020-12-29T15:00:22.742Z",
    "valid_until":"2020-12-22T15:20:22.742Z"}"#;

fn client_of(address: &str) -> Client {
    Client::new(address, KEY, Clock::fixed(datetime!(2026-01-02 03:04:05 UTC))).unwrap()
}

fn client(server: &Server) -> Client {
    client_of(&server.address)
}

fn new_payment() -> NewPayment {
    NewPayment {
        order_id: "ord_1".to_owned(),
        price_amount: "10".to_owned(),
        price_currency: "usd".to_owned(),
        pay_currency: "xrp".to_owned(),
        ipn_callback_url: "https://example.org/api/crypto/webhook".to_owned(),
        order_description: "Standard \"pack\"".to_owned(),
    }
}

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "", body.to_owned())
}

fn refused(status: u16, code: &str, message: &str) -> Error {
    Error::Refused { status, code: code.to_owned(), message: message.to_owned() }
}

#[tokio::test]
async fn a_payment_is_made_with_one_request() {
    let server = Server::start([answer(201, CREATED)]).await;
    let created = client(&server).create_payment(&new_payment()).await.unwrap();
    assert_eq!(created.report.payment_id, "5745459419");
    assert_eq!(created.pay_address, "rLHzPsX6oXkzU2qL12kHCH8G8cnZv1rBJh");
    assert_eq!(created.payin_extra_id.as_deref(), Some("4102587"));
    assert_eq!((created.pay_amount.as_str(), created.pay_currency.as_str()), ("17.070286", "xrp"));
    assert_eq!(created.network.as_deref(), Some("xrp"));
    assert_eq!(created.valid_until, Some(datetime!(2020-12-22 15:20:22.742 UTC)));
    assert_eq!(created.expires_at, Some(datetime!(2020-12-29 15:00:22.742 UTC)));
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST /v1/payment HTTP/1.1");
    assert!(asked[0].headers.contains(&format!("x-api-key: {KEY}")));
    assert!(asked[0].headers.contains("content-type: application/json"));
    assert_eq!(
        asked[0].body,
        r#"{"ipn_callback_url":"https://example.org/api/crypto/webhook","order_description":"Standard \"pack\"","order_id":"ord_1","pay_currency":"xrp","price_amount":10,"price_currency":"usd"}"#
    );
}

#[tokio::test]
async fn a_payment_in_another_coin_or_for_another_price_is_unreadable() {
    for (from, to, is_read) in [
        ("\"pay_currency\":\"XRP\"", "\"pay_currency\":\"xlm\"", false),
        ("\"price_amount\":10", "\"price_amount\":1", false),
        ("\"price_amount\":10", "\"price_amount\":10.0000000000000000000000001", false),
        ("\"price_currency\":\"usd\"", "\"price_currency\":\"eur\"", false),
        ("\"price_amount\":10", "\"price_amount\":\"1.000e1\"", true),
        ("\"price_currency\":\"usd\"", "\"price_currency\":\"USD\"", true),
        ("\"price_amount\":10,\"price_currency\":\"usd\",", "", true),
    ] {
        assert!(CREATED.contains(from), "{from}");
        let server = Server::start([answer(201, &CREATED.replace(from, to))]).await;
        let created = client(&server).create_payment(&new_payment()).await;
        assert_eq!(created.is_ok(), is_read, "{to}: {created:?}");
        assert!(is_read || created == Err(Error::Unreadable), "{to}: {created:?}");
    }
}

#[tokio::test]
async fn a_payment_is_never_asked_for_twice() {
    for (reply, error) in [
        (answer(500, "{}"), refused(500, "", "")),
        (answer(503, "<html>"), refused(503, "", "")),
        (Reply::Cut, Error::Unreachable),
        (Reply::CutInside, Error::Unreachable),
        (answer(200, "{"), Error::Unreadable),
    ] {
        let server = Server::start([reply, answer(201, CREATED)]).await;
        assert_eq!(client(&server).create_payment(&new_payment()).await, Err(error));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_payment_is_not_asked_for_twice_on_a_kept_connection_either() {
    let server = Server::start([ok(r#"{"message":"OK"}"#), Reply::Cut, answer(201, CREATED)]).await;
    let client = client(&server);
    client.status().await.unwrap();
    assert_eq!(client.create_payment(&new_payment()).await, Err(Error::Unreachable));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn questions_are_repeated_when_the_vendor_fails() {
    let cured = ok(r#"{"message":"OK"}"#);
    for sick in [answer(500, ""), answer(502, "<html>"), Reply::Cut, Reply::CutInside] {
        let server = Server::start([sick.clone(), cured.clone()]).await;
        assert_eq!(client(&server).status().await, Ok(()), "{sick:?}");
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn questions_are_repeated_twice_and_no_more() {
    let body = r#"{"statusCode":500,"code":"INTERNAL_ERROR","message":"Something\nbroke"}"#;
    let server = Server::start(std::iter::repeat_n(answer(500, body), 5)).await;
    let error = client(&server).payment("7").await.unwrap_err();
    assert_eq!(error, refused(500, "INTERNAL_ERROR", "Somethingbroke"));
    assert!(error.may_pass());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let body = r#"{"status":false,"statusCode":403,"code":"INVALID_API_KEY","message":"Invalid api key"}"#;
    let server = Server::start([answer(403, body), ok(CREATED)]).await;
    let error = client(&server).payment("7").await.unwrap_err();
    assert_eq!(error, refused(403, "INVALID_API_KEY", "Invalid api key"));
    assert!(!error.may_pass());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn too_many_questions_say_how_long_to_wait() {
    for (headers, seconds) in [
        ("retry-after: 7\r\n", 7),
        ("retry-after: 0\r\n", 0),
        ("retry-after: Fri, 02 Jan 2026 03:05:05 GMT\r\n", 60),
        ("retry-after: Thu, 01 Jan 2026 03:05:05 GMT\r\n", 0),
        ("retry-after: soon\r\n", 30),
        ("", 30),
        ("retry-after: 99999999\r\n", 3_600),
    ] {
        let server = Server::start([Reply::Answer(429, headers, String::new()), ok(CREATED)]).await;
        let retry_after = Duration::from_secs(seconds);
        assert_eq!(client(&server).payment("7").await, Err(Error::Busy { retry_after }), "{headers}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn silence_ends_with_the_time_limit() {
    let server = Server::start([Reply::Stall, ok(CREATED)]).await;
    let timeouts = Timeouts { answer: Duration::from_millis(100), ..Timeouts::default() };
    let client = Client::with_timeouts(&server.address, KEY, Clock::system(), timeouts).unwrap();
    assert_eq!(client.payment("7").await, Err(Error::Unreachable));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(client_of(&address).status().await, Err(Error::Unreachable));
}

#[tokio::test]
async fn answers_that_are_too_long_or_no_json_are_unreadable() {
    let long = format!(r#"{{"message":"OK","more":"{}"}}"#, "x".repeat(300 * 1024));
    for body in [long.as_str(), "", "{", "<html>", "OK", r#"{"message":"OK","message":"OK"}"#] {
        let server = Server::start([ok(body)]).await;
        assert_eq!(client(&server).status().await, Err(Error::Unreadable));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_payment_is_read_as_loosely_as_the_vendor_writes() {
    for (updated_at, read) in [
        ("", None),
        (r#","updated_at":null"#, None),
        (r#","updated_at":"2020-12-22T15:00:22.742Z""#, Some("2020-12-22T15:00:22.742Z")),
        (r#","updated_at":1608649222742"#, Some("1608649222742")),
        (r#","updated_at":"1608649222742""#, Some("1608649222742")),
    ] {
        for id in ["5745459419", "\"5745459419\""] {
            let body = format!(
                r#"{{"payment_id":{id},"payment_status":"Partially_Paid","actually_paid":0.5,"burning_percent":"null"{updated_at}}}"#
            );
            let server = Server::start([ok(body)]).await;
            let report = client(&server).payment("5745459419").await.unwrap();
            assert_eq!(report.payment_id, "5745459419");
            assert_eq!(report.status, "partially_paid");
            assert_eq!(report.actually_paid.as_deref(), Some("0.5"));
            assert_eq!(report.updated_at.as_deref(), read);
            assert_eq!(server.asked()[0].line, "GET /v1/payment/5745459419 HTTP/1.1");
            assert!(server.asked()[0].headers.contains(KEY));
        }
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_unreadable() {
    let server = Server::start([ok(r#"{"payment_id":8,"payment_status":"finished"}"#)]).await;
    assert_eq!(client(&server).payment("7").await, Err(Error::Unreadable));
    let server = Server::start([answer(201, &CREATED.replace("ord_1", "ord_2"))]).await;
    assert_eq!(client(&server).create_payment(&new_payment()).await, Err(Error::Unreadable));
}

#[tokio::test]
async fn values_stay_one_part_of_an_address() {
    let server = Server::start([answer(404, "{}"), answer(400, "{}")]).await;
    let client = client(&server);
    assert_eq!(client.payment("../status?x=1#é").await, Err(refused(404, "", "")));
    assert_eq!(client.min_amount("btc&fiat_equivalent=eur", "usd t").await, Err(refused(400, "", "")));
    let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines[0], "GET /v1/payment/%2E%2E%2Fstatus%3Fx%3D1%23%C3%A9 HTTP/1.1");
    let query = "currency_from=btc%26fiat_equivalent%3Deur&currency_to=usd%20t&fiat_equivalent=usd";
    assert_eq!(lines[1], format!("GET /v1/min-amount?{query} HTTP/1.1"));
}

#[tokio::test]
async fn the_small_questions_are_answered() {
    let server = Server::start([
        ok(r#"{"currency_from":"btc","currency_to":"usdttrc20","min_amount":1e-7,"fiat_equivalent":"35.40626584"}"#),
        ok(r#"{"currency_from":"usd","amount_from":10.5,"currency_to":"btc","estimated_amount":0.00017061637}"#),
        ok(r#"{"currencies":["BTC","eth",{"currency":"usdttrc20","min_amount":1},null,"",7,"no coin"]}"#),
        ok(r#"{"message":"OK"}"#),
    ])
    .await;
    let client = client(&server);
    let minimum = Minimum { amount: "1e-7".to_owned(), fiat_equivalent: Some("35.40626584".to_owned()) };
    assert_eq!(client.min_amount("btc", "usdttrc20").await, Ok(minimum));
    assert_eq!(client.estimate("10.5", "usd", "btc").await, Ok("0.00017061637".to_owned()));
    assert_eq!(client.currencies().await.unwrap(), ["btc", "eth", "usdttrc20", "7"]);
    assert_eq!(client.status().await, Ok(()));
    let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines[1], "GET /v1/estimate?amount=10%2E5&currency_from=usd&currency_to=btc HTTP/1.1");
    assert_eq!(lines[2], "GET /v1/currencies HTTP/1.1");
}

#[tokio::test]
async fn the_key_shows_nowhere() {
    let body = format!(r#"{{"code":"BAD","message":"you sent x-api-key: {KEY}"}}"#);
    let server = Server::start([answer(400, &body)]).await;
    let client = client(&server);
    let error = client.status().await.unwrap_err();
    assert_eq!(error, refused(400, "BAD", ""));
    for text in [format!("{client:?}"), format!("{error:?}"), error.to_string()] {
        assert!(!text.contains("KEY-"), "{text}");
    }
    assert!(server.asked().iter().all(|asked| !asked.line.contains(KEY)));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let make =
        |address: &str, key: &str| Client::new(address, key, Clock::system()).map(|it| format!("{it:?}"));
    for address in [
        "",
        "localhost",
        "ftp://host",
        "http://",
        "https://user:pass@host",
        "https://host?x=1",
        "https://host/#a",
    ] {
        assert_eq!(make(address, KEY).unwrap_err(), BadAddress::Url, "{address}");
    }
    for key in ["", "  ", "a\nb"] {
        assert_eq!(make("https://api.nowpayments.io", key).unwrap_err(), BadAddress::Key);
    }
    for (address, base) in [
        ("https://api.nowpayments.io/v1", "https://api.nowpayments.io/v1"),
        ("https://api.nowpayments.io/", "https://api.nowpayments.io/v1"),
        ("http://127.0.0.1:3900/simulator/v1/", "http://127.0.0.1:3900/simulator/v1"),
    ] {
        assert!(make(address, KEY).unwrap().contains(&format!("\"{base}\"")));
    }
}
