//! Notices: recorded ones, ours, forged ones, and what is read of them.

use pay::json::{Arrays, Fault, Json, canonical, parse};
use pay::notice::{IpnSecret, Rejection, authenticate, sign, sign_bytes, time_per_notice};
use pay::report::{MAX_FIELD_BYTES, Missing, Report, instant};
use proptest::prelude::*;
use serde::Deserialize;

use crate::json_model::{Noise, document};

#[derive(Deserialize)]
struct Vectors {
    secret: String,
    accept: Vec<Vector>,
    reject: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    body: String,
    signature: String,
}

fn vectors() -> (IpnSecret, Vectors) {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/nowpayments-ipn.json")).unwrap();
    (IpnSecret::new(&vectors.secret).unwrap(), vectors)
}

fn secret() -> IpnSecret {
    IpnSecret::new("a secret of the tests").unwrap()
}

#[test]
fn genuine_notices_are_believed() {
    let (secret, vectors) = vectors();
    assert_eq!(vectors.accept.len(), 15);
    for vector in vectors.accept {
        let report = authenticate(&secret, &vector.signature, vector.body.as_bytes());
        let report = report.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(report.status, "finished", "{}", vector.name);
        // What was read stands in the body in these very words.
        let said = [&report.price_amount, &report.pay_amount, &report.actually_paid, &report.updated_at];
        for text in said.into_iter().chain([&Some(report.payment_id)]) {
            assert!(vector.body.contains(text.as_deref().unwrap()), "{}: {text:?}", vector.name);
        }
    }
}

#[test]
fn forged_notices_are_not_believed() {
    let (secret, vectors) = vectors();
    assert_eq!(vectors.reject.len(), 15);
    for vector in vectors.reject {
        let rejection = authenticate(&secret, &vector.signature, vector.body.as_bytes()).unwrap_err();
        if vector.name.contains("duplicate key") {
            assert!(matches!(rejection, Rejection::NotJson(error) if error.fault == Fault::DuplicateKey));
        } else {
            assert_eq!(rejection, Rejection::BadSignature, "{}", vector.name);
        }
    }
}

#[test]
fn every_changed_byte_of_a_genuine_notice_is_found() {
    let (secret, vectors) = vectors();
    let vector = &vectors.accept[0];
    for at in 0..vector.body.len() {
        let mut body = vector.body.clone().into_bytes();
        body[at] ^= 1;
        assert!(authenticate(&secret, &vector.signature, &body).is_err(), "byte {at}");
    }
    for at in 0..vector.signature.len() {
        let mut signature = vector.signature.clone().into_bytes();
        signature[at] = if signature[at] == b'0' { b'1' } else { b'0' };
        let signature = String::from_utf8(signature).unwrap();
        if signature != vector.signature {
            let outcome = authenticate(&secret, &signature, vector.body.as_bytes());
            assert_eq!(outcome, Err(Rejection::BadSignature), "digit {at}");
        }
    }
}

#[test]
fn the_three_forms_are_believed_and_no_fourth() {
    let body = br#"{ "payment_status": "finished", "payment_id": 7, "extra": [1, {"b": 2, "a": 1}] }"#;
    let json = parse(body).unwrap();
    let kept = canonical(&json, Arrays::Kept);
    let as_objects = canonical(&json, Arrays::AsObjects);
    assert_ne!(kept, as_objects);
    for text in [kept.as_bytes(), as_objects.as_bytes(), body] {
        assert_eq!(authenticate(&secret(), &sign_bytes(&secret(), text), body).unwrap().payment_id, "7");
    }
    let unsorted = br#"{"payment_status":"finished","payment_id":7,"extra":[1,{"b":2,"a":1}]}"#;
    let shallow = br#"{"extra":[1,{"b":2,"a":1}],"payment_id":7,"payment_status":"finished"}"#;
    for text in [&unsorted[..], &shallow[..], b""] {
        let outcome = authenticate(&secret(), &sign_bytes(&secret(), text), body);
        assert_eq!(outcome, Err(Rejection::BadSignature));
    }
    let others = IpnSecret::new("another secret").unwrap();
    assert_eq!(authenticate(&secret(), &sign(&others, &json), body), Err(Rejection::BadSignature));
}

#[test]
fn a_signature_is_lower_case_hex_and_nothing_else() {
    let body = br#"{"payment_id":7,"payment_status":"waiting"}"#;
    let good = sign_bytes(&secret(), body);
    assert!(authenticate(&secret(), &good, body).is_ok());
    let shortened = &good[..64];
    let spaced = format!(" {good}");
    let accented = format!("{}é", &good[..126]);
    for bad in ["", shortened, &spaced, &accented, &good.to_uppercase(), &"g".repeat(128)] {
        assert_eq!(authenticate(&secret(), bad, body), Err(Rejection::BadSignature));
    }
}

#[test]
fn a_signed_notice_must_say_what_and_how() {
    for (body, missing) in [
        (r#"{"payment_status":"finished"}"#, "payment_id"),
        (r#"{"payment_id":null,"payment_status":"finished"}"#, "payment_id"),
        (r#"{"payment_id":"../1","payment_status":"finished"}"#, "payment_id"),
        (r#"{"payment_id":[7],"payment_status":"finished"}"#, "payment_id"),
        (r#"{"payment_id":7}"#, "payment_status"),
        (r#"{"payment_id":7,"payment_status":""}"#, "payment_status"),
        ("[]", "payment_id"),
        ("null", "payment_id"),
    ] {
        let outcome = authenticate(&secret(), &sign_bytes(&secret(), body.as_bytes()), body.as_bytes());
        assert_eq!(outcome, Err(Rejection::Incomplete(Missing(missing))), "{body}");
    }
}

#[test]
fn secrets_do_not_show() {
    assert_eq!(format!("{:?}", secret()), "IpnSecret");
    for blank in ["", " ", "\n\t"] {
        assert!(IpnSecret::new(blank).is_none());
    }
}

fn report(members: &str) -> Report {
    let text = format!(r#"{{"payment_id":"77","payment_status":"WAITING"{members}}}"#);
    Report::read(&parse(text.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_report_reads_what_the_wire_means() {
    let read = report(
        r#","order_id":"ord_1","price_amount":"10.50","price_currency":"USD","pay_amount":1e-7,"pay_currency":"BTC",
        "actually_paid":0,"purchase_id":5098330360,"burning_percent":"null","parent_payment_id":null"#,
    );
    let text = |text: &str| Some(text.to_owned());
    let expected = Report {
        payment_id: "77".to_owned(),
        parent_payment_id: None,
        order_id: text("ord_1"),
        status: "waiting".to_owned(),
        price_amount: text("10.50"),
        price_currency: text("usd"),
        pay_amount: text("1e-7"),
        pay_currency: text("btc"),
        actually_paid: text("0"),
        purchase_id: text("5098330360"),
        updated_at: None,
    };
    assert_eq!(read, expected);
}

#[test]
fn what_says_nothing_is_absent() {
    for nothing in ["null", "\"\"", "\"null\"", "true", "{}", "[1]", "\"ten\"", "\"1,5\"", "\"1\\n\""] {
        let read = report(&format!(r#","price_amount":{nothing},"actually_paid":{nothing}"#));
        assert_eq!((read.price_amount, read.actually_paid), (None, None), "{nothing}");
    }
    let long = "9".repeat(MAX_FIELD_BYTES + 1);
    let read = report(&format!(r#","order_id":"{long}","pay_amount":{long}"#));
    assert_eq!((read.order_id, read.pay_amount), (None, None));
}

#[test]
fn whatever_names_a_parent_makes_a_child() {
    for none in ["null", "\"\"", "\"null\""] {
        assert_eq!(report(&format!(r#","parent_payment_id":{none}"#)).parent_payment_id, None, "{none}");
    }
    for (some, id) in
        [("4899989999", "4899989999"), ("\"48\"", "48"), ("[1]", "unreadable"), ("\"a b\"", "unreadable")]
    {
        let read = report(&format!(r#","parent_payment_id":{some}"#)).parent_payment_id;
        assert_eq!(read.as_deref(), Some(id), "{some}");
    }
}

#[test]
fn times_come_as_text_or_milliseconds() {
    for text in ["2020-12-22T15:00:22.742Z", "2020-12-22T16:00:22.742+01:00", "1608649222742"] {
        assert_eq!(instant(text).unwrap().unix_timestamp_nanos(), 1_608_649_222_742_000_000, "{text}");
    }
    for text in ["", "yesterday", "2020-12-22", "1608649222.5", "9223372036854775807", "99999999999999999999"]
    {
        assert_eq!(instant(text), None, "{text}");
    }
}

#[test]
fn the_time_of_one_check_is_said() {
    let rounds = if cfg!(debug_assertions) { 20 } else { 20_000 };
    println!("one notice of 2 KiB in its dearest form: {:?}", time_per_notice(rounds));
}

proptest! {
    #[test]
    fn what_we_sign_is_believed_however_it_is_written(model in document(), noise in proptest::collection::vec(any::<u8>(), 1..40)) {
        let wire = model.wire(&mut Noise::new(&noise));
        let body = format!(r#"{{"payment_status":"finished","data":{wire},"payment_id":"42"}}"#);
        let json = parse(body.as_bytes()).unwrap();
        let read = authenticate(&secret(), &sign(&secret(), &json), body.as_bytes()).unwrap();
        prop_assert_eq!(read.payment_id, "42");
        let print = canonical(&json, Arrays::AsObjects);
        prop_assert!(authenticate(&secret(), &sign_bytes(&secret(), print.as_bytes()), body.as_bytes()).is_ok());
    }

    #[test]
    fn no_bytes_and_no_signature_bring_it_down(signature in any::<String>(), body in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(authenticate(&secret(), &signature, &body), Err(Rejection::BadSignature));
        let signature = sign_bytes(&secret(), &body);
        let _ = authenticate(&secret(), &signature, &body);
    }

    #[test]
    fn any_document_is_a_report_or_none(model in document(), text in any::<String>()) {
        let _ = instant(&text);
        let json = parse(model.canonical(true).as_bytes()).unwrap();
        let same = Json::object([("payment_id", json.clone()), ("payment_status", json.clone()), ("parent_payment_id", json)]);
        if let Ok(read) = Report::read(&same) {
            prop_assert!(read.payment_id.len() <= MAX_FIELD_BYTES && !read.payment_id.is_empty());
        }
    }
}
