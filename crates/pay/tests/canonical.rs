//! The reader and the sorted print, against a JavaScript engine's prints, a model, and `serde_json`'s grammar.

use pay::json::{Arrays, Fault, Json, MAX_DEPTH, canonical, parse};
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::json_model::{Noise, document};

#[derive(Deserialize)]
struct Engine {
    documents: Vec<Printed>,
}

#[derive(Deserialize)]
struct Printed {
    wire: String,
    kept: String,
    as_objects: String,
}

#[test]
fn prints_are_those_of_a_javascript_engine() {
    let engine: Engine = serde_json::from_str(include_str!("vectors/javascript.json")).unwrap();
    assert!(engine.documents.len() >= 100);
    for printed in engine.documents {
        let json = parse(printed.wire.as_bytes()).unwrap();
        assert_eq!(canonical(&json, Arrays::Kept), printed.kept);
        assert_eq!(canonical(&json, Arrays::AsObjects), printed.as_objects);
    }
}

#[test]
fn numbers_keep_their_text() {
    for text in ["0", "-0", "15.0", "0.00005", "1e-7", "1E+21", "0.09853637216235617", "1e999999"] {
        let json = parse(text.as_bytes()).unwrap();
        assert_eq!((json.text(), canonical(&json, Arrays::Kept).as_str()), (Some(text), text));
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}null{}", open.repeat(depth), close.repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().fault, Fault::TooDeep);
        // Neither is a stack used up by what is refused.
        assert_eq!(parse(nested(1_000_000).as_bytes()).unwrap_err().fault, Fault::TooDeep);
    }
}

#[test]
fn faults_say_where_and_what() {
    for (text, at, fault) in [
        (&b""[..], 0, Fault::Ended),
        (b"  ", 2, Fault::Ended),
        (b"{\"a\":1", 6, Fault::Ended),
        (b"{\"a\" 1}", 5, Fault::Unexpected),
        (b"{\"a\":1,}", 7, Fault::Unexpected),
        (b"[1,]", 3, Fault::Unexpected),
        (b"[01]", 2, Fault::Unexpected),
        (b"\"\x01\"", 1, Fault::Unexpected),
        (b"\"\\x\"", 2, Fault::Unexpected),
        (b"\"\\u12g4\"", 5, Fault::Unexpected),
        (b"\"abc", 4, Fault::Ended),
        (b"nul", 0, Fault::Unexpected),
        (b"1 2", 2, Fault::Trailing),
        (b"[\"\xff\"]", 2, Fault::NotUtf8),
        (b"\xef\xbb\xbf{}", 0, Fault::Unexpected),
        (b"{\"a\":1,\"\\u0061\":2}", 0, Fault::DuplicateKey),
        (b"[{},{\"\\ud800\":1,\"\\uD800\":2}]", 4, Fault::DuplicateKey),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.at, error.fault), (at, fault), "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(parse(b"1 2").unwrap_err().to_string(), "text after the value at byte 2");
}

#[test]
fn keys_of_a_value_are_found() {
    let json = parse(br#"{"a":"x","b":{"c":[]},"\ud800":1,"n":null}"#).unwrap();
    assert_eq!(json.get("a"), Some(&Json::string("x")));
    assert_eq!(json.get("b").and_then(|inner| inner.get("c")), Some(&Json::Array(Vec::new())));
    assert_eq!((json.get("d"), json.get("n").and_then(Json::text)), (None, None));
}

/// Texts that are almost JSON: single bytes of a document changed, dropped or doubled.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let noise = proptest::collection::vec(any::<u8>(), 1..40);
    let damage = proptest::collection::vec((any::<proptest::sample::Index>(), any::<Option<u8>>()), 0..3);
    (document(), noise, damage).prop_map(|(model, noise, damage)| {
        let mut bytes = model.wire(&mut Noise::new(&noise)).into_bytes();
        for (place, byte) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match byte {
                Some(byte) => bytes[at] = byte,
                None => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

/// The same grammar as `serde_json`, which is not told to look at values.
fn agrees_with_serde(bytes: &[u8]) -> Result<(), TestCaseError> {
    let theirs =
        std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match parse(bytes) {
        Ok(json) => {
            prop_assert!(theirs);
            let printed = canonical(&json, Arrays::Kept);
            let again = parse(printed.as_bytes()).expect("our own print");
            prop_assert_eq!(canonical(&again, Arrays::Kept), printed);
        }
        Err(error) if matches!(error.fault, Fault::DuplicateKey | Fault::TooDeep) => {}
        Err(error) => prop_assert!(!theirs, "{error}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_document_reads_back_and_prints_as_the_model_does(model in document(), noise in proptest::collection::vec(any::<u8>(), 1..40)) {
        let wire = model.wire(&mut Noise::new(&noise));
        let json = parse(wire.as_bytes()).unwrap();
        let kept = canonical(&json, Arrays::Kept);
        prop_assert_eq!(&kept, &model.canonical(true));
        prop_assert_eq!(canonical(&json, Arrays::AsObjects), model.canonical(false));
        // The print is a document that prints as itself, whatever the order of keys was.
        let again = parse(kept.as_bytes()).unwrap();
        prop_assert_eq!(canonical(&again, Arrays::Kept), kept);
        prop_assert_eq!(canonical(&again, Arrays::AsObjects), model.canonical(false));
    }

    #[test]
    fn the_same_key_twice_is_refused_at_every_depth(model in document(), choice in any::<usize>()) {
        let Some(wire) = model.with_a_duplicate(choice) else { return Ok(()) };
        prop_assert_eq!(parse(wire.as_bytes()).map_err(|error| error.fault), Err(Fault::DuplicateKey));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        agrees_with_serde(&bytes)?;
    }

    #[test]
    fn damaged_documents_are_read_or_refused(bytes in nearly_json()) {
        agrees_with_serde(&bytes)?;
    }
}
