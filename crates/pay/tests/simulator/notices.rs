//! Every script: which notices arrive, in which order, believed or not, and what they say.

use pay::report::Report;
use pay::simulator::{Answer, Manner, Script, ScriptError};

use super::house::House;

const PAID: [&str; 5] = ["waiting", "confirming", "confirmed", "sending", "finished"];

#[tokio::test]
async fn a_payment_is_told_step_by_step() {
    let house = House::open().await;
    let id = house.payment().await;
    let notices = house.simulator.pay(&id).await.unwrap();
    assert_eq!(house.shop.statuses(), PAID);
    assert!(notices.iter().all(|notice| notice.is_accepted() && notice.payment_id == id));
    let last = house.shop.reports().pop().unwrap();
    assert_eq!(last.payment_id, id);
    assert_eq!((last.order_id.as_deref(), last.parent_payment_id.as_deref()), (Some("order-1"), None));
    assert_eq!((last.price_amount.as_deref(), last.price_currency.as_deref()), (Some("10"), Some("usd")));
    assert_eq!((last.pay_amount.as_deref(), last.actually_paid.as_deref()), (Some("0.0001"), Some("0.0001")));
    assert_eq!(house.client.payment(&id).await.unwrap().status, "finished");
    assert!(
        house.shop.bodies().pop().unwrap().contains("\"depositFee\":5.5e-7"),
        "a number as JavaScript prints it"
    );
}

#[tokio::test]
async fn a_test_can_drive_each_step() {
    let house = House::open().await;
    let id = house.payment().await;
    assert_eq!(house.simulator.step(&id).await.unwrap().map(|notices| notices.len()), None);
    assert_eq!(house.simulator.begin(&id, Script::Pay).unwrap(), id);
    for (count, status) in PAID.iter().enumerate() {
        let notices = house.simulator.step(&id).await.unwrap().unwrap();
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].answers, [Answer::Status(200, "thank you".to_owned())]);
        assert_eq!((house.simulator.status(&id).unwrap(), house.shop.reports().len()), (*status, count + 1));
    }
    assert!(house.simulator.step(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn each_outcome_ends_as_it_should() {
    let cases: [(Script, &[&str]); 8] = [
        (Script::Underpay, &["waiting", "confirming", "partially_paid"]),
        (Script::Expire, &["waiting", "expired"]),
        (Script::PayLate, &["waiting", "expired", "confirming", "confirmed", "sending", "finished"]),
        (Script::Refund, &["waiting", "confirming", "refunded"]),
        (Script::Detect, &["waiting", "confirming"]),
        (Script::Fail, &["waiting", "confirming", "failed"]),
        (Script::Cancel, &["cancelled"]),
        (Script::Pay, &PAID),
    ];
    for (script, expected) in cases {
        let house = House::open().await;
        let id = house.payment().await;
        house.simulator.run(&id, script).await.unwrap();
        assert_eq!(house.shop.statuses(), expected, "{script:?}");
        assert_eq!(house.client.payment(&id).await.unwrap().status, *expected.last().unwrap());
    }
}

#[tokio::test]
async fn a_payment_can_go_on_from_where_it_is() {
    let house = House::open().await;
    let late = house.payment().await;
    house.simulator.expire(&late).await.unwrap();
    house.simulator.pay_late(&late).await.unwrap();
    assert_eq!(house.shop.statuses()[2..], PAID[1..]);
    house.simulator.refund(&late).await.unwrap();
    assert_eq!(house.simulator.status(&late).unwrap(), "refunded");

    let short = house.payment().await;
    house.simulator.underpay(&short).await.unwrap();
    house.simulator.run(&short, Script::Accept).await.unwrap();
    let last = house.shop.reports().pop().unwrap();
    assert_eq!((last.status.as_str(), last.actually_paid.as_deref()), ("finished", Some("0.00005")));
    assert_eq!(last.pay_amount.as_deref(), Some("0.0001"), "finished does not mean that all of it came");

    let stuck = house.payment().await;
    house.simulator.run(&stuck, Script::Detect).await.unwrap();
    house.simulator.pay(&stuck).await.unwrap();
    assert_eq!(house.simulator.status(&stuck).unwrap(), "finished");
}

#[tokio::test]
async fn what_the_original_would_not_do_is_refused() {
    let house = House::open().await;
    let id = house.payment().await;
    house.simulator.pay(&id).await.unwrap();
    let error = house.simulator.pay(&id).await.unwrap_err();
    assert_eq!(error, ScriptError::NotNow { script: "pay", status: "finished" });
    assert_eq!(house.simulator.pay("1").await.unwrap_err(), ScriptError::Unknown);
    assert_eq!(house.simulator.expire("x").await.unwrap_err(), ScriptError::Unknown);
    let child = house.simulator.begin(&id, Script::Repeat).unwrap();
    assert!(matches!(house.simulator.begin(&child, Script::Repeat), Err(ScriptError::NotNow { .. })));
    assert_eq!(house.shop.reports().len(), 5);
}

#[tokio::test]
async fn a_second_deposit_and_a_wrong_coin_are_children() {
    let house = House::open().await;
    let id = house.payment().await;
    house.simulator.pay(&id).await.unwrap();

    let again = house.simulator.repeat(&id).await.unwrap();
    let child = house.shop.reports().pop().unwrap();
    assert_eq!(child.status, "finished");
    assert_eq!((&child.payment_id, child.parent_payment_id.as_ref()), (&again[0].payment_id, Some(&id)));
    assert_ne!(child.payment_id, id);
    assert_eq!(child.order_id.as_deref(), Some("order-1"), "it looks as if it paid the order");

    house.simulator.wrong_asset(&id).await.unwrap();
    let child = house.shop.reports().pop().unwrap();
    assert_eq!(
        (child.status.as_str(), child.parent_payment_id.as_ref()),
        ("wrong_asset_confirmed", Some(&id))
    );
    assert_eq!(child.order_id, None, "only the parent says whose it is");
    assert_ne!(child.pay_currency.as_deref(), Some("btc"));
    let polled = house.client.payment(&child.payment_id).await.unwrap();
    assert_eq!(polled.parent_payment_id.as_ref(), Some(&id));
}

#[tokio::test]
async fn a_silent_payment_is_found_by_asking_only() {
    let house = House::open().await;
    let id = house.payment().await;
    house.simulator.deliver_as(&id, Manner::Silent).unwrap();
    let notices = house.simulator.pay(&id).await.unwrap();
    assert_eq!(notices.len(), 5);
    assert!(notices.iter().all(|notice| notice.answers.is_empty()));
    assert!(house.shop.bodies().is_empty());
    assert_eq!(house.client.payment(&id).await.unwrap().status, "finished");
}

#[tokio::test]
async fn notices_can_come_twice_and_in_another_order() {
    let house = House::open().await;
    let twice = house.payment().await;
    house.simulator.deliver_as(&twice, Manner::Twice).unwrap();
    house.simulator.pay(&twice).await.unwrap();
    let expected: Vec<&str> = PAID.iter().flat_map(|status| [*status, *status]).collect();
    assert_eq!(house.shop.statuses(), expected);

    house.simulator.deliver_all_as(Manner::TwiceShuffled);
    let mixed = house.payment().await;
    house.simulator.pay(&mixed).await.unwrap();
    let of_mixed = |report: &Report| report.payment_id == mixed;
    let mut arrived: Vec<String> =
        house.shop.reports().into_iter().filter(of_mixed).map(|report| report.status).collect();
    assert_ne!(arrived, expected);
    arrived.sort_unstable();
    let mut sorted = expected.clone();
    sorted.sort_unstable();
    assert_eq!(arrived, sorted, "none is lost, each came twice");
}

#[tokio::test]
async fn a_shuffled_script_tells_nothing_before_its_end() {
    let house = House::open().await;
    let id = house.payment().await;
    house.simulator.deliver_as(&id, Manner::Shuffled).unwrap();
    house.simulator.begin(&id, Script::Pay).unwrap();
    for _ in 0..4 {
        assert!(house.simulator.step(&id).await.unwrap().unwrap().is_empty());
    }
    assert!(house.shop.bodies().is_empty());
    assert_eq!(house.simulator.step(&id).await.unwrap().unwrap().len(), 5);
    assert_ne!(house.shop.statuses(), PAID);
}

#[tokio::test]
async fn a_notice_that_is_not_accepted_is_tried_again_and_then_given_up() {
    let house = House::open().await;
    let id = house.payment().await;
    house.simulator.begin(&id, Script::Expire).unwrap();
    house.shop.answer(&[503, 500]);
    let notice = house.simulator.step(&id).await.unwrap().unwrap().remove(0);
    let answers: Vec<String> = notice.answers.iter().map(ToString::to_string).collect();
    assert_eq!(answers, ["503 Service Unavailable", "500 Internal Server Error", "200 OK"]);
    house.shop.answer(&[500, 500, 500]);
    let notice = house.simulator.step(&id).await.unwrap().unwrap().remove(0);
    assert_eq!((notice.answers.len(), notice.is_accepted()), (3, false));
    assert_eq!(house.shop.statuses(), ["waiting"]);
    assert_eq!(house.simulator.notices(&id).unwrap().len(), 2);
}

#[tokio::test]
async fn old_notices_come_again_byte_for_byte() {
    let house = House::open().await;
    let id = house.payment().await;
    house.simulator.pay(&id).await.unwrap();
    house.simulator.send_again(&id).await.unwrap();
    let bodies = house.shop.bodies();
    assert_eq!(bodies.len(), 10);
    assert_eq!(bodies[..5], bodies[5..]);
}

#[tokio::test]
async fn a_forged_notice_is_not_believed() {
    let house = House::open().await;
    let id = house.payment().await;
    let notice = house.simulator.forge(&id).await.unwrap();
    assert!(notice.is_forged && notice.answers.iter().all(|answer| matches!(answer, Answer::Status(401, _))));
    assert!(house.shop.reports().is_empty());
    assert_eq!(house.simulator.status(&id).unwrap(), "waiting");
}

#[tokio::test]
async fn nobody_there_is_said() {
    let house = House::open().await;
    let mut new = house.ten_dollars("btc");
    // A port that was free a moment ago, and that only the system could give away again.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    new.ipn_callback_url = format!("http://{}/ipn", listener.local_addr().unwrap());
    drop(listener);
    let id = house.client.create_payment(&new).await.unwrap().report.payment_id;
    let notices = house.simulator.run(&id, Script::Cancel).await.unwrap();
    assert!(notices[0].answers.iter().all(|answer| matches!(answer, Answer::Unreachable(_))), "{notices:?}");
}

#[tokio::test]
async fn ids_and_times_come_in_each_of_their_forms() {
    let house = House::open().await;
    let mut forms = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let id = house.payment().await;
        house.simulator.run(&id, Script::Cancel).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&house.shop.bodies().pop().unwrap()).unwrap();
        assert!(body["payment_id"].is_u64());
        forms.insert(match &body["updated_at"] {
            serde_json::Value::Null => "absent",
            serde_json::Value::Number(_) => "milliseconds",
            _ => "text",
        });
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["absent", "milliseconds", "text"]);
}
