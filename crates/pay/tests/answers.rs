//! What the vendor's answers say, without a socket: what must be there, and any document at all.

use pay::Error;
use pay::json::{Arrays, Json, canonical, parse};
use pay::nowpayments::answer;
use proptest::prelude::*;

use crate::json_model::document;

const FIELDS: [&str; 16] = [
    "payment_id",
    "payment_status",
    "pay_address",
    "pay_amount",
    "pay_currency",
    "payin_extra_id",
    "network",
    "valid_until",
    "expiration_estimate_date",
    "min_amount",
    "fiat_equivalent",
    "estimated_amount",
    "currencies",
    "message",
    "code",
    "order_id",
];

fn created_with(key: &str, value: &str) -> Result<answer::Created, Error> {
    let mut members = vec![
        ("payment_id", "7"),
        ("payment_status", "\"waiting\""),
        ("pay_address", "\"addr\""),
        ("pay_amount", "0.5"),
        ("pay_currency", "\"btc\""),
    ];
    members.retain(|(name, _)| *name != key);
    members.push((key, value));
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    answer::created(format!("{{{}}}", members.join(",")).as_bytes())
}

#[test]
fn a_payment_that_cannot_be_paid_is_unreadable() {
    assert!(created_with("network", "null").is_ok());
    for (key, value) in [
        ("payment_id", "null"),
        ("payment_status", "null"),
        ("pay_address", "null"),
        ("pay_address", "\"\""),
        ("pay_address", "\"two words\""),
        ("pay_address", "{}"),
        ("pay_amount", "null"),
        ("pay_amount", "0"),
        ("pay_amount", "-1"),
        ("pay_amount", "\"much\""),
        ("pay_currency", "null"),
        // A memo that is there and cannot be shown would cost the deposit.
        ("payin_extra_id", "[1]"),
        ("payin_extra_id", "\"a\\u0000b\""),
    ] {
        assert_eq!(created_with(key, value), Err(Error::Unreadable), "{key} {value}");
    }
}

#[test]
fn a_memo_is_text_or_number_or_nothing() {
    for (value, memo) in [
        ("null", None),
        ("\"null\"", None),
        ("\"\"", None),
        ("\"abc\"", Some("abc")),
        ("0", Some("0")),
        ("412", Some("412")),
    ] {
        assert_eq!(created_with("payin_extra_id", value).unwrap().payin_extra_id.as_deref(), memo, "{value}");
    }
}

#[test]
fn small_answers_need_their_one_value() {
    assert_eq!(answer::minimum(br#"{"min_amount":null}"#), Err(Error::Unreadable));
    assert_eq!(answer::minimum(br#"{"min_amount":"0.1"}"#).unwrap().fiat_equivalent, None);
    assert_eq!(answer::estimate(br#"{"estimated_amount":"0.1"}"#), Ok("0.1".to_owned()));
    assert_eq!(answer::estimate(br"{}"), Err(Error::Unreadable));
    assert_eq!(answer::currencies(br#"{"currencies":{}}"#), Err(Error::Unreadable));
    assert_eq!(
        answer::currencies(format!(r#"{{"currencies":[{}1]}}"#, "1,".repeat(5_000)).as_bytes()),
        Err(Error::Unreadable)
    );
    assert_eq!(answer::status(br#"{"message":"down"}"#), Err(Error::Unreadable));
    assert_eq!(answer::refusal(b"<html>"), (String::new(), String::new()));
}

proptest! {
    #[test]
    fn any_answer_is_read_or_unreadable(values in proptest::collection::vec(document(), FIELDS.len()), bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let value = |model: &crate::json_model::Model| parse(model.canonical(true).as_bytes()).unwrap();
        let members = FIELDS.iter().zip(&values).map(|(key, model)| ((*key).into(), value(model))).collect();
        let body = canonical(&Json::Object(members), Arrays::Kept);
        for bytes in [body.as_bytes(), &bytes] {
            if let Ok(created) = answer::created(bytes) {
                prop_assert!(!created.pay_address.is_empty() && !created.pay_address.contains(char::is_whitespace));
            }
            let _ = answer::payment(bytes);
            let _ = answer::minimum(bytes);
            let _ = answer::estimate(bytes);
            let _ = answer::currencies(bytes);
            let _ = answer::status(bytes);
            prop_assert!(answer::refusal(bytes).1.chars().count() <= 200);
        }
    }
}
