//! Any bytes as an answer of the payment processor: read with its promises kept, or unreadable.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pay::decimal::Decimal;
use pay::nowpayments::answer;

fuzz_target!(|bytes: &[u8]| {
    let is_amount = |text: &str| Decimal::parse(text).is_ok();
    if let Ok(created) = answer::created(bytes) {
        let lines = [Some(&created.pay_address), created.payin_extra_id.as_ref()];
        for line in lines.into_iter().flatten() {
            let has_gap = |character: char| character.is_whitespace() || character.is_control();
            assert!(!line.is_empty() && !line.contains(has_gap), "a payer cannot copy this");
        }
        assert!(Decimal::parse(&created.pay_amount).is_ok_and(|amount| amount.is_positive()));
        assert_eq!(answer::payment(bytes).as_ref(), Ok(&created.report));
    }
    if let Ok(report) = answer::payment(bytes) {
        assert!(report.payment_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert!(!report.payment_id.is_empty() && !report.status.is_empty());
        let amounts = [report.price_amount, report.pay_amount, report.actually_paid];
        assert!(amounts.iter().flatten().all(|text| is_amount(text)));
    }
    assert!(answer::minimum(bytes).map_or(true, |minimum| is_amount(&minimum.amount)));
    assert!(answer::estimate(bytes).map_or(true, |amount| is_amount(&amount)));
    if let Ok(coins) = answer::currencies(bytes) {
        assert!(coins.iter().all(|coin| coin.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    }
    let _ = answer::status(bytes);
    let (code, message) = answer::refusal(bytes);
    assert!(code.chars().count() <= 200 && message.chars().count() <= 200);
});
