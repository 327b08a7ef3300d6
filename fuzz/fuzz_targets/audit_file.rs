//! Any bytes as an exported audit trail: proven or refused, and a proof falls with the last byte that matters.

#![no_main]

use ledger::verify::{Head, KeySet, Options, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(verified) = verify(bytes, &Options::default()) {
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        assert!(verify(&whole[..whole.len() - 1], &Options::default()).is_err(), "its end is missing");
        assert!(verified.from_seq >= 1 && verified.to_seq >= verified.from_seq - 1);
        let text = std::str::from_utf8(bytes).expect("what is proven is text");
        assert_eq!(text.lines().count() as u64, verified.lines + 2);
        if verified.chained {
            let since = Some(Head::parse(text).expect("its last line has the head"));
            assert!(verify(bytes, &Options { keys: None, since }).is_ok(), "it contains its own head");
        }
    }
    let _ = KeySet::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Head::parse(text);
    }
});
