//! Any bytes as a notice: unsigned ones are never believed, and what is read of a signed one stands in what was signed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pay::json::{Arrays, canonical, parse};
use pay::notice::{IpnSecret, Rejection, authenticate, sign_bytes};
use pay::report::Report;

fuzz_target!(|body: &[u8]| {
    let signature = String::from_utf8_lossy(&body[body.len().saturating_sub(128)..]);
    let secret = IpnSecret::new("a secret to fuzz with").expect("not blank");
    assert!(authenticate(&secret, &signature, body).is_err(), "believed an unsigned notice");
    let raw = authenticate(&secret, &sign_bytes(&secret, body), body);
    let Ok(json) = parse(body) else {
        assert!(matches!(raw, Err(Rejection::NotJson(_))));
        return;
    };
    assert_eq!(raw, Report::read(&json).map_err(Rejection::Incomplete));
    for arrays in [Arrays::Kept, Arrays::AsObjects] {
        let signed = canonical(&json, arrays);
        assert_eq!(authenticate(&secret, &sign_bytes(&secret, signed.as_bytes()), body), raw);
        // Whoever reads the signed text instead of the body reads the same.
        let text = parse(signed.as_bytes()).expect("our own print is JSON");
        assert_eq!(Report::read(&text).map_err(Rejection::Incomplete), raw, "two truths");
    }
});
