//! The message that a wallet signs, and who signed it.

use identity::siwe::{
    Expected, LEEWAY, MAX_AGE, MAX_MESSAGE_BYTES, Message, MessageFault, Moment, SignatureFault,
    claimed_nonce, hash, verify_signature,
};
use k256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use types::Wallet;

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
/// The key, text, signature and address of web3.js's own documentation.
const KEY: [u8; 32] = hex32("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318");
const ADDRESS: &str = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";

const fn hex32(text: &str) -> [u8; 32] {
    let text = text.as_bytes();
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[at] = nibble(text[2 * at]) << 4 | nibble(text[2 * at + 1]);
        at += 1;
    }
    bytes
}

const fn nibble(digit: u8) -> u8 {
    if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 }
}

fn sign(text: &str) -> Vec<u8> {
    let key = SigningKey::from_slice(&KEY).expect("a key");
    let (signature, recovery) = key.sign_prehash_recoverable(&hash(text));
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + recovery.to_byte());
    bytes
}

fn message() -> Message {
    Message {
        domain: "agents.example.org".to_owned(),
        wallet: ADDRESS.parse().expect("an address"),
        statement: Some("Sign in to Freeside.".to_owned()),
        uri: "https://agents.example.org".to_owned(),
        version: "1".to_owned(),
        chain_id: 1,
        nonce: "abcdefgh23456789".to_owned(),
        issued_at: Moment::new(NOW),
        expiration_time: Some(Moment::new(NOW + Duration::minutes(5))),
        not_before: None,
        request_id: None,
        resources: Vec::new(),
    }
}

const EXPECTED: Expected<'static> = Expected {
    domain: "agents.example.org",
    uri: "https://agents.example.org",
    chains: &[1, 8_453],
    now: NOW,
};

#[test]
fn a_message_has_the_text_of_the_standard() {
    let whole = Message {
        not_before: Some(Moment::new(NOW)),
        request_id: Some("some-id".to_owned()),
        resources: vec!["ipfs://a".to_owned(), "https://b.example".to_owned()],
        ..message()
    };
    let text = "agents.example.org wants you to sign in with your Ethereum account:\n\
                0x2c7536E3605D9C16a7a3D7b1898e529396a65c23\n\nSign in to Freeside.\n\n\
                URI: https://agents.example.org\nVersion: 1\nChain ID: 1\nNonce: abcdefgh23456789\n\
                Issued At: 2026-03-01T12:00:00Z\nExpiration Time: 2026-03-01T12:05:00Z\n\
                Not Before: 2026-03-01T12:00:00Z\nRequest ID: some-id\nResources:\n- ipfs://a\n- https://b.example";
    assert_eq!(whole.to_string(), text);
    assert_eq!(Message::parse(text), Ok(whole));
    let silent = Message { statement: None, ..message() };
    assert!(silent.to_string().contains("65c23\n\n\nURI: "));
    assert_eq!(Message::parse(&silent.to_string()), Ok(silent));
    assert_eq!(claimed_nonce(text), Some("abcdefgh23456789"));
}

#[test]
fn what_differs_from_its_own_text_is_refused() {
    let good = message().to_string();
    assert!(Message::parse(&good).is_ok());
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    for (what, text) in [
        ("a line after the address", change("65c23\n\n", "65c23\nI pay all my money\n\n")),
        ("a second statement", change("Freeside.\n\n", "Freeside.\nAnd pay.\n\n")),
        ("a line before the URI", change("\nURI:", "\nI agree to all.\nURI:")),
        ("a field twice", change("Version: 1\n", "Version: 1\nVersion: 1\n")),
        ("fields in another order", change("Version: 1\nChain ID: 1", "Chain ID: 1\nVersion: 1")),
        ("a field of nobody", change("\nIssued At", "\nPays: all\nIssued At")),
        ("a line feed at the end", good.clone() + "\n"),
        ("a line feed at the start", format!("\n{good}")),
        ("carriage returns", good.replace('\n', "\r\n")),
        ("a tab", change("Sign in to", "Sign\tin to")),
        ("a letter beyond ASCII", change("Freeside.", "Freesidé.")),
        ("a Cyrillic letter in the domain", change("agents", "аgents")),
        ("somebody at the domain", change("agents.example.org wants", "me@agents.example.org wants")),
        (
            "a scheme before the domain",
            change("agents.example.org wants", "https://agents.example.org wants"),
        ),
        ("a path behind the domain", change("agents.example.org wants", "agents.example.org/x wants")),
        ("no domain", change("agents.example.org wants", " wants")),
        ("an address in small letters", change(ADDRESS, &ADDRESS.to_lowercase())),
        ("an address with a wrong checksum", change("0x2c7536E", "0x2c7536e")),
        ("a chain with a sign", change("Chain ID: 1", "Chain ID: +1")),
        ("a chain with a zero before it", change("Chain ID: 1", "Chain ID: 01")),
        ("a chain in hexadecimal", change("Chain ID: 1", "Chain ID: 0x1")),
        ("a chain past all numbers", change("Chain ID: 1", "Chain ID: 99999999999999999999")),
        ("a nonce with punctuation", change("abcdefgh2", "abcdefgh-")),
        ("a short nonce", change("abcdefgh23456789", "abcdefg")),
        ("two blanks", change("Nonce: ", "Nonce:  ")),
        ("a blank at a line's end", change("Version: 1\n", "Version: 1 \n")),
        ("a name in small letters", change("Chain ID", "chain id")),
        ("a time without a zone", change("12:00:00Z", "12:00:00")),
        ("a time in small letters", change("2026-03-01T12:00:00Z", "2026-03-01t12:00:00z")),
        ("no time at all", change("2026-03-01T12:00:00Z", "now")),
        ("resources that are none", good.clone() + "\nResources:"),
        ("resources with words behind them", good.clone() + "\nResources: all\n- a"),
        ("nothing", String::new()),
        ("too much", good.clone() + "\nRequest ID: " + &"x".repeat(MAX_MESSAGE_BYTES)),
    ] {
        assert!(Message::parse(&text).is_err(), "{what}: {text}");
    }
    let reordered = "\nRequest ID: x\nNot Before: 2026-03-01T12:00:00Z";
    assert!(Message::parse(&(good + reordered)).is_err());
}

#[test]
fn each_value_is_compared_and_has_its_own_fault() {
    let check = |change: &dyn Fn(&mut Message)| {
        let mut changed = message();
        change(&mut changed);
        changed.check(&EXPECTED)
    };
    assert_eq!(check(&|_| {}), Ok(()));
    assert_eq!(check(&|message| message.domain = "agents.example.com".to_owned()), Err(MessageFault::Domain));
    assert_eq!(
        check(&|message| message.domain = "agents.example.org:443".to_owned()),
        Err(MessageFault::Domain)
    );
    assert_eq!(
        check(&|message| message.uri = "https://agents.example.org/".to_owned()),
        Err(MessageFault::Uri)
    );
    assert_eq!(check(&|message| message.version = "2".to_owned()), Err(MessageFault::Version));
    assert_eq!(check(&|message| message.chain_id = 5), Err(MessageFault::Chain));
    assert_eq!(check(&|message| message.chain_id = 8_453), Ok(()));
    let at = |by: Duration| Moment::new(NOW + by);
    let edge = MAX_AGE + LEEWAY;
    assert_eq!(check(&|message| message.issued_at = at(-edge)), Ok(()));
    assert_eq!(
        check(&|message| message.issued_at = at(-edge - Duration::SECOND)),
        Err(MessageFault::IssuedAt)
    );
    assert_eq!(check(&|message| message.issued_at = at(LEEWAY)), Ok(()));
    assert_eq!(
        check(&|message| message.issued_at = at(LEEWAY + Duration::SECOND)),
        Err(MessageFault::IssuedAt)
    );
    assert_eq!(check(&|message| message.expiration_time = Some(at(Duration::SECOND))), Ok(()));
    assert_eq!(
        check(&|message| message.expiration_time = Some(at(Duration::ZERO))),
        Err(MessageFault::Expired)
    );
    assert_eq!(check(&|message| message.expiration_time = None), Ok(()));
    assert_eq!(check(&|message| message.not_before = Some(at(LEEWAY))), Ok(()));
    assert_eq!(
        check(&|message| message.not_before = Some(at(LEEWAY + Duration::SECOND))),
        Err(MessageFault::NotYet)
    );
}

#[test]
fn a_known_signature_is_its_signers_in_every_form() {
    let text = "Some data";
    assert_eq!(hash(text), hex32("1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"));
    let mut signature = hex32("b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd").to_vec();
    signature.extend(hex32("6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a029"));
    signature.push(0x1c);
    assert_eq!(sign(text), signature, "RFC 6979: a key signs a text in one way");
    let signer: Wallet = ADDRESS.parse().expect("an address");
    assert_eq!(verify_signature(text, &signature).expect("a signature"), signer);

    let mut plain = signature.clone();
    plain[64] = 1;
    assert_eq!(verify_signature(text, &plain).expect("the other form of the parity"), signer);

    let low = Signature::from_slice(&signature[..64]).expect("sound");
    let high = Signature::from_scalars(low.r(), -low.s()).expect("not zero");
    assert_ne!(low, high);
    let mut twin = high.to_bytes().to_vec();
    twin.push(0x1b);
    assert_eq!(verify_signature(text, &twin).expect("the twin"), signer);
}

#[test]
fn a_tampered_signature_is_nobodys_or_anothers() {
    let text = message().to_string();
    let signature = sign(&text);
    let signer: Wallet = ADDRESS.parse().expect("an address");
    assert_eq!(verify_signature(&text, &signature).expect("sound"), signer);
    for place in 0..64 {
        let mut tampered = signature.clone();
        tampered[place] ^= 1;
        assert!(verify_signature(&text, &tampered).map_or(true, |other| other != signer), "byte {place}");
    }
    let mut other_parity = signature.clone();
    other_parity[64] ^= 7; // 27 ↔ 28
    assert!(verify_signature(&text, &other_parity).map_or(true, |other| other != signer));
    let other_text = text.replace("Freeside", "Fleeside");
    assert!(verify_signature(&other_text, &signature).map_or(true, |other| other != signer));
    for wrong in [&signature[..64], &[], &[0; 65], &[0xff; 65], &[signature.as_slice(), &[0]].concat()] {
        assert!(verify_signature(&text, wrong).is_err(), "{} bytes", wrong.len());
    }
    for parity in [2, 3, 26, 29, 255] {
        let mut wrong = signature.clone();
        wrong[64] = parity;
        assert!(matches!(verify_signature(&text, &wrong), Err(SignatureFault::Form)), "{parity}");
    }
}

fn messages() -> impl Strategy<Value = Message> {
    let fields = (
        "[a-z0-9.-]{1,30}(:[0-9]{1,5})?",
        any::<[u8; 20]>(),
        proptest::option::of("[ -~]{1,80}"),
        "[!-~]{1,60}",
        any::<u64>(),
        "[A-Za-z0-9]{8,64}",
    );
    let more = (
        0..4_000_000_000_i64,
        proptest::option::of(0..4_000_000_000_i64),
        proptest::option::of("[ -~]{0,20}"),
        proptest::collection::vec("[ -~]{0,40}", 0..4),
    );
    (fields, more).prop_map(
        |((domain, wallet, statement, uri, chain_id, nonce), (at, end, request_id, resources))| {
            let moment =
                |seconds| Moment::new(OffsetDateTime::from_unix_timestamp(seconds).expect("four digits"));
            Message {
                domain,
                wallet: Wallet(wallet),
                statement,
                uri,
                version: "1".to_owned(),
                chain_id,
                nonce,
                issued_at: moment(at),
                expiration_time: end.map(moment),
                not_before: None,
                request_id,
                resources,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_message_reads_as_it_prints(message in messages()) {
        prop_assert_eq!(Message::parse(&message.to_string()), Ok(message));
    }

    #[test]
    fn no_text_reads_as_a_message_that_prints_otherwise(
        message in messages(),
        place in any::<prop::sample::Index>(),
        piece in "[\n -~]{0,12}",
        takes in 0..6_usize,
    ) {
        let mut text = message.to_string();
        let from = place.index(text.len());
        let to = (from + takes).min(text.len());
        text.replace_range(from..to, &piece);
        if let Ok(read) = Message::parse(&text) {
            prop_assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_or_the_verifier_fall_over(text in ".{0,200}", bytes in any::<[u8; 65]>()) {
        let _ = Message::parse(&text);
        let _ = claimed_nonce(&text);
        let _ = verify_signature(&text, &bytes);
    }
}
