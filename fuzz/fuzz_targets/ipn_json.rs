//! Any bytes as JSON: read as `serde_json` reads them or refused, and printed the same however often.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pay::json::{Arrays, Fault, canonical, parse};
use serde::de::IgnoredAny;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Ok(json) => {
            assert!(is_json(bytes), "read what is no JSON");
            for arrays in [Arrays::Kept, Arrays::AsObjects] {
                let print = canonical(&json, arrays);
                let again = parse(print.as_bytes()).expect("our own print is JSON");
                assert_eq!(canonical(&again, arrays), print, "a print prints differently");
            }
        }
        Err(error) => {
            assert!(error.at <= bytes.len());
            let is_our_rule = matches!(error.fault, Fault::DuplicateKey | Fault::TooDeep);
            assert!(is_our_rule || !is_json(bytes), "refused JSON: {error}");
        }
    }
});

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}
